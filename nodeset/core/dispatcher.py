"""The dispatcher: it owns an exchange, the links of its nodes, the heartbeat.

transport --opening(peer, hello, link)--> EventDispatcher --(session, frame)--> BatchWriter of the session --> link
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from nodeset.core import batch as wire
from nodeset.core.address import LOCALHOST
from nodeset.core.batch import Beat, Bye, Confirm, Events, Frame, Held, Keep, Sub, Took, Unsub, Want
from nodeset.core.calls.callframes import Answer, Ask, Call, Cancel, Item, More
from nodeset.core.calls.lane import LaneFrame
from nodeset.core.exchange import Exchange, Session
from nodeset.core.figures.figures import Figures
from nodeset.core.figures.weight import weigh
from nodeset.core.grants.authority import Authority
from nodeset.core.grants.rights import MEMBER, Rights
from nodeset.core.grants.warrants import Warrants
from nodeset.core.heartbeat import Heartbeat
from nodeset.core.hello import Opened, packOpened, unpackHello
from nodeset.core.interfaces import IEventDispatcher
from nodeset.core.line import Line, pingSome
from nodeset.core.link import Link, Receiver
from nodeset.core.presence.listing import Listing
from nodeset.core.seldom import Seldom
from nodeset.core.streams.matchmaker import Matchmaker
from nodeset.core.waker import Waker
from nodeset.core.writer import BatchWriter
from nodeset.errors import LinkLost, NodeSetError, NotRunning, ProtocolError, Refused
from nodeset.version import __version__

__all__ = ["DRAIN_TIMEOUT", "EventDispatcher"]

#: Seconds that a stopping dispatcher gives what is under way (reliability row 25).
DRAIN_TIMEOUT = 10.0
#: How often to look who has fallen silent: silent for 20 s, then away for 2 s, its routes are to be gone within 25 s.
_LOOK = 1.0
#: How often a draining dispatcher looks whether it is done.
_DRAIN_LOOK = 0.05


@implementer(IEventDispatcher)
class EventDispatcher(Service):
    """Routes events between the nodes that open a link; an `Acceptor` for any transport.

    :param clock: by which hearts beat; make it a monotonic one.
    :param site: the host name that means this dispatcher, beside `localhost`.
    :param max_nodes: nodes at a time; one more is refused.
    :param max_event: bytes of one event, at most `batch.MAX_EVENT`.
    :param drain_timeout: seconds that `stopService` gives what is under way.
    :param verbose: log every run that is routed.
    :param fresh: whether nobody can know this dispatcher from before; with False it waits for them to come back (D6).
    :param authority: which grants count here; without one nobody can mint or revoke.
    :param weigh: returns what the process weighs: `rss`, `fds`, `max_fds`.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        site: str = LOCALHOST,
        max_nodes: int = 100_000,
        max_event: int = wire.MAX_EVENT,
        drain_timeout: float = DRAIN_TIMEOUT,
        verbose: bool = False,
        fresh: bool = True,
        authority: Authority | None = None,
        weigh: Callable[[], Any] = weigh,
    ) -> None:
        self.setName("nodeset-dispatcher")
        #: Random for each start; nodes tell by it whether they come back to the same one.
        self.boot = secrets.token_urlsafe(9)
        self.exchange = Exchange(clock.seconds(), self.boot, fresh, site, max_nodes, max_event)
        #: What nodes may ask of us, by calling the empty name.
        self.desk = self.exchange.calls.desk
        listing = Listing(self.exchange)
        self.desk.offer("nodes", lambda session, after="", name="": listing.page(clock.seconds(), after, name))
        about = {"site": site, "boot": self.boot, "max_nodes": max_nodes, "max_message": max_event}
        self._figures = Figures(self.exchange, about, _LOOK, self.getStats, weigh, time.time)
        self.desk.offer("stats", lambda session: self._figures.told(clock.seconds()))
        matchmaker = self._matchmaker = Matchmaker(
            self.exchange.table.lookup, self.exchange.answers.sessions.get, secrets.token_bytes(32)
        )
        self.desk.offer("streams", matchmaker.streams)
        self.desk.offer("unentitled", matchmaker.unentitled)
        self.exchange.calls.crews.admit = matchmaker.admit
        self._clock, self.drain_timeout, self.verbose = clock, drain_timeout, verbose
        self._lines: dict[str, Line] = {}
        self._tubs: Counter[str] = Counter()
        self._heartbeat = Heartbeat(interval=_LOOK)
        self._seldom = Seldom()
        self._looks = 0
        self._beating = LoopingCall(self._beat)
        self._beating.clock = clock
        self._draining = False
        self._waker = Waker(clock, self._tick)
        self.warrants: Warrants | None = None
        if authority is not None:
            self.honour(authority)

    def honour(self, authority: Authority) -> Warrants:
        """From now on `authority` says which grants count."""
        self.warrants = Warrants(authority, self.exchange, self._expel, secrets.token_bytes)
        self.warrants.offerAt(self.desk)
        return self.warrants

    # -- life

    def startService(self) -> None:
        """Take links."""
        Service.startService(self)
        self._draining = False
        self._figures.begin(self._clock.seconds())
        beating = self._beating.start(_LOOK, now=False)
        beating.addErrback(lambda failure: self.log.failure("the heartbeat stopped", failure))
        self._setAlarm()

    def stopService(self) -> Deferred[None]:
        """Drain, then lose all links. Fires when that is done, at the latest after `drain_timeout` seconds."""
        Service.stopService(self)
        return self.drain().addBoth(self._close)

    def die(self) -> None:
        """Stop without a word to anybody, as a process does that is killed: for tests of what others make of it."""
        Service.stopService(self)
        self._stopTimers()
        for line in self._lines.values():
            line.open = False
            line.writer.detach()
        self._lines.clear()
        self._tubs.clear()

    def drain(self) -> Deferred[None]:
        """Take no new link, ask the nodes to send no more events; fires when what was routed is answered, or too late."""
        was_draining, self._draining = self._draining, True
        for line in () if was_draining else self._lines.values():
            line.writer.write(Bye("the dispatcher is stopping"))
        deadline = self._clock.seconds() + self.drain_timeout
        drained: Deferred[None] = Deferred()
        look = LoopingCall(self._lookDrained, deadline, drained)
        look.clock = self._clock
        drained.addBoth(lambda result: look.stop() if look.running else None)
        look.start(_DRAIN_LOOK, now=not self._lines).addErrback(drained.errback)
        return drained

    def _lookDrained(self, deadline: float, drained: Deferred[None]) -> None:
        pending = self.exchange.underWay
        if not pending or self._clock.seconds() >= deadline:
            if pending:
                self.log.warn("stopping although {count} events or calls wait for an answer", count=pending)
            drained.callback(None)

    def _close(self, result: object) -> None:
        self._stopTimers()
        for line in list(self._lines.values()):
            line.writer.flush()
            self._forget(line)
            line.link.close()

    def _stopTimers(self) -> None:
        if self._beating.running:
            self._beating.stop()
        self._waker.stop()

    # -- links

    def opening(self, peer: str, hello: bytes, link: Link, rights: Rights = MEMBER) -> tuple[Receiver, bytes]:
        """A node opens a link; see `Acceptor.opening`."""
        if self._draining or not self.running:
            raise NotRunning("this dispatcher is stopping")
        said = unpackHello(hello)
        if not said.low <= wire.VERSION <= said.high:
            raise Refused(f"this dispatcher speaks version {wire.VERSION}, not {said.low} to {said.high}: update one of us")
        now = self._clock.seconds()
        session, known, refused = self.exchange.join(peer, said, now, rights)
        if (old := self._lines.get(session.stream)) is not None:
            self._forget(old)
        batches, calls = lambda: self._nextBatch(session), lambda: self._nextCalls(session)
        writer = BatchWriter(self._clock, batches, calls, self.exchange.answers.counters)
        line = Line(self, session, link, writer, len(self._lines))
        self._lines[session.stream] = line
        self._tubs[peer] += 1
        if self.warrants is not None:
            self.warrants.opened(session)
        line.writer.attach(link)
        self._heartbeat.heard(session.stream, now)
        self._carryOut()
        self.log.info(
            "{node}@{host} is here from {peer} with {count} subscriptions",
            node=session.name,
            host=session.host,
            peer=link.peer,
            count=len(session.entries),
        )
        opened = Opened(
            boot=self.boot,
            version=wire.VERSION,
            known=known,
            features=sorted(wire.FEATURES.intersection(said.features)),
            max_event=session.max_event,
            refused=refused,
            software=f"nodeset {__version__}",
        )
        return line, packOpened(opened)

    def _nextBatch(self, session: Session) -> list[Events]:
        batch = self.exchange.nextBatch(session, self._clock.seconds()) if session.owed else []
        if self.exchange.outlived:
            self._setAlarm()  # there are answers to be sent: not in the middle of a batch
        return batch

    def _nextCalls(self, session: Session) -> tuple[list[LaneFrame], int]:
        calls = self.exchange.calls
        batch = calls.nextBatch(session, self._clock.seconds())
        while calls.woken:  # those that learn that the time of their calls was over
            if (line := self._lines.get(calls.woken.popitem()[0])) is not None:
                line.writer.poke()
        return batch

    def received(self, line: Line, batch: bytes) -> None:
        """A batch came over a link. What breaks the protocol costs the link."""
        now = self._clock.seconds()
        self._heartbeat.heard(line.session.stream, now)
        if line.session.suspect:
            self.exchange.presence.heard(line.session, now)
        self.exchange.answers.counters["bytes_in"] += len(batch)
        events: list[Events] = []
        calls: list[LaneFrame] = []
        try:
            for frame in wire.unpack(batch):
                if not line.open:
                    break
                if type(frame) is Events:
                    events.append(frame)
                elif type(frame) is Call or type(frame) is Answer or type(frame) is Item:
                    calls.append(frame)
                else:
                    self._received(line, frame, now)
            if calls and line.open:
                self.exchange.calls.arrive(line.session, calls, now)
                self.exchange.retireIfIdle(line.session, now)
            if events and line.open:
                if self.verbose:
                    self._logRuns(line.session, events)
                self.exchange.arrive(line.session, events, now)
        except ProtocolError as error:
            self.exchange.answers.counters["protocol_errors"] += 1
            unsaid = self._seldom.mayI(now)
            if unsaid is not None:
                more = f" ({unsaid} more did since the last such line)" if unsaid else ""
                reason = f"{error}{more}"
                self.log.warn("{node} breaks the protocol, is cut off: {reason}", node=line.session.name, reason=reason)
            self._cutOff(line, error)
        self._carryOut()

    def _logRuns(self, session: Session, runs: list[Events]) -> None:
        for run in runs:
            self.log.info("{node} publishes {count} of {event}", node=session.name, count=len(run.lengths), event=run.event)

    def _received(self, line: Line, frame: Frame, now: float) -> None:
        session = line.session
        match frame:
            case Confirm():
                self.exchange.confirm(session, frame, now)
            case Took():
                self.exchange.calls.took(session, frame.calls)
                if frame.batches or not frame.calls:
                    self.exchange.took(session, frame.batches, now)
            case Sub():
                line.writer.write(self.exchange.subscribe(session, frame))
            case Unsub():
                line.writer.write(self.exchange.unsubscribe(session, frame.pattern, now))
            case Bye():
                self.exchange.retire(session, now)
            case Held():
                self.exchange.held(session, frame, now)
            case Keep() | Want():
                self.exchange.handing.said(session, frame)
            case Cancel() | More() | Ask():
                self.exchange.calls.said(session, frame, now)
            case Beat():
                if frame.pong and (took := line.ponged(frame.pong, now)) is not None:
                    self._figures.round_trip.take(took)
            case _:
                raise ProtocolError(f"a node does not send {type(frame).__name__}")

    def lost(self, line: Line, reason: NodeSetError) -> None:
        """A link is lost."""
        self._forget(line)
        session = line.session
        self.log.info("{node}@{host} is away: {reason}", node=session.name, host=session.host, reason=str(reason))
        self.exchange.lost(session, self._clock.seconds())
        self._carryOut()

    def _bidFarewell(self, line: Line, frame: Bye) -> None:
        session = line.session
        self.log.info("{node}@{host} has left: {reason}", node=session.name, host=session.host, reason=frame.reason)
        line.writer.flush()
        self._forget(line)
        if not self._tubs[session.peer]:
            line.link.close()  # but not while other members of a collection share the connection

    def _cutOff(self, line: Line, reason: NodeSetError) -> None:
        if line.open:
            self.lost(line, reason)
            line.link.abort()

    def _expel(self, session: Session, reason: str) -> None:
        """Its grant counts no longer: cut its link, let it come back as somebody else only."""
        self.exchange.leave(session, self._clock.seconds(), reason)
        self._matchmaker.expel(session)
        self.exchange.answers.counters["expelled"] += 1
        self.log.info("{node}@{host} is cut off: {reason}", node=session.name, host=session.host, reason=reason)
        line = self._lines.get(session.stream)
        if line is not None:
            self._forget(line)
            line.link.abort()
        self._carryOut()

    def _forget(self, line: Line) -> None:
        """This link is over, whatever becomes of its session."""
        line.open = False
        line.writer.detach()
        self._tubs[line.session.peer] -= 1
        if not self._tubs[line.session.peer]:
            del self._tubs[line.session.peer]
        stream = line.session.stream
        if self._lines.get(stream) is line:
            del self._lines[stream]
            self._heartbeat.forget(stream)

    def _carryOut(self) -> None:
        """Send what the exchange wants sent, wake up for it when it wants to be woken."""
        if self.exchange.handing.new:
            self.exchange.handing.ask(self._clock.seconds())
        for session, frame in self.exchange.takeSends():
            line = self._lines.get(session.stream)
            if line is not None:
                line.writer.write(frame)
                if type(frame) is Bye:
                    self._bidFarewell(line, frame)
        for session in self.exchange.takeWoken():
            line = self._lines.get(session.stream)
            if line is not None:
                line.writer.poke()
        self._setAlarm()

    def _setAlarm(self) -> None:
        if self.running:
            self._waker.set(self.exchange.nextAlarm())

    def _tick(self) -> None:
        self.exchange.tick(self._clock.seconds())
        self._carryOut()

    # -- time

    def _beat(self) -> None:
        now = self._clock.seconds()
        self._figures.beat(now)
        self._heartbeat.looked(now)
        if self.warrants is not None:
            self.warrants.look()
        for stream in self._heartbeat.silent(now):
            self.exchange.answers.counters["silent"] += 1
            self._cutOff(self._lines[str(stream)], LinkLost("it fell silent"))
        for stream in self._heartbeat.suspects(now):
            if not (session := self._lines[str(stream)].session).suspect:
                self.exchange.presence.suspect(session, now)
        self.exchange.look(now)
        self._carryOut()
        self._looks += 1
        pingSome(list(self._lines.values()), self._looks, self._clock)

    # -- asking it

    def getStats(self) -> dict[str, int]:
        """`subs` subscriptions are held by `nodes`, `pubs` deliveries were made of `published` events, and so on."""
        counters = {"subs": len(self.exchange.table), "pubs": 0, "nodes": len(self._lines)}
        counters["pending"] = len(self.exchange.answers.pending)
        counters.update(self.exchange.answers.counters)
        return counters
