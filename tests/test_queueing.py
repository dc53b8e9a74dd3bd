"""What becomes of a run at the queue of one subscription."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.alarms import Alarms
from nodeset.core.answers import Answers
from nodeset.core.batch import TARGET, Done, Events, Frame, Outcome, Policy, Result
from nodeset.core.queueing import STALL, Queueing
from nodeset.core.session import Quota, Session
from tests.exchanges import makeRun


class Case(SynchronousTestCase):
    """A publisher, a node that takes nothing in, the queue between them."""

    def setUp(self) -> None:
        self.answers, self.alarms = Answers(), Alarms()
        self.room: list[float] = []
        self.queueing = Queueing(self.answers, self.alarms, self.room.append)
        self.node = Session("n" * 16, "tub", "slow", "localhost", credit=0)
        publisher = Session("p" * 16, "tub", "pub", "localhost")
        self.answers.sessions |= {session.stream: session for session in (self.node, publisher)}
        self.next = 1

    def put(self, quota: Quota, payloads: int | list[bytes] = 1, now: float = 0.0, **changes: Any) -> None:
        """Queue the next run."""
        run = makeRun(self.next, payloads, stream="p" * 16, **changes)
        self.next = run.last + 1
        self.answers.expect(run, [self.node])
        self.queueing.put(self.node, quota, run, now)

    def told(self) -> list[Frame]:
        """What the publisher was told since the last call."""
        sends, self.answers.sends = self.answers.sends, []
        return [frame for _session, frame in sends]

    def queued(self) -> list[int]:
        """The numbers that are in the queue."""
        return [number for item in self.node._queue if item.run for number in range(item.run.first, item.run.last + 1)]


class BlockTests(Case):
    def test_waits(self) -> None:
        """Under `block` nothing is dropped; the queue is full, so its publishers wait."""
        quota = Quota(max_events=3)
        self.put(quota, 2)
        self.assertFalse(quota.blocks)
        self.put(quota, 4)
        self.assertEqual((quota.blocks, self.queued(), self.told()), (True, [1, 2, 3, 4, 5, 6], []))

    def test_stall(self) -> None:
        """Full for 10 s its queue is dropped, counted, told as undelivered; publishers that waited for it go on."""
        quota = Quota(max_events=3)
        self.put(quota, 2, now=1.0)
        self.put(quota, 2, now=5.0)
        self.alarms.ring(5.0 + STALL - 0.1)
        self.assertEqual((self.told(), self.room), ([], []))
        self.alarms.ring(5.0 + STALL)
        self.assertEqual(STALL, 10.0)
        reason = "slow does not take events in"
        self.assertEqual(self.told(), [
            Done([(1, 2)], Result.UNDELIVERED, 1, 0, 0, reason),
            Done([(3, 4)], Result.UNDELIVERED, 1, 0, 0, reason),
        ])  # fmt: skip
        self.assertEqual((self.room, self.queued(), self.answers.counters["lost"]), ([15.0], [], 4))

    def test_stalled(self) -> None:
        """Stalled, new events for it are dropped at once: each refill would stall its publishers again."""
        quota = Quota(max_events=1)
        self.put(quota)
        self.alarms.ring(STALL)
        self.told()
        self.put(quota, 2, now=STALL)
        self.assertEqual(len(self.told()), 1)
        self.assertEqual((quota.blocks, self.queued(), self.alarms.next()), (False, [], None))

    def test_roomInTime(self) -> None:
        """Had it room in the meantime, be it for one event, its 10 s begin anew."""
        quota = Quota(max_events=2)
        self.put(quota, 2, now=0.0)
        self.node.credit = 1
        self.node.take(1)
        self.assertFalse(quota.full)
        self.put(quota, 2, now=6.0)
        self.alarms.ring(STALL)
        self.assertFalse(quota.stalled)
        self.alarms.ring(6.0 + STALL)
        self.assertTrue(quota.stalled)

    def test_watchedOnce(self) -> None:
        """However often somebody waits for it, it is watched from the first time on."""
        quota = Quota(max_events=1)
        self.put(quota, now=0.0)
        for now in range(1, 9):
            self.queueing.watch(self.node, quota, float(now))
        self.assertEqual(len(self.alarms._heap), 1)
        self.alarms.ring(STALL)
        self.assertTrue(quota.stalled)

    def test_confirmedMeanwhile(self) -> None:
        """What is lost is only what is not answered."""
        run = makeRun(1, 3, stream="p" * 16)
        self.answers.expect(run, [self.node])
        self.answers.pending.answer(run.stream, 2, 2, self.node.stream, Outcome.OK)
        self.queueing.lose(self.node, run, "gone")
        self.assertEqual([done.ranges for done in self.told() if isinstance(done, Done)], [[(1, 1)], [(3, 3)]])

    def test_woken(self) -> None:
        """Whoever has something new is woken, once."""
        quota = Quota()
        self.put(quota)
        self.put(quota)
        self.assertEqual(list(self.queueing.woken.values()), [self.node])


class DropOldestTests(Case):
    def test_events(self) -> None:
        """The oldest events make room, exactly as many as are over the limit; each is told as dropped, which succeeds."""
        quota = Quota(Policy.DROP_OLDEST, max_events=5)
        self.put(quota, 4)
        self.put(quota, 3)
        self.assertEqual(self.queued(), [3, 4, 5, 6, 7])
        self.assertEqual(self.told(), [Done([(1, 2)], Result.OK, 1, 0, 1)])
        self.assertEqual((self.answers.counters["dropped_oldest"], quota.blocks, self.alarms.next()), (2, False, None))

    def test_bytes(self) -> None:
        """The same to the byte."""
        quota = Quota(Policy.DROP_OLDEST, max_bytes=20)
        self.put(quota, [b"x" * 5] * 4)
        self.assertEqual(self.told(), [])
        self.put(quota, [b"x"])
        self.assertEqual((self.queued(), quota.bytes), ([2, 3, 4, 5], 16))

    def test_newestStays(self) -> None:
        """An event larger than the limit is queued all the same, alone."""
        quota = Quota(Policy.DROP_OLDEST, max_bytes=20)
        self.put(quota, 3)
        self.put(quota, [b"x" * 100])
        self.assertEqual(self.queued(), [4])

    def test_longRun(self) -> None:
        """A run longer than the queue leaves its own last events, at the cost of one look at each."""
        quota = Quota(Policy.DROP_OLDEST, max_events=10_000, max_bytes=640)
        self.put(quota, [b"x" * 64] * 16_384)
        self.assertEqual(self.queued(), list(range(16_375, 16_385)))
        self.assertEqual(self.told(), [Done([(1, 16_374)], Result.OK, 1, 0, 1)])


class DropNewestTests(Case):
    def test_events(self) -> None:
        """What comes when the queue is full is dropped, to the event: as much of a run stays as fits."""
        quota = Quota(Policy.DROP_NEWEST, max_events=5)
        self.put(quota, 4)
        self.put(quota, 3)
        self.put(quota, 2)
        self.assertEqual(self.queued(), [1, 2, 3, 4, 5])
        self.assertEqual(self.told(), [Done([(6, 7)], Result.OK, 1, 0, 1), Done([(8, 9)], Result.OK, 1, 0, 1)])
        self.assertEqual((self.answers.counters["dropped_newest"], self.answers.counters["pubs"]), (4, 5))

    def test_bytes(self) -> None:
        """The same to the byte; nothing behind what does not fit is let in, since order is kept."""
        quota = Quota(Policy.DROP_NEWEST, max_bytes=20)
        self.put(quota, [b"x" * 8, b"x" * 8, b"x" * 8, b"x"])
        self.assertEqual((self.queued(), quota.bytes), ([1, 2], 16))
        self.put(quota, [b"x" * 4, b""])
        self.assertEqual((self.queued(), quota.bytes), ([1, 2, 5, 6], 20))


class ModelTests(Case):
    @given(
        st.sampled_from([Policy.DROP_OLDEST, Policy.DROP_NEWEST]),
        st.integers(1, 8),
        st.integers(1, 40),
        st.lists(st.one_of(st.none(), st.lists(st.integers(0, 15), min_size=1, max_size=6)), max_size=15),
    )
    @settings(max_examples=100, deadline=None)
    def test_everyEvent(self, policy: Policy, events: int, size: int, steps: list[list[int] | None]) -> None:
        """Whatever comes: each event is either sent or told as dropped, never both, never neither, within the limits."""
        self.setUp()
        quota = Quota(policy, events, size)
        seen: list[int] = []
        dropped: list[int] = []

        def take() -> None:
            self.node.credit = 1
            runs: list[Events] = self.node.take(TARGET)
            seen.extend(number for run in runs for number in range(run.first, run.last + 1))

        for step in steps:
            if step is None:
                take()
            else:
                self.put(quota, [b"x" * length for length in step])
            self.assertTrue(quota.events <= events and (quota.bytes <= size or quota.events == 1))
            for done in self.told():
                assert isinstance(done, Done)
                self.assertEqual((done.result, done.dropped), (Result.OK, 1))
                dropped += [number for first, last in done.ranges for number in range(first, last + 1)]
        take()
        self.assertEqual(sorted(seen + dropped), list(range(1, self.next)))
        self.assertEqual(seen, sorted(seen))
