"""Many nodes in one process: `python -m tests.faults.crowd LEDGER FURLFILE NODES SUBSCRIPTIONS`.

The ledger gets `l NUMBER TIME` for each link, `s TIME` when all are linked for the first time. A line on stdin is an order:

    connect COUNT      open so many links, eight at a time, each closed again; then `connected TIME`
    churn COUNT        subscribe and unsubscribe so often; then `churned TIME`
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.stdio import StandardIO
from twisted.logger import LogPublisher, globalLogBeginner
from twisted.protocols.basic import LineReceiver

from nodeset.cli.service import steady
from nodeset.core import node

reactor: Any = _reactor


class One(node.Node):
    """One of many."""

    autosubscribe = False

    def __init__(self, crowd: Crowd, number: int) -> None:
        super().__init__(name=f"one{number}", dispatcher_url=crowd.furl)
        self.crowd, self.number = crowd, number

    def _opened(self) -> None:
        super()._opened()
        self.crowd.ledger.write(f"l {self.number} {time.monotonic()}\n")


class Crowd(LineReceiver):
    """All of them."""

    delimiter = b"\n"

    def __init__(self, ledger: Any, furl: str, count: int, subscriptions: int) -> None:
        self.ledger, self.furl = ledger, furl
        self.nodes = [One(self, number) for number in range(count)]
        self.subscriptions = subscriptions
        self.made = count

    async def begin(self) -> None:
        """Link them, 20 at a time."""
        for start in range(0, len(self.nodes), 20):
            group = self.nodes[start : start + 20]
            for one in group:
                for number in range(self.subscriptions):
                    one.subscribe(f"crowd.{one.number}.{number}")
            linked = [one.start() for one in group]
            for one in group:
                one.startService()
            await gatherResults(linked)
        self.ledger.write(f"s {time.monotonic()}\n")

    def lineReceived(self, line: bytes) -> None:
        """An order."""
        word, _blank, rest = line.decode("ascii").partition(" ")
        Deferred.fromCoroutine(getattr(self, word)(int(rest))).addErrback(
            lambda failure: print(failure.getTraceback(), flush=True)
        )

    async def connect(self, count: int) -> None:
        """Come and go."""
        await gatherResults([Deferred.fromCoroutine(self._comeAndGo(count // 8)) for _ in range(8)])
        self.ledger.write(f"connected {time.monotonic()}\n")

    async def _comeAndGo(self, count: int) -> None:
        for _ in range(count):
            self.made += 1
            one = One(self, self.made)
            linked = one.start()
            one.startService()
            await linked
            await one.stopService()

    async def churn(self, count: int) -> None:
        """Subscribe, unsubscribe."""
        for start in range(0, count, 200):
            one = self.nodes[start // 200 % len(self.nodes)]
            await gatherResults([one.subscribe(f"churn.{start}.{number}") for number in range(200)])
            await gatherResults([one.unsubscribe(f"churn.{start}.{number}") for number in range(200)])
        self.ledger.write(f"churned {time.monotonic()}\n")

    def connectionLost(self, reason: Any = None) -> None:
        """Whoever started us is gone."""
        if reactor.running:
            reactor.stop()


def main() -> None:
    """Run until killed."""
    globalLogBeginner.beginLoggingTo([LogPublisher()], discardBuffer=True, redirectStandardIO=False)
    steady(reactor)
    path, furl, count, subscriptions = sys.argv[1:]
    with Path(path).open("a", buffering=1, encoding="ascii") as ledger:
        crowd = Crowd(ledger, furl, int(count), int(subscriptions))
        StandardIO(crowd)
        Deferred.fromCoroutine(crowd.begin()).addErrback(lambda failure: print(failure.getTraceback(), flush=True))
        reactor.run()


if __name__ == "__main__":
    main()
