"""A sign of life for each stream every 15 seconds, a few streams at a time."""

from __future__ import annotations

from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["EVERY", "Beat", "Living"]

#: Seconds from one sign of life to the next: proxies cut what is silent for 30 or 60.
EVERY: Final = 15


class Living(Protocol):
    """Who gives signs of life."""

    def beat(self) -> None:
        """It is time for one."""


class Beat:
    """One timer for all."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        #: By the second in which it is their turn.
        self._slots: list[dict[Living, None]] = [{} for _second in range(EVERY)]
        self._at = 0
        self._count = 0
        self._call: IDelayedCall | None = None

    def add(self, living: Living) -> int:
        """Its turn comes in 15 seconds, for the first time; where it is, for `remove`."""
        slot = self._at
        self._slots[slot][living] = None
        self._count += 1
        if self._call is None:
            self._call = self._clock.callLater(1.0, self._tick)
        return slot

    def remove(self, living: Living, slot: int) -> None:
        """It has no turn any more."""
        if self._slots[slot].pop(living, self) is None:
            self._count -= 1
            if not self._count and self._call is not None:
                self._call.cancel()
                self._call = None

    def _tick(self) -> None:
        self._call = self._clock.callLater(1.0, self._tick)
        self._at = (self._at + 1) % EVERY
        for living in list(self._slots[self._at]):
            living.beat()
