"""The publisher of the demo: python -m examples.demo_publisher LEDGER TOTAL.

Waits for a line on stdin, then publishes; writes the number of each event that was confirmed to its ledger. Tells on stdout
`ready`, `done`, or `error TEXT`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.protocols.basic import LineReceiver

from examples.demo_subscriber import Counted, say
from nodeset.core import node, utils

#: Events that wait for their receipts at a time.
TOGETHER = 1000


class Starter(LineReceiver):
    """Fires `go` at the first line."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.go: Deferred[None] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        """The demo says go."""
        if not self.go.called:
            self.go.callback(None)


async def publishAll(member: node.Node, go: Deferred[None], path: Path, total: int) -> None:
    """Publish when told to; the ledger gets what every subscriber is known to have got."""
    await member.start()
    say("ready")
    await go
    with path.open("w", encoding="ascii") as ledger:
        for first in range(1, total + 1, TOGETHER):
            numbers = range(first, min(first + TOGETHER, total + 1))
            receipts = await gatherResults(
                [member.publish("demo.counted", Counted, number=number, text=f"event {number}") for number in numbers],
                consumeErrors=True,
            )
            for number, receipt in zip(numbers, receipts, strict=True):
                if receipt.dropped or receipt.matched != receipt.delivered:
                    say(f"error event {number}: {receipt}")
                ledger.write(f"{number}\n")
    say("done")


def main() -> None:
    """Run until SIGTERM."""
    path, total = Path(sys.argv[1]), int(sys.argv[2])
    from twisted.internet import reactor as installed
    from twisted.internet.stdio import StandardIO

    reactor: Any = installed
    utils.setDefaultOptions()
    member = node.Node(name="publisher")
    starter = Starter()
    StandardIO(starter)
    done = Deferred.fromCoroutine(publishAll(member, starter.go, path, total))
    done.addErrback(lambda failure: failure.trap(CancelledError) and None)
    done.addErrback(lambda failure: say(f"error {failure.getErrorMessage()}"))
    member.startService()
    # Nothing more is published then: a node that is busy has much to finish before it stops.
    reactor.addSystemEventTrigger("before", "shutdown", done.cancel)
    reactor.addSystemEventTrigger("before", "shutdown", member.stopService)
    reactor.run()


if __name__ == "__main__":
    main()
