"""A node's end of the protocol: one session with a dispatcher, across all the links that it takes.

It knows no message class, no handler, no wire: payloads are bytes, events go to one callable, links come from a `Transport`.
"""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from nodeset.core import batch as wire
from nodeset.core.address import OWN, parse
from nodeset.core.batch import Beat, Bye, Done, Events, Frame, Sub, Subbed, Took, Want
from nodeset.core.calls.callframes import Answer, Call, Item
from nodeset.core.calls.lane import LaneFrame
from nodeset.core.calls.phone import Phone
from nodeset.core.ear import Ear
from nodeset.core.figures.histogram import Lateness
from nodeset.core.figures.weight import weigh
from nodeset.core.heartbeat import INTERVAL, Heartbeat
from nodeset.core.hello import Hello, fitted, streamOf, unpackOpened
from nodeset.core.inbox import Inbox
from nodeset.core.limits import OBSERVER
from nodeset.core.link import Link, Transport
from nodeset.core.outbox import Outbox
from nodeset.core.publisher import Publisher
from nodeset.core.reconnector import makeReconnector, retryDelay
from nodeset.core.retained.keeping import Keeping
from nodeset.core.screen import Screen
from nodeset.core.shift import Shift
from nodeset.core.stretch import DeliverRun
from nodeset.core.subscriptions import Subscriptions
from nodeset.core.writer import BatchWriter
from nodeset.errors import BadFurl, GrantRefused, LinkLost, NodeSetError, ProtocolError, Refused, WrongIdentity
from nodeset.version import __version__

__all__ = ["Peer"]

#: The one whose heart we listen to.
_DISPATCHER = "dispatcher"


class Peer:
    """What a node says over a link, what it makes of the answers.

    :param deliver: called with the events that are received; see `DeliverRun`.
    :param opened: called each time a link is open.
    :param failed: called with the error when an attempt to link fails for a reason that waiting does not mend.
    :param lost: called with the reason, in one line, when a link is lost that was open.
    :param concurrency: events of one publisher that may be with the handlers at a time.
    :param phone: makes and answers calls; without one, none is answered.
    :param observes: whether mode-`one` events are to go past it.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        host: str,
        transport: Transport,
        clock: IReactorTime,
        deliver: DeliverRun,
        opened: Callable[[], None] = lambda: None,
        failed: Callable[[NodeSetError], None] = lambda error: None,
        lost: Callable[[str], None] = lambda reason: None,
        *,
        concurrency: int = 1,
        phone: Phone | None = None,
        observes: bool = False,
        outbox: Outbox | None = None,
        inbox: Inbox | None = None,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.name, self.host, self.observes = name, host, observes
        self._proof = secrets.token_urlsafe(16)
        self.stream = streamOf(self._proof)
        self.phone = Phone(self, {}, clock) if phone is None else phone
        self.counters: Counter[str] = self.phone.counters
        self._transport, self._clock = transport, clock
        self._opened, self._failed, self._lost = opened, failed, lost
        self._writer = BatchWriter(clock, self._nextBatch, self._nextCalls)
        self.phone.sendBy(self._writer)
        self.publisher = Publisher(Outbox() if outbox is None else outbox, clock, self._poke, self.counters)
        self.keeping = Keeping(self.publisher, clock, self._writer.write, self.counters)
        self._subscriptions = Subscriptions(self._writer.write, self._subscriptionRefused)
        self._inbox = Inbox(concurrency) if inbox is None else inbox
        self._screen = Screen(self._inbox, self.counters)
        self._shift = Shift(self._inbox, self._screen, deliver, clock, self._writer.write)
        self._heartbeat = Heartbeat()
        self._lateness, self._began = Lateness(INTERVAL), clock.seconds()
        self.phone.callee.figures = self.figures
        self._reconnector = makeReconnector(self, clock, lambda attempt: retryDelay(attempt, draw))
        self._beating = LoopingCall(self._beat)
        self._beating.clock = clock
        self._link: Link | None = None
        self._ear = Ear(self)
        self._told: list[Sub] = []
        self._untold: Sequence[Frame] = ()
        self._boot = ""
        self._leaving = False
        self._running = False
        self._complaint = ""
        self._ponged = False
        self._retiring: Deferred[None] | None = None

    # -- what the node asks for

    @property
    def linked(self) -> bool:
        """Whether a link is open now."""
        return self._link is not None

    @property
    def leaving(self) -> bool:
        """Whether nothing more is published over the link that is open, since one of both sides ends it."""
        return self._leaving

    @property
    def complaint(self) -> str:
        """Why no link is open, as far as that is known; empty while one is."""
        return self._complaint

    @property
    def met(self) -> bool:
        """Whether a link was ever open: then another one may well come."""
        return bool(self._boot)

    @property
    def busy(self) -> bool:
        """Whether a handler is being called just now."""
        return self._shift.busy

    def start(self) -> None:
        """Open a link, keep one open."""
        self._running = self._shift.open = True
        self._began = self._clock.seconds()
        self._lateness.begin(self._began)
        beating = self._beating.start(INTERVAL, now=False)
        beating.addErrback(lambda failure: self.log.failure("{name}: the heartbeat stopped", failure, name=self.name))
        self._reconnector.start()

    def retire(self, timeout: float) -> Deferred[None]:
        """Get everything published answered, everything received handled, say goodbye; fires then, or after `timeout` seconds.

        Nothing new is received in the meantime. To be followed by `stop`.
        """
        end = self._clock.seconds() + timeout
        self.keeping.stop()
        flushed = self.publisher.flush(timeout).addCallback(lambda none: self.phone.flush(end - self._clock.seconds()))
        return flushed.addCallback(lambda none: self._sayGoodbye(end - self._clock.seconds()))

    def _sayGoodbye(self, timeout: float) -> Deferred[None]:
        if self._link is None or timeout <= 0:
            return succeed(None)
        self._retiring = Deferred()
        self._writer.write(Bye("it stops"))
        return self._retiring.addTimeout(timeout, self._clock, onTimeoutCancel=lambda result, seconds: None)

    def _retired(self) -> None:
        retiring, self._retiring = self._retiring, None
        if retiring is not None and not retiring.called:
            retiring.callback(None)

    def stop(self) -> None:
        """Stop for good, now: what is not answered by now fails."""
        self._running = False
        self._reconnector.stop()
        if self._beating.running:
            self._beating.stop()
        self._shift.stop()
        self._leaving = True
        self._writer.flush()
        self._ear.deafen()
        self._forgetLink()
        self.phone.stop()
        self.publisher.stop()
        self._subscriptions.stop()

    def subscribe(self, sub: Sub) -> Deferred[bool]:
        """Hold a subscription from now on; see `Subscriptions.subscribe`."""
        active = self._subscriptions.subscribe(sub)
        self._watch(sub.pattern)
        return active

    def unsubscribe(self, pattern: str) -> Deferred[bool]:
        """Hold it no longer; see `Subscriptions.unsubscribe`."""
        over = self._subscriptions.unsubscribe(pattern)
        self._watch(pattern)
        return over.addCallback(self._screen.forget, pattern)

    def subscriptions(self) -> list[str]:
        """The patterns that are held, in order."""
        return [sub.pattern for sub in self._subscriptions.held()]

    def _watch(self, changed: str) -> None:
        """The subscription to this pattern has changed: whether it has to do with who is there."""
        if f"{OWN}." in changed:
            names = (parse(pattern).eventName for pattern in self.subscriptions())
            self._inbox.census.want([name for name in names if name.startswith(f"{OWN}.")])

    def _subscriptionRefused(self, pattern: str, reason: str) -> None:
        self._watch(pattern)
        self.log.warn("{name}: no subscription to {pattern}: {reason}", name=self.name, pattern=pattern, reason=reason)

    def figures(self) -> dict[str, Any]:
        """What this node measures of itself, for who calls its method `nodeset.figures`: its `version`, `uptime` in seconds,
        `lag` (the greatest lateness of its reactor in the last minute, in seconds), `rss` of its process in bytes (None where
        that is not known), `subscriptions`, and its `counters` since it was started.
        """
        now = self._clock.seconds()
        return {
            "version": __version__,
            "uptime": round(now - self._began, 3),
            "lag": round(self._lateness.worst(now), 6),
            "rss": weigh().rss,
            "subscriptions": len(self._subscriptions.held()),
            "counters": dict(self.counters),
        }

    def _poke(self) -> None:
        if not self._leaving:
            self._writer.poke()

    def _nextBatch(self) -> list[Events]:
        return [] if self._leaving else self.publisher.take()

    def _nextCalls(self) -> tuple[list[LaneFrame], int]:
        return self.phone.take(self._leaving)

    # -- the link, as the reconnector sees it

    def dial(self) -> Deferred[tuple[Link, bytes]]:
        """Try once to open a link, telling all that we subscribe to."""
        self._ear = Ear(self)
        self._told = self._subscriptions.held()
        hello = Hello(
            stream=self.stream,
            name=self.name,
            host=self.host,
            features=sorted([*wire.FEATURES, OBSERVER] if self.observes else wire.FEATURES),
            subscriptions=self._told,
            holds=self._inbox.holds(),
            retained=self.keeping.told(),
            boot=self._boot,
            software=f"nodeset {__version__}",
            methods=self.phone.callee.exposed,
            calls=self.phone.callee.holds(),
            proof=self._proof,
        )
        try:
            packed, self._untold = fitted(hello)
            return self._transport.dial(packed, self._ear)
        except NodeSetError as error:
            return fail(error)

    def linkOpened(self, link: Link, answer: bytes) -> None:
        """A link is open: what we subscribe to is active, what was not sent yet goes out."""
        opened = unpackOpened(answer)
        if opened.version != wire.VERSION:
            raise ProtocolError(f"the dispatcher picks version {opened.version} of the protocol, we speak {wire.VERSION}")
        if not opened.known:
            self._inbox.forgetUnbegun()
        restarted = opened.boot != self._boot
        self._link, self._boot, self._leaving, self._complaint = link, opened.boot, False, ""
        self._heartbeat.heard(_DISPATCHER, self._clock.seconds())
        self._inbox.census.met(opened.boot)
        self._writer.attach(link)
        for frame in (*self._untold, *self.keeping.untold()):
            self._writer.write(frame)
        self.log.info("{name} is linked to its dispatcher at {where}", name=self.name, where=self._transport.describe())
        self._subscriptions.opened(self._told, dict(opened.refused))
        self.publisher.linkOpened()
        if "calls" in opened.features:
            self.phone.linkOpened(opened.known, restarted)
        else:
            self.phone.unspoken()
        self._opened()

    def dialFailed(self, error: NodeSetError, pause: float) -> None:
        """An attempt failed: say so once for each new reason."""
        complaint = str(error)
        if complaint != self._complaint:
            self._complaint = complaint
            self.log.warn("{name} is not linked, keeps trying: {reason}", name=self.name, reason=complaint)
        if isinstance(error, GrantRefused):
            # Until another FURL is there: what is published or called meanwhile fails at the next attempt, or at once.
            self.publisher.refuse(complaint)
            self.phone.refuse(complaint)
        if isinstance(error, (Refused, WrongIdentity, BadFurl)):
            self._failed(error)

    def linkLost(self, reason: NodeSetError) -> None:
        """The link is gone; another one is dialled."""
        if self._link is None:
            return
        self.log.info("{name} lost its link, dials again: {reason}", name=self.name, reason=str(reason))
        self._complaint = str(reason)
        self._forgetLink()
        if self._running:
            self._reconnector.lost()
            self._lost(self._complaint)

    def _forgetLink(self) -> None:
        self._link = None
        self._writer.detach()
        self._heartbeat.forget(_DISPATCHER)
        self._inbox.linkLost()
        self._subscriptions.linkLost()
        self.keeping.linkLost()
        self.publisher.linkLost()
        self.phone.linkLost()
        self._retired()

    def _abort(self, reason: NodeSetError) -> None:
        link = self._link
        if link is not None:
            self._ear.deafen()
            link.abort()
            self.linkLost(reason)

    def _beat(self) -> None:
        now = self._clock.seconds()
        self._lateness.beat(now)
        self._inbox.expire(now)
        self.keeping.tick()
        self._heartbeat.looked(now)
        if self._heartbeat.silent(now):
            self._abort(LinkLost("the dispatcher fell silent"))
        elif not self._ponged:
            self._writer.write(Beat())
        self._ponged = False

    # -- what comes over it

    def batchReceived(self, batch: bytes) -> None:
        """One batch came from the dispatcher."""
        now = self._clock.seconds()
        self._heartbeat.heard(_DISPATCHER, now)
        events: list[Events] = []
        calls: list[LaneFrame] = []
        try:
            for frame in wire.unpack(batch):
                if type(frame) is Events:
                    events.append(frame)
                elif type(frame) is Answer or type(frame) is Call or type(frame) is Item:
                    calls.append(frame)
                else:
                    self._received(frame)
        except ProtocolError as error:
            self.log.error("{name}: the dispatcher breaks the protocol: {reason}", name=self.name, reason=str(error))
            self._abort(error)
            return
        if calls:
            self.phone.arrived(calls, now)
        if events:
            self.counters["received"] += sum(len(run.lengths) for run in events)
            self._shift.took(self._inbox.offer(events, now))
        self._shift.work()

    def _received(self, frame: Frame) -> None:
        match frame:
            case Done():
                self.publisher.done(frame)
            case Took():
                if frame.calls:
                    self.phone.received(frame)
                self.publisher.took(frame.batches)
            case Subbed():
                self._subscriptions.answered(frame)
            case Want():
                self.keeping.wanted(frame)
            case Beat():
                if frame.ping:
                    self._writer.write(Beat(pong=frame.ping))
                    self._ponged = True
            case Bye() if self._retiring is not None:
                self._retired()
            case Bye():
                self._leaving = True
                self.publisher.linkLeaving()
                self.log.info("{name}: the dispatcher is about to leave: {reason}", name=self.name, reason=frame.reason)
            case _:
                self.phone.received(frame)
