"""The rules of a dispatcher: who is there, whose turn it is to wait.

Pure: what happened goes in with the time, what is to be sent comes out. It stores no event but those that are on their way:
what a node was sent and has not confirmed it gets again when it comes back, what a publisher has not had confirmed it resends
itself.
"""

from __future__ import annotations

import sys

import attrs

from nodeset.core.address import LOCALHOST, parse
from nodeset.core.alarms import Alarms
from nodeset.core.answers import Answers, Send
from nodeset.core.batch import (
    MAX_EVENT,
    MAX_REASON,
    WINDOW,
    Bye,
    Confirm,
    Events,
    Held,
    Sub,
    Subbed,
    Took,
)
from nodeset.core.calls.switchboard import Switchboard
from nodeset.core.grants.admission import Admission
from nodeset.core.grants.rights import MEMBER, Rights
from nodeset.core.hello import Hello
from nodeset.core.lifetime import endOf, resent
from nodeset.core.presence.telling import Presence
from nodeset.core.queueing import Queueing
from nodeset.core.retained.handing import Handing
from nodeset.core.router import Router
from nodeset.core.routing import RouteEntry, RoutingTable
from nodeset.core.session import Quota, Session
from nodeset.core.settling import REJOIN, SETTLE, SETTLE_MOST, Settling
from nodeset.core.takers import STREAM_EXPIRY, Takers
from nodeset.errors import InvalidAddressing, ProtocolError, Refused

__all__ = ["AWAY", "MAX_HELD", "REJOIN", "SETTLE", "SETTLE_MOST", "Exchange", "Session"]

#: Seconds for which a node whose link is lost is *away*: back within them it gets all that it has not confirmed.
AWAY = 2.0
#: Ranges of mode-`one` events that one node may say it holds over one link; ten publishers as far ahead as they may be.
MAX_HELD = 1_000_000


class Exchange:
    """The sessions of a dispatcher. Every method that takes `now` wants seconds of a monotonic clock.

    After each call `takeSends` has what is to be sent, `takeWoken` the sessions for which `nextBatch` has something,
    `nextAlarm` the time at which to call `tick`.

    :param boot: the dispatcher's random mark of this start.
    :param fresh: whether this is the first start ever, so that nobody can be on the way back.
    :param site: the host name that means this dispatcher, beside `localhost`.
    :param max_nodes: sessions at a time; one more is refused.
    :param max_event: bytes of one event.
    """

    def __init__(
        self,
        now: float = 0.0,
        boot: str = "",
        fresh: bool = True,
        site: str = LOCALHOST,
        max_nodes: int = 100_000,
        max_event: int = MAX_EVENT,
    ) -> None:
        self.table = RoutingTable(site)
        self.answers = Answers()
        self._sessions, self._pending = self.answers.sessions, self.answers.pending
        self._alarms = Alarms()
        self._settling = Settling(now, fresh, self._alarms, self._kick)
        self.handing = Handing(self.table, self.answers, self._alarms, self._settling.isOver)
        self._takers = Takers()
        self._queueing = Queueing(self.answers, self._alarms, self._kick)
        self.outlived = self._queueing.outlived
        self.presence = Presence(boot, self.answers, self._alarms, self._queueing.woken, fresh)
        self._queueing.slowed = self.presence.slowed
        self._admission = Admission(self.answers, site)
        self._router = Router(self.table, self.answers, self._queueing, self._takers)
        self.calls = Switchboard(site, self._queueing.woken, self.answers, self._settling.isOver)
        self._blocked: dict[str, Session] = {}
        self._boot = boot
        self.max_nodes, self.max_event = max_nodes, max_event
        self._alarms.at(now + STREAM_EXPIRY, self._expireStreams)

    # -- what comes out

    def takeSends(self) -> list[Send]:
        """The frames to send, in order; each is returned once."""
        sends, self.answers.sends = self.answers.sends, []
        return sends

    def takeWoken(self) -> list[Session]:
        """The sessions to ask `nextBatch` for."""
        woken = list(self._queueing.woken.values())
        self._queueing.woken.clear()
        return woken

    def nextBatch(self, session: Session, now: float = 0.0) -> list[Events]:
        """The next batch of events for `session`, empty when there is none or no credit."""
        told = self.presence.take(session) if session.watch is not None else None
        return told or self._queueing.take(session, now)

    def nextAlarm(self) -> float | None:
        """When to call `tick` next; at once when some were `outlived`."""
        return 0.0 if self.outlived else self._alarms.next()

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._alarms.ring(now)
        while self.outlived:
            self.retireIfIdle(self.outlived.pop(), now)
            self._kick(now)

    def look(self, now: float) -> None:
        """Look for calls that nobody answers; to be called every second or so."""
        for session in self.calls.sweep(now):
            self.retireIfIdle(session, now)

    @property
    def underWay(self) -> int:
        """How many events are not answered, or not even routed."""
        held = sum(len(run.lengths) for session in self._blocked.values() for batch in session.arrived for run in batch)
        return len(self._pending) + held + self.calls.underWay

    # -- coming, going

    def join(self, peer: str, hello: Hello, now: float, rights: Rights = MEMBER) -> tuple[Session, bool, list[tuple[str, str]]]:
        """The node of `hello` opens a link; its TubID is `peer`.

        :param rights: what the grant allows that it has shown.
        :return: its session, whether that was known, the subscriptions that were refused with the reason for each.
        :raise Refused: there are too many, or the stream, or the grant, belongs to somebody else.
        """
        self.handing.check(hello.retained)
        self._admission.welcome(peer, hello, rights)
        session = self._sessions.get(hello.stream)
        known = session is not None
        if session is not None and session.peer != peer:
            raise Refused(f"stream {hello.stream[:6]}… is another node's; start anew to get one of your own")
        if hello.stream == self._boot:
            raise Refused("that stream is the dispatcher's own; start anew to get one of your own")
        if session is None:
            session = self._newSession(peer, hello, now)
        session.introduce(hello)
        session.hold(rights)
        session.away_since, session.suspect, session.credit, session.highest = None, False, WINDOW, 0
        session.retiring = False
        session.arrived.clear()
        session.position = 0
        self._blocked.pop(session.stream, None)
        self.handing.joined(session, known, hello.retained)
        refused = self._replaceSubscriptions(session, hello.subscriptions)
        for quota in session.quotas.values():
            quota.stalled = False
        if known:
            self.presence.rejoined(session, now)
        session.told = 0
        for hold in hello.holds:
            self._hold(session, Held(*hold), now)
        for run, quota in session.takeBack():
            for first, last in self._pending.within(run.stream, run.first, run.last, session.stream):
                session.put(resent(run.part(first, last)), quota)
        restarted = bool(hello.boot) and hello.boot != self._boot
        self.calls.join(session, hello, restarted)
        if restarted:
            self._settling.rejoined(now)
        if session.queued:
            self._queueing.woken[session.stream] = session
        self._kick(now)
        return session, known, refused

    def _newSession(self, peer: str, hello: Hello, now: float) -> Session:
        if len(self._sessions) >= self.max_nodes:
            raise Refused(f"this dispatcher takes {self.max_nodes} nodes, and all are here: try later")
        session = Session(stream=hello.stream, peer=peer, name=hello.name, host=hello.host, max_event=self.max_event)
        session.software = sys.intern(hello.software)  # the same few in thousands of sessions
        self._sessions[session.stream] = session
        self.presence.joined(session, now)
        return session

    def _replaceSubscriptions(self, session: Session, subscriptions: list[Sub]) -> list[tuple[str, str]]:
        wanted = {sub.pattern for sub in subscriptions}
        for pattern in [pattern for pattern in session.entries if pattern not in wanted]:
            self._unsubscribe(session, pattern)
        answers = [self.subscribe(session, sub) for sub in subscriptions]
        return [(answer.pattern, answer.refused) for answer in answers if answer.refused]

    def lost(self, session: Session, now: float) -> None:
        """The link of `session` is lost: it is away for a while, then gone."""
        if not self._isHere(session) or session.away:
            return
        if session.retiring:
            self.leave(session, now, "it left")
            return
        session.away_since = now
        self.calls.lost(session)
        session.arrived.clear()
        session.position = 0
        self._blocked.pop(session.stream, None)

        def gone(later: float) -> None:
            if session.away_since == now:
                self.leave(session, later, "its link was lost")

        self._alarms.at(now + AWAY, gone)

    def retire(self, session: Session, now: float) -> None:
        """`session` wants to leave: it gets nothing new; when it has answered for all that it got, it is told goodbye."""
        for pattern in list(session.entries):
            self._unsubscribe(session, pattern)
        session.retiring = True
        self.handing.left(session)
        self.calls.retire(session)
        self._kick(now)
        self.retireIfIdle(session, now)

    def retireIfIdle(self, session: Session, now: float) -> None:
        """If `session` wanted to leave, let it as soon as it has answered for all that it got."""
        if session.retiring and session.idle and self._isHere(session) and self.calls.isIdle(session):
            self.answers.sends.append((session, Bye("goodbye")))
            self.leave(session, now, "it left")

    def leave(self, session: Session, now: float, reason: str) -> None:
        """`session` is gone: its routes go; mode `one` moves to others, all else that it has not confirmed is lost to it."""
        if not self._isHere(session):
            return
        del self._sessions[session.stream]
        self.handing.left(session)
        self._blocked.pop(session.stream, None)
        self._queueing.woken.pop(session.stream, None)
        for entry in session.spellings:
            self.table.remove(entry)
        self.presence.left(session, reason, now)
        session.away_since = now if session.away_since is None else session.away_since
        self.calls.leave(session, reason)
        for run, _quota in session.takeBack():
            self._router.giveUp(session, run, f"{session.name}: {reason}"[:MAX_REASON], now)
        self._kick(now)

    def _isHere(self, session: Session) -> bool:
        return self._sessions.get(session.stream) is session

    def held(self, session: Session, held: Held, now: float) -> None:
        """`session` says which mode-`one` events it holds. Raises `ProtocolError` for more than anybody can."""
        self._hold(session, held, now)
        if session.told > MAX_HELD:
            raise ProtocolError(f"a node cannot hold events in more than {MAX_HELD} ranges")

    def _hold(self, session: Session, held: Held, now: float) -> None:
        for ranges, begun in ((held.begun, True), (held.unbegun, False)):
            if session.told <= MAX_HELD:
                left = MAX_HELD - session.told
                session.told += 1 + self._takers.told(held.stream, ranges, session.stream, begun, now, left)

    # -- subscribing

    def subscribe(self, session: Session, sub: Sub) -> Subbed:
        """Subscribe `session` to a pattern, which may bear the node's own label and host, another's if its grant says so."""
        try:
            uri = parse(sub.pattern)
        except InvalidAddressing as error:
            return Subbed(sub.pattern, False, str(error))
        if why := self._admission.whyNot(session, uri):
            self._unsubscribe(session, sub.pattern)  # which an earlier grant may have allowed
            self.answers.counters["refused_subscriptions"] += 1
            return Subbed(sub.pattern, False, why[:MAX_REASON])
        if session.retiring or not self._isHere(session):
            return Subbed(sub.pattern, False, f"{session.name} has left")
        if why := self._admission.noRoom(session, sub.pattern, uri):
            return Subbed(sub.pattern, False, why)
        entry = RouteEntry(session.stream, uri.eventName, self._admission.alias(session, uri), session.host)
        if session.entries.get(sub.pattern, entry) != entry:
            self._unsubscribe(session, sub.pattern)
        session.branches += 0 if sub.pattern in session.entries else uri.branches
        spellings = session.spellings.setdefault(entry, {})
        if sub.own and not any(spellings.values()):
            self.handing.subscribed(entry)  # it wants its own last values as well now
        spellings[sub.pattern] = sub.own
        session.entries[sub.pattern] = entry
        self.table.add(attrs.evolve(entry, own=any(spellings.values())))
        quota = session.quotas.setdefault(entry, Quota())
        quota.policy, quota.max_events, quota.max_bytes = sub.policy, sub.max_events, sub.max_bytes
        self.presence.subscribed(session, entry)
        return Subbed(sub.pattern, True)

    def unsubscribe(self, session: Session, pattern: str, now: float) -> Subbed:
        """Undo `subscribe`; what is on its way still comes. Publishers that waited for its queue go on."""
        if self._unsubscribe(session, pattern):
            self._kick(now)
        return Subbed(pattern, False)

    def _unsubscribe(self, session: Session, pattern: str) -> bool:
        """The same; whether somebody may have waited for it."""
        entry = session.entries.pop(pattern, None)
        if entry is None:
            return False
        session.branches -= parse(pattern).branches
        spellings = session.spellings[entry]
        del spellings[pattern]
        if spellings:
            self.table.add(attrs.evolve(entry, own=any(spellings.values())))
            return False
        quota = session.quotas.pop(entry)
        del session.spellings[entry]
        session.shrink()
        self.table.remove(entry)
        self.presence.unsubscribed(session, entry)
        awaited, quota.closed = quota.blocks, True
        return awaited

    # -- publishing

    def arrive(self, session: Session, batch: list[Events], now: float) -> None:
        """`session` published a batch of runs: route them, or hold them until there is room.

        :raise ProtocolError: it has no business sending this; it shall lose its link.
        """
        if not self._isHere(session):
            return  # said in one breath with its goodbye
        if len(session.arrived) >= WINDOW:
            raise ProtocolError(f"more than {WINDOW} batches came without credit")
        for run in batch:
            self._admission.check(session, run)
            run.stream = session.stream
            if run.ttl:
                run.ttl = endOf(run.ttl, now)
        self._takers.heard(session.stream, batch[-1].low, now)
        batch = self._admission.admit(session, batch, now)
        session.arrived.append(batch)
        self._route(session, now)

    def _kick(self, now: float) -> None:
        """Try again what was held, but for what is sure to be held again: ten publishers may wait for one slow subscriber."""
        if not self.presence.settled and self._settling.isOver(now):
            self.presence.settle()
        for session in list(self._blocked.values()):
            blocker = session.blocker
            # A queue that is full since some time is watched: it will have room, or be dropped.
            if blocker is None or blocker.full_since is None or not blocker.blocks:
                self._route(session, now)
        self.calls.release(now)

    def _route(self, session: Session, now: float) -> None:
        session.blocker = None
        if not self._settling.isOver(now):
            self._blocked[session.stream] = session
            return
        routed = 0
        while session.arrived:
            batch = session.arrived[0]
            while session.position < len(batch):
                if not self._router.route(batch[session.position], now):
                    self._blocked[session.stream], session.blocker = session, self._router.blocker
                    self._credit(session, routed)
                    return
                session.position += 1
            del session.arrived[0]
            session.position = 0
            routed += 1
        self._blocked.pop(session.stream, None)
        self._credit(session, routed)

    def _credit(self, session: Session, batches: int) -> None:
        if batches and not session.away:
            self.answers.sends.append((session, Took(batches)))

    # -- answers

    def took(self, session: Session, batches: int, now: float) -> None:
        """`session` has taken batches in: it may get as many more."""
        session.credit = min(WINDOW, session.credit + batches)
        for quota in session.quotas.values():
            quota.stalled = False
        if session.slow is not None:
            self.presence.flowing(session, now)
        if session.queued or session.watch is not None:
            self._queueing.woken[session.stream] = session
        self._kick(now)

    def confirm(self, session: Session, answer: Confirm, now: float) -> None:
        """`session` says what became of events that it was sent. Raises `ProtocolError`."""
        if answer.stream == self._boot:
            self.presence.confirmed(session, answer)
            return
        self.answers.confirm(session, answer, now)
        if session.retiring:
            self.retireIfIdle(session, now)

    def _expireStreams(self, now: float) -> None:
        for stream in self._takers.expire(now, self._sessions):
            self._pending.forget(stream)
        self._alarms.at(now + STREAM_EXPIRY / 10, self._expireStreams)
