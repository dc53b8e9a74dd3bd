"""What a node's handlers are given, with what becomes of those that fail or wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout

from nodeset.core.message import NodeMessage, RawMessage
from nodeset.core.node import Node
from nodeset.core.utils import catch
from nodeset.errors import HandlerFailed, NodeSetError, OutcomeUnknown, Receipt
from nodeset.settings import Settings
from tests.sites import Boom, Order, Quiet, Shop, Simple, SiteCase


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
        self.site.advance(200.0)
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
