"""What leaves an outbox, again after a loss as well."""

from __future__ import annotations

import sys
from typing import Any

import attrs
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
from nodeset.core.blocks import EACH, GRAIN
from nodeset.core.outbox import Outbox
from nodeset.errors import Overloaded
from tests.test_outbox import add, fill, makeTerms, sequencesOf, tokensOf

#: Two of them do not fit into one block.
LARGE = b"x" * (TARGET * 2 // 3)


class TakeTests(SynchronousTestCase):
    def test_run(self) -> None:
        """Alike events that follow each other leave as one run, with the low mark of that moment and an empty stream."""
        box = Outbox()
        for token, payload in enumerate((b"one", b"", b"three")):
            add(box, token, payload)
        self.assertTrue(box.unsent)
        (run,) = box.take(1000)
        self.assertEqual(run, Events("", 1, Mode.ALL, False, "ev", 1, Level.DELIVERED, [3, 0, 5], NO_HEADERS, b"onethree"))
        self.assertFalse(box.unsent)
        self.assertEqual(box.take(1000), [])
        box.done([(1, 2)])
        add(box, 3)
        self.assertEqual([(run.low, run.first) for run in box.take(1000)], [(3, 4)])

    def test_grouping(self) -> None:
        """A run shares name, mode, level and headers: another one of these begins another run."""
        box = Outbox()
        alike: list[dict[str, Any]] = [
            {},
            {"event": "other"},
            {"mode": Mode.ONE},
            {"level": Level.HANDLED},
            {"headers": RAW_HEADERS},
            {},
        ]
        for changes in alike:
            add(box, 0, **changes)
            add(box, 1, **changes)
        runs = box.take(1000)
        self.assertEqual([len(run.lengths) for run in runs], [2] * 6)
        self.assertEqual(sequencesOf(runs), list(range(1, 13)))
        self.assertEqual([run.event for run in runs], ["ev", "other", "ev", "ev", "ev", "ev"])
        self.assertEqual([run.mode for run in runs].index(Mode.ONE), 2)
        self.assertEqual([run.level for run in runs].index(Level.HANDLED), 3)
        self.assertEqual([run.headers is RAW_HEADERS for run in runs], [False, False, False, False, True, False])

    def test_together(self) -> None:
        """Alike events share a run however far apart in time they were published, by the one verb or the other."""
        box = Outbox()
        for now in range(3):
            add(box, now, bytes([now]), timeout=60.0, now=float(now))
        box.addMany(makeTerms("ev", timeout=60.0), [b"3", b"4"], "many", 90.0)
        (run,) = box.take(1000)
        self.assertEqual((run.first, run.last, run.lengths, run.payloads), (1, 5, [1] * 5, b"\0\1\x0234"))
        self.assertEqual(tokensOf(box.done([(1, 5)])), [0, 1, 2, "many", "many"])

    def test_gap(self) -> None:
        """A number that was given up before it was sent is a gap that no run goes over."""
        box = Outbox()
        for token, timeout in enumerate((9.0, 1.0, 9.0)):
            add(box, token, timeout=timeout)
        box.expire(1.0)
        runs = box.take(1000)
        self.assertEqual([(run.first, run.last) for run in runs], [(1, 1), (3, 3)])

    def test_size(self) -> None:
        """No more than the size asked for leaves at a time, save what was published as one block, or is larger itself."""
        box = Outbox()
        for size in (30, 30, 30, 200, 10, 10):
            add(box, 0, b"x" * size * 4000)
        taken = []
        while box.unsent:
            sizes = [length // 4000 for run in box.take(520_000) for length in run.lengths]
            self.assertTrue(sum(sizes) <= 130 or len(sizes) == 1, sizes)
            taken.append(sizes)
        self.assertEqual(taken, [[30, 30, 30], [200], [10, 10]])
        fill(box, 3, payload=b"x" * 1000)
        self.assertEqual(sequencesOf(box.take(1)), [7, 8, 9])

    def test_smallRuns(self) -> None:
        """The size holds over several runs of one call as well."""
        box = Outbox()
        for number in range(20):
            add(box, number, b"x" * 30, event=f"ev{number}")
        self.assertEqual([len(box.take(400)) for _ in range(7)], [3, 3, 3, 3, 3, 3, 2])

    def test_neverAlike(self) -> None:
        """Events that are never alike, with names and headers of their own, do not make a batch that no one would take."""
        box = Outbox()
        headers = [Raw(encode({"a": letter * (MAX_HEADERS - 10)})) for letter in "xy"]
        terms = [makeTerms("ev", headers=one) for one in headers]
        for number in range(10_000):
            add(box, number, event="ab"[number % 2] * 200)
        for number in range(500):
            box.add(terms[number % 2], b"x", number)
        seen = 0
        while runs := box.take(TARGET):
            self.assertEqual(len(unpack(pack([Bye(), *runs]))), len(runs) + 1)
            seen += len(runs)
        self.assertEqual(seen, 10_500)

    def test_empty(self) -> None:
        """Empty payloads take room as well: neither a call nor a run holds endlessly many."""
        box = Outbox()
        fill(box, 3 * MAX_EVENTS, payload=b"")
        self.assertEqual([len(box.take(size)) for size in (100, TARGET, TARGET)], [1, 1, 1])
        self.assertFalse(box.unsent)

    def test_mostInRun(self) -> None:
        """A run never has more events than a receiver accepts."""
        box = Outbox()
        fill(box, MAX_EVENTS + 1, payload=b"")
        self.assertEqual([len(run.lengths) for run in box.take(1_000_000)], [MAX_EVENTS, 1])
        box.rewind()
        self.assertEqual([len(run.lengths) for run in box.take(1_000_000)], [MAX_EVENTS, 1])

    def test_largest(self) -> None:
        """No run is larger than a receiver accepts, were it of events that just fill it."""
        box = Outbox()
        full = TARGET - EACH
        sizes = [full - 1, 0, full, 0, full + 1, 0, TARGET, 0, 1 << 20, 0]
        for size in sizes:
            add(box, 0, b"x" * size)
        runs = box.take(1 << 30)
        del sizes[1]  # just fits in with the one before
        self.assertEqual([len(run.payloads) for run in runs], sizes)
        self.assertEqual(sequencesOf(runs), list(range(1, 11)))
        self.assertEqual(sum(len(unpack(pack([run]))) for run in runs), 9)


class LossTests(SynchronousTestCase):
    def test_rewind(self) -> None:
        """A new link gets all that is unconfirmed, in order; what was sent before is marked, what was not is not."""
        box = Outbox()
        fill(box, 5, payload=LARGE)
        box.take(160)
        box.take(160)
        self.assertEqual(tokensOf(box.done([(1, 1)])), [0])
        box.rewind()
        self.assertTrue(box.unsent)
        runs = box.take(1_000_000)
        self.assertEqual([(run.first, run.again, run.low) for run in runs], [(2, True, 2), *((n, False, 2) for n in (3, 4, 5))])
        self.assertFalse(box.unsent)
        box.rewind()
        self.assertEqual([(run.first, run.again) for run in box.take(1_000_000)], [(n, True) for n in (2, 3, 4, 5)])

    def test_rewindTogether(self) -> None:
        """What was sent one by one is sent again in one run, up to the first that was not."""
        box = Outbox()
        for token in range(4):
            add(box, token, timeout=60.0, now=float(token))
            box.take(1000)
        add(box, 4, timeout=60.0, now=4.0)
        box.rewind()
        self.assertEqual([(run.first, run.last, run.again) for run in box.take(1000)], [(1, 4, True), (5, 5, False)])
        box.done([(1, 2)])
        box.rewind()
        self.assertEqual([(run.first, run.last, run.again) for run in box.take(1000)], [(3, 5, True)])
        self.assertEqual(tokensOf(box.expire(62.5)[0]), [2])

    def test_rewindInTheMiddle(self) -> None:
        """Lost while it was resending, all of it is marked as sent before that ever left."""
        box = Outbox()
        fill(box, 4, payload=LARGE)
        box.take(1_000_000)
        box.rewind()
        self.assertEqual(sequencesOf(box.take(120)), [1])
        box.rewind()
        self.assertEqual([(run.first, run.again) for run in box.take(1_000_000)], [(n, True) for n in (1, 2, 3, 4)])

    def test_rewindOpen(self) -> None:
        """What is published after a loss never joins what was published before, were that not sent yet."""
        box = Outbox()
        add(box, 0)
        box.rewind()
        self.assertTrue(add(box, 1))
        self.assertEqual(sequencesOf(box.take(1000)), [1, 2])

    def test_rewindGaps(self) -> None:
        """Of what was answered here and there only the rest is sent again, twice if need be."""
        box = Outbox()
        for token in range(10):
            add(box, token, bytes([token]))
        box.take(1000)
        box.done([(1, 1), (4, 5), (9, 9)])
        for _ in range(2):
            box.rewind()
            runs = box.take(1000)
            self.assertEqual([(run.first, run.payloads) for run in runs], [(2, b"\1\2"), (6, b"\5\6\7"), (10, b"\x09")])
            self.assertEqual({(run.low, run.again) for run in runs}, {(2, True)})
        self.assertEqual(tokensOf(box.done([(1, 6)])), [1, 2, 5])
        self.assertEqual((box.low, tokensOf(box.done([(0, 99)]))), (7, [6, 7, 9]))

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
        fill(box, 7, payload=LARGE)
        for _ in range(3):
            box.take(160)
        box.done([(1, 1)])
        box.rewind()
        self.assertEqual(tokensOf(box.giveUpSent()), [1, 2])
        self.assertEqual(box.giveUpSent(), [])
        self.assertEqual(len(box), 4)
        runs = box.take(1_000_000)
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
        fill(box, 5, timeout=5.0, payload=LARGE)
        box.take(1)
        self.assertEqual([tokensOf(gone) for gone in box.clear()], [[0, 1, 2], [3, 4]])
        self.assertEqual((len(box), box.unsent, box.nextDeadline(), box.take(100)), (0, False, None, []))
        self.assertEqual(box.expire(99.0), ([], []))
        fill(box, 3)
        self.assertEqual((sequencesOf(box.take(100)), box.low), ([4, 5, 6], 4))


@attrs.define(eq=False)
class Event:
    """One event as the naive model knows it; it is its own token, unless it has another."""

    name: str
    payload: bytes
    deadline: float | None
    token: object = attrs.field(default=attrs.Factory(lambda event: event, takes_self=True))
    sequence: int = 0


class OutboxMachine(RuleBasedStateMachine):
    """Publishes, sends, confirms, expires, opens new links at random, beside lists that are searched from end to end."""

    LIMIT, UNIT = 6, 5000
    BYTES = 40 * UNIT

    def __init__(self) -> None:
        super().__init__()
        self.box = Outbox(self.LIMIT, self.BYTES, self.LIMIT)
        self.inside: list[Event] = []
        self.waiting: list[Event] = []
        self.sent: set[Event] = set()
        self.ever: set[Event] = set()
        self.now, self.numbers = 0.0, 0

    def _admit(self) -> None:
        while self.waiting and self._fit([self.waiting[0]]):
            self.inside.append(self.waiting.pop(0))
            self.numbers += 1
            self.inside[-1].sequence = self.numbers

    def _fit(self, events: list[Event]) -> bool:
        return (not self.inside and len(events) == 1) or (
            len(self.inside) + len(events) <= self.LIMIT
            and sum(len(other.payload) for other in [*self.inside, *events]) <= self.BYTES
            and (not self.inside or self.numbers + len(events) - self.inside[0].sequence < self.LIMIT)
        )

    def _drop(self, gone: list[Event]) -> None:
        self.inside = [event for event in self.inside if event not in gone]
        self.waiting = [event for event in self.waiting if event not in gone]
        self.sent.difference_update(gone)
        for event in gone:
            # Bytes that are so few are never let go by anybody.
            assert len(event.payload) < 2 or sys.getrefcount(event.payload) == 2, "a payload is let go"
        self._admit()

    def _make(self, size: int, timeout: float | None, name: str) -> Event:
        return Event(name, b"x" * (size * self.UNIT), None if timeout is None else self.now + timeout)

    @rule(
        size=st.integers(0, 15), timeout=st.sampled_from([None, 1.0, 2.5, 7.0]), wait=st.booleans(), name=st.sampled_from("ab")
    )
    def add(self, size: int, timeout: float | None, wait: bool, name: str) -> None:
        event = self._make(size, timeout, name)
        direct = not self.waiting and self._fit([event])
        room = len(self.waiting) < self.LIMIT and sum(len(other.payload) for other in [*self.waiting, event]) <= self.BYTES
        known = self.box.unsent, self.box.nextDeadline()
        try:
            new = self.box.add(makeTerms(name, timeout=timeout), event.payload, event, event.deadline, wait)
        except Overloaded:
            assert not direct and not (wait and room)
            return
        assert direct or (wait and room)
        if not new:
            following = self.box.nextDeadline()
            assert known[0] and (known[1] is None or (following is not None and following >= known[1]))
        self.waiting.append(event)
        if direct:
            self._admit()

    @rule(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=5), timeout=st.sampled_from([None, 2.5]))
    def addMany(self, sizes: list[int], timeout: float | None) -> None:
        token = object()
        events = [self._make(size, timeout, "a") for size in sizes]
        for event in events:
            event.token = token
        fit = not self.waiting and self._fit(events)
        payloads = [event.payload for event in events]
        assert self.box.addMany(makeTerms("a", timeout=timeout), payloads, token, events[0].deadline) is fit
        if fit:
            for event in events:
                self.numbers += 1
                event.sequence = self.numbers
            self.inside += events

    @rule(size=st.integers(1, 300_000))
    def take(self, size: int) -> None:
        unsent = [event for event in self.inside if event not in self.sent]
        assert self.box.unsent is bool(unsent)
        runs = self.box.take(size)
        count = 0
        for run in runs:
            at = 0
            for index, length in enumerate(run.lengths):
                event = unsent[count]
                assert (run.first + index, run.event) == (event.sequence, event.name)
                assert run.payloads[at : at + length] == event.payload
                assert run.again is (event in self.ever)
                assert run.low == self.inside[0].sequence
                at += length
                count += 1
            assert at == len(run.payloads)
            assert at <= TARGET or len(run.lengths) == 1
        assert bool(count) is bool(unsent)
        assert count <= 1 or sum(len(run.payloads) for run in runs) <= max(size, TARGET)
        self.sent.update(unsent[:count])
        self.ever.update(unsent[:count])

    @rule(ranges=st.lists(st.tuples(st.integers(0, 40), st.integers(-2, 30)), max_size=3))
    def done(self, ranges: list[tuple[int, int]]) -> None:
        expected = [
            event
            for event in self.inside
            if event in self.ever and any(first <= event.sequence <= first + length for first, length in ranges)
        ]
        gone = self.box.done([(first, first + length) for first, length in ranges])
        assert tokensOf(gone) == [event.token for event in expected]
        assert [terms.event for terms, tokens in gone for _ in tokens] == [event.name for event in expected]
        self._drop(expected)

    @rule(seconds=st.one_of(st.sampled_from([0.0, 0.01, GRAIN, 1.0]), st.floats(0, 4)))
    def expire(self, seconds: float) -> None:
        self.now += seconds
        inside = [event for event in self.inside if event.deadline is not None and event.deadline <= self.now]
        surely = [event for event in inside if event.deadline is not None and event.deadline + GRAIN <= self.now]
        waiting = [event for event in self.waiting if event.deadline is not None and event.deadline <= self.now]
        gone, waited = self.box.expire(self.now)
        tokens = tokensOf(gone)
        assert sorted(map(id, tokensOf(waited))) == sorted(map(id, waiting))
        assert len(tokens) == len([event for event in inside if event.token in tokens]), "each once, none too early"
        assert all(event.token in tokens for event in surely), "none too late"
        self._drop([event for event in inside if event.token in tokens] + waiting)

    @rule()
    def rewind(self) -> None:
        self.box.rewind()
        self.sent.clear()

    @rule()
    def giveUp(self) -> None:
        expected = [event for event in self.inside if event in self.ever]
        assert tokensOf(self.box.giveUpSent()) == [event.token for event in expected]
        self._drop(expected)

    @invariant()
    def agree(self) -> None:
        assert len(self.box) == len(self.inside) + len(self.waiting)
        assert self.box.low == (self.inside[0].sequence if self.inside else self.numbers + 1)
        deadlines = [event.deadline for event in [*self.inside, *self.waiting] if event.deadline is not None]
        following = self.box.nextDeadline()
        if not deadlines:
            assert following is None
        else:
            assert following is not None and min(deadlines) <= following <= min(deadlines) + GRAIN

    def teardown(self) -> None:
        gone, waited = self.box.clear()
        assert tokensOf(gone) == [event.token for event in self.inside]
        assert tokensOf(waited) == [event.token for event in self.waiting]
        assert (len(self.box), self.box._count, self.box._bytes, self.box._waiting_bytes) == (0, 0, 0, 0)
        assert (self.box.nextDeadline(), len(self.box._deadlines), self.box.unsent) == (None, 0, False)
        self._drop(self.inside + self.waiting)


class ModelTests(SynchronousTestCase):
    def test_naive(self) -> None:
        """Whatever is published, sent, resent, confirmed, expires, in any order: each event has one end, in bounds."""
        run_state_machine_as_test(OutboxMachine, settings=settings(max_examples=80, stateful_step_count=30, deadline=None))
