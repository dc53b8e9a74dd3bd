"""Published events, each with the Deferred that tells what became of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import MAX_SEQUENCE, RAW_HEADERS, TARGET, Done, Events, Level, Mode, Result
from nodeset.core.blocks import GRAIN
from nodeset.core.outbox import Outbox
from nodeset.core.publisher import GIVE_UP, Publisher
from nodeset.errors import HandlerFailed, NotRunning, OutcomeUnknown, Overloaded, Receipt, Undelivered
from tests.test_outbox import makeTerms


class Case(SynchronousTestCase):
    """A publisher, whose outbox holds five events and lets five more wait."""

    linked = True

    def setUp(self) -> None:
        self.clock = Clock()
        self.counters: Counter[str] = Counter()
        self.pokes = 0
        self.outbox = Outbox(max_events=5, max_waiting=5)
        self.publisher = Publisher(self.outbox, self.clock, self._poke, self.counters)
        if self.linked:
            self.publisher.linkOpened()

    def _poke(self) -> None:
        self.pokes += 1

    def publish(
        self, event: str = "ev", payload: bytes = b"x", wait: bool = True, timeout: float | None = 60.0, **changes: Any
    ) -> Deferred[Receipt]:
        """Publish with the usual arguments."""
        return self.publisher.publish(makeTerms(event, timeout=timeout, **changes), payload, wait)

    def done(
        self, first: int, last: int, result: Result = Result.OK, counts: tuple[int, int, int] = (1, 1, 0), reason: str = ""
    ) -> None:
        """The dispatcher answers."""
        self.publisher.done(Done([(first, last)], result, *counts, reason))


class DoneTests(Case):
    def test_receipt(self) -> None:
        """A publish fires with a truthy Receipt of who matched, who got it, who lost it to a policy."""
        published = [self.publish() for _ in range(3)]
        self.assertEqual(self.pokes, 1)
        (run,) = self.publisher.take()
        self.assertEqual((run.first, run.last), (1, 3))
        self.publish().addErrback(lambda failure: None)
        self.assertEqual(self.pokes, 2)
        self.done(1, 2, counts=(3, 2, 1))
        self.done(3, 3, counts=(0, 0, 0))
        receipts = [self.successResultOf(one) for one in published]
        self.assertEqual(receipts, [Receipt(3, 2, 1), Receipt(3, 2, 1), Receipt(0, 0, 0)])
        self.assertTrue(all(receipts))

    def test_undelivered(self) -> None:
        """Who is gone makes it fail, with the receipt and a sentence that counts the missing."""
        published = self.publish("orders.created")
        self.publisher.take()
        self.done(1, 1, Result.UNDELIVERED, (5, 2, 1), "n: it is gone")
        error = self.failureResultOf(published, Undelivered).value
        assert isinstance(error, Undelivered)
        self.assertEqual(error.receipt, Receipt(5, 2, 1))
        self.assertEqual(str(error), "'orders.created' did not reach 2 of the 5 that match: n: it is gone")

    def test_failed(self) -> None:
        """A handler that failed makes it fail, with the receipt and the handler's reason."""
        published = self.publish()
        self.publisher.take()
        self.done(1, 1, Result.FAILED, (2, 2, 0), "n.catcher raised KeyError")
        error = self.failureResultOf(published, HandlerFailed).value
        assert isinstance(error, HandlerFailed)
        self.assertEqual(error.receipt, Receipt(2, 2, 0))
        self.assertIn("n.catcher raised KeyError", str(error))

    def test_twice(self) -> None:
        """Answers that come twice, or for what was never published, are passed over."""
        published = self.publish()
        self.publisher.take()
        self.done(1, 1)
        self.done(1, 1, Result.FAILED)
        self.done(0, MAX_SEQUENCE)
        self.assertEqual(self.successResultOf(published), Receipt(1, 1, 0))

    def test_cancelled(self) -> None:
        """Who cancels the Deferred is told nothing more; the event goes its way."""
        published = self.publish()
        published.cancel()
        self.failureResultOf(published, CancelledError)
        self.assertEqual(len(self.publisher.take()), 1)
        self.done(1, 1)
        self.assertEqual(len(self.outbox), 0)

    def test_publishWhenDone(self) -> None:
        """A callback may publish: it is sent after what was there."""
        more: list[Deferred[Receipt]] = []
        published = self.publish()
        published.addCallback(lambda receipt: more.append(self.publish("more")))
        self.publisher.take()
        self.done(1, 1)
        (run,) = self.publisher.take()
        self.assertEqual((run.event, run.first), ("more", 2))
        self.done(2, 2)
        self.successResultOf(more[0])

    def test_room(self) -> None:
        """What waited for room is sent as soon as an answer makes some: the link is poked again."""
        published = [self.publish() for _ in range(6)]
        self.assertEqual(sum(len(run.lengths) for run in self.publisher.take()), 5)
        pokes = self.pokes
        self.done(1, 1)
        self.assertEqual(self.pokes, pokes + 1)
        (run,) = self.publisher.take()
        self.assertEqual(run.first, 6)
        self.done(2, 6)
        self.assertTrue(all(self.successResultOf(one) for one in published))


class TakeTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.publisher = Publisher(Outbox(), self.clock, self._poke, self.counters)
        self.publisher.linkOpened()

    def test_everything(self) -> None:
        """All that is unsent leaves, a batch at a time, in order, with its headers."""
        for _ in range(1200):
            self.publish(payload=b"x" * 1000, headers=RAW_HEADERS, mode=Mode.ONE, level=Level.ACCEPTED)
        runs: list[Events] = []
        while batch := self.publisher.take():
            self.assertLessEqual(sum(len(run.payloads) for run in batch), TARGET)
            runs += batch
            self.publisher.took(1)
        self.assertGreater(len(runs), 3)
        self.assertEqual([number for run in runs for number in range(run.first, run.last + 1)], list(range(1, 1201)))
        self.assertEqual(
            (runs[0].headers, runs[0].mode, runs[0].level, runs[0].low), (RAW_HEADERS, Mode.ONE, Level.ACCEPTED, 1)
        )

    def test_credit(self) -> None:
        """Four batches leave unasked, then one for each that the dispatcher has routed; it is poked when credit comes."""
        for _ in range(12):
            self.publish(payload=b"x" * TARGET)
        self.assertEqual([run.first for _ in range(8) for run in self.publisher.take()], [1, 2, 3, 4])
        pokes = self.pokes
        self.publisher.took(2)
        self.assertEqual(self.pokes, pokes + 1)
        self.assertEqual([run.first for _ in range(8) for run in self.publisher.take()], [5, 6])
        self.publisher.took(1_000_000)
        self.assertEqual([run.first for _ in range(8) for run in self.publisher.take()], [7, 8, 9, 10])

    def test_noLink(self) -> None:
        """Without a link nothing is sent, nor after the loss of one until the next is open."""
        publisher = Publisher(Outbox(), self.clock, self._poke, self.counters)
        one = publisher.publish(makeTerms("ev"), b"x")
        self.assertEqual(publisher.take(), [])
        publisher.linkOpened()
        self.assertEqual(len(publisher.take()), 1)
        other = publisher.publish(makeTerms("ev"), b"x")
        publisher.linkLost()
        self.assertEqual(publisher.take(), [])
        publisher.stop()
        for published in (one, other):
            self.failureResultOf(published, OutcomeUnknown)

    def test_poked(self) -> None:
        """However often it was poked in vain, what is published later is noticed as well."""
        for opened in (False, True, False, True):
            (self.publisher.linkOpened if opened else self.publisher.linkLost)()
            pokes = self.pokes
            self.publish()
            self.assertEqual(self.pokes, pokes + 1)
            self.publisher.take()
        self.publisher.stop()

    def publish(
        self, event: str = "ev", payload: bytes = b"x", wait: bool = True, timeout: float | None = None, **changes: Any
    ) -> Deferred[Receipt]:
        """Publish without a look at what becomes of it."""
        published = super().publish(event, payload, wait, timeout, **changes)
        published.addErrback(lambda failure: failure.trap(OutcomeUnknown, NotRunning))
        return published


class OverloadTests(Case):
    def test_noWait(self) -> None:
        """Without room `wait=False` fails with Overloaded, counted; it does not raise."""
        for _ in range(5):
            self.publish()
        self.failureResultOf(self.publish(wait=False), Overloaded)
        self.assertEqual((self.counters["overloaded"], len(self.outbox)), (1, 5))

    def test_bounded(self) -> None:
        """Who never looks at the answers fills the outbox and as much again, no more."""
        published = [self.publish() for _ in range(11)]
        for one in published[:10]:
            self.assertNoResult(one)
        self.failureResultOf(published[10], Overloaded)


class TimeTests(Case):
    def tearDown(self) -> None:
        """No timer is left when there is nothing to expire."""
        self.publisher.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unanswered(self) -> None:
        """An event without an answer fails after its own time-out, which its error names, and not before."""
        late, soon, never = self.publish("late", timeout=5.0), self.publish("soon", timeout=2.5), self.publish(timeout=None)
        never.addErrback(lambda failure: failure.trap(OutcomeUnknown))
        self.publisher.take()
        self.clock.advance(2.4)
        self.assertNoResult(soon)
        self.clock.advance(0.1)
        error = self.failureResultOf(soon, OutcomeUnknown).value
        self.assertEqual(str(error), "'soon' had no answer within 2.5 s; it is not sent again")
        self.clock.advance(2.5)
        self.failureResultOf(late, OutcomeUnknown)
        self.clock.advance(1e6)
        self.assertNoResult(never)
        self.assertEqual(self.counters["timed_out"], 2)

    def test_longTurn(self) -> None:
        """However long a turn takes, its events have their time-out from its end: none of them fails early."""
        published = [self.publish(timeout=1.0)]
        self.clock.rightNow += 5.0
        published.append(self.publish(timeout=1.0))
        self.assertEqual([run.lengths for run in self.publisher.take()], [[1, 1]])
        self.clock.advance(0.99)
        for one in published:
            self.assertNoResult(one)
        self.clock.advance(0.01)
        for one in published:
            self.failureResultOf(one, OutcomeUnknown)

    def test_longTurnMany(self) -> None:
        """So it is when many are published behind them."""
        published = [self.publish(timeout=1.0) for _ in range(2)]
        self.clock.rightNow += 5.0
        self.publisher.publishMany([(makeTerms("ev", timeout=9.0), [b"x"])]).addErrback(lambda failure: None)
        self.publisher.take()
        self.clock.advance(0.99)
        self.assertNoResult(published[1])
        self.clock.advance(0.01)
        self.failureResultOf(published[1], OutcomeUnknown)
        self.failureResultOf(published[0], OutcomeUnknown)

    def test_longTurnNoCredit(self) -> None:
        """So it is when nothing may be sent at that turn's end, whatever else is published in it."""
        while self.publisher._credit:
            self.publish(timeout=None).addErrback(lambda failure: None)
            self.publisher.take()
        published = self.publish(timeout=1.0)
        self.clock.rightNow += 5.0
        other = self.publish(timeout=2.0)
        self.assertEqual(self.publisher.take(), [])
        self.clock.advance(0.99)
        self.assertNoResult(published)
        self.clock.advance(0.01)
        self.failureResultOf(published, OutcomeUnknown)
        self.assertNoResult(other.addErrback(lambda failure: None))

    def test_expiredInTurn(self) -> None:
        """One that is published just before others expire, in the same turn, does not go with them."""
        self.publish(timeout=1.0).addErrback(lambda failure: None)
        self.publisher.take()
        self.clock.rightNow = 0.5
        published = self.publish(timeout=1.0)
        self.clock.rightNow = 2.0
        self.clock.advance(0)
        self.assertNoResult(published)
        self.publisher.take()
        self.clock.advance(1.0)
        self.failureResultOf(published, OutcomeUnknown)

    def test_waited(self) -> None:
        """One that waited for room keeps its own time-out, whoever is published when there is room for it."""
        for _ in range(5):
            self.publish(timeout=None)
        self.publisher.take()
        waited = self.publish(timeout=1.0)
        self.clock.advance(0.9)
        self.done(1, 5)
        late = self.publish(timeout=1.0)
        self.publisher.take()
        self.clock.advance(0.1)
        self.failureResultOf(waited, OutcomeUnknown)
        self.assertNoResult(late)
        self.clock.advance(0.9)
        self.failureResultOf(late, OutcomeUnknown)

    def test_leaving(self) -> None:
        """A dispatcher that is about to leave takes nothing more: what is published then keeps its own time-out."""
        self.publisher.linkLeaving()
        early = self.publish(timeout=1.0)
        self.clock.advance(0.9)
        late = self.publish(timeout=1.0)
        self.clock.advance(0.1)
        self.failureResultOf(early, OutcomeUnknown)
        self.assertNoResult(late)
        self.clock.advance(0.9)
        self.failureResultOf(late, OutcomeUnknown)

    def test_noRoom(self) -> None:
        """One that waited for room all the time says so."""
        for _ in range(5):
            self.publish(timeout=None).addErrback(lambda failure: None)
        published = self.publish(timeout=1.0)
        self.clock.advance(1.0)
        self.assertIn("no room", str(self.failureResultOf(published, OutcomeUnknown).value))

    def test_makesRoom(self) -> None:
        """What expires makes room for what waits, which is sent."""
        for _ in range(5):
            self.publish(timeout=1.0).addErrback(lambda failure: None)
        waiting = self.publish(timeout=9.0)
        self.publisher.take()
        pokes = self.pokes
        self.clock.advance(1.0)
        self.assertEqual(self.pokes, pokes + 1)
        self.assertEqual([run.first for run in self.publisher.take()], [6])
        self.done(6, 6)
        self.successResultOf(waiting)

    def test_oneTimer(self) -> None:
        """However many are published, one timer waits for the first of them."""
        for number in range(5):
            self.publish(timeout=10.0 - number).addErrback(lambda failure: None)
            self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [10.0 - number])

    def test_lateAnswer(self) -> None:
        """An answer after the time-out changes nothing."""
        published = self.publish(timeout=1.0)
        self.publisher.take()
        self.clock.advance(1.0)
        self.done(1, 1)
        self.failureResultOf(published, OutcomeUnknown)


class UnlinkedTimeTests(Case):
    linked = False

    def test_together(self) -> None:
        """Events published within 50 ms may fail together, none of them early, with the timer for all of them."""
        published = [self.publish(timeout=1.0)]
        self.clock.advance(GRAIN)
        published.append(self.publish(timeout=1.0))
        self.clock.advance(1.0 - GRAIN)
        self.assertNoResult(published[1])
        self.clock.advance(GRAIN)
        for one in published:
            self.failureResultOf(one, OutcomeUnknown)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unsent(self) -> None:
        """An event that never found a link fails after its time-out as well, and is not sent when a link comes."""
        published = self.publish(timeout=1.0)
        self.clock.advance(1.0)
        self.failureResultOf(published, OutcomeUnknown)
        self.publisher.linkOpened()
        self.assertEqual(self.publisher.take(), [])

    def test_publishWhenExpired(self) -> None:
        """Who publishes again at a time-out gets a time-out of its own."""
        again: list[Deferred[Receipt]] = []
        self.publish(timeout=1.0).addErrback(lambda failure: again.append(self.publish(timeout=1.0)))
        self.clock.advance(1.0)
        self.assertNoResult(again[0])
        self.clock.advance(1.0)
        self.failureResultOf(again[0], OutcomeUnknown)


class FlushTests(Case):
    def test_empty(self) -> None:
        """With nothing unanswered there is nothing to wait for."""
        self.assertIsNone(self.successResultOf(self.publisher.flush(5.0)))

    def test_waits(self) -> None:
        """It fires when all that was published is answered, what waited for room included; no timer is left."""
        for _ in range(6):
            self.publish(timeout=None)
        self.publisher.take()
        flushed, other = self.publisher.flush(5.0), self.publisher.flush(9.0)
        self.done(1, 5)
        self.assertNoResult(flushed)
        self.publisher.take()
        self.done(6, 6)
        self.assertIsNone(self.successResultOf(flushed))
        self.assertIsNone(self.successResultOf(other))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_timeout(self) -> None:
        """It fires after its time at the latest, without an error; what is answered later is no surprise."""
        published = self.publish(timeout=None)
        self.publisher.take()
        flushed = self.publisher.flush(5.0)
        self.clock.advance(4.9)
        self.assertNoResult(flushed)
        self.clock.advance(0.1)
        self.assertIsNone(self.successResultOf(flushed))
        self.done(1, 1)
        self.successResultOf(published)

    def test_loss(self) -> None:
        """Failures are answers too: a time-out, 10 minutes without a link, a stop lets it fire."""

        def lose() -> None:
            self.publisher.linkLost()
            self.clock.advance(GIVE_UP)

        for end in (lose, lambda: self.clock.advance(60.0), self.publisher.stop):
            self.publisher.linkOpened()
            self.publish(timeout=None if end is lose else 60.0).addErrback(lambda failure: None)
            self.publisher.take()
            flushed = self.publisher.flush(1000.0)
            self.assertNoResult(flushed)
            end()
            self.assertIsNone(self.successResultOf(flushed))
