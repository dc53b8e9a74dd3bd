"""What a node published that is not confirmed yet."""

from __future__ import annotations

import weakref
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import outbox
from nodeset.core.batch import MAX_EVENTS, MAX_SEQUENCE, NO_HEADERS, RAW_HEADERS, Events, Level, Mode
from nodeset.core.outbox import Entry, Outbox
from nodeset.errors import Overloaded


def _entry(
    token: object = None, payload: bytes = b"x", timeout: float | None = None, now: float = 0.0, **changes: Any
) -> Entry:
    deadline = None if timeout is None else now + timeout
    entry = Entry("ev", Mode.ALL, Level.DELIVERED, payload, token, timeout, deadline)
    for name, value in changes.items():
        setattr(entry, name, value)
    return entry


def _fill(box: Outbox, count: int, **changes: Any) -> list[Entry]:
    entries = [_entry(number, **changes) for number in range(count)]
    for entry in entries:
        box.add(entry)
    return entries


def _sequences(runs: list[Events]) -> list[int]:
    return [sequence for run in runs for sequence in range(run.first, run.last + 1)]


class FillTests(SynchronousTestCase):
    def test_figures(self) -> None:
        """100,000 events or 64 MiB may be unconfirmed."""
        self.assertEqual((outbox.MAX_UNCONFIRMED, outbox.MAX_UNCONFIRMED_BYTES), (100_000, 64 * 1024 * 1024))

    def test_order(self) -> None:
        """Sequence numbers count from 1 in the order of publish, also for those that had to wait."""
        box = Outbox(max_events=2)
        entries = _fill(box, 4)
        self.assertEqual([entry.sequence for entry in entries], [1, 2, 0, 0])
        box.take(100)
        self.assertEqual(box.done([(1, 2)]), entries[:2])
        self.assertEqual([entry.sequence for entry in entries], [1, 2, 3, 4])
        self.assertEqual(_sequences(box.take(100)), [3, 4])

    def test_events(self) -> None:
        """Past the limit of events the next one waits, as many again may; then the error names the event and what to do."""
        box = Outbox(max_events=3)
        _fill(box, 6)
        self.assertEqual((len(box), len(box._entries)), (6, 3))
        error = self.assertRaises(Overloaded, box.add, _entry(event="seventh"))
        self.assertIn("'seventh'", str(error))
        self.assertIn("await", str(error))
        self.assertEqual(len(box), 6)

    def test_bytes(self) -> None:
        """The same with the limit of bytes; what waits is bounded in bytes too."""
        box = Outbox(max_bytes=100)
        _fill(box, 2, payload=b"x" * 50)
        waiting = _entry(payload=b"x" * 60)
        box.add(waiting)
        self.assertEqual(waiting.sequence, 0)
        self.assertRaises(Overloaded, box.add, _entry(payload=b"x" * 41))
        box.add(_entry(payload=b"x" * 40))
        box.take(1000)
        box.done([(1, 1)])
        self.assertEqual(waiting.sequence, 0)
        box.done([(2, 2)])
        self.assertEqual((waiting.sequence, len(box)), (3, 2))

    def test_distance(self) -> None:
        """Never further past the lowest unconfirmed than the limit, however few are unconfirmed in between."""
        box = Outbox(max_events=10)
        _fill(box, 10)
        box.take(1000)
        box.done([(2, 10)])
        late = _entry("late")
        box.add(late)
        self.assertEqual((late.sequence, box.low, len(box._entries)), (0, 1, 1))
        self.assertRaises(Overloaded, box.add, _entry(), wait=False)
        box.done([(1, 1)])
        self.assertEqual((late.sequence, box.low), (11, 11))

    def test_large(self) -> None:
        """One event fits always, when nothing else is there."""
        box = Outbox(max_bytes=10)
        box.add(_entry(payload=b"x" * 100))
        self.assertEqual(len(box.take(5)), 1)

    def test_noWait(self) -> None:
        """`wait=False` never waits, neither for room nor behind those that do."""
        box = Outbox(max_events=1)
        box.add(_entry(), wait=False)
        error = self.assertRaises(Overloaded, box.add, _entry(), wait=False)
        self.assertIn("1 events (1 bytes)", str(error))
        box = Outbox(max_bytes=10)
        _fill(box, 2, payload=b"x" * 6)
        self.assertRaises(Overloaded, box.add, _entry(payload=b""), wait=False)
        self.assertEqual(len(box), 2)

    def test_noOvertaking(self) -> None:
        """A small event does not pass a large one that waits."""
        box = Outbox(max_bytes=10)
        first, large, small = (_entry(payload=b"x" * size) for size in (6, 6, 1))
        for entry in (first, large, small):
            box.add(entry)
        self.assertEqual((large.sequence, small.sequence), (0, 0))
        box.take(100)
        box.done([(1, 1)])
        self.assertEqual((large.sequence, small.sequence), (2, 3))

    def test_refusedLeavesNothing(self) -> None:
        """What was refused is not there: neither counted nor ever expired."""
        box = Outbox(max_events=1)
        box.add(_entry())
        self.assertRaises(Overloaded, box.add, _entry(timeout=1.0), wait=False)
        self.assertIsNone(box.nextDeadline())
        self.assertEqual((len(box), box.expire(99.0)), (1, []))

    def test_low(self) -> None:
        """The low mark is the lowest unconfirmed, the next number when there is none."""
        box = Outbox()
        self.assertEqual(box.low, 1)
        _fill(box, 3)
        box.take(100)
        self.assertEqual(box.low, 1)
        box.done([(2, 2)])
        self.assertEqual(box.low, 1)
        box.done([(1, 1)])
        self.assertEqual(box.low, 3)
        box.done([(3, 3)])
        self.assertEqual(box.low, 4)


class TakeTests(SynchronousTestCase):
    def test_run(self) -> None:
        """Alike events that follow each other leave as one run, with the low mark of that moment and an empty stream."""
        box = Outbox()
        for payload in (b"one", b"", b"three"):
            box.add(_entry(payload=payload))
        self.assertTrue(box.unsent)
        (run,) = box.take(1000)
        self.assertEqual(run, Events("", 1, Mode.ALL, False, "ev", 1, Level.DELIVERED, [3, 0, 5], NO_HEADERS, b"onethree"))
        self.assertFalse(box.unsent)
        self.assertEqual(box.take(1000), [])
        box.done([(1, 2)])
        box.add(_entry())
        self.assertEqual([(run.low, run.first) for run in box.take(1000)], [(3, 4)])

    def test_grouping(self) -> None:
        """A run shares name, mode, level and headers: another one of these begins another run."""
        box = Outbox()
        for changes in (
            {},
            {},
            {"event": "other"},
            {"event": "other"},
            {"mode": Mode.ONE},
            {"level": Level.HANDLED},
            {"headers": RAW_HEADERS},
            {"headers": RAW_HEADERS},
            {},
        ):
            box.add(_entry(**changes))
        runs = box.take(1000)
        self.assertEqual([len(run.lengths) for run in runs], [2, 2, 1, 1, 2, 1])
        self.assertEqual(_sequences(runs), list(range(1, 10)))
        self.assertEqual([run.event for run in runs], ["ev", "other", "ev", "ev", "ev", "ev"])
        self.assertEqual([run.headers is RAW_HEADERS for run in runs], [False, False, False, False, True, False])

    def test_gap(self) -> None:
        """A number that was given up before it was sent is a gap that no run goes over."""
        box = Outbox()
        for timeout in (9.0, 1.0, 9.0):
            box.add(_entry(timeout=timeout))
        box.expire(1.0)
        runs = box.take(1000)
        self.assertEqual([(run.first, run.last) for run in runs], [(1, 1), (3, 3)])

    def test_size(self) -> None:
        """No more than the size asked for leaves at a time, save a single event that is larger itself."""
        box = Outbox()
        for size in (40, 40, 40, 200, 10, 10):
            box.add(_entry(payload=b"x" * size))
        taken = []
        while box.unsent:
            runs = box.take(100)
            sizes = [length for run in runs for length in run.lengths]
            self.assertTrue(sum(sizes) <= 100 or len(sizes) == 1, sizes)
            taken.append(sizes)
        self.assertEqual(taken, [[40, 40], [40], [200], [10, 10]])

    def test_smallRuns(self) -> None:
        """The size holds over several runs of one call as well."""
        box = Outbox()
        for number in range(20):
            box.add(_entry(payload=b"x" * 30, event=f"ev{number}"))
        self.assertEqual([len(box.take(100)) for _ in range(7)], [3, 3, 3, 3, 3, 3, 2])

    def test_empty(self) -> None:
        """Empty payloads take room as well: neither a call nor a run holds endlessly many."""
        box = Outbox()
        _fill(box, MAX_EVENTS + 10, payload=b"")
        taken = len(_sequences(box.take(100)))
        self.assertLessEqual(taken, 101)
        self.assertEqual(_sequences(box.take(1_000_000)), list(range(taken + 1, MAX_EVENTS + 11)))

    def test_mostInRun(self) -> None:
        """A run never has more events than a receiver accepts."""
        box = Outbox()
        _fill(box, MAX_EVENTS + 1, payload=b"")
        self.assertEqual([len(run.lengths) for run in box.take(1_000_000)], [MAX_EVENTS, 1])


class DoneTests(SynchronousTestCase):
    def test_outOfOrder(self) -> None:
        """Answers in any order hand back their entries, each once."""
        box = Outbox()
        entries = _fill(box, 6)
        box.take(100)
        self.assertEqual(box.done([(5, 6), (2, 2)]), [entries[1], entries[4], entries[5]])
        self.assertEqual(box.done([(1, 6), (1, 3)]), [entries[0], entries[2], entries[3]])
        self.assertEqual(box.done([(1, 6)]), [])
        self.assertEqual(len(box), 0)

    def test_nonsense(self) -> None:
        """Ranges of numbers that are not here, backwards or without end, are passed over at no cost."""
        box = Outbox()
        entries = _fill(box, 1000)
        while box.unsent:
            box.take(100)
        self.assertEqual(box.done([(0, 0), (1001, MAX_SEQUENCE), (500, 400)]), [])
        far = [(number << 40, (number << 40) + (1 << 39)) for number in range(1, 16_000)]
        self.assertEqual(box.done(far), [])
        self.assertEqual(box.done([(0, MAX_SEQUENCE)] * 16_000), entries)
        self.assertEqual(box.done([(0, MAX_SEQUENCE)] * 16_000), [])

    def test_neverSent(self) -> None:
        """What was never sent cannot be done, whatever the peer says: it is sent yet."""
        box = Outbox()
        _fill(box, 3, payload=b"x" * 60)
        box.take(100)
        self.assertEqual([entry.sequence for entry in box.done([(1, 3)])], [1])
        self.assertEqual(_sequences([*box.take(100), *box.take(100)]), [2, 3])

    def test_room(self) -> None:
        """What becomes free lets in what waits, as many as fit."""
        box = Outbox(max_events=4)
        entries = _fill(box, 8)
        box.take(100)
        box.done([(1, 2)])
        self.assertEqual([entry.sequence for entry in entries], [1, 2, 3, 4, 5, 6, 0, 0])

    def test_memory(self) -> None:
        """An entry is let go when it is done, not at its time-out, even when an older one still waits for its own."""
        box = Outbox()
        for number in range(10):
            box.add(_entry(number, timeout=60.0))
        box.take(1000)
        done = [weakref.ref(entry) for entry in box.done([(2, 10)])]
        self.assertEqual([ref() for ref in done], [None] * 9)
        self.assertEqual(box.nextDeadline(), 60.0)
        gone = [weakref.ref(entry) for entry in box.lost()]
        self.assertEqual([ref() for ref in gone], [None])
        self.assertEqual((box._timeouts, box.nextDeadline()), ({}, None))

    def test_memoryOfExpired(self) -> None:
        """The same for what expired unsent or waiting, behind one that never expires."""
        box = Outbox(max_events=5)
        box.add(_entry("for ever"))
        for number in range(8):
            box.add(_entry(number, timeout=1.0))
        expired = [weakref.ref(entry) for entry in box.expire(1.0)]
        self.assertEqual([ref() for ref in expired], [None] * 8)
        self.assertEqual((len(box), box._timeouts), (1, {}))


class LossTests(SynchronousTestCase):
    def test_lost(self) -> None:
        """A lost link gives back exactly what was sent; what was not sent stays, in order, and room is made."""
        box = Outbox(max_events=5)
        entries = _fill(box, 7, payload=b"x" * 40)
        box.take(100)
        box.done([(1, 1)])
        box.take(55)
        self.assertEqual(box.lost(), entries[1:3])
        self.assertEqual(box.lost(), [])
        self.assertEqual(len(box), 4)
        rest = []
        while box.unsent:
            rest += _sequences(box.take(100))
        self.assertEqual(rest, [4, 5, 6, 7])

    def test_nothingSent(self) -> None:
        """When nothing was sent nothing is lost."""
        box = Outbox()
        _fill(box, 3)
        self.assertEqual(box.lost(), [])
        self.assertEqual(_sequences(box.take(100)), [1, 2, 3])

    def test_clear(self) -> None:
        """Giving up returns all of it, sent, unsent and waiting, in order, and leaves an outbox that works."""
        box = Outbox(max_events=3)
        entries = _fill(box, 5, timeout=5.0)
        box.take(1)
        self.assertEqual(box.clear(), entries)
        self.assertEqual((len(box), box.unsent, box.nextDeadline(), box.take(100), box.expire(99.0)), (0, False, None, [], []))
        again = _fill(box, 3)
        self.assertEqual(_sequences(box.take(100)), [entry.sequence for entry in again])


class TimeTests(SynchronousTestCase):
    def test_deadlines(self) -> None:
        """Entries expire at their own time, whatever the order of their time-outs; the next deadline is the earliest."""
        box = Outbox()
        made = [(9.0, 0.0), (1.0, 0.5), (3.0, 1.0), (1.0, 2.0), (None, 2.0)]
        entries = [_entry(timeout=timeout, now=now) for timeout, now in made]
        for entry in entries:
            box.add(entry)
        story = []
        while (deadline := box.nextDeadline()) is not None:
            self.assertEqual(box.expire(deadline - 0.01), [])
            story += [(deadline, entry.sequence) for entry in box.expire(deadline)]
        self.assertEqual(story, [(1.5, 2), (3.0, 4), (4.0, 3), (9.0, 1)])
        self.assertEqual(len(box), 1)

    def test_waiting(self) -> None:
        """What waits for room expires as well, its room to wait is free again; it never gets a number."""
        box = Outbox(max_events=2, max_bytes=10)
        _fill(box, 2, payload=b"x")
        waiting = [_entry(payload=b"x" * 5, timeout=1.0) for _ in range(2)]
        for entry in waiting:
            box.add(entry)
        self.assertRaises(Overloaded, box.add, _entry())
        self.assertEqual(box.expire(1.0), waiting)
        self.assertEqual([entry.sequence for entry in waiting], [0, 0])
        box.add(_entry(payload=b"x" * 10))
        self.assertEqual(len(box), 3)

    def test_sent(self) -> None:
        """A sent entry that expires is never sent again; a late answer for it is passed over; what waits moves up."""
        box = Outbox(max_events=1)
        box.add(_entry(timeout=1.0))
        waiting = _entry()
        box.add(waiting)
        box.take(100)
        self.assertEqual(len(box.expire(1.0)), 1)
        self.assertEqual((waiting.sequence, box.low), (2, 2))
        self.assertEqual(box.done([(1, 1)]), [])
        self.assertEqual(_sequences(box.take(100)), [2])

    def test_done(self) -> None:
        """What is done does not expire."""
        box = Outbox()
        _fill(box, 2, timeout=1.0)
        box.take(100)
        box.done([(1, 2)])
        self.assertEqual((box.nextDeadline(), box.expire(99.0)), (None, []))


class OutboxMachine(RuleBasedStateMachine):
    """Publishes, sends, confirms, expires and loses links at random, beside lists that are searched from end to end."""

    LIMIT, BYTES = 6, 40

    def __init__(self) -> None:
        super().__init__()
        self.box = Outbox(self.LIMIT, self.BYTES)
        self.inside: list[Entry] = []
        self.waiting: list[Entry] = []
        self.sent: set[Entry] = set()
        self.now, self.numbers = 0.0, 0

    def _admit(self) -> None:
        while self.waiting and self._fits(self.waiting[0]):
            self.inside.append(self.waiting.pop(0))
            self.numbers += 1
            assert self.inside[-1].sequence == self.numbers

    def _fits(self, entry: Entry) -> bool:
        return not self.inside or (
            len(self.inside) < self.LIMIT
            and sum(len(other.payload) for other in [*self.inside, entry]) <= self.BYTES
            and self.numbers + 1 - self.inside[0].sequence < self.LIMIT
        )

    def _drop(self, gone: list[Entry]) -> None:
        self.inside = [entry for entry in self.inside if entry not in gone]
        self.waiting = [entry for entry in self.waiting if entry not in gone]
        self.sent.difference_update(gone)
        self._admit()

    @rule(
        size=st.integers(0, 15), timeout=st.sampled_from([None, 1.0, 2.5, 7.0]), wait=st.booleans(), event=st.sampled_from("ab")
    )
    def add(self, size: int, timeout: float | None, wait: bool, event: str) -> None:
        entry = _entry(payload=b"x" * size, timeout=timeout, now=self.now, event=event)
        direct = not self.waiting and self._fits(entry)
        room = len(self.waiting) < self.LIMIT and sum(len(other.payload) for other in [*self.waiting, entry]) <= self.BYTES
        try:
            self.box.add(entry, wait)
        except Overloaded:
            assert not direct and not (wait and room)
            return
        assert direct or (wait and room)
        self.waiting.append(entry)
        if direct:
            self._admit()

    @rule(size=st.integers(1, 40))
    def take(self, size: int) -> None:
        unsent = [entry for entry in self.inside if entry not in self.sent]
        assert self.box.unsent is bool(unsent)
        runs = self.box.take(size)
        count = 0
        for run in runs:
            at = 0
            for index, length in enumerate(run.lengths):
                entry = unsent[count]
                assert (run.first + index, run.event) == (entry.sequence, entry.event)
                assert run.payloads[at : at + length] == entry.payload
                assert run.low == self.inside[0].sequence
                at += length
                count += 1
            assert at == len(run.payloads)
        assert bool(count) is bool(unsent)
        assert count <= 1 or sum(len(run.payloads) for run in runs) <= size
        self.sent.update(unsent[:count])

    @rule(ranges=st.lists(st.tuples(st.integers(0, 40), st.integers(-2, 30)), max_size=3))
    def done(self, ranges: list[tuple[int, int]]) -> None:
        expected = [
            entry
            for entry in self.inside
            if entry in self.sent and any(first <= entry.sequence <= first + length for first, length in ranges)
        ]
        gone = self.box.done([(first, first + length) for first, length in ranges])
        assert gone == expected
        self._drop(gone)

    @rule(seconds=st.floats(0, 4))
    def expire(self, seconds: float) -> None:
        self.now += seconds
        expected = {
            entry for entry in [*self.inside, *self.waiting] if entry.deadline is not None and entry.deadline <= self.now
        }
        gone = self.box.expire(self.now)
        assert len(gone) == len(expected) and set(gone) == expected
        self._drop(gone)

    @rule()
    def lose(self) -> None:
        expected = [entry for entry in self.inside if entry in self.sent]
        assert self.box.lost() == expected
        self._drop(expected)

    @invariant()
    def agree(self) -> None:
        assert len(self.box) == len(self.inside) + len(self.waiting)
        assert self.box.low == (self.inside[0].sequence if self.inside else self.numbers + 1)
        deadlines = [entry.deadline for entry in [*self.inside, *self.waiting] if entry.deadline is not None]
        assert self.box.nextDeadline() == min(deadlines, default=None)
        assert all(entry.sequence == 0 for entry in self.waiting)

    def teardown(self) -> None:
        assert self.box.clear() == [*self.inside, *self.waiting]
        assert (len(self.box), self.box._bytes, self.box._waiting_bytes, self.box._timeouts) == (0, 0, 0, {})


class ModelTests(SynchronousTestCase):
    def test_naive(self) -> None:
        """Whatever is published, sent, confirmed, expires or is lost, in any order: each event has one end, in bounds."""
        run_state_machine_as_test(OutboxMachine, settings=settings(max_examples=80, stateful_step_count=30, deadline=None))
