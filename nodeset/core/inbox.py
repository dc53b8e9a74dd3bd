"""What a node received that its handlers have not seen yet.

Events of one publisher come out in order, `concurrency` of them at a time; publishers take turns. What became of each goes back
as ranges, so that a burst is answered with one frame.
"""

from __future__ import annotations

from collections import deque

import attrs
import msgspec

from nodeset.core.batch import MAX_RANGES, Confirm, Events, Level, Mode, Outcome
from nodeset.core.ranges import addTo, merged, split

__all__ = ["Delivery", "Inbox"]


@attrs.define(eq=False)
class Delivery:
    """One event on its way to the handlers."""

    stream: str
    sequence: int
    event: str
    payload: bytes
    level: Level
    mode: Mode
    again: bool
    headers: msgspec.Raw


@attrs.define(eq=False)
class _Stream:
    """The runs of one publisher that wait, how far the first one was read, how many of its events are being handled."""

    runs: deque[Events] = attrs.field(factory=deque)
    index: int = 0
    offset: int = 0
    running: int = 0
    listed: bool = False


class Inbox:
    """The queue between a link and the handlers of a node.

    :param concurrency: events of one publisher that may be with the handlers at a time; 1 keeps their order to the end.
    """

    def __init__(self, concurrency: int = 1) -> None:
        self._concurrency = concurrency
        self._streams: dict[str, _Stream] = {}
        self._ready: deque[str] = deque()
        self._answers: dict[tuple[str, Outcome, str], list[tuple[int, int]]] = {}
        self._size = 0
        self._running = 0

    def __len__(self) -> int:
        """Events that wait for a handler."""
        return self._size

    @property
    def running(self) -> int:
        """Events that handlers work on."""
        return self._running

    def take(self, run: Events) -> None:
        """Queue the events of `run`."""
        stream = self._streams.setdefault(run.stream, _Stream())
        stream.runs.append(run)
        self._size += len(run.lengths)
        self._list(run.stream, stream)

    def _list(self, name: str, stream: _Stream) -> None:
        if not stream.listed and stream.runs and stream.running < self._concurrency:
            stream.listed = True
            self._ready.append(name)

    def next(self) -> Delivery | None:
        """The next event for the handlers, or None; tell `finished` when they are through with it."""
        if not self._ready:
            return None
        name = self._ready.popleft()
        stream = self._streams[name]
        stream.listed = False
        run = stream.runs[0]
        length = run.lengths[stream.index]
        payload = run.payloads[stream.offset : stream.offset + length]
        delivery = Delivery(name, run.first + stream.index, run.event, payload, run.level, run.mode, run.again, run.headers)
        stream.index += 1
        stream.offset += length
        if stream.index == len(run.lengths):
            stream.runs.popleft()
            stream.index = stream.offset = 0
        self._size -= 1
        stream.running += 1
        self._running += 1
        self._list(name, stream)
        return delivery

    def finished(self, delivery: Delivery) -> None:
        """The handlers are through with `delivery`."""
        stream = self._streams[delivery.stream]
        stream.running -= 1
        self._running -= 1
        if stream.runs:
            self._list(delivery.stream, stream)
        elif not stream.running:
            del self._streams[delivery.stream]

    def answer(self, delivery: Delivery, outcome: Outcome, reason: str = "") -> None:
        """Note what to tell the publisher; nothing for level `accepted`, which asks for no answer."""
        if delivery.level is not Level.ACCEPTED:
            ranges = self._answers.setdefault((delivery.stream, outcome, reason), [])
            addTo(ranges, delivery.sequence, delivery.sequence)

    def answers(self) -> list[Confirm]:
        """The answers since the last call, to be sent."""
        if not self._answers:
            return []
        answers, self._answers = self._answers, {}
        return [
            Confirm(stream, part, outcome, reason)
            for (stream, outcome, reason), ranges in answers.items()
            for part in split(merged(ranges), MAX_RANGES)  # several handlers at a time do not finish in order
        ]

    def forgetAnswers(self) -> None:
        """The link is lost: these answers have nowhere to go."""
        self._answers.clear()
