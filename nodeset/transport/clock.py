"""A reactor's clock that no change of the wall clock moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

__all__ = ["MonotonicClock"]


@implementer(IReactorTime)
class MonotonicClock:
    """Reads `time.monotonic`, lets the reactor wait.

    Twisted's reactors tell time by the wall clock. What is judged by this one (who has fallen silent, what has expired) is
    judged right whatever the wall clock does; when timers fire is up to the reactor. The service commands mend that as well.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    #: Seconds of a clock that only goes forward; read for every event.
    seconds = staticmethod(time.monotonic)

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kwargs: object) -> IDelayedCall:
        """Call it after `delay` seconds."""
        return _Call(self, self._reactor.callLater(delay, callable, *args, **kwargs), self._reactor)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """What the reactor waits to call."""
        return [_Call(self, call, self._reactor) for call in self._reactor.getDelayedCalls()]


@implementer(IDelayedCall)
class _Call:
    """A call of the reactor's, whose time is told by our clock, so that it can be compared with `seconds`."""

    def __init__(self, clock: MonotonicClock, call: Any, reactor: Any) -> None:
        self._clock, self._call, self._reactor = clock, call, reactor

    def getTime(self) -> float:
        """When it will happen."""
        return float(self._clock.seconds() + self._call.getTime() - self._reactor.seconds())

    def cancel(self) -> None:
        """See `IDelayedCall`."""
        self._call.cancel()

    def delay(self, secondsLater: float) -> None:
        """See `IDelayedCall`."""
        self._call.delay(secondsLater)

    def reset(self, secondsFromNow: float) -> None:
        """See `IDelayedCall`."""
        self._call.reset(secondsFromNow)

    def active(self) -> bool:
        """See `IDelayedCall`."""
        return bool(self._call.active())
