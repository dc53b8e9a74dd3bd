"""What a process of a measurement is asked to do."""

from __future__ import annotations

from typing import Final

import msgspec

from nodeset.cli.bench.event import BATCH

__all__ = ["ENDLESS", "Task", "batchOf", "windowOf"]

#: A count that nobody reaches: the time ends it.
ENDLESS: Final = 2**62
#: Bytes of events of one publisher that wait for their receipts; bytes of one call of `publishMany`.
_ROOM: Final = 4 * 1024 * 1024
_AT_ONCE: Final = 512 * 1024
_WINDOW: Final = 10_000


class Task(msgspec.Struct, frozen=True):
    """One side of one work.

    :ivar side: `publish` or `take`.
    :ivar kind: `publish`, `many`, `paced` or `call`, as in `make bench`.
    :ivar name: the event; of calls the label of the nodes that answer.
    :ivar count: events (calls) of each publisher; 0: until `seconds` are over.
    :ivar nodes: how many nodes of this process take.
    :ivar matches: how many take in all.
    :ivar publishers: how many there are; this is number `source`.
    :ivar rate: events a second of each publisher, where they are paced.
    :ivar under_way: calls of each that are under way at all times.
    :ivar size: bytes of an event, about; 0 is the usual one.
    """

    side: str
    kind: str
    name: str
    count: int = 0
    seconds: float = 0.0
    nodes: int = 1
    matches: int = 1
    publishers: int = 1
    source: int = 0
    rate: int = 0
    under_way: int = 100
    size: int = 0

    @property
    def window(self) -> int:
        """Calls under way, as `Rounds` asks for it."""
        return self.under_way


def windowOf(size: int) -> int:
    """The most events of a publisher that wait for their receipts.

    >>> windowOf(0), windowOf(65536)
    (10000, 64)
    """
    return max(4, min(_WINDOW, _ROOM // max(1, size)))


def batchOf(size: int) -> int:
    """Events of one call of `publishMany`.

    >>> batchOf(0), batchOf(65536)
    (500, 8)
    """
    return max(1, min(BATCH, _AT_ONCE // max(1, size)))
