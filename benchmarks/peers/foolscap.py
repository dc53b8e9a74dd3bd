"""Plain Foolscap: what a node costs that is a Tub with one reference."""

from __future__ import annotations

from typing import Any

from benchmarks.desk import Desk
from benchmarks.peers import Place, Server, load, pythonServer

TITLE = "plain Foolscap"
SETTINGS = ""
PACE = 1_000
DEBIAN = ("", "")
PYTHON: tuple[str, ...] = ()

AT_ONCE = 8
FURL = "served.furl"


def server(place: Place) -> Server:
    """A Tub that keeps the references it is given."""
    return Server([pythonServer("foolscap", place)])


def makeTub() -> Any:
    """A Tub that runs."""
    # Our kind of certificate: Foolscap's own takes a hundred times as long to make.
    tub = load("foolscap.api").Tub(certData=load("nodeset.transport.certificate").createCertificate())
    tub.startService()
    return tub


def reactor() -> Any:
    """Twisted's."""
    return load("twisted.internet.reactor")


def serveHere(place: Place) -> None:
    """Keep every caller's reference until it is gone."""
    from foolscap.api import Referenceable

    kept = []

    class Register(Referenceable):
        """What subscribers call."""

        def remote_subscribe(self, who: Any) -> None:
            """Keep a reference."""
            kept.append(who)

    serveReference(place, Register())


def serveReference(place: Place, reference: Any) -> None:
    """Let the tubs of this place find it; run the reactor."""
    tub = makeTub()
    tub.listenOn(f"tcp:{place.port}:interface=127.0.0.1")
    tub.setLocation(f"127.0.0.1:{place.port}")
    furl = tub.registerReference(reference)
    path = place.path / FURL
    path.touch(mode=0o600)
    path.write_text(furl)
    reactor().run()


def publisher(desk: Desk, place: Place) -> None:
    """Its events are not compared: it has none."""


def subscriber(desk: Desk, place: Place) -> None:
    """Its events are not compared: it has none."""


def holder(desk: Desk, place: Place) -> None:
    """Tubs that are each known to the server by one reference."""
    api, furl = load("foolscap.api"), (place.path / FURL).read_text()
    tubs = []

    def start(count: int, then: Any) -> None:
        waiting, left = list(range(count)), [count]

        def begin() -> None:
            if waiting:
                waiting.pop()
                tub = makeTub()
                tubs.append(tub)
                tub.getReference(furl).addCallback(
                    lambda register: register.callRemote("subscribe", api.Referenceable())
                ).addCallback(linked)

        def linked(_: object) -> None:
            left[0] -= 1
            if not left[0]:
                then()
            begin()

        for _ in range(AT_ONCE):
            begin()

    def ready() -> None:
        desk.ready()
        load("twisted.internet.threads").deferToThread(desk.wait).addCallback(
            lambda _: start(desk.work.count, lambda: desk.done(None))
        )

    reactor().callWhenRunning(start, desk.work.publishers, ready)
    reactor().run()
