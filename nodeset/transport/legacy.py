"""Peers without NodeSet code, as sessions of the dispatcher whose far end is in this process.

    peer -> dispatcher   publish(uri, msg) -> True
                         subscribe(uri, node, name) -> True        unsubscribe(uri, node, name) -> whether it was
                         get_stats() -> JSON text
    dispatcher -> node   event(uri, msg, bubble=False)             any answer means delivered
                         heartbeat()                               any answer is a sign of life

The remote API of the original, for whoever has a FURL and nothing but Foolscap.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from nodeset.core import batch as wire
from nodeset.core import codec
from nodeset.core.address import ANY_NODE, LOCALHOST, isPattern, parse
from nodeset.core.batch import WINDOW, Beat, Events, Level, Mode, Took
from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.grants.rights import MEMBER, VOUCHED, Rights
from nodeset.core.hello import Hello, packHello, unpackOpened
from nodeset.core.session import INNER
from nodeset.core.writer import TARGET, BatchWriter
from nodeset.errors import InvalidAddressing, MessageTooLarge, NodeSetError, Overloaded, Refused
from nodeset.transport.copies import readFields, readText
from nodeset.transport.faces import OpeningFace
from nodeset.transport.legacylink import LegacyLink, Upward

__all__ = ["LegacyDoor", "LegacyFace"]

#: What a plain peer can be told of.
_FEATURES: Final = sorted(wire.FEATURES - {"calls", "presence"})
#: Events of plain peers that may wait for a slow subscriber.
_MOST_HELD: Final = 1000


class _Publication:
    """The one session under which all plain peers publish, a `Link` whose far end is here."""

    peer = INNER

    def __init__(self, dispatcher: EventDispatcher, clock: IReactorTime) -> None:
        hello = Hello(stream=secrets.token_urlsafe(16), name=INNER, host=LOCALHOST, features=_FEATURES)
        self.lost = False
        self._sequence = 0
        self._credit = WINDOW
        self._held: deque[Events] = deque()
        self._writer = BatchWriter(clock)
        self._receiver, answer = dispatcher.opening(INNER, packHello(hello), self, VOUCHED)
        self._max_event = unpackOpened(answer).max_event
        self._writer.attach(Upward(self._receiver))

    def send(self, batch: bytes) -> None:
        """See `Link`. Level `accepted` has no answers worth waiting for; a beat wants one, credit lets more go."""
        for frame in wire.unpack(batch):
            if type(frame) is Beat:
                self._writer.write(Beat())
            elif type(frame) is Took:
                self._credit += frame.batches
        self._flush()

    def close(self) -> None:
        """See `Link`."""
        self.abort()

    def abort(self) -> None:
        """See `Link`."""
        self.lost = True
        self._writer.detach()

    def publish(self, uri: str, payload: bytes, mode: Mode, grant: str) -> None:
        """Give one event to the dispatcher, now, stamped with the id of a grant.

        Raises MessageTooLarge, Overloaded, or Refused when the dispatcher does not take it.
        """
        if len(payload) > self._max_event:
            raise MessageTooLarge(f"an event of {len(payload)} bytes is over the limit of {self._max_event}; send it in parts")
        if len(self._held) >= _MOST_HELD:
            raise Overloaded(
                f"{uri!r} has no room: {len(self._held)} events of plain peers wait for slow subscribers; try later"
            )
        self._sequence += 1
        at = self._sequence
        run = Events("", at, mode, False, uri, at, Level.ACCEPTED, [len(payload)], wire.NO_HEADERS, payload)
        run.by = f"/{grant}"  # Foolscap does not say whose call this is
        self._held.append(run)
        self._flush()
        if self.lost:
            raise Refused(f"{uri!r} was not taken: the dispatcher is stopping, or its log tells why")

    def _flush(self) -> None:
        while self._held and self._credit > 0 and not self.lost:
            batch = [self._held.popleft()]
            size = len(batch[0].payloads)
            while self._held and size + len(self._held[0].payloads) + 1000 * len(batch) < TARGET:
                run = self._held.popleft()
                size += len(run.payloads)
                batch.append(run)
            self._credit -= 1
            self._receiver.batchReceived(wire.pack(batch))


class LegacyDoor:
    """What plain peers may do with a dispatcher, for all faces of it.

    A peer is known by the TubID that TLS has proved with the name that it gives, under the grant that it shows; each such
    triple is one session, which calls the reference that was given last.
    """

    def __init__(self, dispatcher: EventDispatcher, clock: IReactorTime) -> None:
        self.dispatcher, self._clock = dispatcher, clock
        self._links: dict[tuple[str, str, str], LegacyLink] = {}
        self._publication: _Publication | None = None

    def publish(self, uri: str | bytes, msg: object, rights: Rights = MEMBER) -> None:
        """Route a message copy or a dictionary. Raises a `NodeSetError` for what is wrong with it, or not allowed."""
        address = parse(readText(uri, "an address"))
        if isPattern(address.eventName):
            raise InvalidAddressing(f"{address.raw!r} is a pattern: one subscribes to it, one publishes to a name")
        payload, mode = codec.encodeFields(None, readFields(msg))
        if why := rights.mayPublish(address.raw) or ("" if rights.take(self._clock.seconds(), 1) else rights.limit):
            self.dispatcher.exchange.answers.counters["refused_events"] += 1
            raise Refused(f"{address.raw!r} was refused: {why}")
        if self._publication is None or self._publication.lost:
            self._publication = _Publication(self.dispatcher, self._clock)
        self._publication.publish(address.raw, payload, Mode.ONE if mode == "one" else Mode.ALL, rights.grant)

    def subscribe(self, uri: str | bytes, node: Any, name: str | bytes, rights: Rights = MEMBER) -> Deferred[bool]:
        """Call `node` with what matches `uri`; fires with True. Raises, or fails with, a `NodeSetError`."""
        label = readText(name, "a node name")
        pattern = self._ownPattern(uri, label)
        key = str(node.getRemoteTubID()), label, rights.grant
        link = self._links.get(key)
        if link is not None and not link.isWith(node):
            link.lose()  # its Tub has a new connection, the news that the old one is dead is still on the way
            link = None
        if link is None:
            link = self._open(key, node, rights)
        link.reference = node
        return link.subscribe(pattern)

    def unsubscribe(self, uri: str | bytes, node: Any, name: str | bytes, rights: Rights = MEMBER) -> Deferred[bool]:
        """Undo `subscribe`; fires with False when there is nothing to undo. Raises a `NodeSetError`."""
        label = readText(name, "a node name")
        pattern = self._ownPattern(uri, label)
        link = self._links.get((str(node.getRemoteTubID()), label, rights.grant))
        return succeed(False) if link is None else link.unsubscribe(pattern)

    def getStats(self) -> str:
        """What the dispatcher counts, as JSON."""
        return json.dumps(self.dispatcher.getStats(), sort_keys=True)

    def _ownPattern(self, uri: str | bytes, label: str) -> str:
        """The event name or pattern in `uri`, which may bear the peer's own label, nobody else's."""
        address = parse(readText(uri, "an address"))
        site = self.dispatcher.exchange.table.site
        if address.nodeName not in (ANY_NODE, label) or address.hostName not in (LOCALHOST, site):
            raise Refused(f"{address.raw!r} is not an address of this node: leave out the node and the host")
        return address.eventName

    def _open(self, key: tuple[str, str, str], node: Any, rights: Rights) -> LegacyLink:
        tub_id, label, _grant = key

        def over(lost: LegacyLink) -> None:
            if self._links.get(key) is lost:
                del self._links[key]

        hello = Hello(stream=secrets.token_urlsafe(16), name=label[:800], host=LOCALHOST, features=_FEATURES)
        link = LegacyLink(node, label, self._clock, self.dispatcher.exchange.answers.counters, over)
        try:
            receiver, _answer = self.dispatcher.opening(tub_id, packHello(hello), link, rights)
        except NodeSetError:
            link.lose()
            raise
        self._links[key] = link
        link.begin(receiver)
        return link


class LegacyFace(OpeningFace):
    """The dispatcher, as nodes with and without NodeSet see it, with what their grant allows."""

    def __init__(self, acceptor: EventDispatcher, door: LegacyDoor, rights: Rights = MEMBER) -> None:
        super().__init__(acceptor, rights)
        self._door = door

    def remote_publish(self, uri: str | bytes, msg: object) -> bool:
        """See `LegacyDoor.publish`; True once the dispatcher has it."""
        self.check()
        self._door.publish(uri, msg, self._rights)
        return True

    def remote_subscribe(self, uri: str | bytes, node: Any, name: str | bytes) -> Deferred[bool]:
        """See `LegacyDoor.subscribe`."""
        self.check()
        return self._door.subscribe(uri, node, name, self._rights)

    def remote_unsubscribe(self, uri: str | bytes, node: Any, name: str | bytes) -> Deferred[bool]:
        """See `LegacyDoor.unsubscribe`."""
        self.check()
        return self._door.unsubscribe(uri, node, name, self._rights)

    def remote_get_stats(self) -> str:
        """See `LegacyDoor.getStats`."""
        self.check()
        return self._door.getStats()
