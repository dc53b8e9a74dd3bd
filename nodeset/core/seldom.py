"""How often something is said that others can bring about as often as they like."""

from __future__ import annotations

import attrs

__all__ = ["Seldom"]


@attrs.define
class Seldom:
    """Lets something be said once in `interval` seconds: whoever connects a thousand times a second fills no log."""

    interval: float = 1.0
    _next: float = attrs.field(default=float("-inf"), init=False)
    _unsaid: int = attrs.field(default=0, init=False)

    def mayI(self, now: float) -> int | None:
        """How often it was not said since the last time, or None when it is not to be said now."""
        if now < self._next:
            self._unsaid += 1
            return None
        self._next, unsaid, self._unsaid = now + self.interval, self._unsaid, 0
        return unsaid
