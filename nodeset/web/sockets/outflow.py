"""What waits until a client grants credit for it."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import attrs

from nodeset.web.sockets.frames import MAX_CREDIT

__all__ = ["NoCredit", "Outflow"]

T = TypeVar("T")


class NoCredit(ValueError):
    """More was granted, or acknowledged, than can be."""


@attrs.frozen
class _Waiting(Generic[T]):
    sub: str
    item: T
    size: int
    is_free: bool
    is_old: bool


class Outflow(Generic[T]):
    """Items in order, each sent when there is credit for it; one that is free, when those before it were.

    What a client asked for that was kept for it, the *old*, is counted by itself: it is bounded by what is kept, and held in
    common with who keeps it.

    :param max_events: how many may wait beside the old.
    :param max_bytes: bytes that may wait beside the old.
    :param max_old: bytes of the old that may wait.
    :ivar credit: how many may go.
    """

    def __init__(self, max_events: int, max_bytes: int, max_old: int) -> None:
        self._max_events, self._max_bytes, self._max_old = max_events, max_bytes, max_old
        self._waiting: deque[_Waiting[T]] = deque()
        self._events = self._bytes = self._old = self._unacknowledged = 0
        self.credit = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting(self) -> str:
        """What waits beside the old, for people."""
        return f"{self._events} events of {self._bytes} bytes"

    def grant(self, count: int) -> None:
        """So many may go beside those that could. Raises `NoCredit`."""
        if self.credit + count > MAX_CREDIT:
            raise NoCredit(f"credit for {self.credit} events is left, {count} more are beyond {MAX_CREDIT}: grant less")
        self.credit += count

    def acknowledge(self, count: int) -> None:
        """So many that went are dealt with: as many may go anew. Raises `NoCredit`."""
        if count > self._unacknowledged:
            raise NoCredit(f"{count} events cannot be acknowledged: {self._unacknowledged} of those that were sent are not yet")
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

    def hasRoom(self, size: int) -> bool:
        """Whether so many bytes of the old may come."""
        return not self._old or self._old + size <= self._max_old

    def put(self, sub: str, item: T, size: int, is_free: bool = False, is_old: bool = False) -> bool:
        """Add one of `size` bytes for the subscription `sub`; whether that is within the bounds."""
        self._waiting.append(_Waiting(sub, item, size, is_free, is_old))
        if is_old:
            self._old += size
            return True
        self._events += 1
        self._bytes += size
        return self.isWithin()

    def isWithin(self) -> bool:
        """Whether no more waits than may; one alone may be as large as it is."""
        return self._events <= 1 or (self._events <= self._max_events and self._bytes <= self._max_bytes)

    def take(self) -> tuple[str, T] | None:
        """The next that may go, with its subscription."""
        if not self._waiting or not (self.credit or self._waiting[0].is_free):
            return None
        first = self._waiting.popleft()
        self._subtract(first)
        if not first.is_free:
            self._spend()
        return first.sub, first.item

    def _subtract(self, one: _Waiting[T]) -> None:
        if one.is_old:
            self._old -= one.size
        else:
            self._events -= 1
            self._bytes -= one.size

    def forget(self, sub: str) -> None:
        """Throw away what waits for this subscription."""
        kept: deque[_Waiting[T]] = deque()
        for one in self._waiting:
            if one.sub == sub:
                self._subtract(one)
            else:
                kept.append(one)
        self._waiting = kept

    def clear(self) -> int:
        """Throw all away, return how many events that were."""
        count = sum(not one.is_free for one in self._waiting)
        self._waiting.clear()
        self._events = self._bytes = self._old = 0
        return count
