"""What a dispatcher does when links are lost, come back, when it was restarted itself."""

from __future__ import annotations

from nodeset.core.batch import MAX_QUEUED, WINDOW, Bye, Confirm, Done, Events, Level, Mode, Outcome, Policy, Result, Sub, Took
from nodeset.core.exchange import AWAY, REJOIN, SETTLE, SETTLE_MOST
from nodeset.core.queueing import STALL
from nodeset.core.takers import STREAM_EXPIRY
from tests.exchanges import ExchangeCase, makeHello, makeRun


class SettleTests(ExchangeCase):
    """A dispatcher that was restarted."""

    fresh = False

    def test_pause(self) -> None:
        """For 2 s it routes nothing and gives no credit, so that who subscribes is back before events are routed."""
        out = self.publish(makeRun(1))
        self.assertEqual((out.frames, self.exchange.underWay), ([], 1))
        self.advance(SETTLE - 0.1)
        self.join("late", "ev")
        out = self.advance(0.1)
        self.assertEqual((out.runs, out.other(Took)), ([("late", 1, 1)], [("pub", Took(1))]))

    def test_rejoin(self) -> None:
        """Nor within 1 s of a node that comes back from an earlier start; a node that is new delays nobody."""
        self.publish(makeRun(1))
        self.advance(SETTLE - 0.1)
        self.join("old", "ev", boot="earlier")
        self.join("new", "ev")
        self.assertEqual(self.advance(REJOIN - 0.1).frames, [])
        self.assertEqual(sorted(self.advance(0.1).to), ["new", "old"])

    def test_sameBoot(self) -> None:
        """A node that comes back to the start that it knows delays nobody."""
        self.publish(makeRun(1))
        self.advance(SETTLE - 0.1)
        self.join("n", "ev", boot="boot")
        self.assertEqual(self.advance(0.1).to, ["n"])

    def test_most(self) -> None:
        """However many come back one after the other, it waits no longer than 30 s."""
        self.publish(makeRun(1))
        began, number = self.now, 0
        while self.now - began < SETTLE_MOST - 0.5:
            self.assertEqual(self.advance(0.5).frames, [])
            self.join(f"n{number}", boot="earlier")
            number += 1
        self.join("n", "ev", boot="earlier")
        self.assertEqual(self.advance(0.5).to, ["n"])

    def test_over(self) -> None:
        """Once it is over, who comes back delays nobody any more for longer than its own second."""
        self.advance(SETTLE_MOST)
        self.join("old", "ev", boot="earlier")
        self.assertEqual(self.publish(makeRun(1)).to, ["old"])

    def test_window(self) -> None:
        """While it waits a publisher may have its window of batches there, in order."""
        for first in range(1, WINDOW + 1):
            self.publish(makeRun(first))
        self.join("n", "ev")
        out = self.advance(SETTLE)
        self.assertEqual(out.runs, [("n", first, first) for first in range(1, WINDOW + 1)])
        self.assertEqual(out.other(Took), [("pub", Took(WINDOW))])

    def test_lostMeanwhile(self) -> None:
        """What a lost link had not routed is forgotten: it is resent, and would be routed twice."""
        self.join("n", "ev")
        self.publish(makeRun(1, 3))
        out = self.resend(makeRun(1, 3))
        self.assertEqual(out.frames, [])
        self.assertEqual(self.advance(SETTLE).runs, [("n", 1, 3)])


class FreshTests(ExchangeCase):
    def test_noPause(self) -> None:
        """A first start waits for nobody: no one can be on the way back."""
        self.join("n", "ev")
        self.assertEqual(self.publish(makeRun(1)).to, ["n"])
        self.join("odd", boot="of another dispatcher")
        self.assertEqual(self.publish(makeRun(2)).to, ["n"])


class AwayTests(ExchangeCase):
    def test_back(self) -> None:
        """Back within 2 s, a node gets all that it has not confirmed, what was sent first, then what was queued."""
        a = self.join("a", "ev")
        self.publish(makeRun(1, 4))
        self.confirm(a, 2, 2)
        self.exchange.lost(a, self.now)
        self.assertEqual(self.publish(makeRun(5, 2)).runs, [])
        self.assertEqual(self.advance(AWAY - 0.1).done, [])
        session = self.join("a", "ev")
        self.assertIs(session, a)
        self.assertEqual(self.carryOut().runs, [("a", 1, 1), ("a", 3, 4), ("a", 5, 6)])
        self.assertEqual(self.confirm(a, 1, 6), [Done([(1, 1), (3, 6)], Result.OK, 1, 1, 0)])
        self.assertEqual(self.advance(10 * AWAY).frames, [])

    def test_gone(self) -> None:
        """Not back within 2 s, it is gone: mode all counts what it has not confirmed as lost."""
        a, b = self.join("a", "ev"), self.join("b", "ev")
        self.publish(makeRun(1, 3))
        self.confirm(b, 1, 3)
        self.confirm(a, 1, 1)
        self.exchange.lost(a, self.now)
        self.assertEqual(self.advance(AWAY - 0.1).frames, [])
        out = self.advance(0.1)
        self.assertEqual(out.done, [("pub", Done([(2, 3)], Result.UNDELIVERED, 2, 1, 0, "a: its link was lost"))])
        self.assertEqual(self.publish(makeRun(4)).to, ["b"])

    def test_lostAgain(self) -> None:
        """Each loss has its own 2 s."""
        a = self.join("a", "ev")
        self.publish(makeRun(1))
        self.exchange.lost(a, self.now)
        self.advance(AWAY - 0.1)
        a = self.join("a", "ev")
        self.exchange.lost(a, self.now)
        self.exchange.lost(a, self.now + 1.0)
        self.assertEqual(self.advance(AWAY - 0.1).done, [])
        self.assertEqual(len(self.advance(0.1).done), 1)

    def test_moved(self) -> None:
        """Mode one moves when its taker is gone, not before: the other has it then, and one answer counts."""
        a, b = self.join("a", "ev"), self.join("b", "ev")
        out = self.publish(makeRun(1, 4, mode=Mode.ONE, level=Level.HANDLED))
        self.assertEqual(out.runs, [("a", 1, 2), ("b", 3, 4)])
        self.exchange.lost(a, self.now)
        self.assertEqual(self.advance(AWAY - 0.1).runs, [])
        self.assertEqual(self.advance(0.1).runs, [("b", 1, 2)])
        self.assertEqual(self.confirm(b, 1, 4), [Done([(1, 4)], Result.OK, 1, 1, 0)])
        self.assertEqual(self.exchange.answers.counters["moved"], 2)

    def test_acceptedStays(self) -> None:
        """Events of level accepted do not move: nobody waits for them."""
        a = self.join("a", "ev")
        self.publish(makeRun(1, mode=Mode.ONE, level=Level.ACCEPTED))
        self.join("b", "ev")
        self.assertEqual(self.leave(a).frames, [])

    def test_confirmedStays(self) -> None:
        """What the taker has confirmed does not move."""
        a = self.join("a", "ev")
        self.publish(makeRun(1, 3, mode=Mode.ONE))
        self.join("b", "ev")
        self.confirm(a, 2, 2)
        self.assertEqual(self.leave(a).runs, [("b", 1, 1), ("b", 3, 3)])

    def test_nobodyElse(self) -> None:
        """With nobody to move to, mode one is undelivered."""
        a = self.join("a", "ev")
        self.publish(makeRun(1, 2, mode=Mode.ONE))
        expected = Done([(1, 2)], Result.UNDELIVERED, 1, 0, 0, "a: it left")
        self.assertEqual(self.leave(a).done, [("pub", expected)])

    def test_onlyWorkerAway(self) -> None:
        """Mode one waits for the only worker while that is away, and is no success without it."""
        a = self.join("a", "ev")
        self.exchange.lost(a, self.now)
        self.assertEqual(self.publish(makeRun(1, mode=Mode.ONE)).done, [])
        self.advance(0.3)
        self.join("a", "ev")
        self.assertEqual(self.carryOut().runs, [("a", 1, 1)])

    def test_passedOver(self) -> None:
        """Mode one passes over who is away while anybody else lives."""
        a, _b = self.join("a", "ev"), self.join("b", "ev")
        self.exchange.lost(a, self.now)
        self.assertEqual(self.publish(makeRun(1, 4, mode=Mode.ONE)).runs, [("b", 1, 4)])

    def test_oldHolder(self) -> None:
        """Who held an event that has moved since, and comes back claiming it, does not get it again on a resend."""
        a, b = self.join("a", "ev"), self.join("b", "ev")
        self.publish(makeRun(1, mode=Mode.ONE))
        self.assertEqual(self.leave(a).runs, [("b", 1, 1)])
        self.join("a", "ev", holds=[(self.publisher.stream, [(1, 1)], [])])
        self.confirm(b, 1, 1)
        self.assertEqual(self.resend(makeRun(1, mode=Mode.ONE)).runs, [("b", 1, 1)])

    def test_publisherAway(self) -> None:
        """An answer for a publisher that is away is not lost: it asks again, the receivers answer from memory."""
        a = self.join("a", "ev")
        self.publish(makeRun(1, 2))
        self.exchange.lost(self.publisher, self.now)
        self.assertEqual(self.answer(a, 1, 2).frames, [])
        out = self.resend(makeRun(1, 2))
        self.assertEqual(out.runs, [("a", 1, 2)])
        self.assertEqual(self.confirm(a, 1, 2), [Done([(1, 2)], Result.OK, 1, 1, 0)])
        self.assertTrue(a.idle)

    def test_blockedPublisher(self) -> None:
        """What a publisher's lost link had not routed is forgotten at once: there is room later, and it is resent anyway."""
        slow = self.fill(most=1)
        self.publish(makeRun(1))
        self.publish(makeRun(2))
        self.exchange.lost(self.publisher, self.now)
        self.assertEqual(self.exchange.underWay, 1)
        self.stuck.discard("slow")
        self.exchange.took(slow, 1, self.now)
        self.assertEqual(self.carryOut().runs, [("slow", 1, 1)])
        self.exchange.took(slow, 1, self.now)
        self.assertEqual(self.carryOut().runs, [])

    def test_heldTogether(self) -> None:
        """Publishers that wait for the same full queue are not asked again before it has room; then each goes on, in turn."""
        slow, other, third = self.fill(most=1), self.join("pub2"), self.join("free", "free")
        self.publish(makeRun(1))
        self.publish(makeRun(2))
        self.publish(makeRun(1), other)
        asked: list[int] = []
        route = self.exchange._router.route

        def ask(run: Events, now: float) -> bool:
            asked.append(run.first)
            return route(run, now)

        self.patch(self.exchange._router, "route", ask)
        self.exchange.took(third, 1, self.now)
        self.assertEqual((asked, len(self.exchange._blocked)), ([], 2))
        self.stuck.discard("slow")
        came = []
        for _ in range(4):
            self.exchange.took(slow, 1, self.now)
            came += self.carryOut().runs
        self.assertEqual(came, [("slow", 1, 1), ("slow", 2, 2), ("slow", 1, 1)])
        self.assertEqual(self.exchange._blocked, {})

    def test_heldByOneWhoLeaves(self) -> None:
        """The queue that held a publisher up is gone with its node: the publisher goes on at once."""
        slow, quick = self.fill(most=1), self.join("quick", "ev")
        self.publish(makeRun(1))
        self.publish(makeRun(2))
        self.assertEqual(self.leave(slow).runs, [("quick", 2, 2)])
        self.assertEqual((self.exchange._blocked, quick.queued), ({}, False))

    def test_stalledUntilTaken(self) -> None:
        """Who stalled gets nothing, in mode one others get it, until it takes a batch; then it is as any other."""
        slow = self.fill(most=1)
        self.publish(makeRun(1))
        self.advance(STALL)
        self.assertEqual(self.publish(makeRun(2)).done[0][1].result, Result.UNDELIVERED)
        self.join("b", "ev")
        self.assertEqual(self.publish(makeRun(3, 4, mode=Mode.ONE)).sums["b"], 4)
        self.stuck.discard("slow")
        self.exchange.took(slow, 1, self.now)
        self.assertEqual(self.carryOut().runs, [])
        self.assertEqual(sorted(self.publish(makeRun(7)).to), ["b", "slow"])
        self.assertEqual(self.publish(makeRun(8, 4, mode=Mode.ONE)).sums["slow"], 2)

    def test_fullAgain(self) -> None:
        """Who comes back with more than its queue may hold, then takes nothing, holds its publishers up for 10 s, no more."""
        slow = self.fill(most=3)
        slow.credit = WINDOW
        self.stuck.add("slow")
        for first in range(1, WINDOW + 1):
            self.publish(makeRun(3 * first, [b"x" * 20_000] * 3))
        self.exchange.lost(slow, self.now)
        self.advance(1.0)
        slow = self.join("slow", Sub("ev", True, Policy.BLOCK, 3))
        slow.credit = 0
        self.publish(makeRun(100))
        self.assertEqual(self.exchange._blocked, {self.publisher.stream: self.publisher})
        out = self.advance(STALL)
        self.assertEqual((self.exchange._blocked, out.other(Took)), ({}, [("pub", Took(1))]))
        self.assertTrue(all(done.result is Result.UNDELIVERED for _name, done in out.done))

    def test_narrowed(self) -> None:
        """The same for who makes the limits of its queue narrower than what is in it."""
        slow = self.fill(most=MAX_QUEUED)
        self.publish(makeRun(1, 5))
        self.exchange.subscribe(slow, Sub("ev", True, Policy.BLOCK, 2))
        self.publish(makeRun(6))
        self.assertIn(self.publisher.stream, self.exchange._blocked)
        self.advance(STALL)
        self.assertEqual((self.exchange._blocked, self.exchange.underWay), ({}, 0))

    def test_unsubscribed(self) -> None:
        """Who waits for a queue goes on at once when its node unsubscribes, or says goodbye."""
        for go in (
            lambda slow: self.exchange.unsubscribe(slow, "ev", self.now),
            lambda slow: self.exchange.retire(slow, self.now),
        ):
            slow = self.fill()
            first = self.publisher.highest + 1
            self.publish(makeRun(first, 4))
            self.publish(makeRun(first + 4))
            self.assertIn(self.publisher.stream, self.exchange._blocked)
            go(slow)
            out = self.carryOut()
            self.assertEqual((self.exchange._blocked, out.other(Took)), ({}, [("pub", Took(1))]))
            self.assertEqual(out.done, [("pub", Done([(first + 4, first + 4)], Result.OK, 0, 0, 0))])
            self.leave(slow)


class RetireTests(ExchangeCase):
    def test_idle(self) -> None:
        """A node without anything in hand is told goodbye at once, and is gone."""
        a = self.join("a", "ev")
        self.exchange.retire(a, self.now)
        self.assertEqual(self.carryOut().frames, [("a", Bye("goodbye"))])
        self.assertNotIn(a.stream, self.exchange.answers.sessions)
        self.assertEqual(self.publish(makeRun(1)).done, [("pub", Done([(1, 1)], Result.OK, 0, 0, 0))])

    def test_busy(self) -> None:
        """It gets nothing new, answers for what it got, queued events as well, then is told goodbye: nothing is lost by it."""
        a = self.join("a", "ev")
        self.stuck.add("a")
        a.credit = 1
        self.publish(makeRun(1, 2, level=Level.HANDLED))
        self.publish(makeRun(3, 2, level=Level.HANDLED))
        self.exchange.retire(a, self.now)
        self.assertEqual(self.publish(makeRun(5)).to, [])
        self.assertEqual(self.answer(a, 1, 2).other(Bye), [])
        self.exchange.took(a, 1, self.now)
        self.assertEqual(self.carryOut().runs, [("a", 3, 4)])
        out = self.answer(a, 3, 4)
        self.assertEqual(out.frames, [("pub", Done([(3, 4)], Result.OK, 1, 1, 0)), ("a", Bye("goodbye"))])

    def test_dropped(self) -> None:
        """What its queue had dropped does not keep it from its goodbye."""
        a = self.join("a", Sub("ev", True, Policy.DROP_OLDEST, 2))
        self.stuck.add("a")
        a.credit = 1
        self.publish(makeRun(1))
        self.publish(makeRun(2, 2))
        self.publish(makeRun(4, 2))
        self.exchange.retire(a, self.now)
        self.exchange.took(a, 1, self.now)
        self.assertEqual(self.carryOut().runs, [("a", 4, 5)])
        self.assertEqual(self.answer(a, 1, 5).other(Bye), [("a", Bye("goodbye"))])

    def test_lost(self) -> None:
        """When its link is lost before it has answered it is not waited for: mode one moves at once."""
        a = self.join("a", "ev")
        self.publish(makeRun(1, mode=Mode.ONE))
        self.join("b", "ev")
        self.exchange.retire(a, self.now)
        self.exchange.lost(a, self.now)
        self.assertEqual(self.carryOut().runs, [("b", 1, 1)])

    def test_changedItsMind(self) -> None:
        """A node that opens a link again stays."""
        a = self.join("a", "ev")
        self.publish(makeRun(1))
        self.exchange.retire(a, self.now)
        self.join("a", "ev")
        self.carryOut()
        self.assertEqual(self.answer(a, 1, 1).other(Bye), [])
        self.assertEqual(self.publish(makeRun(2)).to, ["a"])

    def test_speaksOn(self) -> None:
        """What a node says in one breath with its goodbye leaves no trace: no route to nobody, no event of nobody."""
        a, b = self.join("a", "ev"), self.join("b", "ev")
        self.exchange.retire(a, self.now)
        answer = self.exchange.subscribe(a, Sub("ev"))
        self.assertEqual((answer.active, answer.refused), (False, "a has left"))
        self.exchange.unsubscribe(a, "ev", self.now)
        self.exchange.arrive(a, [makeRun(1)], self.now)
        self.exchange.confirm(a, Confirm(self.publisher.stream, [(1, 1)], Outcome.OK), self.now)
        self.exchange.took(a, 1, self.now)
        self.exchange.retire(a, self.now)
        self.assertEqual(self.carryOut().frames, [("a", Bye("goodbye"))])
        self.assertEqual(self.publish(makeRun(1)).to, ["b"])
        self.confirm(b, 1, 1)
        self.assertEmpty()

    def test_wantsMore(self) -> None:
        """Whoever has said goodbye subscribes to nothing any more."""
        a = self.join("a", "ev")
        self.publish(makeRun(1))
        self.exchange.retire(a, self.now)
        self.assertFalse(self.exchange.subscribe(a, Sub("other")).active)
        self.assertEqual(self.publish(makeRun(2, event="other")).to, [])


class ExpiryTests(ExchangeCase):
    def test_silent(self) -> None:
        """A stream that is silent for 15 min, whose node is gone, is forgotten with all that still waited."""
        a = self.join("a", "ev")
        self.publish(makeRun(1, 3, mode=Mode.ONE))
        self.leave(self.publisher)
        self.advance(STREAM_EXPIRY / 2)
        self.assertEqual(self.exchange.underWay, 3)
        self.advance(STREAM_EXPIRY)
        self.assertEqual((self.exchange.underWay, self.exchange._takers._streams), (0, {}))
        self.assertEqual(self.confirm(a, 1, 3), [])
        self.assertTrue(a.idle)

    def test_present(self) -> None:
        """A publisher that is there may be silent for as long as it likes."""
        a = self.join("a", "ev")
        self.publish(makeRun(1))
        self.advance(3 * STREAM_EXPIRY)
        self.assertEqual(self.confirm(a, 1, 1, Outcome.OK), [Done([(1, 1)], Result.OK, 1, 1, 0)])

    def test_alarms(self) -> None:
        """Nodes that come and go for days leave no alarms behind."""
        for _ in range(200):
            session = self.join("n", "ev", boot="earlier")
            self.exchange.lost(session, self.now)
            self.advance(AWAY)
        self.assertLess(len(self.exchange._alarms._heap), 5)

    def test_nextAlarm(self) -> None:
        """It says when it wants to be called next."""
        session, *_ = self.exchange.join("tub", makeHello("n"), self.now)
        self.exchange.lost(session, self.now)
        self.assertEqual(self.exchange.nextAlarm(), self.now + AWAY)
