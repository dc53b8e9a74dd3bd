"""The last values that a node keeps of what it published."""

from __future__ import annotations

import msgspec

from nodeset.core.address import isPattern, matches, parse
from nodeset.core.batch import MAX_RETAINED
from nodeset.errors import Overloaded

__all__ = ["MAX_RETAINED_BYTES", "Kept", "Retained"]

#: Bytes of their payloads: as many as may be unconfirmed.
MAX_RETAINED_BYTES = 64 * 1024 * 1024


class Kept(msgspec.Struct, frozen=True):
    """The last value of an event: the how many-th value that its node kept, the payload, JSON or `raw`, when it is over."""

    number: int
    payload: bytes
    raw: bool = False
    expires: float | None = None

    def isOver(self, now: float) -> bool:
        """Whether nobody shall get it any more."""
        return self.expires is not None and self.expires <= now


class Retained:
    """The values by event, as it was published; times are seconds of a monotonic clock.

    :param most: events.
    :param most_bytes: bytes of their payloads.
    """

    def __init__(self, most: int = MAX_RETAINED, most_bytes: int = MAX_RETAINED_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: dict[str, Kept] = {}
        #: The events by name, without node or host.
        self._by_name: dict[str, dict[str, None]] = {}
        self._bytes = self._number = self._mortal = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, event: str, payload: bytes, raw: bool, expires: float | None) -> Kept:
        """Keep this one from now on, instead of the one before. Raises `Overloaded` when there is no room."""
        old = self._kept.get(event)
        size = self._bytes + len(payload) - (0 if old is None else len(old.payload))
        if (old is None and len(self._kept) >= self._most) or size > self._most_bytes:
            raise Overloaded(
                f"{event!r} cannot be retained: the node keeps {len(self._kept)} values ({self._bytes} bytes) of at most "
                f"{self._most} ({self._most_bytes} bytes); forget() some"
            )
        self._number += 1
        kept = Kept(self._number, payload, raw, expires)
        self.put(event, kept)
        return kept

    def put(self, event: str, kept: Kept | None) -> None:
        """Keep `kept`, which was kept before, or nothing."""
        old = self._kept.pop(event, None)
        if old is not None:
            self._bytes -= len(old.payload)
            self._mortal -= old.expires is not None
            alike = self._by_name[name := parse(event).eventName]
            del alike[event]
            if not alike:
                del self._by_name[name]
        if kept is not None:
            self._kept[event] = kept
            self._by_name.setdefault(parse(event).eventName, {})[event] = None
            self._bytes += len(kept.payload)
            self._mortal += kept.expires is not None

    def get(self, event: str) -> Kept | None:
        """What is kept of `event`."""
        return self._kept.get(event)

    def events(self) -> list[str]:
        """Of what something is kept."""
        return list(self._kept)

    def matching(self, pattern: str) -> list[str]:
        """The same as far as `pattern` matches it, whatever node or host it is for."""
        wanted = parse(pattern).eventName
        if not isPattern(wanted):
            return list(self._by_name.get(wanted, ()))
        return [event for name, alike in self._by_name.items() if matches(wanted, name) for event in alike]

    def expire(self, now: float) -> list[str]:
        """Keep no longer what is over; returns of what nothing is kept any more."""
        if not self._mortal:
            return []
        over = [event for event, kept in self._kept.items() if kept.isOver(now)]
        for event in over:
            self.put(event, None)
        return over
