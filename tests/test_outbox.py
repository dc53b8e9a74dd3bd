"""What a node published that is not confirmed yet."""

from __future__ import annotations

import weakref
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import outbox
from nodeset.core.batch import (
    MAX_SEQUENCE,
    Events,
    Level,
    Mode,
)
from nodeset.core.outbox import Entry, Outbox
from nodeset.errors import Overloaded


def makeEntry(
    token: object = None, payload: bytes = b"x", timeout: float | None = None, now: float = 0.0, **changes: Any
) -> Entry:
    deadline = None if timeout is None else now + timeout
    entry = Entry("ev", Mode.ALL, Level.DELIVERED, payload, token, timeout, deadline)
    for name, value in changes.items():
        setattr(entry, name, value)
    return entry


def fill(box: Outbox, count: int, **changes: Any) -> list[Entry]:
    entries = [makeEntry(number, **changes) for number in range(count)]
    for entry in entries:
        box.add(entry)
    return entries


def sequencesOf(runs: list[Events]) -> list[int]:
    return [sequence for run in runs for sequence in range(run.first, run.last + 1)]


class FillTests(SynchronousTestCase):
    def test_figures(self) -> None:
        """100,000 events or 64 MiB may be unconfirmed."""
        self.assertEqual((outbox.MAX_UNCONFIRMED, outbox.MAX_UNCONFIRMED_BYTES), (100_000, 64 * 1024 * 1024))

    def test_order(self) -> None:
        """Sequence numbers count from 1 in the order of publish, also for those that had to wait."""
        box = Outbox(max_events=2)
        entries = fill(box, 4)
        self.assertEqual([entry.sequence for entry in entries], [1, 2, 0, 0])
        box.take(100)
        self.assertEqual(box.done([(1, 2)]), entries[:2])
        self.assertEqual([entry.sequence for entry in entries], [1, 2, 3, 4])
        self.assertEqual(sequencesOf(box.take(100)), [3, 4])

    def test_events(self) -> None:
        """Past the limit of events the next one waits, as many as may; then the error names the event and what to do."""
        box = Outbox(max_events=3, max_waiting=3)
        fill(box, 6)
        self.assertEqual((len(box), len(box._entries)), (6, 3))
        error = self.assertRaises(Overloaded, box.add, makeEntry(event="seventh"))
        self.assertIn("'seventh'", str(error))
        self.assertIn("await", str(error))
        self.assertEqual(len(box), 6)

    def test_bytes(self) -> None:
        """The same with the limit of bytes; what waits is bounded in bytes too."""
        box = Outbox(max_bytes=100)
        fill(box, 2, payload=b"x" * 50)
        waiting = makeEntry(payload=b"x" * 60)
        box.add(waiting)
        self.assertEqual(waiting.sequence, 0)
        self.assertRaises(Overloaded, box.add, makeEntry(payload=b"x" * 41))
        box.add(makeEntry(payload=b"x" * 40))
        box.take(1000)
        box.done([(1, 1)])
        self.assertEqual(waiting.sequence, 0)
        box.done([(2, 2)])
        self.assertEqual((waiting.sequence, len(box)), (3, 2))

    def test_distance(self) -> None:
        """Never further past the lowest unconfirmed than the limit, however few are unconfirmed in between."""
        box = Outbox(max_events=10)
        fill(box, 10)
        box.take(1000)
        box.done([(2, 10)])
        late = makeEntry("late")
        box.add(late)
        self.assertEqual((late.sequence, box.low, len(box._entries)), (0, 1, 1))
        self.assertRaises(Overloaded, box.add, makeEntry(), wait=False)
        box.done([(1, 1)])
        self.assertEqual((late.sequence, box.low), (11, 11))

    def test_large(self) -> None:
        """One event fits always, when nothing else is there."""
        box = Outbox(max_bytes=10)
        box.add(makeEntry(payload=b"x" * 100))
        self.assertEqual(len(box.take(5)), 1)

    def test_noWait(self) -> None:
        """`wait=False` never waits, neither for room nor behind those that do."""
        box = Outbox(max_events=1)
        box.add(makeEntry(), wait=False)
        error = self.assertRaises(Overloaded, box.add, makeEntry(), wait=False)
        self.assertIn("1 events (1 bytes)", str(error))
        box = Outbox(max_bytes=10)
        fill(box, 2, payload=b"x" * 6)
        self.assertRaises(Overloaded, box.add, makeEntry(payload=b""), wait=False)
        self.assertEqual(len(box), 2)

    def test_noOvertaking(self) -> None:
        """A small event does not pass a large one that waits."""
        box = Outbox(max_bytes=10)
        first, large, small = (makeEntry(payload=b"x" * size) for size in (6, 6, 1))
        for entry in (first, large, small):
            box.add(entry)
        self.assertEqual((large.sequence, small.sequence), (0, 0))
        box.take(100)
        box.done([(1, 1)])
        self.assertEqual((large.sequence, small.sequence), (2, 3))

    def test_refusedLeavesNothing(self) -> None:
        """What was refused is not there: neither counted nor ever expired."""
        box = Outbox(max_events=1)
        box.add(makeEntry())
        self.assertRaises(Overloaded, box.add, makeEntry(timeout=1.0), wait=False)
        self.assertIsNone(box.nextDeadline())
        self.assertEqual((len(box), box.expire(99.0)), (1, []))

    def test_low(self) -> None:
        """The low mark is the lowest unconfirmed, the next number when there is none."""
        box = Outbox()
        self.assertEqual(box.low, 1)
        fill(box, 3)
        box.take(100)
        self.assertEqual(box.low, 1)
        box.done([(2, 2)])
        self.assertEqual(box.low, 1)
        box.done([(1, 1)])
        self.assertEqual(box.low, 3)
        box.done([(3, 3)])
        self.assertEqual(box.low, 4)


class DoneTests(SynchronousTestCase):
    def test_outOfOrder(self) -> None:
        """Answers in any order hand back their entries, each once."""
        box = Outbox()
        entries = fill(box, 6)
        box.take(100)
        self.assertEqual(box.done([(5, 6), (2, 2)]), [entries[1], entries[4], entries[5]])
        self.assertEqual(box.done([(1, 6), (1, 3)]), [entries[0], entries[2], entries[3]])
        self.assertEqual(box.done([(1, 6)]), [])
        self.assertEqual(len(box), 0)

    def test_nonsense(self) -> None:
        """Ranges of numbers that are not here, backwards or without end, are passed over at no cost."""
        box = Outbox()
        entries = fill(box, 1000)
        while box.unsent:
            box.take(10_000)
        self.assertEqual(box.done([(0, 0), (1001, MAX_SEQUENCE), (500, 400)]), [])
        far = [(number << 40, (number << 40) + (1 << 39)) for number in range(1, 16_000)]
        self.assertEqual(box.done(far), [])
        self.assertEqual(box.done([(0, MAX_SEQUENCE)] * 16_000), entries)
        self.assertEqual(box.done([(0, MAX_SEQUENCE)] * 16_000), [])

    def test_neverSent(self) -> None:
        """What was never sent cannot be done, whatever the peer says: it is sent yet."""
        box = Outbox()
        fill(box, 3, payload=b"x" * 60)
        box.take(100)
        self.assertEqual([entry.sequence for entry in box.done([(1, 3)])], [1])
        self.assertEqual(sequencesOf([*box.take(100), *box.take(100)]), [2, 3])

    def test_beforeResent(self) -> None:
        """What was sent on an earlier link can be done before it is sent again, and is not sent then."""
        box = Outbox()
        entries = fill(box, 3)
        box.take(1000)
        box.rewind()
        self.assertEqual(box.done([(1, 2)]), entries[:2])
        self.assertEqual(sequencesOf(box.take(1000)), [3])

    def test_room(self) -> None:
        """What becomes free lets in what waits, as many as fit."""
        box = Outbox(max_events=4)
        entries = fill(box, 8)
        box.take(100)
        box.done([(1, 2)])
        self.assertEqual([entry.sequence for entry in entries], [1, 2, 3, 4, 5, 6, 0, 0])

    def test_memory(self) -> None:
        """A payload is let go when it is done, not at its time-out, even when an older one still waits for its own."""
        box = Outbox()
        for number in range(10):
            box.add(makeEntry(number, timeout=60.0))
        box.take(1000)
        done = box.done([(2, 10)])
        self.assertEqual([entry.payload for entry in done], [b""] * 9)
        refs = [weakref.ref(entry) for entry in [*done, *box.done([(1, 1)])]]
        del done
        self.assertEqual([ref() for ref in refs], [None] * 10)
        self.assertEqual((box._timeouts, box.nextDeadline()), ({}, None))

    def test_memoryOfExpired(self) -> None:
        """The same for what expired unsent or waiting, behind one that never expires."""
        box = Outbox(max_events=5)
        box.add(makeEntry("for ever"))
        for number in range(8):
            box.add(makeEntry(number, timeout=1.0))
        expired = [weakref.ref(entry) for entry in box.expire(1.0)]
        self.assertEqual([ref() for ref in expired], [None] * 8)
        self.assertEqual((len(box), box._timeouts), (1, {}))

    def test_memoryOfWaiting(self) -> None:
        """What expires while it waits costs nothing from then on, were one in front of it that waits for ever."""
        box = Outbox(max_events=2, max_waiting=5)
        fill(box, 3)
        for now in range(1000):
            box.add(makeEntry(timeout=1.0, now=float(now)))
            box.expire(now + 1.0)
        self.assertEqual(len(box), 3)
        self.assertLess(len(box._waiting), 5)


class TimeTests(SynchronousTestCase):
    def test_deadlines(self) -> None:
        """Entries expire at their own time, whatever the order of their time-outs; the next deadline is the earliest."""
        box = Outbox()
        made = [(9.0, 0.0), (1.0, 0.5), (3.0, 1.0), (1.0, 2.0), (None, 2.0)]
        entries = [makeEntry(timeout=timeout, now=now) for timeout, now in made]
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
        fill(box, 2, payload=b"x")
        waiting = [makeEntry(payload=b"x" * 5, timeout=1.0) for _ in range(2)]
        for entry in waiting:
            box.add(entry)
        self.assertRaises(Overloaded, box.add, makeEntry())
        self.assertEqual(box.expire(1.0), waiting)
        self.assertEqual([entry.sequence for entry in waiting], [0, 0])
        box.add(makeEntry(payload=b"x" * 10))
        self.assertEqual(len(box), 3)

    def test_sent(self) -> None:
        """A sent entry that expires is never sent again; a late answer for it is passed over; what waits moves up."""
        box = Outbox(max_events=1)
        box.add(makeEntry(timeout=1.0))
        waiting = makeEntry()
        box.add(waiting)
        box.take(100)
        self.assertEqual(len(box.expire(1.0)), 1)
        self.assertEqual((waiting.sequence, box.low), (2, 2))
        self.assertEqual(box.done([(1, 1)]), [])
        self.assertEqual(sequencesOf(box.take(100)), [2])

    def test_done(self) -> None:
        """What is done does not expire."""
        box = Outbox()
        fill(box, 2, timeout=1.0)
        box.take(100)
        box.done([(1, 2)])
        self.assertEqual((box.nextDeadline(), box.expire(99.0)), (None, []))
