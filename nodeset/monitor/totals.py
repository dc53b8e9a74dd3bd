"""Counters that go on growing when what they count begins anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nodeset.core.figures.reading import Spread

__all__ = ["OTHER", "SpreadTotal", "Tally", "quantile"]

#: Names that one tally has at most; more are counted under `OTHER`.
_MOST: Final = 128
OTHER: Final = "other"


class Tally:
    """Counters by name. What is seen of a dispatcher that was started anew counts on top of what was seen before."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self._last: Mapping[str, int] = {}

    def see(self, values: Mapping[str, int], anew: bool = False) -> None:
        """They have these values now.

        :param anew: whether they are those of another start, which began at 0.
        """
        last: Mapping[str, int] = {} if anew else self._last
        for name, value in values.items():
            before = last.get(name, 0)
            self.add(name, value - before if value >= before else value)
        self._last = dict(values)

    def add(self, name: str, count: int) -> None:
        """So many more."""
        if name not in self.totals and len(self.totals) >= _MOST:
            name = OTHER
        self.totals[name] = self.totals.get(name, 0) + count


class SpreadTotal:
    """A histogram, likewise. When its ranges change, as in another version, it begins at 0 once."""

    def __init__(self) -> None:
        self.bounds: list[float] = []
        self.counts: list[int] = []
        self.sum = 0.0
        self._last = Spread()

    def see(self, spread: Spread, anew: bool = False) -> Spread:
        """It is this now. Returns what came since it was last seen."""
        last = Spread() if anew or spread.bounds != self._last.bounds else self._last
        if spread.bounds != self.bounds:
            self.bounds, self.counts, self.sum = list(spread.bounds), [0] * len(spread.counts), 0.0
        before = last.counts or [0] * len(spread.counts)
        if any(now < then for now, then in zip(spread.counts, before, strict=True)):
            before, last = [0] * len(spread.counts), Spread()
        new = [now - then for now, then in zip(spread.counts, before, strict=True)]
        self.counts = [total + more for total, more in zip(self.counts, new, strict=True)]
        more = max(0.0, spread.sum - last.sum)
        self.sum += more
        self._last = spread
        return Spread(spread.bounds, new, more)


def quantile(spread: Spread, share: float) -> float | None:
    """The time within which this share of all was done: the upper end of its range, None when there was nothing.

    What took longer than the last bound is told as infinite.
    """
    wanted = share * sum(spread.counts)
    if not wanted:
        return None
    seen = 0
    for bound, count in zip([*spread.bounds, float("inf")], spread.counts, strict=True):
        seen += count
        if seen >= wanted:
            return bound
    return float("inf")
