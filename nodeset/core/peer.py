"""A node's end of the protocol: one session with a dispatcher, across all the links that it takes.

It knows no message class, no handler, no wire: payloads are bytes, events go to one callable, links come from a `Transport`.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable

import msgspec
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from nodeset.core import batch as wire
from nodeset.core.batch import Beat, Bye, Done, Events, Frame, Level, Mode, Outcome, Subbed, Took
from nodeset.core.heartbeat import INTERVAL, Heartbeat
from nodeset.core.inbox import Delivery, Inbox
from nodeset.core.link import Link, Transport
from nodeset.core.outbox import Outbox
from nodeset.core.publisher import Publisher
from nodeset.core.reconnector import makeReconnector, retryDelay
from nodeset.core.subscriptions import Subscriptions
from nodeset.core.writer import BatchWriter
from nodeset.errors import BadFurl, LinkLost, NodeSetError, ProtocolError, Receipt, Refused, WrongIdentity
from nodeset.version import __version__

__all__ = ["Peer"]

#: How long handlers may work in one go, in seconds, before the reactor gets a turn.
_SLICE = 0.01
#: How many events they may see in one go.
_SLICE_EVENTS = 1000
#: The one whose heart we listen to.
_DISPATCHER = "dispatcher"


class _Ear:
    """Hears one link for its peer; what an older link still says falls on a deaf one."""

    def __init__(self, peer: Peer) -> None:
        self._peer: Peer | None = peer

    def batchReceived(self, batch: bytes) -> None:
        if self._peer is not None:
            self._peer.batchReceived(batch)

    def linkLost(self, reason: NodeSetError) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.linkLost(reason)

    def deafen(self) -> None:
        self._peer = None


class Peer:
    """What a node says over a link, what it makes of the answers.

    :param deliver: called with every event; returns None when its handlers are done, a text when one of them failed, or a
        Deferred that fires with either.
    :param opened: called each time a link is open.
    :param failed: called with the error when an attempt to link fails for a reason that waiting does not mend.
    :param concurrency: events of one publisher that may be with the handlers at a time.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        host: str,
        transport: Transport,
        clock: IReactorTime,
        deliver: Callable[[Delivery], Deferred[str | None] | str | None],
        opened: Callable[[], None] = lambda: None,
        failed: Callable[[NodeSetError], None] = lambda error: None,
        *,
        concurrency: int = 1,
        outbox: Outbox | None = None,
        policy: Callable[[int], float] = retryDelay,
    ) -> None:
        self.name, self.host = name, host
        self.stream = secrets.token_urlsafe(16)
        self.counters: Counter[str] = Counter()
        self._transport, self._clock = transport, clock
        self._deliver, self._opened, self._failed = deliver, opened, failed
        self._writer = BatchWriter(clock, self._nextRuns)
        self._publisher = Publisher(Outbox() if outbox is None else outbox, clock, self._poke, self.counters)
        self._subscriptions = Subscriptions(self._writer.write, self._subscriptionRefused)
        self._inbox = Inbox(concurrency)
        self._heartbeat = Heartbeat()
        self._reconnector = makeReconnector(self, clock, policy)
        self._beating = LoopingCall(self._beat)
        self._beating.clock = clock
        self._link: Link | None = None
        self._ear = _Ear(self)
        self._told: list[tuple[str, bool]] = []
        self._boot = ""
        self._leaving = False
        self._running = False
        self._complaint = ""
        self._working: IDelayedCall | None = None
        self._busy = False

    # -- what the node asks for

    @property
    def linked(self) -> bool:
        """Whether a link is open now."""
        return self._link is not None

    def start(self) -> None:
        """Open a link, keep one open."""
        self._running = True
        beating = self._beating.start(INTERVAL, now=False)
        beating.addErrback(lambda failure: self.log.failure("{name}: the heartbeat stopped", failure, name=self.name))
        self._reconnector.start()

    def flush(self, timeout: float) -> Deferred[None]:
        """Fires when everything published is answered, at the latest after `timeout` seconds."""
        return self._publisher.flush(timeout)

    def stop(self) -> None:
        """Say goodbye, stop for good: what is not answered by now fails."""
        self._running = False
        self._reconnector.stop()
        if self._beating.running:
            self._beating.stop()
        if self._working is not None:
            self._working.cancel()
            self._working = None
        self._leaving = True
        self._writer.write(Bye("stopped"))
        self._writer.flush()
        self._ear.deafen()
        self._forgetLink()
        self._publisher.stop()
        self._subscriptions.stop()

    def publish(
        self,
        event: str,
        payload: bytes,
        mode: Mode = Mode.ALL,
        level: Level = Level.DELIVERED,
        timeout: float | None = 60.0,
        wait: bool = True,
        headers: msgspec.Raw = wire.NO_HEADERS,
    ) -> Deferred[Receipt]:
        """Publish `payload`; the arguments have been checked. Fires and fails as `Node.publish` says."""
        return self._publisher.publish(event, payload, mode, level, timeout, wait, headers)

    def subscribe(self, pattern: str, own: bool = True) -> Deferred[bool]:
        """Hold a subscription from now on; see `Subscriptions.subscribe`."""
        return self._subscriptions.subscribe(pattern, own)

    def unsubscribe(self, pattern: str) -> Deferred[bool]:
        """Hold it no longer; see `Subscriptions.unsubscribe`."""
        return self._subscriptions.unsubscribe(pattern)

    def subscriptions(self) -> list[str]:
        """The patterns that are held, in order."""
        return [pattern for pattern, _own in self._subscriptions.held()]

    def _subscriptionRefused(self, pattern: str, reason: str) -> None:
        self.log.warn("{name}: no subscription to {pattern}: {reason}", name=self.name, pattern=pattern, reason=reason)

    def _poke(self) -> None:
        if not self._leaving:
            self._writer.poke()

    def _nextRuns(self) -> list[Frame]:
        return [] if self._leaving else list(self._publisher.take())

    # -- the link, as the reconnector sees it

    def dial(self) -> Deferred[tuple[Link, bytes]]:
        """Try once to open a link, telling all that we subscribe to."""
        self._ear = _Ear(self)
        self._told = self._subscriptions.held()
        hello = wire.Hello(
            stream=self.stream,
            name=self.name,
            host=self.host,
            features=sorted(wire.FEATURES),
            subscriptions=self._told,
            boot=self._boot,
            software=f"nodeset {__version__}",
        )
        try:
            return self._transport.dial(wire.packHello(hello), self._ear)
        except NodeSetError as error:
            return fail(error)

    def linkOpened(self, link: Link, answer: bytes) -> None:
        """A link is open: what we subscribe to is active, what was not sent yet goes out."""
        opened = wire.unpackOpened(answer)
        if opened.version != wire.VERSION:
            raise ProtocolError(f"the dispatcher picks version {opened.version} of the protocol, we speak {wire.VERSION}")
        self._link, self._boot, self._leaving, self._complaint = link, opened.boot, False, ""
        self._heartbeat.heard(_DISPATCHER, self._clock.seconds())
        self._writer.attach(link)
        self.log.info("{name} is linked to its dispatcher at {where}", name=self.name, where=self._transport.describe())
        self._subscriptions.opened(self._told, dict(opened.refused))
        self._opened()

    def dialFailed(self, error: NodeSetError, pause: float) -> None:
        """An attempt failed: say so once for each new reason."""
        complaint = str(error)
        if complaint != self._complaint:
            self._complaint = complaint
            self.log.warn("{name} is not linked, keeps trying: {reason}", name=self.name, reason=complaint)
        if isinstance(error, (Refused, WrongIdentity, BadFurl)):
            self._failed(error)

    def linkLost(self, reason: NodeSetError) -> None:
        """The link is gone; another one is dialled."""
        if self._link is None:
            return
        self.log.info("{name} lost its link, dials again: {reason}", name=self.name, reason=str(reason))
        self._forgetLink()
        self._publisher.linkLost()
        if self._running:
            self._reconnector.lost()

    def _forgetLink(self) -> None:
        self._link = None
        self._writer.detach()
        self._heartbeat.forget(_DISPATCHER)
        self._inbox.forgetAnswers()
        self._subscriptions.linkLost()

    def _abort(self, reason: NodeSetError) -> None:
        link = self._link
        if link is not None:
            self._ear.deafen()
            link.abort()
            self.linkLost(reason)

    def _beat(self) -> None:
        now = self._clock.seconds()
        self._heartbeat.looked(now)
        if self._heartbeat.silent(now):
            self._abort(LinkLost("the dispatcher fell silent"))
        else:
            self._writer.write(Beat())

    # -- what comes over it

    def batchReceived(self, batch: bytes) -> None:
        """One batch came from the dispatcher."""
        self._heartbeat.heard(_DISPATCHER, self._clock.seconds())
        try:
            for frame in wire.unpack(batch):
                self._received(frame)
        except ProtocolError as error:
            self.log.error("{name}: the dispatcher breaks the protocol: {reason}", name=self.name, reason=str(error))
            self._abort(error)
        else:
            self._work()

    def _received(self, frame: Frame) -> None:
        match frame:
            case Events():
                self.counters["received"] += len(frame.lengths)
                self._inbox.take(frame)
            case Done():
                self._publisher.done(frame)
            case Subbed():
                self._subscriptions.answered(frame)
            case Beat() | Took():
                pass
            case Bye():
                self._leaving = True
                self.log.info("{name}: the dispatcher is about to leave: {reason}", name=self.name, reason=frame.reason)
            case _:
                raise ProtocolError(f"a dispatcher does not send {type(frame).__name__}")

    def _work(self) -> None:
        """Give events to the handlers for a while, then let the reactor breathe."""
        if self._working is not None or self._busy or not self._running:
            return
        began, seen = self._clock.seconds(), 0
        self._busy = True
        try:
            while self._running and (delivery := self._inbox.next()) is not None:
                self._give(delivery)
                seen += 1
                if seen >= _SLICE_EVENTS or (seen % 16 == 0 and self._clock.seconds() - began > _SLICE):
                    self._working = self._clock.callLater(0, self._resume)
                    break
        finally:
            self._busy = False
        for confirm in self._inbox.answers():
            self._writer.write(confirm)

    def _resume(self) -> None:
        self._working = None
        self._work()

    def _give(self, delivery: Delivery) -> None:
        result = self._deliver(delivery)
        if delivery.level is Level.DELIVERED:
            self._inbox.answer(delivery, Outcome.OK)
        if isinstance(result, Deferred):
            result.addCallback(self._finished, delivery)
        else:
            self._settle(result, delivery)

    def _finished(self, reason: str | None, delivery: Delivery) -> None:
        self._settle(reason, delivery)
        self._work()

    def _settle(self, reason: str | None, delivery: Delivery) -> None:
        if delivery.level is Level.HANDLED:
            self._inbox.answer(delivery, Outcome.FAILED if reason else Outcome.OK, (reason or "")[:500])
        self._inbox.finished(delivery)
