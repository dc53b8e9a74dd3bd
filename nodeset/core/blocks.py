"""Events that were published one after the other in the same way: what leaves as one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import msgspec

from nodeset.core.batch import MAX_EVENTS, NO_HEADERS, TARGET, Events, Level, Mode
from nodeset.core.lifetime import OVER

__all__ = ["EACH", "GRAIN", "Block", "Terms", "begin", "makeRuns"]

#: What each event takes up beside its payload: more than its length does, so that no block of empty ones is too long for a run.
EACH = TARGET // MAX_EVENTS
#: Seconds by which the deadlines of events in one block may differ: the earlier are given up so much late.
GRAIN = 0.05


class Terms(msgspec.Struct, frozen=True):
    """What events that are published alike have in common; `ttl` is in seconds, None for ever, `to` the one that gets them."""

    event: str
    mode: Mode = Mode.ALL
    level: Level = Level.DELIVERED
    timeout: float | None = None
    headers: msgspec.Raw = NO_HEADERS
    ttl: float | None = None
    to: str = ""

    @property
    def weight(self) -> int:
        """What a run takes beside its events, at most: a character takes four bytes at most, all else has its marker."""
        return 64 + 4 * len(self.event) + len(self.headers) + 4 * len(self.to)


class Block(msgspec.Struct, eq=False, weakref=True):
    """Events under the same terms with sequence numbers `first`, `first + 1`, ...

    `tokens` has None and `payloads` nothing in place of the `gone` ones; both are empty when none is left. A msgspec struct,
    since events that are never alike have a block each.
    """

    terms: Terms
    first: int
    payloads: list[bytes]
    tokens: list[object]
    #: Bytes that it may yet take in; of its payloads that are left.
    room: int
    size: int
    #: When the newest is to be given up, and the latest that this may become.
    deadline: float | None
    until: float
    #: When its life is over, if its terms have a time to live.
    expires: float | None = None
    gone: int = 0
    #: None of the first so many is left.
    skip: int = 0
    sent: bool = False

    @property
    def last(self) -> int:
        """The sequence number of the last event."""
        return self.first + len(self.tokens) - 1

    @property
    def left(self) -> int:
        """How many events are unconfirmed."""
        return len(self.tokens) - self.gone

    @property
    def weight(self) -> int:
        """What it takes in a batch, at most."""
        return self.terms.weight + self.size + EACH * len(self.tokens)

    def join(self, terms: Terms, payload: bytes, token: object, deadline: float | None) -> bool:
        """Take in one more event, if it is like these and there is room; `size` is for the outbox to mend, later."""
        size = len(payload)
        if terms is not self.terms or size >= self.room or (deadline is not None and deadline > self.until):
            return False
        self.payloads.append(payload)
        self.tokens.append(token)
        self.room -= size + EACH
        self.deadline = deadline
        return True

    def outlived(self, now: float) -> bool:
        """Whether its life was over before it was ever sent: there is no point in it any more."""
        return self.expires is not None and self.expires <= now and not self.sent

    def extend(self, now: float) -> bool:
        """Its deadline has come. If that was only the end of its life, it has until its time-out; returns whether it has."""
        terms = self.terms
        if self.expires is None or terms.ttl is None:
            return False
        self.deadline = None if terms.timeout is None else self.expires - terms.ttl + terms.timeout
        return self.deadline is None or self.deadline > now

    def release(self, first: int, last: int) -> tuple[list[object], int]:
        """Those of `first..last` that are left are over: their tokens, the bytes of their payloads."""
        if first <= self.first and last >= self.last and not self.gone:
            tokens, size = self.tokens, self.size
            self.tokens, self.payloads = [], []
        else:
            part = slice(max(first - self.first, 0), max(last - self.first + 1, 0))
            tokens = self.tokens[part]
            count = len(tokens)
            if not all(tokens):  # the usual case found out quickly
                tokens = [token for token in tokens if token is not None]
            size = sum(map(len, self.payloads[part]))
            self.tokens[part], self.payloads[part] = [None] * count, [b""] * count
            self.gone += len(tokens)
            if not self.left:
                # It may be remembered for a while yet.
                self.tokens, self.payloads, self.gone = [], [], 0
        self.size -= size
        return tokens, size

    def firstLeft(self) -> int:
        """The sequence number of the first event that is left."""
        while self.tokens[self.skip] is None:
            self.skip += 1
        return self.first + self.skip

    def parts(self) -> Iterator[tuple[int, list[bytes]]]:
        """The payloads that are left, as far as they follow each other, with the sequence number of the first."""
        if not self.gone:
            if self.payloads:
                yield self.first, self.payloads
            return
        for left, indices in groupby(range(len(self.tokens)), lambda index: self.tokens[index] is not None):
            if left:
                found = list(indices)
                yield self.first + found[0], self.payloads[found[0] : found[-1] + 1]


def begin(
    terms: Terms,
    first: int,
    payloads: list[bytes],
    tokens: list[object],
    size: int,
    deadline: float | None,
    most: int = 0,
    expires: float | None = None,
) -> Block:
    """A block with its first events, of `size` bytes in all; it may take in as many as `most` bytes more."""
    until = float("inf") if deadline is None else deadline + GRAIN
    return Block(terms, first, payloads, tokens, min(most, TARGET - size - EACH * len(tokens)), size, deadline, until, expires)


def makeRuns(blocks: Iterable[Block], low: int, now: float = 0.0) -> list[Events]:
    """What is left in these, as it is sent at `now`: those under the same terms that follow each other share a run."""
    runs: list[Events] = []
    row: list[bytes] = []
    head: Block | None = None
    first = room = 0
    for block in blocks:
        for start, payloads in block.parts():
            weight = block.size + EACH * len(payloads)
            if (
                head is not None
                and block.terms is head.terms
                and block.sent is head.sent
                and block.expires == head.expires
                and start == first + len(row)
                and weight <= room
            ):
                row += payloads
            else:
                if head is not None:
                    runs.append(_makeRun(head, low, first, row, now))
                head, first, row, room = block, start, [*payloads], TARGET
            room -= weight
    if head is not None:
        runs.append(_makeRun(head, low, first, row, now))
    return runs


def _makeRun(block: Block, low: int, first: int, payloads: list[bytes], now: float) -> Events:
    terms = block.terms
    joined = b"".join(payloads) if len(payloads) > 1 else payloads[0]
    ttl = 0 if block.expires is None else max(OVER, round((block.expires - now) * 1000))
    return Events(
        "",
        low,
        terms.mode,
        block.sent,
        terms.event,
        first,
        terms.level,
        list(map(len, payloads)),
        terms.headers,
        joined,
        ttl,
        terms.to,
    )
