"""What a subscriber got: whether every event came once, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from nodeset.cli.bench.sample import Sample

__all__ = ["Ledger"]


@attrs.define(slots=False)
class Ledger:
    """Takes events in; the handler of every system does no more than call `take`, which reads all five fields.

    :param count: how many events are to come, of all publishers together.
    :param publishers: how many there are; the numbers of each begin at 0.
    :param ordered: whether those of one publisher must come in the order published.
    :param clock: seconds of the clock by which events are stamped.
    :param finished: called when as many events have come as should.
    """

    count: int
    publishers: int
    ordered: bool
    timed: bool
    clock: Callable[[], float]
    finished: Callable[[], None]
    got: int = 0
    total: int = 0
    astray: int = 0
    last: float = 0.0
    latencies: Sample = attrs.field(factory=Sample)

    def __attrs_post_init__(self) -> None:
        self._next = [0] * self.publishers
        self._each = [self.count // self.publishers] * self.publishers
        self._seen = bytearray(0 if self.ordered else self.count)
        self._fields: tuple[Any, ...] = ()

    def take(self, event: Any) -> None:
        """One event has come."""
        number, source = event.number, event.source
        self._fields = (event.text, event.stamp, event.note)
        if self.ordered:
            if number != self._next[source]:
                self.astray += 1
            self._next[source] = number + 1
        elif number < self.count and not self._seen[number]:
            self._seen[number] = 1
        else:
            self.astray += 1
        self.total += number
        self.got += 1
        if self.timed:
            self.latencies.add(self.clock() - event.stamp)
        if self.got == self.count:
            self.last = self.clock()
            self.finished()

    def expect(self, each: Sequence[int]) -> None:
        """So many are to come of each publisher: for ledgers that were made before anybody knew, with a count out of reach."""
        self._each, self.count = list(each), sum(each)
        if self.got >= self.count:
            self.last = self.clock()
            self.finished()

    def complain(self) -> str:
        """What is wrong, empty if every event came once (and in order): by the count, the sum, the sequence."""
        wanted = sum(each * (each - 1) // 2 for each in self._each)
        if self.got == self.count and self.total == wanted and not self.astray:
            return ""
        return f"{self.got} of {self.count} events came, {self.astray} out of sequence, sum {self.total} for {wanted}"

    def summary(self) -> dict[str, Any]:
        """What it tells of itself, latencies in microseconds."""
        found = {"got": self.got, "last": self.last, "wrong": self.complain()}
        if self.timed:
            found |= self.latencies.figures()
        return found
