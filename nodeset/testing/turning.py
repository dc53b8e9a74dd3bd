"""The clock that a test turns."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable

from twisted.internet.base import DelayedCall
from twisted.internet.task import Clock

__all__ = ["BoundedClock"]

#: Calls that may follow each other without time passing; the largest burst of a sane test is far below.
_MOST_CALLS = 100_000


class _Call(DelayedCall):
    """One that also says when it is put off, not only when it is brought forward."""

    def reset(self, secondsFromNow: float) -> None:
        super().reset(secondsFromNow)
        self.resetter(self)

    def delay(self, secondsLater: float) -> None:
        super().delay(secondsLater)
        self.resetter(self)


class BoundedClock(Clock):
    """A Clock that makes each call at the very time for which it is due, and that does not turn for ever.

    Twisted's own makes all that is due within a step at its end, and hangs when each call makes another for the same moment.
    It also sorts its calls with each that is made or due: with thousands of them that is most of the time of a test.
    """

    _is_sorted = True

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> DelayedCall:
        """As of IReactorTime."""
        call = _Call(self.seconds() + delay, callable, args, kw, self.calls.remove, self._muddled, self.seconds)
        self._sortCalls()
        insort(self.calls, call, key=DelayedCall.getTime)
        return call

    def _muddled(self, call: DelayedCall) -> None:
        self._is_sorted = False

    def _sortCalls(self) -> None:
        if not self._is_sorted:
            self.calls.sort(key=DelayedCall.getTime)
            self._is_sorted = True

    def advance(self, amount: float) -> None:
        """Let `amount` seconds pass. Raises AssertionError for what goes on for ever without time passing."""
        end = self.rightNow + amount
        self.turn(end)
        while self.rightNow < end:
            self.turn(end)

    def turn(self, end: float) -> None:
        """Go on to the next time for which something is due, or to `end` if that is earlier; do all that is due then."""
        self._sortCalls()
        self.rightNow = max(self.rightNow, min(end, self.calls[0].getTime() if self.calls else end))
        for _ in range(_MOST_CALLS):
            self._sortCalls()
            if not self.calls or self.calls[0].getTime() > self.rightNow:
                return
            call = self.calls.pop(0)
            call.called = 1
            call.func(*call.args, **call.kw)
        raise AssertionError("something goes on for ever without time passing")
