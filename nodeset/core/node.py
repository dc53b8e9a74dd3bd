"""The node that users subclass.

A class with `@utils.catch` methods, a name, a dispatcher to find: the rest happens by itself. `Peer` speaks the protocol,
`codec` makes bytes of messages; what is here ties them to handlers.
"""

from __future__ import annotations

import os
import uuid
from typing import Any, ClassVar, Final

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from nodeset.core.address import checkPart
from nodeset.core.arguments import makeSub, subscribable
from nodeset.core.batch import MAX_QUEUED, MAX_QUEUED_BYTES, Sub
from nodeset.core.calls.calling import Calling
from nodeset.core.calls.expose import exposes
from nodeset.core.calls.phone import Phone
from nodeset.core.grants.granting import Granting
from nodeset.core.handlers import Handlers
from nodeset.core.interfaces import INode
from nodeset.core.link import Transport
from nodeset.core.message import NodeMessage
from nodeset.core.peer import Peer
from nodeset.core.presence.asking import Asking
from nodeset.core.publishing import Publishing
from nodeset.core.utils import catches
from nodeset.core.voice import speakUp
from nodeset.errors import BadSettings, LocalError, NotRunning, Refused
from nodeset.settings import Settings, current

__all__ = ["Node"]

#: What `adjust` takes.
_WAITS: Final = ("publish_timeout", "call_timeout", "handler_timeout", "drain_timeout")


@implementer(INode)
class Node(Publishing, Calling, Asking, Granting, Service):
    """A peer on the bus: it publishes, subscribes, is called with what it subscribed to.

    :param port: TCP port to listen on for direct peers; 0 takes any, None listens nowhere.
    :param name: the label by which addresses may mean this node; others may bear the same. Default: a UUID.
    :param host: the host name by which addresses may mean this node.
    :param dispatcher_url: a FURL, or the path of a file that holds one, or `pbu://host:port/ref`, `ipc://PATH`; it goes
        before what the environment or the options say.
    :param settings: instead of the process's own.
    :param transport: instead of a Tub; it is started and stopped with the node unless a collection shares it.
    :param clock: instead of the reactor.
    """

    log = Logger()

    #: Whether the node subscribes to all that its `@catch` methods name, when it starts (D3).
    autosubscribe: ClassVar[bool] = True
    #: Whether it only looks on: events of mode `one` go past it, to those who work.
    observes: ClassVar[bool] = False
    #: Events of one publisher that may be with the handlers at a time; 1 keeps their order to the end.
    concurrency: ClassVar[int] = 1

    def __init__(
        self,
        port: int | None = None,
        name: str | None = None,
        host: str | None = None,
        dispatcher_url: str | None = None,
        *,
        settings: Settings | None = None,
        transport: Transport | None = None,
        clock: IReactorTime | None = None,
    ) -> None:
        self.settings = current() if settings is None else settings
        Publishing.__init__(self, self.settings.publish_timeout)
        Calling.__init__(self, self.settings.call_timeout)
        if port is not None and not (isinstance(port, int) and 0 <= port <= 65535):
            raise BadSettings(f"port must be a number from 0 to 65535, or None, not {port!r:.60}")
        if dispatcher_url is not None and transport is None:
            self._findDispatcher(dispatcher_url)
        self.port = port
        self.name: str = checkPart(name or self.settings.name or str(uuid.uuid4()), "node name")
        self.host = checkPart(host or self.settings.host, "host name")
        self.dispatcher_url = dispatcher_url
        self._transport, self._clock = transport, clock
        self._shared = False
        self._stops = 0
        self._peer: Peer | None = None
        self._subscriptions: dict[str, Sub] = {}
        self._obstacle: Failure | None = None
        self._linked: list[Deferred[Any]] = []
        self._early: dict[str, list[Any]] = {}
        self._caught = catches(type(self))
        self._exposed = exposes(type(self))
        self._handlers: Handlers | None = None
        if self.autosubscribe:
            for caught in self._caught:
                self._subscriptions.setdefault(caught.event, Sub(caught.event, own=False))

    def adjust(self, found: Settings) -> None:
        """Take the time-outs of these settings for all that begins from now on; nothing else of them counts."""
        waits = {name: getattr(found, name) for name in _WAITS}
        self.settings = attrs.evolve(self.settings, **waits)
        self._setPublishTimeout(found.publish_timeout)
        self._setCallTimeout(found.call_timeout)
        if self._handlers is not None:
            self._handlers.waitFor(found.handler_timeout)

    # -- life

    def start(self) -> Deferred[Any]:
        """Fires once, with the node, when it is first linked to its dispatcher; at once when it is linked now.

        Starts nothing: `startService` does. Fails with `Refused`, `WrongIdentity` or `BadFurl` when the dispatcher is found
        but does not let us in; the node keeps looking for one that does. Fails with `NotRunning` when the node stops, with
        `PortTaken` or `StateUnusable` when its transport cannot start.
        """
        linked: Deferred[Any] = Deferred()
        if self._peer is not None and self._peer.linked and not self._stops:
            linked.callback(self)
        elif self._obstacle is not None:
            linked.errback(self._obstacle)
        else:
            self._linked.append(linked)
        return linked

    def startService(self) -> None:
        """Find the dispatcher, keep a link to it. Raises `BadFurl` or `BadSettings` for what can never be found."""
        if self.running:
            return
        if self._stops:
            Service.startService(self)  # as soon as what goes on has come to its end
        else:
            self._begin()

    def _begin(self) -> None:
        clock = self._findClock()
        transport = self._transport = self._transport or self._makeTransport()
        Service.startService(self)
        self._obstacle = None
        on_event = None if getattr(self.onEvent, "__func__", None) is Node.onEvent else self.onEvent
        handlers = self._handlers = Handlers(self, self._caught, on_event, clock, self.settings.handler_timeout)
        phone = Phone(self, self._exposed, clock)
        peer = Peer(
            self.name,
            self.host,
            transport,
            clock,
            handlers.deliverRun,
            self._opened,
            self._tell,
            self.linkLost,
            concurrency=self.concurrency,
            phone=phone,
            observes=self.observes,
        )
        self._peer = peer
        self.publishBy(peer.publisher, peer.keeping)
        self.callBy(phone)
        for pattern, sub in list(self._subscriptions.items()):
            for waiting in self._early.pop(pattern, [None]):
                # A refusal that nobody waits for has been logged by the peer.
                told = peer.subscribe(sub).addErrback(self._refused, pattern)
                told.addErrback(lambda failure: None) if waiting is None else told.chainDeferred(waiting)
        if self._shared:
            peer.start()
        else:
            transport.startTransport().addCallbacks(lambda ready: peer.start(), self._notReady)

    def stopService(self) -> Deferred[None]:
        """Wait until what was published is answered, what came is handled, `settings.drain_timeout` at most; then stop.

        Fires when all is closed. The node may be started again; it is a new one to its dispatcher then. When that is asked for
        earlier, it happens then.
        """
        Service.stopService(self)
        self._stops += 1
        return Deferred.fromCoroutine(self._stop()).addBoth(self._stopped)

    def _stopped(self, result: Any) -> Any:
        self._stops -= 1
        if self.running and not self._stops:
            self._begin()
        return result

    stop = stopService

    async def _stop(self) -> None:
        peer, handlers = self._peer, self._handlers
        end = self._findClock().seconds() + self.settings.drain_timeout
        # A handler that stops its node may well wait for that itself.
        alone = peer is None or not peer.busy
        if peer is not None and peer.met:
            await peer.retire(self.settings.drain_timeout)
        if peer is not None and self._peer is peer:
            self._peer = None
            self.publishBy(None)
            self.callBy(None)
            peer.stop()
            if handlers is not None:
                if alone:
                    # An event that was answered when its handler was called may still have it at work.
                    await handlers.rest(end - self._findClock().seconds())
                handlers.stop()
            if not self._shared and self._transport is not None:
                await self._transport.stopTransport()
        if self.running:
            return  # it is to be started again: who waits for a link waits for that
        early, self._early = self._early, {}
        self._linked += [waiting for waitings in early.values() for waiting in waitings]
        self._obstacle = None
        self._tell(NotRunning(f"the node {self.name} stopped before it was linked to a dispatcher"))

    @property
    def clock(self) -> IReactorTime:
        """The clock by which the node lives, for timers of a subclass: the reactor's, or that of a test."""
        return self._findClock()

    def _findClock(self) -> IReactorTime:
        if self._clock is None:
            from twisted.internet import reactor

            from nodeset.transport.clock import MonotonicClock

            self._clock = MonotonicClock(reactor)
        return self._clock

    def _makeTransport(self) -> Transport:
        """The default: a Tub of its own, a dispatcher found as D1 says."""
        from twisted.internet import reactor

        from nodeset.transport.default import makeTransport

        speakUp()  # or a program without logging would wait for its dispatcher without a word
        return makeTransport(self.settings, self.port, self.host, self.dispatcher_url, os.environ, reactor)

    def _findDispatcher(self, dispatcher_url: str) -> None:
        """Raises `BadFurl` or `BadSettings` for what can never lead to a dispatcher."""
        from nodeset.transport.rendezvous import find, stateDirectory

        state_directory = stateDirectory(os.environ, self.settings.state_dir)
        find(dispatcher_url, environ=os.environ, state_directory=state_directory)

    def shareTransport(self, transport: Transport) -> None:
        """Use this one, which somebody else starts and stops. Raises `LocalError` on a node that runs."""
        if self._peer is not None:
            raise LocalError(f"the node {self.name} runs already: put it into a collection before it is started")
        self._transport, self._shared = transport, True

    @property
    def is_linked(self) -> bool:
        """Whether a link to a dispatcher is open now."""
        return self._peer is not None and self._peer.linked

    @property
    def is_leaving(self) -> bool:
        """Whether the dispatcher has said that it stops: what is published from now on waits for the next link."""
        return self._peer is not None and self._peer.leaving

    @property
    def trouble(self) -> str:
        """Why no link is open, in one line, as far as that is known; empty while one is."""
        return "" if self._peer is None else self._peer.complaint

    def linkOpened(self) -> None:
        """Called each time a link is open, before anybody who waits for it; for subclasses."""

    def linkLost(self, reason: str) -> None:
        """Called when an open link is lost, with the reason in one line; another one is dialled. For subclasses."""

    def _opened(self) -> None:
        self.log.debug("{node} is linked", node=self.name)
        self.linkOpened()
        self._tell(self)

    def _notReady(self, failure: Failure) -> None:
        self._obstacle = failure
        self.log.error("{node} cannot start: {reason}", node=self.name, reason=failure.getErrorMessage())
        self._tell(failure)

    def _tell(self, result: object) -> None:
        linked, self._linked = self._linked, []
        for deferred in linked:
            if not deferred.called:
                deferred.callback(result) if not isinstance(result, (Exception, Failure)) else deferred.errback(result)

    # -- subscribing

    def subscribe(
        self,
        name: str,
        *,
        policy: str = "block",
        max_events: int = MAX_QUEUED,
        max_bytes: int = MAX_QUEUED_BYTES,
    ) -> Deferred[bool]:
        """Subscribe to an event name or pattern, the node's own events included; again is fine, the newest limits hold.

        `other@localhost/orders.created` is what is addressed to the node `other`, for who has a grant to answer for it.

        :param policy: what becomes of events when the dispatcher's queue for this subscription is full: `block` makes
            publishers wait (for 10 s, then the queue is dropped and they are told), `drop_oldest`, `drop_newest`.
        :param max_events: when that is, in events, 10,000 at most.
        :param max_bytes: the same in bytes of payload, 8 MiB at most.
        :return: fires with True once the dispatcher confirms it, however long no dispatcher is there; it stands from now on,
            over every link. Fails with `Refused`, or `NotRunning` when the node stops.
        :raise InvalidAddressing: for what is no name or pattern.
        """
        pattern = subscribable(name, self.name, self.host)
        sub = self._subscriptions[pattern] = makeSub(pattern, policy, max_events, max_bytes)
        if self._peer is None:
            waiting: Deferred[bool] = Deferred()
            self._early.setdefault(pattern, []).append(waiting)
            return waiting
        return self._peer.subscribe(sub).addErrback(self._refused, pattern)

    def _refused(self, failure: Failure, pattern: str) -> Failure:
        if failure.check(Refused):
            self._subscriptions.pop(pattern, None)
        return failure

    def unsubscribe(self, name: str) -> Deferred[bool]:
        """Undo `subscribe`, or what `@catch` subscribed to. Fires with False when there was nothing to undo."""
        pattern = subscribable(name, self.name, self.host)
        known = self._subscriptions.pop(pattern, None) is not None
        if self._peer is None:
            for waiting in self._early.pop(pattern, ()):
                waiting.callback(False)
            return succeed(known)
        return self._peer.unsubscribe(pattern)

    def issubscribed(self, name: str) -> bool:
        """Whether `name` is subscribed to, whether or not a dispatcher is there."""
        return name in self._subscriptions

    def getSubscriptions(self) -> list[str]:
        """The names and patterns subscribed to, in order."""
        return list(self._subscriptions)

    # -- being called

    def onEvent(self, event: str, msg: NodeMessage) -> object:
        """Called with every event before the `@catch` methods; `event` is the text that it was published under.

        For subclasses; may return a Deferred or be `async def`, as `@catch` methods may.
        """
        return None
