"""A log is never written to a file that somebody else chose."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import StateUnusable
from nodeset.processes.center.logfile import FileSink
from nodeset.processes.output.outlog import OutLog


class PlaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(self.mktemp()).absolute()
        self.place.mkdir()
        self.path = self.place / "job.log"
        self.precious = Path(self.mktemp()).absolute()
        self.precious.write_bytes(b"precious")

    def write(self) -> None:
        log = OutLog(str(self.path), 1000, 1)
        log.write(b"bob")
        log.close()

    def record(self) -> None:
        sink = FileSink(self.path, 1000, 1)
        sink.write(b"bob")
        sink.close()

    def test_ours(self) -> None:
        """Where only we can put files, a link is as good as a name."""
        self.place.chmod(0o755)
        self.path.symlink_to(self.precious)
        self.write()
        self.assertEqual(self.precious.read_bytes(), b"preciousbob")

    def test_links(self) -> None:
        """Where others can put files, a link, or a second name of a file, is refused; what it leads to stays as it is."""
        for mode in (0o777, 0o1777, 0o770):
            self.place.chmod(mode)
            for link in (self.path.symlink_to, self.path.hardlink_to):
                link(self.precious)
                self.assertRaises(StateUnusable, self.write)
                self.assertRaises(OSError, self.record)
                self.path.unlink()
        self.assertEqual(self.precious.read_bytes(), b"precious")

    def test_strangers(self) -> None:
        """There a file of somebody else, who would read what is written, is refused; one of the directory's owner is not."""
        if os.geteuid():
            return  # nobody but root can give files away
        self.place.chmod(0o1777)
        self.path.touch(0o666)
        os.chown(self.path, 65534, 65534)
        self.assertRaises(StateUnusable, self.write)
        self.assertRaises(OSError, self.record)
        os.chown(self.place, 65534, 65534)
        self.write()
        self.assertEqual(self.path.read_bytes(), b"bob")

    def test_private(self) -> None:
        """A log that is made there is for its owner alone, be it a program's or a center's."""
        self.place.chmod(0o777)
        self.write()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.path.unlink()
        self.record()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_pipe(self) -> None:
        """A pipe that nobody reads is refused, one whose reader sleeps loses what it has no room for; none is ever renamed."""
        os.mkfifo(self.path)
        self.assertRaises(StateUnusable, self.write)
        self.assertRaises(OSError, self.record)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        log = OutLog(str(self.path), 1000, 1)
        for _ in range(30):
            log.write(b"x" * 4096)
        log.close()
        self.assertEqual((log.written, log.lost), (65536, 30 * 4096 - 65536))
        self.assertEqual(list(self.place.iterdir()), [self.path])
