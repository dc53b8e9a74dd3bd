"""The last value of each event of a feed whose publisher keeps one."""

from __future__ import annotations

from nodeset.web.feeds.formats import Entry
from nodeset.web.feeds.ring import Bounds

__all__ = ["Latest"]


class Latest:
    """Retained values, for who comes when they were handed to others already; the oldest goes when there are too many.

    :ivar size: bytes of all of them.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._entries: dict[str, Entry] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, event: str, entry: Entry) -> None:
        """The newest value of this event."""
        entries = self._entries
        self.drop(event)
        entries[event] = entry
        self.size += len(entry.sse)
        while len(entries) > self._bounds.events or (self.size > self._bounds.size and entries):
            self.drop(next(iter(entries)))

    def drop(self, event: str) -> None:
        """Forget the value of this event."""
        entry = self._entries.pop(event, None)
        if entry is not None:
            self.size -= len(entry.sse)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self.size = 0

    def upTo(self, number: int) -> list[Entry]:
        """Those that came up to this number of the feed, in the order in which they came."""
        return [entry for entry in self._entries.values() if entry.number <= number]
