"""What a program writes is read whole, in order, fairly; its files are as it expects them."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import CannotStart
from nodeset.processes.output.stdio import READ, PipeStdio, Stdio


class PipeStdioTests(SynchronousTestCase):
    """One run after the other, by a reactor whose turns the test makes; the test itself is the program."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.heard: list[tuple[str, bytes]] = []
        self.stdio = self.build()

    def build(self, stdin: int | None = None) -> PipeStdio:
        stdio = PipeStdio(self.reactor, stdin)
        stdio.onData(lambda stream, data: self.heard.append((stream, data)))
        self.addCleanup(stdio.abandon)
        return stdio

    def spawn(self) -> tuple[int, int]:
        """The numbers by which the program writes to 1, 2."""
        ours = [os.dup(number) for number in self.stdio.open()[1:]]
        self.stdio.spawned()
        for number in ours:
            os.set_blocking(number, False)
            self.addCleanup(self.close, number)
        return ours[0], ours[1]

    def close(self, *numbers: int) -> None:
        for number in numbers:
            try:
                os.close(number)
            except OSError:
                pass

    def fill(self, number: int) -> None:
        """Write until the pipe is full."""
        try:
            while os.write(number, b"a" * 65536):
                pass
        except BlockingIOError:
            pass

    def turn(self) -> None:
        """One turn of the reactor, which looks at every file once."""
        for reader in sorted(self.reactor.getReaders(), key=lambda one: one.fileno()):
            reader.doRead()

    def test_bytes(self) -> None:
        """Every byte comes as it was written, on the stream that it was written to; the end comes last."""
        stdio: Stdio = self.stdio
        out, err = self.spawn()
        os.write(out, b"\x88\0")
        os.write(err, b"no newline")
        self.turn()
        self.close(out)
        self.turn()
        self.assertNoResult(stdio.closed)
        self.close(err)
        self.turn()
        self.successResultOf(stdio.closed)
        self.assertEqual(self.heard, [("out", b"\x88\0"), ("err", b"no newline")])
        self.assertEqual(list(self.reactor.getReaders()), [])

    def test_files(self) -> None:
        """The program's files block, as programs expect; stdin is at its end; none of ours goes to other programs."""
        first, second, third = self.stdio.open()
        self.assertEqual(os.read(first, 1), b"")
        self.assertEqual([os.get_blocking(number) for number in (second, third)], [True, True])
        self.assertEqual([os.get_inheritable(number) for number in (first, second, third)], [False] * 3)

    def test_stdin(self) -> None:
        """It may get a stdin of ours, of which we read nothing and which we do not close."""
        theirs, ours = os.pipe()
        self.addCleanup(self.close, theirs, ours)
        os.write(ours, b"x")
        stdio = self.build(theirs)
        given = os.dup(stdio.open()[0])
        self.addCleanup(self.close, given)
        stdio.spawned()
        os.fstat(theirs)
        self.assertEqual(os.read(given, 10), b"x")

    def test_rest(self) -> None:
        """What was in the pipes when the program ended comes before the end, however much; who holds on gets the grace."""
        out, err = self.spawn()
        os.write(out, b"a" * 60_000)
        os.write(err, b"b")
        self.close(out)
        self.stdio.finish(0.5)
        self.assertEqual(sum(len(data) for _stream, data in self.heard), 60_001)
        self.turn()
        self.assertNoResult(self.stdio.closed)
        os.write(err, b"late")
        self.reactor.advance(0.6)
        self.successResultOf(self.stdio.closed)
        self.assertEqual(self.heard[-1], ("err", b"late"))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_endless(self) -> None:
        """Somebody who goes on writing for ever does not keep it from ending."""
        out, _err = self.spawn()
        self.stdio.onData(lambda stream, data: os.write(out, b"more"))
        os.write(out, b"x")
        self.stdio.finish(0)
        self.reactor.advance(0)
        self.successResultOf(self.stdio.closed)

    def test_pause(self) -> None:
        """A stream that is paused is not read, the other one is; resumed, it goes on where it was."""
        out, err = self.spawn()
        self.stdio.pause("out")
        os.write(out, b"a")
        os.write(err, b"b")
        self.turn()
        self.assertEqual(self.heard, [("err", b"b")])
        self.fill(out)  # the program waits
        self.stdio.resume("out")
        self.turn()
        self.assertEqual(self.heard[1][1][:5], b"aaaaa")

    def test_pauseAtEnd(self) -> None:
        """What is paused when the program ends is kept until it is resumed, then comes before the end."""
        out, err = self.spawn()
        self.stdio.pause("out")
        os.write(out, b"last")
        self.close(err)
        self.stdio.finish(0.5)
        self.reactor.advance(60)
        self.assertNoResult(self.stdio.closed)
        self.stdio.resume("out")
        self.reactor.advance(0)
        self.successResultOf(self.stdio.closed)
        self.assertEqual(self.heard, [("out", b"last")])

    def test_fair(self) -> None:
        """A flood has one read of bounded size in each turn, as everybody else has; its pipe grows so that it is worth it."""
        out, err = self.spawn()
        os.write(err, b"b")
        for _ in range(3):
            self.fill(out)
            self.turn()
        self.assertEqual([stream for stream, _data in self.heard], ["out", "err", "out", "out"])
        self.assertEqual({len(data) for stream, data in self.heard[2:] if stream == "out"}, {READ})

    def test_again(self) -> None:
        """The next run has files of its own, and is read by the same."""
        for word in (b"first", b"second"):
            out, err = self.spawn()
            os.write(out, word)
            self.close(out, err)
            self.stdio.finish(1)
            self.turn()
            self.successResultOf(self.stdio.closed)
        self.assertEqual(self.heard, [("out", b"first"), ("out", b"second")])

    def test_abandoned(self) -> None:
        """A program that could not be started leaves no file open."""
        before = set(Path("/proc/self/fd").iterdir())
        self.stdio.open()
        self.stdio.abandon()
        self.successResultOf(self.stdio.closed)
        self.assertEqual(set(Path("/proc/self/fd").iterdir()), before)

    def test_noFiles(self) -> None:
        """When there are no files left to open, the error says so; those that were opened are closed."""
        before = set(Path("/proc/self/fd").iterdir())
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(path.name) for path in before) + 8, hard))
        held: list[int] = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        self.close(*held[-4:])  # enough for stdin, stdout
        error = self.assertRaises(CannotStart, self.stdio.open)
        self.close(*held[:-4])
        self.assertIn("Too many open files", str(error))
        self.assertEqual(error.at, "limit")
        self.assertEqual(set(Path("/proc/self/fd").iterdir()), before)

    def test_failingTaker(self) -> None:
        """A taker that fails is reported, the others get theirs."""
        self.stdio.onData(lambda stream, data: 1 // 0)
        late: list[bytes] = []
        self.stdio.onData(lambda stream, data: late.append(data))
        out, _err = self.spawn()
        os.write(out, b"x")
        self.turn()
        self.assertEqual(late, [b"x"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
