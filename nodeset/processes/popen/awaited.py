"""An outcome for which many may wait, each as long as he likes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

__all__ = ["Awaited"]

T = TypeVar("T")


class Awaited(Generic[T]):
    """Fire any number of Deferreds with what is known once, those asked for later at once."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._outcome: list[T | Failure] = []
        self._waiting: list[Deferred[T]] = []

    def fire(self, outcome: T | Failure) -> None:
        """It is known; only the first time counts."""
        if not self._outcome:
            self._outcome.append(outcome)
            for waited in self._waiting[:]:
                self._tell(waited)

    def wait(self, timeout: float | None, late: Callable[[], Exception]) -> Deferred[T]:
        """Fires with the outcome; fails with it if it is a failure, or after `timeout` seconds with what `late` returns."""
        waited: Deferred[T] = Deferred(lambda _: None)
        if self._outcome:
            self._tell(waited)
            return waited
        self._waiting.append(waited)
        timer = None if timeout is None else self._clock.callLater(max(0.0, timeout), lambda: waited.errback(late()))

        def forget(result: T) -> T:
            self._waiting.remove(waited)
            if timer is not None and timer.active():
                timer.cancel()
            return result

        return waited.addBoth(forget)

    def _tell(self, waited: Deferred[T]) -> None:
        if not waited.called:
            waited.callback(self._outcome[0])
