"""One subscriber of the demo: python -m examples.demo_subscriber LEDGER TOTAL.

Writes the number of each event to its ledger. Tells on stdout `ready`, `count N`, `event TEXT`, `done`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodeset.core import message, node, utils

if TYPE_CHECKING:
    from io import TextIOWrapper

#: After how many events to tell how far it is; how many of them to show.
COUNT_EVERY, SHOWN = 250, 4


class Counted(message.NodeMessage):
    """What the demo publishes."""

    number: int = 0
    text: str = ""


class Ledger(node.Node):
    """A node that writes down what it gets."""

    def __init__(self, ledger: TextIOWrapper, total: int, **about: Any) -> None:
        super().__init__(**about)
        self.ledger, self.total, self.count = ledger, total, 0

    @utils.catch("demo.counted")
    def keep(self, msg: Counted) -> None:
        """Write it down."""
        self.ledger.write(f"{msg.number}\n")
        self.count += 1
        if (self.count - 1) % max(1, self.total // SHOWN) == 0:
            say(f"event {msg.toJson()}")
        if self.count % COUNT_EVERY == 0:
            say(f"count {self.count}")
        if self.count == self.total:
            self.ledger.flush()
            say("done")


def say(line: str) -> None:
    """Tell the demo."""
    print(line, flush=True)


def main() -> None:
    """Run until SIGTERM."""
    path, total = Path(sys.argv[1]), int(sys.argv[2])
    from twisted.internet import reactor as installed

    reactor: Any = installed
    utils.setDefaultOptions()
    with path.open("w", encoding="ascii") as ledger:
        member = Ledger(ledger, total, name="subscriber")
        member.start().addCallbacks(lambda linked: say("ready"), lambda failure: say(f"error {failure.getErrorMessage()}"))
        member.startService()
        reactor.addSystemEventTrigger("before", "shutdown", member.stopService)
        reactor.run()


if __name__ == "__main__":
    # As `examples.demo_subscriber`, so that the message class is the publisher's own.
    from examples import demo_subscriber

    demo_subscriber.main()
