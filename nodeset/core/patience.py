"""How long a node waits for its own handlers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["Patience", "cancel", "deferredOf"]

_log = Logger()


class Patience:
    """Waits for what handlers returned, each for `seconds` at most, as they were when it returned."""

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._clock, self.seconds = clock, seconds
        self._timers: set[IDelayedCall] = set()
        self._resting: Deferred[None] | None = None

    def watch(self, deferred: Deferred[Any], report: Callable[[Failure], str]) -> Deferred[str | None]:
        """Fires when `deferred` has: with None, or with what `report` makes of its failure.

        After our time it is cancelled and reported with a TimeoutError; whether it heeds that or not, others wait no longer.
        """
        watched: Deferred[str | None] = Deferred()
        seconds = self.seconds

        def cut() -> None:
            self._timers.discard(timer)
            watched.callback(report(Failure(TimeoutError(seconds, "handler"))))
            cancel(deferred)
            self._look()

        def ended(result: Any) -> None:
            if not watched.called:
                self._timers.discard(timer)
                if timer.active():
                    timer.cancel()
                watched.callback(report(result) if isinstance(result, Failure) else None)
                self._look()

        timer = self._clock.callLater(seconds, cut)
        self._timers.add(timer)
        deferred.addBoth(ended)
        return watched

    def rest(self, seconds: float) -> Deferred[None]:
        """Fires when nobody is waited for any more, after `seconds` at the latest."""
        resting: Deferred[None] = Deferred()
        if not self._timers or seconds <= 0:
            resting.callback(None)
            return resting
        self._resting = resting
        return resting.addTimeout(seconds, self._clock, onTimeoutCancel=lambda result, seconds: None)

    def _look(self) -> None:
        if self._resting is not None and not self._timers:
            resting, self._resting = self._resting, None
            if not resting.called:
                resting.callback(None)

    def stop(self) -> None:
        """Hurry nobody any more: the handlers that still work come to their own ends."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


def cancel(deferred: Deferred[Any]) -> None:
    """Cancel what user code waits for: what its canceller raises is logged, and stops nobody else."""
    try:
        deferred.cancel()
    except BaseException:
        _log.failure("the canceller of a Deferred failed")


def deferredOf(result: Any) -> Deferred[Any] | None:
    """The Deferred of what a handler returned, if that is one or can be awaited."""
    if isinstance(result, Deferred):
        return result
    if hasattr(result, "__await__"):
        return Deferred.fromCoroutine(result if hasattr(result, "send") else _await(result))
    return None


async def _await(awaitable: Any) -> Any:
    return await awaitable
