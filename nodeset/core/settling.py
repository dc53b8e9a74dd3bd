"""How long a dispatcher that was started anew waits for the nodes of the last one."""

from __future__ import annotations

from collections.abc import Callable

from nodeset.core.alarms import Alarms

__all__ = ["REJOIN", "SETTLE", "SETTLE_MOST", "Settling"]

#: A restarted dispatcher routes nothing for this long, so that the subscribers are back before the publishers' events are.
SETTLE = 2.0
#: Nor for this long after a node that knew the dispatcher before comes back; but not longer than this altogether.
REJOIN, SETTLE_MOST = 1.0, 30.0


class Settling:
    """The pause after a start; `fresh` says that nobody can be on the way back. `kick` is called whenever it may be over."""

    def __init__(self, now: float, fresh: bool, alarms: Alarms, kick: Callable[[float], None]) -> None:
        self._fresh, self._started, self._rejoined = fresh, now, now - REJOIN
        self._alarms, self._kick = alarms, kick
        if not fresh:
            alarms.at(now + SETTLE, kick)
            alarms.at(now + SETTLE_MOST, kick)

    def rejoined(self, now: float) -> None:
        """A node came that knows the last dispatcher."""
        self._rejoined = now
        self._alarms.at(now + REJOIN, self._kick)

    def isOver(self, now: float) -> bool:
        """Whether all that come back soon are here."""
        if self._fresh or now >= self._started + SETTLE_MOST - 1e-6:
            return True
        return now >= max(self._started + SETTLE, self._rejoined + REJOIN) - 1e-6
