"""Which events that were routed still wait for whose answer.

Events come and are confirmed in runs, so they are remembered in runs: a `Piece` stands for events of one stream, from `first`
to `last`. An answer that names only some of them cuts the piece there. In the usual case, runs confirmed as they were routed,
everything costs one step for each run and not for each event.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable

import attrs

from nodeset.core.batch import Level, Outcome

__all__ = ["Pending", "Piece"]


@attrs.define(eq=False)
class Piece:
    """Events `first` to `last` of one stream, which all wait for the same sessions; the counts are for each event.

    `routed` is when they were.
    """

    first: int
    last: int
    waiting: set[str]
    matched: int
    level: Level = Level.DELIVERED
    routed: float = 0.0
    delivered: int = 0
    dropped: int = 0
    lost: int = 0
    failed: int = 0
    reason: str = ""

    def cut(self, at: int) -> Piece:
        """Keep what lies below `at`, return the rest."""
        rest = attrs.evolve(self, first=at, waiting=set(self.waiting))
        self.last = at - 1
        return rest

    def answered(self, outcome: Outcome, reason: str) -> None:
        """Count one answer."""
        if outcome is Outcome.LATE or outcome is Outcome.EXPIRED:
            self.dropped += 1
        elif outcome is Outcome.REFUSED:
            self.failed += 1
        elif outcome is Outcome.LOST:
            self.lost += 1
        else:
            self.delivered += 1
            self.failed += outcome is Outcome.FAILED
        self.reason = self.reason or reason


def _first(piece: Piece) -> int:
    return piece.first


class Pending:
    """All pieces of all streams; no two pieces of a stream overlap."""

    def __init__(self) -> None:
        self._streams: dict[str, list[Piece]] = {}

    def __len__(self) -> int:
        """How many events are pending."""
        return sum(piece.last - piece.first + 1 for pieces in self._streams.values() for piece in pieces)

    def add(self, stream: str, piece: Piece) -> None:
        """Wait for the answers to `piece`, which holds no event that is pending already."""
        pieces = self._streams.setdefault(stream, [])
        if not pieces or pieces[-1].last < piece.first:
            pieces.append(piece)
        else:
            insort(pieces, piece, key=_first)

    def answer(self, stream: str, first: int, last: int, peer: str, outcome: Outcome, reason: str = "") -> list[Piece]:
        """What became of events `first` to `last` at `peer`; returns the pieces that wait for nobody any more.

        What is not pending, or does not wait for `peer`, is passed over: an answer may come twice.
        """

        def note(piece: Piece) -> None:
            piece.waiting.discard(peer)
            piece.answered(outcome, reason)

        return self._apply(stream, first, last, peer, note)

    def move(self, stream: str, first: int, last: int, old: str, new: str) -> None:
        """What waits for `old` waits for `new` from now on."""

        def note(piece: Piece) -> None:
            piece.waiting.discard(old)
            piece.waiting.add(new)

        self._apply(stream, first, last, old, note)

    def _apply(self, stream: str, first: int, last: int, peer: str, note: Callable[[Piece], None]) -> list[Piece]:
        """Do it to all pieces in `first..last` that wait for `peer`, cut to fit; take out and return those that are done."""
        pieces = self._streams.get(stream)
        if pieces is None or first > last:
            return []
        done: list[Piece] = []
        kept: list[Piece] = []
        start = index = self._find(pieces, first)
        while index < len(pieces) and pieces[index].first <= last:
            piece = pieces[index]
            index += 1
            if peer not in piece.waiting:
                kept.append(piece)
                continue
            if piece.first < first:
                kept.append(piece)
                piece = piece.cut(first)
            rest = piece.cut(last + 1) if piece.last > last else None
            note(piece)
            (kept if piece.waiting else done).append(piece)
            if rest is not None:
                kept.append(rest)
        pieces[start:index] = kept  # at once: one by one would move all that follow each time
        if not pieces:
            del self._streams[stream]
        return done

    @staticmethod
    def _find(pieces: list[Piece], first: int) -> int:
        index = bisect_left(pieces, first, key=_first)
        return index - 1 if index and pieces[index - 1].last >= first else index

    def within(self, stream: str, first: int, last: int, peer: str | None = None) -> list[tuple[int, int]]:
        """The parts of `first..last` that are pending at all, or that wait for `peer`."""
        pieces = self._streams.get(stream, [])
        found: list[tuple[int, int]] = []
        if first > last:
            return found
        index = self._find(pieces, first)
        while index < len(pieces) and pieces[index].first <= last:
            piece = pieces[index]
            if peer is None or peer in piece.waiting:
                begin, end = max(first, piece.first), min(last, piece.last)
                if found and found[-1][1] + 1 == begin:
                    found[-1] = (found[-1][0], end)
                else:
                    found.append((begin, end))
            index += 1
        return found

    def waits(self, stream: str, first: int, last: int, peer: str) -> bool:
        """Whether any of `first..last` waits for `peer`."""
        pieces = self._streams.get(stream, [])
        for index in range(self._find(pieces, first), len(pieces) if first <= last else 0):
            if pieces[index].first > last:
                break
            if peer in pieces[index].waiting:
                return True
        return False

    def forget(self, stream: str) -> None:
        """Nobody will ever ask about this stream again."""
        self._streams.pop(stream, None)
