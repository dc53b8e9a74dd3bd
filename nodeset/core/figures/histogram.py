"""How long things took, counted by how long that is."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

__all__ = ["BOUNDS", "Histogram", "Lateness"]

#: Upper ends of the ranges, in seconds; what took longer than the last has a range of its own.
BOUNDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: Seconds for which a delay is remembered.
_MEMORY: Final = 60.0


class Histogram:
    """Counts by range, with the sum of all: it takes the same room however much it has seen."""

    __slots__ = ("_counts", "_sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def take(self, seconds: float, count: int = 1) -> None:
        """So many things took `seconds` each."""
        self._counts[bisect_left(BOUNDS, seconds)] += count
        self._sum += seconds * count

    def told(self) -> dict[str, Any]:
        """`bounds` and `sum` in seconds, `counts`, one more than bounds."""
        return {"bounds": list(BOUNDS), "counts": list(self._counts), "sum": self._sum}


class Lateness:
    """By how much a regular beat came too late, which is how long the reactor did something else.

    :param interval: seconds from beat to beat, as a `LoopingCall` keeps them: after a late beat the next is when it would
        have been anyway.
    """

    __slots__ = ("_due", "_interval", "_late")

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._due: float | None = None
        self._late: tuple[tuple[float, float], ...] = ()

    def begin(self, now: float) -> None:
        """The first beat is due an interval from now."""
        self._due, self._late = now + self._interval, ()

    def beat(self, now: float) -> None:
        """It beats."""
        if self._due is None:
            self.begin(now)
            return
        late = max(0.0, now - self._due)
        self._due += self._interval * (1 + late // self._interval)
        # Of two, the later that is greater outlives the other, so only those are kept that are greater than all after them.
        if late or self._late:
            kept = [(then, much) for then, much in self._late if much > late and now - then < _MEMORY]
            self._late = (*kept, (now, late))

    def worst(self, now: float) -> float:
        """The greatest delay of the last minute, in seconds; one that goes on counts as well."""
        going = max(0.0, now - self._due) if self._due is not None else 0.0
        return max([going, *(much for then, much in self._late if now - then < _MEMORY)])
