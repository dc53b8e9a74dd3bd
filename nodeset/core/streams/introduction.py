"""How a pusher comes to a link to each of its peers: the dispatcher introduces them, then they meet without it.

pusher -> taker   open(key, formatter, offer, node, host)  ->  offer of the taker's, or ""
pusher            connects to the taker by its offer, else
pusher -> taker   dial(key)  ->  whether the taker could connect to the pusher by that one's offer; else
pusher -> taker   carry, hear: see `nodeset.core.streams.relay`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from nodeset.core.limits import Name
from nodeset.core.link import Link, Receiver
from nodeset.core.streams.matchmaker import METHODS
from nodeset.core.streams.meeting import ATTEMPT, Meeting
from nodeset.core.streams.pushend import PushEnd
from nodeset.core.streams.relay import RelayLink
from nodeset.errors import NodeSetError, RemoteError

__all__ = ["Ask", "Door", "Introduction"]

#: Seconds that the taker may take to answer.
_ANSWER: Final = 10.0

#: Calls a method of whom this introduction leads to: introduction, method, arguments, time-out.
Ask = Callable[[str, str, list[Any], float], Deferred[Any]]


class Door:
    """Who hears a link that may become that of `flow`; until it has been chosen nothing is passed on."""

    def __init__(self, flow: Receiver) -> None:
        self._flow = flow
        self.chosen = False

    def batchReceived(self, batch: bytes) -> None:
        """Something comes over the link."""
        if self.chosen:
            self._flow.batchReceived(batch)

    def linkLost(self, reason: NodeSetError) -> None:
        """The link is lost."""
        if self.chosen:
            self._flow.linkLost(reason)


class Introduction:
    """Opens links to peers.

    :param ask: see `Ask`.
    :param meeting: how to connect to them; None: not at all.
    :param who: the name, the host by which we are called there.
    """

    log = Logger()

    def __init__(self, ask: Ask, meeting: Meeting | None, clock: IReactorTime, who: tuple[Name, Name]) -> None:
        self._ask, self._meeting, self._clock, self._who = ask, meeting, clock, who

    async def introduce(self, end: PushEnd, key: str, name: str, formatter: str) -> None:
        """Begin `end`, directly or relayed. Raises what the taker refuses it with, or `LinkLost`."""
        peer, meeting = end.peer, self._meeting
        door = Door(end)
        ours = meeting.offer(peer.tub, door) if meeting is not None and peer.tub else None
        comes: Deferred[Link | None] | None = None
        if ours is not None:
            comes = ours.taken.addErrback(lambda failure: None)
        try:
            arguments = [key, formatter, "" if ours is None else ours.furl, *self._who]
            theirs = await self._ask(peer.introduction, f"{METHODS}open", arguments, _ANSWER)
            if not isinstance(theirs, str):
                raise RemoteError(f"{peer} answers with {theirs!r:.60} where an address was due")
            link = await self._meet(end, door, theirs)
            if link is None and comes is not None:
                link = await self._beMet(end, key, comes)
        finally:
            if ours is not None:
                ours.withdraw()
        direct = link is not None
        if link is None:
            self.log.warn("{peer} cannot be connected to directly, {name} is relayed by the dispatcher", peer=peer, name=name)
            link = RelayLink(self._callsTo(peer.introduction), key, door, self._clock, str(peer))
        door.chosen = True
        end.begin(link, attrs.evolve(peer, direct=direct))

    def _callsTo(self, stream: str) -> Callable[[str, list[Any], float], Deferred[Any]]:
        return lambda method, args, timeout: self._ask(stream, METHODS + method, args, timeout)

    async def _meet(self, end: PushEnd, door: Door, furl: str) -> Link | None:
        """Connect to the taker."""
        if not furl or self._meeting is None:
            return None
        try:
            return await self._meeting.meet(furl, end.peer.tub, door)
        except NodeSetError as error:
            self.log.info("no connection to {peer}: {reason}", peer=end.peer, reason=str(error))
            return None

    async def _beMet(self, end: PushEnd, key: str, comes: Deferred[Link | None]) -> Link | None:
        """Have the taker connect to us."""
        try:
            if await self._ask(end.peer.introduction, f"{METHODS}dial", [key], ATTEMPT + _ANSWER) is True and comes.called:
                return await comes
        except NodeSetError as error:
            self.log.info("no connection from {peer}: {reason}", peer=end.peer, reason=str(error))
        return None
