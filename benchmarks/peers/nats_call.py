"""Requests by nats-py, each answered by a message to the inbox of who asked."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from benchmarks.desk import Desk
from benchmarks.peers import Place
from benchmarks.peers.nats import DEBIAN, PYTHON, TITLE, connect, serveHere, server
from benchmarks.work import METHOD, Event
from nodeset.cli.bench.rounds import Rounds, answerTo

__all__ = ["DEBIAN", "PACE", "PYTHON", "SETTINGS", "TITLE", "publisher", "serveHere", "server", "subscriber"]

SETTINGS = ""
PACE = {1: 4_000, 100: 35_000}

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode


def publisher(desk: Desk, place: Place) -> None:
    """One connection; as many tasks as calls are under way, each awaits its answer."""
    asyncio.run(_askAll(desk, place))


async def _askAll(desk: Desk, place: Place) -> None:
    connection = await connect(place)
    rounds = Rounds(desk.work, lambda _: None)

    async def ask() -> None:
        request = connection.request
        while (event := rounds.draw()) is not None:
            try:
                rounds.note(decode((await request(METHOD, encode(event), timeout=30)).data))
            except Exception as error:
                rounds.fail(f"{type(error).__name__}: {error}")

    desk.ready()
    await asyncio.to_thread(desk.wait)
    await asyncio.gather(*(ask() for _ in range(desk.work.window)))
    desk.answered(rounds)


def subscriber(desk: Desk, place: Place) -> None:
    """One connection."""
    asyncio.run(_answerAll(desk, place))


async def _answerAll(desk: Desk, place: Place) -> None:
    connection, take = await connect(place), desk.taker(0)

    async def asked(message: Any) -> None:
        request = decode(message.data)
        take(request)
        await message.respond(encode(answerTo(request)))

    await connection.subscribe(METHOD, cb=asked)
    await connection.flush()
    desk.ready()
    await asyncio.Event().wait()
