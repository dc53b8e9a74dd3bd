"""Nodes that share one Tub."""

from __future__ import annotations

from nodeset.core.collection import CollectionAdapter, NodeCollection
from nodeset.core.node import Node
from nodeset.errors import LocalError, NotRunning, Receipt
from tests.sites import Order, Quiet, Shop, SiteCase


class CollectionTests(SiteCase):
    """`NodeCollection` with its adapter."""

    def setUp(self) -> None:
        super().setUp()
        self.collection = self.site.node(NodeCollection, name="all", tub="shared", start=False)
        self.one, self.two = (Shop(name=name, clock=self.site.clock) for name in ("one", "two"))

    def _start(self) -> None:
        self.collection.adapt(self.one)
        self.collection.adapt(self.two)
        self.collection.startService()
        self.assertIs(self.site.wait(self.collection.start()), self.collection)

    def test_ownNames(self) -> None:
        """Members are addressed by their own names, over links of one TubID."""
        self._start()
        publisher = self.site.node(Node)
        for number, name in enumerate(("one", "two", "all", "nobody")):
            matched = int(name in ("one", "two"))
            self.assertEqual(self.publishes(publisher, number, f"{name}@/orders.created"), Receipt(matched, matched, 0))
        self.assertEqual((self.one.orders, self.two.orders), ([0], [1]))
        self.assertEqual(len(self.site.wire.links("shared")), 3)

    def test_publishInside(self) -> None:
        """What a member publishes reaches the other members and outsiders exactly once."""
        outside = self.site.node(Shop, name="outside")
        self._start()
        adapter = self.collection.adapt(self.one)
        self.assertEqual(self.site.wait(adapter.publish("orders.created", Order, id=1)), Receipt(2, 2, 0))
        self.assertEqual(self.site.wait(adapter.publishMessage("orders.created", Order(id=2))), Receipt(2, 2, 0))
        self.assertEqual(self.publishes(self.collection, 3), Receipt(3, 3, 0))
        self.assertEqual((self.one.orders, self.two.orders, outside.orders), ([3], [1, 2, 3], [1, 2, 3]))

    def test_verbs(self) -> None:
        """The adapter passes on what the node's verbs take: a level, a policy with its limits, many messages at a go."""
        self._start()
        adapter = self.collection.adapt(self.one)
        self.assertIs(self.site.wait(adapter.subscribe("extra", policy="drop_oldest", max_events=5)), True)
        self.assertRaises(LocalError, adapter.subscribe, "extra", policy="other")
        self.assertEqual(self.site.wait(adapter.publish("extra", level="handled")), Receipt(1, 1, 0))
        self.assertIn(self.one.name, [info.name for info in self.site.wait(adapter.nodes())])
        many = adapter.publishMany("orders.created", Order, [{"id": 1}, {"id": 2}], level="handled")
        self.assertEqual((self.site.wait(many), self.two.orders), (Receipt(2, 2, 0), [1, 2]))

    def test_unsubscribe(self) -> None:
        """Unsubscribing one member leaves the other's subscription to the same event."""
        self._start()
        publisher = self.site.node(Node)
        adapter = self.collection.adapt(self.one)
        self.assertIs(self.site.wait(adapter.unsubscribe("orders.created")), True)
        self.assertEqual(self.publishes(publisher, 1), Receipt(1, 1, 0))
        self.assertEqual((self.one.orders, self.two.orders), ([], [1]))
        self.assertIs(self.site.wait(adapter.subscribe("orders.created")), True)
        self.assertEqual(self.publishes(publisher, 2), Receipt(2, 2, 0))

    def test_reconnect(self) -> None:
        """After a kill of the dispatcher all members come back with what they subscribed to."""
        self._start()
        publisher = self.site.node(Node)
        self.site.wait(self.collection.adapt(self.two).subscribe("extra"))
        self.site.killDispatcher()
        self.site.startDispatcher()
        self.site.advance(2.5)
        self.assertEqual(self.publishes(publisher, 1), Receipt(2, 2, 0))
        self.assertEqual(self.site.wait(publisher.publish("extra")), Receipt(1, 1, 0))

    def test_killedInFlight(self) -> None:
        """What members have under way when the dispatcher is killed is confirmed after its restart, shown once, in order."""
        outside = self.site.node(Shop, name="outside")
        self._start()
        self.site.wire.delay = 0.1
        receipts = [self.publisherOf(number).publish("orders.created", Order, id=number) for number in range(40)]
        self.site.advance(0.25)
        self.site.killDispatcher()
        self.site.startDispatcher()
        self.assertEqual({self.site.wait(receipt) for receipt in receipts}, {Receipt(2, 2, 0)})
        odd, even = list(range(1, 40, 2)), list(range(0, 40, 2))
        self.assertEqual((self.one.orders, self.two.orders), (odd, even))
        self.assertEqual(([n for n in outside.orders if n % 2], [n for n in outside.orders if not n % 2]), (odd, even))

    def publisherOf(self, number: int) -> CollectionAdapter:
        """Who publishes this one: the members in turn."""
        return self.collection.adapt((self.one, self.two)[number % 2])

    def test_stopRightAfter(self) -> None:
        """A collection that is stopped right after its members published loses nothing of it."""
        outside = self.site.node(Shop, name="outside")
        self._start()
        receipts = [self.publisherOf(number).publish("orders.created", Order, id=number) for number in range(40)]
        self.site.wait(self.collection.stopService())
        results = [self.successResultOf(receipt) for receipt in receipts]
        self.assertTrue(all(receipt.delivered == receipt.matched >= 1 for receipt in results), results)
        self.assertEqual(sorted(outside.orders), list(range(40)))

    def test_memberStops(self) -> None:
        """A member that stops leaves the others linked, and may be started again."""
        self._start()
        publisher = self.site.node(Node)
        self.site.wait(self.one.stopService())
        self.assertEqual(self.publishes(publisher, 1), Receipt(1, 1, 0))
        self.assertEqual(self.two.orders, [1])
        self.one.startService()
        self.site.wait(self.one.start())
        self.assertEqual(self.publishes(publisher, 2), Receipt(2, 2, 0))

    def test_adapter(self) -> None:
        """The adapter is an object of its own, the same for the same node; the node is not patched."""
        before = dict(vars(self.one))
        adapter = self.collection.adapt(self.one)
        self.assertIsInstance(adapter, CollectionAdapter)
        self.assertIs(self.collection.adapt(self.one), adapter)
        self.assertIs(adapter.node, self.one)
        self.assertEqual(vars(self.one), before)
        self._start()
        for verb in ("publish", "publishMessage", "subscribe", "unsubscribe", "onEvent"):
            self.assertNotIn(verb, vars(self.one))
        self.assertEqual(self.collection.getMembers(), [self.one, self.two])

    def test_empty(self) -> None:
        """A collection without members is a node."""
        self.collection.startService()
        self.assertIs(self.site.wait(self.collection.start()), self.collection)
        self.assertEqual(self.publishes(self.collection), Receipt(0, 0, 0))
        self.assertEqual(self.collection.getMembers(), [])

    def test_late(self) -> None:
        """A node adapted while the collection runs is started with it."""
        self.collection.startService()
        self.collection.adapt(self.one)
        self.site.wait(self.one.start())
        self.assertEqual(self.publishes(self.collection, 1), Receipt(1, 1, 0))

    def test_refused(self) -> None:
        """A node that runs by itself, or is a collection, cannot become a member."""
        running = self.site.node(Quiet)
        self.assertRaises(LocalError, self.collection.adapt, running)
        self.assertRaises(LocalError, self.collection.adapt, self.collection)
        self.assertRaises(LocalError, self.collection.adapt, NodeCollection(clock=self.site.clock))

    def test_startFails(self) -> None:
        """start() of a collection fails once, with NotRunning, when it is stopped before all are linked."""
        self.site.killDispatcher()
        self.collection.adapt(self.one)
        self.collection.startService()
        linked = self.collection.start()
        self.site.wait(self.collection.stopService())
        self.failureResultOf(linked, NotRunning)

    def test_stopsAll(self) -> None:
        """Stopping the collection stops the members; all can be started again."""
        self._start()
        self.site.wait(self.collection.stopService())
        self.assertFalse(self.one.running or self.two.running)
        self.assertEqual(self.site.wire.links("shared"), [])
        self.collection.startService()
        self.site.wait(self.collection.start())
        self.assertEqual(self.publishes(self.site.node(Node), 1), Receipt(2, 2, 0))
