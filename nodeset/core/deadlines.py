"""What is to be given up at its time, unless it is over before."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

__all__ = ["Deadlines"]

#: Things that are over, before their room is used again.
_HUSKS = 64


class _Expiring(Protocol):
    @property
    def deadline(self) -> float | None:
        """When it is to be given up, None for never; it may become later."""

    @property
    def left(self) -> int:
        """Nothing of it is left when it is over."""


_T = TypeVar("_T", bound=_Expiring)


class Deadlines(Generic[_T]):
    """Things by their deadlines, in seconds of whatever clock the caller reads.

    A heap, since every event may come with a time-out of its own. What is over is found out when its turn comes,
    or by `tidy`.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _T]] = []
        self._count = 0

    def __len__(self) -> int:
        """How many are kept, those included that are over and not forgotten yet."""
        return len(self._heap)

    def add(self, one: _T) -> None:
        """Give this up at its deadline."""
        if one.deadline is not None:
            self._count += 1
            heapq.heappush(self._heap, (one.deadline, self._count, one))

    def next(self) -> float | None:
        """The first deadline; None when there is none."""
        heap = self._heap
        while heap:
            when, number, one = heap[0]
            if not one.left:
                heapq.heappop(heap)
            elif one.deadline is not None and one.deadline > when:
                heapq.heapreplace(heap, (one.deadline, number, one))
            else:
                return when
        return None

    def due(self, now: float) -> Iterator[_T]:
        """Those whose deadline has come, the earliest first; they are forgotten."""
        while (when := self.next()) is not None and when <= now:
            yield heapq.heappop(self._heap)[2]

    def tidy(self, alive: int) -> None:
        """Forget those that are over, when they are the most; `alive` says how many others there may be."""
        if len(self._heap) > 2 * alive + _HUSKS:
            self._heap = [entry for entry in self._heap if entry[2].left]
            heapq.heapify(self._heap)
