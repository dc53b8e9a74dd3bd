"""What a program writes is in its log file, byte for byte; a full disk harms nobody."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import StateUnusable
from nodeset.processes.output.outlog import OutLog


class OutLogTests(SynchronousTestCase):
    """Appended, rotated, bounded, never in the way."""

    def setUp(self) -> None:
        self.place = Path(self.mktemp()).absolute()
        self.place.mkdir()
        self.path = self.place / "job.log"

    def build(self, path: Path | None = None, most: int = 1 << 20, files: int = 2) -> OutLog:
        log = OutLog(str(path or self.path), most, files)
        self.addCleanup(log.close)
        return log

    def test_bytes(self) -> None:
        """Whatever the bytes are; a second run appends, and nobody else may read it."""
        for piece in (b"bob is\xff ", b"your\r uncle\0"):
            log = self.build()
            log.write(piece)
            log.close()
        self.assertEqual(self.path.read_bytes(), b"bob is\xff your\r uncle\0")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_rotation(self) -> None:
        """It is rotated by its size, and so many older ones are kept; without any it begins anew."""
        log = self.build(most=1000, files=2)
        for number in range(50):
            log.write(b"%03d" % number + b"." * 97)
        names = sorted(self.place.iterdir())
        self.assertEqual([path.name for path in names], ["job.log", "job.log.1", "job.log.2"])
        kept = b"".join(path.read_bytes() for path in reversed(names))
        self.assertEqual([int(kept[at : at + 3]) for at in range(0, len(kept), 100)], list(range(20, 50)))
        alone = self.build(self.place / "alone.log", most=100, files=0)
        for number in range(5):
            alone.write(b"%d" % number * 60)
        self.assertEqual((self.place / "alone.log").read_bytes(), b"4" * 60)
        self.assertFalse((self.place / "alone.log.1").exists())

    def test_full(self) -> None:
        """On a full disk what comes is lost, counted, said once; nothing is raised."""
        log = self.build(Path("/dev/full"))
        with capturedLogs() as said:
            for _ in range(3):
                log.write(b"abc")
        self.assertEqual((log.lost, log.written), (9, 0))
        self.assertEqual([event["log_level"] for event in said], [LogLevel.error])
        self.assertIn("No space left", str(said[0]["why"]))

    def test_lastBytes(self) -> None:
        """When only a part finds room, that part is written and the rest counted."""
        self.path.touch()
        os.truncate(self.path, 1 << 30)  # far beyond what trial itself writes; it takes no room
        log = self.build(most=0)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_FSIZE, ((1 << 30) + 3, hard))
        log.write(b"bob is your uncle")
        self.assertEqual((log.written, log.lost), (3, 14))
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log.write(b"!")
        with self.path.open("rb") as file:
            file.seek(1 << 30)
            self.assertEqual(file.read(), b"bob!")

    def test_again(self) -> None:
        """When it can be written again it goes on, and says how much was lost."""
        log = self.build()
        log.write(b"before ")
        log.close()
        self.path.unlink()
        self.place.rmdir()
        with capturedLogs() as said:
            log.write(b"lost ")
            self.place.mkdir()
            log.write(b"after")
        self.assertEqual(self.path.read_bytes(), b"after")
        self.assertEqual([event.get("count") for event in said], [None, 5])

    def test_moved(self) -> None:
        """After `reopen` it writes to the name, wherever the file has been moved."""
        log = self.build()
        log.write(b"one")
        self.path.rename(self.place / "old")
        log.write(b"two")
        log.reopen()
        log.write(b"three")
        self.assertEqual(((self.place / "old").read_bytes(), self.path.read_bytes()), (b"onetwo", b"three"))

    def test_stuck(self) -> None:
        """When it cannot be rotated it goes on in the same file."""
        log = self.build(most=4)
        (self.place / "job.log.2").mkdir()
        for piece in (b"1234", b"5678", b"9"):
            log.write(piece)
        self.assertEqual((log.written, log.lost), (9, 0))
        self.assertEqual(self.path.read_bytes(), b"123456789")

    def test_impossible(self) -> None:
        """A file that cannot be opened is refused before anything runs."""
        error = self.assertRaises(StateUnusable, OutLog, str(self.place / "missing" / "job.log"), 1, 1)
        self.assertIn("No such file or directory", str(error))
