"""Calls of NodeSet by its public API: `@expose`, `Node.call`, over TLS."""

from __future__ import annotations

from typing import Any

import msgspec

from benchmarks.desk import Desk
from benchmarks.peers import Place, load
from benchmarks.peers.nodeset import DEBIAN, PYTHON, TITLE, prepare, runNodes, serveHere, server
from benchmarks.work import METHOD, Event
from nodeset.cli.bench.rounds import Rounds, answerTo

__all__ = ["DEBIAN", "PACE", "PYTHON", "SETTINGS", "TITLE", "publisher", "serveHere", "server", "subscriber"]

SETTINGS = ""
PACE = {1: 1_500, 100: 30_000}

CALLEE = "callee"

asDict = msgspec.structs.asdict


def publisher(desk: Desk, place: Place) -> None:
    """One node."""
    import nodeset

    prepare(place)
    node = nodeset.Node(name="caller")
    call = node.call

    def answered(found: dict[str, Any]) -> None:
        rounds.take(Event(**found))

    def ask(event: Event) -> None:
        call(CALLEE, METHOD, event.number, event.text, event.stamp, event.source, event.note).addCallbacks(
            answered, rounds.fail
        )

    rounds = Rounds(desk.work, ask, lambda: desk.answered(rounds))

    def ready() -> None:
        desk.ready()
        load("twisted.internet.threads").deferToThread(desk.wait).addCallback(lambda _: rounds.begin())

    runNodes([node], ready)


def subscriber(desk: Desk, place: Place) -> None:
    """One node with one exposed method."""
    import nodeset

    prepare(place)
    take = desk.taker(0)

    class Callee(nodeset.Node):
        """Answers."""

        @nodeset.expose
        def countUp(self, number: int, text: str, stamp: float, source: int, note: str) -> dict[str, Any]:
            """The method."""
            event = Event(number, text, stamp, source, note)
            take(event)
            return asDict(answerTo(event))

    runNodes([Callee(name=CALLEE)], desk.ready)
