"""The frames of streams, what each end makes of those that nobody should send."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as some
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.streams.chunks import MAX_CHUNK, PIECE, Kind, pack, pieces, unpack
from nodeset.core.streams.pushend import WINDOW, PushEnd, StreamPeer
from nodeset.core.streams.takeend import StreamSource, TakeEnd
from nodeset.errors import LinkLost, ProtocolError

HEAD = struct.Struct("<BQII")


class FrameTests(SynchronousTestCase):
    """Packing, unpacking."""

    @given(some.lists(some.tuples(some.sampled_from(sorted(Kind)), some.integers(0, 2**63), some.binary(max_size=300))))
    def test_roundTrip(self, frames: list[tuple[Kind, int, bytes]]) -> None:
        """Frames put together are taken apart again."""
        batch = b"".join(pack(*frame) for frame in frames)
        self.assertEqual([(kind, number, body) for kind, number, _whole, body in unpack(batch)], frames)

    @given(some.binary(max_size=200))
    def test_noise(self, noise: bytes) -> None:
        """Noise is refused with one error, or is frames."""
        try:
            list(unpack(noise))
        except ProtocolError as error:
            self.assertNotIn("\n", str(error))

    def test_pieces(self) -> None:
        """A large chunk travels in pieces that say how large the whole is."""
        chunk = bytes(range(256)) * 5000
        frames = [frame for piece in pieces(Kind.PUSH, 9, chunk) for frame in unpack(piece)]
        self.assertEqual(b"".join(frame[3] for frame in frames), chunk)
        self.assertTrue(all(frame[:3] == (Kind.PUSH, 9, len(chunk)) and len(frame[3]) <= PIECE for frame in frames))

    def test_refused(self) -> None:
        """What is too large, cut off, of no kind, or a piece of what has none, is refused before anything is kept."""
        for bad in (
            b"\x01",
            HEAD.pack(1, 1, 5, 5) + b"1234",
            HEAD.pack(0, 1, 0, 0),
            HEAD.pack(99, 1, 0, 0),
            HEAD.pack(1, 1, MAX_CHUNK + 1, 1) + b"x",
            HEAD.pack(1, 1, 4, 5) + b"12345",
            HEAD.pack(3, 1, 6, 5) + b"12345",
            HEAD.pack(1, 1, 6, 0),
        ):
            with self.subTest(bad=bad):
                self.assertRaises(ProtocolError, list, unpack(bad))


class Line:
    """A link that keeps what is sent."""

    peer = "somebody"

    def __init__(self) -> None:
        self.sent: list[tuple[Kind, int, bytes]] = []
        self.closed = 0

    def send(self, batch: bytes) -> None:
        self.sent += [(kind, number, body) for kind, number, _whole, body in unpack(batch)]

    def close(self) -> None:
        self.closed += 1

    abort = close


class TakerTests(SynchronousTestCase):
    """What the taker's end makes of a pusher."""

    def setUp(self) -> None:
        self.clock, self.line = Clock(), Line()
        self.taken: list[bytes] = []
        self.ended: list[Any] = []
        self.result: Any = None
        self.end = TakeEnd("video", StreamSource("a", "b", "c"), self.clock, self.take, self.ended.append)
        self.end.begin(self.line, True)

    def take(self, chunk: bytes) -> Any:
        self.taken.append(chunk)
        return self.result

    def test_nonsense(self) -> None:
        """Chunks out of order, a frame inside a chunk, what only a taker says: the pusher is cut off for it."""
        piece = HEAD.pack(1, 1, 10, 5) + b"12345"
        for bad in (
            pack(Kind.WRITE, 2, b"x"),
            pack(Kind.WRITE, 0, b"x"),
            piece + pack(Kind.BEAT),
            piece + pack(Kind.WRITE, 2, b"x"),
            piece + HEAD.pack(1, 1, 10, 6) + b"123456",
            pack(Kind.TOOK, 1),
            pack(Kind.RESULT, 1),
            pack(Kind.FAILED, 1),
        ):
            with self.subTest(bad=bad):
                self.setUp()
                self.assertRaises(ProtocolError, self.end.batchReceived, bad)

    def test_credit(self) -> None:
        """Who sends on without credit is cut off: a taker that is slow keeps a window and a chunk at most."""
        self.result = Deferred()
        self.end.batchReceived(pack(Kind.WRITE, 1, b"first"))
        with self.assertRaises(ProtocolError):
            for number in range(2, 100_000):
                self.end.batchReceived(pack(Kind.WRITE, number, bytes(30_000)))
        self.assertLess(self.end._held, WINDOW + 40_000)

    def test_emptyChunks(self) -> None:
        """Empty chunks count as well, so that nobody fills the memory with them."""
        self.result = Deferred()
        with self.assertRaises(ProtocolError):
            for number in range(1, 100_000):
                self.end.batchReceived(pack(Kind.WRITE, number, b""))

    def test_unheard(self) -> None:
        """A pusher that takes no results gets no more than 4 MiB of them; then its chunks wait."""
        self.result = "r" * 1_000_000
        for number in range(1, 11):
            self.end.batchReceived(pack(Kind.PUSH, number, b"x"))
        self.clock.advance(1.0)
        self.assertEqual(len(self.taken), 5)
        self.end.batchReceived(pack(Kind.HEARD, 5))
        self.assertEqual(len(self.taken), 10)

    def test_told(self) -> None:
        """What was taken is told once it is much, or nothing more comes, not for each chunk."""
        for number in range(1, 101):
            self.end.batchReceived(pack(Kind.WRITE, number, bytes(100)))
        self.assertEqual(self.line.sent, [])
        self.clock.advance(0.1)
        self.assertEqual(self.line.sent, [(Kind.TOOK, 100, b"")])

    def test_turns(self) -> None:
        """Many small chunks do not keep the reactor from everything else."""

        def slow(chunk: bytes) -> None:
            self.taken.append(chunk)
            self.clock.rightNow += 0.004

        self.end._take = slow
        self.end.batchReceived(b"".join(pack(Kind.WRITE, number, b"x") for number in range(1, 31)))
        self.assertLess(len(self.taken), 5)
        for _ in range(30):
            self.clock.advance(0)
        self.assertEqual(len(self.taken), 30)

    def test_lostInTheMiddle(self) -> None:
        """Half a chunk is never handed on."""
        self.end.batchReceived(pack(Kind.WRITE, 1, b"whole") + HEAD.pack(1, 2, 10, 5) + b"12345")
        self.end.linkLost(LinkLost("gone"))
        self.assertEqual(self.taken, [b"whole"])
        self.assertEqual([str(error) for error in self.ended], ["gone"])

    def test_stopsWhileWorking(self) -> None:
        """A node that stops does not wait for its onStream; what that comes to afterwards harms nobody."""
        self.result = working = Deferred[None]()
        self.end.batchReceived(pack(Kind.PUSH, 1, b"x"))
        self.end.cut(LinkLost("we stop"), "it stops")
        self.assertEqual((self.line.sent, self.line.closed), ([(Kind.END, 0, b"it stops")], 1))
        self.assertEqual(len(self.ended), 1)
        working.callback(None)
        self.assertEqual((len(self.line.sent), self.clock.getDelayedCalls()), (1, []))


class PusherTests(SynchronousTestCase):
    """What the pusher's end makes of a taker."""

    def setUp(self) -> None:
        self.clock, self.line = Clock(), Line()
        self.lost: list[str] = []
        self.end = PushEnd(StreamPeer("t", "h", "tub", "s"), self.clock, lost=lambda flow, error: self.lost.append(str(error)))
        self.end.begin(self.line, self.end.peer)
        del self.line.sent[:]

    def test_nonsense(self) -> None:
        """Credit for what was never sent, results of it, what only a pusher says: the taker is cut off for it."""
        for bad in (
            pack(Kind.TOOK, 1),
            pack(Kind.RESULT, 1, b"1"),
            pack(Kind.FAILED, 2, b"x"),
            pack(Kind.WRITE, 1, b""),
            pack(Kind.PUSH, 1, b""),
            pack(Kind.HEARD, 0),
            b"\x00" * 17,
        ):
            with self.subTest(bad=bad):
                self.setUp()
                self.assertRaises(ProtocolError, self.end.batchReceived, bad)

    def test_badResult(self) -> None:
        """A result that is no JSON is an error of that push."""
        pushed = self.end.push(b"x")
        self.end.batchReceived(pack(Kind.RESULT, 1, b"\xff["))
        self.assertIn("no JSON", str(self.failureResultOf(pushed).value))

    def test_twice(self) -> None:
        """A second answer to the same chunk is passed over."""
        pushed = self.end.push(b"x")
        self.end.batchReceived(pack(Kind.RESULT, 1, b"1") + pack(Kind.RESULT, 1, b"2") + pack(Kind.TOOK, 1))
        self.assertEqual(self.successResultOf(pushed), 1)

    def test_gathered(self) -> None:
        """Small chunks of one turn leave as one batch, behind the first, which leaves at once; large ones by themselves."""
        batches: list[int] = []
        send = self.line.send

        def count(batch: bytes) -> None:
            batches.append(len(batch))
            send(batch)

        self.patch(self.line, "send", count)
        for _ in range(50):
            self.end.write(b"small")
        self.end.write(bytes(100_000))
        self.clock.advance(0)
        self.assertEqual(len(batches), 3)
        self.assertEqual([number for _kind, number, _body in self.line.sent], list(range(1, 52)))

    def test_end(self) -> None:
        """An END that was not asked for, or that says why, is the loss of the peer."""
        self.end.batchReceived(pack(Kind.END, 0))
        self.assertEqual((len(self.lost), self.line.closed), (1, 1))
