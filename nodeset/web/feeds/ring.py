"""The last events of a feed, for who comes back."""

from __future__ import annotations

import re
from collections import deque
from itertools import islice
from typing import Final

import attrs

from nodeset.web.feeds.formats import Entry

__all__ = ["EXPIRED", "OTHER_EPOCH", "UNKNOWN", "Bounds", "Ring", "readId"]

#: Why events may be missing: the id is of another run of the bridge or of a feed that was given up; what followed it is not
#: kept any more; it is no id of ours.
OTHER_EPOCH, EXPIRED, UNKNOWN = "epoch", "expired", "unknown"
_ID: Final = re.compile(r"([0-9a-z]{1,32})-(0|[1-9][0-9]{0,17})")


@attrs.frozen
class Bounds:
    """How much is kept: events, bytes, seconds."""

    events: int = 1000
    size: int = 8 * 1024 * 1024
    age: float = 600.0


def readId(text: str) -> tuple[str, int] | None:
    """The epoch and the number of an id, None for what is none."""
    found = _ID.fullmatch(text)
    return None if found is None else (found[1], int(found[2]))


class Ring:
    """The newest entries of one feed, whose numbers follow each other.

    :ivar size: bytes of all that is kept.
    :ivar last: the number of the newest entry that there was, 0 before the first.
    """

    def __init__(self, epoch: str, bounds: Bounds) -> None:
        self.epoch = epoch
        self.bounds = bounds
        self.size = 0
        self.last = 0
        self._entries: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def first(self) -> int:
        """The number of the oldest entry that is kept; that of the next one when there is none."""
        return self._entries[0].number if self._entries else self.last + 1

    def idOf(self, number: int) -> str:
        """The id of the entry with this number."""
        return f"{self.epoch}-{number}"

    def add(self, entry: Entry) -> None:
        """Keep the newest entry; older ones may have to go."""
        entries, bounds = self._entries, self.bounds
        entries.append(entry)
        self.last = entry.number
        self.size += len(entry.sse)
        while len(entries) > bounds.events or (self.size > bounds.size and entries):
            self.size -= len(entries.popleft().sse)

    def trim(self, now: float) -> None:
        """Forget what is too old."""
        oldest = now - self.bounds.age
        while self._entries and self._entries[0].at < oldest:
            self.size -= len(self._entries.popleft().sse)

    def shrink(self, size: int) -> None:
        """Forget the oldest entries, until there are `size` bytes at most."""
        while self._entries and self.size > size:
            self.size -= len(self._entries.popleft().sse)

    def after(self, number: int) -> list[Entry]:
        """The entries with greater numbers, as far as they are kept."""
        passed = max(0, number + 1 - self.first)
        return list(islice(self._entries, passed, None))

    def resume(self, last_id: str) -> tuple[list[Entry], str]:
        """What whoever saw the events up to `last_id` has to hear, with the reason why some may be missing ('' when none is).

        With such a reason it is all that is kept.
        """
        seen = readId(last_id)
        if seen is None:
            return list(self._entries), UNKNOWN
        epoch, number = seen
        if epoch != self.epoch:
            return list(self._entries), OTHER_EPOCH
        if number > self.last:
            return list(self._entries), UNKNOWN
        if number < self.first - 1:
            return list(self._entries), EXPIRED
        return self.after(number), ""
