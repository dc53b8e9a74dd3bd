"""How long events have to live, wherever they wait."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import lifetime
from nodeset.core.batch import Outcome
from nodeset.core.blocks import Terms
from nodeset.core.message import NodeMessage
from nodeset.core.node import Node
from nodeset.core.outbox import Outbox
from nodeset.core.utils import catch
from nodeset.errors import OutcomeUnknown
from tests.exchanges import ExchangeCase, makeRun
from tests.sites import Crew, Order, RetainedCase, Shop


class LifetimeTests(SynchronousTestCase):
    """What travels, what is kept."""

    @given(st.integers(1, 10**6), st.floats(0, 10**6), st.floats(0, 10**4))
    def test_held(self, ttl: int, now: float, held: float) -> None:
        """What is left after a while is that much less, to the millisecond, but never 0, which would be for ever."""
        left = lifetime.leftOf(lifetime.endOf(ttl, now), now + held)
        self.assertGreaterEqual(left, lifetime.OVER)
        self.assertLessEqual(abs(max(lifetime.OVER, ttl - held * 1000) - left), 2)

    def test_over(self) -> None:
        """What is over when it comes is over, whenever one looks."""
        for now in (0.0, 5.0004, 1e6):
            self.assertTrue(lifetime.isOver(lifetime.endOf(lifetime.OVER, now), now))
            self.assertFalse(lifetime.isOver(lifetime.endOf(lifetime.OVER + 1, now), now))


class OutboxTests(SynchronousTestCase):
    """`Outbox` with terms that have a time to live."""

    def test_runs(self) -> None:
        """What was published within one turn shares a run; each run says what is left of its life when it leaves."""
        box, terms = Outbox(), Terms("ev", ttl=2.0)
        box.add(terms, b"1", 1, None, True, 12.0)
        self.assertTrue(box.join(terms, b"2", 2))
        box.close(10.5)
        box.add(terms, b"3", 3, None, True, 13.0)
        box.add(Terms("ev"), b"4", 4)
        self.assertEqual(
            [(run.first, run.last, run.ttl) for run in box.take(10_000, 11.0)], [(1, 2, 1500), (3, 3, 2000), (4, 4, 0)]
        )
        box.rewind()
        again = [(run.first, run.ttl, run.again) for run in box.take(10_000, 12.9)]
        self.assertEqual(again, [(1, lifetime.OVER, True), (3, 100, True), (4, 0, True)])
        self.assertEqual(box.takeOutlived(), [])

    def test_unsent(self) -> None:
        """What was not sent when its life is over is taken out, by whichever look comes first."""
        for take in (True, False):
            box, terms = Outbox(), Terms("ev", timeout=60.0, ttl=2.0)
            box.add(terms, b"1", 1, 60.0, True, 2.0)
            box.add(Terms("ev"), b"2", 2)
            self.assertEqual(box.nextDeadline(), 2.0)
            if take:
                self.assertEqual([run.first for run in box.take(10_000, 2.0)], [2])
            else:
                self.assertEqual(box.expire(2.0), ([], []))
            self.assertEqual((box.takeOutlived(), box.takeOutlived(), len(box), box.low), ([(terms, [1])], [], 1, 2))

    def test_sent(self) -> None:
        """What was sent in time waits for its answer until its time-out; without one, for ever."""
        for timeout in (60.0, None, 1.0):
            box = Outbox()
            terms = Terms("ev", timeout=timeout, ttl=2.0)
            box.addMany(terms, [b"1"], 1, timeout, 2.0)
            box.take(10_000, 0.5)
            early = box.expire(2.0)
            self.assertEqual(
                (early[0], box.nextDeadline()), ([(terms, [1])] if timeout == 1.0 else [], 60.0 if timeout == 60.0 else None)
            )
            self.assertEqual((box.expire(60.0)[0], box.takeOutlived()), ([(terms, [1])] if timeout == 60.0 else [], []))

    def test_waiting(self) -> None:
        """What waited for room in vain is over as well; what was admitted keeps its life."""
        box, terms = Outbox(max_events=1), Terms("ev", ttl=2.0)
        box.add(Terms("ev"), b"1", 1)
        box.add(terms, b"2", 2, None, True, 2.0)
        box.add(terms, b"3", 3, None, True, 4.0)
        self.assertEqual((box.expire(2.0), box.takeOutlived()), (([], []), [(terms, [2])]))
        box.take(10_000, 2.0)
        box.done([(1, 1)])
        self.assertEqual([(run.first, run.ttl) for run in box.take(10_000, 2.5)], [(2, 1500)])


class DispatcherTests(ExchangeCase):
    """What waits at the dispatcher."""

    def batch(self, session: Any) -> list[tuple[int, int, int]]:
        """The next batch: first, last, what is left of its life."""
        return [(run.first, run.last, run.ttl) for run in self.exchange.nextBatch(session, self.now)]

    def test_queue(self) -> None:
        """The time that a run was held is subtracted; what is over is dropped, counted, told; each queue sees its own."""
        quick, slow = self.join("quick", "ev"), self.join("slow", "ev")
        slow.credit = 0
        self.exchange.arrive(self.publisher, [makeRun(1, 2, ttl=1000), makeRun(3, 1, ttl=3000), makeRun(4)], self.now)
        self.assertEqual(self.batch(quick), [(1, 2, 1000), (3, 3, 3000), (4, 4, 0)])
        self.now += 1.5
        self.exchange.took(slow, 1, self.now)
        self.assertEqual(self.batch(slow), [(3, 3, 1500), (4, 4, 0)])
        self.assertEqual(self.exchange.answers.counters["expired"], 2)
        (done,) = self.confirm(quick, 1, 4)
        self.assertEqual((done.ranges, done.matched, done.delivered, done.dropped), ([(1, 2)], 2, 1, 1))
        self.confirm(slow, 3, 4)
        self.assertEmpty()

    def test_room(self) -> None:
        """Publishers that wait for a queue go on when what fills it is over, though nothing is sent."""
        slow = self.fill(most=2)
        self.publish(makeRun(1, 2, ttl=1000))
        self.assertEqual(self.publish(makeRun(3, 1, ttl=60_000)).runs, [])
        self.now += 2.0
        slow.credit = 1
        self.assertEqual((self.batch(slow), slow.credit), ([], 1))
        self.assertEqual(self.advance(0.0).runs, [("slow", 3, 3)])

    def test_retiring(self) -> None:
        """A node that leaves is not kept waiting for the answer to what it was never sent."""
        slow = self.fill()
        self.publish(makeRun(1, 1, ttl=1000))
        self.exchange.retire(slow, self.now)
        self.now += 2.0
        slow.credit = 1
        self.assertEqual(self.batch(slow), [])
        self.advance(0.0)
        self.assertNotIn(slow.stream, self.exchange.answers.sessions)

    def test_again(self) -> None:
        """What was sent before goes on although it is over, marked so: whoever had it says so, to others it is not new."""
        node = self.join("node", "ev")
        self.publish(makeRun(1, 1, ttl=1000))
        self.now += 5.0
        self.exchange.lost(node, self.now)
        node = self.join("node", "ev")
        (run,) = self.exchange.nextBatch(node, self.now)
        self.assertEqual((run.first, run.again, run.ttl), (1, True, lifetime.OVER))
        self.assertEqual(self.confirm(node, 1, 1, Outcome.EXPIRED)[0].dropped, 1)


class Sleepy(Node):
    """Its handler takes as long as the test wants."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.begun: list[tuple[int, Deferred[None]]] = []

    @catch("jobs", Order)
    def work(self, msg: NodeMessage) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.begun.append((msg.id, done))
        return done


class TtlTests(RetainedCase):
    """`publish(..., ttl=)`."""

    def test_inTime(self) -> None:
        """What comes in time is delivered like all else."""
        shop = self.site.node(Shop)
        self.assertEqual(self.publishes(self.pub, 1, ttl=0.5), (1, 1, 0))
        self.assertEqual(
            self.site.wait(self.pub.publishMany("orders.created", Order, [{"id": 2}, {"id": 3}], ttl=5)), (2, 2, 0)
        )
        self.assertEqual(shop.orders, [1, 2, 3])

    def test_noDispatcher(self) -> None:
        """What waited for a dispatcher for too long is dropped, which is told at that moment: nobody knows for how many."""
        shop = self.site.node(Shop)
        self.site.killDispatcher()
        late = [self.pub.publish("orders.created", Order, id=1, ttl=2.0, timeout=timeout) for timeout in (None, 60.0)]
        early = self.pub.publish("orders.created", Order, id=2, ttl=30)
        short = self.pub.publish("orders.created", Order, id=3, ttl=30, timeout=1.0)
        self.site.advance(1.9)
        for published in late:
            self.assertNoResult(published)
        self.site.advance(0.1)
        self.assertEqual([self.successResultOf(published) for published in late], [(0, 0, 1)] * 2)
        self.failing(OutcomeUnknown, short)
        self.site.startDispatcher()
        self.assertEqual((self.site.wait(early), shop.orders), ((1, 1, 0), [2]))
        self.assertEqual(self.count(self.pub, "expired"), 2)

    def test_settling(self) -> None:
        """What a restarted dispatcher holds back for too long is dropped by it."""
        shop = self.site.node(Shop)
        self.site.killDispatcher()
        self.site.startDispatcher()
        self.assertEqual(self.publishes(self.pub, 1, ttl=0.5), (1, 0, 1))
        self.assertEqual((shop.orders, self.stats("expired")), ([], [1]))

    def test_inbox(self) -> None:
        """What waits behind a slow handler for too long is never handled; the receipt counts it as dropped."""
        node = self.site.node(Sleepy)
        first = self.pub.publish("jobs", Order, id=1, ttl=1.0, level="handled")
        second = self.pub.publishMany("jobs", Order, [{"id": 2}, {"id": 3}], ttl=1.0)
        third = self.pub.publish("jobs", Order, id=4)
        self.site.advance(2.0)
        self.assertNoResult(second)
        node.begun[0][1].callback(None)
        self.assertEqual(
            (self.site.wait(first), self.site.wait(second), self.site.wait(third)), ((1, 1, 0), (2, 0, 2), (1, 1, 0))
        )
        self.assertEqual(([number for number, _done in node.begun], self.count(node, "expired")), ([1, 4], 2))
        node.begun[1][1].callback(None)

    def test_answerLost(self) -> None:
        """What was handled in time, but whose answer was lost, counts as delivered however late it is asked about."""
        for kill in (False, True):
            shop = self.site.node(Shop, tub="shop")
            self.site.wire.delay = 0.2
            published = self.pub.publish("orders.created", Order, id=1, ttl=1.0)
            self.site.advance(0.5)
            self.assertEqual(shop.orders, [1])
            if kill:
                self.site.killDispatcher()
                self.site.startDispatcher()
            else:
                self.site.wire.cut()
            self.site.advance(3.0)
            self.assertEqual((self.site.wait(published), shop.orders), ((1, 1, 0), [1]))
            self.site.wait(shop.stopService())
            self.site.wire.delay = 0.0
            self.site.advance(0.5)

    def test_sentAndLost(self) -> None:
        """What was sent and had not come when its link was lost is not handled late."""
        shop = self.site.node(Shop)
        self.site.wire.delay = 0.2
        published = self.pub.publish("orders.created", Order, id=1, ttl=1.0)
        self.site.advance(0.1)
        self.site.killDispatcher()
        self.site.advance(1.0)
        self.site.wire.delay = 0.0
        self.site.startDispatcher()
        self.assertEqual((self.site.wait(published), shop.orders), ((1, 0, 1), []))

    def test_modeOne(self) -> None:
        """In mode one it is the same."""
        crew = self.site.node(Crew)
        published = [self.pub.publish("jobs", Order, id=number, ttl=0.3, _delivery_mode="one") for number in range(4)]
        receipts = [self.site.wait(each) for each in published]
        self.assertEqual((crew.orders, receipts), ([0, 1], [(1, 1, 0)] * 2 + [(1, 0, 1)] * 2))
        self.site.advance(1.0)
