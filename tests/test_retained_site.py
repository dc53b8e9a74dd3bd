"""Last values that are kept for newcomers, as the users of nodes meet them."""

from __future__ import annotations

from nodeset.core.message import RawMessage
from nodeset.core.node import Node
from nodeset.core.retained import keeping
from nodeset.core.retained.store import Retained
from nodeset.errors import LocalError, Overloaded
from tests.sites import Order, Quiet, RetainedCase, Shop


class RetainedTests(RetainedCase):
    """`publish(..., retain=True)`."""

    def test_lateJoiner(self) -> None:
        """Who subscribes later is handed the last value, once, marked as such; who was there had it live."""
        early = self.subscriber("orders.created")
        self.assertEqual(self.keeps(1), (1, 1, 0))
        self.assertEqual(self.keeps(2), (1, 1, 0))
        late = self.subscriber("orders.created")
        self.assertEqual(self.heard(late), [("orders.created", 2, True)])
        self.assertEqual(self.heard(early), [("orders.created", 1, False), ("orders.created", 2, False)])
        self.assertEqual(self.keeps(3), (2, 2, 0))
        for node in (early, late):
            self.assertEqual(self.heard(node), [("orders.created", 3, False)])
        shop = self.site.node(Shop)  # by @catch
        self.site.advance(0.2)
        self.assertEqual(shop.orders, [3])

    def test_patterns(self) -> None:
        """A pattern is handed all that it matches, each event once, however many patterns match it."""
        for number, event in enumerate(("a.b", "a.c", "a.b.c", "b", "a.b.c.d.e.f.g.h")):
            self.keeps(number, event)
        self.assertEqual(sorted(one for one, _id, _handed in self.heard(self.subscriber("a.*"))), ["a.b", "a.c"])
        self.assertEqual(len(self.heard(self.subscriber("a.>", "a.b", "a.*", ">"))), 5)
        self.assertEqual(self.heard(self.subscriber("a.b.c.d.e.f.g.>")), [("a.b.c.d.e.f.g.h", 4, True)])
        self.assertEqual(
            self.heard(self.subscriber("a.b.c.d.e.f.g.*", "*.b.c.>", "*.*.*.*.*.*.*.*")), [("a.b.c.d.e.f.g.h", 4, True)]
        )
        self.assertEqual(self.heard(self.subscriber("c.>", "a", "*.*.*.*")), [])

    def test_addresses(self) -> None:
        """A value for the nodes of one name is handed to those alone."""
        self.keeps(1, "kitchen@/orders.created")
        self.assertEqual(self.heard(self.subscriber("orders.created", name="hall")), [])
        self.assertEqual(self.heard(self.subscriber("orders.*", name="kitchen")), [("kitchen@/orders.created", 1, True)])

    def test_own(self) -> None:
        """A node that subscribes to what it keeps itself is handed it too; by `@catch` alone it is not."""
        self.keeps(1)
        self.site.wait(self.pub.subscribe("orders.created"))
        self.assertEqual(self.heard(self.pub), [("orders.created", 1, True)])
        shop = self.site.node(Shop)
        self.publishes(shop, 2, retain=True)
        self.site.advance(10.0)
        self.assertEqual(shop.orders, [1])
        self.site.wait(shop.subscribe("orders.created"))
        self.site.advance(0.2)
        self.assertEqual(shop.orders, [1, 2])

    def test_again(self) -> None:
        """Who unsubscribes, then subscribes again, is handed the value anew; who subscribes twice is not."""
        self.keeps(1)
        node = self.subscriber("orders.*")
        self.assertEqual(len(self.heard(node)), 1)
        self.site.wait(node.subscribe("orders.created"))
        self.site.wait(node.subscribe("orders.*", max_events=10))
        self.assertEqual((self.heard(node), self.count(node, "duplicate")), ([], 1))
        for pattern in ("orders.*", "orders.created"):
            self.site.wait(node.unsubscribe(pattern))
        self.assertEqual(self.heard(node), [])
        node.unsubscribe("nothing")
        self.site.wait(node.subscribe("orders.*"))
        self.assertEqual(self.heard(node), [("orders.created", 1, True)])
        node.unsubscribe("orders.*")
        self.site.wait(node.subscribe("orders.*"))
        self.assertEqual(self.heard(node), [("orders.created", 1, True)])

    def test_twoPublishers(self) -> None:
        """Of two nodes that keep the same event each hands its own value."""
        other = self.site.node(Node)
        self.keeps(1)
        self.publishes(other, 2, retain=True)
        self.assertEqual(
            sorted(self.heard(self.subscriber("orders.>"))), [("orders.created", 1, True), ("orders.created", 2, True)]
        )

    def test_forget(self) -> None:
        """What is forgotten is handed to nobody; publishing without `retain` forgets nothing."""
        self.keeps(1)
        self.publishes(self.pub, 2)
        self.assertEqual(self.heard(self.subscriber("orders.>")), [("orders.created", 1, True)])
        self.assertEqual((self.pub.forget("orders.created"), self.pub.forget("orders.created")), (True, False))
        self.assertEqual(self.heard(self.subscriber("orders.>")), [])
        self.assertFalse(Node().forget("orders.created"))

    def test_raw(self) -> None:
        """Bytes as they are, a message that exists, the last of many: all may be retained."""
        self.site.wait(self.pub.publishMessage("raw", RawMessage(b"\xff\x00"), retain=True))
        self.site.wait(self.pub.publishMany("many", Order, [{"id": 1}, {"id": 2}], retain=True))
        self.site.wait(self.pub.publishMany("one", Order, [{"id": 3}], retain=True))
        node = self.subscriber("raw", "many", "one")
        self.site.advance(0.2)
        (raw,) = [msg for event, msg in node.heard if event == "raw"]
        self.assertEqual((raw.data, raw.meta.retained), (b"\xff\x00", True))
        node.heard = [(event, msg) for event, msg in node.heard if event != "raw"]
        self.assertEqual(sorted(self.heard(node)), [("many", 2, True), ("one", 3, True)])
        self.assertEqual(self.site.wait(self.pub.publishMany("many", Order, [{"id": 4}, {"id": 5}], retain=True)), (2, 2, 0))
        self.assertEqual(self.heard(node), [("many", 4, False), ("many", 5, False)])

    def test_refused(self) -> None:
        """What goes to one worker alone cannot be retained."""
        error = self.assertRaises(LocalError, self.pub.publish, "jobs", None, retain=True, _delivery_mode="one")
        self.assertIn("'one'", str(error))

    def test_bounded(self) -> None:
        """One event or byte too many is refused, by name, whatever was kept is kept; what is over makes room."""
        assert self.pub._peer is not None
        kept = self.pub._peer.keeping.retained = Retained(2, 100)
        self.keeps(1, "a")
        self.keeps(2, "b", ttl=5.0)
        error = self.assertRaises(Overloaded, self.keeps, 3, "c")
        self.assertIn("'c' cannot be retained", str(error))
        self.assertRaises(Overloaded, self.pub.publish, "a", Order, note="x" * 100, retain=True)
        self.assertEqual(sorted(self.heard(self.subscriber("*"))), [("a", 1, True), ("b", 2, True)])
        self.site.clock.advance(5.0)
        self.keeps(3, "c")
        self.assertEqual(sorted(self.heard(self.subscriber("*"))), [("a", 1, True), ("c", 3, True)])
        self.assertEqual(kept.events(), ["a", "c"])

    def test_overloaded(self) -> None:
        """A value that could not be published is not kept."""
        self.keeps(1)
        assert self.pub._peer is not None
        self.patch(self.pub._peer.publisher, "_outbox", type(self.pub._peer.publisher._outbox)(max_waiting=0, max_events=1))
        self.site.wire.cut()
        first = self.pub.publish("x", None)
        self.pub._peer.publisher._joins = False
        self.failing(Overloaded, self.pub.publish("orders.created", Order, id=2, retain=True))
        self.failing(Overloaded, self.pub.publish("new", Order, id=2, retain=True))
        self.site.wait(first)
        self.assertEqual(self.heard(self.subscriber(">")), [("orders.created", 1, True)])

    def test_ttl(self) -> None:
        """A retained value that is over is handed to nobody; one that is not is handed with what is left of its life."""
        self.keeps(1, ttl=3.0)
        self.site.advance(2.0)
        self.assertEqual(self.heard(self.subscriber("orders.>")), [("orders.created", 1, True)])
        self.site.advance(1.0)
        self.assertEqual(self.heard(self.subscriber("orders.>")), [])
        self.site.advance(6.0)
        assert self.pub._peer is not None
        self.assertEqual(len(self.pub._peer.keeping.retained), 0)

    def test_many(self) -> None:
        """A newcomer to thousands of values gets them all; the node's own events wait behind a few of them only."""
        count = 3 * keeping._AT_ONCE
        for number in range(count):
            self.pub.publish(f"a.{number}", Order, id=number, retain=True)
        self.site.flush()
        self.site.wire.delay = 0.01
        node = self.site.node(Quiet)
        node.subscribe("a.*")
        while not node.heard:
            self.site.advance(0.01)
        self.site.wait(self.pub.publish("a.live", Order, id=-1))
        self.site.advance(1.0)
        events = node.events()
        self.assertEqual((len(events), len(set(events))), (count + 1, count + 1))
        self.assertLess(events.index("a.live"), 2 * keeping._AT_ONCE + 1)
        self.assertEqual(self.count(self.pub, "handed"), count)
