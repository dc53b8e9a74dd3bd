"""What a node published that is not confirmed yet.

Bounded three times over: in events and bytes that were admitted, in the distance from the lowest unconfirmed sequence number
(so that the receivers' memory stays bounded too), and in what waits to be admitted. An entry gets its sequence number when it
is admitted, so numbers are in the order of `publish`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from nodeset.core.batch import MAX_EVENTS, NO_HEADERS, Events, Level, Mode
from nodeset.core.ranges import merged
from nodeset.errors import Overloaded

__all__ = ["MAX_UNCONFIRMED", "MAX_UNCONFIRMED_BYTES", "Entry", "Outbox"]

#: Events that may be unconfirmed, which is as well how far the newest may be past the oldest (D6).
MAX_UNCONFIRMED = 100_000
#: Bytes of payload that may be unconfirmed (D6).
MAX_UNCONFIRMED_BYTES = 64 * 1024 * 1024


class Entry(msgspec.Struct, eq=False, weakref=True):
    """One published event. `token` is the caller's own: the outbox hands it back with the outcome.

    A msgspec struct, since one is made for every event.
    """

    event: str
    mode: Mode
    level: Level
    payload: bytes
    token: object
    timeout: float | None
    deadline: float | None
    headers: msgspec.Raw = NO_HEADERS
    sequence: int = 0
    over: bool = False


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
        self._most = max_events - 1
        self._entries: dict[int, Entry] = {}
        self._waiting: deque[Entry] = deque()
        # By time-out, in the order added, so in the order of the deadlines; what is over stays until it is in front, emptied.
        self._timeouts: dict[float, deque[Entry]] = {}
        self._bytes = self._waiting_bytes = self._waiting_count = 0
        #: The last number given; the last sent on this link; the last sent ever.
        self._sequence = self._sent = self._ever_sent = 0
        #: The lowest unconfirmed sequence number; the next one when nothing is unconfirmed.
        self.low = 1

    def __len__(self) -> int:
        """Events that are unconfirmed or wait for room."""
        return len(self._entries) + self._waiting_count

    @property
    def unsent(self) -> bool:
        """Whether `take` would return something."""
        return self._sent < self._sequence and bool(self._entries) and next(reversed(self._entries)) > self._sent

    # -- filling

    def add(self, entry: Entry, wait: bool = True) -> None:
        """Admit `entry`; when there is no room it waits for some, or with `wait=False` raises `Overloaded`.

        Raises `Overloaded` in any case when as much is waiting as may be unconfirmed: who publishes without ever looking at
        the answers cannot fill the memory.
        """
        size = len(entry.payload)
        if not self._waiting_count and self._hasRoom(size):
            self._admit(entry, size)
        elif not wait:
            raise Overloaded(f"{entry.event!r} has no room: {len(self._entries)} events ({self._bytes} bytes) are unconfirmed")
        elif self._waiting_count >= self._max_waiting or self._waiting_bytes + size > self._max_bytes:
            raise Overloaded(
                f"{entry.event!r} has no room even to wait: {self._waiting_count} events wait behind {len(self._entries)} "
                "unconfirmed ones; await what publish() returns"
            )
        else:
            self._waiting.append(entry)
            self._waiting_count += 1
            self._waiting_bytes += size
        if entry.timeout is not None:
            row = self._timeouts.get(entry.timeout)
            if row is None:
                row = self._timeouts[entry.timeout] = deque()
            row.append(entry)

    def _hasRoom(self, size: int) -> bool:
        # The distance bounds the number as well. One event fits always, whatever the limits.
        return (self._sequence - self.low < self._most and self._bytes + size <= self._max_bytes) or not self._entries

    def _admit(self, entry: Entry, size: int) -> None:
        self._sequence = entry.sequence = self._sequence + 1
        self._entries[entry.sequence] = entry
        self._bytes += size

    def _admitWaiting(self) -> None:
        while self._waiting:
            entry = self._waiting[0]
            size = len(entry.payload)
            if not entry.over:
                if not self._hasRoom(size):
                    return
                self._waiting_count -= 1
                self._waiting_bytes -= size
                self._admit(entry, size)
            self._waiting.popleft()

    # -- sending

    def take(self, max_bytes: int) -> list[Events]:
        """The next runs to send, about `max_bytes` with all that goes with them, or a single event; they count as sent."""
        runs: list[Events] = []
        low, taken, entries = self.low, 0, self._entries
        while self._sent < self._sequence:
            head = entries.get(self._sent + 1)
            if head is None:  # given up before it was sent
                self._sent += 1
                continue
            again = self._sent < self._ever_sent
            event, mode, level, headers = head.event, head.mode, head.level, head.headers
            # What was sent before and what was not do not share a run.
            last = self._ever_sent if again else self._sequence
            lengths: list[int] = []
            payloads: list[bytes] = []
            # Events that are never alike are a run each, with a name and headers each.
            taken += 64 + 4 * len(event) + len(headers)
            entry: Entry | None = head
            for sequence in range(head.sequence, min(last, head.sequence + MAX_EVENTS - 1) + 1):
                entry = entries.get(sequence)
                if (
                    entry is None
                    or entry.event != event
                    or entry.mode is not mode
                    or entry.level is not level
                    or entry.headers is not headers
                ):
                    break
                payload = entry.payload
                size = len(payload)
                if (runs or lengths) and taken + size > max_bytes:
                    break
                taken += size + 1  # empty payloads take room as well
                lengths.append(size)
                payloads.append(payload)
            if not lengths:
                break
            self._sent = head.sequence + len(lengths) - 1
            joined = b"".join(payloads)
            runs.append(Events("", low, mode, again, event, head.sequence, level, lengths, headers, joined))
            if taken >= max_bytes:
                break
        if self._sent > self._ever_sent:
            self._ever_sent = self._sent
        return runs

    def rewind(self) -> None:
        """A new link: everything unconfirmed is to be sent again, in order."""
        self._sent = self.low - 1

    # -- emptying

    def done(self, ranges: Iterable[tuple[int, int]]) -> list[Entry]:
        """These were answered: returns their entries. What is not here any more, or was never sent, is passed over."""
        found: list[Entry] = []
        for first, last in merged(ranges):
            # Nonsense from a peer costs no more than what is here.
            found += self._remove(range(max(first, self.low), min(last, self._ever_sent) + 1))
        self._admitWaiting()
        return found

    def _remove(self, sequences: Iterable[int]) -> list[Entry]:
        found: list[Entry] = []
        pop, size = self._entries.pop, 0
        for sequence in sequences:
            entry = pop(sequence, None)
            if entry is not None:
                entry.over = True
                size += len(entry.payload)
                entry.payload = b""  # it may be remembered for a while yet
                found.append(entry)
        self._bytes -= size
        while self.low <= self._sequence and self.low not in self._entries:
            self.low += 1
        for timeout, row in list(self._timeouts.items()):
            while row and row[0].over:
                row.popleft()
            if not row:
                del self._timeouts[timeout]
        return found

    def giveUpSent(self) -> list[Entry]:
        """No link for too long: returns what was sent and can no longer be confirmed; what was not sent stays."""
        found = self._remove([sequence for sequence in self._entries if sequence <= self._ever_sent])
        self._admitWaiting()
        return found

    def clear(self) -> list[Entry]:
        """Give up all of it: returns every entry, those that wait as well."""
        entries = [*self._entries.values(), *(entry for entry in self._waiting if not entry.over)]
        self._entries.clear()
        self._waiting.clear()
        self._timeouts.clear()
        self._bytes = self._waiting_bytes = self._waiting_count = 0
        self.low = self._sequence + 1
        return entries

    # -- time

    def nextDeadline(self) -> float | None:
        """When to call `expire` next, in the caller's seconds; None when nothing will ever expire."""
        deadlines = (next((entry.deadline for entry in row if not entry.over), None) for row in self._timeouts.values())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def expire(self, now: float) -> list[Entry]:
        """Give up what is past its deadline and return it."""
        expired: list[Entry] = []
        for row in self._timeouts.values():
            for entry in row:
                if not entry.over:
                    if (entry.deadline or 0.0) > now:
                        break
                    expired.append(entry)
        for entry in expired:
            if not entry.sequence:
                entry.over = True
                self._waiting_count -= 1
                self._waiting_bytes -= len(entry.payload)
                entry.payload = b""
        if len(self._waiting) > 2 * self._waiting_count:
            # One that never expires may stay in front of all that did.
            self._waiting = deque(entry for entry in self._waiting if not entry.over)
        if expired:
            self._remove([entry.sequence for entry in expired if entry.sequence])
            self._admitWaiting()
        return expired
