"""The clock that a test turns."""

from __future__ import annotations

from twisted.internet.task import Clock

__all__ = ["BoundedClock"]

#: Calls that may follow each other without time passing; the largest burst of a sane test is far below.
_MOST_CALLS = 100_000


class BoundedClock(Clock):
    """A Clock that makes each call at the very time for which it is due, and that does not turn for ever.

    Twisted's own makes all that is due within a step at its end, and hangs when each call makes another for the same moment.
    """

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
