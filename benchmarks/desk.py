"""How a process of a run talks with the one that started it, in lines.

    <- ready              it is connected, subscribed
    -> go                 begin
    <- done {...}         a publisher: all is sent, confirmed where the system confirms
    <- full               a subscriber: as many events as should have come
    -> end                a subscriber: say what came, leave
    <- tally [{...}]

The end of its stdin ends the process, so that nobody stays behind.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from benchmarks.chunks import Meter
from benchmarks.work import Work
from nodeset.cli.bench.ledger import Ledger
from nodeset.cli.bench.rounds import Rounds

__all__ = ["THRESHOLDS", "Desk"]

#: What NodeSet's service commands set, with gc.freeze() before it.
THRESHOLDS: Final = (50_000, 20, 100)


class Desk:
    """One side of the conversation: that of a publisher or subscriber.

    :param tuned: set the garbage collector as NodeSet's service commands do, once all is set up.
    """

    def __init__(self, work: Work, tuned: bool) -> None:
        self.work, self._tuned = work, tuned
        self._go = threading.Event()
        # Autobahn sends what is printed to its log, once it runs.
        self._out = sys.stdout
        self._start = 0.0
        self._waiting = 1 if work.kind == "one" else work.subscribers
        self._ledgers = [self._open() for _ in range(self._waiting)]
        threading.Thread(target=self._listen, daemon=True).start()

    def say(self, word: str, *values: Any) -> None:
        """Tell the other side."""
        self._out.write(" ".join([word, *map(json.dumps, values)]) + "\n")
        self._out.flush()

    def _open(self) -> Ledger | Meter:
        work = self.work
        if work.kind == "stream":
            return Meter(work.count, time.monotonic, self._finished)
        # Nobody promises an order of calls, nor of what several workers share.
        ordered = work.kind not in ("one", "call")
        return Ledger(work.count, work.publishers, ordered, work.kind == "paced", time.monotonic, self._finished)

    def taker(self, index: int) -> Callable[[Any], None]:
        """What the handler of a subscriber calls with each event, the method with each request, the reader of a stream with
        each piece; workers of one queue share one.
        """
        return self._ledgers[index % len(self._ledgers)].take

    def ready(self) -> None:
        """All is set up."""
        if self._tuned:
            gc.collect()
            gc.freeze()
            gc.set_threshold(*THRESHOLDS)
        self.say("ready")

    def wait(self) -> None:
        """Block this thread until told to go."""
        self._go.wait()
        self._start = time.monotonic()

    def done(self, confirmed: int | None, wrong: object = "", figures: dict[str, float] | None = None) -> None:
        """A publisher is through: how many events were confirmed (None where the system does not say), what went wrong."""
        times = {"start": self._start, "end": time.monotonic()}
        self.say("done", {**times, "confirmed": confirmed, "wrong": str(wrong or ""), **(figures or {})})

    def answered(self, rounds: Rounds) -> None:
        """A caller is through."""
        self.done(rounds.answered, rounds.wrong, rounds.figures())

    def stay(self) -> None:
        """Block this thread until the process is ended from outside."""
        threading.Event().wait()

    def _finished(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            self.say("full")

    def _listen(self) -> None:
        for line in sys.stdin:
            if line.strip() == "go":
                self._go.set()
            elif line.strip() == "end":
                self.say("tally", [ledger.summary() for ledger in self._ledgers])
                break
        os._exit(0)
