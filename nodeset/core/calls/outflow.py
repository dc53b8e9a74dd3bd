"""The items of a stream that a method returned, as its node sends them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from nodeset.core.calls.callframes import Item
from nodeset.core.calls.items import ITEM_BYTES_AHEAD, ITEMS_AHEAD
from nodeset.core.calls.parcel import packValue
from nodeset.core.calls.within import within
from nodeset.core.patience import cancel

__all__ = ["Outflow", "isStream"]

#: Items in one frame, bytes of them, before it is sent.
_MOST_BYTES = 128 * 1024
#: Items after which the reactor gets a turn.
_SLICE = 32
_END = object()


def isStream(result: Any) -> bool:
    """Whether a method's result is to be sent as a stream of items."""
    return hasattr(result, "__anext__") or hasattr(result, "__aiter__") or isinstance(result, Iterator)


class Outflow:
    """Takes items out of an iterator as long as their reader keeps up.

    :param put: takes frames of items.
    :param over: called once when there is nothing more, with None or with what the iterator raised; not after `close`.
    """

    def __init__(
        self,
        items: Any,
        caller: str,
        number: int,
        put: Callable[[Item], None],
        over: Callable[[Failure | None], None],
        clock: IReactorTime,
    ) -> None:
        self._items = items.__aiter__() if hasattr(items, "__aiter__") else items
        self._sync = not hasattr(self._items, "__anext__")
        self._caller, self._number, self._put, self._over, self._clock = caller, number, put, over, clock
        self._context = copy_context()
        self._context.run(within.set, None)  # items have no deadline but their reader's
        self._unread: deque[int] = deque()
        self._unread_bytes = 0
        self._next = 0
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._pulling = False
        self._waiting: Deferred[Any] | None = None
        self._later: IDelayedCall | None = None
        self._closed = False

    def more(self, count: int) -> None:
        """So many items were read."""
        for _ in range(min(count, len(self._unread))):
            self._unread_bytes -= self._unread.popleft()
        self.pull()

    def pull(self) -> None:
        """Take items as far as the reader keeps up."""
        if self._pulling or self._closed or self._waiting is not None or self._later is not None:
            return
        self._pulling = True
        taken = 0
        try:
            while not self._closed and len(self._unread) < ITEMS_AHEAD and self._unread_bytes < ITEM_BYTES_AHEAD:
                if taken >= _SLICE:
                    self._later = self._clock.callLater(0, self._resume)
                    break
                taken += 1
                if not self._pullOne():
                    break
        finally:
            self._pulling = False
            self._flush()

    def _resume(self) -> None:
        self._later = None
        self.pull()

    def _pullOne(self) -> bool:
        """Take one item; whether another may be taken now."""
        if self._sync:
            try:
                value = self._context.run(next, self._items, _END)
            except BaseException:
                self._finish(Failure())
                return False
            return self._add(value)
        coming: Deferred[Any] = self._context.run(Deferred.fromCoroutine, _nextOf(self._items))
        here: list[Any] = []
        coming.addBoth(here.append)
        if here:
            return self._came(here[0])
        self._waiting = coming
        coming.addCallback(lambda none: self._cameLater(here[0]))
        return False

    def _cameLater(self, result: Any) -> None:
        self._waiting = None
        if self._closed:
            self._closeIterator()
        elif self._came(result):
            self._flush()
            self.pull()

    def _came(self, result: Any) -> bool:
        if isinstance(result, Failure):
            self._finish(result)
            return False
        return self._add(result)

    def _add(self, value: Any) -> bool:
        if value is _END:
            self._finish(None)
            return False
        try:
            payload = packValue(value, "an item of the stream")
        except Exception:
            self._finish(Failure())
            self._closeIterator()
            return False
        if self._gathered and self._gathered_bytes + len(payload) > _MOST_BYTES:
            self._flush()
        self._gathered.append(payload)
        self._gathered_bytes += len(payload)
        self._unread.append(len(payload))
        self._unread_bytes += len(payload)
        return True

    def _flush(self) -> None:
        if self._gathered and not self._closed:
            gathered, self._gathered = self._gathered, []
            self._gathered_bytes = 0
            first, self._next = self._next, self._next + len(gathered)
            self._put(Item(self._caller, self._number, first, gathered))

    def _finish(self, failure: Failure | None) -> None:
        if not self._closed:
            self._flush()
            self._closed = True
            self._over(failure)

    def close(self) -> None:
        """Take no more: nobody reads."""
        if self._closed:
            return
        self._closed = True
        self._gathered.clear()
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._waiting is not None:
            cancel(self._waiting)  # the iterator is closed when that has ended
        elif not self._pulling:
            self._closeIterator()
        else:
            self._clock.callLater(0, self._closeIterator)

    def _closeIterator(self) -> None:
        """Let a generator clean up; what it raises then is nobody's concern."""
        if self._sync:
            close = getattr(self._items, "close", None)
            if close is not None:
                try:
                    close()
                except BaseException as error:
                    self._ignore(error)
        elif hasattr(self._items, "aclose"):
            closing = Deferred.fromCoroutine(_closeOf(self._items))
            closing.addErrback(lambda failure: failure.trap(CancelledError, BaseException) and None)

    @staticmethod
    def _ignore(error: BaseException) -> None:
        """It was told that nobody reads: how it takes that is its own affair."""


async def _nextOf(items: Any) -> Any:
    return await anext(items, _END)


async def _closeOf(items: Any) -> None:
    await items.aclose()
