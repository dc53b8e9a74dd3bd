"""The clock that a test turns."""

from __future__ import annotations

from twisted.internet.task import Clock

__all__ = ["BoundedClock"]

#: Calls that may follow each other without time passing; the largest burst of a sane test is far below.
_MOST_CALLS = 100_000


class BoundedClock(Clock):
    """A Clock that does not turn for ever: Twisted's own hangs when each call makes another one for the same moment."""

    def advance(self, amount: float) -> None:
        """Let `amount` seconds pass. Raises AssertionError for what never comes to an end."""
        self.rightNow += amount
        for _ in range(_MOST_CALLS):
            self._sortCalls()
            if not self.calls or self.calls[0].getTime() > self.seconds():
                return
            call = self.calls.pop(0)
            call.called = 1
            call.func(*call.args, **call.kw)
        raise AssertionError("something goes on for ever without time passing")
