"""Which events that were routed still wait for whose answer.

Events come and are confirmed in runs, so they are remembered in runs: a `Piece` stands for events of one stream, from `first`
to `last`. An answer that names only some of them cuts the piece there. In the usual case, runs confirmed as they were routed,
everything costs one step for each run and not for each event.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

import attrs

from nodeset.core.batch import Level, Outcome

__all__ = ["Pending", "Piece"]


@attrs.define(eq=False)
class Piece:
    """Events `first` to `last` of one stream, which all wait for the same peers; the counts are for each event."""

    first: int
    last: int
    waiting: set[str]
    matched: int
    level: Level = Level.DELIVERED
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

    def answered(self, peer: str, outcome: Outcome, reason: str) -> bool:
        """Note the answer of `peer`; True when that was the last one to wait for."""
        self.waiting.discard(peer)
        if outcome is Outcome.LATE:
            self.dropped += 1
        elif outcome is Outcome.REFUSED:
            self.failed += 1
        else:
            self.delivered += 1
            self.failed += outcome is Outcome.FAILED
        self.reason = self.reason or reason
        return not self.waiting

    def gone(self, peer: str, reason: str) -> bool:
        """Note that `peer` will never answer; True when that was the last one to wait for."""
        self.waiting.discard(peer)
        self.lost += 1
        self.reason = self.reason or reason
        return not self.waiting


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
        """`peer` answers for events `first` to `last`; returns the pieces that wait for nobody any more.

        What is not pending, or does not wait for `peer`, is passed over: an answer may come twice.
        """
        pieces = self._streams.get(stream)
        if pieces is None or first > last:
            return []
        start = bisect_left(pieces, first, key=_first)
        if start and pieces[start - 1].last >= first:
            start -= 1
        done: list[Piece] = []
        kept: list[Piece] = []
        index = start
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
            (done if piece.answered(peer, outcome, reason) else kept).append(piece)
            if rest is not None:
                kept.append(rest)
        pieces[start:index] = kept  # at once: one by one would move all that follow each time
        if not pieces:
            del self._streams[stream]
        return done

    def gone(self, peer: str, reason: str) -> Iterator[tuple[str, Piece]]:
        """`peer` is gone for good: every piece that waits for it counts it lost. Yields those that are done by that."""
        for stream, pieces in list(self._streams.items()):
            done = [piece for piece in pieces if peer in piece.waiting and piece.gone(peer, reason)]
            if done:
                self._drop(stream, done)
                for piece in done:
                    yield stream, piece

    def _drop(self, stream: str, done: Iterable[Piece]) -> None:
        unwanted = {id(piece) for piece in done}
        rest = [piece for piece in self._streams[stream] if id(piece) not in unwanted]
        if rest:
            self._streams[stream] = rest
        else:
            del self._streams[stream]

    def forget(self, stream: str) -> None:
        """The publisher of `stream` is gone for good: nobody wants these answers."""
        self._streams.pop(stream, None)
