"""Where a run of events goes."""

from __future__ import annotations

from nodeset.core.address import EventURI, parse
from nodeset.core.answers import Answers
from nodeset.core.batch import Events, Level, Mode
from nodeset.core.queueing import Queueing
from nodeset.core.routing import RouteEntry, RoutingTable
from nodeset.core.session import Quota, Session
from nodeset.core.takers import Takers

__all__ = ["Router"]

_Receiver = tuple[Session, Quota]


class Router:
    """Finds the sessions for a run, makes their queues take it."""

    def __init__(self, table: RoutingTable, answers: Answers, queueing: Queueing, takers: Takers) -> None:
        self._table, self._answers, self._queueing, self._takers = table, answers, queueing, takers
        #: Whose lack of room stopped the last run, if that alone can let it go on.
        self.blocker: Quota | None = None

    def route(self, run: Events, now: float) -> bool:
        """Whether all of `run` found its way; if not, it is to be tried again when there is room."""
        self.blocker = None
        uri = parse(run.event)
        matches = self._matches(uri, run)
        if run.again:
            return self._routeAgain(uri, run, matches, now)
        if run.mode is Mode.ONE:
            return self._toOne(uri, run, matches, now)
        return self._toAll(run, matches, now)

    def _matches(self, uri: EventURI, run: Events) -> list[RouteEntry]:
        """An autosubscribed route never gets its own node's events (D3); what is for one node goes to no other."""
        found = [entry for entry in self._table.lookup(uri) if entry.own or entry.peer != run.stream]
        return [entry for entry in found if entry.peer == run.to] if run.to else found

    # -- what was sent before

    def _routeAgain(self, uri: EventURI, run: Events, matches: list[RouteEntry], now: float) -> bool:
        """A resent run: what is pending is under way already, what somebody holds goes to him, the rest as if new."""
        at = run.first
        for first, last in [*self._answers.pending.within(run.stream, run.first, run.last), (run.last + 1, run.last)]:
            while at < first:
                begin, end, holder = self._takers.within(run.stream, at, first - 1)[0]
                # What is routed is pending from then on, so that trying again passes it over.
                if not self._routePart(uri, run.part(begin, end), matches, holder, now):
                    return False
                at = end + 1
            if run.level is Level.ACCEPTED and first <= last:
                self._answers.accepted(run.part(first, last), len(matches))
            at = max(at, last + 1)
        return True

    def _routePart(self, uri: EventURI, run: Events, matches: list[RouteEntry], holder: str | None, now: float) -> bool:
        if run.mode is Mode.ALL:
            return self._toAll(run, matches, now)
        session = self._answers.sessions.get(holder) if holder is not None else None
        if session is None or session.rights.maySubscribe(uri.eventName):  # anybody can say that he holds it
            return self._toOne(uri, run, matches, now)
        quota = next((session.quotas[entry] for entry in matches if entry.peer == holder), None)
        # It may have unsubscribed since; what it holds it still answers for.
        receiver = (session, quota or Quota())
        if self._blocked([receiver], now):
            return False
        self._give([receiver], run, now)
        return True

    # -- what is new

    def _toAll(self, run: Events, matches: list[RouteEntry], now: float) -> bool:
        receivers = [self._receiver(entry) for entry in matches]
        if self._blocked(receivers, now):
            self.blocker = next(quota for _session, quota in receivers if quota.blocks)
            return False
        self._give(receivers, run, now)
        return True

    def _toOne(self, uri: EventURI, run: Events, matches: list[RouteEntry], now: float) -> bool:
        """Deal `run` out, each a contiguous share; shares differ by one at most, in turn, so that the sum is fair exactly."""
        usable = self._usable(matches)
        if not usable:
            self._give([], run, now)
            return True
        turn = self._table.turn(uri)
        receivers = [self._receiver(entry) for entry in turn if entry in usable]
        if self._blocked(receivers, now):
            return False
        share, odd = divmod(len(run.lengths), len(receivers))
        for _ in range(odd):
            turn.take(usable.__contains__)
        at = run.first
        for index, receiver in enumerate(receivers):
            size = share + (index < odd)
            if size:
                self._give([receiver], run.part(at, at + size - 1), now)
                at += size
        return True

    def _blocked(self, receivers: list[_Receiver], now: float) -> bool:
        """Whether one of them has no room. Its queue may be full by other ways than `put`, and nobody may wait for ever."""
        full = [(session, quota) for session, quota in receivers if quota.blocks]
        for session, quota in full:
            self._queueing.watch(session, quota, now)
        return bool(full)

    def _receiver(self, entry: RouteEntry) -> _Receiver:
        session = self._answers.sessions[str(entry.peer)]
        return session, session.quotas[entry]

    def _usable(self, matches: list[RouteEntry]) -> set[RouteEntry]:
        """Who may take a mode-`one` event: the living with room, else the living, else whoever is away or suspect."""
        living = []
        room = []
        takers = []
        for entry in matches:
            session, quota = self._receiver(entry)
            if session.observes:
                continue
            takers.append(entry)
            if not session.away and not session.suspect and not quota.stalled:
                living.append(entry)
                if not quota.full:
                    room.append(entry)
        return set(room or living or takers)

    def _give(self, receivers: list[_Receiver], run: Events, now: float) -> None:
        self._answers.counters["published"] += len(run.lengths)
        self._answers.expect(run, [session for session, _quota in receivers], now)
        if run.mode is Mode.ONE:
            for session, _quota in receivers:
                self._takers.give(run.stream, run.first, run.last, session.stream)
        for session, quota in receivers:
            self._queueing.put(session, quota, run, now)

    # -- what its receiver will never answer

    def giveUp(self, session: Session, run: Events, reason: str, now: float) -> None:
        """`session` is gone: what it has not confirmed of `run` moves to another in mode `one`, is lost to it in mode `all`."""
        uri = parse(run.event)
        usable = self._usable(self._matches(uri, run)) if run.mode is Mode.ONE and run.level is not Level.ACCEPTED else set()
        if not usable:
            self._queueing.lose(session, run, reason)
            return
        pending = self._answers.pending
        for first, last in pending.within(run.stream, run.first, run.last, session.stream):
            entry = self._table.turn(uri).take(usable.__contains__)
            assert entry is not None, "the turn holds all that match"
            other, quota = self._receiver(entry)
            self._answers.counters["moved"] += last - first + 1
            pending.move(run.stream, first, last, session.stream, other.stream)
            self._takers.give(run.stream, first, last, other.stream)
            self._queueing.put(other, quota, run.part(first, last), now)
