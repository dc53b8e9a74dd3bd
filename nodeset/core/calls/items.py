"""The items of a stream that a call returned, as the caller reads them."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred

from nodeset.core.calls.callframes import Item
from nodeset.errors import NodeSetError, OutcomeUnknown, ProtocolError

__all__ = ["ITEMS_AHEAD", "ITEM_BYTES_AHEAD", "Inflow", "Items"]

#: Items, bytes of them, that a stream is ahead of its reader.
ITEMS_AHEAD: Final = 64
ITEM_BYTES_AHEAD: Final = 256 * 1024
#: Items that are read before the other side is told.
_WORTH_IT = ITEMS_AHEAD // 2


@attrs.define(eq=False)
class Wait:
    """Somebody waits for the next item, until `deadline`."""

    inflow: Inflow
    deadline: float | None
    left: int = 1


class Inflow:
    """What has come and was not read.

    :param read: makes the value of an item. Raises `NodeSetError`.
    :param more: tells the other side that so many items were read.
    :param close: tells it that no more are wanted; called once, unless the stream is over by itself.
    :param wait: called when somebody waits for the next item.
    """

    def __init__(
        self,
        what: str,
        read: Callable[[bytes], Any],
        more: Callable[[int], None],
        close: Callable[[], None],
        wait: Callable[[Inflow], Wait],
    ) -> None:
        self.what = what
        self._read, self._more, self._close, self._wait = read, more, close, wait
        self._payloads: deque[bytes] = deque()
        self._next = 0
        self._unsaid = 0
        self._over = False
        self._error: NodeSetError | None = None
        self._reader: Deferred[None] | None = None
        self._waiting: Wait | None = None

    def came(self, item: Item) -> None:
        """Items came; those that should not have come, or have not, end the stream."""
        if self._over:
            return
        if item.first != self._next:
            self.abandon(OutcomeUnknown(f"items of {self.what} are missing after the first {self._next}"))
        elif len(self._payloads) + len(item.payloads) > ITEMS_AHEAD + _WORTH_IT:
            self.abandon(ProtocolError(f"{self.what} sends more items than were asked for"))
        else:
            self._next += len(item.payloads)
            self._payloads += item.payloads
            self._wake()

    def ended(self, error: NodeSetError | None) -> None:
        """Nothing more comes; what is here can be read still."""
        if not self._over:
            self._over, self._error = True, error
            self._wake()

    def abandon(self, error: NodeSetError | None = None) -> None:
        """Nothing more is wanted."""
        if not self._over:
            self._over, self._error = True, error
            self._payloads.clear()
            self._close()
            self._wake()
        elif error is None:
            self._payloads.clear()

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if self._waiting is not None:
            self._waiting.left, self._waiting = 0, None
        if reader is not None and not reader.called:
            reader.callback(None)

    async def next(self) -> Any:
        """The next item. Raises `StopAsyncIteration` after the last one, `NodeSetError` when the stream failed."""
        if self._reader is not None:
            raise RuntimeError(f"two wait for the next item of {self.what}: one reads a stream")
        while not self._payloads:
            if self._over:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                raise StopAsyncIteration
            self._tell()
            reader = self._reader = Deferred(self._cancelled)
            self._waiting = self._wait(self)
            await reader
        payload = self._payloads.popleft()
        if not self._over:
            self._unsaid += 1
            if self._unsaid >= _WORTH_IT or len(payload) > ITEM_BYTES_AHEAD // 4:
                self._tell()
        return self._read(payload)

    def _cancelled(self, reader: Deferred[None]) -> None:
        """Who waited gives up; the stream is there still."""
        self._reader = None
        if self._waiting is not None:
            self._waiting.left, self._waiting = 0, None

    def _tell(self) -> None:
        if self._unsaid:
            unsaid, self._unsaid = self._unsaid, 0
            self._more(unsaid)


class Items(AsyncIterator[Any]):
    """The items that a method streams, for `async for`; one reads at a time.

    The other side is at most 64 items or 256 KiB ahead of who reads: as long as nobody does, it waits. Each wait for an item
    is bounded by the call's `timeout`; then it fails with `TimedOut`, and the stream is over. It fails with what the method
    raised (`RemoteError`), with `OutcomeUnknown` when a link of the stream was lost. One that is not read to its end is
    closed by `aclose`, or when nobody has it any more.
    """

    def __init__(self, inflow: Inflow) -> None:
        self._inflow = inflow

    def __aiter__(self) -> Items:
        return self

    async def __anext__(self) -> Any:
        return await self._inflow.next()

    async def aclose(self) -> None:
        """Read no more: the other side stops. Doing it twice is fine."""
        self._inflow.abandon()

    def __del__(self) -> None:
        self._inflow.abandon()
