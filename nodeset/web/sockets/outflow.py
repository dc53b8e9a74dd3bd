"""What waits until a client grants credit for it."""

from __future__ import annotations

from collections import deque

import attrs

from nodeset.web.sockets.frames import MAX_CREDIT

__all__ = ["NoCredit", "Outflow"]


class NoCredit(ValueError):
    """More was granted, or acknowledged, than can be."""


@attrs.frozen
class _Waiting:
    sub: str
    text: str
    is_free: bool


class Outflow:
    """Frames in order, each sent when there is credit for it; one that is free, when those before it were.

    :param max_events: how many may wait.
    :param max_bytes: characters that may wait, which are bytes but for what is no ASCII.
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events, self._max_bytes = max_events, max_bytes
        self._waiting: deque[_Waiting] = deque()
        self._bytes = self._unacknowledged = 0
        self.credit = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def grant(self, count: int) -> None:
        """So many may go beside those that could. Raises `NoCredit`."""
        if self.credit + count > MAX_CREDIT:
            raise NoCredit(f"credit for {self.credit} events is left, {count} more are beyond {MAX_CREDIT}: grant less")
        self.credit += count

    def acknowledge(self, count: int) -> None:
        """So many that went are dealt with: as many may go anew. Raises `NoCredit`."""
        if count > self._unacknowledged:
            raise NoCredit(f"{count} events cannot be acknowledged: {self._unacknowledged} were sent since the last ack")
        self.grant(count)
        self._unacknowledged -= count

    def spend(self) -> bool:
        """Take the credit of one event that does not wait here; whether there is any, with nothing in front of it."""
        if self._waiting or self.credit <= 0:
            return False
        self._spend()
        return True

    def _spend(self) -> None:
        self.credit -= 1
        # Of a client that never acknowledges no number is kept that grows for ever.
        self._unacknowledged = min(self._unacknowledged + 1, MAX_CREDIT)

    def put(self, sub: str, text: str, is_free: bool = False) -> bool:
        """Add one; False, with nothing changed, when no more may wait. What can go at once does not count."""
        if (len(self._waiting) >= self._max_events or self._bytes + len(text) > self._max_bytes) and not (
            self.credit and not self._waiting
        ):
            return False
        self._waiting.append(_Waiting(sub, text, is_free))
        self._bytes += len(text)
        return True

    def take(self) -> str | None:
        """The next that may go."""
        if not self._waiting or not (self.credit or self._waiting[0].is_free):
            return None
        first = self._waiting.popleft()
        self._bytes -= len(first.text)
        if not first.is_free:
            self._spend()
        return first.text

    def forget(self, sub: str) -> None:
        """Throw away what waits for this subscription."""
        self._waiting = deque(one for one in self._waiting if one.sub != sub)
        self._bytes = sum(len(one.text) for one in self._waiting)

    def clear(self) -> int:
        """Throw all away, return how many events that were."""
        count = sum(not one.is_free for one in self._waiting)
        self._waiting.clear()
        self._bytes = 0
        return count
