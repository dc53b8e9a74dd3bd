"""Tubs: the only place that makes them, so the only one that knows how ours differ from Foolscap's own.

Remote exceptions keep their text and no type (`await` on one breaks otherwise), no traceback or file path leaves the process,
dispatchers take no gifts (a node is who it proves to be), timers of Foolscap's that go by the wall clock stay off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from foolscap.api import Tub
from twisted.application.service import Service
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.grants.authority import Authority
from nodeset.core.link import Link, Receiver
from nodeset.errors import (
    BadSettings,
    GrantRefused,
    LinkLost,
    NodeSetError,
    NotRunning,
    PortTaken,
    Refused,
    StateUnusable,
    WrongIdentity,
)
from nodeset.transport.blame import errorOf
from nodeset.transport.broker import STRANGER_LIMIT, ImpatientNegotiation, ReplacingNegotiation, trust
from nodeset.transport.certificate import createCertificate
from nodeset.transport.direct import TubMeeting
from nodeset.transport.entrance import Entrance
from nodeset.transport.faces import LinkFace, TubLink
from nodeset.transport.fastpath import brokerClass
from nodeset.transport.furl import Furl
from nodeset.transport.legacy import LegacyDoor
from nodeset.transport.rendezvous import Claim, FurlSource, lockIdentity
from nodeset.transport.unixsocket import SocketHints, serverOf

__all__ = ["DIAL_TIMEOUT", "TubAcceptor", "TubTransport"]

#: Seconds that one attempt to open a link may take, all of it: name, connection, TLS, answer.
DIAL_TIMEOUT = 10.0
#: Seconds that peers have to close their end of a connection when a Tub stops.
_CLOSING = 2.0
#: Seconds for which a refusal is believed before the same address is dialled again.
_GRUDGE = 30.0
_LOOPBACK = "127.0.0.1"


def _makeTub(certificate: bytes, dispatcher: bool) -> Any:
    """A Tub as we want them (D10)."""
    # connect_timeout is the only way to bound an attempt; Foolscap's own default is two minutes.
    tub = Tub(certData=certificate, _test_options={"connect_timeout": DIAL_TIMEOUT})
    tub.setOption("expose-remote-exception-types", False)
    tub.unsafeTracebacks = False
    tub.addConnectionHintHandler("unix", SocketHints())
    tub.brokerClass = brokerClass()
    tub.negotiationClass = ReplacingNegotiation if dispatcher else ImpatientNegotiation
    tub.keepaliveTimeout = None
    tub.disconnectTimeout = None
    if dispatcher:
        tub.setOption("accept-gifts", False)
    return tub


def _stopTub(tub: Any, clock: Any) -> Deferred[None]:
    """Close all connections; fires when they are. A peer that is stopped never says its goodbye: it is not waited for long."""
    open_ones = dict.fromkeys(tub.brokers.values())
    for broker in open_ones:
        broker._notifyOnConnectionLost(lambda broker=broker: open_ones.pop(broker))

    def abort() -> None:
        for broker in list(open_ones):
            broker.transport.abortConnection()

    aborting = clock.callLater(_CLOSING, abort)
    stopped: Deferred[None] = tub.stopService()

    def over(result: Any) -> Any:
        if aborting.active():
            aborting.cancel()
        return result

    return stopped.addBoth(over)


@implementer(IStreamServerEndpoint)
class _Reported:
    """The first of some endpoints that is free.

    It tells how listening went: Foolscap's Listener drops a failure on the floor.
    """

    def __init__(self, descriptions: Sequence[str], reactor: Any) -> None:
        self._endpoints = [(each, _parse(each, reactor)) for each in descriptions]
        self.listening: Deferred[IListeningPort] = Deferred()

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        forever: Deferred[IListeningPort] = Deferred()

        def listens(port: IListeningPort) -> None:
            forever.callback(port)
            self.listening.callback(port)

        Deferred.fromCoroutine(self._first(protocolFactory)).addCallbacks(listens, self.listening.errback)
        return forever

    async def _first(self, factory: IProtocolFactory) -> IListeningPort:
        taken = []
        for description, endpoint in self._endpoints:
            try:
                return await endpoint.listen(factory)
            except (CannotListenError, OSError) as error:
                # The latter from listen(), where bind() went well because another process had not yet listened.
                taken.append(f"{description}: {getattr(error, 'socketError', error)}")
        raise PortTaken(f"cannot listen on {', nor on '.join(taken)}")


def _parse(description: str, reactor: Any) -> IStreamServerEndpoint:
    try:
        return serverOf(description, reactor)
    except (BadSettings, ValueError, KeyError, TypeError, IndexError) as error:
        raise PortTaken(f"{description!r} is not an endpoint to listen on: {error}") from None


def _listen(tub: Any, descriptions: Sequence[str], reactor: Any) -> tuple[Any, Deferred[IListeningPort]]:
    """Listen with `tub` on the first of these that is free; fires with the port, fails with `PortTaken`."""
    try:
        endpoint = _Reported(descriptions, reactor)
    except PortTaken as error:
        return None, fail(error)
    listener = tub.listenOn(endpoint)
    return listener, endpoint.listening


class TubTransport:
    """How a node, or a collection, reaches its dispatcher.

    :param source: where the FURL is read anew before every attempt.
    :param endpoints: where to listen for direct peers, Twisted endpoint strings: at the first that is free, nowhere if
        there are none.
    :param identity: the file of a certificate to use, locked while we run; None makes a fresh one at each start.
    :param label: the host name of the node, by which others may be able to look it up.
    """

    log = Logger()

    def __init__(
        self,
        source: FurlSource,
        reactor: Any,
        endpoints: tuple[str, ...] = (),
        identity: Path | None = None,
        label: str = "",
    ) -> None:
        self._source, self._reactor, self._endpoints, self._identity = source, reactor, endpoints, identity
        self._releaseIdentity: Callable[[], None] = lambda: None
        self._tub: Any = None
        self._links: set[TubLink] = set()
        self._grudge: tuple[Furl, NodeSetError, float] | None = None
        self._furl: Furl | None = None
        self._label = label
        #: How nodes that were introduced connect to each other, while we run.
        self.meeting: TubMeeting | None = None

    def startTransport(self) -> Deferred[None]:
        """See `Transport`. Fails with `PortTaken`, or `StateUnusable` when the identity is in use."""
        if self._identity is None:
            certificate = createCertificate()
        else:
            try:
                certificate, self._releaseIdentity = lockIdentity(self._identity)
            except StateUnusable as error:
                return fail(error)
        self._tub = _makeTub(certificate, dispatcher=False)
        self._tub.startService()
        meeting = self.meeting = TubMeeting(self._tub, self._reactor, self._near, self._explain)
        if not self._endpoints:
            return succeed(None)
        self._tub.clock = self._reactor  # strangers may connect: they have little time
        _listener, listening = _listen(self._tub, self._endpoints, self._reactor)

        def listens(port: IListeningPort) -> None:
            address: Any = port.getHost()
            self.log.debug("listening on port {port} for direct peers", port=getattr(address, "port", address))
            if hasattr(address, "port"):
                meeting.listens(address.host, address.port, self._label)

        return listening.addCallback(listens)

    def stopTransport(self) -> Deferred[None]:
        """See `Transport`."""
        tub, self._tub = self._tub, None
        self._releaseIdentity()
        meeting, self.meeting = self.meeting, None
        if meeting is not None:
            meeting.stop(LinkLost("the node stopped"))
        for link in list(self._links):
            link.lose(LinkLost("the node stopped"))
        return succeed(None) if tub is None else _stopTub(tub, self._reactor)

    def _near(self) -> str | None:
        """The address of ours that our dispatcher sees; one that is on a socket has only this machine's nodes to introduce."""
        for link in self._links:
            address: Any = link.getHost()
            return _LOOPBACK if isinstance(address, UNIXAddress) else getattr(address, "host", None)
        return None

    @staticmethod
    def _explain(failure: Failure) -> NodeSetError:
        return errorOf(failure, "cannot connect to the node", "it does not know this offer, or no longer")

    def describe(self) -> str:
        """See `Transport`."""
        return self._source.describe()

    def furl(self) -> str:
        """See `Transport`: the one that opened the last link, else the one that would be dialled now."""
        return str(self._furl or self._source.read())

    def dial(self, hello: bytes, receiver: Receiver) -> Deferred[tuple[Link, bytes]]:
        """See `Transport`. A refusal is remembered: nobody is asked again for 30 s, unless the FURL has changed.

        With a grant that the dispatcher does not honour nobody is asked again at all before it has.
        """
        dialled: Deferred[tuple[Link, bytes]] = Deferred()

        def finished(result: Any) -> None:
            if not dialled.called:
                dialled.errback(result) if isinstance(result, Failure) else dialled.callback(result)
            elif not isinstance(result, Failure):
                result[0].discard()  # too late: the dispatcher must not take it for a node that listens

        # Foolscap's Deferreds cannot be cancelled, so the attempt goes on by itself when its time is over.
        Deferred.fromCoroutine(self._dial(hello, receiver)).addBoth(finished)
        return dialled.addTimeout(DIAL_TIMEOUT, self._reactor).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        if failure.check(CancelledError):
            return failure
        return Failure(errorOf(failure, f"cannot link to {self._source.describe()}"))

    async def _dial(self, hello: bytes, receiver: Receiver) -> tuple[TubLink, bytes]:
        tub = self._tub
        if tub is None:
            raise NotRunning("this transport is not running")
        furl = self._source.read()
        now = self._reactor.seconds()
        if self._grudge is not None and self._grudge[0] == furl and now < self._grudge[2]:
            raise self._grudge[1]
        self._grudge = None
        try:
            opened = await self._open(tub, str(furl), hello, receiver)
            self._furl = furl
            return opened
        except Exception:
            error = errorOf(Failure(), f"cannot link to {self._source.describe()}")
            if isinstance(error, (Refused, WrongIdentity)):
                self._grudge = (furl, error, float("inf") if isinstance(error, GrantRefused) else now + _GRUDGE)
            raise error from None

    async def _open(self, tub: Any, furl: str, hello: bytes, receiver: Receiver) -> tuple[TubLink, bytes]:
        dispatcher = await tub.getReference(furl)
        trust(dispatcher.tracker.broker)
        face = LinkFace()
        if 2 * len(hello) > STRANGER_LIMIT:
            # If our grant counts for nothing we are a stranger, who would be cut off for this hello instead of being told.
            await dispatcher.callRemote("get_stats")
        reference, answer = await dispatcher.callRemote("open", face, hello)
        if self._tub is not tub:
            raise NotRunning("this transport was stopped")
        link = TubLink(reference, face, receiver, self._links.discard)
        self._links.add(link)
        return link, answer


class TubAcceptor(Service):
    """A dispatcher's Tub: listens, lets those in that know a FURL of ours, writes the FURLs down.

    It owns `dispatcher`: both start together; stopping, it stops listening, lets the dispatcher drain, then closes.

    :param claim: certificate, names, files; released when stopped.
    :param endpoint: where to listen, a Twisted endpoint string.
    :param hints: where others reach us (`tcp:host:port`); port 0 stands for the port that was got.
    :param furlfiles: more places to write the member's FURL to.
    """

    log = Logger()

    def __init__(
        self,
        dispatcher: EventDispatcher,
        claim: Claim,
        endpoint: str,
        hints: Sequence[str],
        reactor: Any,
        furlfiles: Iterable[Path] = (),
    ) -> None:
        self.dispatcher = dispatcher
        self._claim, self._endpoint, self._hints, self._reactor = claim, endpoint, list(hints), reactor
        self._furlfiles = list(furlfiles)
        self._tub: Any = None
        self._listener: Any = None
        #: Fires with the port when we listen, fails when we cannot.
        self.listening: Deferred[int | None] = Deferred()

    def startService(self) -> None:
        """Listen. Raises `PortTaken` or `StateUnusable` when that fails at once, as it does for TCP."""
        Service.startService(self)
        self._tub = _makeTub(self._claim.certificate, dispatcher=True)
        self._tub.note, self._tub.clock = self._note, self._reactor
        authority = Authority(self._claim.key, time.time, self._reactor.seconds, self._claim.revocations)
        self.dispatcher.honour(authority).observe(self._revoked)
        door = LegacyDoor(self.dispatcher, self._reactor)
        self._tub.registerNameLookupHandler(Entrance(self._tub, door, authority).lookUp)
        self._tub.startService()
        self.dispatcher.startService()
        problem: list[Failure] = []
        self._listener, listening = _listen(self._tub, [self._endpoint], self._reactor)
        listening.addCallback(self._listens).addErrback(problem.append)
        if problem:
            problem[0].raiseException()
        listening.addErrback(lambda failure: self.log.failure("cannot listen on {where}", failure, where=self._endpoint))

    def _revoked(self, grant: str) -> None:
        """A grant was revoked, maybe that in our own files."""
        if self._claim.renew():
            self._claim.publish(self._hints, self._furlfiles)
            self.log.info("the grant in {file} was revoked, it has a new one", file=str(self._claim.member_file))

    def _note(self, what: str) -> None:
        """A connection of ours counts something."""
        self.dispatcher.exchange.answers.counters[what] += 1

    def _listens(self, port: IListeningPort) -> None:
        address: Any = port.getHost()
        number: int | None = getattr(address, "port", None)
        hints = [f"{hint[:-1]}{number}" if hint.endswith(":0") else hint for hint in self._hints]
        for note in self._claim.notes:
            self.log.info("{note}", note=note)
        self._tub.setLocation(*hints)
        self._hints = hints
        self._claim.publish(hints, self._furlfiles)
        self.log.info(
            "listening on {where}, the address is in {file}",
            where=f"port {number}" if number else self._endpoint,
            file=str(self._claim.member_file),
        )
        self.listening.callback(number)

    def stopService(self) -> Deferred[None]:
        """Stop listening, drain, close. Fires when all of it is done."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        tub, self._tub = self._tub, None
        if tub is None:
            return
        if self._listener is not None:
            await _maybe(tub.stopListeningOn(self._listener))
        await self.dispatcher.stopService()
        await _stopTub(tub, self._reactor)
        self._claim.release()
        self.log.info("stopped")


async def _maybe(result: Any) -> None:
    if isinstance(result, Deferred):
        await result
