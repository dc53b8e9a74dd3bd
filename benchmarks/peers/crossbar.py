"""Crossbar by Autobahn on Twisted, over a WebSocket; both live in an environment of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.desk import Desk
from benchmarks.peers import CROSSBAR, Place, Server, load
from benchmarks.work import EVENT, NOTE, TEXT, Event

TITLE = "Autobahn, Crossbar"
SETTINGS = "Twisted, WebSocket, the event as JSON text in one argument"
PACE = 9_000
DEBIAN = ("", "")
PYTHON: tuple[str, ...] = ()

TOGETHER = 100

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode


def server(place: Place) -> Server:
    """One node with one router, open to all on loopback."""
    allowed = {"call": True, "register": True, "publish": True, "subscribe": True}
    role = {"name": "anonymous", "permissions": [{"uri": "", "match": "prefix", "allow": allowed}]}
    router = {
        "type": "router",
        "realms": [{"name": "bench", "roles": [role]}],
        "transports": [
            {
                "type": "websocket",
                "endpoint": {"type": "tcp", "port": place.port, "interface": "127.0.0.1"},
                "auth": {"anonymous": {"type": "static", "role": "anonymous"}},
            }
        ],
    }
    home = place.path / "crossbar"
    home.mkdir()
    (home / "config.json").write_text(json.dumps({"version": 2, "workers": [router]}))
    return Server([[str(CROSSBAR / "bin" / "crossbar"), "start", "--cbdir", str(home), "--loglevel", "warn"]], patience=60.0)


def serveHere(place: Place) -> None:
    """Not used: the router is a program."""


def run(place: Place, joined: Callable[[Any], None]) -> None:
    component = load("autobahn.twisted.component")
    wamp = component.Component(transports=f"ws://127.0.0.1:{place.port}/ws", realm="bench")
    wamp.on("join", lambda session, _details: joined(session))
    component.run([wamp], log_level="error")


def publisher(desk: Desk, place: Place) -> None:
    """One session; the last event is acknowledged."""
    reactor: Any = None

    def joined(session: Any) -> None:
        nonlocal reactor
        reactor = load("twisted.internet.reactor")
        desk.ready()
        load("twisted.internet.threads").deferToThread(desk.wait).addCallback(lambda _: turn(session, 0))

    def turn(session: Any, first: int) -> None:
        last = min(first + TOGETHER, desk.work.count)
        for number in range(first, last):
            session.publish(EVENT, encode(Event(number, TEXT, time.monotonic(), 0, NOTE)).decode())
        if last < desk.work.count:
            reactor.callLater(0, turn, session, last)
        else:
            options = load("autobahn.wamp.types").PublishOptions(acknowledge=True)
            session.publish("bench.over", options=options).addCallback(lambda _: desk.done(None))

    run(place, joined)


def subscriber(desk: Desk, place: Place) -> None:
    """One session."""
    take = desk.taker(0)

    def arrived(text: str) -> None:
        take(decode(text))

    run(place, lambda session: session.subscribe(arrived, EVENT).addCallback(lambda _: desk.ready()))
