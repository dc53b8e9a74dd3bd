"""What the calls of a node promise: receipts, refusals, subscriptions."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from nodeset.core.batch import MAX_EVENT, MAX_QUEUED, MAX_QUEUED_BYTES, Sub
from nodeset.core.message import NodeMessage
from nodeset.core.node import Node
from nodeset.core.utils import catch
from nodeset.errors import (
    BadMessage,
    HandlerFailed,
    InvalidAddressing,
    LocalError,
    NotRunning,
    OutcomeUnknown,
    Receipt,
    Refused,
    Undelivered,
    UnknownField,
)
from nodeset.testing import Site
from tests.sites import Boom, Order, Quiet, Shop, Simple, SiteCase


class ReceiptTests(SiteCase):
    """What `publish` answers."""

    def test_unmatched(self) -> None:
        """Nobody subscribed is Receipt(0, 0, 0), which is true, at every level."""
        publisher = self.site.node(Node)
        for level in ("accepted", "delivered", "handled"):
            receipt = self.site.wait(publisher.publish("nobody.cares", level=level))
            self.assertEqual(receipt, Receipt(0, 0, 0))
            self.assertTrue(receipt)

    def test_levels(self) -> None:
        """accepted fires before a handler was called, delivered when it was, handled when it is through."""
        gate: list[Deferred[None]] = []

        class Slow(Node):
            @catch("orders.created", Order)
            def keep(self, msg: Order) -> Deferred[None]:
                gate.append(Deferred())
                return gate[-1]

        self.site.node(Slow)
        publisher = self.site.node(Node)
        delivered = publisher.publish("orders.created", Order, id=1)
        self.site.flush()
        self.assertEqual(self.successResultOf(delivered), Receipt(1, 1, 0))
        accepted = publisher.publish("orders.created", Order, id=2, level="accepted")
        behind = publisher.publish("orders.created", Order, id=3, level="handled")
        self.site.flush()
        self.assertEqual((len(gate), self.successResultOf(accepted).matched), (1, 1))
        self.assertNoResult(behind)
        for index in range(3):
            self.assertNoResult(behind)
            gate[index].callback(None)
            self.site.flush()
        self.assertEqual(self.successResultOf(behind), Receipt(1, 1, 0))

    def test_gone(self) -> None:
        """A match that goes before it has answered fails the publish with Undelivered and the count of the rest."""

        class Slow(Node):
            @catch("orders.created", Order)
            def keep(self, msg: Order) -> Deferred[None]:
                return Deferred()

        slow = self.site.node(Slow, name="slow")
        self.site.node(Shop)
        publisher = self.site.node(Node)
        handled = publisher.publish("orders.created", Order, id=1, level="handled")
        self.site.flush()
        self.site.wait(slow.stopService())
        failed = self.failing(Undelivered, handled)
        self.assertEqual((failed.receipt.matched, failed.receipt.delivered), (2, 1))
        self.assertIn("slow", str(failed))

    def test_order(self) -> None:
        """Events of one publisher arrive in the order published, each once, also when they fill many batches."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        receipts = [publisher.publish("orders.created", Order, id=n, note="x" * (n % 700)) for n in range(3000)]
        for receipt in receipts:
            self.assertEqual(self.site.wait(receipt), Receipt(1, 1, 0))
        self.assertEqual(shop.orders, list(range(3000)))

    def test_large(self) -> None:
        """The largest event passes; one byte more is refused where it is published."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        note = "x" * (MAX_EVENT - len('{"id":1,"note":""}'))
        self.assertEqual(self.site.wait(publisher.publish("orders.created", Order, id=1, note=note)), Receipt(1, 1, 0))
        self.assertEqual(shop.heard[0][1].note, note)
        self.assertRaises(BadMessage, publisher.publish, "orders.created", Order, id=1, note=note + "x")

    def test_cancel(self) -> None:
        """Cancelling what publish returned harms nobody."""
        self.site.node(Shop)
        publisher = self.site.node(Node)
        receipt = publisher.publish("orders.created", Order)
        receipt.cancel()
        self.failureResultOf(receipt, CancelledError)
        self.assertEqual(self.publishes(publisher), Receipt(1, 1, 0))


class ManyTests(SiteCase):
    """publishMany."""

    def test_one(self) -> None:
        """One Deferred for many events, in order, with the sums of their receipts; none at all is answered at once."""
        shops, publisher = [self.site.node(Shop), self.site.node(Shop)], self.site.node(Node)
        many = publisher.publishMany("orders.created", Order, ({"id": number} for number in range(1000)))
        self.assertEqual(self.site.wait(many), Receipt(2000, 2000, 0))
        for shop in shops:
            self.assertEqual(shop.orders, list(range(1000)))
        self.assertEqual(self.successResultOf(publisher.publishMany("orders.created", Order, [])), Receipt(0, 0, 0))
        self.assertEqual(self.site.wait(publisher.publishMany("nobody", None, [{"a": 1}, {}])), Receipt(0, 0, 0))

    def test_failure(self) -> None:
        """When some fail it fails once all are answered, with the error of the first."""

        class Picky(Node):
            @catch("jobs", Order)
            def work(self, msg: Order) -> None:
                if msg.id % 2:
                    raise Boom("no")

        self.site.node(Picky)
        publisher = self.site.node(Node)
        self.failing(HandlerFailed, publisher.publishMany("jobs", Order, [{"id": n} for n in range(6)], level="handled"))
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 3)
        site = self.site = Site(start=False)
        self.failing(OutcomeUnknown, site.node(Node).publishMany("jobs", Order, [{"id": 1}], timeout=2.0))

    def test_badItem(self) -> None:
        """One bad item raises before the first is published; so do a bad address, level or time-out."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.assertRaises(BadMessage, publisher.publishMany, "orders.created", Order, [{"id": 1}, {"id": "text"}])
        self.assertRaises(UnknownField, publisher.publishMany, "orders.created", Order, [{"id": 1}, {"other": 2}])
        self.assertRaises(InvalidAddressing, publisher.publishMany, "orders.*", Order, [])
        self.assertRaises(LocalError, publisher.publishMany, "orders.created", Order, [], level="sure")
        self.assertRaises(LocalError, publisher.publishMany, "orders.created", Order, [], timeout=-1)
        self.failureResultOf(Node(clock=Clock()).publishMany("a", None, [{}]), NotRunning)
        self.site.advance(1.0)
        self.assertEqual(shop.orders, [])

    def test_cut(self) -> None:
        """It survives the death of the dispatcher as single events do."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.site.wire.delay = 0.1
        many = publisher.publishMany("orders.created", Order, [{"id": number} for number in range(100)])
        self.site.advance(0.25)
        self.site.killDispatcher()
        self.site.startDispatcher()
        self.assertEqual(self.site.wait(many), Receipt(100, 100, 0))
        self.assertEqual(shop.orders, list(range(100)))


class BadArgumentTests(SiteCase):
    """Argument errors raise at once, in one line that names the value."""

    def test_names(self) -> None:
        """What is no event name, or a pattern, cannot be published; what is none cannot be subscribed to either."""
        node = self.site.node(Node, name="n")
        bad: list[Any] = [
            "a//b",
            "",
            "a b",
            "a\nb",
            "a\x00b",
            "x" * 300,
            "a..b",
            ".a",
            "a@b@c/",
            "n@h",
            "a/b/c",
            "a*",
            b"a",
            None,
            3,
        ]
        for name in [*bad, "a.*", ">", "*"]:
            error = self.assertRaises(InvalidAddressing, node.publish, name)
            self.assertNotIn("\n", str(error))
            self.assertRaises(InvalidAddressing, node.publishMessage, name, Order())
        for name in bad:
            self.assertRaises(InvalidAddressing, node.subscribe, name)
            self.assertRaises(InvalidAddressing, node.unsubscribe, name)
            if isinstance(name, str):
                self.assertRaises(InvalidAddressing, catch, name)
        self.assertRaises(InvalidAddressing, node.subscribe, "n@elsewhere/a")

    def test_arguments(self) -> None:
        """A level, a time-out, a time to live or an id that there is not is refused at once."""
        node = self.site.node(Node)
        levels: list[Any] = ["sure", "", None, 1, []]
        timeouts: list[Any] = [0, -1, float("nan"), float("inf"), "5", []]
        bad: list[dict[str, Any]] = [{"level": level} for level in levels] + [{"timeout": timeout} for timeout in timeouts]
        lives: list[Any] = [0, -1, float("nan"), float("inf"), 1e10, True, "5", []]
        bad += [{"ttl": ttl} for ttl in lives]
        bad += [{"dedup": dedup} for dedup in ("", "x" * 129, 5, b"x")] + [{"retain": retain} for retain in (1, None, "yes")]
        for options in bad:
            error = self.assertRaises(LocalError, node.publish, "a", **options)
            self.assertNotIn("\n", str(error))

    def test_policies(self) -> None:
        """A policy that there is not, a limit that is none or over what a dispatcher keeps, are refused at once by name."""
        node = self.site.node(Node)
        bad: list[dict[str, Any]] = [{"policy": policy} for policy in ("", "drop", None, 1)]
        bad += [{"max_events": limit} for limit in (0, -1, MAX_QUEUED + 1, 1.5, "10", None)]
        bad += [{"max_bytes": limit} for limit in (0, MAX_QUEUED_BYTES + 1, "1k")]
        for options in bad:
            error = self.assertRaises(LocalError, node.subscribe, "a", **options)
            self.assertIn(repr(next(iter(options.values()))), str(error))
            self.assertNotIn("\n", str(error))
        self.assertEqual(node.getSubscriptions(), [])
        self.assertIs(self.site.wait(node.subscribe("a", policy="drop_oldest", max_events=1, max_bytes=1)), True)

    def test_fields(self) -> None:
        """An unknown field raises UnknownField, a KeyError that names it; values that cannot be sent raise BadMessage."""
        node = self.site.node(Node)
        error = self.assertRaises(UnknownField, node.publish, "a", Order, idd=1)
        self.assertIsInstance(error, KeyError)
        self.assertIn("idd", str(error))
        self.assertRaises(UnknownField, node.publish, "a", Simple, field2=1)
        values: list[Any] = [float("nan"), {1: 2}, {"a": 1, 2: 3}, object(), "\ud800", 2**64]
        for value in values:
            self.assertRaises(BadMessage, node.publish, "a", x=value)
        self.assertRaises(BadMessage, node.publish, "a", Order, id="text")
        self.assertRaises(BadMessage, node.publish, "a", __class__=1)

    def test_reservedFieldsByMessage(self) -> None:
        """Fields that bear the name of an argument go by publishMessage."""

        class Odd(NodeMessage):
            ttl: int = 0
            level: str = ""

        quiet, publisher = self.site.node(Quiet), self.site.node(Node)
        self.site.wait(quiet.subscribe("odd"))
        self.site.wait(publisher.publishMessage("odd", Odd(ttl=3, level="high")))
        self.assertEqual((quiet.heard[0][1].ttl, quiet.heard[0][1].level), (3, "high"))

    def test_names_of_nodes(self) -> None:
        """A node's label and host are parts of addresses, and are refused where they cannot be."""
        for name in ("a/b", "a b", "x" * 300, "a@b", "\x00"):
            self.assertRaises(InvalidAddressing, Node, name=name)
            self.assertRaises(InvalidAddressing, Node, host=name)

    def test_notRunning(self) -> None:
        """Publishing on a node that is not started errbacks with NotRunning; it is no argument's fault."""
        node = Node(clock=Clock())
        self.failureResultOf(node.publish("a"), NotRunning)


class SubscribingTests(SiteCase):
    """subscribe and unsubscribe."""

    def test_twice(self) -> None:
        """Subscribing twice is one delivery; unsubscribing twice is True, then False."""
        quiet, publisher = self.site.node(Quiet), self.site.node(Node)
        first, second = quiet.subscribe("a"), quiet.subscribe("a")
        self.assertTrue(self.site.wait(first) and self.site.wait(second) and self.site.wait(quiet.subscribe("a")))
        self.assertEqual(self.site.wait(publisher.publish("a")), Receipt(1, 1, 0))
        self.assertEqual(quiet.events(), ["a"])
        self.assertIs(self.site.wait(quiet.unsubscribe("a")), True)
        self.assertIs(self.site.wait(quiet.unsubscribe("a")), False)
        self.assertIs(self.site.wait(quiet.unsubscribe("never")), False)
        self.assertEqual(self.site.wait(publisher.publish("a")), Receipt(0, 0, 0))

    def test_ownAddress(self) -> None:
        """A node may subscribe under its full address, which is the same subscription."""
        quiet, publisher = self.site.node(Quiet, name="q", host="h"), self.site.node(Node)
        self.site.wait(quiet.subscribe("q@h/a"))
        self.assertTrue(quiet.issubscribed("a"))
        self.assertEqual(self.site.wait(publisher.publish("a")), Receipt(1, 1, 0))
        self.assertIs(self.site.wait(quiet.unsubscribe("a")), True)
        self.assertEqual(quiet.getSubscriptions(), [])

    def test_whileDisconnected(self) -> None:
        """What is subscribed to, or not any more, while no dispatcher is there, counts on the next link."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.site.killDispatcher()
        self.site.flush()
        waiting = shop.subscribe("a")
        self.assertTrue(shop.issubscribed("a"))
        self.assertIs(self.site.wait(shop.unsubscribe("orders.created")), True)
        self.assertNoResult(waiting)
        self.site.startDispatcher()
        self.assertIs(self.site.wait(waiting), True)
        self.assertEqual(self.site.wait(publisher.publish("a")), Receipt(1, 1, 0))
        self.assertEqual(self.publishes(publisher), Receipt(0, 0, 0))

    def test_whileDialling(self) -> None:
        """What changes while the hello is on its way is made good on the link."""
        quiet, publisher = self.site.node(Quiet, start=False), self.site.node(Node)
        self.site.wire.delay = 0.5
        quiet.startService()
        kept, dropped = quiet.subscribe("a"), quiet.subscribe("b")
        over = quiet.unsubscribe("b")
        self.assertEqual([self.site.wait(d) for d in (kept, dropped, over)], [True, False, True])
        self.site.advance(3.0)
        self.assertEqual(self.site.wait(publisher.publish("a")), Receipt(1, 1, 0))
        self.assertEqual(self.site.wait(publisher.publish("b")), Receipt(0, 0, 0))
        self.site.wire.delay = 0.0

    def test_beforeStart(self) -> None:
        """A subscription made before startService is told to the dispatcher; one undone before it is not."""
        quiet, publisher = self.site.node(Quiet, start=False), self.site.node(Node)
        kept, undone = quiet.subscribe("a"), quiet.subscribe("b")
        self.assertIs(self.site.wait(quiet.unsubscribe("b")), True)
        quiet.startService()
        self.assertIs(self.site.wait(kept), True)
        self.assertIs(self.site.wait(undone), False)
        self.assertEqual(quiet.getSubscriptions(), ["a"])
        self.assertEqual(self.site.wait(publisher.publish("b")), Receipt(0, 0, 0))

    def test_refused(self) -> None:
        """A subscription that the dispatcher does not grant fails with Refused, now or in the hello; the node goes on."""
        dispatcher = self.site.dispatcher
        assert dispatcher is not None
        table, subscribe = dispatcher.exchange.table, dispatcher.exchange.subscribe

        def refuse(session: Any, sub: Sub) -> Any:
            answer = subscribe(session, sub)
            if sub.pattern == "secret":
                table.remove(session.entries.pop(sub.pattern))
                answer = type(answer)(sub.pattern, False, "not for you")
            return answer

        self.patch(dispatcher.exchange, "subscribe", refuse)
        quiet = self.site.node(Quiet, start=False)
        early = quiet.subscribe("secret")
        quiet.startService()
        self.assertIn("not for you", str(self.failing(Refused, early)))
        self.assertFalse(quiet.issubscribed("secret"))
        self.assertIn("not for you", str(self.failing(Refused, quiet.subscribe("secret"))))
        self.assertFalse(quiet.issubscribed("secret"))
        self.assertEqual(quiet.getSubscriptions(), [])
        self.assertTrue(self.site.wait(quiet.subscribe("open")))
