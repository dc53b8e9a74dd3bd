"""Which events, by what their headers say, a node has had before.

The sequence numbers of a stream tell of an event that was *sent* again, and the inbox sees to those. What is here is about
those that were *published* again: under an id that their publisher gave them, or as the last value that it hands to a newcomer.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from nodeset.core.address import matches, parse
from nodeset.core.headers import dedupOf, retainedOf

__all__ = ["MAX_IDS", "MAX_ID_LENGTH", "MAX_VALUES", "MEMORY", "Duplicates"]

#: Ids that are remembered, some 3 MiB of them: who publishes 80 a second that way has his two minutes.
MAX_IDS = 10_000
#: Seconds for which they are: twice the usual time-out, after which a publisher learns that he does not know and tries again.
MEMORY = 120.0
#: Characters of an id: room for two UUIDs with a word.
MAX_ID_LENGTH = 128
#: Retained values whose numbers are remembered, as many as one publisher may keep.
MAX_VALUES = 10_000


class Duplicates:
    """What one node remembers; times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._ids: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._values: OrderedDict[tuple[str, str], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ids) + len(self._values)

    @staticmethod
    def concerns(headers: dict[str, Any]) -> bool:
        """Whether events with these headers may be duplicates at all."""
        return "dedup" in headers or "retained" in headers

    def isNew(self, stream: str, event: str, headers: dict[str, Any], now: float) -> bool:
        """Whether this event of `stream` is the first with its id, with its number or a higher one; it is remembered."""
        dedup, (number, _handed) = dedupOf(headers), retainedOf(headers)
        new = True
        if number:
            new = self._values.get((stream, event), 0) < number
            if new:
                self._values[stream, event] = number
                if len(self._values) > MAX_VALUES:
                    self._values.popitem(last=False)
            self._values.move_to_end((stream, event))
        if dedup is not None and len(dedup) <= MAX_ID_LENGTH:
            self._forgetOld(now)
            key = parse(event).eventName, dedup
            new = new and key not in self._ids
            if new:
                self._ids[key] = now
                if len(self._ids) > MAX_IDS:
                    self._ids.popitem(last=False)
        return new

    def _forgetOld(self, now: float) -> None:
        while self._ids:
            key = next(iter(self._ids))
            if now - self._ids[key] < MEMORY:
                return
            del self._ids[key]

    def failed(self, event: str, headers: dict[str, Any]) -> None:
        """The handler of the event failed: one more with its id is a new try."""
        dedup = dedupOf(headers)
        if dedup is not None:
            self._ids.pop((parse(event).eventName, dedup), None)

    def forget(self, pattern: str) -> None:
        """The node subscribes to `pattern` no longer: if it does so again, it wants the last values again."""
        wanted = parse(pattern).eventName
        for key in [key for key in self._values if matches(wanted, parse(key[1]).eventName)]:
            del self._values[key]
