"""A dispatcher whose reactor is watched: `python -m tests.faults.watched LEDGER OPTIONS...`.

Every 0.5 s the ledger gets `lag SECONDS`: how late a timer of 20 ms was at worst since the last line.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path


def main() -> None:
    """Run the dispatcher."""
    from twisted.internet import reactor
    from twisted.internet.task import LoopingCall

    from nodeset.cli import dispatch

    ledger = Path(sys.argv[1]).open("a", buffering=1, encoding="ascii")  # noqa: SIM115  # open until the end
    state = [time.monotonic(), 0.0, 0.0]

    def look() -> None:
        now = time.monotonic()
        state[1] = max(state[1], now - state[0] - 0.02)
        state[0] = now
        if now - state[2] > 0.5:
            ledger.write(f"lag {state[1]:.4f}\n")
            state[1], state[2] = 0.0, now

    def begin() -> None:
        state[0] = time.monotonic()
        LoopingCall(look).start(0.02)

    # What runs first in the loop: the dispatcher sets the reactor's clock before that.
    reactor.callWhenRunning(begin)
    sys.argv = ["nodeset-dispatcher", *sys.argv[2:]]
    dispatch.main()


if __name__ == "__main__":
    main()
