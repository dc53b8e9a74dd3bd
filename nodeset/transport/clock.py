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

    def seconds(self) -> float:
        """Seconds of a clock that only goes forward."""
        return time.monotonic()

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kwargs: object) -> IDelayedCall:
        """Call it after `delay` seconds."""
        call: IDelayedCall = self._reactor.callLater(delay, callable, *args, **kwargs)
        return call

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """What the reactor waits to call."""
        calls: Sequence[IDelayedCall] = self._reactor.getDelayedCalls()
        return calls
