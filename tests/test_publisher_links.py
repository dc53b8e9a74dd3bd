"""What becomes of published events when links are lost, of many with one answer."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from nodeset.core.batch import TARGET, WINDOW, Mode, Result
from nodeset.core.outbox import Outbox
from nodeset.core.publisher import GIVE_UP, Publisher
from nodeset.errors import NotRunning, OutcomeUnknown, Overloaded, Receipt, Undelivered
from tests.test_outbox import makeTerms
from tests.test_publisher import Case


class LossTests(Case):
    def test_resent(self) -> None:
        """After a loss all that is unconfirmed is sent again, in order, what was never sent with it; nothing fails."""
        sent = [self.publish() for _ in range(2)]
        self.publisher.take()
        unsent = self.publish("unsent")
        self.done(1, 1)
        self.publisher.linkLost()
        self.successResultOf(sent[0])
        pokes = self.pokes
        self.publisher.linkOpened()
        self.assertEqual(self.pokes, pokes + 1)
        runs = self.publisher.take()
        self.assertEqual(
            [(run.event, run.first, run.again, run.low) for run in runs], [("ev", 2, True, 2), ("unsent", 3, False, 2)]
        )
        self.done(2, 3)
        self.successResultOf(sent[1])
        self.successResultOf(unsent)
        self.publisher.stop()

    def test_window(self) -> None:
        """A new link begins with the whole window: the credit of the old one is no more."""
        for _ in range(5):
            self.publish(payload=b"x" * TARGET).addErrback(lambda failure: None)
        self.assertEqual(len([1 for _ in range(5) if self.publisher.take()]), WINDOW)
        self.publisher.linkLost()
        self.publisher.took(0)
        self.publisher.linkOpened()
        self.assertEqual(len([1 for _ in range(6) if self.publisher.take()]), WINDOW)
        self.publisher.stop()

    def test_giveUp(self) -> None:
        """After 10 minutes without a link what was sent fails as unknown, counted; what was not sent waits on."""
        sent = self.publish(timeout=None)
        self.publisher.take()
        self.publisher.linkLost()
        unsent = self.publish("unsent", timeout=None)
        self.assertEqual(GIVE_UP, 600.0)
        self.clock.advance(GIVE_UP - 0.1)
        self.assertNoResult(sent)
        self.clock.advance(0.1)
        self.assertIn("may or may not", str(self.failureResultOf(sent, OutcomeUnknown).value))
        self.assertNoResult(unsent)
        self.assertEqual((self.counters["outcome_unknown"], self.clock.getDelayedCalls()), (1, []))
        self.publisher.linkOpened()
        self.assertEqual([(run.event, run.again) for run in self.publisher.take()], [("unsent", False)])
        self.done(2, 2)
        self.successResultOf(unsent)

    def test_linkInTime(self) -> None:
        """A link in between, however short, begins the 10 minutes anew; lost twice, the first loss counts."""
        sent = self.publish(timeout=None)
        self.publisher.take()
        self.publisher.linkLost()
        self.clock.advance(GIVE_UP - 1)
        self.publisher.linkOpened()
        self.publisher.linkLost()
        self.clock.advance(GIVE_UP - 1)
        self.publisher.linkLost()
        self.assertNoResult(sent)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(1)
        self.failureResultOf(sent, OutcomeUnknown)

    def test_lateAnswer(self) -> None:
        """An answer over the next link, for what was sent over the last, is an answer."""
        published = self.publish()
        self.publisher.take()
        self.publisher.linkLost()
        self.publisher.linkOpened()
        self.done(1, 1)
        self.successResultOf(published)
        self.assertEqual(self.publisher.take(), [])

    def test_stop(self) -> None:
        """Stopped, all fail: what may have gone out as unknown, what still waited for room as not running; no timer stays."""
        published = [self.publish() for _ in range(6)]
        self.publisher.take()
        self.publisher.linkLost()
        self.publisher.stop()
        for one in published[:5]:
            self.failureResultOf(one, OutcomeUnknown)
        self.failureResultOf(published[5], NotRunning)
        self.assertEqual((len(self.outbox), self.clock.getDelayedCalls()), (0, []))


class ManyTests(Case):
    def many(self, count: int, timeout: float | None = 60.0, wait: bool = True) -> Deferred[Receipt]:
        """Publish `count` events with one answer."""
        return self.publisher.publishMany([(makeTerms("ev", timeout=timeout), [b"x"] * count)], wait)

    def test_sum(self) -> None:
        """One Deferred fires when all of them are answered, with the sums; they leave in order among the others."""
        published = self.many(3)
        self.publish()
        (run,) = self.publisher.take()
        self.assertEqual((run.first, run.last), (1, 4))
        self.done(2, 4, counts=(2, 1, 1))
        self.assertNoResult(published)
        self.done(1, 1, counts=(3, 3, 0))
        self.assertEqual(self.successResultOf(published), Receipt(7, 5, 2))
        self.publisher.stop()

    def test_none(self) -> None:
        """None at all are answered at once."""
        self.assertEqual(self.successResultOf(self.many(0)), Receipt(0, 0, 0))

    def test_failed(self) -> None:
        """When some fail it fails with the first error, when all have come to their ends."""
        published = self.many(3)
        self.publisher.take()
        self.done(2, 2, Result.UNDELIVERED, (1, 0, 0), "n: it is gone")
        self.done(1, 1, Result.FAILED, (1, 1, 0), "second")
        self.assertNoResult(published)
        self.done(3, 3)
        self.assertIn("it is gone", str(self.failureResultOf(published, Undelivered).value))

    def test_overloaded(self) -> None:
        """Those that find no room make it fail, counted; the others are sent all the same."""
        published = self.many(7, wait=False)
        self.assertEqual((self.counters["overloaded"], len(self.outbox)), (2, 5))
        self.publisher.take()
        self.assertNoResult(published)
        self.done(1, 5)
        self.failureResultOf(published, Overloaded)

    def test_timeout(self) -> None:
        """Without an answer it fails after its time."""
        published = self.many(3, timeout=2.0)
        self.publisher.take()
        self.done(1, 2)
        self.clock.advance(2.0)
        self.failureResultOf(published, OutcomeUnknown)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """Who cancels it is told nothing more; the events go their way."""
        published = self.many(3)
        published.cancel()
        self.failureResultOf(published, CancelledError)
        self.publisher.take()
        self.done(1, 3)
        self.assertEqual(len(self.outbox), 0)

    def test_modes(self) -> None:
        """Those that go to all, those that go to one keep their order, with one answer."""
        groups = [(makeTerms("ev", mode=mode), [b"x"] * 2) for mode in (Mode.ALL, Mode.ONE, Mode.ALL)]
        self.publisher = Publisher(Outbox(), self.clock, self._poke, self.counters)
        self.publisher.linkOpened()
        published = self.publisher.publishMany(groups)
        runs = self.publisher.take()
        self.assertEqual([(run.first, run.mode) for run in runs], [(1, Mode.ALL), (3, Mode.ONE), (5, Mode.ALL)])
        self.done(1, 6)
        self.assertEqual(self.successResultOf(published), Receipt(6, 6, 0))

    def test_among(self) -> None:
        """Between single events, one answer for all of them reaches each of them once."""
        one = self.publish()
        published = self.many(3)
        other = self.publish()
        self.publisher.take()
        self.done(1, 5, counts=(2, 1, 1))
        self.assertEqual(self.successResultOf(published), Receipt(6, 3, 3))
        self.assertEqual((self.successResultOf(one), self.successResultOf(other)), (Receipt(2, 1, 1), Receipt(2, 1, 1)))

    def test_waits(self) -> None:
        """More than there is room for wait as single events do, in order; what finds none even to wait makes it fail."""
        published = self.many(9)
        self.assertEqual(len(self.outbox), 9)
        for number in range(1, 10, 5):
            self.assertEqual([run.first for run in self.publisher.take()], [number])
            self.assertNoResult(published)
            self.done(number, min(number + 4, 9))
        self.assertEqual(self.successResultOf(published), Receipt(9, 9, 0))
        published = self.many(12)
        self.assertEqual((len(self.outbox), self.counters["overloaded"]), (10, 2))
        self.publisher.stop()
        self.failureResultOf(published, Overloaded)

    def test_noneWait(self) -> None:
        """Behind events that wait, with `wait=False`, none is published: it fails at once."""
        for _ in range(6):
            self.publish().addErrback(lambda failure: None)
        self.failureResultOf(self.many(3, wait=False), Overloaded)
        self.assertEqual((len(self.outbox), self.counters["overloaded"]), (6, 3))
        self.publisher.stop()

    def test_waitedTooLong(self) -> None:
        """Those that found no room in time make it fail as well, counted one by one."""
        published = self.many(7, timeout=2.0)
        self.publisher.take()
        self.done(1, 1)
        self.clock.advance(2.0)
        self.assertIn("had no answer", str(self.failureResultOf(published, OutcomeUnknown).value))
        self.assertEqual((self.counters["timed_out"], len(self.outbox), self.clock.getDelayedCalls()), (6, 0, []))
