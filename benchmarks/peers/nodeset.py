"""NodeSet by its public API: TLS, level `delivered`, a receipt for every event."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.desk import Desk
from benchmarks.peers import Place, Server, load
from benchmarks.work import BATCH, EVENT, FILL, MIXED, NAMES, TEXT, Work, drawSizes
from nodeset.cli.bench.pacing import Pace
from nodeset.cli.bench.pump import Pump
from nodeset.cli.bench.sending import Send, eachByItself, keepPace, makeMessage, manyAtOnce

TITLE = "NodeSet"
SETTINGS = ""
PACE = 150_000
DEBIAN = ("", "")
PYTHON: tuple[str, ...] = ()

#: Nodes that connect at a time.
AT_ONCE = 8


def server(place: Place) -> Server:
    """The dispatcher, as the README starts it."""
    command = [sys.executable, "-m", "nodeset", "dispatcher", "-n", "--listen", f"localhost:{place.port}"]
    return Server([command], environ(place))


def environ(place: Place) -> dict[str, str]:
    """Where state is kept, where the dispatcher is found."""
    return {"NODESET_HOME": str(place.path / "state"), "NODESET_DISPATCHER": f"pbu://localhost:{place.port}/dispatcher"}


def serveHere(place: Place) -> None:
    """Not used: the dispatcher has a command."""


def later(seconds: float, call: Callable[[], object]) -> None:
    """Call it in a later turn of the reactor."""
    _reactor().callLater(seconds, call)


def _reactor() -> Any:
    return load("twisted.internet.reactor")


def _messages(work: Work) -> Any:
    return makeMessage("one" if work.kind == "one" else "all")


def runNodes(nodes: list[Any], then: Callable[[], object]) -> None:
    """Run the reactor with these nodes; `then` is called when all are linked."""
    _start(nodes, then)
    _reactor().run()


def _start(nodes: list[Any], then: Callable[[], object]) -> None:
    """Start the nodes, few at a time; call `then` when all are linked."""
    waiting = iter(nodes)
    left = [len(nodes)]

    def begin() -> None:
        node = next(waiting, None)
        if node is not None:
            node.start().addCallbacks(linked, partial(giveUp, node))
            node.startService()

    def linked(node: Any) -> None:
        left[0] -= 1
        if not left[0]:
            then()
        begin()

    for _ in range(AT_ONCE):
        begin()


def giveUp(node: Any, failure: Any) -> None:
    """Say what has failed, end the process."""
    sys.stdout.write(f"error {failure.getErrorMessage()}\n")
    sys.stdout.flush()
    os._exit(1)


def prepare(place: Place) -> None:
    """Look where the place says, with options as the commands set them."""
    os.environ.update(environ(place))
    load("nodeset.core.utils").setDefaultOptions()


def _grant(work: Work) -> str | None:
    """The FURL with the grant that the nodes show; None for what they find by themselves."""
    if work.links < 2:
        return None
    rendezvous, settings = load("nodeset.transport.rendezvous"), load("nodeset.settings")
    grants: Any = load("nodeset.core.grants.chain")
    state = rendezvous.stateDirectory(os.environ, settings.current().state_dir)
    place, _slash, name = str(rendezvous.find(environ=os.environ, state_directory=state).read()).rpartition("/")
    for _ in range(work.links - 1):
        verbs = {"publish": [f"{MIXED}.*", EVENT], "subscribe": [f"{MIXED}.*", EVENT]}
        name = grants.narrow(name, grants.Caveat(os.urandom(8), **verbs, call=[], answer=[]))
    return f"{place}/{name}"


def publisher(desk: Desk, place: Place) -> None:
    """One node for each publisher, all in this process."""
    import nodeset

    prepare(place)
    work, message = desk.work, _messages(desk.work)
    furl = _grant(work)
    nodes = [nodeset.Node(name=f"publisher-{index}", dispatcher_url=furl) for index in range(work.publishers)]
    matches = 1 if work.kind == "one" else work.subscribers
    left, pumps = [len(nodes)], list[Pump]()

    def through() -> None:
        left[0] -= 1
        if not left[0]:
            desk.done(sum(pump.confirmed for pump in pumps) * scale, next((pump.wrong for pump in pumps if pump.wrong), ""))

    each = work.count // work.publishers
    scale = BATCH if work.kind == "many" else 1
    for source, node in enumerate(nodes):
        send = _sender(work, node, message, source)
        pumps.append(Pump(send, each // scale, max(2, work.window // scale), matches * scale, through, later))

    def go(_: object = None) -> None:
        for pump in pumps:
            if work.kind == "paced":
                keepPace(pump, Pace(work.rate, work.count), later)
            else:
                pump.turn()

    def ready() -> None:
        desk.ready()
        load("twisted.internet.threads").deferToThread(desk.wait).addCallback(go)

    runNodes(nodes, ready)


def _sender(work: Work, node: Any, message: Any, source: int) -> Send:
    if work.kind == "many":
        return manyAtOnce(node, EVENT, message, source)
    if work.kind != "mixed":
        return eachByItself(node, EVENT, message, source)
    publish, monotonic = node.publish, time.monotonic
    sizes = drawSizes(work.count)[source :: work.publishers]
    names = [f"{MIXED}.{index}" for index in range(NAMES)]

    def sendMixed(first: int, last: int, confirm: Any, fail: Any) -> None:
        for number in range(first, last):
            name, note = names[number % NAMES], FILL[: max(0, sizes[number] - 90)]
            publish(name, message, number=number, text=TEXT, stamp=monotonic(), source=source, note=note).addCallbacks(
                confirm, fail
            )

    return sendMixed


def subscriber(desk: Desk, place: Place) -> None:
    """One node for each subscriber, all in this process."""
    import nodeset

    prepare(place)
    message = _messages(desk.work)
    event = f"{MIXED}.*" if desk.work.kind == "mixed" else EVENT

    class Subscriber(nodeset.Node):
        """Hands each event to its taker."""

        take: Callable[[Any], None]

        @nodeset.catch(event, message)
        def arrived(self, msg: Any) -> None:
            """An event."""
            self.take(msg)

    furl = _grant(desk.work)
    nodes = [Subscriber(name=f"subscriber-{index}", dispatcher_url=furl) for index in range(desk.work.subscribers)]
    for index, node in enumerate(nodes):
        node.take = desk.taker(index)
    # What a node catches is subscribed to before it is linked.
    runNodes(nodes, desk.ready)


def holder(desk: Desk, place: Place) -> None:
    """Nodes that catch one event, which nobody publishes."""
    import nodeset

    prepare(place)

    class Idle(nodeset.Node):
        """Waits."""

        @nodeset.catch(EVENT)
        def arrived(self, msg: Any) -> None:
            """Never called."""

    def more() -> None:
        _start([Idle(name=f"more-{index}") for index in range(desk.work.count)], lambda: desk.done(None))

    def ready() -> None:
        desk.ready()
        load("twisted.internet.threads").deferToThread(desk.wait).addCallback(lambda _: more())

    runNodes([Idle(name=f"idle-{index}") for index in range(desk.work.publishers)], ready)
