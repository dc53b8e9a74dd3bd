"""Plain Foolscap: callRemote with a dict to a dispatcher, which makes a callRemote of it to the node that answers."""

from __future__ import annotations

from typing import Any

import msgspec

from benchmarks.desk import Desk
from benchmarks.peers import Place, Server, load, pythonServer
from benchmarks.peers.foolscap import DEBIAN, FURL, PYTHON, TITLE, makeTub, reactor, serveReference
from benchmarks.work import Event
from nodeset.cli.bench.rounds import Rounds, answerTo

__all__ = ["DEBIAN", "PACE", "PYTHON", "SETTINGS", "TITLE", "publisher", "serveHere", "server", "subscriber"]

SETTINGS = "callRemote with a dict, through a dispatcher that does the same, TLS"
PACE = {1: 600, 100: 1_000}

asDict = msgspec.structs.asdict


def server(place: Place) -> Server:
    """A Tub that passes calls on."""
    return Server([pythonServer("foolscap", place, "call")])


def serveHere(place: Place) -> None:
    """Pass every call on to the one that answers."""
    from foolscap.api import Referenceable

    class Relay(Referenceable):
        """What both sides call."""

        callee: Any = None

        def remote_answer(self, who: Any) -> None:
            """Keep who answers."""
            self.callee = who

        def remote_countUp(self, request: dict[str, Any]) -> Any:
            """Pass it on, its answer back."""
            return self.callee.callRemote("countUp", request)

    serveReference(place, Relay())


def _link(place: Place, linked: Any) -> None:
    tub = makeTub()
    furl = (place.path / FURL).read_text()
    reactor().callWhenRunning(lambda: tub.getReference(furl).addCallback(linked))
    reactor().run()


def publisher(desk: Desk, place: Place) -> None:
    """One Tub."""

    def linked(relay: Any) -> None:
        rounds: Rounds

        def answered(found: dict[str, Any]) -> None:
            rounds.take(Event(**found))

        def ask(event: Event) -> None:
            relay.callRemote("countUp", asDict(event)).addCallback(answered).addErrback(rounds.fail)

        rounds = Rounds(desk.work, ask, lambda: desk.answered(rounds))
        desk.ready()
        load("twisted.internet.threads").deferToThread(desk.wait).addCallback(lambda _: rounds.begin())

    _link(place, linked)


def subscriber(desk: Desk, place: Place) -> None:
    """One Tub."""
    from foolscap.api import Referenceable

    take = desk.taker(0)

    class Callee(Referenceable):
        """What the dispatcher calls."""

        def remote_countUp(self, request: dict[str, Any]) -> dict[str, Any]:
            """The method."""
            event = Event(**request)
            take(event)
            return asDict(answerTo(event))

    def linked(relay: Any) -> None:
        relay.callRemote("answer", Callee()).addCallback(lambda _: desk.ready())

    _link(place, linked)
