"""How a node of ours sends events when something is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from nodeset.cli.bench.event import BATCH, NOTE, TEXT
from nodeset.cli.bench.pacing import Pace
from nodeset.cli.bench.pump import Pump

__all__ = ["Send", "eachByItself", "keepPace", "makeMessage", "manyAtOnce"]

#: Sends the events of these numbers, from the first up to the last, with these callbacks for each receipt.
Send = Callable[[int, int, Any, Any], None]


def makeMessage(mode: str = "all") -> Any:
    """A message class of the five fields, for `all` that match or for `one` of them."""
    import nodeset

    class Event(nodeset.NodeMessage):
        """The five fields."""

        _delivery_mode = mode
        number: int
        text: str
        stamp: float
        source: int
        note: str

    return Event


def eachByItself(node: Any, event: str, message: Any, source: int, note: str = NOTE) -> Send:
    """A call of `publish` for each event."""
    publish, monotonic = node.publish, time.monotonic

    def send(first: int, last: int, confirm: Any, fail: Any) -> None:
        for number in range(first, last):
            publish(event, message, number=number, text=TEXT, stamp=monotonic(), source=source, note=note).addCallbacks(
                confirm, fail
            )

    return send


def manyAtOnce(node: Any, event: str, message: Any, source: int, note: str = NOTE, batch: int = BATCH) -> Send:
    """A call of `publishMany` for so many events; what is numbered, and confirmed, is the calls."""
    publishMany, monotonic = node.publishMany, time.monotonic

    def send(first: int, last: int, confirm: Any, fail: Any) -> None:
        for number in range(first * batch, last * batch, batch):
            items = [
                {"number": one, "text": TEXT, "stamp": monotonic(), "source": source, "note": note}
                for one in range(number, number + batch)
            ]
            publishMany(event, message, items).addCallbacks(confirm, fail)

    return send


def keepPace(pump: Pump, pace: Pace, later: Callable[[float, Callable[[], object]], object]) -> None:
    """Publish what is due, every millisecond."""
    start = time.monotonic()

    def tick() -> None:
        pump.publishUpTo(pace.due(time.monotonic() - start))
        if pump.sent < pace.count and not pump.wrong:
            later(0.001, tick)

    tick()
