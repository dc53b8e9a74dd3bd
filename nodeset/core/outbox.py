"""What a node published that is not confirmed yet.

Bounded three times over: in events and bytes that were admitted, in the distance from the lowest unconfirmed sequence number
(so that the receivers' memory stays bounded too), and in what waits to be admitted. An entry gets its sequence number when it
is admitted, so numbers are in the order of `publish`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import takewhile

import attrs
import msgspec

from nodeset.core.batch import MAX_EVENTS, NO_HEADERS, Events, Level, Mode
from nodeset.core.ranges import merged
from nodeset.errors import Overloaded

__all__ = ["MAX_UNCONFIRMED", "MAX_UNCONFIRMED_BYTES", "Entry", "Outbox"]

#: Events that may be unconfirmed, which is as well how far the newest may be past the oldest (D6).
MAX_UNCONFIRMED = 100_000
#: Bytes of payload that may be unconfirmed (D6).
MAX_UNCONFIRMED_BYTES = 64 * 1024 * 1024


@attrs.define(eq=False)
class Entry:
    """One published event. `token` is the caller's own: the outbox hands it back with the outcome."""

    event: str
    mode: Mode
    level: Level
    payload: bytes
    token: object
    timeout: float | None
    deadline: float | None
    headers: msgspec.Raw = NO_HEADERS
    sequence: int = 0


class Outbox:
    """The events of one stream, from `publish` to confirm.

    :param max_events: unconfirmed events.
    :param max_bytes: bytes of their payloads, and as many again may wait.
    :param max_waiting: events that may wait for room.
    """

    def __init__(
        self, max_events: int = MAX_UNCONFIRMED, max_bytes: int = MAX_UNCONFIRMED_BYTES, max_waiting: int = MAX_UNCONFIRMED
    ) -> None:
        self._max_events, self._max_bytes, self._max_waiting = max_events, max_bytes, max_waiting
        # Ordered, since these are emptied from the front all the time: a plain dict looks for its first key past all the gaps.
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._waiting: OrderedDict[Entry, None] = OrderedDict()
        self._timeouts: dict[float, OrderedDict[Entry, None]] = {}
        self._bytes = self._waiting_bytes = 0
        #: The last number given; the last sent on this link; the last sent ever.
        self._sequence = self._sent = self._ever_sent = 0

    def __len__(self) -> int:
        """Events that are unconfirmed or wait for room."""
        return len(self._entries) + len(self._waiting)

    @property
    def low(self) -> int:
        """The lowest unconfirmed sequence number; the next one when nothing is unconfirmed."""
        return next(iter(self._entries), self._sequence + 1)

    @property
    def unsent(self) -> bool:
        """Whether `take` would return something."""
        return next(reversed(self._entries), 0) > self._sent

    # -- filling

    def add(self, entry: Entry, wait: bool = True) -> None:
        """Admit `entry`; when there is no room it waits for some, or with `wait=False` raises `Overloaded`.

        Raises `Overloaded` in any case when as much is waiting as may be unconfirmed: who publishes without ever looking at
        the answers cannot fill the memory.
        """
        if not self._waiting and self._hasRoom(entry):
            self._admit(entry)
        elif not wait:
            raise Overloaded(f"{entry.event!r} has no room: {len(self._entries)} events ({self._bytes} bytes) are unconfirmed")
        elif len(self._waiting) >= self._max_waiting or self._waiting_bytes + len(entry.payload) > self._max_bytes:
            raise Overloaded(
                f"{entry.event!r} has no room even to wait: {len(self._waiting)} events wait behind {len(self._entries)} "
                "unconfirmed ones; await what publish() returns"
            )
        else:
            self._waiting[entry] = None
            self._waiting_bytes += len(entry.payload)
        if entry.timeout is not None:
            self._timeouts.setdefault(entry.timeout, OrderedDict())[entry] = None

    def _hasRoom(self, entry: Entry) -> bool:
        if not self._entries:
            return True  # one event fits always, whatever the limits
        return (
            len(self._entries) < self._max_events
            and self._bytes + len(entry.payload) <= self._max_bytes
            and self._sequence + 1 - self.low < self._max_events
        )

    def _admit(self, entry: Entry) -> None:
        self._sequence += 1
        entry.sequence = self._sequence
        self._entries[self._sequence] = entry
        self._bytes += len(entry.payload)

    def _admitWaiting(self) -> None:
        while self._waiting and self._hasRoom(entry := next(iter(self._waiting))):
            del self._waiting[entry]
            self._waiting_bytes -= len(entry.payload)
            self._admit(entry)

    # -- sending

    def take(self, max_bytes: int) -> list[Events]:
        """The next runs to send, about `max_bytes` of payload or a single event; they count as sent from here on."""
        runs: list[Events] = []
        low, taken = self.low, 0
        while self._sent < self._sequence:
            again = self._sent < self._ever_sent
            head = entry = self._entries.get(self._sent + 1)
            if head is None:  # given up before it was sent
                self._sent += 1
                continue
            lengths: list[int] = []
            payloads: list[bytes] = []
            while entry is not None and len(lengths) < MAX_EVENTS:
                size = len(entry.payload)
                if (
                    entry.event != head.event
                    or entry.mode is not head.mode
                    or entry.level is not head.level
                    or entry.headers is not head.headers
                    or (entry.sequence <= self._ever_sent) is not again
                    or (taken and taken + size > max_bytes)
                ):
                    break
                taken += size + 1  # empty payloads take room as well
                lengths.append(size)
                payloads.append(entry.payload)
                self._sent += 1
                entry = self._entries.get(self._sent + 1)
            if not lengths:
                break
            joined = b"".join(payloads)
            run = Events("", low, head.mode, again, head.event, head.sequence, head.level, lengths, head.headers, joined)
            runs.append(run)
            if taken >= max_bytes:
                break
        self._ever_sent = max(self._ever_sent, self._sent)
        return runs

    def rewind(self) -> None:
        """A new link: everything unconfirmed is to be sent again, in order."""
        self._sent = self.low - 1

    # -- emptying

    def done(self, ranges: Iterable[tuple[int, int]]) -> list[Entry]:
        """These were answered: returns their entries. What is not here any more, or was never sent, is passed over."""
        entries: list[Entry] = []
        for first, last in merged(ranges):
            # Nonsense from a peer costs no more than what is here.
            sequences = range(max(first, self.low), min(last, self._ever_sent) + 1)
            entries += [entry for sequence in sequences if (entry := self._remove(sequence)) is not None]
        self._admitWaiting()
        return entries

    def _remove(self, sequence: int) -> Entry | None:
        entry = self._entries.pop(sequence, None)
        if entry is not None:
            self._bytes -= len(entry.payload)
            self._letGo(entry)
        return entry

    def _letGo(self, entry: Entry) -> None:
        """It will not expire any more: remembering it until then would hold its payload."""
        if entry.timeout is not None:
            entries = self._timeouts[entry.timeout]
            del entries[entry]
            if not entries:
                del self._timeouts[entry.timeout]

    def giveUpSent(self) -> list[Entry]:
        """No link for too long: returns what was sent and can no longer be confirmed; what was not sent stays."""
        sent = list(takewhile(lambda sequence: sequence <= self._ever_sent, self._entries))
        entries = [entry for sequence in sent if (entry := self._remove(sequence)) is not None]
        self._admitWaiting()
        return entries

    def clear(self) -> list[Entry]:
        """Give up all of it: returns every entry, those that wait as well."""
        entries = [*self._entries.values(), *self._waiting]
        self._entries.clear()
        self._waiting.clear()
        self._timeouts.clear()
        self._bytes = self._waiting_bytes = 0
        return entries

    # -- time

    def nextDeadline(self) -> float | None:
        """When to call `expire` next, in the caller's seconds; None when nothing will ever expire."""
        heads = (next(iter(entries)).deadline for entries in self._timeouts.values())
        return min((deadline for deadline in heads if deadline is not None), default=None)

    def expire(self, now: float) -> list[Entry]:
        """Give up what is past its deadline and return it."""
        # Those with the same time-out were added in the order of their deadlines, so each row is read from its front.
        rows = [takewhile(lambda entry: (entry.deadline or 0.0) <= now, entries) for entries in self._timeouts.values()]
        expired = [entry for row in rows for entry in row]
        for entry in expired:
            if entry.sequence:
                self._remove(entry.sequence)
            else:
                del self._waiting[entry]
                self._waiting_bytes -= len(entry.payload)
                self._letGo(entry)
        if expired:
            self._admitWaiting()
        return expired
