"""What a node published that is not confirmed yet.

Bounded three times over: in events and bytes that were admitted, in the distance from the lowest unconfirmed sequence number
(so that the receivers' memory stays bounded too), and in what waits to be admitted. An entry gets its sequence number when it
is admitted, so numbers are in the order of `publish`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import attrs
import msgspec

from nodeset.core.batch import MAX_EVENTS, NO_HEADERS, Events, Level, Mode
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
    over: bool = False


class Outbox:
    """The events of one stream, from `publish` to confirm.

    :param max_events: unconfirmed events, and as many again may wait for room.
    :param max_bytes: bytes of their payloads, and as many again may wait.
    """

    def __init__(self, max_events: int = MAX_UNCONFIRMED, max_bytes: int = MAX_UNCONFIRMED_BYTES) -> None:
        self._max_events, self._max_bytes = max_events, max_bytes
        self._entries: dict[int, Entry] = {}
        self._unsent: deque[Entry] = deque()
        self._waiting: deque[Entry] = deque()
        self._bytes = self._waiting_bytes = 0
        self._sequence = 0
        self._timeouts: dict[float, deque[Entry]] = {}

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
        return bool(self._unsent)

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
        elif len(self._waiting) >= self._max_events or self._waiting_bytes + len(entry.payload) > self._max_bytes:
            raise Overloaded(
                f"{entry.event!r} has no room even to wait: {len(self._waiting)} events wait behind {len(self._entries)} "
                "unconfirmed ones; await what publish() returns"
            )
        else:
            self._waiting.append(entry)
            self._waiting_bytes += len(entry.payload)
        if entry.timeout is not None:
            self._timeouts.setdefault(entry.timeout, deque()).append(entry)

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
        self._unsent.append(entry)
        self._bytes += len(entry.payload)

    def _admitWaiting(self) -> None:
        while self._waiting and self._hasRoom(self._waiting[0]):
            entry = self._waiting.popleft()
            self._waiting_bytes -= len(entry.payload)
            if not entry.over:
                self._admit(entry)

    # -- sending

    def take(self, max_bytes: int) -> list[Events]:
        """The next runs to send, about `max_bytes` of payload or a single event; they count as sent from here on."""
        runs: list[Events] = []
        low, taken = self.low, 0
        while self._unsent:
            head = self._unsent[0]
            if head.over:
                self._unsent.popleft()
                continue
            lengths: list[int] = []
            payloads: list[bytes] = []
            while self._unsent and len(lengths) < MAX_EVENTS:
                entry = self._unsent[0]
                size = len(entry.payload)
                if (
                    entry.over
                    or entry.sequence != head.sequence + len(lengths)
                    or entry.event != head.event
                    or entry.mode is not head.mode
                    or entry.level is not head.level
                    or entry.headers is not head.headers
                    or (taken and taken + size > max_bytes)
                ):
                    break
                taken += size + 1  # empty payloads take room as well
                lengths.append(size)
                payloads.append(entry.payload)
                self._unsent.popleft()
            if not lengths:
                break
            joined = b"".join(payloads)
            run = Events("", low, head.mode, False, head.event, head.sequence, head.level, lengths, head.headers, joined)
            runs.append(run)
            if taken >= max_bytes:
                break
        return runs

    # -- emptying

    def done(self, ranges: Iterable[tuple[int, int]]) -> list[Entry]:
        """These were answered: returns their entries, what is not here any more is passed over."""
        entries: list[Entry] = []
        for first, last in ranges:
            if last - first >= len(self._entries):  # nonsense from a peer costs no more than what is here
                sequences: Iterable[int] = [sequence for sequence in self._entries if first <= sequence <= last]
            else:
                sequences = range(first, last + 1)
            entries += [entry for sequence in sequences if (entry := self._remove(sequence)) is not None]
        self._trim()
        self._admitWaiting()
        return entries

    def _trim(self) -> None:
        """Let go of entries that will not expire any more, which otherwise stay until their time."""
        for timeout, entries in list(self._timeouts.items()):
            while entries and entries[0].over:
                entries.popleft()
            if not entries:
                del self._timeouts[timeout]

    def _remove(self, sequence: int) -> Entry | None:
        entry = self._entries.pop(sequence, None)
        if entry is not None:
            entry.over = True
            self._bytes -= len(entry.payload)
        return entry

    def lost(self) -> list[Entry]:
        """The link is lost: returns what was sent and can no longer be confirmed; what was not sent stays."""
        unsent = {entry.sequence for entry in self._unsent}
        sent = [sequence for sequence in self._entries if sequence not in unsent]
        entries = [entry for sequence in sent if (entry := self._remove(sequence)) is not None]
        self._admitWaiting()
        return entries

    def clear(self) -> list[Entry]:
        """Give up all of it: returns every entry, those that wait as well."""
        entries = [*self._entries.values(), *self._waiting]
        for entry in entries:
            entry.over = True
        self._entries.clear()
        self._unsent.clear()
        self._waiting.clear()
        self._timeouts.clear()
        self._bytes = self._waiting_bytes = 0
        return entries

    # -- time

    def nextDeadline(self) -> float | None:
        """When to call `expire` next, in the caller's seconds; None when nothing will ever expire."""
        self._trim()
        heads = (entries[0].deadline for entries in self._timeouts.values())
        return min((deadline for deadline in heads if deadline is not None), default=None)

    def expire(self, now: float) -> list[Entry]:
        """Give up what is past its deadline and return it."""
        expired: list[Entry] = []
        for entries in self._timeouts.values():
            while entries and (entries[0].over or (entries[0].deadline or 0.0) <= now):
                entry = entries.popleft()
                if not entry.over:
                    entry.over = True
                    expired.append(entry)
        if expired:
            self._forget(expired)
        return expired

    def _forget(self, expired: list[Entry]) -> None:
        for entry in expired:
            if entry.sequence and self._entries.pop(entry.sequence, None) is not None:
                self._bytes -= len(entry.payload)
            elif not entry.sequence:
                self._waiting_bytes -= len(entry.payload)
        self._unsent = deque(entry for entry in self._unsent if not entry.over)
        self._waiting = deque(entry for entry in self._waiting if not entry.over)
        self._admitWaiting()
