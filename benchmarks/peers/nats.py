"""NATS through nats-py, a message for each event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from benchmarks.desk import Desk
from benchmarks.peers import Place, Server, load
from benchmarks.work import EVENT, FILL, MIXED, NAMES, NOTE, TEXT, Event, Work, drawSizes
from nodeset.cli.bench.pacing import Pace

TITLE = "nats-py"
SETTINGS = ""
PACE = 150_000
DEBIAN = ("nats-server", "nats-server")
PYTHON: tuple[str, ...] = ("nats-py",)

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode


def server(place: Place) -> Server:
    """One nats-server, as it comes."""
    return Server([["nats-server", "-a", "127.0.0.1", "-p", str(place.port)]])


def serveHere(place: Place) -> None:
    """Not used: the server is a program."""


async def connect(place: Place) -> Any:
    """A connection with default buffers; an error of it ends the run."""
    return await load("nats").connect(f"nats://127.0.0.1:{place.port}", allow_reconnect=False)


def publisher(desk: Desk, place: Place) -> None:
    """One connection for each publisher, all in this process."""
    asyncio.run(publishAll(desk, place, sendEach))


async def publishAll(desk: Desk, place: Place, send: Callable[[Work, Any, int], Awaitable[None]]) -> None:
    """Let `send` publish over each connection; all of it has reached the server then."""
    work = desk.work
    connections = [await connect(place) for _ in range(work.publishers)]
    desk.ready()
    await asyncio.to_thread(desk.wait)
    await asyncio.gather(*(send(work, connection, source) for source, connection in enumerate(connections)))
    for connection in connections:
        await connection.flush()
    desk.done(None)


async def sendEach(work: Work, connection: Any, source: int) -> None:
    """A call for each event, as the documentation shows it."""
    publish, monotonic = connection.publish, time.monotonic
    if work.kind == "paced":
        pace, start, sent = Pace(work.rate, work.count), monotonic(), 0
        while sent < work.count:
            due = pace.due(monotonic() - start)
            for number in range(sent, due):
                await publish(EVENT, encode(Event(number, TEXT, monotonic(), source, NOTE)))
            sent = due
            await asyncio.sleep(0.001)
    elif work.kind == "mixed":
        for number, size in enumerate(drawSizes(work.count)[source :: work.publishers]):
            note = FILL[: max(0, size - 90)]
            await publish(f"{MIXED}.{number % NAMES}", encode(Event(number, TEXT, monotonic(), source, note)))
    else:
        for number in range(work.count):
            await publish(EVENT, encode(Event(number, TEXT, monotonic(), source, NOTE)))


def subscriber(desk: Desk, place: Place) -> None:
    """One connection for each subscriber, all in this process."""
    asyncio.run(takeAll(desk, place, takeEach))


def takeEach(take: Callable[[Event], None]) -> Callable[[Any], Awaitable[None]]:
    """The callback for a message that is an event."""

    async def arrived(message: Any) -> None:
        take(decode(message.data))

    return arrived


async def takeAll(desk: Desk, place: Place, make: Callable[[Callable[[Event], None]], Any]) -> None:
    """Subscribe, then wait for ever."""
    subject = f"{MIXED}.*" if desk.work.kind == "mixed" else EVENT
    group = "workers" if desk.work.kind == "one" else ""
    for index in range(desk.work.subscribers):
        connection = await connect(place)
        await connection.subscribe(subject, queue=group, cb=make(desk.taker(index)))
        await connection.flush()
    desk.ready()
    await asyncio.Event().wait()
