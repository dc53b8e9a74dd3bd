"""What two readings of one dispatcher say of the time between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import attrs

from nodeset.core.figures.reading import Reading, Spread

__all__ = ["Quantile", "continues", "gained", "quantile", "quantileOf", "subtract"]

#: Counters that stand at a level, they count nothing: they also fall as time goes by.
_LEVELS: Final = frozenset({"subs", "nodes", "pending"})


@attrs.frozen
class Quantile:
    """So many seconds; `beyond` says: or more, since it lies above the last bound of its histogram."""

    seconds: float
    beyond: bool = False


def continues(before: Reading, after: Reading) -> bool:
    """Whether both are of the same start of the dispatcher, as far as one can tell; if not, nothing can be compared."""
    if before.boot != after.boot or before.uptime > after.uptime:
        return False
    counting = before.counters.keys() - _LEVELS
    return all(after.counters.get(name, 0) >= before.counters[name] for name in counting) and all(
        after.drops.get(name, 0) >= count for name, count in before.drops.items()
    )


def gained(before: Reading, after: Reading, name: str, seconds: float) -> float:
    """By how much a counter grew in each of so many seconds, of two readings that `continues` is true of."""
    return (after.counters.get(name, 0) - before.counters.get(name, 0)) / seconds


def subtract(before: Spread | None, after: Spread | None) -> Spread | None:
    """What came between the two; None where they do not go together."""
    if before is None or after is None or before.bounds != after.bounds or len(before.counts) != len(after.counts):
        return None
    return Spread(after.bounds, [now - then for then, now in zip(before.counts, after.counts, strict=True)])


def quantileOf(spread: Spread | None, share: float) -> Quantile | None:
    """See `quantile`; None of None as well."""
    return quantile(spread.bounds, spread.counts, share) if spread is not None else None


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> Quantile | None:
    """The value that `share` of all are not above, taking those of a bucket as spread evenly; None of nothing, or of nonsense.

    >>> quantile([0.1, 0.2], [0, 10, 0], 0.5), quantile([0.1], [0, 3], 0.5), quantile([0.1], [0, 0], 0.5)
    (Quantile(seconds=0.15000000000000002, beyond=False), Quantile(seconds=0.1, beyond=True), None)
    """
    total = sum(counts)
    rising = all(low < high for low, high in pairwise(bounds))
    if not bounds or len(counts) != len(bounds) + 1 or min(counts) < 0 or not total or not rising or bounds[0] < 0:
        return None
    rank, below = share * total, 0
    for index, bound in enumerate(bounds):
        count = counts[index]
        if count and below + count >= rank:
            lower = bounds[index - 1] if index else 0.0
            # Not above the bound by rounding: a larger share would seem to take less time.
            return Quantile(min(bound, lower + (bound - lower) * max(0.0, rank - below) / count))
        below += count
    return Quantile(bounds[-1], beyond=True)
