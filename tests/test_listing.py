"""Which nodes are there, for one that asks: what a dispatcher knows of each, how far away it is."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from nodeset.core.batch import Beat, Policy
from nodeset.core.calls.expose import expose
from nodeset.core.heartbeat import INTERVAL
from nodeset.core.node import Node
from nodeset.core.presence.listing import MAX_PAGE, Listing
from nodeset.core.utils import catch
from nodeset.errors import ProtocolError
from nodeset.version import __version__
from tests.exchanges import ExchangeCase, makeHello, makeRun
from tests.sites import Order, SiteCase
from tests.test_dispatcher import RawNode


class Shop(Node):
    """A node with a subscription."""

    @catch("orders.created", Order)
    def keep(self, msg: Order) -> None:
        """It does nothing."""


class Clerk(Node):
    """It answers when the test says so."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waiting: list[Deferred[int]] = []

    @expose
    def wait(self) -> Deferred[int]:
        """It takes its time."""
        self.waiting.append(Deferred())
        return self.waiting[-1]


class NodesTests(SiteCase):
    """The verb."""

    def test_nodes(self) -> None:
        """Who asks is told of every node what it is called, subscribes to, runs, how it fares; the one who asks included."""
        shop, asker = self.site.node(Shop, name="shop", tub="tub-shop"), self.site.node(Node, name="asker")
        self.publishes(asker)
        self.site.advance(2 * INTERVAL)
        found = {info.name: info for info in self.site.wait(asker.nodes())}
        self.assertEqual(sorted(found), ["asker", "shop"])
        info = found["shop"]
        assert shop._peer is not None
        self.assertEqual((info.address, info.stream, info.tub_id), ("shop@localhost", shop._peer.stream, "tub-shop"))
        self.assertEqual((info.state, info.since, info.away), ("up", 10.0, False))
        self.assertEqual((info.subscriptions, info.subscribed, info.version), (["orders.created"], 1, f"nodeset {__version__}"))
        self.assertEqual((info.published, info.delivered, found["asker"].published), (0, 1, 1))
        self.assertEqual((info.queued_events, info.queued_bytes, info.unanswered_events, info.drops), (0, 0, 0, {}))
        self.assertEqual((info.latency, info.calls_made, info.calls_running, info.calls_waiting), (0.0, 0, 0, 0))

    def test_calls(self) -> None:
        """It says which calls a node has made, which it runs, which wait for it."""
        clerk, asker = self.site.node(Clerk, name="clerk"), self.site.node(Node, name="asker")
        answers = [asker.call("clerk", "wait") for _ in range(3)]
        self.site.flush()
        found = {info.name: info for info in self.site.wait(asker.nodes())}
        self.assertEqual((found["clerk"].methods, found["clerk"].calls_running), (["wait"], 3))
        self.assertGreaterEqual(found["asker"].calls_made, 3)
        for waiting in clerk.waiting:
            waiting.callback(1)
        self.assertEqual([self.site.wait(answer) for answer in answers], [1, 1, 1])
        found = {info.name: info for info in self.site.wait(asker.nodes("clerk"))}
        self.assertEqual((found["clerk"].calls_running, found["clerk"].calls_waiting), (0, 0))

    def test_restart(self) -> None:
        """Who asks while the dispatcher is started anew is answered by the next one."""
        asker = self.site.node(Node, name="asker")
        self.site.killDispatcher()
        answer = asker.nodes()
        self.site.advance(1)
        self.site.startDispatcher()
        self.assertEqual([info.name for info in self.site.wait(answer)], ["asker"])

    def test_byName(self) -> None:
        """Who asks for a name is told of the nodes that bear it."""
        for name in ("twin", "twin", "other"):
            asker = self.site.node(Node, name=name)
        self.assertEqual([info.name for info in self.site.wait(asker.nodes("twin"))], ["twin", "twin"])
        self.assertEqual(self.site.wait(asker.nodes("nobody")), [])

    def test_many(self) -> None:
        """Hundreds come in pages, each once."""
        asker = self.site.node(Node, name="asker")
        assert self.site.dispatcher is not None
        for number in range(3 * MAX_PAGE):
            self.site.dispatcher.exchange.join(f"tub{number}", makeHello(f"n{number}"), 0.0)
        found = self.site.wait(asker.nodes())
        self.assertEqual(len({info.stream for info in found}), 3 * MAX_PAGE + 1)
        self.assertEqual(found, sorted(found, key=lambda info: info.stream))

    def test_nonsense(self) -> None:
        """A dispatcher that answers nonsense, or in circles, is told apart from one that answers."""
        asker = self.site.node(Node, name="asker")
        pages: list[Any] = [None, {}, {"nodes": []}, {"nodes": [{"name": 1}], "next": ""}, {"nodes": [], "next": "a"}]
        for page in pages:
            self.patch(asker, "call", lambda *args, page=page, **options: succeed(page))
            self.failing(ProtocolError, asker.nodes())
        self.patch(asker, "call", lambda *args, **options: fail(ProtocolError("no")))
        self.failing(ProtocolError, asker.nodes())


class PageTests(ExchangeCase):
    """What is on a page."""

    def setUp(self) -> None:
        super().setUp()
        self.listing = Listing(self.exchange)

    def nodes(self, name: str = "") -> dict[str, dict[str, Any]]:
        """The first page, by name; it fits into an answer."""
        page = self.listing.page(self.now, "", name)
        self.assertLess(len(json.dumps(page)), 1024 * 1024)
        return {told["name"]: told for told in page["nodes"]}

    def test_queues(self) -> None:
        """It says how much waits for a node, what it has not answered, what it did not get and why."""
        slow = self.fill(policy=Policy.DROP_OLDEST)
        slow.credit = 1
        self.publish(makeRun(1))
        self.publish(makeRun(2, [b"xx"] * 7))
        told = self.nodes()["slow"]
        self.assertEqual((told["queued_events"], told["queued_bytes"], told["unanswered_events"]), (3, 6, 1))
        self.assertEqual((told["drops"], told["state"]), ({"dropped_oldest": 4}, "slow"))
        self.exchange.lost(slow, self.now)
        self.advance(1)
        told = self.nodes()["slow"]
        self.assertEqual((told["away"], told["since"]), (True, 1.0))
        self.advance(5)
        self.assertEqual(list(self.nodes()), ["pub"])

    def test_methods(self) -> None:
        """It says what a node exposes; the session under which plain peers publish is no node."""
        self.join("n", methods=["add", "sub"])
        self.join("legacy", peer="legacy")
        self.assertEqual((self.nodes()["n"]["methods"], sorted(self.nodes())), (["add", "sub"], ["n", "pub"]))

    def test_bounded(self) -> None:
        """A page is bounded, however much its nodes subscribe to, and says from where on to ask for more."""
        for number in range(30):
            self.join(f"n{number}", *(f"{'é' * 60}.{index}" for index in range(1000)))
        page, seen = self.listing.page(self.now), []
        while True:
            self.assertLess(len(json.dumps(page)), 1024 * 1024)
            seen += [told["name"] for told in page["nodes"]]
            self.assertTrue(all(0 < len(told["subscriptions"]) < 1000 for told in page["nodes"] if told["name"] != "pub"))
            if not page["next"]:
                break
            page = self.listing.page(self.now, page["next"])
        self.assertEqual((len(seen), len(set(seen))), (31, 31))
        self.assertEqual(self.nodes("n7")["n7"]["subscribed"], 1000)

    def test_strangeArguments(self) -> None:
        """Whatever is asked for is answered."""
        for after, name in ((None, None), (1, 2), ("\udcff", "zzz"), ([], {})):
            self.assertEqual(self.listing.page(self.now, after, name)["nodes"], [])


class LatencyTests(SiteCase):
    """How long a node takes to answer."""

    def test_measured(self) -> None:
        """The round trip of heartbeats is measured within one beat, smoothed later; an answer that is late counts as late."""
        node = self.site.node(Node, name="a")
        self.site.wire.delay = 0.05
        (session,) = self.sessions()
        self.assertIsNone(session.latency)
        self.site.advance(INTERVAL + 0.5)
        self.assertAlmostEqual(session.latency, 0.1)
        self.site.wire.delay = 0.45
        self.site.advance(INTERVAL + 1)
        self.assertAlmostEqual(session.latency, 0.1 + 0.8 / 8, places=2)
        self.site.wire.delay = 0.0
        self.site.wait(node.stopService())

    def sessions(self) -> list[Any]:
        """The sessions of the dispatcher."""
        assert self.site.dispatcher is not None
        return list(self.site.dispatcher.exchange.answers.sessions.values())

    def test_neverAnswered(self) -> None:
        """One that answers no ping, or pings that were none, has no latency and stays."""
        raw = RawNode(self.site)
        for number in range(8):
            raw.send(Beat(pong=number + 77))
            self.site.advance(INTERVAL + 0.01)
        self.assertEqual((self.sessions()[0].latency, raw.losses), (None, []))
        pings = [frame.ping for frame in raw.frames(Beat)]
        self.assertEqual((len(pings), len(set(pings)), 0 in pings), (8, 8, False))

    def test_once(self) -> None:
        """A ping is answered once, at once; who has answered one beats no more in that time."""
        node = self.site.node(Node, name="a")
        assert self.site.dispatcher is not None
        heard: list[bytes] = []
        (line,) = self.site.dispatcher._lines.values()
        received = line.dispatcher.received

        def hear(line: Any, batch: bytes) -> None:
            heard.append(batch)
            received(line, batch)

        self.patch(line.dispatcher, "received", hear)
        self.site.advance(20 * INTERVAL)
        self.assertIn(len(heard), (20, 21))
        assert node.running
