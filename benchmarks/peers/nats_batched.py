"""NATS through nats-py with batching by hand: 500 events in each message."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from benchmarks.desk import Desk
from benchmarks.peers import Place
from benchmarks.peers.nats import DEBIAN, PYTHON, publishAll, serveHere, server, takeAll
from benchmarks.work import BATCH, EVENT, NOTE, TEXT, Event, Work

__all__ = ["DEBIAN", "PACE", "PYTHON", "SETTINGS", "TITLE", "publisher", "serveHere", "server", "subscriber"]

TITLE = "nats-py, batched by hand"
SETTINGS = f"{BATCH} events in each message, a JSON array that is encoded and decoded in one call"
PACE = 1_000_000

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(list[Event]).decode


def publisher(desk: Desk, place: Place) -> None:
    """One connection."""
    asyncio.run(publishAll(desk, place, sendMany))


async def sendMany(work: Work, connection: Any, source: int) -> None:
    """A call for each 500 events."""
    monotonic = time.monotonic
    for first in range(0, work.count, BATCH):
        events = [Event(number, TEXT, monotonic(), source, NOTE) for number in range(first, first + BATCH)]
        await connection.publish(EVENT, encode(events))


def subscriber(desk: Desk, place: Place) -> None:
    """One connection for each subscriber, all in this process."""
    asyncio.run(takeAll(desk, place, takeMany))


def takeMany(take: Callable[[Event], None]) -> Callable[[Any], Awaitable[None]]:
    """The callback for a message that holds many events."""

    async def arrived(message: Any) -> None:
        for event in decode(message.data):
            take(event)

    return arrived
