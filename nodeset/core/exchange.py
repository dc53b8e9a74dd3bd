"""The rules of a dispatcher: who is there, what goes to whom, who is told what became of it.

Pure: what happened goes in, what is to be sent comes out, as `(session, frame)` in the order to send them. It stores no event:
a run that was routed is gone from here, only the ranges of sequence numbers that wait for an answer stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

from nodeset.core.address import ANY_NODE, LOCALHOST, EventURI, checkPart, isPattern, parse
from nodeset.core.batch import (
    MAX_EVENT,
    MAX_RANGES,
    MAX_REASON,
    Confirm,
    Done,
    Events,
    Frame,
    Hello,
    Level,
    Mode,
    Result,
    Subbed,
)
from nodeset.core.pending import Pending, Piece
from nodeset.core.ranges import addTo, merged, split
from nodeset.core.routing import RouteEntry, RoutingTable
from nodeset.errors import InvalidAddressing, ProtocolError, Refused

__all__ = ["Exchange", "Send", "Session"]


@attrs.define(eq=False)
class Session:
    """What a dispatcher knows of one node: its stream id, the TubID it is bound to, its label, its host.

    `entries` are its routes by the pattern as it was written; `spellings` has for each route all patterns that mean it (`ev`
    and `localhost/ev`, say), each with whether it wants the node's own events.
    """

    stream: str
    peer: str
    name: str
    host: str
    entries: dict[str, RouteEntry] = attrs.field(factory=dict)
    spellings: dict[RouteEntry, dict[str, bool]] = attrs.field(factory=dict)
    suspect: bool = False
    highest: int = 0


Send = tuple[Session, Frame]


class Exchange:
    """Routes runs of events between sessions.

    :param site: the host name that means this dispatcher, beside `localhost`.
    :param max_nodes: sessions at a time; one more is refused.
    """

    def __init__(self, site: str = LOCALHOST, max_nodes: int = 100_000, max_event: int = MAX_EVENT) -> None:
        self.table = RoutingTable(site)
        self.pending = Pending()
        self.sessions: dict[str, Session] = {}
        self.counters: Counter[str] = Counter()
        self._max_nodes = max_nodes
        self._max_event = max_event

    # -- coming, going

    def join(self, peer: str, hello: Hello) -> tuple[Session, list[tuple[str, str]], list[Send]]:
        """The node of `hello` opens a link; its TubID is `peer`.

        :return: its session, the subscriptions that were refused with the reason for each, and what is to be sent because
            of an older link of the same stream that this one replaces.
        :raise Refused: there are too many, or the stream belongs to somebody else.
        """
        old = self.sessions.get(hello.stream)
        if old is not None and old.peer != peer:
            raise Refused(f"stream {hello.stream[:6]}… is another node's; start anew to get one of your own")
        if old is None and len(self.sessions) >= self._max_nodes:
            raise Refused(f"this dispatcher takes {self._max_nodes} nodes, and all are here: try later")
        try:
            checkPart(hello.name, "node name")
            checkPart(hello.host, "host name")
        except InvalidAddressing as error:
            raise Refused(str(error)) from None
        sends = self.leave(old, "it came back on a new link") if old is not None else []
        session = Session(stream=hello.stream, peer=peer, name=hello.name, host=hello.host)
        self.sessions[session.stream] = session
        answers = [self.subscribe(session, pattern, own) for pattern, own in hello.subscriptions]
        return session, [(answer.pattern, answer.refused) for answer in answers if answer.refused], sends

    def leave(self, session: Session, reason: str = "it is gone") -> list[Send]:
        """`session` is over: its routes go, what it had not answered is lost to it, what it published nobody asks about."""
        if self.sessions.get(session.stream) is not session:
            return []
        del self.sessions[session.stream]
        for entry in session.spellings:
            self.table.remove(entry)
        self.pending.forget(session.stream)
        done: dict[str, list[Piece]] = {}
        for stream, piece in self.pending.gone(session.stream, f"{session.name}: {reason}"[:MAX_REASON]):
            done.setdefault(stream, []).append(piece)
        return [send for stream, pieces in done.items() for send in self._tell(stream, pieces)]

    # -- subscribing

    def subscribe(self, session: Session, pattern: str, own: bool) -> Subbed:
        """Subscribe `session` to `pattern`, which may bear the node's own label and host, nobody else's."""
        try:
            uri = parse(pattern)
        except InvalidAddressing as error:
            return Subbed(pattern, False, str(error))
        if uri.nodeName not in (ANY_NODE, session.name) or uri.hostName not in (LOCALHOST, self.table.site, session.host):
            reason = f"{pattern!r} is not an address of this node, {session.name}@{session.host}"
            return Subbed(pattern, False, reason[:MAX_REASON])
        entry = RouteEntry(session.stream, uri.eventName, session.name, session.host)
        spellings = session.spellings.setdefault(entry, {})
        spellings[pattern] = own
        session.entries[pattern] = entry
        self.table.add(attrs.evolve(entry, own=any(spellings.values())))
        return Subbed(pattern, True)

    def unsubscribe(self, session: Session, pattern: str) -> Subbed:
        """Undo `subscribe`."""
        entry = session.entries.pop(pattern, None)
        if entry is not None:
            spellings = session.spellings[entry]
            del spellings[pattern]
            if spellings:
                self.table.add(attrs.evolve(entry, own=any(spellings.values())))
            else:
                del session.spellings[entry]
                self.table.remove(entry)
        return Subbed(pattern, False)

    # -- routing

    def publish(self, session: Session, run: Events) -> list[Send]:
        """Route `run`, which `session` published.

        :raise ProtocolError: it has no business sending this; it shall lose its link.
        """
        try:
            uri = parse(run.event)
        except InvalidAddressing as error:
            raise ProtocolError(str(error)) from None
        if isPattern(uri.eventName):
            raise ProtocolError(f"{run.event!r} is a pattern: one subscribes to it, one does not publish to it")
        if max(run.lengths) > self._max_event:
            raise ProtocolError(f"an event of {max(run.lengths)} bytes is over the limit of {self._max_event}")
        if run.first <= session.highest:
            raise ProtocolError(f"sequence number {run.first} comes after {session.highest}")
        session.highest = run.last
        run.stream = session.stream
        self.counters["published"] += len(run.lengths)
        if run.mode is Mode.ONE:
            return self._toOne(session, uri, run)
        return self._toAll(session, uri, run)

    def _toAll(self, session: Session, uri: EventURI, run: Events) -> list[Send]:
        receivers = [self.sessions[str(entry.peer)] for entry in self._matches(session, uri)]
        self.counters["pubs"] += len(receivers) * len(run.lengths)
        sends: list[Send] = [(receiver, run) for receiver in receivers]
        waiting = {receiver.stream for receiver in receivers}
        return sends + self._await(session, Piece(run.first, run.last, waiting, len(waiting), run.level))

    def _toOne(self, session: Session, uri: EventURI, run: Events) -> list[Send]:
        """Deal `run` out, each a contiguous share; shares differ by one at most, in turn, so that the sum is fair exactly."""
        matches = self._matches(session, uri)
        living = {entry for entry in matches if not self.sessions[str(entry.peer)].suspect} or set(matches)
        if not living:
            return self._await(session, Piece(run.first, run.last, set(), 0, run.level))
        turn = self.table.turn(uri)
        share, odd = divmod(len(run.lengths), len(living))
        takers = [entry for entry in turn if entry in living]
        for _ in range(odd):
            turn.take(living.__contains__)
        sends: list[Send] = []
        at = offset = 0
        for index, entry in enumerate(takers):
            size = share + (index < odd)
            if not size:
                break
            lengths = run.lengths[at : at + size]
            length = sum(lengths)
            part = Events(
                run.stream,
                run.low,
                run.mode,
                run.again,
                run.event,
                run.first + at,
                run.level,
                lengths,
                run.headers,
                run.payloads[offset : offset + length],
            )
            at += size
            offset += length
            receiver = self.sessions[str(entry.peer)]
            sends.append((receiver, part))
            sends += self._await(session, Piece(part.first, part.last, {receiver.stream}, 1, run.level))
        self.counters["pubs"] += len(run.lengths)
        return sends

    def _matches(self, session: Session, uri: EventURI) -> list[RouteEntry]:
        return [entry for entry in self.table.lookup(uri) if entry.own or entry.peer != session.stream]

    def _await(self, session: Session, piece: Piece) -> list[Send]:
        """Wait for the answers to `piece`; when there is nothing to wait for, say so at once."""
        if piece.level is Level.ACCEPTED or not piece.waiting:
            return self._tell(session.stream, [piece])
        self.pending.add(session.stream, piece)
        return []

    # -- answers

    def confirm(self, session: Session, answer: Confirm) -> list[Send]:
        """`session` says what became of events that it was sent."""
        done: list[Piece] = []
        for first, last in merged(answer.ranges):  # each number once, however often it is named
            done += self.pending.answer(answer.stream, first, last, session.stream, answer.outcome, answer.reason)
        return self._tell(answer.stream, done)

    def _tell(self, stream: str, done: Iterable[Piece]) -> list[Send]:
        """Tell the publisher of `stream` what became of `done`, what is alike in one frame."""
        publisher = self.sessions.get(stream)
        if publisher is None:
            return []
        answers: dict[tuple[Result, int, int, int, str], list[tuple[int, int]]] = {}
        for piece in done:
            self.counters["lost"] += piece.lost * (piece.last - piece.first + 1)
            result = Result.UNDELIVERED if piece.lost else Result.FAILED if piece.failed else Result.OK
            alike = (result, piece.matched, piece.delivered, piece.dropped, piece.reason)
            addTo(answers.setdefault(alike, []), piece.first, piece.last)
        return [(publisher, Done(part, *alike)) for alike, ranges in answers.items() for part in split(ranges, MAX_RANGES)]
