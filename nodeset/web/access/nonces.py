"""Signed requests that have been, so that none counts twice.

A nonce is remembered in the slot of its request's timestamp until no request of that slot can lie in the window any more. What
was forgotten is refused for its age: `floor` says so, whatever the clock did meanwhile.
"""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

from nodeset.web.access.signature import WINDOW

__all__ = ["MOST_NONCES", "RECORD", "SLOT", "Full", "Ledger", "NoLedger", "Nonces", "Replayed", "TooOld", "recordOf"]

#: Seconds of timestamps in a slot.
SLOT: Final = 60
#: Bytes that are remembered of a nonce with its key.
RECORD: Final = 16
#: Nonces that are remembered at a time; what half a million weigh, docs/web-access.md says.
MOST_NONCES: Final = 500_000
#: Seconds that a timestamp may be ahead of our clock where an earlier process may have left no trace.
_AHEAD: Final = 5


class Replayed(Exception):
    """This request has been here before."""


class TooOld(Exception):
    """This request was made before anything that we remember."""


class Full(Exception):
    """There is no room to remember one more request."""


class Ledger(Protocol):
    """Where nonces outlive the process."""

    #: Timestamps up to this one may belong to requests that left no trace.
    floor: int

    def read(self) -> dict[int, set[bytes]]:
        """What is remembered, by slot. Raises `StateUnusable`."""

    def write(self, slot: int, record: bytes, timestamp: int) -> None:
        """Remember; when this returns, the end of the process does not change it. Raises `StateUnusable`."""

    def drop(self, slot: int) -> None:
        """Forget a slot. Never raises: what stays is dropped by the next one."""


class NoLedger:
    """Nothing outlives the process, so whatever was signed before it began counts for nothing.

    :param started: Unix time when the process began.
    """

    def __init__(self, started: float) -> None:
        # Clients whose clock is a little ahead: what they signed for an earlier process could come again.
        self.floor = int(started) + _AHEAD - 1

    def read(self) -> dict[int, set[bytes]]:
        """See `Ledger`."""
        return {}

    def write(self, slot: int, record: bytes, timestamp: int) -> None:
        """See `Ledger`."""

    def drop(self, slot: int) -> None:
        """See `Ledger`."""


def recordOf(key: str, nonce: str) -> bytes:
    """What is remembered of a request."""
    return hashlib.sha256(f"{key}\n{nonce}".encode()).digest()[:RECORD]


class Nonces:
    """Takes each nonce of a key once.

    :param most: how many are remembered at a time.
    :raise StateUnusable: when the ledger cannot be read.
    """

    def __init__(self, ledger: Ledger, now: float, most: int = MOST_NONCES) -> None:
        self._ledger, self._most = ledger, most
        self._slots = ledger.read()
        self._count = sum(map(len, self._slots.values()))
        #: Timestamps up to this one count for nothing.
        self.floor = ledger.floor
        self._swept = -1
        self._sweep(now)

    def __len__(self) -> int:
        return self._count

    @property
    def ahead(self) -> int:
        """Seconds that a timestamp may be ahead of our clock."""
        return _AHEAD if isinstance(self._ledger, NoLedger) else WINDOW

    def take(self, key: str, nonce: str, timestamp: int, now: float) -> None:
        """Remember that this request was here; call it when its signature was found right, not before.

        :param now: Unix time.
        :raise Replayed: it was here before.
        :raise TooOld: it may have been here before.
        :raise Full: nothing is forgotten to make room.
        :raise StateUnusable: it could not be written down.
        """
        self._sweep(now)
        if timestamp <= self.floor:
            raise TooOld(f"nothing is known of requests that were signed up to {self.floor}: sign it anew, now")
        if timestamp - now > self.ahead:
            raise TooOld(f"its timestamp is more than {self.ahead} s ahead, which is too much while nothing outlives a restart")
        slot, record = timestamp // SLOT, recordOf(key, nonce)
        records = self._slots.get(slot)
        if records is not None and record in records:
            raise Replayed("this request was made before: each needs a nonce of its own")
        if self._count >= self._most:
            raise Full(f"{self._most} signed requests of the last minutes are remembered, more than that is too much")
        self._ledger.write(slot, record, timestamp)
        self._slots.setdefault(slot, set()).add(record)
        self._count += 1

    def _sweep(self, now: float) -> None:
        current = int(now) // SLOT
        if current == self._swept:  # not `<=`: a clock that was set back must not stop it
            return
        self._swept = current
        for slot in sorted(self._slots):
            end = (slot + 1) * SLOT - 1
            if end + WINDOW >= now:
                break
            self._count -= len(self._slots.pop(slot))
            self.floor = max(self.floor, end)
            self._ledger.drop(slot)
