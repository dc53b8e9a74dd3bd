"""What a dispatcher knows of one node, with the events that are on their way to it."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.msgpack import encode
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import MAX_BATCH, MAX_EVENT, MAX_HEADERS, TARGET, WINDOW, Events, Policy, pack, unpack
from nodeset.core.session import Quota, Session
from tests.exchanges import makeRun


def _run(first: int, count: int = 1, stream: str = "s", **changes: Any) -> Events:
    return makeRun(first, count, stream=stream, **changes)


def _spans(runs: list[Events]) -> list[tuple[int, int]]:
    return [(run.first, run.last) for run in runs]


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.session = Session("n" * 16, "tub", "n", "localhost")
        self.quota = Quota()

    def put(self, *runs: Events, quota: Quota | None = None) -> None:
        """Queue these."""
        for run in runs:
            self.session.put(run, quota or self.quota)

    def confirm(self, first: int, last: int, waiting: bool = False, stream: str = "s") -> None:
        """These were answered; whether anything of their run still waits."""
        self.session.confirmed(stream, first, last, lambda run: waiting)

    def back(self) -> list[tuple[int, int]]:
        """What is to be sent again."""
        return _spans([run for run, _quota in self.session.takeBack()])


class TakeTests(Case):
    def test_credit(self) -> None:
        """Four batches leave without an answer, then nothing until credit comes back."""
        self.put(*(makeRun(first, [b"x" * 100], stream="s") for first in range(1, 10)))
        batches = [self.session.take(100) for _ in range(WINDOW + 1)]
        self.assertEqual([_spans(batch) for batch in batches], [[(1, 1)], [(2, 2)], [(3, 3)], [(4, 4)], []])
        self.session.credit += 1
        self.assertEqual(_spans(self.session.take(100)), [(5, 5)])

    def test_nothing(self) -> None:
        """With nothing to send no credit is used."""
        self.assertEqual((self.session.take(100), self.session.credit, self.session.idle), ([], WINDOW, True))

    def test_away(self) -> None:
        """Without a link nothing is taken."""
        self.put(_run(1))
        self.session.away_since = 1.0
        self.assertEqual((self.session.take(100), self.session.queued), ([], True))

    def test_large(self) -> None:
        """An event larger than a batch is wanted leaves alone."""
        large = makeRun(2, [b"x" * MAX_EVENT], stream="s")
        self.put(_run(1), large, _run(3))
        self.assertEqual([_spans(self.session.take(TARGET)) for _ in range(3)], [[(1, 1)], [(2, 2)], [(3, 3)]])

    def test_heavy(self) -> None:
        """Runs that are heavy by anything but payloads, as headers, names, empty events, never make a batch too large."""
        headers = Raw(encode({"a": b"x" * (MAX_HEADERS - 6)}))
        for run in (_run(1, headers=headers), _run(1, event="\U0001f600" * 800), makeRun(1, [b""] * 10_000), makeRun(1, [b""])):
            self.setUp()
            count = MAX_BATCH // len(pack([run])) + 100
            self.put(*(Events(*_moved(run, 20_000 * index + 1)) for index in range(min(count, 10_000))))
            self.session.credit = count
            seen = 0
            while batch := self.session.take(TARGET):
                seen += len(unpack(pack(list(batch))))
            self.assertEqual(seen, min(count, 10_000))

    def test_counts(self) -> None:
        """The queue of a subscription is counted in events and bytes, to the last of them."""
        other = Quota()
        self.put(makeRun(1, [b"abc", b""], stream="s"))
        self.put(makeRun(3, [b"12345"], stream="s"), quota=other)
        self.assertEqual((self.quota.events, self.quota.bytes, other.events, other.bytes), (2, 3, 1, 5))
        self.session.take(TARGET)
        self.assertEqual((self.quota.events, self.quota.bytes, other.events, other.bytes), (0, 0, 0, 0))
        self.assertFalse(self.session.idle)
        self.assertFalse(self.session.queued)


def _moved(run: Events, first: int) -> list[Any]:
    return [run.stream, 1, run.mode, run.again, run.event, first, run.level, run.lengths, run.headers, run.payloads]


class ConfirmTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.put(_run(1, 4), _run(5, 4), _run(9, 4))
        self.session.take(TARGET)

    def test_whole(self) -> None:
        """What is answered is let go of, in whatever order the answers come."""
        self.confirm(5, 8)
        self.assertEqual(self.back(), [(1, 4), (9, 12)])
        self.assertTrue(self.session.idle)

    def test_pieces(self) -> None:
        """A run that is answered in part is kept as long as something of it waits."""
        self.confirm(6, 6, waiting=True)
        self.confirm(3, 10, waiting=True)
        self.assertEqual(len(self.session._sent["s"]), 3)
        self.confirm(5, 8)
        self.confirm(1, 1)
        self.confirm(12, 12)
        self.assertTrue(self.session.idle)

    def test_several(self) -> None:
        """One answer for many runs, larger than all of them, lets go of all."""
        self.confirm(0, 1 << 60)
        self.assertTrue(self.session.idle)

    def test_unknown(self) -> None:
        """An answer for what was never sent, or for another stream, changes nothing."""
        self.confirm(13, 20)
        self.confirm(1, 12, stream="t")
        self.assertEqual(self.back(), [(1, 4), (5, 8), (9, 12)])

    def test_again(self) -> None:
        """An event that is sent again replaces itself; no two runs that are kept overlap, so that an answer finds each."""
        self.put(_run(6, 1), _run(3, 1), _run(11, 9))
        self.session.take(TARGET)
        self.assertEqual(_spans([run for run, _ in self.session._sent["s"]]), [
            (1, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 8), (9, 10), (11, 19),
        ])  # fmt: skip
        payloads = b"".join(run.payloads for run, _quota in self.session._sent["s"])
        self.assertEqual(payloads, b"".join(str(number).encode() for number in range(1, 20)))
        for number in (19, 7, 4, 1, 3, 6, 5, 9):
            self.confirm(number, number)
        self.assertTrue(self.session.idle)


class BackTests(Case):
    def test_order(self) -> None:
        """What was sent comes back first, per publisher in the order of its numbers; then what was queued."""
        self.put(_run(4, 2), _run(1, 3, "t"), _run(1, 3))
        self.session.take(TARGET)
        self.put(_run(6), _run(4, 1, "t"))
        back = self.session.takeBack()
        self.assertEqual([(run.stream, run.first) for run, _quota in back], [("s", 1), ("s", 4), ("t", 1), ("s", 6), ("t", 4)])
        self.assertEqual((self.session.idle, self.quota.events, self.quota.bytes), (True, 0, 0))

    def test_afterDrops(self) -> None:
        """What was dropped does not come back."""
        self.put(_run(1, 5), _run(6, 5))
        self.session.dropOldest(self.quota, 7)
        self.assertEqual(self.back(), [(8, 10)])
        self.put(_run(11))
        self.assertEqual(_spans(self.session.take(TARGET)), [(11, 11)])


class DropTests(Case):
    def test_exact(self) -> None:
        """The oldest go, exactly as many as asked for, across runs; the rest of a run stays with its own payloads."""
        self.put(_run(8, 4), _run(12, 4))
        self.assertEqual(_spans(self.session.dropOldest(self.quota, 6)), [(8, 11), (12, 13)])
        self.assertEqual((self.quota.events, self.quota.bytes), (2, 4))
        (run,) = self.session.take(TARGET)
        self.assertEqual((run.first, run.lengths, run.payloads), (14, [2, 2], b"1415"))

    def test_bytes(self) -> None:
        """As many go as weigh what is asked for, but never the newest for its weight alone."""
        self.put(makeRun(1, [b"x" * 10, b"", b"x" * 10, b"x" * 10], stream="s"), makeRun(5, [b"x" * 90], stream="s"))
        self.assertEqual(_spans(self.session.dropOldest(self.quota, 0, 11)), [(1, 3)])
        self.assertEqual(_spans(self.session.dropOldest(self.quota, 0, 1000)), [(4, 4)])
        self.assertEqual((self.quota.events, self.quota.bytes), (1, 90))
        self.assertEqual(self.session.dropOldest(self.quota, 0, 1000), [])

    def test_apart(self) -> None:
        """Other subscriptions of the node lose nothing, and everything else stays in order."""
        other = Quota()
        for first in range(1, 9):
            self.put(_run(first), quota=self.quota if first % 2 else other)
        self.assertEqual(_spans(self.session.dropOldest(self.quota, 2)), [(1, 1), (3, 3)])
        self.assertEqual(_spans(self.session.take(TARGET)), [(2, 2), (4, 4), (5, 5), (6, 6), (7, 7), (8, 8)])
        self.assertEqual((self.quota.events, other.events), (0, 0))

    def test_queued(self) -> None:
        """All that is queued for one subscription can be taken out; what is left is nothing to send."""
        self.put(_run(1, 3), _run(4, 3))
        self.assertEqual(_spans(self.session.takeQueued(self.quota)), [(1, 3), (4, 6)])
        self.assertEqual((self.session.queued, self.session.idle, self.session.takeQueued(self.quota)), (False, True, []))

    def test_memory(self) -> None:
        """A node that takes nothing for hours, while events come and are dropped, costs no memory for them."""
        quota = Quota(Policy.DROP_OLDEST, max_events=10)
        self.put(_run(1))  # of another subscription, in front for ever
        for first in range(2, 10_000):
            self.put(_run(first), quota=quota)
            self.session.dropOldest(quota, quota.events - quota.max_events)
        self.assertLess(len(self.session._queue), 30)
        self.assertEqual(quota.events, 10)
        self.assertEqual(len(self.session.take(TARGET)), 11)

    @given(
        st.lists(st.tuples(st.integers(0, 1), st.lists(st.integers(0, 9), min_size=1, max_size=5)), max_size=12),
        st.lists(st.tuples(st.sampled_from(["drop", "take", "back"]), st.integers(0, 1), st.integers(0, 8)), max_size=12),
    )
    @settings(max_examples=100, deadline=None)
    def test_model(self, runs: list[tuple[int, list[int]]], steps: list[tuple[str, int, int]]) -> None:
        """Whatever is queued, dropped, taken: the right events leave in order, the counts are exact."""
        self.setUp()
        self.session.credit = 1000
        quotas = [Quota(), Quota()]
        model: deque[tuple[int, int, int]] = deque()  # sequence, whose, length
        first = 1
        for whose, lengths in runs:
            self.put(makeRun(first, [b"x" * length for length in lengths], stream="s"), quota=quotas[whose])
            model += [(first + index, whose, length) for index, length in enumerate(lengths)]
            first += len(lengths)
        for kind, whose, number in steps:
            if kind == "drop":
                oldest = [event for event in model if event[1] == whose][:number]
                dropped = self.session.dropOldest(quotas[whose], number)
                self.assertEqual([n for run in dropped for n in range(run.first, run.last + 1)], [event[0] for event in oldest])
                model = deque(event for event in model if event not in oldest)
            elif kind == "take":
                for run in self.session.take(number * 40):
                    for sequence, length in enumerate(run.lengths, run.first):
                        self.assertEqual((model[0][0], model[0][2]), (sequence, length))
                        model.popleft()
            self.assertEqual(self.session.queued, bool(model))
            for index, quota in enumerate(quotas):
                mine = [length for _sequence, owner, length in model if owner == index]
                self.assertEqual((quota.events, quota.bytes), (len(mine), sum(mine)))


class QuotaTests(SynchronousTestCase):
    def test_full(self) -> None:
        """A queue is full at its limit of events or of bytes."""
        quota = Quota(max_events=3, max_bytes=10)
        quota.count(makeRun(1, [b"xxx"] * 2), 1)
        self.assertFalse(quota.full)
        quota.count(makeRun(3, [b""]), 1)
        self.assertTrue(quota.full)
        quota.count(makeRun(3, [b""]), -1)
        quota.count(makeRun(4, [b"xxxx"]), 1)
        self.assertTrue(quota.full)

    def test_blocks(self) -> None:
        """Publishers wait for a full queue only under the policy `block`, while it is not stalled."""
        for policy in Policy:
            quota = Quota(policy, max_events=1)
            self.assertFalse(quota.blocks)
            quota.count(makeRun(1), 1)
            self.assertEqual(quota.blocks, policy is Policy.BLOCK)
            quota.stalled = True
            self.assertFalse(quota.blocks)

    def test_fullSince(self) -> None:
        """Once there is room the time since when it was full is over."""
        quota = Quota(max_events=2, full_since=1.0)
        quota.count(makeRun(1, 3), 1)
        self.assertEqual(quota.full_since, 1.0)
        quota.count(makeRun(1, 1), -1)
        self.assertEqual(quota.full_since, 1.0)
        quota.count(makeRun(2, 1), -1)
        self.assertIsNone(quota.full_since)
