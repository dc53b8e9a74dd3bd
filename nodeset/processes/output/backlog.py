"""What one program has to say, in order, until somebody has taken it.

Bounded in bytes. What it drops is output, oldest first, with a mark of how many bytes were lost at this very place. Events get
their numbers when they are first sent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container
from heapq import heapify, heappop, heappush
from typing import Final

import attrs

from nodeset.processes.events import KINDS, Kind, ProcessEvent

__all__ = ["CHUNK", "EACH", "MOST_EVENTS", "Backlog", "Parcel"]

#: Bytes of output in one event at most; an event is limited to 1 MiB as it is written.
CHUNK: Final = 128 * 1024
#: What an event weighs beside its output.
EACH: Final = 512
#: Events that are no output, which may wait.
MOST_EVENTS: Final = 250


@attrs.define(eq=False)
class Parcel:
    """One event.

    :ivar kind: what is behind the program's name in its name.
    :ivar data: output.
    :ivar event: what is no output.
    :ivar dropped: bytes of output that were lost just before `data`.
    :ivar seq: its number, 0 as long as it was never sent.
    """

    kind: Kind
    data: bytes | bytearray = b""
    event: ProcessEvent | None = None
    dropped: int = 0
    seq: int = 0
    #: Numbers that nothing bears: events that were dropped just before it.
    skipped: int = 0
    #: How many events that are no output came before it.
    segment: int = 0
    #: Whether it was sent again since a part of those who wanted it had it.
    owed: bool = False

    @property
    def weight(self) -> int:
        """What it counts in the bound."""
        return len(self.data) + EACH


def _encoded(parcel: Parcel) -> int:
    """The bytes of its output once more, in base64, as the node holds them while it is under way."""
    return (len(parcel.data) + 2) // 3 * 4


class Backlog:
    """What is not sent yet, what is under way, what came back.

    Who sends takes a parcel by `take`, then says by `done`, `putBack` or `owe` what became of it.

    :param limit: bytes of all of it. What is under way cannot be dropped.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._queue: OrderedDict[Parcel, None] = OrderedDict()
        #: Of the queue, in the same order: the output that may be dropped, the events that are no output.
        self._outputs: OrderedDict[Parcel, None] = OrderedDict()
        self._others: OrderedDict[Parcel, None] = OrderedDict()
        #: How many of the queue are of which kind.
        self._counts = dict.fromkeys(KINDS, 0)
        #: The last mark of what was dropped, by kind; a later one of the same segment joins it.
        self._marks: dict[Kind, Parcel] = {}
        self._last: Parcel | None = None
        self._stats: Parcel | None = None
        self._back: list[tuple[int, Parcel]] = []
        self._owed: list[Parcel] = []
        self._owed_bytes = 0
        self._segment = self._seq = 0
        #: Bytes held in all, of these under way; parcels under way.
        self.size = self.flying_bytes = self.flying = 0
        self.dropped_bytes = self.dropped_events = 0

    def __len__(self) -> int:
        """Parcels that somebody must still take; more may be added to the last one."""
        return len(self._queue) + len(self._back) + self.flying

    @property
    def waiting(self) -> bool:
        """Whether `take` would return something."""
        return bool(self._queue or self._back)

    # -- in

    def addOutput(self, kind: Kind, data: bytes) -> None:
        """The program wrote this to `out` or `err`. Small pieces are gathered, large ones cut."""
        at = 0
        last = self._last
        if last is not None and last.kind == kind and last in self._outputs and len(last.data) < CHUNK:
            at = CHUNK - len(last.data)
            piece = data[:at]
            if not isinstance(last.data, bytearray):
                last.data = bytearray(last.data)
            last.data += piece
            if len(last.data) == CHUNK:
                last.data = bytes(last.data)  # what grows has an eighth more in reserve
            self.size += len(piece)
        while at < len(data):
            piece = data if not at and len(data) <= CHUNK else data[at : at + CHUNK]
            self._add(self._outputs, Parcel(kind, piece, segment=self._segment))
            at += CHUNK
        while self.size > self.limit and self._dropOutput():
            pass

    def addEvent(self, kind: Kind, event: ProcessEvent) -> None:
        """This happened to the program. Of `stats` that were not sent only the newest is kept."""
        if kind == "stats":
            if self._stats is not None:
                self._remove(self._others, self._stats)
            self._stats = None
        parcel = Parcel(kind, event=event)
        self._add(self._others, parcel)
        if kind == "stats":
            self._stats = parcel
        self._segment += 1
        if len(self._others) > MOST_EVENTS:
            self._dropEvent()

    def _add(self, which: OrderedDict[Parcel, None], parcel: Parcel) -> None:
        self._queue[parcel] = which[parcel] = None
        self._counts[parcel.kind] += 1
        self._last = parcel
        self.size += parcel.weight

    def _remove(self, which: OrderedDict[Parcel, None], parcel: Parcel) -> None:
        del self._queue[parcel], which[parcel]
        self._counts[parcel.kind] -= 1
        self.size -= parcel.weight
        if self._last is parcel:
            self._last = None

    # -- what is lost

    def _dropOutput(self) -> bool:
        """Drop the oldest output that is not under way; returns whether there was any."""
        for _seq, parcel in sorted(self._back, key=lambda one: one[0]):
            if parcel.data:  # it keeps its number: who had it already knows it by that
                self._empty(parcel)
                return True
        if not self._outputs:
            return False
        parcel = next(iter(self._outputs))
        self._empty(parcel)
        del self._outputs[parcel]
        mark = self._marks.get(parcel.kind)
        if mark is not None and mark.segment == parcel.segment:
            mark.dropped += parcel.dropped
            del self._queue[parcel]
            self._counts[parcel.kind] -= 1
            self.size -= parcel.weight
        else:
            self._marks[parcel.kind] = parcel
        return True

    def _empty(self, parcel: Parcel) -> None:
        lost = len(parcel.data)
        parcel.data = b""
        parcel.dropped += lost
        self.size -= lost
        self.dropped_bytes += lost

    def _dropEvent(self) -> None:
        """Drop the oldest event that is no output; the next one says by its number that one is missing."""
        parcel = next(iter(self._others))
        self._remove(self._others, parcel)
        next(iter(self._others)).skipped += parcel.skipped + 1
        self.dropped_events += 1

    # -- out

    def waits(self, kinds: Container[str]) -> bool:
        """Whether `take` would return something of these kinds."""
        return any(self._counts[kind] and kind in kinds for kind in KINDS) or any(back.kind in kinds for _, back in self._back)

    def take(self, most: int = CHUNK, kinds: Container[str] = KINDS) -> Parcel | None:
        """The next one of these kinds to send, which is under way from now on; of output never sent before, `most` bytes at
        most.
        """
        back = next((one for one in self._back if one[1].kind in kinds), None)
        if back is not None and back is self._back[0]:
            parcel = heappop(self._back)[1]
        elif back is not None:
            back = min(one for one in self._back if one[1].kind in kinds)
            self._back.remove(back)
            heapify(self._back)
            parcel = back[1]
        elif any(self._counts[kind] and kind in kinds for kind in KINDS):
            parcel = self._takeNew(next(parcel for parcel in self._queue if parcel.kind in kinds), most)
        else:
            return None
        self.flying += 1
        self.flying_bytes += parcel.weight
        self.size += _encoded(parcel)
        return parcel

    def _takeNew(self, parcel: Parcel, most: int) -> Parcel:
        del self._queue[parcel]
        self._counts[parcel.kind] -= 1
        if parcel.event is None and not parcel.data:
            if parcel is self._marks.get(parcel.kind):
                del self._marks[parcel.kind]
            following = next(iter(self._outputs), None)
            if following is not None and following is next(iter(self._queue)) and following.kind == parcel.kind:
                following.dropped += parcel.dropped
                self.size -= parcel.weight
                del self._queue[following]
                self._counts[following.kind] -= 1
                parcel = following
        if parcel is self._last:
            self._last = None
        if parcel is self._stats:
            self._stats = None
        self._outputs.pop(parcel, None)
        self._others.pop(parcel, None)
        if len(parcel.data) > most:
            parcel = self._cut(parcel, most)
        elif isinstance(parcel.data, bytearray):
            parcel.data = bytes(parcel.data)
        self._seq += parcel.skipped + 1
        parcel.seq = self._seq
        return parcel

    def _cut(self, parcel: Parcel, most: int) -> Parcel:
        """The first bytes as a parcel of their own; the rest is the first of the queue again."""
        first = Parcel(parcel.kind, bytes(parcel.data[:most]), dropped=parcel.dropped, segment=parcel.segment)
        parcel.data, parcel.dropped = bytes(parcel.data[most:]), 0
        self._counts[parcel.kind] += 1
        for which in (self._queue, self._outputs):
            which[parcel] = None
            which.move_to_end(parcel, last=False)
        self.size += EACH
        return first

    def _land(self, parcel: Parcel) -> None:
        self.flying -= 1
        self.flying_bytes -= parcel.weight
        self.size -= _encoded(parcel)

    def done(self, parcel: Parcel) -> None:
        """Somebody has taken it, or it can never be sent."""
        self._land(parcel)
        self.size -= parcel.weight

    def putBack(self, parcel: Parcel) -> None:
        """Nobody has taken it: it is the next one again."""
        self._land(parcel)
        heappush(self._back, (parcel.seq, parcel))
        while self.size > self.limit and self._dropOutput():
            pass

    def owe(self, parcel: Parcel) -> None:
        """Some have taken it, others not: it is sent once more when `remind` says so, if it can be kept until then."""
        self._land(parcel)
        if parcel.owed:
            self.size -= parcel.weight
            return
        parcel.owed = True
        self._owed.append(parcel)
        self._owed_bytes += parcel.weight
        while self._owed_bytes > self.limit // 8:
            self._forget()

    def _forget(self) -> None:
        parcel = self._owed.pop(0)
        self._owed_bytes -= parcel.weight
        self.size -= parcel.weight
        self.dropped_bytes += len(parcel.data)
        self.dropped_events += 1

    def remind(self) -> None:
        """Whoever missed something is back, perhaps: what is owed is to be sent again."""
        for parcel in self._owed:
            heappush(self._back, (parcel.seq, parcel))
        self._owed.clear()
        self._owed_bytes = 0
