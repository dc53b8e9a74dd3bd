"""Who is there, told by the dispatcher to whoever subscribed to `nodeset.node.up`, `.down`, `.suspect` or `.slow`.

Changes are written down once, for all watchers, in a list of bounded length; each watcher has its place in it and is sent what
follows when its link has credit, so a watcher that does not read costs nothing and holds nobody up. One that falls off the end
is handed the present state of everybody instead, as is every newcomer, and everybody over each new link.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from nodeset.core.alarms import Alarms
from nodeset.core.answers import Answers
from nodeset.core.batch import MAX_EVENTS, MAX_QUEUED, MAX_REASON, NO_HEADERS, TARGET, Confirm, Events, Level, Mode
from nodeset.core.presence.standing import BEGIN, DOWN, END, EVENTS, SLOW, SNAPSHOT, SUSPECT, UP, Told, packTold, watched
from nodeset.core.routing import RouteEntry
from nodeset.core.session import INNER, STALL, Quota, Session, Slow, Watch

__all__ = ["MAX_LOG", "Presence"]

#: Changes that are kept for watchers that have not confirmed them, as many as events are queued for a subscription.
MAX_LOG = MAX_QUEUED
#: How often those are let go of that everybody has, in changes.
_PRUNE = 256
#: Bytes that a run takes beside its payloads, generously: a batch of many short runs has its limits as well. Bytes of a length.
_RUN, _LENGTH = 256, 5


class Presence:
    """The states of all sessions, with what is told of them.

    :param stream: the dispatcher's own stream id.
    :param answers: the sessions, with the counters.
    :param woken: gets the sessions for which `take` has something.
    :param settled: whether those that are on the way back are here, so that a snapshot tells no lie.
    """

    def __init__(
        self, stream: str, answers: Answers, alarms: Alarms, woken: dict[str, Session], settled: bool, most: int = MAX_LOG
    ) -> None:
        self._stream, self._sessions, self._counters = stream, answers.sessions, answers.counters
        self._drop = answers.drop
        self._alarms, self._woken, self._most = alarms, woken, most
        self.settled = settled
        self._order: list[str] = []
        self._watchers: dict[str, Session] = {}
        #: Changes with the name of their event; the first one has the number `_before + 1`.
        self._log: list[tuple[str, bytes]] = []
        self._before = 0

    @property
    def streams(self) -> list[str]:
        """The stream ids of all sessions, sorted. Do not change it."""
        return self._order

    # -- what happens to nodes

    def joined(self, session: Session, now: float) -> None:
        """A new session is there."""
        if session.peer == INNER:
            return
        insort(self._order, session.stream)
        self.look(session, now, "it joined")

    def rejoined(self, session: Session, now: float) -> None:
        """A session that was away has a new link: what was lost with the old one is told again."""
        watch = session.watch
        if watch is not None:
            watch.sent = watch.had
            self._tellAll(session, watch)
        if session.slow is not None and session.slow.stalled:
            session.slow = None
        self.look(session, now, "it is back")

    def left(self, session: Session, reason: str, now: float) -> None:
        """A session is gone."""
        session.watch = None
        self._watchers.pop(session.stream, None)
        at = bisect_left(self._order, session.stream)
        if self._order[at : at + 1] != [session.stream]:
            return
        del self._order[at]
        self._prune()
        self._change(session, DOWN, reason, now)

    def suspect(self, session: Session, now: float) -> None:
        """A session has not been heard for a while."""
        session.suspect = True
        self.look(session, now, "it was not heard for a while")

    def heard(self, session: Session, now: float) -> None:
        """One that was suspect is heard again."""
        session.suspect = False
        self.look(session, now, "it is heard again")

    def slowed(self, session: Session, quota: Quota, count: int, now: float) -> None:
        """So many events for a full queue of a session were dropped: by its policy, or, if it is stalled, the whole queue."""
        slow = session.slow
        if slow is not None:
            slow.at, slow.dropped, slow.stalled = now, slow.dropped + count, slow.stalled or quota.stalled
            return
        pattern = next((entry.pattern for entry, each in session.quotas.items() if each is quota), "")
        queued = quota.events + count if quota.stalled else quota.events
        slow = session.slow = Slow(pattern, queued, quota.stalled, now, count)
        if quota.stalled:
            self.look(session, now, f"its queue for {pattern!r} was full for {STALL:g} s and was dropped"[:MAX_REASON])
            return

        def lookAgain(later: float) -> None:
            if session.slow is not slow:
                return
            if later < slow.at + STALL - 1e-6:
                self._alarms.at(slow.at + STALL, lookAgain)
            elif not slow.stalled:
                session.slow = None
                self.look(session, later, f"nothing was dropped for {STALL:g} s")

        self._alarms.at(now + STALL, lookAgain)
        self.look(session, now, f"its queue for {pattern!r} is full: events are dropped"[:MAX_REASON])

    def flowing(self, session: Session, now: float) -> None:
        """A session took a batch again."""
        if session.slow is not None and session.slow.stalled:
            session.slow = None
            self.look(session, now, "it takes events in again")

    def look(self, session: Session, now: float, reason: str) -> None:
        """Tell it if the state of `session` is another one than was told."""
        state = SUSPECT if session.suspect else SLOW if session.slow is not None else UP
        if state != session.state and session.state != DOWN and session.peer != INNER:
            self._change(session, state, reason, now)

    def _change(self, session: Session, state: str, reason: str, now: float) -> None:
        was, session.state, session.since = session.state, state, now
        if not self._watchers:
            self._before += 1
            return
        self._log.append((EVENTS[state], self._pack(session, was, reason)))
        self._woken.update(self._watchers)
        if not len(self._log) % _PRUNE:
            self._prune()

    def _pack(self, session: Session, was: str = "", reason: str = "") -> bytes:
        told = Told(session.name, session.host, session.peer, session.stream, session.state, was, reason)
        if session.slow is not None:
            told.pattern, told.queued, told.dropped = session.slow.pattern, session.slow.queued, session.slow.dropped
        return packTold(told)

    def _prune(self) -> None:
        """Let go of changes that everybody has, and of the oldest of too many."""
        newest = self._before + len(self._log)
        had = min((session.watch.had for session in self._watchers.values() if session.watch is not None), default=newest)
        gone = max(had - self._before, len(self._log) - self._most, 0)
        del self._log[:gone]
        self._before += gone

    # -- who watches

    def subscribed(self, session: Session, entry: RouteEntry) -> None:
        """`session` subscribed to `entry`: it is handed a snapshot if that has to do with us."""
        states = watched(entry.pattern)
        if not states:
            return
        if session.watch is None:
            newest = self._before + len(self._log)
            session.watch = Watch(sent=newest, had=newest)
            self._watchers[session.stream] = session
        session.watch.patterns[entry] = states
        self._tellAll(session, session.watch)

    def unsubscribed(self, session: Session, entry: RouteEntry) -> None:
        """Undo `subscribed`."""
        watch = session.watch
        if watch is not None and watch.patterns.pop(entry, None) is not None and not watch.patterns:
            session.watch = None
            del self._watchers[session.stream]
            self._prune()

    def _tellAll(self, session: Session, watch: Watch) -> None:
        watch.anew, watch.reached = session.census, None
        self._woken[session.stream] = session

    def settle(self) -> None:
        """All that were on the way back are here: now a snapshot says how it is."""
        self.settled = True
        self._woken.update(self._watchers)

    def confirmed(self, session: Session, answer: Confirm) -> None:
        """`session` has had what it was told."""
        if session.watch is not None:
            watch = session.watch
            watch.had = max(watch.had, min(watch.sent, max((last for _first, last in answer.ranges), default=0)))

    # -- what they are sent

    def take(self, session: Session) -> list[Events]:
        """The next batch for a watcher, if its link has credit: changes first, then more of its snapshot.

        Everything in a snapshot is made when all changes before it were sent, so that they never contradict each other.
        """
        watch = session.watch
        if watch is None or session.credit <= 0 or session.away:
            return []
        if watch.yields and session.queued:
            watch.yields = False
            return []
        batch: list[Events] = []
        size = self._takeChanges(session, watch, batch)
        if watch.anew and self.settled and size < TARGET:
            self._takeSnapshot(watch, batch, TARGET - size)
        if batch:
            session.credit -= 1
            watch.yields = True  # its other events are not to wait until ten thousand nodes were told
        return batch

    def _takeChanges(self, session: Session, watch: Watch, batch: list[Events]) -> int:
        if watch.sent < self._before:
            missed = self._before - watch.sent
            self._counters["presence_dropped"] += missed
            self._drop(session, "presence", missed)
            watch.sent = self._before
            self._tellAll(session, watch)
        log, at, size = self._log, watch.sent - self._before, 0
        while at < len(log) and size < TARGET:
            event, start = log[at][0], at
            size += _RUN
            while at < len(log) and log[at][0] == event and size < TARGET and at - start < MAX_EVENTS:
                size += len(log[at][1]) + _LENGTH
                at += 1
            # A node with a census needs to know of all, to know later what it has missed; it shows what was asked for.
            if session.census or any(event == EVENTS[state] for states in watch.patterns.values() for state in states):
                batch.append(self._run(event, self._before + start + 1, [payload for _event, payload in log[start:at]]))
        watch.sent = self._before + at
        return size

    def _takeSnapshot(self, watch: Watch, batch: list[Events], room: int) -> None:
        if watch.reached is None:
            batch.append(self._run(BEGIN, 0, [b"{}"]))
            watch.reached = ""
        at = bisect_right(self._order, watch.reached)
        payloads: list[bytes] = []
        while at < len(self._order) and room > 0 and len(payloads) < MAX_EVENTS:
            payloads.append(self._pack(self._sessions[self._order[at]]))
            room -= len(payloads[-1]) + _LENGTH
            watch.reached = self._order[at]
            at += 1
        if payloads:
            batch.append(self._run(SNAPSHOT, 0, payloads))
        if at == len(self._order):
            batch.append(self._run(END, 0, [b"{}"]))
            watch.anew, watch.reached = False, None

    def _run(self, event: str, first: int, payloads: list[bytes]) -> Events:
        lengths = [len(payload) for payload in payloads]
        packed = b"".join(payloads)
        return Events(self._stream, first, Mode.ALL, False, event, first, Level.ACCEPTED, lengths, NO_HEADERS, packed)
