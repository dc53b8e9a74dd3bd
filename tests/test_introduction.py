"""How two nodes come to a link: directly either way, else relayed by the dispatcher."""

from __future__ import annotations

import base64
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from nodeset.core.streams.chunks import Kind, pack
from nodeset.core.streams.meeting import UNUSED
from nodeset.core.streams.pushend import WINDOW
from nodeset.core.streams.reception import MAX_TAKEN, Introduced
from nodeset.core.streams.relay import RelayEnd, RelayLink
from nodeset.errors import Busy, LinkLost, NodeSetError, ProtocolError, Refused, RemoteError, WrongIdentity
from tests.streams import Hall, HallCase
from tests.test_stream import Told


def methods(hall: Hall, name: str) -> list[str]:
    """What a node has called, each once."""
    return sorted({method.removeprefix("nodeset.stream.") for method in hall[name].calls})


class WayTests(HallCase):
    """Which way it goes."""

    def test_direct(self) -> None:
        """A taker that listens is connected to; after the introduction nothing passes the dispatcher."""
        hall = self.hall("a", "b")
        stream = hall.open("a", "b")
        self.assertEqual([(peer.direct, peer.tub) for peer in stream.peers], [(True, "tub-b")])
        hall.wait(stream.push(bytes(500_000)))
        hall.wait(stream.close())
        self.assertEqual(methods(hall, "a"), ["open"])
        self.assertEqual([(source.name, source.tub) for source in hall["b"].sources], [("a", "tub-a")])

    def test_reverse(self) -> None:
        """A taker that listens nowhere, or cannot be reached, connects to the pusher."""
        for walled in (False, True):
            hall = self.hall("a", "b")
            if walled:
                hall.wire.walled.add("tub-b")
            else:
                hall["b"].meeting.listens = False
            stream = hall.open("a", "b")
            self.assertEqual([peer.direct for peer in stream.peers], [True])
            self.assertEqual(hall.wait(stream.push(b"x")), None)
            self.assertEqual(methods(hall, "a"), ["dial", "open"])

    def test_relayed(self) -> None:
        """If neither can reach the other all goes by calls, as the stream says; results, order, end are the same."""
        hall = self.hall("a", "b")
        hall.wire.walled |= {"tub-a", "tub-b"}
        hall["b"].answer = len
        stream = hall.open("a", "b")
        self.assertEqual([peer.direct for peer in stream.peers], [False])
        chunks = [bytes([number]) * (number * 1999) for number in range(100)]
        pushed = [stream.push(chunk) for chunk in chunks]
        self.assertEqual([hall.wait(each) for each in pushed], [len(chunk) for chunk in chunks])
        self.assertEqual(hall["b"].taken, chunks)
        hall.wait(stream.close())
        self.assertEqual(hall["b"].ends, [None])
        self.assertEqual(methods(hall, "a"), ["carry", "dial", "hear", "open"])

    def test_noMeeting(self) -> None:
        """Transports that cannot connect nodes at all are relayed for."""
        hall = self.hall("a", "b")
        hall["a"].meeting = hall["b"].meeting = None
        stream = hall.open("a", "b")
        self.assertIsNone(hall.wait(stream.push(b"x")))
        self.assertEqual([peer.direct for peer in stream.peers], [False])

    def test_relayPressure(self) -> None:
        """A relayed stream is back-pressured as a direct one is."""
        hall = self.hall("a", "b")
        hall.wire.walled |= {"tub-a", "tub-b"}
        stream = hall.open("a", "b")
        stuck: Deferred[None] = Deferred()
        hall["b"].answer = lambda data: stuck
        written = stream.write(bytes(WINDOW))
        hall.advance(15.0)
        self.assertNoResult(written)
        stuck.callback(None)
        hall.wait(written)

    def test_relayIdle(self) -> None:
        """A relayed stream on which nothing is pushed stays open."""
        hall = self.hall("a", "b")
        hall.wire.walled |= {"tub-a", "tub-b"}
        stream = hall.open("a", "b")
        hall.advance(100.0, 0.5)
        self.assertIsNone(hall.wait(stream.push(b"still here")))

    def test_relayLost(self) -> None:
        """A relayed stream ends when the dispatcher cannot carry any more; both ends are told."""
        hall = self.hall("a", "b")
        hall.wire.walled |= {"tub-a", "tub-b"}
        stream = hall.open("a", "b", kind=Told)
        hall.wait(stream.push(b"x"))
        hall.deaf.add("b")
        pushed = stream.push(b"y")
        hall.advance(0.1)
        self.failureResultOf(pushed, LinkLost)
        self.assertEqual(len(stream.__dict__["told"]), 1)
        hall.advance(30.0)
        self.assertIsInstance(hall["b"].ends[0], LinkLost)

    def test_relayTakerStops(self) -> None:
        """A taker that stops can still say so to a pusher that it is relayed to."""
        hall = self.hall("a", "b")
        hall.wire.walled |= {"tub-a", "tub-b"}
        stream = hall.open("a", "b", kind=Told)
        hall.wait(stream.push(b"x"))
        hall.wait(Deferred.fromCoroutine(hall["b"].streaming.stop(1.0)))
        hall.advance(0.1)
        self.assertEqual([name for name, error in stream.__dict__["told"]], ["b"])

    def test_nobodyThere(self) -> None:
        """A peer that is gone before the introduction fails it; if it was the only one, so does `stream`."""
        hall = self.hall("a", "b", "c")
        hall.deaf.add("b")
        self.assertRaises(RemoteError, hall.open, "a", "b")
        stream = hall.open("a", "b", "c", kind=Told)
        self.assertEqual([peer.name for peer in stream.peers], ["c"])
        self.assertEqual([name for name, error in stream.__dict__["told"]], ["b"])

    def test_many(self) -> None:
        """A stream to fifty is introduced to all of them."""
        names = [f"n{number}" for number in range(50)]
        hall = self.hall("a", *names)
        stream = hall.open("a", *names)
        self.assertEqual(hall.wait(stream.push(b"x")), [None] * 50)


class OfferTests(HallCase):
    """Who can come by an offer."""

    def test_once(self) -> None:
        """An offer is used up by the first that comes."""
        hall = self.hall("a", "b")
        offer = hall["b"].meeting.offer("tub-a", Quiet())
        meet = hall["a"].meeting.meet
        hall.wait(meet(offer.furl, "tub-b", Quiet()))
        self.assertRaises(Refused, hall.wait, meet(offer.furl, "tub-b", Quiet()))

    def test_elsewhere(self) -> None:
        """An address that leads to another node than the one that was introduced is not dialled; the stream is relayed."""
        hall = self.hall("a", "b", "c")
        b, c = hall["b"].meeting, hall["c"].meeting
        offer = c.offer("tub-b", Quiet())
        offer.taken.addErrback(lambda failure: None)
        self.assertRaises(WrongIdentity, hall.wait, b.meet(offer.furl, "tub-a", Quiet()))
        self.patch(b, "offer", c.offer)
        stream = hall.open("a", "b")
        self.assertIsNone(hall.wait(stream.push(b"x")))

    def test_unused(self) -> None:
        """What nobody comes for is forgotten after 30 s: offer, stream, all."""
        hall = self.hall("a", "b")
        by = Introduced("stream-a", "tub-a")
        furl = hall["b"].streaming.reception.open(by, "key", "video", "raw", "", "a", "here")
        self.assertIn(furl, hall.wire.offers)
        hall.advance(UNUSED + 1, 1.0)
        self.assertEqual((hall.wire.offers, hall["b"].streaming.reception.ends), ({}, []))
        self.assertEqual(len(hall["b"].ends), 1)


class ReceptionTests(HallCase):
    """What the taker makes of calls that nobody should make."""

    def test_bad(self) -> None:
        """Arguments of other types or lengths, keys of others, keys twice: refused in one line, nothing is kept."""
        hall = self.hall("a", "b")
        reception, by = hall["b"].streaming.reception, Introduced("stream-a", "tub-a")
        good: list[Any] = ["key", "video", "raw", "", "a", "here"]
        for place in range(len(good)):
            for bad in (None, 3, ["x"], "x" * 5000):
                arguments = [*good[:place], bad, *good[place + 1 :]]
                error = self.assertRaises(NodeSetError, reception.open, by, *arguments)
                self.assertNotIn("\n", str(error))
        self.assertEqual(reception.ends, [])
        reception.open(by, *good)
        self.assertRaises(ProtocolError, reception.open, by, *good)
        other = Introduced("stream-c", "tub-c")
        for call in (reception.dial, reception.hear):
            self.assertRaises(Refused, call, other, "key")
        self.assertRaises(Refused, reception.carry, other, "key", 1, "")
        for number, text in ((0, ""), (6, ""), ("1", ""), (1, 5), (1, "no base64!"), (1, "x" * 3_000_000)):
            self.assertRaises(ProtocolError, reception.carry, by, "key", number, text)

    def test_full(self) -> None:
        """A node takes a bounded number of streams at a time."""
        hall = self.hall("a", "b")
        hall["b"].meeting = None
        reception, by = hall["b"].streaming.reception, Introduced("stream-a", "tub-a")
        for number in range(MAX_TAKEN):
            reception.open(by, f"key{number}", "video", "raw", "", "a", "here")
        self.assertRaises(Busy, reception.open, by, "one more", "video", "raw", "", "a", "here")


class RelayTests(HallCase):
    """The two ends of a relay by themselves."""

    def test_early(self) -> None:
        """Batches that come out of order are put in order."""
        heard = Quiet()
        end = RelayEnd(heard, Clock(), "a", lambda: None)
        texts = [base64.b64encode(pack(Kind.WRITE, number)).decode() for number in (1, 2, 3)]
        for number in (3, 1, 2):
            end.carry(number, texts[number - 1])
        self.assertEqual(heard.batches, [pack(Kind.WRITE, number) for number in (1, 2, 3)])

    def test_unheard(self) -> None:
        """A pusher that does not hear what it is told loses the link before much is kept for it."""
        clock, heard = Clock(), Quiet()
        over: list[int] = []
        end = RelayEnd(heard, clock, "a", lambda: over.append(1))
        for _ in range(40):
            end.send(bytes(250_000))
        clock.advance(0)
        self.assertEqual((len(heard.losses), over), (1, [1]))

    def test_pusherGetsNonsense(self) -> None:
        """A taker that answers `hear` with anything else is given up."""
        answers: list[Any] = [None, 5, [], "no base64!"]
        for answer in answers:
            clock, heard = Clock(), Quiet()
            RelayLink(Answering(answer), "key", heard, clock, "b")
            clock.advance(0)
            self.assertEqual(len(heard.losses), 1, answer)
            self.assertEqual(clock.getDelayedCalls(), [])


class Answering:
    """Is called, always answers the same."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __call__(self, method: str, args: list[Any], timeout: float) -> Deferred[Any]:
        return succeed(self.answer)


class Quiet:
    """A receiver that notes what it hears."""

    def __init__(self) -> None:
        self.batches: list[bytes] = []
        self.losses: list[NodeSetError] = []

    def batchReceived(self, batch: bytes) -> None:
        self.batches.append(batch)

    def linkLost(self, reason: NodeSetError) -> None:
        self.losses.append(reason)
