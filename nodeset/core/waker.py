"""One delayed call for whatever is due next."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Waker"]


class Waker:
    """Calls `wake` at the time that it was set to last, or at an earlier one before."""

    def __init__(self, clock: IReactorTime, wake: Callable[[], None]) -> None:
        self._clock, self._wake = clock, wake
        self._call: IDelayedCall | None = None
        self._at = 0.0

    def set(self, due: float | None) -> None:
        """Wake at this time of the clock; None for never. It does not take back an earlier one."""
        if due is None:
            return
        if self._call is not None and self._call.active():
            if self._at <= due:
                return
            self._call.cancel()
        self._at = due
        self._call = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._ring)

    def _ring(self) -> None:
        self._call = None
        self._wake()

    def stop(self) -> None:
        """Wake nobody."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
