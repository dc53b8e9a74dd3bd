"""Procedures registered with Crossbar by Autobahn on Twisted."""

from __future__ import annotations

from typing import Any

import msgspec

from benchmarks.desk import Desk
from benchmarks.peers import Place, load
from benchmarks.peers.crossbar import DEBIAN, PYTHON, TITLE, run, serveHere, server
from benchmarks.work import METHOD, Event
from nodeset.cli.bench.rounds import Rounds, answerTo

__all__ = ["DEBIAN", "PACE", "PYTHON", "SETTINGS", "TITLE", "publisher", "serveHere", "server", "subscriber"]

SETTINGS = "request and answer as JSON text in one argument"
PACE = {1: 1_500, 100: 4_000}

PROCEDURE = f"bench.{METHOD}"

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode


def publisher(desk: Desk, place: Place) -> None:
    """One session."""

    def joined(session: Any) -> None:
        rounds: Rounds

        def answered(text: str) -> None:
            rounds.take(decode(text))

        def ask(event: Event) -> None:
            session.call(PROCEDURE, encode(event).decode()).addCallback(answered).addErrback(rounds.fail)

        rounds = Rounds(desk.work, ask, lambda: desk.answered(rounds))
        desk.ready()
        load("twisted.internet.threads").deferToThread(desk.wait).addCallback(lambda _: rounds.begin())

    run(place, joined)


def subscriber(desk: Desk, place: Place) -> None:
    """One session."""
    take = desk.taker(0)

    def asked(text: str) -> str:
        request = decode(text)
        take(request)
        return encode(answerTo(request)).decode()

    run(place, lambda session: session.register(asked, PROCEDURE).addCallback(lambda _: desk.ready()))
