"""Where a node is introduced to those that push to it: the taker's side of `nodeset.core.streams.introduction`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from nodeset.core.link import Link
from nodeset.core.streams.meeting import UNUSED, Meeting, Offer
from nodeset.core.streams.pulse import Pulse
from nodeset.core.streams.relay import RelayEnd
from nodeset.core.streams.takeend import StreamSource, TakeEnd
from nodeset.errors import Busy, LinkLost, NodeSetError, ProtocolError, Refused

__all__ = ["MAX_TAKEN", "Introduced", "Reception"]

#: Streams that a node takes at a time.
MAX_TAKEN: Final = 1024

#: Makes the end of a stream: its name, the formatter's name, who pushes, what is to be called when it has ended. Raises
#: `Refused`.
MakeTakeEnd = Callable[[str, str, StreamSource, Callable[[NodeSetError | None], None]], TakeEnd]


@attrs.frozen
class Introduced:
    """Who asks: its session, its TubID, as the dispatcher says."""

    stream: str
    tub: str


class _Side:
    """One link by which chunks may come; the first one by which something comes is it."""

    def __init__(self, guest: _Guest, direct: bool) -> None:
        self._guest, self._direct = guest, direct
        self.link: Link | None = None

    def batchReceived(self, batch: bytes) -> None:
        end = self._guest.end
        if end.link is None and self.link is not None:
            end.begin(self.link, self._direct)
            self._guest.begun()
        if end.link is self.link:
            end.batchReceived(batch)

    def linkLost(self, reason: NodeSetError) -> None:
        if self._guest.end.link is self.link:
            self._guest.end.linkLost(reason)

    def opened(self, link: Link | None) -> None:
        self.link = link


@attrs.define(eq=False)
class _Guest:
    """One stream that comes in: the ways to it that are open."""

    end: TakeEnd
    tub: str
    furl: str
    begun: Callable[[], None] = lambda: None
    offer: Offer | None = None
    relay: RelayEnd | None = None
    timer: IDelayedCall | None = None
    ended: bool = False


class Reception:
    """What pushers may call, each for its own streams only.

    :param make: see `MakeTakeEnd`.
    :param meeting: how they may connect to us, if at all.
    """

    def __init__(self, make: MakeTakeEnd, meeting: Callable[[], Meeting | None], clock: IReactorTime, pulse: Pulse) -> None:
        self._make, self._meeting, self._clock, self._pulse = make, meeting, clock, pulse
        self._guests: dict[tuple[str, str], _Guest] = {}

    @property
    def ends(self) -> list[TakeEnd]:
        """The streams that come in."""
        return [guest.end for guest in self._guests.values()]

    def pushed(self) -> list[tuple[str, TakeEnd]]:
        """The same, each with its pusher's session."""
        return [(stream, guest.end) for (stream, _key), guest in self._guests.items() if not guest.ended]

    def open(self, by: Introduced, key: Any, name: Any, formatter: Any, furl: Any, node: Any, host: Any) -> str:
        """Somebody wants to push `name`; returns where it may connect to, or an empty text."""
        for text, most in ((key, 64), (name, 800), (formatter, 64), (furl, 1000), (node, 255), (host, 255)):
            _check(text, most)
        if len(self._guests) >= MAX_TAKEN:
            raise Busy(f"this node takes {MAX_TAKEN} streams already")
        place = (by.stream, key)
        if place in self._guests:
            raise ProtocolError("this stream is open already")
        end = self._make(name, formatter, StreamSource(node, host, by.tub), lambda error: self._ended(place))
        guest = self._guests[place] = _Guest(end, by.tub, furl)
        guest.timer = self._clock.callLater(UNUSED, end.cut, LinkLost("nothing came of the introduction"))
        guest.begun = lambda: self._begun(guest)
        self._pulse.add(end)
        meeting = self._meeting()
        if meeting is None or not by.tub:
            return ""
        side = _Side(guest, direct=True)
        guest.offer = meeting.offer(by.tub, side)
        if guest.offer is None:
            return ""
        guest.offer.taken.addErrback(lambda failure: None).addCallback(side.opened)
        return guest.offer.furl

    def dial(self, by: Introduced, key: Any) -> Deferred[bool] | bool:
        """Connect to the pusher, by the offer that came with `open`; whether that worked."""
        guest, meeting = self._find(by, key), self._meeting()
        if not guest.furl or meeting is None or not guest.tub:
            return False
        side = _Side(guest, direct=True)
        furl, guest.furl = guest.furl, ""

        def met(result: Any) -> bool:
            if isinstance(result, Failure):
                return False
            side.opened(result)
            return True

        return meeting.meet(furl, guest.tub, side).addBoth(met)

    def carry(self, by: Introduced, key: Any, number: Any, text: Any) -> None:
        """Batches come as calls."""
        self._relay(by, key).carry(number, text)

    def hear(self, by: Introduced, key: Any) -> Deferred[str]:
        """What the pusher is to be told."""
        return self._relay(by, key).hear()

    def _relay(self, by: Introduced, key: Any) -> RelayEnd:
        guest = self._find(by, key)
        if guest.relay is None:
            side = _Side(guest, direct=False)
            guest.relay = RelayEnd(side, self._clock, str(guest.end.source), lambda: self._forget((by.stream, key)))
            side.opened(guest.relay)
        return guest.relay

    def _find(self, by: Introduced, key: Any) -> _Guest:
        guest = self._guests.get((by.stream, _check(key, 64)))
        if guest is None:
            raise Refused("no such stream comes in here, or no longer")
        return guest

    def _begun(self, guest: _Guest) -> None:
        if guest.timer is not None and guest.timer.active():
            guest.timer.cancel()
        if guest.offer is not None:
            guest.offer.withdraw()

    def _ended(self, place: tuple[str, str]) -> None:
        guest = self._guests[place]
        guest.ended = True
        self._begun(guest)
        self._pulse.remove(guest.end)
        if guest.relay is not None:
            guest.relay.close()  # what was said last may still be heard
        self._forget(place)

    def _forget(self, place: tuple[str, str]) -> None:
        guest = self._guests.get(place)
        if guest is not None and guest.ended and (guest.relay is None or guest.relay.done):
            del self._guests[place]

    def stop(self, reason: NodeSetError) -> None:
        """Take nothing more."""
        for guest in list(self._guests.values()):
            guest.end.cut(reason, str(reason))
            if guest.relay is not None:
                guest.relay.abort()


def _check(text: Any, most: int) -> str:
    if not isinstance(text, str) or len(text) > most:
        raise ProtocolError(f"text of at most {most} characters was due, not {text!r:.60}")
    return text
