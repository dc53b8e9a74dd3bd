"""Ranges of sequence numbers, as confirms carry them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

__all__ = ["addTo", "count", "holds", "merged", "split"]


def addTo(ranges: list[tuple[int, int]], first: int, last: int) -> None:
    """Append `first..last` to `ranges`, growing the last one when it follows on: what comes in order stays one range."""
    if ranges and ranges[-1][1] + 1 == first:
        ranges[-1] = (ranges[-1][0], last)
    else:
        ranges.append((first, last))


def count(ranges: Iterable[tuple[int, int]]) -> int:
    """How many numbers are in `ranges`, none of which overlap."""
    return sum(last - first + 1 for first, last in ranges)


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same numbers as `ranges`, sorted, in as few ranges as can be."""
    whole: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if whole and first <= whole[-1][1] + 1:
            whole[-1] = (whole[-1][0], max(last, whole[-1][1]))
        else:
            whole.append((first, last))
    return whole


def split(ranges: list[tuple[int, int]], most: int) -> Iterator[list[tuple[int, int]]]:
    """The same ranges in lists of at most `most`, as many as one frame may carry."""
    for start in range(0, len(ranges), most):
        yield ranges[start : start + most]


def holds(ranges: Sequence[tuple[int, int]], number: int) -> bool:
    """Whether `number` is in one of `ranges`, which are `merged`, so that it takes no time to ask for many numbers."""
    index = bisect_right(ranges, number, key=_first) - 1
    return index >= 0 and number <= ranges[index][1]


def _first(one: tuple[int, int]) -> int:
    return one[0]
