"""Where a run of events goes."""

from __future__ import annotations

from collections import Counter

from nodeset.core.batch import MAX_QUEUED, Done, Level, Mode, Policy, Result, Sub, Took
from nodeset.core.exchange import SETTLE, Session
from tests.exchanges import ExchangeCase, makeRun


class ResentTests(ExchangeCase):
    def test_pending(self) -> None:
        """A resent event that is still under way is not routed again; its answer goes to the publisher's new link."""
        a = self.join("a", "ev")
        self.publish(makeRun(1, 4))
        self.assertEqual(self.resend(makeRun(1, 4)).runs, [])
        self.assertEqual(self.confirm(a, 1, 4), [Done([(1, 4)], Result.OK, 1, 1, 0)])

    def test_partlyPending(self) -> None:
        """Of a resent run only what is not under way is routed."""
        a = self.join("a", "ev")
        self.publish(makeRun(1, 6))
        self.confirm(a, 2, 2)
        self.confirm(a, 5, 6)
        out = self.resend(makeRun(1, 8))
        self.assertEqual(out.runs, [("a", 2, 2), ("a", 5, 8)])
        self.assertEqual(self.confirm(a, 1, 8), [Done([(1, 8)], Result.OK, 1, 1, 0)])
        self.assertTrue(a.idle)

    def test_accepted(self) -> None:
        """A resent event of level accepted that is under way is answered at once, since its publisher asks again."""
        self.join("a", "ev")
        self.publish(makeRun(1, 2, level=Level.ACCEPTED))
        out = self.resend(makeRun(1, 2, level=Level.ACCEPTED))
        self.assertEqual((out.runs, out.done), ([], [("pub", Done([(1, 2)], Result.OK, 1, 0, 0))]))

    def test_unmatched(self) -> None:
        """A resent event that nobody wants is answered as any other."""
        self.assertEqual(self.resend(makeRun(1, 2)).done, [("pub", Done([(1, 2)], Result.OK, 0, 0, 0))])

    def test_holder(self) -> None:
        """Resent, an event of mode one goes to the node that has it already, not to the next in turn."""
        nodes = [self.join(name, "ev") for name in "abc"]
        self.publish(makeRun(1, 6, mode=Mode.ONE))
        for node in nodes:
            self.confirm(node, 1, 6)
        out = self.resend(makeRun(1, 6, mode=Mode.ONE))
        self.assertEqual(out.runs, [("a", 1, 2), ("b", 3, 4), ("c", 5, 6)])

    def test_suspectHolder(self) -> None:
        """Were that node suspect or away, the event waits at it: nobody else may run it a second time."""
        a, _b = self.join("a", "ev"), self.join("b", "ev")
        self.publish(makeRun(1, mode=Mode.ONE))
        self.confirm(a, 1, 1)
        self.exchange.lost(a, self.now)
        self.assertEqual(self.resend(makeRun(1, mode=Mode.ONE)).runs, [])
        self.join("a", "ev")
        self.assertEqual(self.carryOut().runs, [("a", 1, 1)])

    def test_goneHolder(self) -> None:
        """When the holder is gone, another gets it."""
        a, _b = self.join("a", "ev"), self.join("b", "ev")
        self.publish(makeRun(1, mode=Mode.ONE))
        self.confirm(a, 1, 1)
        self.leave(a)
        self.assertEqual(self.resend(makeRun(1, mode=Mode.ONE)).runs, [("b", 1, 1)])

    def test_unsubscribedHolder(self) -> None:
        """A holder that has unsubscribed since is asked all the same: it knows what became of the event."""
        a, _b = self.join("a", "ev"), self.join("b", "ev")
        self.publish(makeRun(1, mode=Mode.ONE))
        self.confirm(a, 1, 1)
        self.exchange.unsubscribe(a, "ev", self.now)
        self.assertEqual(self.resend(makeRun(1, mode=Mode.ONE)).runs, [("a", 1, 1)])
        self.assertEqual(self.confirm(a, 1, 1), [Done([(1, 1)], Result.OK, 1, 1, 0)])
        self.assertTrue(a.idle)

    def test_onlyAskedForResent(self) -> None:
        """What is new goes in turn, whatever somebody says that it holds."""
        self.join("a", "ev")
        self.join("b", "ev", holds=[(self.publisher.stream, [(1, 1)], [])])
        self.assertEqual(self.publish(makeRun(1, mode=Mode.ONE)).to, ["a"])

    def test_overlap(self) -> None:
        """Parts of a run that are answered, asked again, answered in any order: nothing stays behind at the dispatcher."""
        a = self.join("a", "ev")
        self.publish(makeRun(1, 10, level=Level.HANDLED))
        self.confirm(a, 3, 4)
        self.confirm(a, 8, 8)
        self.assertEqual(self.resend(makeRun(1, 10, level=Level.HANDLED)).runs, [("a", 3, 4), ("a", 8, 8)])
        self.confirm(a, 5, 10)
        self.exchange.lost(a, self.now)
        self.join("a", "ev")
        self.assertEqual(self.carryOut().runs, [("a", 1, 2), ("a", 3, 4)])
        self.assertEqual(self.confirm(a, 1, 4), [Done([(1, 4)], Result.OK, 1, 1, 0)])
        self.assertTrue(a.idle)


class RestartedTests(ExchangeCase):
    """A dispatcher that knows nothing: the nodes tell what they hold."""

    fresh = False

    def test_told(self) -> None:
        """What was told in `open` is where mode one goes; begun goes before not begun, whoever came first."""
        stream = self.publisher.stream
        self.join("a", "ev", holds=[(stream, [(1, 2)], [(3, 4)])])
        self.join("b", "ev", holds=[(stream, [(4, 5)], [(1, 1)])])
        self.join("c", "ev")
        run = makeRun(1, 6, mode=Mode.ONE, again=True)
        self.publish(run)
        out = self.advance(SETTLE)
        self.assertEqual(set(out.runs) - {(name, 6, 6) for name in "abc"}, {("a", 1, 2), ("a", 3, 3), ("b", 4, 5)})
        self.assertEqual(out.sums.total(), 6)

    def test_backwards(self) -> None:
        """Nonsense in what a node says that it holds harms nobody."""
        self.join("a", "ev", holds=[(self.publisher.stream, [(5, 3), (0, 0)], [(9, 1)])])
        self.publish(makeRun(1, 6, mode=Mode.ONE, again=True))
        self.assertEqual(self.advance(SETTLE).runs, [("a", 1, 6)])


class BlockedTests(ExchangeCase):
    def _drain(self, session: Session) -> list[tuple[str, int, int]]:
        """The node takes in all it can get."""
        self.stuck.discard(session.name)
        self.exchange.took(session, 1, self.now)
        return self.carryOut().runs

    def test_orderKept(self) -> None:
        """A full queue holds its publisher's later events up as well, for whomever they are: order is preferred."""
        self.fill(most=2)
        self.join("quick", "other")
        self.publish(makeRun(1, 2))
        self.assertEqual(self.publish(makeRun(3)).frames, [])
        self.assertEqual(self.publish(makeRun(4, event="other")).frames, [])

    def test_otherPublishers(self) -> None:
        """It holds nobody else's publisher up who does not publish to it."""
        self.fill(most=1)
        self.join("quick", "other")
        self.publish(makeRun(1))
        self.publish(makeRun(2))
        self.assertEqual(self.publish(makeRun(1, event="other"), self.join("pub2")).to, ["quick"])

    def test_nobodyGetsPart(self) -> None:
        """While one of several is full no one gets the run; when there is room each gets it once."""
        slow = self.fill(most=2)
        self.join("quick", "ev")
        self.assertEqual(self.publish(makeRun(1, 2)).to, ["quick"])
        self.assertEqual(self.publish(makeRun(3, 2)).to, [])
        for _ in range(3):
            self.join("noise")
            self.exchange.took(self.join("noise"), 1, self.now)
        runs = self._drain(slow)
        self.assertEqual(sorted(runs), [("quick", 3, 4), ("slow", 1, 2), ("slow", 3, 4)])

    def test_resent(self) -> None:
        """A resent run that is blocked half way is tried again without a second routing of the first half."""
        a, slow = self.join("a", "ev"), self.fill(most=2)
        self.exchange._takers.heard(self.publisher.stream, 1, self.now)
        for first, last, node in ((4, 5, slow), (6, 6, a), (7, 7, slow)):
            self.exchange._takers.give(self.publisher.stream, first, last, node.stream)
        out = self.resend(makeRun(4, 4, mode=Mode.ONE))
        self.assertEqual((out.runs, out.other(Took)), ([("a", 6, 6)], []))
        for _ in range(3):
            self.exchange.took(a, 1, self.now)
            self.assertEqual(self.carryOut().frames, [])
        self.assertEqual(self._drain(slow), [("slow", 4, 5), ("slow", 7, 7)])

    def test_room(self) -> None:
        """Mode one is dealt fairly among those with room; one that is full gets nothing while others have some."""
        self.fill(most=1)
        for name in "abc":
            self.join(name, "ev")
        sums: Counter[str] = Counter()
        for first in range(1, 101):
            sums += self.publish(makeRun(first, mode=Mode.ONE)).sums
        self.assertEqual(sums, Counter(a=33, b=33, c=33))
        self.assertEqual(self.exchange.answers.pending.within(self.publisher.stream, 1, 100, "slow".ljust(16, "-")), [(1, 1)])

    def test_allFull(self) -> None:
        """When all that live are full, mode one waits for room at any of them."""
        first, second = self.fill("s1", most=1), self.fill("s2", most=1)
        self.publish(makeRun(1, 2, mode=Mode.ONE))
        self.assertEqual(self.publish(makeRun(3, mode=Mode.ONE)).frames, [])
        self.assertEqual(self._drain(second), [("s2", 2, 2), ("s2", 3, 3)])
        self.assertFalse(first.idle)

    def test_drops(self) -> None:
        """A subscription that drops holds nobody up."""
        for policy in (Policy.DROP_OLDEST, Policy.DROP_NEWEST):
            node = self.fill(policy.name, policy, 2)
            for _ in range(10):
                self.assertEqual(self.publish(makeRun(self.publisher.highest + 1)).other(Took), [("pub", Took(1))])
            self.assertEqual(sum(quota.events for quota in node.quotas.values()), 2)
            self.assertEqual(self.exchange.answers.counters[f"dropped_{policy.name[5:].lower()}"], 8)
            self.leave(node)

    def test_overshoot(self) -> None:
        """A run larger than the queue is queued whole, once there is any room."""
        slow = self.join("slow", Sub("ev", True, Policy.BLOCK, 1))
        self.stuck.add("slow")
        slow.credit = 0
        self.publish(makeRun(1, [b""] * 5000))
        (quota,) = slow.quotas.values()
        self.assertEqual((quota.events, quota.full), (5000, True))
        self.assertLess(quota.events, MAX_QUEUED)
