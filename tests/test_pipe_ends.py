"""The ends of a child's pipes, without a child."""

from __future__ import annotations

import os
import select
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from nodeset.processes.popen.arguments import TextMode
from nodeset.processes.popen.awaited import Awaited
from nodeset.processes.popen.pieces import Pieces
from nodeset.processes.popen.readend import AHEAD, ReadEnd
from nodeset.processes.popen.writeend import ROOM, WriteEnd


class Turns:
    """A reactor for descriptors alone, turned by hand."""

    def __init__(self) -> None:
        self.readers: list[Any] = []
        self.writers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        if reader not in self.readers:
            self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers = [each for each in self.readers if each is not reader]

    def addWriter(self, writer: Any) -> None:
        if writer not in self.writers:
            self.writers.append(writer)

    def removeWriter(self, writer: Any) -> None:
        self.writers = [each for each in self.writers if each is not writer]

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            readable, writable, _ = select.select(self.readers, self.writers, [], 0)
            for reader in readable:
                reader.doRead()
            for writer in writable:
                writer.doWrite()


class PiecesTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """A line is found over any number of pieces, the next one behind it, what has no newline is no line."""
        pieces = Pieces(b"", b"\n")
        for piece in (b"ab", b"", b"c\nd", b"e\n\n", b"f"):
            pieces.add(piece)
        lines = []
        while size := pieces.findLine():
            lines.append(pieces.take(size))
        self.assertEqual(lines, [b"abc\n", b"de\n", b"\n"])
        self.assertEqual((len(pieces), pieces.take(9), len(pieces)), (1, b"f", 0))
        self.assertEqual(pieces.take(9), b"")

    def test_taking(self) -> None:
        """What is taken by length comes in order; text is counted in characters."""
        pieces = Pieces("", "\n")
        pieces.add("äöü\n")
        pieces.add("xyz")
        self.assertEqual([pieces.take(n) for n in (1, 4, 9)], ["ä", "öü\nx", "yz"])

    def test_longLine(self) -> None:
        """No piece is searched twice for a newline, however long the line gets."""
        pieces = Pieces("", "\n")
        searched = []

        class Counted(str):
            def find(self, *args: Any) -> int:
                searched.append(len(self))
                return super().find(*args)

        for _ in range(1000):
            pieces.add(Counted("x" * 10))
            self.assertEqual(pieces.findLine(), 0)
        self.assertEqual(sum(searched), 10_000)


class EndsCase(SynchronousTestCase):
    """A pipe, with one end as users have it."""

    def setUp(self) -> None:
        self.reactor: Any = Turns()
        self.reading, self.writing = os.pipe()
        self.opened = {self.reading, self.writing}
        self.addCleanup(self.shutAll)

    def readEnd(self, **text: Any) -> ReadEnd:
        self.opened.remove(self.reading)
        mode = TextMode.of(None, None, text.get("encoding"), text.get("errors"))
        end = ReadEnd(self.reactor, self.reading, mode.decoder() if mode else None)
        self.addCleanup(end.close)
        return end

    def writeEnd(self, **text: Any) -> WriteEnd:
        self.opened.remove(self.writing)
        mode = TextMode.of(None, None, text.get("encoding"), text.get("errors"))
        end = WriteEnd(self.reactor, self.writing, mode.encoder() if mode else None)
        self.addCleanup(self.closeBoth, end)
        return end

    def closeBoth(self, end: WriteEnd) -> None:
        self.shut(self.reading)
        self.reactor.turn()
        end.close().addErrback(lambda why: why.trap(BrokenPipeError) and None)

    def shutAll(self) -> None:
        for fd in list(self.opened):
            self.shut(fd)

    def shut(self, fd: int) -> None:
        if fd in self.opened:
            self.opened.remove(fd)
            os.close(fd)


class ReadEndTests(EndsCase):
    def test_reads(self) -> None:
        """Lines, counts, whatever is there, then all to the end, then nothing: as from a file."""
        end = self.readEnd()
        line = end.readline()
        self.reactor.turn()
        self.assertNoResult(line)
        os.write(self.writing, b"one\ntwo\nthree four five")
        self.reactor.turn()
        self.assertEqual(self.successResultOf(line), b"one\n")
        self.assertEqual(self.successResultOf(end.read(2)), b"tw")
        self.assertEqual(self.successResultOf(end.readline()), b"o\n")
        self.assertEqual(self.successResultOf(end.read1(6)), b"three ")
        self.assertEqual(self.successResultOf(end.read(0)), b"")
        self.assertEqual(self.successResultOf(end.read1()), b"four five")
        rest = end.read()
        os.write(self.writing, b"six")
        self.reactor.turn()
        self.assertNoResult(rest)
        self.assertEqual(end.partial(), b"six")
        self.shut(self.writing)
        self.reactor.turn(2)
        self.assertEqual(self.successResultOf(rest), b"six")
        self.assertEqual([self.successResultOf(each()) for each in (end.read, end.readline, end.read1)], [b""] * 3)
        self.assertEqual((end.fileno(), end.closed), (-1, False))

    def test_shortEnd(self) -> None:
        """The last line may lack its newline, a count may fall short at the end."""
        os.write(self.writing, b"ab")
        self.shut(self.writing)
        end = self.readEnd()
        line = end.readline()
        self.reactor.turn(2)
        self.assertEqual(self.successResultOf(line), b"ab")
        self.assertEqual(self.successResultOf(end.read(5)), b"")

    def test_oneAtATime(self) -> None:
        """A second read before the first fired is the caller's mistake; a cancelled one loses nothing."""
        end = self.readEnd()
        first = end.read()
        self.assertRaises(RuntimeError, end.readline)
        os.write(self.writing, b"kept\n")
        self.reactor.turn()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.reactor.readers, [])
        self.assertEqual(self.successResultOf(end.readline()), b"kept\n")

    def test_unasked(self) -> None:
        """Nothing is read that nobody asks for: who writes on is slowed down by the pipe."""
        end = self.readEnd()
        os.write(self.writing, b"x" * 1000)
        self.assertEqual(self.reactor.readers, [])
        line = end.read(10)
        self.reactor.turn()
        self.assertEqual(self.successResultOf(line), b"x" * 10)
        self.assertEqual(self.reactor.readers, [])

    def test_closing(self) -> None:
        """Closing fails the read under way as on a closed file, as all later ones; twice is once."""
        end = self.readEnd()
        line = end.readline()
        end.close()
        end.close()
        self.failureResultOf(line, ValueError)
        self.failureResultOf(end.read(), ValueError)
        self.assertEqual((end.closed, end.fileno(), self.reactor.readers), (True, -1, []))
        self.assertRaises(BrokenPipeError, os.write, self.writing, b"x")

    def test_text(self) -> None:
        """A character in two pieces stays whole, every kind of newline reads as one, even with \\r and \\n in two pieces."""
        end = self.readEnd(encoding="utf-8")
        lines = []
        line = end.readline()
        for byte in "ä€𝄞\r\nß\rx\n".encode():
            os.write(self.writing, bytes([byte]))
            self.reactor.turn()
            if line.called:
                lines.append(self.successResultOf(line))
                line = end.readline()
        self.shut(self.writing)
        self.reactor.turn()
        self.assertEqual(lines, ["ä€𝄞\n", "ß\n", "x\n"])
        self.assertEqual(self.successResultOf(line), "")

    def test_notText(self) -> None:
        """What is no text fails the read, those after it too; lines before it were read."""
        end = self.readEnd(encoding="utf-8")
        os.write(self.writing, b"fine\n")
        line = end.readline()
        self.reactor.turn()
        self.assertEqual(self.successResultOf(line), "fine\n")
        os.write(self.writing, b"\xff\n")
        line = end.readline()
        self.reactor.turn()
        self.failureResultOf(line, UnicodeDecodeError)
        self.failureResultOf(end.read(), UnicodeDecodeError)

    def test_halfCharacterAtTheEnd(self) -> None:
        """Half a character at the end is no text, unless errors= says what to make of it."""
        for errors, expected in (("strict", None), ("replace", "\ufffd")):
            self.reading, self.writing = os.pipe()
            self.opened |= {self.reading, self.writing}
            end = self.readEnd(encoding="utf-8", errors=errors)
            everything = end.read()
            os.write(self.writing, "€".encode()[:2])
            self.shut(self.writing)
            self.reactor.turn(2)
            if expected is None:
                self.failureResultOf(everything, UnicodeDecodeError)
            else:
                self.assertEqual(self.successResultOf(everything), expected)

    def test_listening(self) -> None:
        """Who listens in has all bytes without anybody reading, so much as is read ahead; then reading goes on where it is."""
        heard: list[bytes] = []
        ended: list[bool] = []
        end = self.readEnd()
        end.listen(heard.append, lambda: ended.append(True), True)
        for _ in range(4):
            os.write(self.writing, b"y" * (AHEAD // 2))
            self.reactor.turn()
        self.assertEqual(sum(map(len, heard)), AHEAD)
        end.pause()
        everything = end.read()
        self.reactor.turn()
        self.assertEqual(sum(map(len, heard)), AHEAD)
        end.resume()
        self.shut(self.writing)
        self.reactor.turn(3)
        self.assertEqual(len(self.successResultOf(everything)), 2 * AHEAD)
        self.assertEqual((sum(map(len, heard)), ended), (2 * AHEAD, [True]))

    def test_unread(self) -> None:
        """What is for the listener alone is not kept."""
        heard: list[bytes] = []
        end = self.readEnd()
        end.listen(heard.append, lambda: None, False)
        for _ in range(5):
            os.write(self.writing, b"z" * AHEAD)
            self.reactor.turn()
        self.assertEqual(sum(map(len, heard)), 5 * AHEAD)

    def test_reactorSaysSo(self) -> None:
        """The end may be told by the reactor, which is the end of the file; a reactor that stops is an error."""
        end = self.readEnd()
        everything = end.read()
        end.connectionLost(Failure(ConnectionDone()))
        end.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.successResultOf(everything), b"")
        self.reading, second = os.pipe()
        self.opened |= {self.reading, second}
        other = self.readEnd()
        everything = other.read()
        other.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(everything, ConnectionLost)


class WriteEndTests(EndsCase):
    def test_writes(self) -> None:
        """What the pipe takes is written at once, the rest as it is read, in order; then drain fires, then close."""
        end = self.writeEnd()
        self.assertEqual(end.write(b"a"), 1)
        self.assertEqual(os.read(self.reading, 9), b"a")
        big = b"b" * 200_000
        end.write(big)
        end.writelines([b"c", bytearray(b"d")])
        drained, closed = end.drain(), end.close()
        self.assertRaises(ValueError, end.write, b"x")
        found = b""
        self.assertNoResult(closed)
        while len(found) < len(big) + 2:
            found += os.read(self.reading, 65_536)
            self.reactor.turn()
        self.assertEqual(found, big + b"cd")
        self.assertEqual((self.successResultOf(drained), self.successResultOf(closed)), (None, None))
        self.assertEqual(os.read(self.reading, 9), b"")
        self.assertEqual((end.fileno(), end.closed, self.reactor.writers), (-1, True, []))

    def test_changedLater(self) -> None:
        """What waits is what was written, whatever becomes of the buffer it was in."""
        end = self.writeEnd()
        end.write(b"x" * 65_536)
        buffer = bytearray(b"good")
        end.write(buffer)
        buffer[:] = b"evil"
        os.read(self.reading, 65_536)
        self.reactor.turn()
        self.assertEqual(os.read(self.reading, 9), b"good")

    def test_brokenAtOnce(self) -> None:
        """Nobody reads any more: write says so, close does not say it again."""
        end = self.writeEnd()
        self.shut(self.reading)
        self.assertRaises(BrokenPipeError, end.write, b"x")
        self.assertRaises(BrokenPipeError, end.write, b"x")
        self.assertIsNone(self.successResultOf(end.close()))

    def test_brokenLater(self) -> None:
        """What waited is lost: whoever waits for it is told, or the close if nobody was."""
        end = self.writeEnd()
        end.write(b"x" * 200_000)
        drained = end.drain()
        cancelled = end.drain()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.shut(self.reading)
        self.reactor.turn()
        self.failureResultOf(drained, BrokenPipeError)
        self.assertEqual(self.successResultOf(end.close()), None)

        self.reading, self.writing = os.pipe()
        self.opened |= {self.reading, self.writing}
        other = self.writeEnd()
        other.write(b"x" * 200_000)
        closed = other.close()
        other.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(closed, BrokenPipeError)

    def test_bound(self) -> None:
        """More than 16 MiB do not wait, but in one piece, which is not copied."""
        end = self.writeEnd()
        end.write(bytes(ROOM + 100_000))
        self.assertRaises(BufferError, end.write, b"x")

    def test_text(self) -> None:
        """Text is encoded, a mark of the byte order written once; bytes are refused, as text is without text mode."""
        end = self.writeEnd(encoding="utf-16")
        self.assertEqual((end.write("ä"), end.write("ö")), (1, 1))
        self.assertEqual(os.read(self.reading, 99), "äö".encode("utf-16"))
        self.assertRaises(TypeError, end.write, b"x")
        self.reading, self.writing = os.pipe()
        self.opened |= {self.reading, self.writing}
        self.assertRaises(TypeError, self.writeEnd().write, "x")


class AwaitedTests(SynchronousTestCase):
    def test_many(self) -> None:
        """All who wait have the outcome, those who came too late for it as well; who gave up has not."""
        clock = Clock()
        awaited: Awaited[int] = Awaited(clock)
        first, second, third = (awaited.wait(seconds, TimeoutError) for seconds in (None, 5.0, 1.0))
        fourth: Deferred[int] = awaited.wait(None, TimeoutError)
        fourth.cancel()
        self.failureResultOf(fourth, CancelledError)
        clock.advance(1)
        self.failureResultOf(third, TimeoutError)
        awaited.fire(7)
        awaited.fire(8)
        self.assertEqual([self.successResultOf(each) for each in (first, second, awaited.wait(0, TimeoutError))], [7, 7, 7])
        self.assertEqual(clock.getDelayedCalls(), [])
