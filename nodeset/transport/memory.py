"""Links that never leave the process: the real protocol over an in-memory wire.

For tests (`nodeset.testing`), for a dispatcher that serves peers of another kind within its own process. Everything happens by
the clock: with a `twisted.internet.task.Clock` a test decides when bytes arrive, what is lost, who notices when.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import NoReturn, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from nodeset.core.grants.authority import Authority
from nodeset.core.grants.rights import MEMBER
from nodeset.core.link import Acceptor, Link, Receiver
from nodeset.core.streams.meeting import ATTEMPT, UNUSED
from nodeset.errors import LinkLost, NodeSetError, NotRunning, Refused, WrongIdentity
from nodeset.transport.standstill import ProcessClock

__all__ = ["DIAL_TIMEOUT", "MemoryLink", "MemoryTransport", "MemoryWire", "pair"]

#: Seconds after which an attempt to link is over, as over a Tub.
DIAL_TIMEOUT = 10.0

T = TypeVar("T")


class MemoryLink:
    """One end of a pair of them.

    :param home: the process in which it ends.
    """

    def __init__(self, wire: MemoryWire, peer: str, home: ProcessClock) -> None:
        self._wire = wire
        self._peer = peer
        self.home = home
        #: When what was sent to this end has arrived.
        self.due = 0.0
        self._receiver: Receiver | None = None
        self._other: MemoryLink | None = None
        self._early: list[bytes] = []
        self.lost = False
        self.dead = False

    @property
    def peer(self) -> str:
        """Whose end the other one is."""
        return self._peer

    def connectTo(self, other: MemoryLink, receiver: Receiver) -> None:
        """Begin: `receiver` hears what `other` sends."""
        self._other, self._receiver = other, receiver
        early, self._early = self._early, []
        for batch in early:
            self._wire.later(self.arrive, batch)

    def ends(self, home: ProcessClock) -> bool:
        """Whether the link ends in this process, here or at its other side."""
        return self.home is home or (self._other is not None and self._other.home is home)

    def send(self, batch: bytes) -> None:
        """Carry `batch` to the other end."""
        other = self._other
        if not self.lost and not self.dead and other is not None:
            self._wire.carry(other, batch)

    def close(self) -> None:
        """Lose the connection at both ends, behind what was sent."""
        other = self if self._other is None else self._other
        self._wire.behind(other, self.lose, LinkLost("this side closed the link"), LinkLost("the other side closed the link"))

    def abort(self) -> None:
        """Lose the connection at both ends."""
        self.lose(LinkLost("this side cut the link"), LinkLost("the other side cut the link"))

    def lose(self, here: NodeSetError, there: NodeSetError) -> None:
        """Tell both ends, each with its reason; what is on the way is lost."""
        for end, reason in ((self, here), (self._other, there)):
            if end is not None and not end.lost and (end is self or not self.dead):
                end.lost = True
                self._wire.later(end.tell, reason)

    def cut(self) -> None:
        """Lose the connection for a reason that is nobody's."""
        self.lose(LinkLost("the wire was cut"), LinkLost("the wire was cut"))

    def die(self) -> None:
        """Become a half-open connection: nothing arrives any more, each end has to find out for itself."""
        for end in (self, self._other):
            if end is not None:
                end.dead = True

    def tell(self, reason: NodeSetError) -> None:
        """Say that this end is lost."""
        self._wire.forget(self)
        self.home.do(self._tell, reason)

    def _tell(self, reason: NodeSetError) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.linkLost(reason)

    def arrive(self, batch: bytes) -> None:
        """`batch` has come to this end."""
        if not self.lost and not self.dead:
            self.home.do(self._hear, batch)

    def _hear(self, batch: bytes) -> None:
        if self.lost:
            return
        if self._receiver is None:
            self._early.append(batch)
            return
        try:
            self._receiver.batchReceived(batch)
        except NodeSetError:
            self.abort()
        self.home.work()

    def lag(self) -> float:
        """Seconds that a batch takes longer than over other links."""
        return self.home.lag + (0.0 if self._other is None else self._other.home.lag)


class MemoryWire:
    """The place where one acceptor is dialled by any number of transports.

    :param clock: all delays are its.
    :param delay: seconds that a batch takes.
    :ivar acceptor: who answers; None is nobody, as before a dispatcher is started.
    :ivar authority: what the grants are worth that are shown here; without one everybody is a member.
    :ivar home: the acceptor's process.
    :ivar walled: TubIDs of nodes that no other can connect to directly, as behind a firewall.
    :ivar direct: the two ends of each direct link that nodes opened, the dialler's first.
    """

    def __init__(self, clock: IReactorTime, acceptor: Acceptor | None = None, delay: float = 0.0) -> None:
        self.clock = clock
        self.acceptor = acceptor
        self.delay = delay
        self.home = ProcessClock(clock)
        self.authority: Authority | None = None
        #: Direct links between nodes: what is offered, who cannot be reached, what is open.
        self.offers: dict[str, MemoryOffer] = {}
        self.walled: set[str] = set()
        self.direct: list[tuple[MemoryLink, MemoryLink]] = []
        self._links: list[MemoryLink] = []

    def later(self, call: Callable[..., object], *args: object) -> IDelayedCall:
        """Call it in a turn of its own."""
        return self.clock.callLater(self.delay, call, *args)

    def behind(self, end: MemoryLink, call: Callable[..., object], *args: object) -> None:
        """Call it once what was sent to `end` before has arrived: nothing overtakes, however the delay changes."""
        now = self.clock.seconds()
        delay = self.delay + end.lag()
        if end.due > now + delay:
            delay = end.due - now + 1e-9  # a sum of the same numbers may be a little less another time
        end.due = now + delay
        self.clock.callLater(delay, call, *args)

    def carry(self, end: MemoryLink, batch: bytes) -> None:
        """Bring `batch` to `end`."""
        self.behind(end, end.arrive, batch)

    def forget(self, end: MemoryLink) -> None:
        """`end` is lost."""
        if end in self._links:
            self._links.remove(end)

    def links(self, peer: str | None = None) -> list[MemoryLink]:
        """The open ends that lie at the acceptor, all of them or those of `peer`."""
        return [link for link in self._links if peer in (None, link.peer)]

    def linksOf(self, home: ProcessClock) -> list[MemoryLink]:
        """An end of each open link of this process, the direct ones included."""
        direct = [near for near, _far in self.direct if not near.lost]
        return [link for link in [*self._links, *direct] if link.ends(home)]

    def cut(self, peer: str | None = None) -> None:
        """Lose every link, or those of `peer`, with all that is on the way; both ends are told."""
        for link in self.links(peer):
            link.cut()

    def blackhole(self, peer: str | None = None) -> None:
        """Let every link, or those of `peer`, go dead without a word, as when a router forgets about them."""
        for link in self.links(peer):
            link.die()

    def open(
        self, peer: str, hello: bytes, receiver: Receiver, grant: str = "", home: ProcessClock | None = None
    ) -> tuple[Link, bytes]:
        """Open a link from `peer`, who shows `grant`, to the process `home`.

        Raises what the acceptor raises; `LinkLost` when there is none, `GrantRefused` for a grant that does not count.
        """
        if self.acceptor is None:
            raise LinkLost("nobody answers: the dispatcher is not running")
        rights = MEMBER if self.authority is None or not grant else self.authority.rights(grant)
        near, far = MemoryLink(self, "dispatcher", home or ProcessClock(self.clock)), MemoryLink(self, peer, self.home)
        far.connectTo(near, _Early())
        far_receiver, answer = self.acceptor.opening(peer, hello, far, rights)
        far.connectTo(near, far_receiver)
        self._links.append(far)
        near.connectTo(far, receiver)
        return near, answer


def pair(
    clock: IReactorTime,
    near: Receiver,
    far: Receiver,
    wire: MemoryWire | None = None,
    homes: tuple[ProcessClock, ProcessClock] | None = None,
) -> tuple[MemoryLink, MemoryLink]:
    """Two ends of one link: what is sent into the first, `far` hears, and the other way round. They lie in these processes."""
    wire = MemoryWire(clock) if wire is None else wire
    here, there = homes or (wire.home, wire.home)
    one, other = MemoryLink(wire, "far", here), MemoryLink(wire, "near", there)
    one.connectTo(other, near)
    other.connectTo(one, far)
    return one, other


class _Early:
    """Nobody hears yet."""

    def batchReceived(self, batch: bytes) -> None:
        raise LinkLost("a batch came before the link was open")

    def linkLost(self, reason: NodeSetError) -> None:
        pass


class MemoryOffer:
    """See `nodeset.core.streams.meeting.Offer`."""

    def __init__(self, wire: MemoryWire, owner: str, tub: str, receiver: Receiver, home: ProcessClock) -> None:
        self._wire, self.owner, self.tub, self.receiver, self.home = wire, owner, tub, receiver, home
        self.furl = f"memory:{owner}/{secrets.token_hex(20)}"
        self.taken: Deferred[Link] = Deferred()
        self._timer = home.callLater(UNUSED, self.withdraw)
        wire.offers[self.furl] = self

    def end(self) -> None:
        """Nobody can come by it."""
        self._wire.offers.pop(self.furl, None)
        if self._timer.active():
            self._timer.cancel()

    def withdraw(self) -> None:
        """See `Offer`."""
        if not self.taken.called:
            self.end()
            self.taken.errback(LinkLost("nobody came by this offer"))


class MemoryMeeting:
    """See `nodeset.core.streams.meeting.Meeting`."""

    def __init__(self, wire: MemoryWire, tub: str, home: ProcessClock | None = None) -> None:
        self._wire, self._tub, self._home = wire, tub, home or ProcessClock(wire.clock)
        #: Whether this node has a port that others may try.
        self.listens = True

    def offer(self, tub: str, receiver: Receiver) -> MemoryOffer | None:
        """See `Meeting`."""
        return MemoryOffer(self._wire, self._tub, tub, receiver, self._home) if self.listens else None

    def meet(self, furl: str, tub: str, receiver: Receiver) -> Deferred[Link]:
        """See `Meeting`."""
        met: Deferred[Link] = Deferred(lambda cancelled: attempt.cancel())
        wire, home = self._wire, self._home
        owner = getattr(wire.offers.get(furl), "home", home)
        unreachable = tub in wire.walled or owner.still or home.silenced or owner.silenced

        def connect() -> None:
            offer = wire.offers.get(furl)
            if not furl.startswith(f"memory:{tub}/"):
                met.errback(WrongIdentity("the node gave an address that leads to somebody else"))
            elif unreachable or home.parted or owner.parted:
                met.errback(LinkLost("nobody answers there"))
            elif offer is None or offer.tub != self._tub:
                met.errback(Refused("this offer is gone, or was made to another node"))
            else:
                offer.end()
                ends = pair(wire.clock, receiver, offer.receiver, wire, (home, owner))
                wire.direct = [known for known in wire.direct if not known[0].lost]
                wire.direct.append(ends)
                offer.taken.callback(ends[1])
                met.callback(ends[0])

        attempt = home.callLater(ATTEMPT if unreachable else wire.delay, connect)
        return met

    def stop(self) -> None:
        """Lose all links of this node, withdraw its offers."""
        for offer in list(self._wire.offers.values()):
            if offer.owner == self._tub:
                offer.taken.addErrback(lambda failure: None)
                offer.withdraw()


def _noAnswer(result: object, seconds: float) -> NoReturn:
    raise LinkLost(f"no answer came within {seconds:g} s")


class MemoryTransport:
    """How one node, or a collection, dials over a `MemoryWire`; `peer` stands for its TubID.

    :param furl: the address with its grant, when it shows one.
    :ivar home: the process that dials; its clock is that of the nodes in it.
    """

    def __init__(self, wire: MemoryWire, peer: str, furl: str = "") -> None:
        self._wire, self._peer, self._furl = wire, peer, furl
        self._running = False
        self.home = ProcessClock(wire.clock)
        self.meeting = MemoryMeeting(wire, peer, self.home)

    def startTransport(self) -> Deferred[None]:
        """See `Transport`."""
        self._running = True
        return succeed(None)

    def stopTransport(self) -> Deferred[None]:
        """See `Transport`."""
        self._running = False
        self._wire.cut(self._peer)
        self.meeting.stop()
        return succeed(None)

    def dial(self, hello: bytes, receiver: Receiver) -> Deferred[tuple[Link, bytes]]:
        """See `Transport`."""
        if not self._running:
            return fail(NotRunning("this transport was not started"))
        wire, home = self._wire, self.home
        dialled: Deferred[tuple[Link, bytes]] = Deferred()

        def connect() -> None:
            if not self._running:
                dialled.errback(NotRunning("this transport was stopped"))
            elif parted := home.parted or wire.home.parted:
                if not (home.silenced or wire.home.silenced):
                    dialled.errback(LinkLost(parted))
            else:
                wire.home.do(answer)

        def answer() -> None:
            if dialled.called:
                return
            try:
                opened = wire.open(self._peer, hello, receiver, self._furl.rpartition("/")[2], home)
            except NodeSetError as error:
                home.do(dialled.errback, error)
            else:
                home.do(arrive, opened)

        def arrive(opened: tuple[Link, bytes]) -> None:
            if dialled.called:
                opened[0].abort()
            else:
                dialled.callback(opened)

        def over(result: T) -> T:
            if attempt.active():
                attempt.cancel()
            return result

        attempt = home.callLater(wire.delay + home.lag + wire.home.lag, connect)
        dialled.addBoth(over)
        return dialled.addTimeout(DIAL_TIMEOUT, home, onTimeoutCancel=_noAnswer)

    def describe(self) -> str:
        """See `Transport`."""
        return "memory"

    def furl(self) -> str:
        """See `Transport`."""
        if not self._furl:
            raise NotRunning("this link needs no address: there is none to tell")
        return self._furl
