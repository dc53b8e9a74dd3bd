"""What is asked of every system: so many events of five fields, sent in one of a few ways."""

from __future__ import annotations

import math
import random
from typing import Final

import msgspec

from nodeset.cli.bench.event import BATCH, METHOD, NOTE, TEXT, Event

__all__ = ["BATCH", "EVENT", "FILL", "METHOD", "MIXED", "NAMES", "NOTE", "TEXT", "Event", "Work", "drawSizes"]

EVENT: Final = "bench.event"
#: The events of the mixed work are called bench.mixed.0 to bench.mixed.99.
MIXED: Final = "bench.mixed"
NAMES: Final = 100
_SMALLEST, _LARGEST = 50, 64 * 1024
FILL: Final = "x" * _LARGEST


class Work(msgspec.Struct, frozen=True):
    """One thing to do, the same for every system.

    :param kind: `publish` (a call for each event), `many` (a call for many), `paced` (a call for each, `rate` a second),
        `mixed` (100 event names, sizes log-uniform, `publishers` publishers), `one` (each event to one of the subscribers),
        `hold` (nodes that do nothing, `publishers` of them and then `count` more), `call` (requests with their answers,
        `window` under way at all times), `stream` (chunks of 64 KiB from one node to the other).
    :param count: events, of all publishers together; calls; chunks.
    :param window: the most events of a publisher of ours that wait for their receipts; calls under way.
    :param links: how long the grants of our nodes are: one link is a member's, each further one narrows it.
    """

    kind: str
    count: int
    subscribers: int = 1
    publishers: int = 1
    rate: int = 0
    window: int = 10_000
    links: int = 1


def drawSizes(count: int) -> list[int]:
    """The same sizes every time: log-uniform from 50 B to 64 KiB, what a JSON event of the mixed work weighs about."""
    draw = random.Random(5)
    low, high = math.log(_SMALLEST), math.log(_LARGEST)
    return [int(math.exp(draw.uniform(low, high))) for _ in range(count)]
