"""Tickets: words that let a browser open one stream where it cannot send headers."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from typing import Final, Generic, TypeVar

import attrs

__all__ = ["LIFETIME", "MOST_TICKETS", "NoRoom", "Tickets"]

T = TypeVar("T")

#: Seconds that a ticket is good for.
LIFETIME: Final = 60.0
#: Tickets that may be out at a time, all together, of one holder.
MOST_TICKETS: Final = 10_000
MOST_EACH: Final = 1000


class NoRoom(Exception):
    """Too many tickets are out that nobody has used."""


@attrs.frozen
class _Issued(Generic[T]):
    holder: T
    path: str | None
    ends: float


class Tickets(Generic[T]):
    """Issues them, takes each once.

    Only their hashes are kept: how long a look-up takes says nothing of any ticket.
    """

    def __init__(self, most: int = MOST_TICKETS, most_each: int = MOST_EACH) -> None:
        self._most, self._most_each = most, most_each
        self._issued: OrderedDict[bytes, _Issued[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._issued)

    def issue(self, holder: T, path: str | None, now: float) -> str:
        """A ticket for `holder`, good for `path` alone unless that is None; `now` is of a clock that never goes back.

        Raises `NoRoom` when too many are out, of this holder or at all.
        """
        self._expire(now)
        if len(self._issued) >= self._most or sum(each.holder is holder for each in self._issued.values()) >= self._most_each:
            raise NoRoom(f"too many tickets are out that nobody has used yet: each is forgotten after {LIFETIME:g} s")
        ticket = secrets.token_urlsafe(24)
        self._issued[_hash(ticket)] = _Issued(holder, path, now + LIFETIME)
        return ticket

    def redeem(self, ticket: str, path: str, now: float) -> T | None:
        """Whose ticket this is; None when it is none, is for another path, was used, or is too old. It is used up then."""
        self._expire(now)
        found = self._issued.pop(_hash(ticket), None)
        if found is None or found.path not in (None, path):
            return None
        return found.holder

    def forget(self, holder: T) -> None:
        """The tickets of this holder are good for nothing any more."""
        for word in [word for word, each in self._issued.items() if each.holder is holder]:
            del self._issued[word]

    def holds(self, holder: T, now: float) -> bool:
        """Whether this holder has a ticket that is still good."""
        self._expire(now)
        return any(each.holder is holder for each in self._issued.values())

    def _expire(self, now: float) -> None:
        while self._issued:
            word = next(iter(self._issued))
            if self._issued[word].ends > now:
                return
            del self._issued[word]


def _hash(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
