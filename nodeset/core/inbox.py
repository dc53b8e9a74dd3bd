"""What a node received: the queue before its handlers, the memory of what came, the answers that are due.

Per stream it keeps the *set* of sequence numbers above the publisher's low mark, with outcomes: a resent event is answered from
it and not handled again. Events of one publisher come out in order, `concurrency` of them at a time; publishers take turns.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum

import attrs

from nodeset.core.batch import MAX_QUEUED, MAX_QUEUED_BYTES, MAX_RANGES, Confirm, Events, Level, Mode, Outcome
from nodeset.core.lifetime import endOf
from nodeset.core.meta import Meta
from nodeset.core.presence.census import LOCAL, Census
from nodeset.core.ranges import addTo, merged, split
from nodeset.core.spans import Spans

__all__ = ["SILENCE", "Delivery", "Inbox", "makeDelivery"]

#: Seconds after which a stream that says nothing, with nothing of it in hand, is forgotten (D6).
SILENCE = 900.0


class _State(IntEnum):
    QUEUED = 0
    BEGUN = 1
    OK = 2
    FAILED = 3
    REFUSED = 4
    EXPIRED = 5


_ANSWERS = {
    _State.OK: Outcome.OK,
    _State.FAILED: Outcome.FAILED,
    _State.REFUSED: Outcome.REFUSED,
    _State.EXPIRED: Outcome.EXPIRED,
}
_STATES = {outcome: state for state, outcome in _ANSWERS.items()}


class Delivery(Meta, frozen=True, gc=False):
    """One event on its way to the handlers; it becomes its message's `meta`."""

    payload: bytes = b""
    level: Level = Level.DELIVERED
    mode: Mode = Mode.ALL


def makeDelivery(run: Events, stream: str, index: int, payload: bytes) -> Delivery:
    """The event with this index in `run`, which is of `stream`."""
    return Delivery(run.event, stream, run.first + index, run.again, run.headers, run.by, payload, run.level, run.mode)


@attrs.define(eq=False)
class _Stream:
    """One publisher: its runs that wait, how far the first one was read, what is known of its events from `low` on."""

    runs: deque[Events] = attrs.field(factory=deque)
    index: int = 0
    offset: int = 0
    running: int = 0
    listed: bool = False
    low: int = 0
    high: int = 0
    heard: float = 0.0
    seen: Spans[tuple[Mode, _State]] = attrs.field(factory=Spans)


class Inbox:
    """Between a link and the handlers of a node. Times are seconds of a monotonic clock.

    :param concurrency: events of one publisher that may be with the handlers at a time; 1 keeps their order to the end.
    :param max_events: how many may be queued; a batch for which there is no room is parked.
    :param max_bytes: the same in bytes.
    :ivar census: hears what the dispatcher itself tells, in the place of the handlers.
    """

    def __init__(self, concurrency: int = 1, max_events: int = MAX_QUEUED, max_bytes: int = MAX_QUEUED_BYTES) -> None:
        self._concurrency, self._max_events, self._max_bytes = concurrency, max_events, max_bytes
        self.census = Census()
        self._streams: dict[str, _Stream] = {}
        self._ready: deque[str] = deque()
        self._parked: deque[list[Events]] = deque()
        self._answers: dict[tuple[str, Outcome, str], list[tuple[int, int]]] = {}
        self._size = self._bytes = self._running = 0

    def __len__(self) -> int:
        """Events that wait for a handler."""
        return self._size

    @property
    def waiting(self) -> bool:
        """Whether `next` would return something."""
        return any(self._streams[name].runs for name in self._ready)

    @property
    def running(self) -> int:
        """Events that handlers work on."""
        return self._running

    # -- what comes in

    def offer(self, batch: list[Events], now: float) -> int:
        """A batch came; returns how many batches were taken in, this one or parked ones: that much credit goes back."""
        for run in batch:
            if run.ttl:
                run.ttl = endOf(run.ttl, now)
        self._parked.append(batch)
        return self.unpark(now)

    def unpark(self, now: float) -> int:
        """Take in what was parked, as far as there is room; returns how many batches that was."""
        taken = 0
        while self._parked and self._hasRoom(self._parked[0]):
            for run in self._parked.popleft():
                if run.stream == self.census.stream:
                    self._hear(run, now)
                else:
                    self._take(run, now)
            taken += 1
        return taken

    def _hear(self, run: Events, now: float) -> None:
        """The dispatcher tells who is there: it is not told what handlers make of it."""
        if run.first:
            self._note(run.stream, Outcome.OK, "", run.first, run.last)
        for shown in self.census.hear(run):
            self._take(shown, now)

    def _hasRoom(self, batch: list[Events]) -> bool:
        held = self._size + self._running
        return not held or (
            held + sum(len(run.lengths) for run in batch) <= self._max_events
            and self._bytes + sum(len(run.payloads) for run in batch) <= self._max_bytes
        )

    def _take(self, run: Events, now: float) -> None:
        stream = self._streams.setdefault(run.stream, _Stream())
        stream.heard = now
        if run.low > stream.low:
            stream.low = run.low
            stream.seen.forgetBelow(run.low)
        if run.first > stream.seen.highest and run.first >= stream.low and run.first >= stream.high:
            self._queue(stream, run)
        else:
            self._takeAgain(stream, run)

    def _queue(self, stream: _Stream, run: Events) -> None:
        stream.seen.put(run.first, run.last, (run.mode, _State.QUEUED))
        if run.mode is Mode.ALL:
            stream.high = run.last
        stream.runs.append(run)
        self._size += len(run.lengths)
        self._bytes += len(run.payloads)
        self._list(run.stream, stream)

    def _takeAgain(self, stream: _Stream, run: Events) -> None:
        """A run of which some was here before, or comes too late to be in order."""
        for first, last, known in stream.seen.within(run.first, run.last):
            if known is not None:
                outcome = _ANSWERS.get(known[1])
                if outcome is not None:
                    self._note(run.stream, outcome, "", first, last)
                continue  # what is queued or with a handler is answered when that is over
            below = min(last, stream.low - 1)
            if first <= below:  # confirmed or given up: nobody needs it
                self._note(run.stream, Outcome.OK, "", first, below)
                first = below + 1
            if run.mode is Mode.ALL and first <= (late := min(last, stream.high - 1)):
                self._note(run.stream, Outcome.LATE, "", first, late)
                first = late + 1
            if first <= last:
                self._queue(stream, run.part(first, last))

    def _list(self, name: str, stream: _Stream) -> None:
        if not stream.listed and stream.runs and stream.running < self._concurrency:
            stream.listed = True
            self._ready.append(name)

    # -- what goes to the handlers

    def head(self) -> tuple[str, Events, int, int] | None:
        """The run whose turn it is: stream, run, index and offset of its next event; None when nothing may be handled now."""
        while self._ready:
            name = self._ready[0]
            stream = self._streams[name]
            if stream.runs and stream.running < self._concurrency:
                return name, stream.runs[0], stream.index, stream.offset
            self._ready.popleft()
            stream.listed = False
        return None

    def passed(self, name: str, count: int, size: int) -> None:
        """The handlers were through at once with the next `count` events of the head run, which have `size` bytes: all well."""
        stream = self._streams[name]
        run, first = stream.runs[0], stream.runs[0].first + stream.index
        self._note(name, Outcome.OK, "", first, first + count - 1)
        self._advance(stream, run, count, size)

    def _advance(self, stream: _Stream, run: Events, count: int, size: int) -> None:
        stream.index += count
        stream.offset += size
        if stream.index == len(run.lengths):
            stream.runs.popleft()
            stream.index = stream.offset = 0
            if len(self._ready) > 1:
                self._ready.rotate(-1)  # publishers take turns, run by run
        self._size -= count
        self._bytes -= size

    def skip(self, name: str, outcome: Outcome) -> int:
        """No handler shall see what is left of the head run: answer so; returns how many events that was."""
        stream = self._streams[name]
        run = stream.runs[0]
        count = len(run.lengths) - stream.index
        self._note(name, outcome, "", run.first + stream.index, run.last)
        self._advance(stream, run, count, len(run.payloads) - stream.offset)
        return count

    def next(self) -> Delivery | None:
        """The next event for the handlers, or None; tell `finished` when they are through with it."""
        head = self.head()
        if head is None:
            return None
        name, run, index, offset = head
        delivery = makeDelivery(run, name, index, run.payloads[offset : offset + run.lengths[index]])
        self.begin(delivery)
        return delivery

    def begin(self, delivery: Delivery) -> None:
        """The handlers work on `delivery`, the next event of the head run, until `finished`."""
        stream = self._streams[delivery.stream]
        self._advance(stream, stream.runs[0], 1, len(delivery.payload))
        stream.running += 1
        self._running += 1
        if delivery.level is Level.HANDLED:
            self._mark(stream, delivery.sequence, delivery.sequence, _State.BEGUN)

    def finished(self, delivery: Delivery) -> None:
        """The handlers are through with `delivery`."""
        stream = self._streams[delivery.stream]
        stream.running -= 1
        self._running -= 1
        if not stream.listed:
            self._list(delivery.stream, stream)

    # -- what is answered

    def answer(self, delivery: Delivery, outcome: Outcome, reason: str = "") -> None:
        """Note what to tell the publisher, now and whenever it asks again."""
        self._note(delivery.stream, outcome, reason, delivery.sequence, delivery.sequence)

    def _note(self, stream: str, outcome: Outcome, reason: str, first: int, last: int) -> None:
        addTo(self._answers.setdefault((stream, outcome, reason), []), first, last)

    def answers(self) -> list[Confirm]:
        """The answers since the last call, to be sent."""
        if not self._answers:
            return []
        answers, self._answers = self._answers, {}
        confirms = []
        for (name, outcome, reason), found in answers.items():
            if name == LOCAL:
                continue  # nobody asked
            ranges = merged(found)  # several handlers at a time do not finish in order
            stream, state = self._streams.get(name), _STATES.get(outcome)
            if stream is not None and state is not None:
                for first, last in ranges:
                    self._mark(stream, first, last, state)
            confirms += [Confirm(name, part, outcome, reason) for part in split(ranges, MAX_RANGES)]
        return confirms

    @staticmethod
    def _mark(stream: _Stream, first: int, last: int, state: _State) -> None:
        for begin, end, known in stream.seen.within(first, last):
            if known is not None and known[1] is not state:
                stream.seen.put(begin, end, (known[0], state))

    # -- links, time

    def linkLost(self) -> None:
        """The answers have nowhere to go (they are given again when asked), what was parked comes again."""
        self.answers()
        self._parked.clear()

    def holds(self) -> list[tuple[str, list[tuple[int, int]], list[tuple[int, int]]]]:
        """The mode-`one` events in hand: stream, ranges begun or over, ranges not begun."""
        found: list[tuple[str, list[tuple[int, int]], list[tuple[int, int]]]] = []
        for name, stream in self._streams.items():
            begun = stream.seen.ranges((Mode.ONE, state) for state in _State if state is not _State.QUEUED)
            unbegun = stream.seen.ranges([(Mode.ONE, _State.QUEUED)])
            # A list has no more ranges than a frame may carry: a hello that is refused would be refused for ever.
            found += [(name, part, []) for part in split(begun, MAX_RANGES)]
            found += [(name, [], part) for part in split(unbegun, MAX_RANGES)]
        return found

    def forgetUnbegun(self) -> None:
        """A dispatcher does not know us: mode-`one` events that were not begun may have gone to others (D6)."""
        for stream in self._streams.values():
            kept: deque[Events] = deque()
            for number, run in enumerate(stream.runs):
                begun = stream.index if number == 0 else 0
                if run.mode is Mode.ALL or run.level is Level.ACCEPTED:
                    kept.append(run)
                    continue
                self._size -= len(run.lengths) - begun
                self._bytes -= sum(run.lengths[begun:])
                stream.seen.remove(run.first + begun, run.last)
                if number == 0:
                    stream.index = stream.offset = 0
            stream.runs = kept

    def expire(self, now: float) -> None:
        """Forget the streams that have been silent for long, of which nothing is in hand."""
        for name, stream in list(self._streams.items()):
            if now - stream.heard > SILENCE and not stream.runs and not stream.running and not stream.listed:
                del self._streams[name]
