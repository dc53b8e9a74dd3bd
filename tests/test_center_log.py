"""The log of a center: rotated, reopened, on a full disk, on a stream that nobody reads."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from nodeset.processes.center.eventlog import EventLog
from nodeset.processes.center.ledger import SIZE, Ledger
from nodeset.processes.center.logfile import FileSink, StreamSink, openLedger


class Disk:
    """A sink that takes so many bytes more."""

    pause = 1.0

    def __init__(self) -> None:
        self.room = 10**9
        self.data = b""
        self.closed = False

    def prepare(self, size: int, begins: bool = True) -> tuple[int, int] | None:
        return 1, len(self.data) + size

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = data[: self.room]
        self.room -= len(taken)
        self.data += taken
        return len(taken)

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def line(number: int) -> bytes:
    return b"['p', 'out', '%04d']\n" % number


class EventLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.disk, self.clock = Disk(), Clock()
        self.ledger = Ledger(bytearray(SIZE))
        self.log = EventLog(self.disk, self.ledger, "center", self.clock, kept=10 * (len(line(0)) + 128))
        self.addCleanup(self.log.close)

    def put(self, *numbers: int) -> None:
        for number in numbers:
            self.log.put(line(number), "u s", number + 1)

    def test_atOnce(self) -> None:
        """A line is with the system when `put` returns."""
        self.put(1)
        self.assertEqual((self.disk.data, self.log.waiting_bytes, self.clock.getDelayedCalls()), (line(1), 0, []))

    def test_fullDisk(self) -> None:
        """What a full disk does not take is written later, in order, in the middle of a line as well; it is said once."""
        self.disk.room = len(line(0)) + 5
        with capturedLogs() as logged:
            self.put(*range(6))
            self.clock.pump([1.0] * 3)
            self.assertEqual((self.ledger.last("u s"), self.log.last("u s")), (1, 6), "who is killed now has one of them")
            self.disk.room = 10**9
            self.clock.pump([1.0] * 3)
            self.assertEqual(self.ledger.last("u s"), 6)
            self.put(6)
        self.assertEqual(self.disk.data, b"".join(map(line, range(7))))
        self.assertEqual((self.log.lost, self.log.waiting_bytes, self.clock.getDelayedCalls()), (0, 0, []))
        told = [event["log_level"].name for event in logged]
        self.assertEqual(told, ["error", "warn"], "said once, then that all is well")
        self.assertEqual(logged[0]["reason"], "No space left on device")

    def test_loss(self) -> None:
        """What cannot be kept either is lost, and a line says so in its place, each time."""
        self.disk.room = 0
        with capturedLogs():
            self.put(*range(15))
            self.disk.room = 3 * len(line(0))
            self.clock.advance(1.0)
            self.put(15)
            self.disk.room = 10**9
            self.clock.advance(1.0)
        lost = b"['center', 'err', '5 lines were lost here: No space left on device\\n', {'dropped': %d}]\n" % (
            5 * len(line(0))
        )
        self.assertEqual(self.disk.data, b"".join(map(line, range(10))) + lost + line(15))
        self.assertEqual((self.log.lost, self.log.lost_bytes), (5, 5 * len(line(0))))

    def test_end(self) -> None:
        """Who stops while the disk is full says how much is lost."""
        self.disk.room = 0
        with capturedLogs() as logged:
            self.put(1, 2)
            self.log.close()
        self.assertEqual((logged[-1]["count"], self.ledger.last("u s")), (2, 0))
        self.assertTrue(self.disk.closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.home = Path(self.mktemp()) / "[logs]*"
        self.home.mkdir(parents=True)
        self.path = self.home / "nerve.log"

    def open(self, size: int = 10**6, older: int = 2) -> EventLog:
        log = EventLog(FileSink(self.path, size, older), Ledger(bytearray(SIZE)), "center", Clock())
        self.addCleanup(log.close)
        return log

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.home.iterdir()}

    def test_rotation(self) -> None:
        """A file that would become too large becomes the first of the older ones; the oldest go."""
        log = self.open(size=2 * len(line(0)))
        for number in range(7):
            log.put(line(number))
        pairs = {"nerve.log": line(6), "nerve.log.1": line(4) + line(5), "nerve.log.2": line(2) + line(3)}
        self.assertEqual(self.files(), pairs)

    def test_appended(self) -> None:
        """What is there already stays."""
        self.open().put(line(1))
        self.open().put(line(2))
        self.assertEqual(self.path.read_bytes(), line(1) + line(2))

    def test_torn(self) -> None:
        """A last line that was torn by a kill goes, since its event comes again; what somebody else left is kept."""
        self.path.write_bytes(line(1) + line(2)[:-4])
        log = self.open()
        log.put(line(2))
        log.close()
        self.assertEqual(self.path.read_bytes(), line(1) + line(2))
        for tail in (b"who wrote this", b"['p', 'xyz', 'a"):
            self.path.write_bytes(tail)
            log = self.open()
            log.put(line(1))
            log.close()
            self.assertEqual(self.path.read_bytes(), tail + b"\n" + line(1))

    def test_shared(self) -> None:
        """Two centers that log to one file lose nothing, whichever of them begins another; neither mends the other's lines."""
        first = self.open(size=10 * len(line(0)), older=9)
        first.put(line(0))
        with self.path.open("ab") as file:
            file.write(line(1)[:-4])
            second = self.open(size=10 * len(line(0)), older=9)
            file.write(line(1)[-4:])
        for number in range(2, 80, 2):
            second.put(line(number))
            first.put(line(number + 1))
        found = b"".join(self.files().values()).splitlines(keepends=True)
        self.assertEqual(sorted(found), [line(number) for number in range(80)])
        self.assertEqual(len(self.files()), 8)

    def test_reopened(self) -> None:
        """After SIGHUP lines go to the file that has the name; a directory that is gone costs nothing but a complaint."""
        log = self.open()
        log.put(line(1))
        self.path.rename(self.home / "moved")
        log.put(line(2))
        log.reopen()
        log.put(line(3))
        self.assertEqual(self.files(), {"moved": line(1) + line(2), "nerve.log": line(3)})
        gone = self.home.rename(self.home.with_name("gone"))
        with capturedLogs() as logged:
            log.reopen()
            log.put(line(4))
            gone.rename(self.home)
            log.put(line(5))
        self.assertEqual(self.path.read_bytes(), b"".join(map(line, (3, 4, 5))))
        self.assertEqual([event["log_level"].name for event in logged], ["error", "error", "warn"])

    def test_device(self) -> None:
        """A device is written to, never renamed."""
        sink = FileSink(Path("/dev/full"), 10, 2)
        self.addCleanup(sink.close)
        with self.assertRaisesRegex(OSError, "No space"):
            sink.write(b"x" * 100)
        null = FileSink(Path("/dev/null"), 10, 2)
        self.addCleanup(null.close)
        self.assertEqual([(null.prepare(100), null.write(b"x" * 100)) for _ in range(3)], [(None, 100)] * 3)

    def test_ledger(self) -> None:
        """What was noted is in the file at once; one process has it at a time."""
        path = self.home / "x.seen"
        block = openLedger(path)
        Ledger(block).note("u s", 7)
        self.assertEqual(Ledger(bytearray(path.read_bytes())).last("u s"), 7)
        self.assertRaises(OSError, openLedger, path)
        self.assertEqual((path.stat().st_size, path.stat().st_mode & 0o777), (SIZE, 0o600))


class StreamTests(SynchronousTestCase):
    def test_notRead(self) -> None:
        """A stream that nobody reads holds up nothing: lines wait, then are lost, marked; then all goes on."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        clock = Clock()
        log = EventLog(StreamSink(writing), Ledger(bytearray(SIZE)), "center", clock, kept=100_000)
        with capturedLogs():
            for number in range(20_000):
                log.put(line(number))
        self.assertGreater(log.lost, 5_000)
        os.set_blocking(reading, False)
        found = b""
        while log.waiting_bytes:
            found += os.read(reading, 10**6)
            clock.advance(0.02)
        log.put(line(20_000))
        found += os.read(reading, 10**6)
        lines = found.splitlines(keepends=True)
        kept = 20_000 - log.lost
        self.assertEqual(lines[:kept], [line(number) for number in range(kept)])
        self.assertRegex(lines[kept], re.compile(rb"'%d lines were lost here: nobody read them" % log.lost))
        self.assertEqual(lines[kept + 1 :], [line(20_000)])
        log.close()
