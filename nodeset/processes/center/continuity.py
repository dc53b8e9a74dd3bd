"""Which events of a program are new, how many are missing before them."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

__all__ = ["Continuity", "Memory", "Place"]

#: Programs of which gaps are remembered, gaps of one of them: what fills an older one counts as an event that came twice.
_PROGRAMS: Final = 1024
_GAPS: Final = 64
#: So many events are counted as missing: who makes up numbers could name more than a message can tell.
_MOST: Final = 2**63 - 1


class Memory(Protocol):
    """How far the events of each program have come, by key."""

    def last(self, key: str) -> int:
        """The number of the newest one, 0 if there was none, or none is remembered."""


class Place(NamedTuple):
    """Where an event stands among those that came: behind `missing` others that did not, or `late`, so many too far behind."""

    missing: int = 0
    late: int = 0


_NEXT: Final = Place()


class Continuity:
    """Compares the number of each event with those that came before.

    They are counted by their publisher, for each of its uuids from 1. Who publishes under the uuid of another, in another
    stream, is counted apart: he can make nobody's events look as if they had come before. Who takes an event tells the memory
    of it.

    :ivar duplicates: events that had come before; `missing`: events that never came, so far.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        #: The first, the last number of each gap, the newest gap last.
        self._gaps: dict[str, list[tuple[int, int]]] = {}
        self.duplicates = self.missing = 0

    def take(self, key: str, seq: int) -> Place | None:
        """Where the event `seq` of this key stands; None if it came before. Numbers below 1 tell nothing."""
        if seq < 1:
            return _NEXT
        last = self._memory.last(key)
        if seq == last + 1:
            return _NEXT
        if seq <= last:
            return self._comeLate(key, seq, last)
        gaps = self._gaps.setdefault(key, [])
        gaps.append((last + 1, seq - 1))
        del gaps[:-_GAPS]
        while len(self._gaps) > _PROGRAMS:
            del self._gaps[next(iter(self._gaps))]
        self.missing = min(self.missing + seq - 1 - last, _MOST)
        return Place(missing=seq - 1 - last)

    def _comeLate(self, key: str, seq: int, last: int) -> Place | None:
        gaps = self._gaps.get(key, [])
        for index, (first, end) in enumerate(gaps):
            if first <= seq <= end:
                gaps[index : index + 1] = [gap for gap in ((first, seq - 1), (seq + 1, end)) if gap[0] <= gap[1]]
                del gaps[:-_GAPS]  # an event in the midst of a gap makes two of it
                if not gaps:
                    del self._gaps[key]
                self.missing -= 1
                return Place(late=last - seq)
        self.duplicates += 1
        return None
