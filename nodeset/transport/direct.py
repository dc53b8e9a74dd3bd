"""Connections between two nodes that were introduced to each other, over the Tubs that they have anyway.

taker   offer(tub) -> FURL, which the dispatcher carries to the other one
pusher  getReference(FURL), meet(face) -> face              then both: batch(bytes), as on any link

Two Tubs have one connection between them, however many links they open: it stays while one of them is open or offered, and
a little longer.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable
from typing import Any

from foolscap.eventual import eventually
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from nodeset.core.link import Link, Receiver
from nodeset.core.streams.meeting import ATTEMPT, UNUSED
from nodeset.errors import BadFurl, LinkLost, NodeSetError, NotRunning, Refused, WrongIdentity
from nodeset.transport.broker import trust
from nodeset.transport.faces import LinkFace, MeetingFace, TubLink
from nodeset.transport.furl import Furl, newName, parse
from nodeset.transport.memory import pair

__all__ = ["DirectLink", "TubMeeting", "TubOffer"]

#: Seconds for which a connection stays when nothing goes over it any more.
_LINGER = 10.0
#: Places where one offer may say that we are: each is dialled.
_HINTS = 4
#: Offers at a time; each was made for somebody who asked by the dispatcher.
_OFFERS = 1024


class DirectLink(TubLink):
    """A link that shares its connection with others: closing it leaves theirs alone.

    So the other side is not told that it was closed, as it is of other links: what goes over it has an end of its own.
    """

    __slots__ = ()

    def close(self) -> None:
        """See `Link`. The connection goes later, when no link is left on it, behind what was sent."""
        if not self._lost:
            receiver = self._face.end()
            self.lose()
            if receiver is not None:
                eventually(receiver.linkLost, LinkLost("this side closed the link"))

    def discard(self) -> None:
        """See `TubLink`; here as well others keep their connection."""
        self._face.end()
        self.lose()


class TubOffer:
    """See `Offer`."""

    def __init__(self, meeting: TubMeeting, tub: str, receiver: Receiver, furl: Furl) -> None:
        self._meeting, self._tub, self._receiver, self._furl = meeting, tub, receiver, furl
        self.taken: Deferred[Link] = Deferred()
        self._timer: IDelayedCall = meeting.clock.callLater(UNUSED, self._expire)

    @property
    def furl(self) -> str:
        """See `Offer`."""
        return str(self._furl)

    def take(self, face: Any) -> LinkFace:
        """Somebody with `face` comes."""
        tub = str(face.getRemoteTubID())
        if tub != self._tub:
            raise Refused(f"this offer was made to another node than {tub[:8]}")
        if self.taken.called:
            raise Refused("this offer was taken already")
        ours = LinkFace()
        link = self._meeting.join(face, ours, self._receiver)
        self._end()
        self.taken.callback(link)
        return ours

    def takeLocally(self, receiver: Receiver) -> Link:
        """Somebody of this very Tub comes."""
        if self.taken.called:
            raise Refused("this offer was taken already")
        near, far = pair(self._meeting.clock, receiver, self._receiver)
        self._end()
        self.taken.callback(far)
        return near

    def withdraw(self) -> None:
        """See `Offer`."""
        if not self.taken.called:
            self._end()
            self.taken.errback(LinkLost("nobody came by this offer"))

    def _expire(self) -> None:
        self.withdraw()

    def _end(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        self._meeting.forget(self._furl.name, self._tub)


class TubMeeting:
    """The `Meeting` of one Tub.

    :param tub: the Tub.
    :param clock: the reactor.
    :param near: what address of ours others of our dispatcher see, as far as we know it.
    :param explain: makes an error of ours of one of Foolscap's or a socket's.
    """

    def __init__(
        self, tub: Any, clock: Any, near: Callable[[], str | None], explain: Callable[[Failure], NodeSetError]
    ) -> None:
        self.tub_id = str(tub.getTubID())
        self.clock = clock
        self._tub, self._near, self._explain = tub, near, explain
        self._port: int | None = None
        self._hosts: list[str] = []
        self._offers: dict[str, TubOffer] = {}
        self._links: set[TubLink] = set()
        #: Links, offers, attempts by the TubID of the other one.
        self._shares: Counter[str] = Counter()
        self._lingering: dict[str, IDelayedCall] = {}
        tub.registerNameLookupHandler(self._find)

    def listens(self, interface: str, port: int, label: str) -> None:
        """The Tub listens there; `label` is the node's host name, which others may be able to look up."""
        self._port = port
        try:
            address = ipaddress.ip_address(interface)
        except ValueError:
            return
        self._hosts = [interface] if not address.is_unspecified else ["", label]

    def _find(self, name: str) -> MeetingFace | None:
        offer = self._offers.get(name)
        return None if offer is None else MeetingFace(offer)

    def offer(self, tub: str, receiver: Receiver) -> TubOffer | None:
        """See `Meeting`."""
        if self._tub is None or len(self._offers) >= _OFFERS:
            return None
        if tub == self.tub_id:
            return self._make(tub, receiver, ["tcp:127.0.0.1:1"])  # which is never dialled
        if self._port is None:
            return None
        hosts = dict.fromkeys(host or self._near() or "" for host in self._hosts)
        hints: list[str] = []
        for host in hosts:
            if host and len(hints) < _HINTS:
                hints.append(f"tcp:[{host}]:{self._port}" if ":" in host else f"tcp:{host}:{self._port}")
        return self._make(tub, receiver, hints)

    def _make(self, tub: str, receiver: Receiver, hints: list[str]) -> TubOffer | None:
        try:
            furl = Furl(self.tub_id, hints, newName())
        except BadFurl:
            return None  # the host's name is none that could be looked up
        self._share(tub)
        offer = self._offers[furl.name] = TubOffer(self, tub, receiver, furl)
        return offer

    def meet(self, furl: str, tub: str, receiver: Receiver) -> Deferred[Link]:
        """See `Meeting`."""
        met: Deferred[Link] = Deferred()

        def finished(result: Any) -> None:
            self._unshare(tub)
            if not met.called:
                met.errback(result) if isinstance(result, Failure) else met.callback(result)
            elif not isinstance(result, Failure):
                result.discard()  # too late

        self._share(tub)
        # Foolscap's Deferreds cannot be cancelled, so the attempt goes on by itself when its time is over.
        Deferred.fromCoroutine(self._meet(furl, tub, receiver)).addBoth(finished)
        return met.addTimeout(ATTEMPT, self.clock).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        if failure.check(CancelledError):
            return failure
        return Failure(self._explain(failure))

    async def _meet(self, text: str, tub: str, receiver: Receiver) -> Link:
        furl = parse(text)
        if furl.tub_id != tub:
            raise WrongIdentity("the node gave an address that leads to somebody else")
        if len(furl.hints) > _HINTS:
            raise Refused(f"the node gave an address with {len(furl.hints)} places, at most {_HINTS} are dialled")
        if any(hint.startswith("unix:") for hint in furl.hints):
            raise Refused("the node gave an address with a path of our machine, which is not for others to choose")
        if self._tub is None:
            raise NotRunning("this transport is not running")
        if tub == self.tub_id:
            offer = self._offers.get(furl.name)
            if offer is None:
                raise Refused("this offer is gone")
            return offer.takeLocally(receiver)
        reference = await self._tub.getReference(str(furl))  # as we have read it, whatever else Foolscap could read in it
        trust(reference.tracker.broker)
        face = LinkFace()
        theirs = await reference.callRemote("meet", face)
        if self._tub is None:
            raise NotRunning("this transport was stopped")
        return self.join(theirs, face, receiver)

    # -- the connections

    def join(self, reference: Any, face: LinkFace, receiver: Receiver) -> DirectLink:
        """A link over these faces."""
        tub = str(reference.getRemoteTubID())

        def over(link: TubLink) -> None:
            self._links.discard(link)
            self._unshare(tub)

        self._share(tub)
        link = DirectLink(reference, face, receiver, over)
        self._links.add(link)
        return link

    def forget(self, name: str, tub: str) -> None:
        """An offer has ended."""
        if self._offers.pop(name, None) is not None:
            self._unshare(tub)

    def _share(self, tub: str) -> None:
        self._shares[tub] += 1
        lingering = self._lingering.pop(tub, None)
        if lingering is not None:
            lingering.cancel()

    def _unshare(self, tub: str) -> None:
        self._shares[tub] -= 1
        if self._shares[tub] <= 0:
            del self._shares[tub]
            if self._tub is not None and tub != self.tub_id:
                self._lingering[tub] = self.clock.callLater(_LINGER, self._hangUp, tub)

    def _hangUp(self, tub: str) -> None:
        self._lingering.pop(tub, None)
        for reference, broker in list(self._tub.brokers.items()):
            if reference.getTubID() == tub:
                broker.transport.loseConnection()

    def stop(self, reason: NodeSetError) -> None:
        """Lose all links, withdraw all offers."""
        self._tub = None
        for offer in list(self._offers.values()):
            offer.taken.addErrback(lambda failure: None)
            offer.withdraw()
        for link in list(self._links):
            link.lose(reason)
        for lingering in self._lingering.values():
            lingering.cancel()
        self._lingering.clear()
