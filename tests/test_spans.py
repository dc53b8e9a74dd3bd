"""Values for ranges of sequence numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import MAX_SEQUENCE
from nodeset.core.spans import Spans

numbers = st.integers(0, 30)
values = st.sampled_from("abc")


class SpansMachine(RuleBasedStateMachine):
    """Spans beside a dict that has an entry for each number."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: Spans[str] = Spans()
        self.model: dict[int, str] = {}

    @rule(first=numbers, length=st.integers(0, 12), value=values)
    def put(self, first: int, length: int, value: str) -> None:
        self.spans.put(first, first + length, value)
        self.model.update(dict.fromkeys(range(first, first + length + 1), value))

    @rule(length=st.integers(0, 5), value=values, gap=st.integers(0, 2))
    def append(self, length: int, value: str, gap: int) -> None:
        first = max(self.model, default=0) + 1 + gap
        self.put(first, length, value)

    @rule(first=numbers, length=st.integers(-2, 12))
    def remove(self, first: int, length: int) -> None:
        if length >= 0:
            self.spans.remove(first, first + length)
        self.model = {number: value for number, value in self.model.items() if not first <= number <= first + length}

    @rule(low=st.integers(0, 50))
    def forgetBelow(self, low: int) -> None:
        self.spans.forgetBelow(low)
        self.model = {number: value for number, value in self.model.items() if number >= low}

    @rule(first=numbers, length=st.integers(-3, 40))
    def within(self, first: int, length: int) -> None:
        found = self.spans.within(first, first + length)
        flat = [(number, value) for begin, end, value in found for number in range(begin, end + 1)]
        assert flat == [(number, self.model.get(number)) for number in range(first, first + length + 1)]
        assert all(begin <= end for begin, end, _value in found)

    @rule(wanted=st.sets(values))
    def ranges(self, wanted: set[str]) -> None:
        found = self.spans.ranges(wanted)
        flat = [number for first, last in found for number in range(first, last + 1)]
        assert flat == sorted(number for number, value in self.model.items() if value in wanted)
        assert all(a[1] + 1 < b[0] for a, b in pairwise(found))

    @invariant()
    def agree(self) -> None:
        spans = list(self.spans)
        assert {number: value for first, last, value in spans for number in range(first, last + 1)} == self.model
        assert all(first <= last for first, last, _value in spans)
        assert all(a[1] < b[0] and (a[1] + 1 < b[0] or a[2] != b[2]) for a, b in pairwise(spans)), "as few as can be"
        assert (len(self.spans), bool(self.spans)) == (len(spans), bool(self.model))
        assert self.spans.highest == max(self.model, default=0)
        assert all(self.spans.get(number) == self.model.get(number) for number in range(60))


class SpansTests(SynchronousTestCase):
    def test_model(self) -> None:
        """Whatever is put, removed, forgotten in whatever order: each number has the value that it was given last."""
        run_state_machine_as_test(SpansMachine, settings=settings(max_examples=100, stateful_step_count=25, deadline=None))

    def test_memory(self) -> None:
        """Millions of numbers with one value, however they come in order, cost one span."""
        spans: Spans[str] = Spans()
        for first in range(1, 10_000_000, 10_000):
            spans.put(first, first + 9_999, "ok")
        self.assertEqual(list(spans), [(1, 10_000_000, "ok")])
        spans.forgetBelow(9_999_999)
        self.assertEqual(list(spans), [(9_999_999, 10_000_000, "ok")])

    def test_hugeRange(self) -> None:
        """A range far larger than what is there costs no more."""
        spans: Spans[str] = Spans()
        spans.put(5, 6, "a")
        self.assertEqual(spans.within(0, MAX_SEQUENCE), [(0, 4, None), (5, 6, "a"), (7, MAX_SEQUENCE, None)])
        spans.put(0, MAX_SEQUENCE, "b")
        self.assertEqual(list(spans), [(0, MAX_SEQUENCE, "b")])
