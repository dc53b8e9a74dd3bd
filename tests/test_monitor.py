"""The node that watches a dispatcher, on a site of its own."""

from __future__ import annotations

import json
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred

from nodeset.core.message import MessageBuilder
from nodeset.core.node import Node
from nodeset.core.presence import listing
from nodeset.errors import Refused
from nodeset.monitor.exposition import Exposition
from nodeset.monitor.message import Notify, Stats
from nodeset.monitor.overview import Overview
from nodeset.monitor.watch import Watch
from nodeset.testing import Site
from tests.sites import Order, Quiet, Shop, SiteCase

#: Seconds between two looks.
INTERVAL = 2.0


class Eye(Node):
    """The node of a monitor."""

    watch: Watch

    def onEvent(self, event: str, msg: Any) -> None:
        self.watch.heard(event, msg)


class WatchCase(SiteCase):
    """A dispatcher with a monitor, which has an owner's grant unless a test gives it another."""

    def setUp(self) -> None:
        self.site = Site(site="north")
        self.said: list[str] = []
        self.addCleanup(self._stopSite)

    def watch(self, *, grant: str = "", as_json: bool = True, max_labels: int = 5, name: str = "monitor") -> Watch:
        """One that looks."""
        node = self.site.node(Eye, name=name, grant=grant or self.site.owner)
        self.overview = Overview(max_labels)
        watch = node.watch = Watch(node, self.site.clock, self.overview, INTERVAL, self.said.append, as_json)
        watch.startService()
        self.addCleanup(watch.stopService)
        self.site.advance(0.5)
        return watch

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """What Prometheus would read, by name with its labels."""
        text = Exposition(self.overview).text().decode()
        found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                self.assertNotIn(key, found, "a series is told twice: Prometheus would refuse all of it")
                found[key] = sample.value
        return found

    def value(self, name: str, **labels: str) -> float | None:
        """One of them, of the site."""
        labels = labels if name == "nodeset_up" else {"site": "north", **labels}
        return self.samples().get((name, tuple(sorted(labels.items()))))


class LookTests(WatchCase):
    """What it sees."""

    def test_lines(self) -> None:
        """It says at every interval how the dispatcher does."""
        self.watch()
        shop = self.site.node(Shop, name="shop")
        for number in range(20):
            self.publishes(shop, number, "orders.new")
        self.site.advance(3 * INTERVAL)
        said = [json.loads(line) for line in self.said]
        self.assertGreaterEqual(len(said), 3)
        self.assertTrue(all(each["up"] and each["site"] == "north" for each in said))
        self.assertGreater(sum(each["events_per_second"] for each in said) * INTERVAL, 19)
        self.assertEqual(said[-1]["nodes"], 2)

    def test_metrics(self) -> None:
        """Prometheus reads the same: of the dispatcher, of each node."""
        self.watch()
        pub = self.site.node(Quiet, name="pub")
        self.site.node(Shop, name="shop")
        for number in range(7):
            self.publishes(pub, number)
        self.site.advance(2 * INTERVAL + 5)
        self.assertEqual(self.value("nodeset_up"), 1)
        self.assertGreaterEqual(self.value("nodeset_events_published_total") or 0, 7)
        self.assertEqual(self.value("nodeset_node_published_total", node="pub", host="localhost"), 7)
        self.assertEqual(self.value("nodeset_node_delivered_total", node="shop", host="localhost"), 7)
        self.assertLess(self.value("nodeset_node_lag_seconds", node="shop", host="localhost") or 0, 0.1)
        self.assertEqual(self.value("nodeset_node_incidents_total", node="shop", host="localhost", kind="received"), 7)
        self.assertGreaterEqual(self.value("nodeset_delivery_seconds_count") or 0, 7)
        self.assertGreater(self.value("nodeset_round_trip_seconds_count") or 0, 0)
        self.assertEqual(self.value("nodeset_nodes_in_state", state="up"), 3)
        self.assertEqual(self.value("nodeset_drops_total", reason="lost"), 0, "known reasons are told from the start")

    def test_left(self) -> None:
        """The series of a node that left disappear."""
        self.watch()
        shop = self.site.node(Shop, name="shop")
        self.site.advance(2 * INTERVAL)
        self.assertEqual(self.value("nodeset_node_instances", node="shop", host="localhost"), 1)
        self.site.wait(shop.stopService())
        self.site.advance(2 * INTERVAL)
        self.assertNotIn("shop", Exposition(self.overview).text().decode())

    def test_bounded(self) -> None:
        """Of more labels than it may tell of, the rest is one."""
        self.watch(max_labels=2)
        for number in range(6):
            self.publishes(self.site.node(Quiet, name=f"n{number}"), number)
        self.site.advance(2 * INTERVAL)
        series = [key for key in self.samples() if key[0] == "nodeset_node_instances"]
        self.assertEqual(len(series), 3)
        self.assertEqual(self.value("nodeset_node_instances", node="other", host=""), 5)

    def test_hostileNames(self) -> None:
        """Names that would break the format, or a terminal, do neither."""
        self.watch()
        for name in ('x"},evil{a="1', "back\\slash", "other", 'q"', "ü=ü", "{}"):
            self.publishes(self.site.node(Quiet, name=name))
        self.site.advance(2 * INTERVAL)
        names = {dict(labels)["node"] for name, labels in self.samples() if name == "nodeset_node_instances"}
        self.assertTrue({'q"', "back\\slash", "{}"} <= names | {"other"}, names)
        self.assertTrue(all(line.isprintable() for line in self.said))

    def test_manyNodes(self) -> None:
        """Nodes are asked for page by page with a pause between, and all are seen."""
        self.watch(max_labels=3)
        for number in range(450):
            self.site.node(Quiet, name=f"n{number}")
        self.site.advance(2 * INTERVAL + 5)
        self.assertEqual(self.overview.labels.states["up"], 451)
        self.assertEqual(sum(row.instances for row in self.overview.labels.rows.values()), 451)


class LossTests(WatchCase):
    """What it makes of a dispatcher that is not there."""

    def test_deadAtStart(self) -> None:
        """Without a dispatcher it waits: up is 0; it sees the one that comes."""
        self.site.killDispatcher()
        self.watch()
        self.site.advance(3 * INTERVAL)
        self.assertEqual((self.value("nodeset_up"), len(self.samples()), self.said), (0, 1, []))
        self.site.startDispatcher()
        self.site.advance(4 * INTERVAL + 5)
        self.assertEqual(self.value("nodeset_up"), 1)
        self.assertTrue(json.loads(self.said[-1])["up"])

    def test_restart(self) -> None:
        """While the dispatcher is gone up is 0, said once, counters stay; after its start they go on where they were."""
        self.watch()
        pub, _shop = self.site.node(Quiet, name="pub"), self.site.node(Shop, name="shop")
        for number in range(10):
            self.publishes(pub, number)
        self.site.advance(2 * INTERVAL)
        before = {key: value for key, value in self.samples().items() if key[0].endswith(("_total", "_count", "_bucket"))}
        self.site.killDispatcher()
        self.site.advance(5 * INTERVAL)
        self.assertEqual([json.loads(line)["up"] for line in self.said].count(False), 1)
        self.assertEqual(self.value("nodeset_up"), 0)
        self.assertIsNone(self.value("nodeset_nodes"), "what it was is not what it is")
        self.assertEqual({key: self.samples().get(key) for key in before}, before)
        self.site.startDispatcher()
        self.site.advance(4 * INTERVAL + 5)
        self.publishes(pub)
        self.site.advance(2 * INTERVAL)
        after = self.samples()
        for key, value in before.items():
            self.assertGreaterEqual(after[key], value, key)
        self.assertEqual(self.value("nodeset_node_published_total", node="pub", host="localhost"), 11)
        self.assertEqual((self.value("nodeset_up"), self.value("nodeset_restarts_total")), (1, 1))

    def test_restartInBetween(self) -> None:
        """A start in the middle of a sweep, some pages of the old dispatcher and some of the new, counts nothing twice."""
        self.patch(listing, "MAX_PAGE", 1)
        self.watch()
        pubs = [self.site.node(Quiet, name=f"pub{number}") for number in range(4)]
        for pub in pubs:
            for number in range(10):
                self.publishes(pub, number)
        self.site.advance(5 * INTERVAL)
        for _ in range(8):
            for pub in pubs:
                self.assertLessEqual(self.value("nodeset_node_published_total", node=pub.name, host="localhost") or 0, 10)
            self.site.restartDispatcher(after=0.3)
            self.site.advance(3 * INTERVAL + 0.37)

    def test_nonsense(self) -> None:
        """A dispatcher whose figures make no sense is one that tells none; the monitor goes on."""
        self.watch()
        assert self.site.dispatcher is not None
        self.site.dispatcher.desk.offer("stats", lambda session: {"counters": "many"})
        self.site.advance(2 * INTERVAL)
        self.assertEqual(self.value("nodeset_up"), 0)

    def test_circles(self) -> None:
        """A dispatcher that never comes to the end of its nodes is asked for no more of them until the next look."""
        self.watch()
        assert self.site.dispatcher is not None
        asked: list[str] = []

        def nodes(session: object, after: str = "", name: str = "") -> dict[str, object]:
            asked.append(after)
            return {"nodes": [], "next": "x"}

        self.site.dispatcher.desk.offer("nodes", nodes)
        self.site.advance(3 * INTERVAL)
        self.assertLess(len(asked), 10)
        self.assertEqual(self.value("nodeset_up"), 1)


class GrantTests(WatchCase):
    """What it may do."""

    def grant(self, **verbs: Any) -> str:
        """The FURL of a grant."""
        owner = self.site.node(Node, name="owner", grant=self.site.owner)
        furl: str = self.site.wait(owner.grant(**verbs))
        return furl

    def test_enough(self) -> None:
        """The least grant that lets it do all is the one that the documents name."""
        heard = self.site.node(Quiet, name="listener")
        self.site.wait(heard.subscribe("nodeset.stats"))
        self.watch(
            grant=self.grant(
                publish=["nodeset.stats"], subscribe=["notify"], call=["nodeset/stats", "nodeset/nodes", "*/nodeset.figures"]
            )
        )
        self.site.advance(2 * INTERVAL)
        self.assertGreater(len(heard.heard), 1)
        self.assertIsNotNone(self.value("nodeset_node_lag_seconds", node="listener", host="localhost"))

    def test_nothing(self) -> None:
        """With a grant that does not allow it up is 0; it goes on."""
        self.watch(grant=self.grant(publish=["orders.created"]))
        self.site.advance(3 * INTERVAL)
        self.assertEqual((self.value("nodeset_up"), self.said), (0, []))

    def test_statsAlone(self) -> None:
        """Who may ask for the dispatcher's figures alone shows these."""
        self.watch(grant=self.grant(call=["nodeset/stats"]))
        self.site.advance(3 * INTERVAL)
        self.assertEqual(self.value("nodeset_up"), 1)
        self.assertEqual([key for key in self.samples() if "shop" in str(key)], [])
        self.assertEqual(self.stats("refused_events"), [1], "it tries to publish once")

    def test_member(self) -> None:
        """With a member's grant, which does not let anybody publish under `nodeset.`, it does all but that."""
        self.watch(grant=self.site.member)
        self.site.advance(5 * INTERVAL)
        self.assertEqual((self.value("nodeset_up"), self.stats("refused_events")), (1, [1]))


class EventTests(WatchCase):
    """What it publishes."""

    def heard(self, node: Quiet) -> list[Any]:
        """The figures that came."""
        return [msg for event, msg in node.heard if event.rpartition("/")[2] == "nodeset.stats"]

    def test_published(self) -> None:
        """Whoever subscribes to `nodeset.stats` gets the figures at every interval, as the message class has them."""
        self.watch()
        node = self.site.node(Quiet, name="listener")
        self.site.wait(node.subscribe("nodeset.stats"))
        self.site.advance(3 * INTERVAL)
        found = self.heard(node)
        self.assertGreaterEqual(len(found), 3)
        self.assertEqual((str(found[-1].site), int(found[-1].nodes)), ("north", 2))
        self.assertTrue(all(hasattr(found[-1], name) for name in Stats.__annotations__))

    def test_notify(self) -> None:
        """Who publishes `notify` gets them at once."""
        self.watch()
        node = self.site.node(Quiet, name="asker")
        self.site.wait(node.subscribe("nodeset.stats"))
        self.site.advance(INTERVAL)
        before = len(self.heard(node))
        self.publishes(node, event="notify")
        self.site.advance(0.2)
        self.assertEqual(len(self.heard(node)), before + 1)

    def test_replyTo(self) -> None:
        """With `reply_to` only that node is told, if it subscribes to be; what is no text names no node."""
        watch = self.watch()
        asker, other = self.site.node(Quiet, name="asker"), self.site.node(Quiet, name="other")
        for node in (asker, other):
            self.site.wait(node.subscribe("nodeset.stats"))
        self.site.advance(INTERVAL)
        before = len(self.heard(asker)), len(self.heard(other))
        self.site.wait(asker.publish("notify", Notify, reply_to="asker"))
        self.site.advance(0.2)
        self.assertEqual((len(self.heard(asker)), len(self.heard(other))), (before[0] + 1, before[1]))
        # Whoever subscribes to nothing is told nothing; what is no text is not made one.
        published: list[str] = []
        publish = watch._publish

        def note(address: str) -> None:
            published.append(address)
            publish(address)

        self.patch(watch, "_publish", note)
        for wrong in (7, ["7"], {"7": 1}, True):
            self.site.wait(asker.publishMessage("notify", MessageBuilder.createMessage(None, reply_to=wrong)))
            self.site.advance(0.8)
        self.assertEqual(set(published), {"nodeset.stats"})
        stranger = self.site.node(Quiet, name="stranger")
        self.site.wait(asker.publish("notify", Notify, reply_to="stranger"))
        self.site.advance(1.5)
        self.assertIn("stranger@localhost/nodeset.stats", published)
        self.assertEqual(self.heard(stranger), [])

    def test_flood(self) -> None:
        """However many ask however often, it looks once a second, answers to twenty; nonsense is not answered."""
        self.watch()
        assert self.site.dispatcher is not None
        looks: list[float] = []
        stats = self.site.dispatcher.desk._methods["stats"]

        def count(session: Any) -> Any:
            looks.append(self.site.clock.seconds())
            return stats(session)

        self.site.dispatcher.desk.offer("stats", count)
        asker = self.site.node(Quiet, name="asker")
        asked: list[Deferred[Any]] = []
        for number in range(500):
            asked.append(asker.publish("notify", Notify, reply_to=f"n{number}"))
            asked.append(asker.publish("notify", Notify, reply_to="a/b@c@d"))
        self.site.advance(2.0)
        for each in asked:
            self.site.wait(each)
        self.assertLessEqual(len(looks), 5)
        self.assertLess(self.stats("published")[0], 1000 + 2 * 20 + 20)

    def test_members(self) -> None:
        """A member cannot pass itself off as a monitor."""
        node = self.site.node(Quiet, name="liar")
        self.failing(Refused, node.publish("nodeset.stats", Order, id=1))
