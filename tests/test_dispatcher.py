"""What a dispatcher promises its nodes, hostile ones among them."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from nodeset.core import batch as wire
from nodeset.core.batch import (
    NO_HEADERS,
    Beat,
    Bye,
    Confirm,
    Done,
    Events,
    Frame,
    Hello,
    Level,
    Mode,
    Outcome,
    Result,
    Sub,
    Subbed,
)
from nodeset.core.node import Node
from nodeset.core.utils import catch
from nodeset.errors import NodeSetError, NotRunning, OutcomeUnknown, ProtocolError, Receipt, Refused, Undelivered
from nodeset.testing import Recorder, Site
from tests.test_node import Order, Shop, SiteCase


class Slow(Node):
    """Its handler is through after as many seconds as the order's id says."""

    @catch("orders.created", Order)
    def keep(self, msg: Order) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._findClock().callLater(msg.id, done.callback, None)
        return done


def hello(name: str = "raw", stream: str = "s" * 20, **options: Any) -> bytes:
    """A hello."""
    return wire.packHello(Hello(stream=stream, name=name, host="localhost", **options))


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
        self._unharmed("payloads")
        self.assertEqual(self.shop.orders, [1])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_longReason(self) -> None:
        """The reason for which a subscriber is cut off reaches the publishers that it owes answers, however long it is."""
        raw = RawNode(self.site, subscriptions=[("orders.created", True)])
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
        raw = RawNode(self.site, subscriptions=[("a//b", True), ("ok", True), ("shop@localhost/x", True)])
        opened = wire.unpackOpened(raw.answer)
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
        raw = RawNode(self.site, subscriptions=[("orders.created", True)])
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
        assert self.site.dispatcher is not None
        self.assertEqual(self.site.dispatcher.getStats()["silent"], 1)
        self.assertEqual(self.site.dispatcher.getStats()["subs"], 1)

    def _one(self, publisher: Node, number: int) -> None:
        order = Order(id=number)
        order._delivery_mode = "one"
        publisher.publishMessage("orders.created", order).addErrback(lambda failure: failure.trap(Undelivered, OutcomeUnknown))
        self.site.flush()

    def test_beatsAreEnough(self) -> None:
        """A node that only beats stays, and is not suspect; one that wakes up after its silence is trusted again."""
        raw = RawNode(self.site, subscriptions=[("orders.created", True)])
        publisher = self.site.node(Node)
        for _ in range(20):
            self.site.advance(9.0)
            raw.send(Beat())
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


class LifeTests(SiteCase):
    """Starting, draining, stopping."""

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
        """It waits no longer than its drain time-out; what has no answer by then fails with OutcomeUnknown."""
        self.site.wait(self.site.dispatcher.stopService() if self.site.dispatcher else Deferred())
        site = self.site = Site(drain_timeout=3.0)
        site.node(Slow)
        publisher = site.node(Node)
        receipt = publisher.publish("orders.created", Order, id=30, level="handled", timeout=None)
        site.flush()
        assert site.dispatcher is not None
        stopped = site.dispatcher.stopService()
        site.advance(2.9)
        self.assertNoResult(stopped)
        site.advance(0.3)
        self.successResultOf(stopped)
        self.failureResultOf(receipt, OutcomeUnknown)
        site.advance(30.0)

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
        raw = RawNode(self.site, subscriptions=[("a", True), ("b.*", True)])
        assert self.site.dispatcher is not None
        self.assertEqual(self.site.dispatcher.getStats()["subs"], 2)
        raw.send(Bye())
        self.assertEqual((self.site.dispatcher.getStats()["subs"], self.site.dispatcher.getStats()["nodes"]), (0, 0))
        self.assertEqual(len(raw.losses), 1)

    def test_newLink(self) -> None:
        """A node that opens a new link replaces its old one, which hears no more."""
        old = RawNode(self.site, subscriptions=[("a", True)])
        assert self.site.dispatcher is not None and old.link is not None
        peer = self.site.wire.links()[0].peer
        new = Recorder()
        transport = self.site.transport(peer)
        self.site.wait(transport.startTransport())
        self.site.wait(transport.dial(hello(subscriptions=[("a", True)]), new))
        self.assertEqual((len(old.losses), self.site.dispatcher.getStats()["nodes"]), (1, 1))
        self.assertEqual(self.site.wait(self.site.node(Node).publish("a", level="accepted")), Receipt(1, 0, 0))
        self.assertEqual((old.frames(Events), new.losses), ([], []))

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
