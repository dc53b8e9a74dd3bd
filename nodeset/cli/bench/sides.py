"""The two sides of a work, as nodes do it: who publishes or calls, who takes or answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet import reactor as _reactor
from twisted.internet.defer import FirstError, gatherResults
from twisted.python.failure import Failure

import nodeset
from nodeset.cli.bench.event import METHOD, Event, makeNote
from nodeset.cli.bench.ledger import Ledger
from nodeset.cli.bench.lines import say
from nodeset.cli.bench.pacing import Pace
from nodeset.cli.bench.pump import Pump
from nodeset.cli.bench.rounds import Rounds, answerTo
from nodeset.cli.bench.sending import eachByItself, keepPace, makeMessage, manyAtOnce
from nodeset.cli.bench.task import ENDLESS, Task, batchOf, windowOf
from nodeset.errors import Refused

__all__ = ["Side", "describe", "makeSide"]

reactor: Any = _reactor


class Side:
    """What this process does for one task."""

    nodes: list[Any]

    def __init__(self, task: Task) -> None:
        self.task = task
        self.nodes = []

    @property
    def progress(self) -> int:
        """How many are through."""
        return 0

    def go(self) -> None:
        """Begin."""

    def expect(self, each: list[int]) -> None:
        """So many are to come from each publisher."""

    def tally(self) -> list[dict[str, Any]]:
        """What came."""
        return []

    async def set(self) -> None:
        """Link the nodes."""
        for node in self.nodes:
            linked = node.start()
            node.startService()
            await linked

    async def clear(self) -> None:
        """Let the nodes leave."""
        for node in self.nodes:
            await node.stopService()


class _Taker(Side):
    """Subscribes."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._waiting = task.nodes
        message = makeMessage()

        class Taking(nodeset.Node):
            """Hands each event to its ledger."""

            autosubscribe = False
            take: Callable[[Any], None]

            @nodeset.catch(task.name, message)
            def arrived(self, msg: Any) -> None:
                """An event."""
                self.take(msg)

        self._ledgers = [
            Ledger(ENDLESS, task.publishers, True, task.kind == "paced", time.monotonic, self._full) for _ in range(task.nodes)
        ]
        for ledger in self._ledgers:
            node = Taking(name="bench-taker")
            node.take = ledger.take
            self.nodes.append(node)

    @property
    def progress(self) -> int:
        """How many have come."""
        return sum(ledger.got for ledger in self._ledgers)

    async def set(self) -> None:
        """Subscribe as well; what is refused is known only then."""
        subscribed = gatherResults([node.subscribe(self.task.name) for node in self.nodes], consumeErrors=True)
        await super().set()
        try:
            await subscribed
        except FirstError as error:
            raise (error.subFailure.value or error) from None

    def expect(self, each: list[int]) -> None:
        """So many are to come from each publisher."""
        for ledger in self._ledgers:
            ledger.expect(each)

    def _full(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            say("full")

    def tally(self) -> list[dict[str, Any]]:
        """What came."""
        return [ledger.summary() for ledger in self._ledgers]


class _Answerer(Side):
    """Answers calls."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        asdict = msgspec.structs.asdict
        side = self
        self.answered = 0

        class Answering(nodeset.Node):
            """Answers."""

            @nodeset.expose
            def countUp(self, number: int, text: str, stamp: float, source: int, note: str) -> dict[str, Any]:
                """The method."""
                side.answered += 1
                return asdict(answerTo(Event(number, text, stamp, source, note)))

        self.nodes = [Answering(name=task.name) for _ in range(task.nodes)]

    @property
    def progress(self) -> int:
        """How many were answered."""
        return self.answered

    def tally(self) -> list[dict[str, Any]]:
        """How many were answered."""
        return [{"got": self.answered, "wrong": ""}]


class _Publisher(Side):
    """Publishes."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        node = nodeset.Node(name="bench-publisher")
        self.nodes = [node]
        self._start = 0.0
        self._refused = False
        note = makeNote(task.size)
        many = task.kind == "many"
        self._scale = batchOf(task.size) if many else 1
        message = makeMessage()
        if many:
            send = manyAtOnce(node, task.name, message, task.source, note, self._scale)
        else:
            send = eachByItself(node, task.name, message, task.source, note)

        def guarded(first: int, last: int, confirm: Any, fail: Any) -> None:
            def failed(failure: Failure) -> None:
                self._refused = self._refused or failure.check(Refused) is not None
                fail(failure)
                self._pump.finish()

            try:
                send(first, last, confirm, failed)
            except nodeset.NodeSetError as error:
                say("failed", describe(error))

        count = -(-task.count // self._scale) if task.count else ENDLESS
        if task.kind == "paced" and not task.count:
            count = max(1, int(task.rate * task.seconds))
        self._pace = Pace(task.rate, count)
        window = max(2, windowOf(task.size) // self._scale)
        self._pump = Pump(guarded, count, window, task.matches * self._scale, self._through, reactor.callLater)

    @property
    def progress(self) -> int:
        """How many are confirmed."""
        return self._pump.confirmed * self._scale

    def go(self) -> None:
        """Publish until the count is reached, or the time is over."""
        self._start = time.monotonic()
        if self.task.kind == "paced":
            keepPace(self._pump, self._pace, reactor.callLater)
            return
        if not self.task.count:
            reactor.callLater(self.task.seconds, self._pump.finish)
        self._pump.turn()

    def _through(self) -> None:
        sent, wrong = self._pump.sent * self._scale, str(self._pump.wrong or "")
        times = {"start": self._start, "end": time.monotonic()}
        say("done", {**times, "sent": sent, "confirmed": self.progress, "wrong": wrong, "refused": self._refused})


class _Caller(Side):
    """Calls."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        node = nodeset.Node(name="bench-caller")
        self.nodes = [node]
        self._start = 0.0
        self._refused = False
        self._over = False
        call, target = node.call, task.name

        def answered(found: dict[str, Any]) -> None:
            try:
                rounds.take(Event(**found))
            except (TypeError, AttributeError):
                rounds.fail(f"a wrong answer: {found!r:.200}")

        def failed(failure: Failure) -> None:
            self._refused = self._refused or failure.check(Refused) is not None
            rounds.fail(failure.getErrorMessage())

        def ask(event: Event) -> None:
            call(target, METHOD, event.number, event.text, event.stamp, event.source, event.note).addCallbacks(answered, failed)

        counted = msgspec.structs.replace(task, count=task.count or ENDLESS)
        self._rounds = rounds = Rounds(counted, ask, self._through, makeNote(task.size), task.source)

    @property
    def progress(self) -> int:
        """How many were answered."""
        return self._rounds.answered

    def go(self) -> None:
        """Call until the count is reached, or the time is over."""
        self._start = time.monotonic()
        if not self.task.count:
            reactor.callLater(self.task.seconds, self._rounds.finish)
        self._rounds.begin()

    def _through(self) -> None:
        if self._over:
            return
        self._over = True
        rounds, times = self._rounds, {"start": self._start, "end": time.monotonic()}
        told = {**times, "sent": rounds.answered, "confirmed": rounds.answered, "wrong": rounds.wrong}
        say("done", {**told, "refused": self._refused, **(rounds.figures() if rounds.answered else {})})


def makeSide(task: Task) -> Side:
    """The side that `task` names, with its nodes, which are not started yet."""
    if task.kind == "call":
        return _Caller(task) if task.side == "publish" else _Answerer(task)
    return _Publisher(task) if task.side == "publish" else _Taker(task)


def describe(error: BaseException) -> dict[str, Any]:
    """An error, as it is told."""
    return {"reason": str(error) or type(error).__name__, "refused": isinstance(error, Refused)}
