"""What leaves an outbox, again after a loss as well."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec import Raw
from msgspec.msgpack import encode
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import (
    MAX_EVENTS,
    MAX_HEADERS,
    NO_HEADERS,
    RAW_HEADERS,
    TARGET,
    Bye,
    Events,
    Level,
    Mode,
    pack,
    unpack,
)
from nodeset.core.outbox import Entry, Outbox
from nodeset.errors import Overloaded
from tests.test_outbox import fill, makeEntry, sequencesOf


class TakeTests(SynchronousTestCase):
    def test_run(self) -> None:
        """Alike events that follow each other leave as one run, with the low mark of that moment and an empty stream."""
        box = Outbox()
        for payload in (b"one", b"", b"three"):
            box.add(makeEntry(payload=payload))
        self.assertTrue(box.unsent)
        (run,) = box.take(1000)
        self.assertEqual(run, Events("", 1, Mode.ALL, False, "ev", 1, Level.DELIVERED, [3, 0, 5], NO_HEADERS, b"onethree"))
        self.assertFalse(box.unsent)
        self.assertEqual(box.take(1000), [])
        box.done([(1, 2)])
        box.add(makeEntry())
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
            box.add(makeEntry(**changes))
        runs = box.take(1000)
        self.assertEqual([len(run.lengths) for run in runs], [2, 2, 1, 1, 2, 1])
        self.assertEqual(sequencesOf(runs), list(range(1, 10)))
        self.assertEqual([run.event for run in runs], ["ev", "other", "ev", "ev", "ev", "ev"])
        self.assertEqual([run.headers is RAW_HEADERS for run in runs], [False, False, False, False, True, False])

    def test_gap(self) -> None:
        """A number that was given up before it was sent is a gap that no run goes over."""
        box = Outbox()
        for timeout in (9.0, 1.0, 9.0):
            box.add(makeEntry(timeout=timeout))
        box.expire(1.0)
        runs = box.take(1000)
        self.assertEqual([(run.first, run.last) for run in runs], [(1, 1), (3, 3)])

    def test_size(self) -> None:
        """No more than the size asked for leaves at a time, save a single event that is larger itself."""
        box = Outbox()
        for size in (40, 40, 40, 200, 10, 10):
            box.add(makeEntry(payload=b"x" * size))
        taken = []
        while box.unsent:
            runs = box.take(165)
            sizes = [length for run in runs for length in run.lengths]
            self.assertTrue(sum(sizes) <= 100 or len(sizes) == 1, sizes)
            taken.append(sizes)
        self.assertEqual(taken, [[40, 40], [40], [200], [10, 10]])

    def test_smallRuns(self) -> None:
        """The size holds over several runs of one call as well."""
        box = Outbox()
        for number in range(20):
            box.add(makeEntry(payload=b"x" * 30, event=f"ev{number}"))
        self.assertEqual([len(box.take(400)) for _ in range(7)], [3, 3, 3, 3, 3, 3, 2])

    def test_neverAlike(self) -> None:
        """Events that are never alike, with names and headers of their own, do not make a batch that no one would take."""
        box = Outbox()
        headers = [Raw(encode({"a": "x" * (MAX_HEADERS - 10)})) for _ in range(2)]
        for number in range(10_000):
            box.add(makeEntry(event="ab"[number % 2] * 200))
        for number in range(500):
            box.add(makeEntry(headers=headers[number % 2]))
        seen = 0
        while runs := box.take(TARGET):
            self.assertEqual(len(unpack(pack([Bye(), *runs]))), len(runs) + 1)
            seen += len(runs)
        self.assertEqual(seen, 10_500)

    def test_empty(self) -> None:
        """Empty payloads take room as well: neither a call nor a run holds endlessly many."""
        box = Outbox()
        fill(box, MAX_EVENTS + 10, payload=b"")
        taken = len(sequencesOf(box.take(100)))
        self.assertLessEqual(taken, 101)
        self.assertEqual(sequencesOf(box.take(1_000_000)), list(range(taken + 1, MAX_EVENTS + 11)))

    def test_mostInRun(self) -> None:
        """A run never has more events than a receiver accepts."""
        box = Outbox()
        fill(box, MAX_EVENTS + 1, payload=b"")
        self.assertEqual([len(run.lengths) for run in box.take(1_000_000)], [MAX_EVENTS, 1])


class LossTests(SynchronousTestCase):
    def test_rewind(self) -> None:
        """A new link gets all that is unconfirmed, in order; what was sent before is marked, what was not is not."""
        box = Outbox()
        entries = fill(box, 5, payload=b"x" * 40)
        box.take(160)
        self.assertEqual(box.done([(1, 1)]), entries[:1])
        box.rewind()
        self.assertTrue(box.unsent)
        runs = box.take(1000)
        self.assertEqual([(run.first, run.last, run.again, run.low) for run in runs], [(2, 2, True, 2), (3, 5, False, 2)])
        self.assertFalse(box.unsent)
        box.rewind()
        self.assertEqual([(run.first, run.last, run.again) for run in box.take(1000)], [(2, 5, True)])

    def test_rewindInTheMiddle(self) -> None:
        """Lost while it was resending, all of it is marked as sent before that ever left."""
        box = Outbox()
        fill(box, 4, payload=b"x" * 40)
        box.take(1000)
        box.rewind()
        self.assertEqual(sequencesOf(box.take(120)), [1])
        box.rewind()
        self.assertEqual([(run.first, run.last, run.again) for run in box.take(1000)], [(1, 4, True)])

    def test_rewindNothing(self) -> None:
        """With nothing unconfirmed there is nothing to send again."""
        box = Outbox()
        fill(box, 2)
        box.take(1000)
        box.done([(1, 2)])
        box.rewind()
        self.assertEqual((box.unsent, box.take(1000)), (False, []))

    def test_lowOfEach(self) -> None:
        """A resent run carries the lowest that is unconfirmed now, not when it was sent first."""
        box = Outbox()
        fill(box, 4)
        self.assertEqual([run.low for run in box.take(1000)], [1])
        box.done([(1, 2)])
        box.rewind()
        self.assertEqual([(run.low, run.first) for run in box.take(1000)], [(3, 3)])

    def test_giveUpSent(self) -> None:
        """Giving up what was sent returns just that; what was not sent stays, in order, and room is made."""
        box = Outbox(max_events=5)
        entries = fill(box, 7, payload=b"x" * 40)
        box.take(160)
        box.take(100)
        box.done([(1, 1)])
        box.rewind()
        self.assertEqual(box.giveUpSent(), entries[1:3])
        self.assertEqual(box.giveUpSent(), [])
        self.assertEqual(len(box), 4)
        runs = box.take(1000)
        self.assertEqual((sequencesOf(runs), {run.again for run in runs}), ([4, 5, 6, 7], {False}))

    def test_nothingSent(self) -> None:
        """When nothing was sent nothing is given up."""
        box = Outbox()
        fill(box, 3)
        self.assertEqual(box.giveUpSent(), [])
        self.assertEqual(sequencesOf(box.take(100)), [1, 2, 3])

    def test_clear(self) -> None:
        """Giving up returns all of it, sent, unsent and waiting, in order, and leaves an outbox that works."""
        box = Outbox(max_events=3)
        entries = fill(box, 5, timeout=5.0)
        box.take(1)
        self.assertEqual(box.clear(), entries)
        self.assertEqual((len(box), box.unsent, box.nextDeadline(), box.take(100), box.expire(99.0)), (0, False, None, [], []))
        again = fill(box, 3)
        self.assertEqual(sequencesOf(box.take(100)), [entry.sequence for entry in again])


class OutboxMachine(RuleBasedStateMachine):
    """Publishes, sends, confirms, expires, opens new links at random, beside lists that are searched from end to end."""

    LIMIT, BYTES = 6, 40

    def __init__(self) -> None:
        super().__init__()
        self.box = Outbox(self.LIMIT, self.BYTES, self.LIMIT)
        self.inside: list[Entry] = []
        self.waiting: list[Entry] = []
        self.sent: set[Entry] = set()
        self.ever: set[Entry] = set()
        self.payloads: dict[Entry, bytes] = {}
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
        assert all(entry.payload == b"" for entry in gone), "a payload is let go"
        self._admit()

    @rule(
        size=st.integers(0, 15), timeout=st.sampled_from([None, 1.0, 2.5, 7.0]), wait=st.booleans(), event=st.sampled_from("ab")
    )
    def add(self, size: int, timeout: float | None, wait: bool, event: str) -> None:
        entry = makeEntry(payload=b"x" * size, timeout=timeout, now=self.now, event=event)
        self.payloads[entry] = entry.payload
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

    @rule(size=st.integers(1, 400))
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
                assert run.payloads[at : at + length] == self.payloads[entry]
                assert run.again is (entry in self.ever)
                assert run.low == self.inside[0].sequence
                at += length
                count += 1
            assert at == len(run.payloads)
        assert bool(count) is bool(unsent)
        assert count <= 1 or sum(len(run.payloads) for run in runs) <= size
        self.sent.update(unsent[:count])
        self.ever.update(unsent[:count])

    @rule(ranges=st.lists(st.tuples(st.integers(0, 40), st.integers(-2, 30)), max_size=3))
    def done(self, ranges: list[tuple[int, int]]) -> None:
        expected = [
            entry
            for entry in self.inside
            if entry in self.ever and any(first <= entry.sequence <= first + length for first, length in ranges)
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
    def rewind(self) -> None:
        self.box.rewind()
        self.sent.clear()

    @rule()
    def giveUp(self) -> None:
        expected = [entry for entry in self.inside if entry in self.ever]
        assert self.box.giveUpSent() == expected
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
        """Whatever is published, sent, resent, confirmed, expires, in any order: each event has one end, in bounds."""
        run_state_machine_as_test(OutboxMachine, settings=settings(max_examples=80, stateful_step_count=30, deadline=None))
