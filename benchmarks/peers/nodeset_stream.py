"""Streams of NodeSet by its public API: `StreamNode`, chunks straight from node to node, over TLS."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from benchmarks.chunks import CHUNKS
from benchmarks.desk import Desk
from benchmarks.peers import Place, load
from benchmarks.peers.nodeset import DEBIAN, PYTHON, TITLE, giveUp, prepare, runNodes, serveHere, server
from benchmarks.work import EVENT

__all__ = ["DEBIAN", "PACE", "PYTHON", "SETTINGS", "TITLE", "publisher", "serveHere", "server", "subscriber"]

SETTINGS = "streams go past the dispatcher, which introduces the two nodes"
#: Chunks of 64 KiB a second.
PACE = 12_000


def publisher(desk: Desk, place: Place) -> None:
    """One node, which writes its next chunk when there is room."""
    import nodeset

    prepare(place)
    node = nodeset.StreamNode(name="pusher")

    async def push(stream: Any) -> None:
        wrong = "" if [peer.direct for peer in stream.peers] == [True] else f"its peers are {stream.peers}"
        for number in range(desk.work.count):
            await stream.write(CHUNKS[number % len(CHUNKS)])
        desk.done(None, wrong)

    def opened(stream: Any) -> None:
        desk.ready()
        load("twisted.internet.threads").deferToThread(desk.wait).addCallback(
            lambda _: Deferred.fromCoroutine(push(stream))
        ).addErrback(lambda failure: desk.done(None, failure.getErrorMessage()))

    runNodes([node], lambda: node.stream(EVENT).addCallbacks(opened, partial(giveUp, node)))


def subscriber(desk: Desk, place: Place) -> None:
    """One node, which listens for the other."""
    import nodeset

    prepare(place)
    take = desk.taker(0)

    class Taker(nodeset.StreamNode):
        """Hands over what comes."""

        def onStream(self, name: str, data: bytes) -> None:
            """A chunk."""
            take(data)

    node = Taker(name="taker", port=place.other_port)
    runNodes([node], lambda: node.subscribe(EVENT).addCallback(lambda _: desk.ready()))
