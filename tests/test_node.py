"""What a node promises to who writes one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import hello, peer
from nodeset.core.batch import MAX_EVENT, MAX_QUEUED, MAX_QUEUED_BYTES, Sub
from nodeset.core.message import Attribute, NodeMessage, RawMessage
from nodeset.core.node import Node
from nodeset.core.outbox import Outbox
from nodeset.core.utils import catch
from nodeset.errors import (
    BadMessage,
    HandlerFailed,
    InvalidAddressing,
    LocalError,
    NodeSetError,
    NotRunning,
    OutcomeUnknown,
    Overloaded,
    Receipt,
    Refused,
    Undelivered,
    UnknownField,
)
from nodeset.settings import Settings
from nodeset.testing import Site
from nodeset.transport.clock import MonotonicClock

E = TypeVar("E", bound=BaseException)


class Order(NodeMessage):
    """A message in the declared form."""

    id: int = 0
    note: str = ""


class Simple(NodeMessage):
    """A message in the seed's form."""

    def __init__(self) -> None:
        NodeMessage.__init__(self)
        Attribute("field1", "nothing")


class Boom(Exception):
    """What a handler of these tests raises."""


class Quiet(Node):
    """A node that writes down every event, by `onEvent`; it catches none."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.heard: list[tuple[str, Any]] = []
        self.calls: list[str] = []

    def onEvent(self, event: str, msg: NodeMessage) -> object:
        self.heard.append((event, msg))
        self.calls.append("onEvent")
        return None

    def events(self) -> list[str]:
        """What it heard, by name."""
        return [event for event, _msg in self.heard]


class Shop(Quiet):
    """Catches `orders.created`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.orders: list[int] = []

    @catch("orders.created", Order)
    def keep(self, msg: Order) -> None:
        self.orders.append(msg.id)
        self.calls.append("keep")


class SiteCase(SynchronousTestCase):
    """A test with a site of its own, which must leave nothing behind."""

    def setUp(self) -> None:
        self.site = Site()
        self.addCleanup(self._stopSite)

    def _stopSite(self) -> None:
        self.site.stop()
        self.assertEqual(self.site.clock.getDelayedCalls(), [])

    def stats(self, *names: str) -> list[int]:
        """What the dispatcher counts under these names."""
        assert self.site.dispatcher is not None
        stats = self.site.dispatcher.getStats()
        return [stats.get(name, 0) for name in names]

    def failing(self, error: type[E], deferred: Deferred[Any]) -> E:
        """What `deferred` fails with, as it must, before long; one line."""
        raised: E = self.assertRaises(error, self.site.wait, deferred)
        self.assertNotIn("\n", str(raised))
        return raised

    def publishes(self, node: Node, number: int = 1, event: str = "orders.created", **options: Any) -> Any:
        """The receipt of one order."""
        return self.site.wait(node.publish(event, Order, id=number, **options))


class StartOrderTests(SiteCase):
    """Whoever is started first waits for the others."""

    def test_sixOrders(self) -> None:
        """In every order of dispatcher, subscriber, publisher nothing fails, and an event is shown exactly once."""
        for order in itertools.permutations(("dispatcher", "subscriber", "publisher")):
            site = Site(start=False)
            subscriber = site.node(Shop, name="nodeAbc", start=False)
            publisher = site.node(Node, name="nodeAbc", start=False)
            early: list[Receipt] = []
            for who in order:
                if who == "dispatcher":
                    site.startDispatcher()
                elif who == "subscriber":
                    subscriber.startService()
                else:
                    publisher.startService()
                    publisher.publish("orders.created", Order, id=1).addCallback(early.append)
                site.advance(2.0)
            self.assertIs(site.wait(subscriber.start()), subscriber)
            self.assertEqual(site.wait(publisher.publish("orders.created", Order, id=2)), Receipt(1, 1, 0))
            self.assertEqual(subscriber.orders.count(2), 1, order)
            self.assertEqual(len(early), 1, order)
            self.assertEqual(subscriber.orders.count(1), early[0].delivered, order)
            site.stop()
            self.assertEqual(site.clock.getDelayedCalls(), [])

    def test_publisherFirst(self) -> None:
        """What was published 20 s before there was a dispatcher waits, in order, and is delivered."""
        site = self.site = Site(start=False)
        publisher = site.node(Node, name="nodeAbc")
        receipts = [publisher.publish("orders.created", Order, id=number) for number in range(3)]
        site.advance(20.0)
        site.startDispatcher()
        shop = site.node(Shop, name="nodeAbc")  # dials at once, the publisher within a second
        self.assertEqual([site.wait(receipt) for receipt in receipts], [Receipt(1, 1, 0)] * 3)
        self.assertEqual(shop.orders, [0, 1, 2])

    def test_timeLimit(self) -> None:
        """What waits for a dispatcher fails with OutcomeUnknown at its time-out, and is not sent afterwards."""
        site = self.site = Site(start=False)
        publisher = site.node(Node)
        receipt = publisher.publish("orders.created", Order, id=1, timeout=5.0)
        site.advance(4.9)
        self.assertNoResult(receipt)
        site.advance(0.2)
        self.assertIn("5 s", str(self.failureResultOf(receipt, OutcomeUnknown).value))
        shop = site.node(Shop)
        site.startDispatcher()
        site.advance(3.0)
        self.assertEqual(shop.orders, [])

    def test_settingsTimeLimit(self) -> None:
        """Without a time-out of its own a publish takes that of the settings; None waits for ever."""
        site = self.site = Site(start=False)
        publisher = site.node(Node, settings=Settings(publish_timeout=3))
        short, endless = publisher.publish("a"), publisher.publish("a", timeout=None)
        site.advance(3.1)
        self.failureResultOf(short, OutcomeUnknown)
        site.advance(1000.0, step=10.0)
        self.assertNoResult(endless)
        site.startDispatcher()
        self.assertEqual(site.wait(endless), Receipt(0, 0, 0))

    def test_outboxLimit(self) -> None:
        """A full outbox fails `wait=False` with Overloaded at once; others wait for room, no more than as many again."""
        self.patch(peer, "Outbox", lambda: Outbox(max_events=3, max_waiting=3))
        site = self.site = Site(start=False)
        publisher = site.node(Node)
        receipts = [publisher.publish("a") for _ in range(3)]
        self.failureResultOf(publisher.publish("a", wait=False), Overloaded)
        receipts += [publisher.publish("a") for _ in range(3)]
        self.failureResultOf(publisher.publish("a"), Overloaded)
        site.startDispatcher()
        self.assertEqual([site.wait(receipt) for receipt in receipts], [Receipt(0, 0, 0)] * 6)
        self.assertTrue(site.wait(publisher.publish("a", wait=False)))


class HandlerTests(SiteCase):
    """@catch and onEvent."""

    def test_onEventFirst(self) -> None:
        """onEvent is called before the @catch methods, each once, with the message of the class that they name."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.assertEqual(self.publishes(publisher, 7), Receipt(1, 1, 0))
        self.assertEqual(shop.calls, ["onEvent", "keep"])
        self.assertEqual((shop.orders, type(shop.heard[0][1])), ([7], Order))

    def test_kinds(self) -> None:
        """Several handlers of one event, inherited ones, patterns, stacked ones, async def, Deferred: all are called."""
        clock = self.site.clock

        class Branch(Shop):
            @catch("orders.*")
            @catch("refunds.>")
            def pattern(self, msg: NodeMessage) -> None:
                self.calls.append("pattern")

            @catch("orders.created")
            async def coroutine(self, msg: Order) -> None:
                self.calls.append(f"coroutine {type(msg).__name__}")

            @catch("orders.created", Order)
            def deferred(self, msg: Order) -> Deferred[None]:
                done: Deferred[None] = Deferred()
                clock.callLater(1, done.callback, None)
                return done.addCallback(lambda none: self.calls.append("deferred"))

        branch, publisher = self.site.node(Branch), self.site.node(Node)
        self.assertEqual(sorted(branch.getSubscriptions()), ["orders.*", "orders.created", "refunds.>"])
        self.assertEqual(self.publishes(publisher, 1, level="handled"), Receipt(1, 1, 0))
        self.assertEqual(branch.calls, ["onEvent", "keep", "pattern", "coroutine Order", "deferred"])
        branch.calls.clear()
        self.assertEqual(self.publishes(publisher, 2, "refunds.paid.late"), Receipt(1, 1, 0))
        self.assertEqual(branch.calls, ["onEvent", "pattern"])

    def test_autosubscribeOff(self) -> None:
        """With autosubscribe = False on the class a node subscribes to nothing by itself; its handlers serve what it does."""

        class Shy(Shop):
            autosubscribe = False

        shy, publisher = self.site.node(Shy), self.site.node(Node)
        self.assertEqual(self.publishes(publisher), Receipt(0, 0, 0))
        self.assertEqual(shy.getSubscriptions(), [])
        self.assertTrue(self.site.wait(shy.subscribe("orders.*")))
        self.assertEqual(self.publishes(publisher, 3), Receipt(1, 1, 0))
        self.assertEqual(shy.orders, [3])

    def test_ownEvents(self) -> None:
        """A node hears its own events by an explicit subscribe, not by what @catch subscribed to."""
        shop = self.site.node(Shop)
        self.assertEqual(self.publishes(shop, 1), Receipt(0, 0, 0))
        self.assertTrue(self.site.wait(shop.subscribe("orders.created")))
        self.assertEqual(self.publishes(shop, 2), Receipt(1, 1, 0))
        self.assertEqual(shop.orders, [2])

    def test_message(self) -> None:
        """Messages arrive as the class that the handler names, in both forms; `meta` tells how they came."""
        seen: list[Any] = []

        class Eater(Node):
            @catch("simple", Simple)
            def eat(self, msg: Simple) -> None:
                seen.append(msg)

        self.site.node(Eater)
        publisher = self.site.node(Node)
        self.site.wait(publisher.publish("simple", Simple, field1="value1"))
        self.site.wait(publisher.publish("*@localhost/simple", Simple))
        self.assertEqual([(type(msg), msg.field1.getValue()) for msg in seen], [(Simple, "value1"), (Simple, "nothing")])
        self.assertEqual([msg.meta.event for msg in seen], ["simple", "*@localhost/simple"])
        self.assertEqual([msg.meta.sequence for msg in seen], [1, 2])
        self.assertEqual(len({msg.meta.stream for msg in seen}), 1)
        self.assertFalse(seen[0].meta.again)

    def test_eventText(self) -> None:
        """The event that onEvent is given is the text under which it was published, whatever was subscribed to."""
        quiet, publisher = self.site.node(Quiet, name="q"), self.site.node(Node)
        self.site.wait(quiet.subscribe("a.*"))
        texts = ["a.b", "/a.b", "localhost/a.b", "q@/a.b", "q@localhost/a.b", "*@localhost/a.b"]
        for text in texts:
            self.assertEqual(self.site.wait(publisher.publish(text)), Receipt(1, 1, 0), text)
        self.assertEqual(quiet.events(), texts)

    def test_addresses(self) -> None:
        """node@host/event reaches the nodes of that label or host and no others, all of those that share a label."""
        one, two = self.site.node(Shop, name="twin"), self.site.node(Shop, name="twin", host="paris")
        other, publisher = self.site.node(Shop, name="other"), self.site.node(Node)
        for number, (place, matched) in enumerate({"twin@": 2, "paris": 1, "other@paris": 0, "": 3, "rome": 0}.items()):
            receipt = self.publishes(publisher, number, f"{place}/orders.created")
            self.assertEqual(receipt, Receipt(matched, matched, 0), place)
        self.assertEqual((one.orders, two.orders, other.orders), ([0, 3], [0, 1, 3], [3]))

    def test_twoPatternsOneCall(self) -> None:
        """An event that several of a node's subscriptions match reaches its handlers once."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        for pattern in ("orders.*", ">", "orders.created", "orders.>"):
            self.site.wait(shop.subscribe(pattern))
        self.assertEqual(self.publishes(publisher, 5), Receipt(1, 1, 0))
        self.assertEqual(shop.orders, [5])

    def test_raw(self) -> None:
        """A RawMessage passes its bytes as they are; a handler that wants fields refuses it in one line."""
        got: list[bytes] = []

        class Eater(Node):
            @catch("raw", RawMessage)
            def eat(self, msg: RawMessage) -> None:
                got.append(msg.data)

        self.site.node(Eater)
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.site.wait(publisher.publishMessage("raw", RawMessage(b"\xff\x00")))
        self.assertEqual(got, [b"\xff\x00"])
        for level in ("delivered", "handled"):
            failed = self.failing(HandlerFailed, publisher.publishMessage("orders.created", RawMessage(b"x"), level=level))
            self.assertEqual((failed.receipt, shop.orders), (Receipt(1, 0, 0), []))

    def test_published(self) -> None:
        """A message is encoded when it is published: changing it afterwards changes nothing."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        order = Order(id=1)
        receipt = publisher.publishMessage("orders.created", order)
        order.id = 2
        self.assertEqual(self.site.wait(receipt), Receipt(1, 1, 0))
        self.assertEqual(shop.orders, [1])


class FailingHandlerTests(SiteCase):
    """A handler that goes wrong costs nobody else anything."""

    def _pair(self, handler: Callable[[Any, Any], Any], **options: Any) -> tuple[Shop, Node]:
        class Bad(Node):
            bad = catch("orders.created", Order)(handler)

        self.site.node(Bad, name="bad", settings=Settings(handler_timeout=5), **options)
        return self.site.node(Shop, name="good"), self.site.node(Node, name="publisher")

    def test_raises(self) -> None:
        """A handler that raises is logged once; the publisher, the other handlers, the next event are not affected."""
        calls: list[int] = []

        def bad(self: Node, msg: Order) -> None:
            calls.append(msg.id)
            raise Boom("no")

        shop, publisher = self._pair(bad)
        self.assertEqual(self.publishes(publisher, 1), Receipt(2, 2, 0))
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)
        self.assertEqual(self.publishes(publisher, 2), Receipt(2, 2, 0))
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)
        self.assertEqual((calls, shop.orders), ([1, 2], [1, 2]))

    def test_coroutineFails(self) -> None:
        """An async def that fails, at once or later, is logged once for each event."""
        clock = self.site.clock

        async def bad(self: Node, msg: Order) -> None:
            if msg.id > 1:
                later: Deferred[None] = Deferred()
                clock.callLater(1, later.callback, None)
                await later
            raise Boom("no")

        shop, publisher = self._pair(bad)
        for number in (1, 2):
            self.assertEqual(self.publishes(publisher, number), Receipt(2, 2, 0))
            self.site.advance(2.0)
            self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)
        self.assertEqual(shop.orders, [1, 2])

    def test_handledSaysWho(self) -> None:
        """At level handled the publisher gets HandlerFailed, naming node, handler and error, with a receipt of all."""

        def bad(self: Node, msg: Order) -> None:
            raise Boom("a secret of this node")

        shop, publisher = self._pair(bad)
        failed = self.failing(HandlerFailed, publisher.publish("orders.created", Order, id=1, level="handled"))
        self.assertEqual(failed.receipt, Receipt(2, 2, 0))
        self.assertIn("bad.bad raised Boom", str(failed))
        self.assertNotIn("secret", str(failed))
        self.assertEqual(shop.orders, [1])
        self.flushLoggedErrors(Boom)

    def test_neverFires(self) -> None:
        """A handler that never fires is cut at handler_timeout, then the next event of that publisher is handled."""
        calls: list[int] = []

        def bad(self: Node, msg: Order) -> Deferred[None] | None:
            calls.append(msg.id)
            return Deferred() if msg.id == 1 else None

        shop, publisher = self._pair(bad)
        first = publisher.publish("orders.created", Order, id=1, level="handled")
        second = publisher.publish("orders.created", Order, id=2)
        self.site.advance(4.9)
        self.assertNoResult(first)
        self.assertEqual((calls, shop.orders), ([1], [1, 2]))
        self.assertEqual(self.publishes(self.site.node(Node), 3), Receipt(2, 2, 0), "another publisher does not wait")
        self.site.advance(0.2)
        self.failureResultOf(first, HandlerFailed)
        self.assertEqual(self.site.wait(second), Receipt(2, 2, 0))
        self.assertEqual(calls, [1, 3, 2])
        self.assertEqual(len(self.flushLoggedErrors(DeferredTimeout)), 1)

    def test_ignoresCancelling(self) -> None:
        """An async def that will not be cancelled does not hold up the next event for longer than handler_timeout."""
        calls: list[int] = []

        async def bad(self: Node, msg: Order) -> None:
            calls.append(msg.id)
            while msg.id == 1:
                try:
                    await Deferred()
                except CancelledError:
                    pass

        _shop, publisher = self._pair(bad)
        first = publisher.publish("orders.created", Order, id=1)
        second = publisher.publish("orders.created", Order, id=2)
        self.site.advance(5.2)
        self.assertEqual((self.site.wait(first), self.site.wait(second)), (Receipt(2, 2, 0), Receipt(2, 2, 0)))
        self.assertEqual(calls, [1, 2])
        self.assertEqual(len(self.flushLoggedErrors(DeferredTimeout)), 1)

    def test_exits(self) -> None:
        """A handler that calls sys.exit() is reported as one that raised: the next event is handled."""
        calls: list[int] = []

        def bad(self: Node, msg: Order) -> None:
            calls.append(msg.id)
            raise SystemExit(1)

        _shop, publisher = self._pair(bad)
        for number in (1, 2):
            self.assertEqual(self.publishes(publisher, number), Receipt(2, 2, 0))
        self.assertEqual(calls, [1, 2])
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 2)

    def test_onEventFails(self) -> None:
        """When onEvent fails the @catch methods are called all the same."""

        class Bad(Shop):
            def onEvent(self, event: str, msg: NodeMessage) -> object:
                raise Boom("no")

        bad, publisher = self.site.node(Bad), self.site.node(Node)
        self.assertEqual(self.publishes(publisher, 1), Receipt(1, 1, 0))
        self.assertEqual(bad.orders, [1])
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_brokenClass(self) -> None:
        """A message class that cannot be built from what came is refused in one line, the next event is handled."""

        class Broken(NodeMessage):
            def __init__(self) -> None:
                raise Boom("no")

        def bad(self: Node, msg: Broken) -> None:
            raise AssertionError("never called")

        class Bad(Shop):
            @catch("other", Order)
            def keep2(self, msg: Order) -> None:
                self.orders.append(msg.id)

            bad2 = catch("broken", Broken)(bad)

        shop, publisher = self.site.node(Bad), self.site.node(Node)
        self.failing(HandlerFailed, publisher.publish("broken", level="handled", x=1))
        self.failing(HandlerFailed, publisher.publish("other", level="handled", id="text"))
        self.assertEqual(self.publishes(publisher, 3, "other"), Receipt(1, 1, 0))
        self.assertEqual(shop.orders, [3])


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
        for foreign in ("m@localhost/a", "n@elsewhere/a"):
            self.assertRaises(InvalidAddressing, node.subscribe, foreign)

    def test_arguments(self) -> None:
        """A level or a time-out that there is not, the names of arguments to come, are refused at once."""
        node = self.site.node(Node)
        levels: list[Any] = ["sure", "", None, 1, []]
        timeouts: list[Any] = [0, -1, float("nan"), float("inf"), "5", []]
        bad: list[dict[str, Any]] = [{"level": level} for level in levels] + [{"timeout": timeout} for timeout in timeouts]
        bad += [{"retain": True}, {"ttl": 3}]
        for options in bad:
            error = self.assertRaises(LocalError, node.publish, "a", **options)
            self.assertNotIn("\n", str(error))
        error = self.assertRaises(LocalError, node.publish, "a", ttl=1)
        self.assertIn("ttl", str(error))

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


class LifeTests(SiteCase):
    """start, stop, start again."""

    def test_startFires(self) -> None:
        """start() fires once with the node when it is linked, at once when it is linked now."""
        node = self.site.node(Node, start=False)
        early = node.start()
        self.assertNoResult(early)
        node.startService()
        node.startService()
        self.assertIs(self.site.wait(early), node)
        self.assertIs(self.successResultOf(node.start()), node)

    def test_startOnceOverRestarts(self) -> None:
        """A start() that fired says nothing when the link comes back."""
        node = self.site.node(Node)
        fired: list[object] = []
        node.start().addCallback(fired.append)
        self.site.killDispatcher()
        self.site.startDispatcher()
        self.site.advance(3.0)
        self.assertEqual(fired, [node])

    def test_startFails(self) -> None:
        """start() fails with NotRunning when the node is stopped before it was linked, started or not."""
        site = self.site = Site(start=False)
        for begin in (True, False):
            node = site.node(Node, start=begin)
            linked = node.start()
            waiting = node.subscribe("a")
            site.advance(1.0)
            site.wait(node.stopService())
            self.failureResultOf(linked, NotRunning)
            self.failureResultOf(waiting, NotRunning)

    def test_stopInStart(self) -> None:
        """A node may be stopped as soon as start() fires, by its very callback."""
        node = self.site.node(Node, start=False)
        stopped = node.start().addCallback(lambda linked: linked.stopService())
        node.startService()
        self.assertIsNone(self.site.wait(stopped))
        self.site.advance(3.0)
        self.assertEqual(self.site.wire.links(), [])

    def test_stopFlushes(self) -> None:
        """stopService waits for the answers to what was published, no longer than drain_timeout."""
        clock = self.site.clock

        class Slow(Node):
            @catch("orders.created", Order)
            def keep(self, msg: Order) -> Deferred[None]:
                done: Deferred[None] = Deferred()
                clock.callLater(msg.id, done.callback, None)
                return done

        self.site.node(Slow)
        publisher = self.site.node(Node, settings=Settings(drain_timeout=4))
        receipt = publisher.publish("orders.created", Order, id=2, level="handled")
        stopped = publisher.stopService()
        self.site.advance(1.9)
        self.assertNoResult(stopped)
        self.site.advance(0.2)
        self.assertEqual(self.successResultOf(receipt), Receipt(1, 1, 0))
        self.successResultOf(stopped)
        publisher.startService()
        receipt = publisher.publish("orders.created", Order, id=9, level="handled")
        self.site.flush()
        stopped = publisher.stopService()
        self.site.advance(3.9)
        self.assertNoResult(stopped)
        self.site.advance(0.2)
        self.successResultOf(stopped)
        self.failureResultOf(receipt, OutcomeUnknown)
        self.site.advance(6.0)

    def test_stopUnsent(self) -> None:
        """What was never sent fails when the node stops, without waiting for its time-out."""
        site = self.site = Site(start=False)
        node = site.node(Node)
        receipt = node.publish("a")
        site.wait(node.stopService())
        self.failureResultOf(receipt, NotRunning, OutcomeUnknown)

    def test_startAgain(self) -> None:
        """A node that was stopped may be started again: it subscribes anew, publishes anew."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.site.wait(shop.subscribe("a"))
        self.site.wait(shop.stopService())
        self.assertEqual(self.publishes(publisher), Receipt(0, 0, 0))
        shop.startService()
        self.assertIs(self.site.wait(shop.start()), shop)
        self.assertEqual(self.publishes(publisher, 4), Receipt(1, 1, 0))
        self.assertEqual(shop.orders, [4])
        self.assertTrue(shop.issubscribed("a"))

    def test_stopTwice(self) -> None:
        """Stopping twice, also before the first is done, fires both."""
        node = self.site.node(Node)
        node.publish("a")
        first, second = node.stopService(), node.stopService()
        self.assertEqual((self.site.wait(first), self.site.wait(second)), (None, None))

    def test_handlerStopsItsNode(self) -> None:
        """A handler may stop its own node: its publisher is told, nothing is left behind."""

        class Fuse(Node):
            @catch("orders.created", Order)
            def blow(self, msg: Order) -> Deferred[None]:
                return self.stopService()

        self.site.node(Fuse)
        publisher = self.site.node(Node)
        receipt = publisher.publish("orders.created", Order, id=1)
        try:
            self.site.wait(receipt)
        except NodeSetError as error:
            self.assertIsInstance(error, Undelivered)

    def test_wallClock(self) -> None:
        """A publish times out at its time although others are published after it, by a clock that is not the reactor's."""

        class Elsewhen(Clock):
            def seconds(self) -> float:
                return super().seconds() + 1e9

        class Monotonic(MonotonicClock):
            def seconds(self) -> float:
                return turned.seconds() - 1e9

        turned = Elsewhen()
        node = Node(transport=self.site.transport(), clock=Monotonic(turned))
        node.startService()
        self.addCleanup(node.stopService)
        self.site.wire.acceptor = None
        first = node.publish("a", timeout=2.0)
        for _ in range(30):
            turned.advance(0.1)
            node.publish("a", timeout=60.0).addErrback(lambda failure: None)
            node.publish("a", timeout=2.0).addErrback(lambda failure: None)
        self.failureResultOf(first, OutcomeUnknown)


class LossTests(SiteCase):
    """Links that are lost."""

    def test_killAndRestart(self) -> None:
        """After a kill of the dispatcher and its restart events flow again, with no code in the user's node."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        for number in range(5):
            self.site.killDispatcher()
            self.site.advance(number / 3)
            self.site.startDispatcher()
            self.site.wait(shop.start())
            self.site.advance(1.1)
            self.assertEqual(self.publishes(publisher, number), Receipt(1, 1, 0))
        self.assertEqual(shop.orders, [0, 1, 2, 3, 4])

    def test_sentAndUnsent(self) -> None:
        """What was sent and not confirmed when the dispatcher dies is sent again to the next one, before what was not sent."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.site.wire.delay = 0.2
        sent = publisher.publish("orders.created", Order, id=1)
        self.site.advance(0.1)
        self.site.killDispatcher()
        self.site.wire.delay = 0.0
        unsent = publisher.publish("orders.created", Order, id=2)
        self.site.advance(5.0)
        self.assertNoResult(sent)
        self.assertNoResult(unsent)
        self.site.startDispatcher()
        self.assertEqual((self.site.wait(sent), self.site.wait(unsent)), (Receipt(1, 1, 0), Receipt(1, 1, 0)))
        self.assertEqual(shop.orders, [1, 2])

    def test_linkCut(self) -> None:
        """A link that is cut comes back within 2 s, to the same dispatcher, without a second session of that node."""
        shop, publisher = self.site.node(Shop, tub="shop"), self.site.node(Node)
        self.site.wire.cut("shop")
        self.site.advance(2.0)
        self.assertEqual(self.publishes(publisher, 1), Receipt(1, 1, 0))
        assert self.site.dispatcher is not None
        self.assertEqual(self.site.dispatcher.getStats()["nodes"], 2)
        self.assertEqual(shop.orders, [1])

    def test_silentDispatcher(self) -> None:
        """A dispatcher that falls silent is given up after 20 s, at the next look, and another one is dialled."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.site.advance(30.0)
        assert self.site.dispatcher is not None
        self.site.dispatcher.die()
        self.site.startDispatcher()
        self.site.advance(19.9)
        self.assertEqual(len(self.site.wire.links()), 2)
        waiting = publisher.publish("orders.created", Order, id=1)
        self.site.advance(5.2 + 1.0)
        self.assertEqual(self.stats("nodes"), [2])
        self.assertEqual(self.site.wait(waiting), Receipt(1, 1, 0))
        self.assertEqual(self.publishes(publisher, 2), Receipt(1, 1, 0))
        self.assertEqual(shop.orders, [1, 2])

    def test_idle(self) -> None:
        """Links on which nothing is published stay for an hour."""
        self.site.node(Shop)
        self.site.node(Node)
        links = self.site.wire.links()
        self.site.advance(3600.0, step=1.0)
        self.assertEqual(self.site.wire.links(), links)

    def test_answersInFlight(self) -> None:
        """Confirms that were on their way when the link was lost are given again; the handler is not called twice."""
        shop, publisher = self.site.node(Shop, tub="shop"), self.site.node(Node)
        self.site.wire.delay = 0.2
        receipt = publisher.publish("orders.created", Order, id=1)
        self.site.advance(0.5)
        self.assertEqual(shop.orders, [1])
        self.site.wire.cut("shop")
        self.site.wire.delay = 0.0
        self.assertEqual(self.site.wait(receipt), Receipt(1, 1, 0))
        self.site.advance(3.0)
        self.assertEqual(shop.orders, [1])


class Crew(Shop):
    """Its handler takes `pace` seconds; it notes what it has begun and what it has finished."""

    pace = 0.2

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.finished: list[int] = []

    @catch("jobs", Order)
    def work(self, msg: Order) -> Deferred[None]:
        self.orders.append(msg.id)
        done: Deferred[None] = Deferred()
        self._findClock().callLater(self.pace, done.callback, None)
        return done.addCallback(lambda none: self.finished.append(msg.id))


class ResendTests(SiteCase):
    """Nothing confirmed is lost, nothing unconfirmed is silent, whoever dies or is cut off."""

    def _stopSite(self) -> None:
        self.site.advance(0.3)  # handlers of workers that are gone come to their ends
        super()._stopSite()

    def jobs(self, publisher: Node, count: int, level: str = "delivered", first: int = 0, mode: str = "all") -> list[Any]:
        """So many jobs."""
        return [
            publisher.publish("jobs", Order, id=number, level=level, _delivery_mode=mode)
            for number in range(first, first + count)
        ]

    def test_killedInFlight(self) -> None:
        """A dispatcher is killed with events at every point of their way: all are confirmed, shown once, in order."""
        for after in (0.05, 0.15, 0.25, 0.35, 0.45, 0.65):
            for down in (0.0, 3.0):
                site = self.site = Site()
                shops = [site.node(Shop), site.node(Shop)]
                publisher = site.node(Node)
                site.wire.delay = 0.1
                receipts: list[Any] = []
                for number in range(60):
                    receipts.append(publisher.publish("orders.created", Order, id=number, note="x" * 2000))
                    if number % 10 == 0:
                        site.advance(after)
                site.killDispatcher()
                site.advance(down)
                site.startDispatcher()
                site.wire.delay = 0.01
                self.assertEqual({site.wait(receipt) for receipt in receipts}, {Receipt(2, 2, 0)}, (after, down))
                for shop in shops:
                    self.assertEqual(shop.orders, list(range(60)), (after, down))
                site.stop()
                self.assertEqual(site.clock.getDelayedCalls(), [])

    def test_killedTwice(self) -> None:
        """A second kill, within the pause of the new dispatcher or just after it, changes nothing about that."""
        for between in (0.5, 1.9, 2.1, 2.3):
            site = self.site = Site()
            shop, publisher = site.node(Shop), site.node(Node)
            site.wire.delay = 0.1
            receipts = [publisher.publish("orders.created", Order, id=number) for number in range(20)]
            site.advance(0.15)
            for _ in range(2):
                site.killDispatcher()
                site.startDispatcher()
                site.advance(between)
            self.assertEqual({site.wait(receipt) for receipt in receipts}, {Receipt(1, 1, 0)}, between)
            self.assertEqual(shop.orders, list(range(20)), between)
            site.stop()

    def test_pause(self) -> None:
        """A restarted dispatcher routes nothing for 2 s, so that subscribers are back before their events are."""
        shop, publisher = self.site.node(Shop, tub="shop"), self.site.node(Node)
        self.site.killDispatcher()
        acceptor = self.site.startDispatcher()
        began = self.site.clock.seconds()
        self.site.wire.acceptor = None
        self.site.advance(0.8)
        self.site.wire.acceptor = acceptor
        self.assertEqual(self.publishes(publisher, 1), Receipt(1, 1, 0))
        self.assertGreaterEqual(self.site.clock.seconds() - began, 2.0)
        self.assertEqual(shop.orders, [1])

    def test_blink(self) -> None:
        """A subscriber whose link is cut for 0.3 s loses nothing: what came meanwhile comes when it is back, in order."""
        for mode in ("all", "one"):
            worker, publisher = self.site.node(Crew, tub=f"{mode} worker"), self.site.node(Node)
            receipts = self.jobs(publisher, 5, mode=mode)
            self.site.flush()
            acceptor, self.site.wire.acceptor = self.site.wire.acceptor, None
            self.site.wire.cut(f"{mode} worker")
            self.site.advance(0.1)
            receipts += self.jobs(publisher, 5, first=5, mode=mode)
            self.site.advance(0.2)
            self.site.wire.acceptor = acceptor
            self.assertEqual({self.site.wait(receipt) for receipt in receipts}, {Receipt(1, 1, 0)})
            self.assertEqual(worker.orders, list(range(10)))
            self.site.wait(worker.stopService())

    def test_longHello(self) -> None:
        """Workers that hold more than one hello can say find their way back all the same; each event runs once."""
        self.patch(hello, "MAX_HELLO", 400)
        crew = [self.site.node(Crew) for _ in range(2)]
        for worker in crew:
            worker.pace = 4.0
        publishers = [self.site.node(Node) for _ in range(30)]
        receipts = [receipt for publisher in publishers for receipt in self.jobs(publisher, 3, mode="one", level="handled")]
        self.site.advance(0.5)
        self.site.killDispatcher()
        self.site.advance(0.5)
        self.site.startDispatcher()
        self.assertEqual({self.site.wait(receipt) for receipt in receipts}, {Receipt(1, 1, 0)})
        for worker in crew:
            assert worker._peer is not None
            self.assertTrue(worker._peer._untold)
        self.assertEqual(sum(len(worker.orders) for worker in crew), 90)

    def cutFor(self, seconds: float, tub: str) -> None:
        """Let one node have no link for so long, while the others keep theirs."""
        acceptor, self.site.wire.acceptor = self.site.wire.acceptor, None
        self.site.wire.cut(tub)
        self.site.advance(seconds)
        self.site.wire.acceptor = acceptor

    def test_goneAll(self) -> None:
        """A subscriber that is cut off for 3 s is gone: in mode all the publishers are told which share it lost."""
        gone, stays = self.site.node(Crew, name="gone", tub="gone"), self.site.node(Crew)
        publisher = self.site.node(Node)
        receipts = self.jobs(publisher, 3)
        self.site.flush()
        self.cutFor(3.0, "gone")
        self.assertEqual(self.site.wait(receipts[0]), Receipt(2, 2, 0))
        for receipt in receipts[1:]:
            failed = self.failing(Undelivered, receipt)
            self.assertEqual(failed.receipt, Receipt(2, 1, 0))
            self.assertIn("gone", str(failed))
        self.site.advance(3.0)
        self.assertEqual(stays.orders, [0, 1, 2])
        self.assertEqual(self.site.wait(publisher.publish("jobs", Order, id=9)), Receipt(2, 2, 0), "it is back")
        self.assertEqual(gone.orders[-1], 9)

    def test_goneOne(self) -> None:
        """In mode one the events of a worker that is cut off go to another; those it had not begun it never begins."""

        class Slow(Crew):
            pace = 1.0

        for level in ("delivered", "handled"):
            cut, stays = self.site.node(Slow, tub=f"cut {level}"), self.site.node(Slow)
            publisher = self.site.node(Node)
            receipts = self.jobs(publisher, 10, level, mode="one")
            self.site.flush()
            share = [*range(5)] if cut.orders == [0] else [*range(5, 10)]
            self.cutFor(2.5, f"cut {level}")
            self.site.wait(cut.start())
            begun = list(cut.orders)
            self.assertLess(len(begun), 5)
            self.assertEqual({self.site.wait(receipt) for receipt in receipts}, {Receipt(1, 1, 0)})
            self.site.advance(11.0)
            # What it began while it was out of reach ran twice; what it confirmed before it was cut off, or never began, once.
            self.assertEqual(cut.orders, begun)
            moved = share[1:] if level == "delivered" else share
            self.assertEqual(sorted(stays.orders), sorted([*moved, *({*range(10)} - {*share})]))
            for worker in (cut, stays):
                self.site.wait(worker.stopService())

    def test_workerDies(self) -> None:
        """A worker that is killed while it handles an event at level handled: another one handles it."""
        dies, lives = self.site.node(Crew, tub="dies"), self.site.node(Crew)
        publisher = self.site.node(Node)
        receipts = self.jobs(publisher, 2, "handled", mode="one")
        self.site.flush()
        self.assertEqual((len(dies.orders), len(lives.orders)), (1, 1))
        assert dies._peer is not None
        dies._peer._inbox.linkLost = lambda: None  # type: ignore[method-assign]  # dead: it neither answers nor comes back
        dies._peer._reconnector.stop()
        self.site.wire.cut("dies")
        self.assertEqual([self.site.wait(receipt) for receipt in receipts], [Receipt(1, 1, 0)] * 2)
        self.assertEqual((sorted(lives.finished), self.stats("moved")), ([0, 1], [1]))

    def test_failureComesBack(self) -> None:
        """At level handled a failure survives the loss of the link, or the death of the dispatcher, on its way back."""
        failures = 0

        class Bad(Node):
            @catch("jobs", Order)
            def work(self, msg: Order) -> None:
                nonlocal failures
                failures += 1
                raise Boom("no")

        for kill in (False, True):
            bad, publisher = self.site.node(Bad, tub=f"bad{kill}"), self.site.node(Node)
            self.site.wire.delay = 0.1
            receipt = publisher.publish("jobs", Order, id=1, level="handled")
            self.site.advance(0.3)
            if kill:
                self.site.killDispatcher()
                self.site.startDispatcher()
            else:
                self.site.wire.cut(f"bad{kill}")
            self.site.wire.delay = 0.0
            self.assertEqual(self.failing(HandlerFailed, receipt).receipt, Receipt(1, 1, 0))
            self.site.wait(bad.stopService())
        self.assertEqual((failures, len(self.flushLoggedErrors(Boom))), (2, 2))

    def test_bounds(self) -> None:
        """While no dispatcher is there the outbox takes its measure and no more: the rest waits, then is refused."""
        self.patch(peer, "Outbox", lambda: Outbox(max_events=50, max_bytes=3000, max_waiting=20))
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.site.killDispatcher()
        self.site.advance(0.1)
        receipts = [publisher.publish("orders.created", Order, id=number) for number in range(70)]
        self.failureResultOf(publisher.publish("orders.created", Order, id=99), Overloaded)
        self.failureResultOf(publisher.publish("orders.created", Order, id=99, wait=False), Overloaded)
        self.site.advance(5.0)
        self.site.startDispatcher()
        self.assertEqual({self.site.wait(receipt) for receipt in receipts}, {Receipt(1, 1, 0)})
        self.assertEqual(shop.orders, list(range(70)))
        self.site.killDispatcher()
        large = [publisher.publish("orders.created", Order, id=number, note="x" * 1000) for number in range(4)]
        self.failureResultOf(publisher.publish("orders.created", Order, note="x" * 2900), Overloaded)
        self.site.startDispatcher()
        self.assertEqual({self.site.wait(receipt) for receipt in large}, {Receipt(1, 1, 0)})

    def test_tenMinutes(self) -> None:
        """Without a link for 10 minutes what was sent fails with OutcomeUnknown; what was never sent goes on waiting."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.site.wire.delay = 0.1
        sent = publisher.publish("orders.created", Order, id=1, timeout=None)
        self.site.advance(0.05)
        self.site.wire.delay = 0.0
        self.site.killDispatcher()
        self.site.flush()
        unsent = publisher.publish("orders.created", Order, id=2, timeout=None)
        self.site.advance(599.0, step=1.0)
        self.assertNoResult(sent)
        self.site.advance(3.0)
        self.assertIn("may or may not", str(self.failureResultOf(sent, OutcomeUnknown).value))
        self.site.startDispatcher()
        self.assertEqual(self.site.wait(unsent), Receipt(1, 1, 0))
        self.assertEqual(shop.orders, [2])

    def test_timeout(self) -> None:
        """A publish without an answer fails at its time-out to the millisecond, and is never sent again."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.site.wire.delay = 0.2
        late = publisher.publish("orders.created", Order, id=1, timeout=1.5)
        self.site.advance(0.1)
        self.site.killDispatcher()
        self.site.clock.advance(1.399)
        self.assertNoResult(late)
        self.site.clock.advance(0.002)
        self.failureResultOf(late, OutcomeUnknown)
        self.site.wire.delay = 0.0
        self.site.startDispatcher()
        self.site.advance(5.0)
        self.assertEqual(shop.orders, [])


class CycleTests(SiteCase):
    """Nodes that wait for each other."""

    def ring(self, count: int, level: str, timeout: float) -> list[Any]:
        """Nodes in a ring: each handler awaits what it publishes to the next one, until an event has gone round three times."""
        outcomes: list[Any] = []

        class Member(Node):
            autosubscribe = False

            async def pass_(self, msg: Any) -> None:
                if msg.id < 3 * count:
                    event = f"ring.{(int(self.name) + 1) % count}"
                    try:
                        outcomes.append(await self.publish(event, Order, id=msg.id + 1, level=level, timeout=timeout))
                    except NodeSetError as error:
                        outcomes.append(error)
                        raise

            def onEvent(self, event: str, msg: Any) -> object:
                return self.pass_(msg)

        members = [self.site.node(Member, name=str(number)) for number in range(count)]
        for number, member in enumerate(members):
            self.site.wait(member.subscribe(f"ring.{number}"))
        for number, member in enumerate(members):
            member.publish(f"ring.{number}", id=0).addErrback(lambda failure: failure.trap(NodeSetError))
        self.site.advance(200.0, step=0.5)
        self.flushLoggedErrors()
        return outcomes

    def test_two(self) -> None:
        """Two nodes that await each other's publish come to an end, by time-out if need be; both go on afterwards."""
        self.assertTrue(self.ring(2, "delivered", 5.0))
        self.afterwards(2)

    def test_three(self) -> None:
        """So does a ring of three whose handlers await each other to the end, although its events wait behind themselves."""
        outcomes = self.ring(3, "handled", 5.0)
        self.assertTrue(any(isinstance(outcome, (OutcomeUnknown, HandlerFailed)) for outcome in outcomes))
        self.afterwards(3)

    def afterwards(self, count: int) -> None:
        """All members answer, nothing is left pending."""
        publisher = self.site.node(Node)
        for number in range(count):
            self.assertEqual(self.site.wait(publisher.publish(f"ring.{number}", id=100)), Receipt(1, 1, 0))
        self.assertEqual(self.stats("pending"), [0])


class LeavingTests(SiteCase):
    """stopService loses nothing."""

    def test_afterPublish(self) -> None:
        """What was published just before stopService arrives and is confirmed, before it fires."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        receipts = [publisher.publish("orders.created", Order, id=number) for number in range(2000)]
        self.site.wait(publisher.stopService())
        self.assertEqual({self.successResultOf(receipt) for receipt in receipts}, {Receipt(1, 1, 0)})
        self.assertEqual(shop.orders, list(range(2000)))

    def test_inHandler(self) -> None:
        """A handler may publish and stop its node: what it published arrives and is confirmed."""
        receipts: list[Any] = []

        class Last(Node):
            @catch("jobs", Order)
            def work(self, msg: Order) -> Deferred[None]:
                receipts.append(self.publish("orders.created", Order, id=msg.id))
                return self.stopService()

        for level in ("delivered", "handled"):
            shop, publisher = self.site.node(Shop), self.site.node(Node)
            self.site.node(Last, settings=Settings(drain_timeout=2))
            began = self.site.clock.seconds()
            try:
                self.site.wait(publisher.publish("jobs", Order, id=5, level=level))
            except Undelivered:
                self.assertEqual(level, "handled")  # its handler waits for itself, so no longer than drain_timeout
            self.site.advance(2.1)
            self.assertEqual((self.successResultOf(receipts.pop()), shop.orders), (Receipt(1, 1, 0), [5]))
            self.assertLess(self.site.clock.seconds() - began, 4.5)
            self.site.wait(shop.stopService())

    def test_received(self) -> None:
        """A subscriber that stops handles what was on its way to it; what comes after that has one match less."""
        crew, publisher = self.site.node(Crew), self.site.node(Node)
        receipts = [publisher.publish("jobs", Order, id=number, level="handled") for number in range(20)]
        self.site.flush()
        stopped = crew.stopService()
        self.site.advance(0.5)
        self.assertNoResult(stopped)
        self.assertEqual(self.site.wait(publisher.publish("jobs", Order, id=99)), Receipt(0, 0, 0))
        self.site.wait(stopped)
        self.assertEqual({self.site.wait(receipt) for receipt in receipts}, {Receipt(1, 1, 0)})
        self.assertEqual(crew.finished, list(range(20)))

    def test_stillWorking(self) -> None:
        """A handler that was called at level `delivered` may finish before stopService fires, within drain_timeout."""
        for patience, finished in ((10, [1]), (0.5, [])):
            crew = self.site.node(Crew, settings=Settings(drain_timeout=patience))
            crew.pace = 1.0
            publisher = self.site.node(Node)
            self.assertEqual(self.site.wait(publisher.publish("jobs", Order, id=1)), Receipt(1, 1, 0))
            stopped = crew.stopService()
            self.site.advance(0.4)
            self.assertNoResult(stopped)
            self.site.wait(stopped)
            self.assertEqual(crew.finished, finished)
            self.site.advance(1.0)

    def test_whileAway(self) -> None:
        """A node that stops while its dispatcher is being restarted waits for it, no longer than drain_timeout."""
        shop, publisher = self.site.node(Shop), self.site.node(Node, settings=Settings(drain_timeout=6))
        self.site.wire.delay = 0.1
        receipt = publisher.publish("orders.created", Order, id=1)
        self.site.advance(0.05)
        self.site.killDispatcher()
        self.site.advance(0.5)
        self.site.wire.delay = 0.0
        stopped = publisher.stopService()
        self.site.advance(1.0)
        self.assertNoResult(stopped)
        self.site.startDispatcher()
        self.site.wait(stopped)
        self.assertEqual((self.successResultOf(receipt), shop.orders), (Receipt(1, 1, 0), [1]))

    def test_whileAwayLimit(self) -> None:
        """When no dispatcher comes it stops all the same, at drain_timeout; what it published fails, not silently."""
        publisher = self.site.node(Node, settings=Settings(drain_timeout=6))
        self.site.killDispatcher()
        self.site.advance(0.5)
        receipt = publisher.publish("orders.created", Order, id=1)
        stopped = publisher.stopService()
        self.site.advance(5.9)
        self.assertNoResult(stopped)
        self.site.advance(0.2)
        self.successResultOf(stopped)
        self.failureResultOf(receipt, OutcomeUnknown, NotRunning)


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
