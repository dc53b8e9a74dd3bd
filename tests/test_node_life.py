"""What a node promises from its start to its stop."""

from __future__ import annotations

import itertools
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from nodeset.core import peer
from nodeset.core.collection import NodeCollection
from nodeset.core.node import Node
from nodeset.core.outbox import Outbox
from nodeset.core.utils import catch
from nodeset.errors import NodeSetError, NotRunning, OutcomeUnknown, Overloaded, Receipt, Undelivered
from nodeset.settings import Settings
from nodeset.testing import Site
from nodeset.transport.clock import MonotonicClock
from tests.sites import Crew, Order, Shop, SiteCase


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
        site.advance(1000.0)
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

    def test_startedWhileItStops(self) -> None:
        """A node that is started before it has stopped starts when it has: no second one of it stays behind."""
        shop, publisher = self.site.node(Shop, name="shop"), self.site.node(Node)
        member = Shop(name="member", clock=self.site.clock)
        group = self.site.node(NodeCollection, start=False)
        group.adapt(member)
        group.startService()
        self.site.wait(group.start())
        for node in (shop, group):
            waits = node.publish("a")  # before it is answered the node does not stop
            stopping = node.stopService()
            node.startService()
            started = node.start()
            self.assertEqual((stopping.called, started.called), (False, False))
            self.assertIs(self.site.wait(started), node)
            self.assertTrue(stopping.called and waits.called)
        self.assertEqual(self.publishes(publisher, 4), Receipt(2, 2, 0))
        self.assertEqual((shop.orders, member.orders), ([4], [4]))
        self.assertEqual(len(self.site.wait(publisher.nodes())), 4)

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
