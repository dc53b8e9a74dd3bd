"""Faults on demand: each does to nodes what its namesake does in production."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import LoopingCall
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import WINDOW
from nodeset.core.collection import NodeCollection
from nodeset.core.node import Node
from nodeset.core.stream import StreamNode
from nodeset.errors import GrantRefused, NodeSetError, OutcomeUnknown, Receipt, Undelivered
from nodeset.testing import Listener, Site
from tests.sites import Order, Shop


class Ticker(Shop):
    """Has a timer of its own, once a second."""

    def startService(self) -> None:
        self.ticks: list[float] = []
        self.ticking = LoopingCall(lambda: self.ticks.append(self.clock.seconds()))
        self.ticking.clock = self.clock
        self.ticking.start(1.0, now=False)
        super().startService()

    def stopService(self) -> Any:
        self.ticking.stop()
        return super().stopService()


class FaultCase(SynchronousTestCase):
    """A shop, a listener that takes nothing, somebody who publishes."""

    def setUp(self) -> None:
        self.site = Site.forTest(self)
        self.shop = self.site.node(Shop, name="shop")

    def linked(self, node: Node) -> bool:
        return node._peer is not None and node._peer.linked

    def standing(self, name: str) -> str:
        """What the dispatcher holds of a node."""
        rows = self.site.wait(self.site.me.nodes(name))
        return rows[0].state if rows else "gone"


class LinkTests(FaultCase):
    """What happens to links."""

    def test_lose(self) -> None:
        """A lost link comes back by itself; what was published meanwhile arrives."""
        me = self.site.me
        self.site.lose(self.shop)
        self.assertEqual((self.linked(me), self.linked(self.shop)), (True, False))
        self.assertEqual(self.site.publish("orders.created", Order, id=1).delivered, 1)
        self.assertTrue(self.linked(self.shop))

    def test_loseAll(self) -> None:
        """To lose the dispatcher's links is to lose everybody's."""
        other = self.site.node(Shop)
        assert self.site.dispatcher is not None
        self.site.lose(self.site.dispatcher)
        self.assertEqual([self.linked(node) for node in (self.shop, other)], [False, False])
        self.site.until(lambda: self.linked(self.shop) and self.linked(other))

    def test_cutOff(self) -> None:
        """Who is cut off stays away for as long as the test wants; to the others he is away, then gone."""
        self.site.cutOff(self.shop)
        self.site.advance(60.0)
        self.assertFalse(self.linked(self.shop))
        self.assertEqual(self.standing("shop"), "gone")
        self.assertEqual(self.site.publish("orders.created", Order, id=1).matched, 0)
        self.site.reconnect(self.shop)
        self.site.advance(2.0)
        self.assertEqual(self.site.publish("orders.created", Order, id=2).delivered, 1)

    def test_cutOffSilently(self) -> None:
        """Nobody is told: for 20 s both sides believe in the link, then each has found out by itself."""
        self.site.cutOff(self.shop, silently=True)
        self.site.advance(15.0)
        self.assertTrue(self.linked(self.shop))
        self.assertEqual(self.standing("shop"), "suspect")
        self.site.advance(15.0)
        self.assertFalse(self.linked(self.shop))
        self.assertEqual(self.standing("shop"), "gone")
        self.site.reconnect(self.shop)
        self.site.advance(12.0)  # an attempt that nobody answers takes 10 s
        self.assertTrue(self.linked(self.shop))

    def test_delay(self) -> None:
        """A batch takes as long as the test says, for one node or all; none overtakes another when it is shorter again."""
        me = self.site.me
        self.site.delay(3.0, self.shop)
        receipt = me.publish("orders.created", Order, id=1)
        self.site.advance(2.9)
        self.assertEqual(self.shop.orders, [])
        self.site.delay(0.0, self.shop)
        me.publish("orders.created", Order, id=2)
        self.site.advance(0.2)
        self.assertEqual(self.shop.orders, [1, 2])
        self.assertEqual(self.site.wait(receipt).delivered, 1)
        self.site.delay(1.0)
        before = self.site.clock.seconds()
        self.site.publish("orders.created", Order, id=3)
        self.assertAlmostEqual(self.site.clock.seconds() - before, 4.0)

    def test_directLinks(self) -> None:
        """A node that is cut off loses the connections of its streams as well."""
        taker = self.site.node(StreamNode, name="taker")
        self.site.wait(taker.subscribe("video"))
        pusher = self.site.node(StreamNode, name="pusher")
        stream = self.site.wait(pusher.stream("video"))
        self.assertTrue(stream.peers[0].direct)
        self.site.cutOff(taker)
        self.site.advance(1.0)
        self.assertEqual(stream.peers, [])


class ProcessTests(FaultCase):
    """What happens to processes."""

    def test_freeze(self) -> None:
        """A frozen node reads nothing, no timer of it runs, while time goes on; thawed it does all of that, late."""
        ticker = self.site.node(Ticker, name="ticker")
        self.site.advance(2.5)
        self.site.freeze(ticker)
        self.assertEqual(self.site.publish("orders.created", Order, id=1, timeout=None, level="accepted"), (2, 0, 0))
        self.site.advance(5.0)
        self.assertEqual((ticker.ticks, ticker.orders, self.shop.orders), ([1.0, 2.0], [], [1]))
        self.site.thaw(ticker)
        self.assertEqual(ticker.orders, [1])
        self.assertEqual(ticker.ticks, [1.0, 2.0, 7.5])  # a LoopingCall skips what it has missed
        self.site.advance(1.0)
        self.assertEqual(ticker.ticks[3:], [8.0])

    def test_frozenForLong(self) -> None:
        """Who is frozen for longer than 20 s finds his link gone when he wakes, links again, and hears what is new."""
        self.site.freeze(self.shop)
        self.site.advance(12.0)
        self.assertEqual(self.standing("shop"), "suspect")
        self.site.advance(18.0)
        self.assertEqual(self.standing("shop"), "gone")
        self.assertTrue(self.linked(self.shop))  # he does not know
        self.site.thaw(self.shop)
        self.assertFalse(self.linked(self.shop))
        self.site.advance(1.0)
        self.assertEqual(self.site.publish("orders.created", Order, id=1).delivered, 1)

    def test_frozenDispatcher(self) -> None:
        """A frozen dispatcher answers nobody; thawed in time it goes on as if nothing had been."""
        me = self.site.me
        assert self.site.dispatcher is not None
        self.site.freeze(self.site.dispatcher)
        receipt = me.publish("orders.created", Order, id=1)
        self.site.advance(10.0)
        self.assertFalse(receipt.called)
        self.site.thaw(self.site.dispatcher)
        self.assertEqual(self.site.wait(receipt).delivered, 1)
        self.site.freeze(self.site.dispatcher)
        self.site.advance(40.0)
        self.assertFalse(self.linked(me))
        self.site.thaw(self.site.dispatcher)
        self.site.advance(12.0)
        self.assertEqual(self.site.publish("orders.created", Order, id=2).delivered, 1)

    def test_frozenWhileDialling(self) -> None:
        """Nothing is opened in a process that stands still: the attempt goes on when it does."""
        self.site.cutOff(self.shop)
        self.site.freeze(self.shop)
        self.site.reconnect(self.shop)
        self.site.advance(5.0)
        self.assertFalse(self.linked(self.shop))
        self.site.thaw(self.shop)
        self.site.advance(1.5)
        self.assertTrue(self.linked(self.shop))

    def test_slow(self) -> None:
        """A slow node is busy with each batch; nothing is lost."""
        me = self.site.me
        self.site.slow(0.5, self.shop)
        for number in range(8):
            me.publish("orders.created", Order, id=number)
            self.site.advance(0.01)
        self.assertEqual(self.shop.orders, [0])
        self.site.advance(0.5)
        self.assertLess(len(self.shop.orders), 8)
        self.site.until(lambda: self.shop.orders == list(range(8)))
        self.site.slow(0.0, self.shop)
        before = self.site.clock.seconds()
        self.site.publish("orders.created", Order, id=8)
        self.assertLess(self.site.clock.seconds() - before, 0.6)

    def test_starve(self) -> None:
        """A starved node's queue fills, and what its policy says happens: the newest are dropped, counted in receipts."""
        ears = self.site.listen("orders.*", max_events=2, policy="drop_newest")
        self.site.starve(ears)
        me = self.site.me
        receipts = [me.publish("orders.created", Order, id=number, timeout=None) for number in range(4)]
        self.site.advance(0.1)
        self.site.lose(ears)  # it comes back with its credits
        self.assertEqual([self.site.wait(receipt).dropped for receipt in receipts], [0, 0, 1, 1])
        self.assertEqual([msg.id for msg in ears.heard], [0, 1])
        self.site.starve(ears, 2)
        self.assertRaises(AssertionError, self.site.starve, ears, WINDOW + 1)
        self.site.cutOff(ears)
        self.assertIn("is not linked", str(self.assertRaises(AssertionError, self.site.starve, ears)))

    def test_kill(self) -> None:
        """A killed node says no farewell, and nothing happens in it any more; another one of its name takes its place."""
        ticker = self.site.node(Ticker, name="ticker")
        self.site.kill(ticker, self.shop)
        self.site.advance(2.5)
        self.assertEqual((ticker.ticks, self.standing("ticker")), ([], "gone"))
        again = self.site.node(Ticker, name="ticker")
        self.assertEqual(self.site.publish("orders.created", Order, id=1).delivered, 1)
        self.assertEqual((again.orders, ticker.orders, self.shop.orders), ([1], [], []))

    def test_killedByMistake(self) -> None:
        """Whoever uses a node that was killed hears nothing, and no timer of it is left."""
        self.site.kill(self.shop)
        told = self.shop.publish("orders.created", Order, id=1)
        self.shop.clock.callLater(1, self.fail)
        self.site.advance(100)
        self.assertNoResult(told)
        self.site.stop()

    def test_restartDispatcher(self) -> None:
        """A dispatcher that was killed and started anew finds its nodes again."""
        waiting = self.site.me.publish("orders.created", Order, id=1)
        first = self.site.dispatcher
        self.assertIsNot(self.site.restartDispatcher(after=3.0), first)
        self.assertEqual(self.site.wait(waiting).delivered, 1)
        assert self.site.dispatcher is not None
        self.site.kill(self.site.dispatcher)
        self.assertIsNone(self.site.dispatcher)
        self.site.startDispatcher()
        self.assertEqual(self.site.publish("orders.created", Order, id=2).delivered, 1)

    def test_collection(self) -> None:
        """Members of a collection are one process: what befalls one befalls all."""
        pair = self.site.node(NodeCollection, name="pair", start=False)
        one, two = (self.site.node(Ticker, name=name, start=False) for name in ("one", "two"))
        pair.adapt(one), pair.adapt(two)
        pair.startService()
        self.site.wait(pair.start())
        self.site.freeze(one)
        self.site.advance(3.0)
        self.assertEqual((one.ticks, two.ticks), ([], []))
        self.site.thaw(two)
        self.assertEqual(len(one.ticks + two.ticks), 2)
        self.site.lose(two)
        self.assertEqual([self.linked(node) for node in (pair, one, two)], [False] * 3)
        self.site.until(lambda: all(self.linked(node) for node in (pair, one, two)))


class OtherTests(FaultCase):
    """Grants, time, full queues, trouble."""

    def test_expire(self) -> None:
        """A grant ends when the wall clock says so, without an hour of the test's time."""
        furl = self.site.grant(publish=["orders.*"], expires=3600)
        guest = self.site.node(Node, name="guest", grant=furl)
        self.assertEqual(self.site.wait(guest.publish("orders.created", Order, id=1)).delivered, 1)
        self.site.jump(3601)
        self.site.advance(1.1)
        self.assertRaises(GrantRefused, self.site.wait, guest.publish("orders.created", Order, id=2))
        self.assertLess(self.site.clock.seconds(), 5.0)

    def test_revoke(self) -> None:
        """A grant that was taken back is refused."""
        furl = self.site.grant(publish=["orders.*"])
        guest = self.site.node(Node, name="guest", grant=furl)
        self.site.revoke(furl)
        self.assertRaises(NodeSetError, self.site.wait, guest.publish("orders.created", Order, id=2))
        other = Site.forTest(self)
        self.assertRaises(AssertionError, other.revoke, furl)

    def test_strangers(self) -> None:
        """A node that was not made by the site is told from those that were."""
        other = Node(name="stranger")
        self.assertIn("stranger is not of this site", str(self.assertRaises(AssertionError, self.site.lose, other)))

    def test_fullQueue(self) -> None:
        """Publishers whose events find no room are told, after the dispatcher has waited for 10 s."""
        ears = self.site.listen("orders.*", max_events=1)
        self.site.freeze(ears)
        me = self.site.me
        receipts = []
        for number in range(WINDOW + 5):
            receipts.append(me.publish("orders.created", Order, id=number))
            self.site.flush()  # or all of them would be one batch
        self.site.advance(15.0)
        self.site.thaw(ears)
        results = [self._result(receipt, self.site) for receipt in receipts]
        self.assertTrue(any(result in (Undelivered, OutcomeUnknown) or result.dropped for result in results), results)

    def _result(self, receipt: Any, site: Site) -> Any:
        try:
            return site.wait(receipt)
        except NodeSetError as error:
            return type(error)

    def test_trouble(self) -> None:
        """Under any trouble, all that was confirmed as delivered was heard, and peace comes back."""
        for seed in range(10):
            site = Site.forTest(self)
            ears = site.listen("orders.*", msgClass=Order)
            receipts: list[Any] = []

            def more(site: Site = site, receipts: list[Any] = receipts) -> None:
                receipts.append(site.me.publish("orders.created", Order, id=len(receipts), timeout=None))

            told = site.trouble(seed, 20.0, meanwhile=more)
            self._checkTrouble(site, ears, receipts, told)

    def _checkTrouble(self, site: Site, ears: Listener, receipts: list[Any], told: list[str]) -> None:
        self.assertGreater(len(told), 5)
        results = [self._result(receipt, site) for receipt in receipts]
        delivered = {number for number, result in enumerate(results) if isinstance(result, Receipt) and result.delivered}
        self.assertTrue(delivered)
        heard = {msg.id for msg in ears.heard}
        self.assertLessEqual(delivered, heard, told)
        before = len(ears.heard)
        site.publish("orders.created", Order, id=-1)
        self.assertEqual(len(ears.heard), before + 1, told)

    def test_troubleIsTheSame(self) -> None:
        """The same seed makes the same trouble."""
        told = []
        for seed in (3, 3, 4):
            site = Site.forTest(self)
            site.node(Shop, name="shop")
            told.append(site.trouble(seed, 10.0))
        self.assertEqual(told[0], told[1])
        self.assertNotEqual(told[0], told[2])
