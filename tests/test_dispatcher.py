"""What a dispatcher promises its nodes, hostile ones among them."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from nodeset.core import batch as wire
from nodeset.core import peer
from nodeset.core.batch import (
    NO_HEADERS,
    Beat,
    Bye,
    Confirm,
    Done,
    Events,
    Frame,
    Level,
    Mode,
    Outcome,
    Policy,
    Result,
    Sub,
    Subbed,
    Took,
    Unsub,
)
from nodeset.core.hello import Hello, packHello, unpackOpened
from nodeset.core.inbox import Inbox
from nodeset.core.node import Node
from nodeset.core.queueing import STALL
from nodeset.core.utils import catch
from nodeset.errors import NodeSetError, NotRunning, OutcomeUnknown, ProtocolError, Receipt, Refused, Undelivered
from nodeset.testing import Recorder, Site
from tests.sites import Order, Shop, SiteCase


class Slow(Node):
    """Its handler is through after as many seconds as the order's id says."""

    @catch("orders.created", Order)
    def keep(self, msg: Order) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._findClock().callLater(msg.id, done.callback, None)
        return done


_numbers = itertools.count(1)


def hello(name: str = "raw", stream: str = "", **options: Any) -> bytes:
    """A hello, of a stream of its own unless one is given."""
    return packHello(Hello(stream=stream or f"stream{next(_numbers):014}", name=name, host="localhost", **options))


def run(event: str = "orders.created", first: int = 1, payloads: tuple[bytes, ...] = (b'{"id":1}',), **options: Any) -> Events:
    """A run of events, as a publisher sends it."""
    lengths = [len(payload) for payload in payloads]
    values: dict[str, Any] = {"stream": "", "low": 1, "mode": Mode.ALL, "again": False, "level": Level.DELIVERED}
    values |= {"event": event, "first": first, "lengths": lengths, "headers": NO_HEADERS, "payloads": b"".join(payloads)}
    return Events(**(values | options))


class RawNode(Recorder):
    """A peer that speaks the wire by hand."""

    def __init__(self, site: Site, said: bytes | None = None, **options: Any) -> None:
        super().__init__()
        self.site = site
        self.taken = 0
        transport = site.transport()
        site.wait(transport.startTransport())
        self.link, self.answer = site.wait(transport.dial(hello(**options) if said is None else said, self))

    def send(self, *frames: Frame) -> None:
        """Send frames in one batch."""
        self.sendBytes(wire.pack(frames))

    def sendBytes(self, batch: bytes) -> None:
        """Send any bytes."""
        assert self.link is not None
        self.link.send(batch)
        self.site.flush()

    def takeIn(self, outcome: Outcome = Outcome.OK) -> list[int]:
        """Take in all that came since the last time, confirm it; returns the sequence numbers."""
        runs, self.taken = self.frames(Events)[self.taken :], len(self.frames(Events))
        self.send(Took(wire.WINDOW), *(Confirm(run.stream, [(run.first, run.last)], outcome) for run in runs))
        return [sequence for run in runs for sequence in range(run.first, run.last + 1)]

    def frames(self, kind: type[Any]) -> list[Any]:
        """What came, of this kind."""
        return [frame for batch in self.batches for frame in wire.unpack(batch) if type(frame) is kind]


class HostileTests(SiteCase):
    """A wrong frame costs its sender the link, nobody else anything."""

    def setUp(self) -> None:
        super().setUp()
        self.shop, self.publisher = self.site.node(Shop, tub="shop"), self.site.node(Node, tub="publisher")
        self.links = self.site.wire.links()

    def _unharmed(self, why: object) -> None:
        self.assertEqual([link for link in self.site.wire.links() if link.peer in ("shop", "publisher")], self.links, why)
        self.assertEqual(self.publishes(self.publisher, 1), Receipt(1, 1, 0), why)

    def test_badBatches(self) -> None:
        """Garbage, wrong kinds, wrong counts, names that are none: each loses its sender the link, at once."""
        pack = wire.pack
        bad: dict[str, bytes] = {
            "garbage": b"\xff" * 10,
            "nothing": b"",
            "text": b"hello",
            "no array": b"\x81\xa1a\x01",
            "unknown kind": b"\x91\x92\x63\x01",
            "huge array": b"\xdd\xff\xff\xff\xff",
            "too many bytes": b"\x90" + b"x" * wire.MAX_BATCH,
            "truncated": pack([run()])[:-3],
            "a Done from a node": pack([Done([(1, 1)], Result.OK, 1, 1, 0)]),
            "a Subbed from a node": pack([Subbed("a", True)]),
            "a pattern as event": pack([run("orders.*")]),
            "a pattern as event 2": pack([run(">")]),
            "no event name": pack([run("")]),
            "two slashes": pack([run("a//b")]),
            "300 bytes of name": pack([run("x" * 300)]),
            "2000 bytes of name": pack([run("x" * 2000)]),
            "a control character": pack([run("a\nb")]),
            "sequence backwards": pack([run(first=5), run(first=5)]),
            "sequence zero": pack([run(first=0)]),
            "sequence over the top": pack([run(first=2**63 - 1, payloads=(b"{}", b"{}"))]),
            "no events": pack([run(payloads=())]),
            "lengths that lie": pack([run(lengths=[3, 4])]),
            "a long name": pack([run("\U000e0001" * 800, lengths=[3, 4])]),
        }
        for why, batch in bad.items():
            raw = RawNode(self.site)
            raw.sendBytes(batch)
            self.assertEqual(len(raw.losses), 1, why)
            raw.sendBytes(wire.pack([run(first=99)]))
            self._unharmed(why)
        assert self.site.dispatcher is not None
        self.assertEqual(self.site.dispatcher.getStats()["nodes"], 2)
        self.assertEqual(self.site.dispatcher.getStats()["protocol_errors"], len(bad))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_seldomSaid(self) -> None:
        """However many break the protocol, the log warns of it once a second, with their number."""
        said: list[str] = []

        @implementer(ILogObserver)
        def note(event: LogEvent) -> None:
            if "breaks the protocol" in event.get("log_format", ""):
                said.append(formatEvent(event))

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        for _ in range(50):
            RawNode(self.site).sendBytes(b"garbage")
        self.assertEqual(len(said), 1)
        self.site.advance(1.1)
        RawNode(self.site).sendBytes(b"garbage")
        self.assertIn("49 more", said[-1])

    def test_badPayloads(self) -> None:
        """Payloads and headers that nobody can read are refused by who gets them, whose link stays."""
        raw = RawNode(self.site)
        first = 1
        for payload in (b"", b"\xff", b"{", b"[]", b'{"id":1}' * 2, b"[" * 5000, b'{"id":NaN}', b'{"__class__":1}'):
            raw.send(run(first=first, payloads=(payload,)))
            first += 1
        for headers in ([1, 2, 3], True, {1: 2}, {"content_type": ["raw"]}, {"content_type": "raw"}):
            raw.send(run(first=first, headers=msgspec.Raw(msgspec.msgpack.encode(headers)), payloads=(b"\xff",)))
            first += 1
        self.assertEqual(raw.losses, [])
        told = raw.frames(Done)
        self.assertEqual(sum(last - at + 1 for done in told for at, last in done.ranges), first - 1)
        self.assertEqual({(done.result, done.matched, done.delivered) for done in told}, {(Result.FAILED, 1, 0)})
        self.assertTrue(all("refuses it" in done.reason for done in told))
        self._unharmed("payloads")
        self.assertEqual(self.shop.orders, [1])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_longReason(self) -> None:
        """The reason for which a subscriber is cut off reaches the publishers that it owes answers, however long it is."""
        raw = RawNode(self.site, subscriptions=[Sub("orders.created")])
        receipt = self.publisher.publish("orders.created", Order, id=5)
        self.site.flush()
        self.assertNoResult(receipt)
        raw.sendBytes(wire.pack([run("\U000e0001" * 800, lengths=[3, 4])]))
        self.assertEqual(self.failing(Undelivered, receipt).receipt, Receipt(2, 1, 0))
        self._unharmed("long reason")

    def test_foreignConfirms(self) -> None:
        """Confirms for events that one was never sent, or for no events at all, are passed over."""
        self.site.node(Slow)
        receipt = self.publisher.publish("orders.created", Order, id=2, level="handled")
        self.site.flush()
        raw = RawNode(self.site)
        stream = self.publisher._peer.stream if self.publisher._peer else ""
        for wrong in (stream, "nobody", ""):
            raw.send(Confirm(wrong, [(0, 2**63 - 1)], Outcome.OK), Confirm(wrong, [], Outcome.LATE))
        self.assertNoResult(receipt)
        self.assertEqual(raw.losses, [])
        self.assertEqual(self.site.wait(receipt), Receipt(2, 2, 0))

    def test_foreignPatterns(self) -> None:
        """A subscription that is no pattern, or to another node's address, is refused and costs no link."""
        raw = RawNode(self.site, subscriptions=[Sub("a//b"), Sub("ok"), Sub("shop@localhost/x")])
        opened = unpackOpened(raw.answer)
        self.assertEqual([pattern for pattern, _reason in opened.refused], ["a//b", "shop@localhost/x"])
        raw.send(Sub("other@localhost/ok"), Sub("x" * 300), Sub("fine.*"))
        self.assertEqual([frame.active for frame in raw.frames(Subbed)], [False, False, True])
        self.assertEqual(raw.losses, [])

    def test_badHellos(self) -> None:
        """A hello that is none, of another version, of a bad name or of somebody else's stream is refused."""
        assert self.shop._peer is not None
        bad: dict[str, tuple[bytes, type[NodeSetError]]] = {
            "garbage": (b"\xff", ProtocolError),
            "empty": (b"", ProtocolError),
            "huge": (b"x" * (wire.MAX_HELLO + 1), ProtocolError),
            "short stream": (b"\x83\xa6stream\xa1a\xa4name\xa1n\xa4host\xa1h", ProtocolError),
            "version": (hello(low=wire.VERSION + 5, high=wire.VERSION + 7), Refused),
            "name": (hello(name="a b"), Refused),
            "long name": (hello(name="x" * 300), Refused),
            "stream": (hello(stream=self.shop._peer.stream), Refused),
        }
        for why, (said, error) in bad.items():
            transport = self.site.transport()
            self.site.wait(transport.startTransport())
            raised = self.failing(error, transport.dial(said, Recorder()))
            self.assertTrue(str(raised), why)
            self._unharmed(why)


class HeartbeatTests(SiteCase):
    """Nodes that fall silent."""

    def test_silentNode(self) -> None:
        """A node that falls silent is suspect after 10 s, so that mode one passes it over; at 20 s it is gone."""
        self.site.advance(1.0)
        raw = RawNode(self.site, subscriptions=[Sub("orders.created")])
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        for number in range(4):
            self._one(publisher, number)
        self.assertEqual((len(shop.orders), len(raw.frames(Events))), (2, 2))
        self.site.advance(15.5)
        for number in range(4, 8):
            self._one(publisher, number)
        self.assertEqual((len(shop.orders), len(raw.frames(Events))), (6, 2))
        self.assertEqual(raw.losses, [])
        self.site.advance(9.0)
        self.assertEqual(len(raw.losses), 1)
        self.assertEqual(self.stats("silent", "subs"), [1, 1])

    def _one(self, publisher: Node, number: int) -> None:
        order = Order(id=number)
        order._delivery_mode = "one"
        publisher.publishMessage("orders.created", order).addErrback(lambda failure: failure.trap(Undelivered, OutcomeUnknown))
        self.site.flush()

    def test_beatsAreEnough(self) -> None:
        """A node that only beats stays, and is not suspect; one that wakes up after its silence is trusted again."""
        raw = RawNode(self.site, subscriptions=[Sub("orders.created")])
        publisher = self.site.node(Node)
        for _ in range(20):
            self.site.advance(9.0)
            raw.send(Beat(), Took(1))
            self._one(publisher, 1)
        self.assertEqual((raw.losses, len(raw.frames(Events))), ([], 20))
        self.assertGreater(len(raw.frames(Beat)), 30)

    def test_fair(self) -> None:
        """Mode one deals events out fairly: of 300 each of three nodes gets 100, published one by one or at a go."""
        shops = [self.site.node(Shop) for _ in range(3)]
        publisher = self.site.node(Node)
        for number in range(150):
            self._one(publisher, number)
        for number in range(150):
            order = Order(id=number)
            order._delivery_mode = "one"
            publisher.publishMessage("orders.created", order)
        self.site.flush()
        self.assertEqual([len(shop.orders) for shop in shops], [100, 100, 100])


class FlowTests(SiteCase):
    """Subscribers that take nothing in, what their policies make of it."""

    def setUp(self) -> None:
        super().setUp()
        self.shop, self.publisher = self.site.node(Shop), self.site.node(Node)
        self.receipts: list[Any] = []
        self.made: list[Any] = []

    def _stopSite(self) -> None:
        super()._stopSite()
        for receipt in self.made:
            receipt.addErrback(lambda failure: failure.trap(NodeSetError))

    def deaf(self, policy: Policy, **limits: Any) -> RawNode:
        """A subscriber that has taken as much as may be under way to it."""
        raw = RawNode(self.site, name="deaf", subscriptions=[Sub("orders.created", policy=policy, **limits)])
        self.publish(wire.WINDOW)
        self.assertEqual(len(raw.frames(Events)), wire.WINDOW)
        return raw

    def publish(self, count: int, **fields: Any) -> None:
        """Publish so many, each in a batch of its own."""
        for _ in range(count):
            self.receipts.append(self.publisher.publish("orders.created", Order, id=len(self.receipts), **fields))
            self.made.append(self.receipts[-1])
            self.site.flush()

    def results(self, receipts: list[Any]) -> list[Any]:
        """What these were answered."""
        return [self.successResultOf(receipt) for receipt in receipts]

    def test_block(self) -> None:
        """With policy block a deaf subscriber stalls its publishers for 10 s; then it alone loses, and they go on."""
        other = self.site.node(Node)
        raw = self.deaf(Policy.BLOCK, max_events=50)
        self.publish(200)
        routed = wire.WINDOW + 50
        self.assertEqual(self.shop.orders, list(range(routed)))
        self.site.advance(STALL - 0.2)
        self.assertEqual(len(self.shop.orders), routed)
        self.assertEqual(self.site.wait(other.publish("else")), Receipt(0, 0, 0), "others are not stalled")
        self.site.advance(0.3)
        self.assertEqual(self.shop.orders, list(range(200 + wire.WINDOW)))
        for receipt in self.receipts[wire.WINDOW :]:
            failed = self.failureResultOf(receipt, Undelivered).value
            self.assertEqual(failed.receipt, Receipt(2, 1, 0))
            self.assertIn("deaf does not take events in", str(failed))
        self.assertEqual(self.stats("lost", "pending"), [200, wire.WINDOW])
        self.failureResultOf(self._flushed(other.publish("orders.created", Order)), Undelivered)
        # As soon as it takes a batch in it is a subscriber like any other.
        self.assertEqual(raw.takeIn(), [1, 2, 3, 4])
        self.assertEqual(self.results(self.receipts[: wire.WINDOW]), [Receipt(2, 2, 0)] * wire.WINDOW)
        receipt = self._flushed(self.publisher.publish("orders.created", Order, id=1))
        self.assertEqual(len(raw.takeIn()), 1)
        self.assertEqual(self.successResultOf(receipt), Receipt(2, 2, 0))
        self.assertEqual(raw.losses, [])

    def _flushed(self, receipt: Deferred[Any]) -> Deferred[Any]:
        self.site.flush()
        return receipt

    def test_blockRelents(self) -> None:
        """A slow subscriber that takes a batch now and then is waited for: nobody loses anything, order is kept."""
        raw = self.deaf(Policy.BLOCK, max_events=5)
        self.publish(30)
        seen: list[int] = []
        for _ in range(12):
            self.site.advance(STALL - 1.0)
            raw.send(Beat())
            seen += raw.takeIn()
        self.assertEqual(seen, list(range(1, 35)))
        self.assertEqual(self.results(self.receipts), [Receipt(2, 2, 0)] * 34)
        self.assertEqual(self.shop.orders, list(range(34)))
        self.assertEqual(self.stats("lost"), [0])

    def test_blockBytes(self) -> None:
        """A queue is full by its bytes as well."""
        self.deaf(Policy.BLOCK, max_bytes=5000)
        self.publish(20, note="x" * 990)
        self.assertEqual(len(self.shop.orders), wire.WINDOW + 5)
        self.site.advance(STALL + 0.1)
        self.assertEqual(len(self.shop.orders), wire.WINDOW + 20)

    def test_dropOldest(self) -> None:
        """With drop_oldest publishers go on; it gets the newest that fit, and every drop is counted and told."""
        raw = self.deaf(Policy.DROP_OLDEST, max_events=10)
        self.publish(100)
        self.assertEqual(self.shop.orders, list(range(104)))
        self.assertEqual(self.results(self.receipts[4:94]), [Receipt(2, 1, 1)] * 90)
        self.assertEqual(self.stats("dropped_oldest", "dropped_newest", "lost", "pending"), [90, 0, 0, 14])
        self.assertEqual(raw.takeIn() + raw.takeIn(), [1, 2, 3, 4, *range(95, 105)])
        self.assertEqual(self.results(self.receipts[94:]), [Receipt(2, 2, 0)] * 10)

    def test_dropNewest(self) -> None:
        """With drop_newest publishers go on; it gets the oldest that fit, and every drop is counted and told."""
        raw = self.deaf(Policy.DROP_NEWEST, max_events=10)
        self.publish(60)
        many = self.publisher.publishMany("orders.created", Order, [{"id": 64 + number} for number in range(40)])
        self.site.flush()
        self.assertEqual(self.shop.orders, list(range(104)))
        self.assertEqual(self.results(self.receipts[14:]), [Receipt(2, 1, 1)] * 50)
        self.assertEqual(self.successResultOf(many), Receipt(80, 40, 40))
        self.assertEqual(self.stats("dropped_oldest", "dropped_newest", "lost", "pending"), [0, 90, 0, 14])
        self.assertEqual(raw.takeIn() + raw.takeIn(), [1, 2, 3, 4, *range(5, 15)])
        self.assertEqual(self.results(self.receipts[:14]), [Receipt(2, 2, 0)] * 14)

    def test_dropBytes(self) -> None:
        """Both count bytes as well."""
        for policy, kept in ((Policy.DROP_OLDEST, [20, 21, 22, 23, 24]), (Policy.DROP_NEWEST, [5, 6, 7, 8, 9])):
            site = self.site = Site()
            self.shop, self.publisher, self.receipts = site.node(Shop), site.node(Node), []
            raw = self.deaf(policy, max_bytes=5100)
            self.publish(20, note="x" * 990)
            self.assertEqual(raw.takeIn() + raw.takeIn(), [1, 2, 3, 4, *kept])
            self.assertEqual(self.stats(f"dropped_{policy.name.removeprefix('DROP_').lower()}"), [15])
            site.stop()

    def test_nodePolicy(self) -> None:
        """A node that subscribes with a policy gets the newest when its handlers lag behind; nobody waits for it."""
        gate: list[Deferred[None]] = []

        class Lagging(Node):
            seen: ClassVar[list[int]] = []

            def onEvent(self, event: str, msg: Any) -> Deferred[None]:
                self.seen.append(msg.id)
                gate.append(Deferred())
                return gate[-1]

        self.patch(peer, "Inbox", lambda concurrency: Inbox(concurrency, max_events=5))
        lagging = self.site.node(Lagging)
        self.site.wait(lagging.subscribe("orders.created", policy="drop_oldest", max_events=3))
        self.publish(100)
        self.assertEqual(self.shop.orders, list(range(100)))
        while gate:
            gate.pop().callback(None)
            self.site.flush()
        held = 5 + wire.WINDOW
        self.assertEqual(lagging.seen, [*range(held), 97, 98, 99])
        dropped = [receipt.dropped for receipt in self.results(self.receipts)]
        self.assertEqual((sum(dropped), self.stats("dropped_oldest")), (97 - held, [97 - held]))

    def test_noCredit(self) -> None:
        """A publisher that sends more than its window without credit breaks the protocol."""
        self.deaf(Policy.BLOCK, max_events=1)
        self.publish(1)
        raw = RawNode(self.site, name="eager")
        for first in range(1, wire.WINDOW + 1):
            raw.send(run(first=first))
        self.assertEqual(raw.losses, [])
        raw.send(run(first=wire.WINDOW + 1))
        self.assertEqual(len(raw.losses), 1)


class LifeTests(SiteCase):
    """Starting, draining, stopping."""

    def test_stopUnderLoad(self) -> None:
        """A dispatcher that stops under load loses nothing; the nodes go on with the next one, in order, each event once."""
        shops = [self.site.node(Shop), self.site.node(Shop)]
        publisher = self.site.node(Node)
        self.site.wire.delay = 0.013
        receipts: list[Deferred[Any]] = []

        def publish(seconds: float) -> None:
            for _ in range(round(seconds / 0.02)):
                receipts.append(publisher.publish("orders.created", Order, id=len(receipts)))
                self.site.advance(0.02)

        for _ in range(3):
            publish(1.0)
            assert self.site.dispatcher is not None
            stopped = self.site.dispatcher.stopService()
            publish(1.0)
            self.successResultOf(stopped)
            self.site.startDispatcher()
            publish(2.0)
        self.assertEqual({self.site.wait(receipt) for receipt in receipts}, {Receipt(2, 2, 0)})
        for shop in shops:
            self.assertEqual(shop.orders, list(range(len(receipts))))

    def test_goodbye(self) -> None:
        """A node that says goodbye is told so once it has answered for all that it got; then it is gone at once."""
        raw = RawNode(self.site, subscriptions=[Sub("orders.created")])
        publisher = self.site.node(Node)
        receipt = publisher.publish("orders.created", Order, id=1)
        self.site.flush()
        raw.send(Bye())
        self.assertEqual((raw.frames(Bye), self.stats("subs")), ([], [0]))
        raw.takeIn()
        self.assertEqual((len(raw.frames(Bye)), len(raw.losses)), (1, 1))
        self.assertEqual(self.successResultOf(receipt), Receipt(1, 1, 0))
        self.assertEqual(self.publishes(publisher), Receipt(0, 0, 0))

    def test_drain(self) -> None:
        """A dispatcher that stops waits for the answers under way; what is published meanwhile goes to the next one."""
        self.site.node(Slow)
        publisher = self.site.node(Node)
        receipt = publisher.publish("orders.created", Order, id=2, level="handled")
        self.site.flush()
        assert self.site.dispatcher is not None
        stopped = self.site.dispatcher.stopService()
        self.site.advance(0.5)
        later = publisher.publish("orders.created", Order, id=0)
        self.site.advance(1.0)
        self.assertNoResult(stopped)
        self.site.advance(1.0)
        self.assertEqual(self.successResultOf(receipt), Receipt(1, 1, 0))
        self.successResultOf(stopped)
        self.assertNoResult(later)
        self.site.startDispatcher()
        self.assertTrue(self.site.wait(later))

    def test_drainLimit(self) -> None:
        """It waits no longer than its drain time-out; what has no answer by then, has it from the next dispatcher."""
        self.site.wait(self.site.dispatcher.stopService() if self.site.dispatcher else Deferred())
        site = self.site = Site(drain_timeout=3.0)
        site.node(Slow)
        publisher = site.node(Node)
        receipt = publisher.publish("orders.created", Order, id=10, level="handled", timeout=None)
        site.flush()
        assert site.dispatcher is not None
        stopped = site.dispatcher.stopService()
        site.advance(2.9)
        self.assertNoResult(stopped)
        site.advance(0.3)
        self.successResultOf(stopped)
        self.assertNoResult(receipt)
        site.startDispatcher()
        self.assertEqual(site.wait(receipt), Receipt(1, 1, 0))
        self.assertAlmostEqual(site.clock.seconds(), 10.0, delta=0.5)

    def test_refusesWhileDraining(self) -> None:
        """Who dials a dispatcher that stops is told so, and finds the next one."""
        self.site.node(Slow)
        publisher = self.site.node(Node)
        publisher.publish("orders.created", Order, id=2, level="handled")
        self.site.flush()
        assert self.site.dispatcher is not None
        stopped = self.site.dispatcher.stopService()
        transport = self.site.transport()
        self.site.wait(transport.startTransport())
        self.failing(NotRunning, transport.dial(hello(), Recorder()))
        late = self.site.node(Node)
        self.site.wait(stopped)
        self.site.startDispatcher()
        self.assertIs(self.site.wait(late.start()), late)

    def test_bye(self) -> None:
        """A node that says goodbye is gone at once with all its routes."""
        raw = RawNode(self.site, subscriptions=[Sub("a"), Sub("b.*")])
        assert self.site.dispatcher is not None
        self.assertEqual(self.site.dispatcher.getStats()["subs"], 2)
        raw.send(Bye())
        self.assertEqual((self.site.dispatcher.getStats()["subs"], self.site.dispatcher.getStats()["nodes"]), (0, 0))
        self.assertEqual(len(raw.losses), 1)

    def test_newLink(self) -> None:
        """A node that opens a new link replaces its old one, which hears no more and on which nothing is heard."""
        old = RawNode(self.site, stream="s" * 20, subscriptions=[Sub("a")])
        assert old.link is not None
        new = Recorder()
        transport = self.site.transport(self.site.wire.links()[0].peer)
        self.site.wait(transport.startTransport())
        link, _answer = self.site.wait(transport.dial(hello(stream="s" * 20, subscriptions=[Sub("a")]), new))
        heard = len(old.batches)
        self.assertEqual(self.stats("nodes", "subs"), [1, 1])
        self.assertEqual(self.site.wait(self.site.node(Node).publish("a", level="accepted")), Receipt(1, 0, 0))
        old.send(Unsub("a"))
        self.assertEqual((len(old.batches), new.losses), (heard, []))
        self.assertEqual(self.stats("nodes", "subs"), [2, 1])
        link.send(wire.pack([Unsub("a")]))
        self.site.flush()
        self.assertEqual(self.stats("subs"), [0])

    def test_full(self) -> None:
        """A dispatcher takes max_nodes nodes; one more is refused and told why."""
        site = self.site = Site(max_nodes=1)
        site.node(Node)
        refused = site.node(Node, start=False)
        linked = refused.start()
        refused.startService()
        self.assertIn("1 nodes", str(self.failing(Refused, linked)))

    def test_stats(self) -> None:
        """getStats counts what is there: nodes, subscriptions, events published, deliveries."""
        self.site.node(Shop)
        publisher = self.site.node(Node)
        self.publishes(publisher)
        assert self.site.dispatcher is not None
        stats = self.site.dispatcher.getStats()
        seen = {name: stats[name] for name in ("nodes", "subs", "pubs", "published", "pending")}
        self.assertEqual(seen, {"nodes": 2, "subs": 1, "pubs": 1, "published": 1, "pending": 0})
