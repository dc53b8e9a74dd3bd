"""What is to be done at what time, for rooms that have no clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable

__all__ = ["Alarms"]


class Alarms:
    """Calls that are due at given times, in seconds of whatever clock the caller reads."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0

    def at(self, when: float, call: Callable[[float], None]) -> None:
        """Have `call(now)` called at `when`, or as soon after it as `ring` is called."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, call))

    def next(self) -> float | None:
        """When `ring` is to be called next; None when nothing is due ever."""
        return self._heap[0][0] if self._heap else None

    def ring(self, now: float) -> None:
        """Do what is due."""
        while self._heap and self._heap[0][0] <= now + 1e-6:
            heapq.heappop(self._heap)[2](now)
