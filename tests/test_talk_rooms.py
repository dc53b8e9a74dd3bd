"""The rooms of the commands for people, each by itself."""

from __future__ import annotations

import os
import signal
from io import StringIO

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from nodeset.cli.group import didYouMean
from nodeset.cli.outcome import Exit, GaveUp, explain, judge
from nodeset.cli.shown import hasColours, printable, readable, readableJson
from nodeset.cli.table import layOut
from nodeset.cli.talk.calling import readWords
from nodeset.cli.talk.input import Lines
from nodeset.cli.talk.output import Output
from nodeset.cli.talk.pipeline import Pipeline
from nodeset.errors import (
    BadFurl,
    GrantRefused,
    NotThere,
    OutcomeUnknown,
    Receipt,
    RemoteError,
    TimedOut,
    Undelivered,
    UnknownMethod,
    WrongIdentity,
)

#: What fills any pipe, then the bound of an Output.
MUCH = b"x" * (1024 * 1024 + 1)


class OutputTests(TestCase):
    """What is written to stdout."""

    def setUp(self) -> None:
        self.reader, writer = os.pipe()
        self.failed: Deferred[OSError] = Deferred()
        self.output = Output(reactor, self.failed.callback, writer)
        self.addCleanup(os.close, writer)

    async def test_slowReader(self) -> None:
        """Who reads slowly makes `put` say that it is full, never the reactor wait; nothing is lost, order is kept."""
        self.addCleanup(os.close, self.reader)
        self.assertIsNone(self.output.put(b"begin"))
        full = self.output.put(MUCH)
        assert full is not None
        self.assertFalse(full.called)
        flushed = self.output.flush()
        seen = await threadsRead(self.reader, len(MUCH) + 5)
        await full
        await flushed
        self.assertEqual(seen, b"begin" + MUCH)

    async def test_closed(self) -> None:
        """That nobody reads any more is told, then to who waits; what comes later is dropped."""
        full = self.output.put(MUCH)
        assert full is not None
        full.addCallback(lambda none: self.assertTrue(self.failed.called))
        os.close(self.reader)
        self.assertIsInstance(await self.failed, BrokenPipeError)
        await full
        self.assertIsNone(self.output.put(MUCH + MUCH))
        await self.output.flush()

    async def test_closedIdle(self) -> None:
        """It is seen at once, also when nothing was ever written."""
        os.close(self.reader)
        self.assertIsInstance(await self.failed, BrokenPipeError)


async def threadsRead(descriptor: int, count: int) -> bytes:
    """So many bytes, read in a thread."""
    from twisted.internet.threads import deferToThread

    def read() -> bytes:
        seen = b""
        while len(seen) < count:
            seen += os.read(descriptor, 65536)
        return seen

    return await deferToThread(read)


class LinesTests(TestCase):
    """The lines of stdin."""

    def setUp(self) -> None:
        self.reader, self.writer = os.pipe()

    async def readAll(self, data: bytes, most: int) -> list[bytes]:
        """All lines of this text."""
        os.write(self.writer, data)
        os.close(self.writer)
        lines = Lines(reactor, most, self.reader)
        seen: list[bytes] = []
        while found := await lines.next():
            seen += found
        self.assertEqual((lines.count, lines.size), (len(seen), len(data)))
        return seen

    async def test_lines(self) -> None:
        """Lines come without their ends, the last one with or without one; empty ones count."""
        self.assertEqual(await self.readAll(b"a\n\nb\r\nc", 10), [b"a", b"", b"b\r", b"c"])

    async def test_none(self) -> None:
        """Nothing has no lines."""
        self.assertEqual(await self.readAll(b"", 10), [])

    async def test_tooLong(self) -> None:
        """A line that is too long is named by its number, after those before it, without waiting for its end."""
        lines = Lines(reactor, 10, self.reader)
        os.write(self.writer, b"a\nb\n" + b"x" * 11)
        self.addCleanup(os.close, self.writer)
        self.assertEqual(await lines.next(), [b"a", b"b"])
        with self.assertRaises(GaveUp) as caught:
            await lines.next()
        self.assertIn("line 3 has more than 10 bytes", str(caught.exception))
        self.assertEqual(caught.exception.code, Exit.USAGE)

    async def test_neverBlocking(self) -> None:
        """A pipe that somebody else set not to block is waited for."""
        os.set_blocking(self.reader, False)
        lines = Lines(reactor, 10, self.reader)
        first = lines.next()
        await deferLater(reactor, 0.05)
        os.write(self.writer, b"a\n")
        self.assertEqual(await first, [b"a"])
        os.close(self.writer)
        self.assertEqual(await lines.next(), [])

    async def test_asItComes(self) -> None:
        """A line is handed on when it is there, not when more is."""
        lines = Lines(reactor, 10, self.reader)
        os.write(self.writer, b"a\n")
        self.assertEqual(await lines.next(), [b"a"])
        os.close(self.writer)
        self.assertEqual(await lines.next(), [])


class PipelineTests(SynchronousTestCase):
    """Events on their way."""

    def test_bound(self) -> None:
        """There is room for so many events, or bytes, at a time; when half of them are answered there is again."""
        for size in (1, 100_000):
            pipe = Pipeline()
            under_way: list[Deferred[Receipt]] = []
            while True:
                under_way.append(Deferred())
                full = pipe.add(under_way[-1], len(under_way), size)
                if full is not None:
                    break
            self.assertLessEqual(len(under_way) * size, 9_000_000)
            for each in under_way[: len(under_way) // 2 - 1]:
                each.callback(Receipt(1, 1, 0))
            self.assertNoResult(full)
            for each in under_way[len(under_way) // 2 - 1 :]:
                each.callback(Receipt(1, 1, 0))
            self.successResultOf(full)
            self.assertIsNone(pipe.drain())
            self.assertEqual((pipe.sent, pipe.matched, pipe.delivered), (len(under_way),) * 3)

    def test_failures(self) -> None:
        """The first event that failed is known, those that some had count with their receipts."""
        pipe = Pipeline()
        first, second, third = Deferred[Receipt](), Deferred[Receipt](), Deferred[Receipt]()
        for number, each in enumerate((first, second, third), 1):
            pipe.add(each, number, 1)
        drained = pipe.drain()
        assert drained is not None
        third.errback(Failure(OutcomeUnknown("late")))
        second.errback(Failure(Undelivered("gone", Receipt(3, 2, 0))))
        first.callback(Receipt(1, 1, 0))
        self.successResultOf(drained)
        self.assertEqual((pipe.failed, pipe.at, str(pipe.error)), (2, 2, "gone"))
        self.assertEqual((pipe.matched, pipe.delivered), (4, 3))


class ShownTests(SynchronousTestCase):
    """Text from elsewhere."""

    def test_wild(self) -> None:
        """Nothing that steers a terminal passes: no escape, no other control character, nothing that turns text round."""
        wild = "".join(map(chr, [*range(32), *range(127, 160), 0x200B, 0x202E, 0x2066, 0xFEFF, 0xD800, 0xE0001]))
        for text in (printable(wild), readable(wild.encode("utf-8", "surrogatepass") + b"\xff"), readableJson({wild: wild})):
            self.assertTrue(text.replace("\t", "").isprintable(), ascii(text))
        self.assertEqual(printable("Ren\u00e9e \u4f60"), "Ren\u00e9e \u4f60")

    def test_colours(self) -> None:
        """Colours are for terminals, unless NO_COLOR or a dumb one forbids them."""

        class Terminal(StringIO):
            def isatty(self) -> bool:
                return True

        self.assertTrue(hasColours(Terminal(), {}))
        for environ in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            self.assertFalse(hasColours(Terminal(), environ))
        self.assertFalse(hasColours(StringIO(), {}))
        self.assertFalse(hasColours(None, {}))

    def test_json(self) -> None:
        """Coloured JSON is the same text."""
        import re

        value = {"a": [1, -2.5e10, True, None, 'q"\\'], "b": {"c": "12"}}
        plain = readableJson(value, pretty=True)
        self.assertEqual(re.sub(r"\x1b\[[\d;]*m", "", readableJson(value, pretty=True, coloured=True)), plain)


class TableTests(SynchronousTestCase):
    """Rows in columns."""

    titles = ("node", "queued", "subscriptions")

    def test_narrow(self) -> None:
        """No line is wider than the terminal, however long, wide or wild the names in it; nothing is left out."""
        from rich.cells import cell_len

        rows = [["kitchen", "3", "orders.* " * 10], ["\u4f60" * 60, "12", "-"], ["a\x1b[2Jb" * 30, "0", "x" * 200]]
        for width in (20, 40, 80):
            lines = layOut(self.titles, rows, width, ["queued"])
            self.assertLessEqual(max(map(cell_len, lines)), width)
            self.assertTrue(all(line.isprintable() for line in lines))
            self.assertEqual(sum(line.count("orders.*") for line in lines), 10)

    def test_wide(self) -> None:
        """In a pipe a row is a line."""
        self.assertEqual(len(layOut(self.titles, [["a", "1", "orders.* " * 100]], None)), 2)
        self.assertEqual(layOut(self.titles, [], None), ["node  queued  subscriptions"])


class WordsTests(SynchronousTestCase):
    """What is typed."""

    def test_arguments(self) -> None:
        """Words are JSON or texts, by place or name."""
        self.assertEqual(readWords(("1", "a", "b=1", 'c="1"', "d=")), ([1, "a"], {"b": 1, "c": "1", "d": ""}))
        self.assertEqual(readWords(("[" * 100_000, "NaN", "1=2"))[0][1:], ["NaN", "1=2"])
        for wrong in (("a=1", "2"), ("a=1", "a=2")):
            self.assertRaises(GaveUp, readWords, wrong)

    def test_near(self) -> None:
        """What is near is offered, what is not is not."""
        self.assertEqual(didYouMean("nods", ["nodes", "pub"]), ": did you mean 'nodes'?")
        self.assertEqual(didYouMean("xyz", ["nodes", "pub"]), "")


class OutcomeTests(SynchronousTestCase):
    """Exit codes."""

    def test_codes(self) -> None:
        """Each error has its code, each code its line."""
        for error, code in (
            (RemoteError("x"), Exit.FAILED),
            (BadFurl("x"), Exit.USAGE),
            (NotThere("x"), Exit.NO_DISPATCHER),
            (WrongIdentity("x"), Exit.NO_DISPATCHER),
            (GrantRefused("x"), Exit.REFUSED),
            (UnknownMethod("x"), Exit.UNKNOWN),
            (TimedOut("x"), Exit.NO_ANSWER),
            (BrokenPipeError(), Exit.CLOSED_PIPE),
            (GaveUp("x", Exit.UNKNOWN), Exit.UNKNOWN),
        ):
            self.assertEqual(judge(error), code)
            self.assertEqual(explain(error).count("\n"), 0)
        self.assertEqual(Exit.INTERRUPTED, 128 + signal.SIGINT)
        self.assertEqual(Exit.CLOSED_PIPE, 128 + signal.SIGPIPE)
