"""What is sent when something is measured: an event of five fields."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["BATCH", "METHOD", "NOTE", "PLAIN", "TEXT", "Event", "makeNote"]

#: The method that is called.
METHOD: Final = "countUp"
TEXT: Final = "orders.created"
NOTE: Final = "twelve bowls of soup"
#: Events handed over at a time where a work hands over many: `publishMany`, or a blob of the batching by hand.
BATCH: Final = 500
#: Bytes of all but the note, as JSON, about.
PLAIN: Final = 90


class Event(msgspec.Struct):
    """What every peer sends as JSON, about 110 bytes; NodeSet sends a message class of the same fields.

    `stamp` is the monotonic clock of this machine when the event was published, `source` the number of its publisher.
    """

    number: int
    text: str
    stamp: float
    source: int
    note: str


def makeNote(size: int) -> str:
    """A note that makes an event as large as this, in bytes, about; 0 is the usual one."""
    return "x" * max(0, size - PLAIN) if size else NOTE
