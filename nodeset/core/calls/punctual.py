"""One timer for the deadlines of many things."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from nodeset.core.deadlines import Deadlines

__all__ = ["Punctual"]


class _Expiring(Protocol):
    deadline: float | None
    left: int


T = TypeVar("T", bound=_Expiring)


class Punctual(Generic[T]):
    """Calls `expire` with each thing at its deadline, unless nothing of it is `left` by then."""

    def __init__(self, clock: IReactorTime, expire: Callable[[T], None]) -> None:
        self._clock, self._expire = clock, expire
        self._deadlines: Deadlines[T] = Deadlines()
        self._alarm: IDelayedCall | None = None
        self._at = float("inf")

    def add(self, one: T, alive: int) -> None:
        """Expire this at its deadline; `alive` says how many there may be, so that those that are over can be forgotten."""
        deadline = one.deadline
        if deadline is None:
            return
        self._deadlines.add(one)
        if deadline < self._at:
            self._set(deadline)
        self._deadlines.tidy(alive)

    def _set(self, when: float) -> None:
        self.stop()
        self._at = when
        self._alarm = self._clock.callLater(max(0.0, when - self._clock.seconds()), self._ring)

    def _ring(self) -> None:
        self._alarm, self._at = None, float("inf")
        for one in list(self._deadlines.due(self._clock.seconds() + 1e-6)):
            if one.left:
                self._expire(one)
        when = self._deadlines.next()
        if when is not None and when < self._at:
            self._set(when)

    def stop(self) -> None:
        """Expire nothing more, until something is added."""
        self._at = float("inf")
        if self._alarm is not None:
            alarm, self._alarm = self._alarm, None
            if alarm.active():
                alarm.cancel()
