"""When the events of a steady rate are due."""

from __future__ import annotations

import attrs

__all__ = ["Pace"]


@attrs.frozen
class Pace:
    """So many events, `rate` of them a second."""

    rate: int
    count: int

    def due(self, elapsed: float) -> int:
        """How many should have been sent after so many seconds.

        >>> Pace(200, 1000).due(0.0), Pace(200, 1000).due(0.0101), Pace(200, 1000).due(60.0)
        (1, 3, 1000)
        """
        return min(self.count, 1 + int(elapsed * self.rate))
