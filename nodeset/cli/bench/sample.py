"""Latencies, of which as many are kept as there is room for."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

__all__ = ["Sample", "percentile"]

_MOST: Final = 1_000_000


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all are not above, by nearest rank; NaN of nothing.

    >>> percentile([4, 1, 3, 2], 0.5), percentile([1, 2], 0.99)
    (2, 2)
    """
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


class Sample:
    """Every latency up to a million of them; then every second one, every fourth, and so on.

    :param most: how many are kept.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most, self._step, self._skipped = most, 1, 0
        self.kept = array("d")

    def add(self, seconds: float) -> None:
        """One more."""
        self._skipped += 1
        if self._skipped < self._step:
            return
        self._skipped = 0
        self.kept.append(seconds)
        if len(self.kept) >= self._most:
            self.kept = self.kept[1::2]
            self._step *= 2

    def figures(self) -> dict[str, float]:
        """The median and the 99th percentile in microseconds."""
        return {f"p{share}": percentile(self.kept, share / 100) * 1e6 for share in (50, 99)}
