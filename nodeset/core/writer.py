"""Frames gathered into batches, sent once a reactor turn.

What is written in one turn leaves together, in order. Batches stay near `TARGET`, so that the other side begins while we still
write; a large event gets one of its own.

Credit for one batch waits for company, the heartbeat's at the latest: its receiver has most of its window left, and would be
woken for nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from nodeset.core.batch import (
    TARGET,
    WINDOW,
    Ask,
    Asked,
    Bye,
    Confirm,
    Done,
    Events,
    Frame,
    Held,
    Keep,
    Sub,
    Subbed,
    Took,
    Unsub,
    Want,
    pack,
)
from nodeset.core.calls.lane import LaneFrame
from nodeset.core.link import Link

__all__ = ["TARGET", "BatchWriter"]

#: Frames after which a batch is closed, well under what a receiver accepts.
_MOST_FRAMES = 2048
#: What a frame costs beside what `_weigh` looks at: numbers, markers.
_OVERHEAD = 64
#: The same for cancels with their like, which name a stream.
_NAMED = 320
#: Batches for which credit is due that are worth a batch of their own, half of what may be under way.
_WORTH_IT = WINDOW // 2


def _weigh(frame: Frame) -> int:
    """At least the bytes that `frame` takes when packed, so that no batch is over its limit; a character takes four at most."""
    match frame:
        case Events():
            return frame.weight
        case Confirm() | Done():
            return _OVERHEAD + 19 * len(frame.ranges) + 4 * len(frame.reason)
        case Subbed():
            return _OVERHEAD + 4 * len(frame.pattern) + 4 * len(frame.refused)
        case Held():
            return _OVERHEAD + 19 * (len(frame.begun) + len(frame.unbegun)) + len(frame.stream)
        case Sub() | Unsub():
            return _OVERHEAD + 4 * len(frame.pattern)
        case Keep():
            return _OVERHEAD + 4 * len(frame.event)
        case Want():
            return _OVERHEAD + 4 * (len(frame.pattern) + len(frame.to))
        case Bye():
            return _OVERHEAD + 4 * len(frame.reason)
        case Ask():
            return 5 * _OVERHEAD + 19 * len(frame.ranges)
        case Asked():
            return _OVERHEAD + sum(16 + 4 * sum(map(len, callee)) for callee in frame.callees)
        case _:
            return _NAMED


class BatchWriter:
    """The sending side of a link.

    :param source: called at the end of a turn for the events of one batch, again and again until it has none; what is made late
        is made of more.
    :param calls: the same for calls, answers, items, with what they weigh.
    :param counters: `bytes_out` counts what is sent.
    """

    __slots__ = ("_calls", "_clock", "_counters", "_flushing", "_frames", "_link", "_source", "_taken", "_taken_calls")

    def __init__(
        self,
        clock: IReactorTime,
        source: Callable[[], list[Events]] = list,
        calls: Callable[[], tuple[list[LaneFrame], int]] = lambda: ([], 0),
        counters: Counter[str] | None = None,
    ) -> None:
        self._counters = Counter() if counters is None else counters
        self._clock = clock
        self._source, self._calls = source, calls
        self._taken_calls = 0
        self._frames: list[Frame] = []
        self._taken = 0
        self._link: Link | None = None
        self._flushing: IDelayedCall | None = None

    def attach(self, link: Link) -> None:
        """Send to `link` from here on; what was written to an earlier one and not sent is forgotten."""
        self.detach()
        self._link = link
        self.poke()

    def detach(self) -> None:
        """There is no link: what is written is dropped, since it was about the link that was."""
        self._link = None
        self._frames.clear()
        self._taken = self._taken_calls = 0
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None

    def write(self, frame: Frame) -> None:
        """Send `frame` at the end of this turn; credit for a single batch with the next other frame."""
        if self._link is None:
            return
        if type(frame) is Took:
            self._taken += frame.batches
            self._taken_calls += frame.calls
            if self._taken >= _WORTH_IT or self._taken_calls >= _WORTH_IT:
                self.poke()
        else:
            self._frames.append(frame)
            self.poke()

    def poke(self) -> None:
        """Ask the source for events at the end of this turn."""
        if self._flushing is None and self._link is not None:
            self._flushing = self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        self.flush()

    def flush(self) -> None:
        """Send what there is now."""
        link = self._link
        if link is None:
            return
        frames, self._frames = self._frames, []
        batch: list[Frame] = []
        size = 0
        if self._taken or self._taken_calls:
            batch, size = [Took(self._taken, self._taken_calls)], _OVERHEAD
            self._taken = self._taken_calls = 0
        for frame in frames:
            weight = _weigh(frame)
            if batch and (size + weight > TARGET or len(batch) == _MOST_FRAMES):
                self._send(link, pack(batch))
                batch, size = [], 0
            batch.append(frame)
            size += weight
        calls, weight = self._calls()
        while calls:
            batch += calls
            size += weight
            calls, weight = self._calls()
            # Credit is by the batch. And an event may be as large as all that one has room for beside little else.
            if calls or size > TARGET:
                self._send(link, pack(batch))
                batch, size = [], 0
        while (events := self._source()) or batch:
            self._send(link, pack([*batch, *events]))
            batch = []

    def _send(self, link: Link, batch: bytes) -> None:
        self._counters["bytes_out"] += len(batch)
        link.send(batch)
