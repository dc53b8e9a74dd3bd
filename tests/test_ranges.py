"""Ranges of sequence numbers, as confirms carry them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.ranges import addTo, count, holds, merged, split

some = st.tuples(st.integers(0, 50), st.integers(0, 5)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def _numbers(ranges: list[tuple[int, int]]) -> list[int]:
    return [number for first, last in ranges for number in range(first, last + 1)]


class RangeTests(SynchronousTestCase):
    def test_inOrder(self) -> None:
        """What comes in order stays one range; a gap or a step back begins another."""
        ranges: list[tuple[int, int]] = []
        for number in (1, 2, 3, 5, 6, 4):
            addTo(ranges, number, number)
        self.assertEqual(ranges, [(1, 3), (5, 6), (4, 4)])
        addTo(ranges, 5, 9)
        self.assertEqual(ranges, [(1, 3), (5, 6), (4, 9)])

    @given(st.lists(some, max_size=12))
    @settings(max_examples=100, deadline=None)
    def test_addTo(self, added: list[tuple[int, int]]) -> None:
        """Nothing is added or lost: the ranges hold the numbers given, in the order given."""
        ranges: list[tuple[int, int]] = []
        for first, last in added:
            addTo(ranges, first, last)
        self.assertEqual(_numbers(ranges), _numbers(added))
        self.assertEqual(count(ranges), len(_numbers(added)))

    @given(st.lists(some, max_size=12))
    @settings(max_examples=100, deadline=None)
    def test_merged(self, ranges: list[tuple[int, int]]) -> None:
        """Merged ranges hold each number once, sorted, with a gap between any two."""
        whole = merged(ranges)
        self.assertEqual(_numbers(whole), sorted(set(_numbers(ranges))))
        self.assertTrue(all(one[1] + 1 < other[0] for one, other in pairwise(whole)))

    @given(st.lists(some, max_size=12), st.integers(1, 5))
    @settings(max_examples=50, deadline=None)
    def test_split(self, ranges: list[tuple[int, int]], most: int) -> None:
        """A list too long for one frame goes into several, in order, none too long and none empty."""
        lists = list(split(ranges, most))
        self.assertEqual([one for part in lists for one in part], ranges)
        self.assertTrue(all(1 <= len(part) <= most for part in lists))

    @given(st.lists(some, max_size=12))
    @settings(max_examples=100, deadline=None)
    def test_holds(self, added: list[tuple[int, int]]) -> None:
        """A number is held if it is in one of the ranges."""
        numbers = set(_numbers(added))
        self.assertEqual([number for number in range(60) if holds(merged(added), number)], sorted(numbers))
