"""What a dispatcher tells of itself."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.figures.histogram import BOUNDS, Histogram, Lateness
from nodeset.core.figures.weight import Scales, Weight
from nodeset.core.heartbeat import INTERVAL
from nodeset.core.node import Node
from nodeset.core.utils import catch
from nodeset.errors import BadArguments, Refused
from nodeset.testing import Site
from nodeset.version import __version__
from tests.sites import Order, SiteCase


class Slow(Node):
    """A node that answers when the test says so."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.work: Deferred[None] = Deferred()

    @catch("orders.created", Order)
    def keep(self, msg: Order) -> Deferred[None]:
        """It takes its time."""
        return self.work


class HistogramTests(SynchronousTestCase):
    """Counts by range."""

    def test_ranges(self) -> None:
        """What took as long as a bound is within it, what took longer than the last is in a range of its own."""
        histogram = Histogram()
        histogram.take(0.0)
        histogram.take(0.01, 3)
        histogram.take(31.0)
        told = histogram.told()
        self.assertEqual(told["bounds"], list(BOUNDS))
        counts = dict(zip([*BOUNDS, "more"], told["counts"], strict=True))
        self.assertEqual({bound: count for bound, count in counts.items() if count}, {0.0005: 1, 0.01: 3, "more": 1})
        self.assertAlmostEqual(told["sum"], 31.03)

    def test_copies(self) -> None:
        """What was told stays as it was."""
        histogram = Histogram()
        told = histogram.told()
        histogram.take(1.0)
        self.assertEqual(sum(told["counts"]), 0)


class LatenessTests(SynchronousTestCase):
    """How late a beat comes."""

    def test_worst(self) -> None:
        """The greatest delay counts for a minute, then the next greatest since."""
        beat = Lateness(1.0)
        beat.begin(0.0)
        for now in (1.0, 2.5, 3.0, 4.25, 5.0):
            beat.beat(now)
        self.assertEqual(beat.worst(5.0), 0.5)
        for second in range(6, 65):
            beat.beat(float(second))
            self.assertEqual(beat.worst(float(second)), 0.5 if second < 63 else 0.25)
        self.assertEqual(beat.worst(67.5), 2.5, "what is late just now counts as well")

    def test_skips(self) -> None:
        """After a long delay the next beat is due when it would have been anyway."""
        beat = Lateness(1.0)
        beat.begin(0.0)
        beat.beat(3.5)
        beat.beat(4.0)
        self.assertEqual(beat.worst(4.0), 2.5)
        beat.beat(5.0)
        self.assertEqual(beat.worst(5.0), 2.5)

    def test_bounded(self) -> None:
        """It remembers no more than a minute has beats, however late each is."""
        beat = Lateness(1.0)
        beat.begin(0.0)
        for second in range(1, 1000):
            beat.beat(second + 0.5 - second / 2500)
        self.assertLessEqual(len(beat._late), 61)


class WeightTests(SynchronousTestCase):
    """What a process weighs."""

    def test_weight(self) -> None:
        """This process has memory, descriptors, and room for more of these."""
        weight = Scales().weigh()
        assert weight.rss is not None and weight.fds is not None and weight.max_fds is not None
        self.assertGreater(weight.rss, 10_000_000)
        self.assertTrue(3 <= weight.fds < weight.max_fds)

    def test_withoutPsutil(self) -> None:
        """Without psutil what it would tell is not known; nothing fails."""
        scales = Scales()
        scales._process = False
        weight = scales.weigh()
        self.assertEqual((weight.rss, weight.fds), (None, None))


class StatsTests(SiteCase):
    """The dispatcher's method `stats`."""

    def setUp(self) -> None:
        self.site = Site(site="north", max_nodes=50, weigh=lambda: Weight(1000, 7, 1024))
        self.addCleanup(self._stopSite)

    def ask(self, node: Node) -> Any:
        """What it tells this node."""
        return self.site.wait(node.call("", "stats"))

    def test_contract(self) -> None:
        """Any node of the site gets the figures by `call("", "stats")`, all that is promised, as JSON."""
        node = self.site.node(Node, name="asker")
        self.site.advance(3.0)
        told = self.ask(node)
        self.assertEqual(json.loads(json.dumps(told)), told)
        dispatcher = self.site.dispatcher
        assert dispatcher is not None
        self.assertEqual(
            {name: told[name] for name in ("site", "boot", "version", "protocol", "rss", "fds", "max_fds", "max_nodes", "lag")},
            {
                "site": "north",
                "boot": dispatcher.boot,
                "version": __version__,
                "protocol": 1,
                "rss": 1000,
                "fds": 7,
                "max_fds": 1024,
                "max_nodes": 50,
                "lag": 0.0,
            },
        )
        self.assertEqual(told["uptime"], self.site.clock.seconds())
        self.assertGreater(told["wall"], 1_700_000_000)
        self.assertEqual(told["max_message"], 1_048_576)
        self.assertEqual((told["counters"]["nodes"], told["counters"]["calls"], told["drops"]), (1, 1, {}))
        for name in ("delivery", "round_trip"):
            self.assertEqual(len(told[name]["counts"]), len(told[name]["bounds"]) + 1)

    def test_delivery(self) -> None:
        """`delivery` counts each event by the time from its routing to the last node's answer."""
        node, slow = self.site.node(Node, name="asker"), self.site.node(Slow, name="slow")
        self.site.node(Slow, name="quick").work.callback(None)
        published = [node.publish("orders.created", Order, id=1), node.publish("orders.created", Order, id=2)]
        self.site.advance(3.0)
        self.assertEqual(sum(self.ask(node)["delivery"]["counts"]), 1, "the second waits for the handler of the first")
        slow.work.callback(None)
        self.site.wait(published[0])
        self.site.wait(published[1])
        told = self.ask(node)["delivery"]
        counts = dict(zip([*told["bounds"], None], told["counts"], strict=True))
        self.assertEqual((counts[5.0], sum(counts.values())), (1, 2))
        self.assertAlmostEqual(told["sum"], 3.0, delta=0.2)

    def test_unanswered(self) -> None:
        """What nobody subscribes to, or what was lost, has no time of delivery."""
        node = self.site.node(Node, name="asker")
        self.site.wait(node.publish("nobody.cares", Order, id=1))
        self.assertEqual(sum(self.ask(node)["delivery"]["counts"]), 0)

    def test_roundTrip(self) -> None:
        """`round_trip` counts the pings of all nodes."""
        node = self.site.node(Node, name="asker")
        self.site.advance(3 * INTERVAL)
        self.assertGreaterEqual(sum(self.ask(node)["round_trip"]["counts"]), 2)

    def test_drops(self) -> None:
        """`drops` counts what nodes did not get since the dispatcher's start, of nodes that have left as well."""
        node, slow = self.site.node(Node, name="asker"), self.site.node(Slow, name="slow")
        slow.subscribe("orders.created", policy="drop_newest", max_events=1)
        self.site.flush()
        published = [node.publish("orders.created", Order, id=number) for number in range(50)]
        self.site.advance(1.0)
        drops = self.ask(node)["drops"]
        self.assertEqual(set(drops), {"dropped_newest"})
        self.assertGreater(drops["dropped_newest"], 0)
        slow.work.callback(None)
        for one in published:
            self.site.wait(one)
        self.site.wait(slow.stopService())
        self.site.advance(5.0)
        self.assertEqual(self.ask(node)["drops"], drops)

    def test_lag(self) -> None:
        """A reactor that did something else for a while was late by so much."""
        node = self.site.node(Node, name="asker")
        self.site.advance(2.0)
        self.site.clock.rightNow += 4.0  # as when the process is stopped
        self.site.advance(1.0)
        self.assertAlmostEqual(self.ask(node)["lag"], 3.0, delta=0.1)
        self.site.advance(70.0)
        self.assertLess(self.ask(node)["lag"], 0.1)

    def test_grants(self) -> None:
        """Who has a grant that names no method of the dispatcher gets none of it, who has one that does gets it."""
        owner = self.site.node(Node, name="owner", grant=self.site.owner)
        kept_out = self.site.wait(owner.grant(call=["calc"]))
        let_in = self.site.wait(owner.grant(call=["nodeset/stats"]))
        self.assertIn("uptime", self.ask(self.site.node(Node, name="in", grant=let_in)))
        with self.assertRaises(Refused):
            self.ask(self.site.node(Node, name="out", grant=kept_out))


class NodeFiguresTests(SiteCase):
    """What a node tells of itself."""

    def test_figures(self) -> None:
        """Every node answers `nodeset.figures`, which is not among the methods that it exposes."""
        node, shop = self.site.node(Node, name="asker"), self.site.node(Slow, name="shop")
        shop.work.callback(None)
        self.publishes(node)
        self.site.clock.rightNow += 8.0  # it was stopped
        self.site.advance(20.0)
        told = self.site.wait(node.call("shop", "nodeset.figures"))
        self.assertEqual((told["version"], told["subscriptions"], told["counters"]["received"]), (__version__, 1, 1))
        self.assertAlmostEqual(told["lag"], 8.0 - INTERVAL, delta=0.1)
        self.assertAlmostEqual(told["uptime"], self.site.clock.seconds(), delta=0.1)
        self.assertEqual(json.loads(json.dumps(told)), told)
        self.assertEqual(next(info.methods for info in self.site.wait(node.nodes()) if info.name == "shop"), [])
        self.assertEqual(shop.getSubscriptions(), ["orders.created"])

    def test_all(self) -> None:
        """All nodes of a name are asked by one call, each answers for itself."""
        node = self.site.node(Node, name="asker")
        streams = {each._peer.stream for _ in range(3) if (each := self.site.node(Slow, name="shop"))._peer}
        replies = self.site.wait(node.call("shop", "nodeset.figures", mode="all"))
        self.assertEqual({reply.stream for reply in replies if reply.value["version"] == __version__}, streams)

    def test_grants(self) -> None:
        """Who may not call a node is not told."""
        owner = self.site.node(Node, name="owner", grant=self.site.owner)
        out = self.site.node(Node, name="out", grant=self.site.wait(owner.grant(call=["calc/add"])))
        self.site.node(Slow, name="shop")
        self.failing(Refused, out.call("shop", "nodeset.figures"))
        self.failing(Refused, out.call("calc", "nodeset.figures"))

    def test_arguments(self) -> None:
        """It takes no arguments."""
        node = self.site.node(Node, name="asker")
        self.failing(BadArguments, node.call("asker", "nodeset.figures", 1))
