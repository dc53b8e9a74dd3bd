"""What becomes of routed events: whose answers are due, what the publishers are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

from nodeset.core.batch import MAX_RANGES, Confirm, Done, Events, Frame, Level, Outcome, Result
from nodeset.core.figures.histogram import Histogram
from nodeset.core.pending import Pending, Piece
from nodeset.core.ranges import addTo, merged, split
from nodeset.core.session import Session
from nodeset.errors import ProtocolError

__all__ = ["Answers", "Send"]

Send = tuple[Session, Frame]


class Answers:
    """The sessions by stream, what is pending among them, the frames that are to be sent."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.pending = Pending()
        self.counters: Counter[str] = Counter()
        #: Events that nodes did not get, by reason; of nodes that have left as well.
        self.drops: Counter[str] = Counter()
        #: How long it takes from routing an event until the last node has answered for it.
        self.delivery = Histogram()
        self.sends: list[Send] = []

    def drop(self, session: Session, reason: str, count: int) -> None:
        """So many events did not get to `session`."""
        self.drops[reason] += count
        session.countDrop(reason, count)

    def expect(self, run: Events, receivers: Iterable[Session], now: float = 0.0) -> None:
        """`run` goes to `receivers`: wait for their answers. Who asked for no more than this is told at once."""
        waiting = {session.stream for session in receivers}
        piece = Piece(run.first, run.last, waiting, len(waiting), run.level, now)
        if run.level is Level.ACCEPTED or not waiting:
            self.tell(run.stream, [attrs.evolve(piece, waiting=set())])
        if waiting:
            self.pending.add(run.stream, piece)

    def accepted(self, run: Events, matched: int) -> None:
        """Say again that `run` is queued for all that match, since its publisher asks again."""
        self.tell(run.stream, [Piece(run.first, run.last, set(), matched, run.level)])

    def confirm(self, session: Session, answer: Confirm, now: float) -> None:
        """`session` says what became of events that it was sent. Raises `ProtocolError`."""
        if answer.outcome is Outcome.LOST:
            raise ProtocolError("a node cannot say that an event was lost")

        def waits(run: Events) -> bool:
            return self.pending.waits(run.stream, run.first, run.last, session.stream)

        done: list[Piece] = []
        dropped = answer.outcome is Outcome.LATE or answer.outcome is Outcome.EXPIRED
        for first, last in merged(answer.ranges):  # each number once, however often it is named
            if dropped:
                waited = self.pending.within(answer.stream, first, last, session.stream)
                self.drop(session, answer.outcome.name.lower(), sum(end - begin + 1 for begin, end in waited))
            done += self.pending.answer(answer.stream, first, last, session.stream, answer.outcome, answer.reason)
            session.confirmed(answer.stream, first, last, waits)
        for piece in done:
            self.delivery.take(now - piece.routed, piece.last - piece.first + 1)
        self.tell(answer.stream, done)

    def settle(self, session: Session, run: Events, outcome: Outcome, counter: str, reason: str = "") -> None:
        """Answer for `session`, which was not asked."""
        self.counters[counter] += len(run.lengths)
        self.drop(session, counter, len(run.lengths))
        done = self.pending.answer(run.stream, run.first, run.last, session.stream, outcome, reason)
        self.tell(run.stream, done)

    def tell(self, stream: str, done: Iterable[Piece]) -> None:
        """Tell the publisher of `stream` what became of `done`, what is alike in one frame."""
        publisher = self.sessions.get(stream)
        if publisher is None or publisher.away:
            return
        answers: dict[tuple[Result, int, int, int, str], list[tuple[int, int]]] = {}
        for piece in done:
            if piece.level is Level.ACCEPTED and piece.delivered + piece.dropped + piece.lost + piece.failed:
                continue  # was told when it was queued
            result = Result.UNDELIVERED if piece.lost else Result.FAILED if piece.failed else Result.OK
            alike = (result, piece.matched, piece.delivered, piece.dropped, piece.reason)
            addTo(answers.setdefault(alike, []), piece.first, piece.last)
        self.sends += [
            (publisher, Done(part, *alike)) for alike, ranges in answers.items() for part in split(ranges, MAX_RANGES)
        ]
