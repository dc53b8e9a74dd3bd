"""Redis publish/subscribe by redis-py, pipelined."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from benchmarks.desk import Desk
from benchmarks.peers import Place, Server, load
from benchmarks.work import EVENT, NOTE, TEXT, Event

TITLE = "redis-py, pipelined"
SETTINGS = "100 publishes in each pipeline, nothing saved to disk"
PACE = 80_000
DEBIAN = ("redis-server", "redis-server")
PYTHON: tuple[str, ...] = ("redis",)

TOGETHER = 100

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode


def server(place: Place) -> Server:
    """One redis-server that saves nothing."""
    quiet = ["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", str(place.path)]
    return Server([["redis-server", "--bind", "127.0.0.1", "--port", str(place.port), *quiet]])


def serveHere(place: Place) -> None:
    """Not used: the server is a program."""


def _client(place: Place) -> Any:
    return load("redis").Redis(host="127.0.0.1", port=place.port)


def publisher(desk: Desk, place: Place) -> None:
    """One connection; each answer says how many got the event."""
    client, monotonic = _client(place), time.monotonic
    client.ping()
    desk.ready()
    desk.wait()
    reached = 0
    for first in range(0, desk.work.count, TOGETHER):
        pipeline = client.pipeline(transaction=False)
        for number in range(first, min(first + TOGETHER, desk.work.count)):
            pipeline.publish(EVENT, encode(Event(number, TEXT, monotonic(), 0, NOTE)))
        reached += sum(pipeline.execute())
    desk.done(reached // desk.work.subscribers)


def subscriber(desk: Desk, place: Place) -> None:
    """One connection."""
    channel = _client(place).pubsub()
    take = desk.taker(0)
    channel.subscribe(EVENT)
    for message in channel.listen():
        if message["type"] == "message":
            take(decode(message["data"]))
        else:
            desk.ready()
