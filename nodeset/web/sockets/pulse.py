"""Whether the other end of a quiet connection is still there."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["PATIENCE", "PING", "Beat", "Pulse"]

#: Seconds between two pings.
PING: Final = 25.0
#: Seconds after one within which something must come: the pong, or anything else.
PATIENCE: Final = 20.0


class Beat(Enum):
    """What is to be done now."""

    NOTHING = 0
    PING = 1
    GONE = 2


class Pulse:
    """Times of one connection, in seconds."""

    __slots__ = ("_awaited", "_pinged")

    def __init__(self, now: float) -> None:
        self._pinged, self._awaited = now, False

    def heard(self) -> None:
        """Something came."""
        self._awaited = False

    def beat(self, now: float) -> Beat:
        """To be asked every second; who is told to ping does so."""
        since = now - self._pinged
        if self._awaited and since >= PATIENCE:
            return Beat.GONE
        if since >= PING:
            self._pinged, self._awaited = now, True
            return Beat.PING
        return Beat.NOTHING
