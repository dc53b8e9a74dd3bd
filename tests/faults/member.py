"""A node that keeps a ledger, in a process of its own: `python -m tests.faults.member LEDGER OPTIONS`.

OPTIONS is a JSON object, see `Options`. The ledger gets `l TIME` for each link, `i STREAM` for the node's stream, `s TIME` when
all is subscribed; `p`, `r`, `g`, `h` lines as `tests.faults.tally` reads them; `n TIME NAME STREAM STATE WAS` for who is said
to be there; `done TIME` when all was published and answered. A line on stdin is an order:

    publish COUNT     so many more, `together` at a time
    rate PER_SECOND   publish for ever at this rate; 0 ends it
    stop              stop the node, then end the process
    exit COUNT        publish so many, then stop at once, then end the process
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import FileLogObserver, formatEventAsClassicLogText, globalLogBeginner
from twisted.protocols.basic import LineReceiver

from nodeset.cli.service import steady
from nodeset.core import message, node
from nodeset.errors import HandlerFailed, Receipt, Undelivered

reactor: Any = _reactor


class Noted(message.NodeMessage):
    """What is published: who published it, when, its number, some ballast."""

    by: str = ""
    number: int = 0
    at: float = 0.0
    hops: int = 0
    ballast: str = ""


class NotedOne(Noted):
    """The same, for one of those that subscribe."""

    _delivery_mode = "one"


@attrs.define
class Options:
    """What a member does; `label` is the node's name if that is another one; `delay` is what its handler takes, in seconds;
    `echo` the event that its handler publishes, then awaits, while a message has `hops` left; `together` how many events wait
    for answers at a time, 0 for all;
    `steady` whether the reactor's timers follow the monotonic clock, as they do under our commands.
    """

    name: str
    label: str = ""
    subscribe: str = ""
    policy: str = "block"
    max_events: int = 10_000
    delay: float = 0.0
    quiet: bool = False
    event: str = ""
    echo: str = ""
    hops: int = 0
    mode: str = "all"
    level: str = "delivered"
    timeout: float | None = 120.0
    size: int = 0
    steady: bool = True
    together: int = 0


class Member(node.Node):
    """The node."""

    autosubscribe = False

    def __init__(self, options: Options, ledger: Any) -> None:
        super().__init__(name=options.label or options.name)
        self.options, self.ledger = options, ledger
        self.number = self.open = 0
        self.kind = NotedOne if options.mode == "one" else Noted
        self.counts = [0, 0]

    def write(self, *words: object) -> None:
        """A line for the ledger."""
        self.ledger.write(" ".join(map(str, words)) + "\n")

    def _opened(self) -> None:
        super()._opened()
        if self._peer is not None:
            self.write("i", self._peer.stream)
        self.write("l", time.monotonic())

    def onEvent(self, event: str, msg: Any) -> Any:
        """Write it down, take the time that it takes."""
        if event.startswith("nodeset.node."):
            self.write("n", time.monotonic(), msg.name, msg.stream, msg.state, msg.was or "-")
            return None
        if not self.options.quiet:
            self.write("g", msg.by, msg.number, time.monotonic(), msg.at)
        self.counts[0] += 1
        if self.options.echo and msg.hops:
            return self.publishOne(self.options.echo, msg.hops - 1)
        if self.options.delay:
            return deferLater(reactor, self.options.delay, self.write, "h", msg.by, msg.number, time.monotonic(), msg.at)
        return None

    def noted(self, answer: Deferred[Receipt], number: int) -> Deferred[None]:
        """Write down what becomes of an event."""
        self.write("p", self.name, number, time.monotonic())

        def over(result: Any) -> None:
            error = getattr(result, "value", None)
            receipt = result if isinstance(result, Receipt) else Receipt(0, 0, 0)
            if isinstance(error, (Undelivered, HandlerFailed)):
                receipt = error.receipt
            word = type(error).__name__ if error is not None else "ok"
            self.write("r", self.name, number, time.monotonic(), word, *receipt)

        return answer.addBoth(over)

    def publishOne(self, event: str = "", hops: int | None = None) -> Deferred[None]:
        """Publish the next one."""
        self.number += 1
        options = self.options
        answer = self.publish(
            event or options.event,
            self.kind,
            level=options.level,
            timeout=options.timeout,
            by=self.name,
            number=self.number,
            at=time.monotonic(),
            hops=options.hops if hops is None else hops,
            ballast="x" * options.size,
        )
        return self.noted(answer, self.number)

    async def publishSome(self, count: int) -> None:
        """Publish `count` more; fires when all are answered."""
        together = self.options.together or count
        for start in range(0, count, together):
            for answer in [self.publishOne() for _ in range(min(together, count - start))]:
                await answer
        self.write("done", time.monotonic())


class Orders(LineReceiver):
    """Obeys what comes on stdin."""

    delimiter = b"\n"

    def __init__(self, member: Member) -> None:
        self.member = member
        self._rate = 0.0
        self._owed = self._last = 0.0
        self._beat = LoopingCall(self._tick)

    def lineReceived(self, line: bytes) -> None:
        """An order."""
        word, _blank, rest = line.decode("ascii").partition(" ")
        getattr(self, f"order_{word}")(rest)

    def order_publish(self, count: str) -> None:
        Deferred.fromCoroutine(self.member.publishSome(int(count)))

    def order_rate(self, rate: str) -> None:
        self._rate, self._owed, self._last = float(rate), 0.0, time.monotonic()
        if self._rate and not self._beat.running:
            self._beat.start(0.01)
        elif not self._rate and self._beat.running:
            self._beat.stop()

    def _tick(self) -> None:
        now = time.monotonic()
        # Stopped ourselves, we do not make up for more than a second.
        self._owed += min(1.0, now - self._last) * self._rate
        self._last = now
        while self._owed >= 1:
            self._owed -= 1
            self.member.publishOne()

    def order_stop(self, rest: str) -> None:
        self.order_rate("0")
        self.member.stopService().addBoth(lambda stopped: reactor.stop())

    def order_exit(self, count: str) -> None:
        for _ in range(int(count)):
            self.member.publishOne()
        self.order_stop("")

    def connectionLost(self, reason: Any = None) -> None:
        """Whoever started us is gone."""
        if reactor.running:
            self.order_stop("")


def main() -> None:
    """Run until told to stop."""
    options = Options(**json.loads(sys.argv[2]))
    globalLogBeginner.beginLoggingTo(
        [FileLogObserver(sys.stderr, formatEventAsClassicLogText)], discardBuffer=True, redirectStandardIO=False
    )
    if options.steady:
        steady(reactor)
    with Path(sys.argv[1]).open("a", buffering=1, encoding="ascii") as ledger:
        member = Member(options, ledger)
        subscribed = succeed(True)
        if options.subscribe:
            subscribed = member.subscribe(options.subscribe, policy=options.policy, max_events=options.max_events)
        subscribed.addCallback(lambda done: member.start()).addCallback(lambda linked: member.write("s", time.monotonic()))
        member.startService()
        StandardIO(Orders(member))
        reactor.run()


if __name__ == "__main__":
    main()
