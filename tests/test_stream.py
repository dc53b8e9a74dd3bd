"""Streams from node to node, over links in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from nodeset.core.streams.chunks import MAX_CHUNK
from nodeset.core.streams.formatter import Formatter, JsonFormatter, TextFormatter
from nodeset.core.streams.pushend import QUEUED, WINDOW, StreamPeer
from nodeset.core.streams.pushing import Stream
from nodeset.errors import (
    BadMessage,
    LinkLost,
    MessageTooLarge,
    NodeSetError,
    NotRunning,
    Overloaded,
    RemoteError,
    TimedOut,
)
from tests.streams import HallCase


class Returning:
    """An onStream that always returns the same."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def __call__(self, data: Any) -> Any:
        return self.result


class Told(Stream):
    """Notes who is lost."""

    def onLost(self, peer: StreamPeer, error: NodeSetError) -> None:
        self.__dict__.setdefault("told", []).append((peer.name, str(error)))


class PushTests(HallCase):
    """What `push` fires with."""

    def test_one(self) -> None:
        """With one peer a push fires with what its onStream returned, once that has ended."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        working: Deferred[int] = Deferred()
        hall["b"].answer = lambda data: working
        pushed = stream.push(b"chunk")
        hall.advance(1.0)
        self.assertNoResult(pushed)
        self.assertEqual(hall["b"].taken, [b"chunk"])
        working.callback(7)
        self.assertEqual(hall.wait(pushed), 7)

    def test_several(self) -> None:
        """With several peers it fires with a list in the order of the peers; an error stands in its place."""
        hall = self.hall("a", "b", "c", "d")
        stream = hall.open("a", "b", "c", "d")
        self.assertEqual([peer.name for peer in stream.peers], ["b", "c", "d"])
        hall["b"].answer = lambda data: {"size": len(data)}

        def refuse(data: Any) -> None:
            raise ValueError("no good")

        hall["c"].answer = refuse
        results = hall.wait(stream.push(b"four"))
        self.assertEqual((results[0], results[2]), ({"size": 4}, None))
        self.assertIsInstance(results[1], RemoteError)
        self.assertEqual(results[1].type, "ValueError")
        self.assertIn("no good", str(results[1]))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_none(self) -> None:
        """With no peers it fires with an empty list; so does a write, and closing is fine."""
        hall = self.hall("a")
        stream = hall.open("a")
        self.assertEqual(hall.wait(stream.push(b"x")), [])
        self.assertIsNone(hall.wait(stream.write(b"x")))
        hall.wait(stream.close())

    def test_order(self) -> None:
        """Chunks arrive in order, each once, one at a time, small and large and empty ones mixed."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        chunks = [bytes([number % 256]) * (number * 7919 % 90_000) for number in range(60)]
        chunks += [b"", b"z" * 3_000_000, b"", b"end"]
        for chunk in chunks:
            hall.wait(stream.write(chunk))
        hall.wait(stream.close())
        self.assertEqual(hall["b"].taken, chunks)
        self.assertEqual(hall["b"].ends, [None])

    def test_pushesTogether(self) -> None:
        """Pushes that do not wait for each other each get their own result."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b", formatter=JsonFormatter)
        hall["b"].answer = lambda data: data * 2
        pushed = [stream.push(number) for number in range(500)]
        self.assertEqual([hall.wait(each) for each in pushed], [number * 2 for number in range(500)])

    def test_async(self) -> None:
        """An onStream that is a coroutine, or fires at once, is waited for, and the next chunk with it."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        waiting: list[Deferred[None]] = []

        async def work(data: bytes) -> int:
            if data == b"wait":
                waiting.append(Deferred())
                await waiting[-1]
            return len(data)

        hall["b"].answer = work
        first, second = stream.push(b"wait"), stream.push(b"at once")
        hall.advance(1.0)
        self.assertEqual(hall["b"].taken, [b"wait"])
        waiting[0].callback(None)
        self.assertEqual((hall.wait(first), hall.wait(second)), (4, 7))

    def test_timeout(self) -> None:
        """A push whose chunk is not taken in time fails with TimedOut; the peer stays, its late result harms nobody."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        working: Deferred[None] = Deferred()
        hall["b"].answer = lambda data: working
        pushed = stream.push(b"slow", timeout=5.0)
        hall.advance(4.9)
        self.assertNoResult(pushed)
        hall.advance(0.2)
        self.failureResultOf(pushed, TimedOut)
        working.callback(None)
        self.assertIsNone(hall.wait(stream.push(b"next")))

    def test_cancelled(self) -> None:
        """A push that is cancelled ends at once; those behind it go on."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        pushed, other = stream.push(b"1"), stream.push(b"2")
        pushed.addErrback(lambda failure: None)
        pushed.cancel()
        self.assertIsNone(hall.wait(other))

    def test_resultThatIsNone(self) -> None:
        """A result that JSON does not have, or that is too large, is the taker's error, told to the pusher."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        for result, words in ((b"bytes", "bytes"), (object(), "object"), ({1: 2}, "key"), ("x" * 2_000_000, "at most")):
            hall["b"].answer = Returning(result)
            error = self.failureResultOf(self.done(hall, stream.push(b"x")), RemoteError).value
            self.assertIn(words, str(error))
            self.assertEqual(len(self.flushLoggedErrors()), 1)
            hall.advance(1.1)

    def done(self, hall: Any, deferred: Deferred[Any]) -> Deferred[Any]:
        hall.advance(1.0)
        return deferred


class FormatTests(HallCase):
    """What chunks are."""

    def test_formatters(self) -> None:
        """Raw, text and JSON chunks arrive as they were; what cannot be one is the pusher's error, at once."""
        hall = self.hall("a", "b")
        kinds: list[tuple[type[Formatter], list[Any], list[Any]]] = [
            (Formatter, [b"x", b""], ["x", 3, None]),
            (TextFormatter, ["grün", ""], [b"x", 3, "\ud800"]),
            (JsonFormatter, [{"a": [1, None, 0.5]}, "x"], [b"x", {1: 2}, float("nan"), object()]),
        ]
        for formatter, good, bad in kinds:
            hall["b"].taken.clear()
            stream = hall.open("a", "b", formatter=formatter)
            for value in good:
                hall.wait(stream.push(value))
            self.assertEqual(hall["b"].taken, good)
            for value in bad:
                self.assertNotIn("\n", str(self.assertRaises(BadMessage, stream.push, value)))
            hall.wait(stream.close())

    def test_unknown(self) -> None:
        """A formatter that the peer does not know is a clear error to who opens the stream."""

        class Points(Formatter):
            name = "points"

        hall = self.hall("a", "b")
        error = self.assertRaises(RemoteError, hall.open, "a", "b", formatter=Points)
        self.assertEqual(str(error), "b knows no formatter 'points'")

    def test_unknownAtSome(self) -> None:
        """If others know it the stream is open to them, and `lost` says who is missing, and why."""
        hall = self.hall("a", "b", "c")
        hall["b"].unknown = "json"
        stream = hall.open("a", "b", "c", formatter=JsonFormatter, kind=Told)
        self.assertEqual([peer.name for peer in stream.peers], ["c"])
        self.assertEqual(stream.__dict__["told"], [("b", "b knows no formatter 'json'")])

    def test_decodeFails(self) -> None:
        """A chunk that the peer's formatter cannot read is an error of its push alone."""

        class Broken(Formatter):
            name = "text"

        hall = self.hall("a", "b")
        stream = hall.open("a", "b", formatter=Broken)
        pushed = stream.push(b"\xff\xfe")
        hall.advance(1.0)
        self.assertEqual(self.failureResultOf(pushed, RemoteError).value.type, "UnicodeDecodeError")
        self.assertEqual(len(self.flushLoggedErrors(UnicodeDecodeError)), 1)
        self.assertIsNone(hall.wait(stream.push(b"good")))

    def test_encodesOther(self) -> None:
        """A formatter that makes anything but bytes is named."""

        class Wrong(Formatter):
            def encode(self, data: Any) -> Any:
                return data

        hall = self.hall("a", "b")
        stream = hall.open("a", "b", formatter=Wrong)
        self.assertIn("Wrong.encode made str", str(self.assertRaises(BadMessage, stream.push, "text")))

    def test_tooLarge(self) -> None:
        """A chunk may have 16 MiB, not a byte more; nothing of one that is larger is sent."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        self.assertRaises(MessageTooLarge, stream.push, bytes(MAX_CHUNK + 1))
        hall.wait(stream.push(bytes(MAX_CHUNK)))
        self.assertEqual([len(chunk) for chunk in hall["b"].taken], [MAX_CHUNK])


class PressureTests(HallCase):
    """Who is slow."""

    def test_write(self) -> None:
        """A write fires at once while there is room, then when the peer has taken some; memory is bounded."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        stuck: Deferred[None] = Deferred()
        hall["b"].answer = lambda data: stuck
        chunk = bytes(64 * 1024)
        count = 0
        while True:
            written = stream.write(chunk)
            count += 1
            if not written.called:
                break
        self.assertLessEqual(count * len(chunk), WINDOW + len(chunk))
        hall.advance(10.0)
        self.assertNoResult(written)
        self.assertEqual(len(hall["b"].taken), 1)
        hall["b"].answer = lambda data: None
        stuck.callback(None)
        hall.wait(written)

    def test_overloaded(self) -> None:
        """Who heeds no back-pressure gets Overloaded once 16 MiB wait; nothing that was accepted is lost."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        stuck: Deferred[None] = Deferred()
        hall["b"].answer = lambda data: stuck
        chunk = bytes(1024 * 1024)
        accepted = 0
        while True:
            written = stream.write(chunk)
            if written.called and accepted > 2:
                self.failureResultOf(written, Overloaded)
                break
            accepted += 1
        self.assertLessEqual(accepted * len(chunk), WINDOW + QUEUED + 2 * len(chunk))
        hall["b"].answer = lambda data: None
        stuck.callback(None)
        hall.wait(stream.close())
        self.assertEqual(len(hall["b"].taken), accepted)

    def test_slowHoldsAll(self) -> None:
        """There is one pace: a slow peer holds the others."""
        hall = self.hall("a", "b", "c")
        stream = hall.open("a", "b", "c")
        stuck: Deferred[None] = Deferred()
        hall["b"].answer = lambda data: stuck
        written = stream.write(bytes(WINDOW))
        hall.advance(15.0)
        self.assertNoResult(written)
        self.assertEqual(len(stream.peers), 2)
        stuck.callback(None)
        hall.wait(written)

    def test_patience(self) -> None:
        """With `patience` a peer that makes no room for so long is dropped, told once; the others go on."""
        hall = self.hall("a", "b", "c")
        stream = hall.open("a", "b", "c", patience=3.0, kind=Told)
        hall["b"].answer = lambda data: Deferred()
        written = stream.write(bytes(WINDOW))
        hall.advance(2.9)
        self.assertNoResult(written)
        hall.advance(0.2)
        self.successResultOf(written)
        self.assertEqual([peer.name for peer in stream.peers], ["c"])
        self.assertEqual(stream.__dict__["told"], [("b", "it made no room for 3 s")])
        hall.wait(stream.write(bytes(WINDOW)))
        self.assertEqual(len(hall["c"].taken), 2)

    def test_results(self) -> None:
        """Results that the pusher does not hear hold the taker: it does not gather them without bound."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        hall["b"].answer = lambda data: "r" * 900_000
        pushed = [stream.push(b"x") for _ in range(40)]
        self.assertEqual({len(hall.wait(each)) for each in pushed}, {900_000})


class LossTests(HallCase):
    """Peers that go."""

    def test_dies(self) -> None:
        """A peer that dies is dropped, told once; a push that it had not taken says so, the others go on."""
        hall = self.hall("a", "b", "c")
        stream = hall.open("a", "b", "c", kind=Told)
        hall["b"].answer = lambda data: Deferred()
        pushed = stream.push(b"x")
        hall.advance(0.1)
        hall.wire.direct[0][0].abort()
        results = hall.wait(pushed)
        self.assertIsInstance(results[0], LinkLost)
        self.assertIsNone(results[1])
        self.assertEqual([name for name, error in stream.__dict__["told"]], ["b"])
        self.assertEqual([peer.name for peer, error in stream.lost], ["b"])
        self.assertIsNone(hall.wait(stream.push(b"y")))
        self.assertEqual(hall["c"].taken, [b"x", b"y"])

    def test_silent(self) -> None:
        """A peer whose connection is dead without a word is dropped after 20 s; a write that waited for it goes on."""
        hall = self.hall("a", "b", "c")
        stream = hall.open("a", "b", "c", kind=Told)
        hall.wire.direct[0][0].die()
        written = stream.write(bytes(WINDOW))
        hall.advance(19.0)
        self.assertNoResult(written)
        hall.advance(7.0)
        self.successResultOf(written)
        self.assertEqual(stream.__dict__["told"], [("b", "it fell silent")])
        self.assertEqual([str(error) for error in hall["b"].ends], ["it fell silent"])

    def test_idle(self) -> None:
        """A stream on which nothing is pushed stays open: both ends say that they are there."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        hall.advance(300.0, 1.0)
        self.assertIsNone(hall.wait(stream.push(b"still here")))

    def test_pusherDies(self) -> None:
        """A taker is told when its pusher dies, after the chunks that came before."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        for number in range(5):
            stream.write(b"%d" % number)
        hall.advance()
        hall.wire.direct[0][0].abort()
        hall.advance()
        self.assertEqual(hall["b"].taken, [b"0", b"1", b"2", b"3", b"4"])
        self.assertIsInstance(hall["b"].ends[0], LinkLost)
        self.assertEqual(len(hall["b"].ends), 1)

    def test_takerStops(self) -> None:
        """A taker that stops says so; its pusher drops it."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b", kind=Told)
        hall.wait(Deferred.fromCoroutine(hall["b"].streaming.stop(1.0)))
        hall.advance(0.1)
        self.assertEqual(stream.__dict__["told"], [("b", "the taker stopped")])
        self.assertEqual(hall.wait(stream.push(b"x")), [])

    def test_pusherStops(self) -> None:
        """A pusher that stops closes its streams: all is taken, the takers are told that it ended well."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        stream.write(b"last")
        hall.wait(Deferred.fromCoroutine(hall["a"].streaming.stop(5.0)))
        self.assertEqual((hall["b"].taken, hall["b"].ends), ([b"last"], [None]))

    def test_onLostFails(self) -> None:
        """An onLost that raises is logged, the stream goes on."""

        class Bad(Stream):
            def onLost(self, peer: StreamPeer, error: NodeSetError) -> None:
                raise KeyError("mine")

        hall = self.hall("a", "b", "c")
        stream = hall.open("a", "b", "c", kind=Bad)
        hall.wire.direct[0][0].abort()
        hall.advance()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertIsNone(hall.wait(stream.push(b"x")))


class CloseTests(HallCase):
    """The end."""

    def test_close(self) -> None:
        """Closing fires when all was taken; afterwards nothing can be sent, closing again is fine."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        working: Deferred[None] = Deferred()
        hall["b"].answer = lambda data: working
        stream.write(b"x")
        closed, again = stream.close(), stream.close()
        hall.advance(1.0)
        self.assertNoResult(closed)
        self.failureResultOf(stream.push(b"y"), NotRunning)
        self.failureResultOf(stream.write(b"y"), NotRunning)
        working.callback(None)
        hall.wait(closed)
        hall.wait(again)
        self.assertEqual(hall["b"].ends, [None])
        self.assertEqual((stream.peers, stream.lost), ([], []))

    def test_closeTimeout(self) -> None:
        """Closing gives up after its time: who had not taken everything is lost, and told so."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b", kind=Told)
        hall["b"].answer = lambda data: Deferred()
        stream.write(b"x")
        closed = stream.close(timeout=2.0)
        hall.advance(2.1)
        self.successResultOf(closed)
        self.assertEqual([name for name, error in stream.__dict__["told"]], ["b"])

    def test_asyncWith(self) -> None:
        """`async with` closes the stream; left by an exception it is cut, which its takers can tell."""
        hall = self.hall("a", "b")

        async def good() -> None:
            async with hall.open("a", "b") as stream:
                await stream.write(b"1")

        async def bad() -> None:
            async with hall.open("a", "b") as stream:
                await stream.write(b"2")
                raise ValueError("enough")

        hall.wait(Deferred.fromCoroutine(good()))
        self.assertEqual(hall["b"].ends, [None])
        failed = Deferred.fromCoroutine(bad())
        self.failureResultOf(failed, ValueError)
        hall.advance(0.1)
        self.assertIn("the pusher gave up: ValueError", str(hall["b"].ends[1]))
