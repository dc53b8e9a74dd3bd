"""Many events on their way at a time, but not more than so many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from nodeset.errors import HandlerFailed, Receipt, Refused, Undelivered

__all__ = ["Pipeline"]

#: Events, bytes of them, that are not confirmed yet.
_EVENTS: Final = 8192
_BYTES: Final = 8 * 1024 * 1024


class Pipeline:
    """Adds up what became of events that were published one after the other."""

    def __init__(self) -> None:
        self.matched = self.delivered = self.dropped = 0
        #: Events that were published, how many of them failed.
        self.sent = self.failed = 0
        #: What went wrong first, at the event with this number.
        self.error: BaseException | None = None
        self.at = 0
        #: Whether trying again is no use.
        self.refused = False
        self._events = self._bytes = 0
        self._waiting: Deferred[None] | None = None
        self._left = 0

    def add(self, published: Deferred[Receipt], number: int, size: int) -> Deferred[None] | None:
        """One more is on its way, of `size` bytes. None while there is room for another one, else a Deferred until there is."""
        self.sent += 1
        self._events += 1
        self._bytes += size
        published.addCallbacks(self._counting(size), self._failing(number, size))
        if self._events < _EVENTS and self._bytes < _BYTES:
            return None
        return self._await(_EVENTS // 2)

    @property
    def unconfirmed(self) -> int:
        """How many are on their way."""
        return self._events

    def drain(self) -> Deferred[None] | None:
        """None when all are answered, else a Deferred that fires then."""
        return self._await(0) if self._events else None

    def _await(self, left: int) -> Deferred[None]:
        self._left = left
        self._waiting = Deferred()
        return self._waiting

    def _counting(self, size: int) -> Callable[[Receipt], None]:
        def count(receipt: Receipt) -> None:
            self._sum(receipt)
            self._over(size)

        return count

    def _sum(self, receipt: Receipt) -> None:
        self.matched += receipt.matched
        self.delivered += receipt.delivered
        self.dropped += receipt.dropped

    def _failing(self, number: int, size: int) -> Callable[[Failure], Any]:
        def fail(failure: Failure) -> None:
            error = failure.value
            self.failed += 1
            self.refused = self.refused or isinstance(error, Refused)
            if self.error is None or number < self.at:
                self.error, self.at = error, number
            if isinstance(error, (Undelivered, HandlerFailed)):
                self._sum(error.receipt)
            self._over(size)

        return fail

    def _over(self, size: int) -> None:
        self._events -= 1
        self._bytes -= size
        waiting = self._waiting
        if waiting is not None and self._events <= self._left and self._bytes <= _BYTES // 2:
            self._waiting = None
            if not waiting.called:
                waiting.callback(None)
