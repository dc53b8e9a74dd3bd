"""Values for ranges of sequence numbers.

A sorted list of spans that do not overlap, each with a value; neighbours that say the same are one. Sequence numbers come
and go in order nearly always, so adding at the end and forgetting at the beginning are cheap; all else costs a bisection.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

__all__ = ["Spans"]

V = TypeVar("V")


class Spans(Generic[V]):
    """A map from sequence numbers to values that are equal for long stretches."""

    __slots__ = ("_firsts", "_lasts", "_values")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._values: list[V] = []

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __len__(self) -> int:
        """How many spans there are, which is what it costs in memory."""
        return len(self._firsts)

    def __iter__(self) -> Iterator[tuple[int, int, V]]:
        return iter(list(zip(self._firsts, self._lasts, self._values, strict=True)))

    @property
    def highest(self) -> int:
        """The last number that has a value; 0 when none has."""
        return self._lasts[-1] if self._lasts else 0

    def get(self, number: int) -> V | None:
        """The value of `number`, or None."""
        index = bisect_right(self._firsts, number) - 1
        return self._values[index] if index >= 0 and self._lasts[index] >= number else None

    def within(self, first: int, last: int) -> list[tuple[int, int, V | None]]:
        """`first..last` in order, cut where the value changes; None stands for those that have none."""
        found: list[tuple[int, int, V | None]] = []
        index = max(0, bisect_right(self._firsts, first) - 1)
        at = first
        while at <= last and index < len(self._firsts):
            begin, end = self._firsts[index], self._lasts[index]
            if end >= at:
                if begin > last:
                    break
                if begin > at:
                    found.append((at, begin - 1, None))
                    at = begin
                found.append((at, min(end, last), self._values[index]))
                at = end + 1
            index += 1
        if at <= last:
            found.append((at, last, None))
        return found

    def put(self, first: int, last: int, value: V) -> None:
        """Give all of `first..last` this value."""
        if not self._lasts or first > self._lasts[-1]:
            self._append(first, last, value)
            return
        index = self._clear(first, last)
        self._insert(index, first, last, value)

    def _append(self, first: int, last: int, value: V) -> None:
        if self._lasts and self._lasts[-1] + 1 == first and self._values[-1] == value:
            self._lasts[-1] = last
        else:
            self._firsts.append(first)
            self._lasts.append(last)
            self._values.append(value)

    def _insert(self, index: int, first: int, last: int, value: V) -> None:
        if index and self._lasts[index - 1] + 1 == first and self._values[index - 1] == value:
            index -= 1
            self._lasts[index] = last
        else:
            self._firsts.insert(index, first)
            self._lasts.insert(index, last)
            self._values.insert(index, value)
        after = index + 1
        if after < len(self._firsts) and self._firsts[after] == last + 1 and self._values[after] == value:
            self._lasts[index] = self._lasts[after]
            self._delete(after, after + 1)

    def _delete(self, start: int, stop: int) -> None:
        del self._firsts[start:stop], self._lasts[start:stop], self._values[start:stop]

    def _clear(self, first: int, last: int) -> int:
        """Leave `first..last` without values; returns where a span for it belongs."""
        start = bisect_right(self._firsts, first) - 1
        if start >= 0 and self._lasts[start] >= first:
            if self._firsts[start] < first:
                end, value = self._lasts[start], self._values[start]
                self._lasts[start] = first - 1
                start += 1
                if end > last:
                    self._firsts.insert(start, last + 1)
                    self._lasts.insert(start, end)
                    self._values.insert(start, value)
                    return start
        else:
            start += 1
        stop = bisect_right(self._firsts, last, lo=start)
        if stop > start and self._lasts[stop - 1] > last:
            stop -= 1
            self._firsts[stop] = last + 1
        self._delete(start, stop)
        return start

    def remove(self, first: int, last: int) -> None:
        """Take the values of `first..last` away."""
        if self._firsts:
            self._clear(first, last)

    def forgetBelow(self, low: int) -> None:
        """Take the values of all numbers below `low` away."""
        if self._firsts and self._firsts[0] < low:
            self._clear(self._firsts[0], low - 1)

    def ranges(self, values: Iterable[V]) -> list[tuple[int, int]]:
        """The ranges that have one of `values`, neighbours joined."""
        wanted = set(values)
        found: list[tuple[int, int]] = []
        for first, last, value in zip(self._firsts, self._lasts, self._values, strict=True):
            if value in wanted:
                if found and found[-1][1] + 1 == first:
                    found[-1] = (found[-1][0], last)
                else:
                    found.append((first, last))
        return found
