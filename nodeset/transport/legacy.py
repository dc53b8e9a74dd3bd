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
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

import attrs
from foolscap.api import DeadReferenceError
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.core import batch as wire
from nodeset.core import codec
from nodeset.core.address import ANY_NODE, LOCALHOST, isPattern, parse
from nodeset.core.batch import Beat, Confirm, Events, Level, Mode, Outcome, Sub, Subbed, Unsub
from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.link import Receiver
from nodeset.core.writer import BatchWriter
from nodeset.errors import InvalidAddressing, LinkLost, MessageTooLarge, NodeSetError, Refused
from nodeset.transport.copies import makeCopy, readFields, readText
from nodeset.transport.faces import OpeningFace

__all__ = ["MAX_OUTSTANDING", "MAX_WAITING", "LegacyDoor", "LegacyFace", "LegacyLink"]

#: `event` calls that one peer may leave unanswered (D16).
MAX_OUTSTANDING: Final = 64
#: Events that wait behind those; of more the oldest is dropped.
MAX_WAITING: Final = 64
#: What stands for the TubID, as well as for the name, of the session under which plain peers publish.
_PUBLISHER: Final = "legacy"


@attrs.define(eq=False)
class _Event:
    """One event on its way to a plain peer."""

    run: Events
    sequence: int
    payload: bytes
    raw: bool


class _Upward:
    """A `Link` to the dispatcher itself, for a `BatchWriter`: answers arrive in a turn of their own, as from any peer."""

    peer = "dispatcher"

    def __init__(self, receiver: Receiver) -> None:
        self.send = receiver.batchReceived

    def abort(self) -> None:
        """There is nothing to cut."""


class LegacyLink:
    """A `Link` that ends here: what the dispatcher sends over it becomes calls to the peer's node.

    :ivar reference: the node that is called.
    :param over: called when the link is lost.
    """

    log = Logger()

    def __init__(
        self, reference: Any, name: str, clock: IReactorTime, counters: Counter[str], over: Callable[[LegacyLink], None]
    ) -> None:
        self.reference = reference
        self._name, self._counters, self._over = name, counters, over
        self._writer = BatchWriter(clock)
        self._receiver: Receiver | None = None
        self._calls = 0
        self._waiting: deque[_Event] = deque()
        self._asked: deque[Deferred[bool]] = deque()
        self._patterns: set[str] = set()
        self._beating = self._slow = self._lost = False
        self._marker = reference.notifyOnDisconnect(self.lose)

    @property
    def peer(self) -> str:
        """The beginning of the peer's TubID."""
        return str(self.reference.getRemoteTubID())[:8]

    def begin(self, receiver: Receiver) -> None:
        """From now on `receiver` hears what the peer answers."""
        self._receiver = receiver
        self._writer.attach(_Upward(receiver))

    def isWith(self, reference: Any) -> bool:
        """Whether `reference` came over the connection that this link is on."""
        return reference.tracker.broker is self.reference.tracker.broker

    def abort(self) -> None:
        """See `Link`. Everything on this connection is lost with it."""
        if not self._lost:
            self.reference.tracker.broker.transport.abortConnection()

    def lose(self) -> None:
        """The connection is gone. Questions stay unanswered: whoever asked them is gone as well."""
        if self._lost:
            return
        self._lost = True
        self.reference.dontNotifyOnDisconnect(self._marker)
        self._writer.detach()
        self._waiting.clear()
        self._over(self)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.linkLost(LinkLost("the connection was lost"))

    # -- what the peer asks

    def subscribe(self, pattern: str) -> Deferred[bool]:
        """Fires with True once the dispatcher has confirmed it, fails with `Refused`."""
        self._patterns.add(pattern)
        return self._ask(Sub(pattern))

    def unsubscribe(self, pattern: str) -> Deferred[bool]:
        """Fires with True once it is over, with False when it was not subscribed to."""
        if pattern not in self._patterns:
            return succeed(False)
        self._patterns.discard(pattern)
        return self._ask(Unsub(pattern)).addCallback(lambda active: not active)

    def _ask(self, frame: Sub | Unsub) -> Deferred[bool]:
        asked: Deferred[bool] = Deferred()
        self._asked.append(asked)  # answers come in the order of the questions
        if self._receiver is not None:
            self._receiver.batchReceived(wire.pack([frame]))
        return asked

    # -- what the dispatcher sends

    def send(self, batch: bytes) -> None:
        """See `Link`."""
        if self._lost:
            return
        for frame in wire.unpack(batch):
            match frame:
                case Events():
                    self._take(frame)
                case Beat():
                    self._beat()
                case Subbed():
                    self._answered(frame)

    def _answered(self, answer: Subbed) -> None:
        asked = self._asked.popleft()
        if answer.refused:
            self._patterns.discard(answer.pattern)
            asked.errback(Refused(answer.refused))
        else:
            asked.callback(answer.active)

    def _beat(self) -> None:
        if not self._beating:
            self._beating = True
            self.reference.callRemote("heartbeat").addBoth(self._heard)

    def _heard(self, result: object) -> None:
        self._beating = False
        if not _isLost(result):
            self._writer.write(Beat())

    def _take(self, run: Events) -> None:
        try:
            raw = wire.unpackHeaders(run.headers).get("content_type") == "raw"
        except NodeSetError as error:
            self._refuse(run, run.first, run.last, error)
            return
        offset = 0
        for index, length in enumerate(run.lengths):
            self._waiting.append(_Event(run, run.first + index, run.payloads[offset : offset + length], raw))
            offset += length
            self._work()
            if len(self._waiting) > MAX_WAITING:
                self._drop(self._waiting.popleft())

    def _drop(self, event: _Event) -> None:
        self._counters["dropped"] += 1
        if not self._slow:
            self._slow = True
            self.log.warn("{name} answers too slowly, the oldest events for it are dropped", name=self._name)
        self._confirm(event.run, event.sequence, event.sequence, Outcome.LATE, f"{self._name} answers too slowly")

    def _refuse(self, run: Events, first: int, last: int, error: NodeSetError) -> None:
        self._counters["unsendable"] += last - first + 1
        self._confirm(run, first, last, Outcome.REFUSED, f"{self._name} cannot be sent it: {error}"[:500])

    def _work(self) -> None:
        """Call with what waits, as far as answers are not missing for too much."""
        while self._waiting and self._calls < MAX_OUTSTANDING and not self._lost:
            self._call(self._waiting.popleft())
        if not self._waiting:
            self._slow = False

    def _call(self, event: _Event) -> None:
        try:
            copy = makeCopy(event.payload, event.run.mode.name.lower(), event.raw)
        except NodeSetError as error:
            self._refuse(event.run, event.sequence, event.sequence, error)
            return
        self._calls += 1
        self.reference.callRemote("event", event.run.event, copy, bubble=False).addBoth(self._called, event)

    def _called(self, result: object, event: _Event) -> None:
        self._calls -= 1
        if _isLost(result):
            return  # the loss is told by itself
        outcome, reason = Outcome.OK, ""
        if isinstance(result, Failure):
            self._counters["legacy_failures"] += 1
            if event.run.level is Level.HANDLED:
                outcome, reason = Outcome.FAILED, f"{self._name} raised {_kindOf(result)}"
        self._confirm(event.run, event.sequence, event.sequence, outcome, reason)
        self._work()

    def _confirm(self, run: Events, first: int, last: int, outcome: Outcome, reason: str) -> None:
        if run.level is not Level.ACCEPTED:
            self._writer.write(Confirm(run.stream, [(first, last)], outcome, reason))


def _isLost(result: object) -> bool:
    return isinstance(result, Failure) and result.check(DeadReferenceError) is not None


def _kindOf(failure: Failure) -> str:
    """The type of what a peer's handler raised; its text may say anything, so nobody is told that."""
    copied = getattr(failure.value, "failure", failure)
    kind = str(copied.type).rpartition(".")[2].rstrip("'>")
    return kind if kind.isidentifier() and len(kind) <= 100 else "an error"


class _Publication:
    """The one session under which all plain peers publish, a `Link` whose far end is here."""

    peer = _PUBLISHER

    def __init__(self, dispatcher: EventDispatcher, clock: IReactorTime) -> None:
        hello = wire.Hello(stream=secrets.token_urlsafe(16), name=_PUBLISHER, host=LOCALHOST, features=sorted(wire.FEATURES))
        self.lost = False
        self._sequence = 0
        self._writer = BatchWriter(clock)
        self._receiver, answer = dispatcher.opening(_PUBLISHER, wire.packHello(hello), self)
        self._max_event = wire.unpackOpened(answer).max_event
        self._writer.attach(_Upward(self._receiver))

    def send(self, batch: bytes) -> None:
        """See `Link`. Level `accepted` has no answers worth waiting for; a beat wants one."""
        if any(type(frame) is Beat for frame in wire.unpack(batch)):
            self._writer.write(Beat())

    def abort(self) -> None:
        """See `Link`."""
        self.lost = True
        self._writer.detach()

    def publish(self, uri: str, payload: bytes, mode: Mode) -> None:
        """Give one event to the dispatcher, now. Raises MessageTooLarge, or Refused when it does not take it."""
        if len(payload) > self._max_event:
            raise MessageTooLarge(f"an event of {len(payload)} bytes is over the limit of {self._max_event}; send it in parts")
        self._sequence += 1
        at = self._sequence
        run = Events("", at, mode, False, uri, at, Level.ACCEPTED, [len(payload)], wire.NO_HEADERS, payload)
        self._receiver.batchReceived(wire.pack([run]))
        if self.lost:
            raise Refused(f"{uri!r} was not taken: the dispatcher is stopping, or its log tells why")


class LegacyDoor:
    """What plain peers may do with a dispatcher, for all faces of it.

    A peer is known by the TubID that TLS has proved with the name that it gives; each such pair is one session, which calls
    the reference that was given last.
    """

    def __init__(self, dispatcher: EventDispatcher, clock: IReactorTime) -> None:
        self._dispatcher, self._clock = dispatcher, clock
        self._links: dict[tuple[str, str], LegacyLink] = {}
        self._publication: _Publication | None = None

    def publish(self, uri: str | bytes, msg: object) -> None:
        """Route a message copy or a dictionary. Raises a `NodeSetError` for what is wrong with it."""
        address = parse(readText(uri, "an address"))
        if isPattern(address.eventName):
            raise InvalidAddressing(f"{address.raw!r} is a pattern: one subscribes to it, one publishes to a name")
        payload, mode = codec.encodeFields(None, readFields(msg))
        if self._publication is None or self._publication.lost:
            self._publication = _Publication(self._dispatcher, self._clock)
        self._publication.publish(address.raw, payload, Mode.ONE if mode == "one" else Mode.ALL)

    def subscribe(self, uri: str | bytes, node: Any, name: str | bytes) -> Deferred[bool]:
        """Call `node` with what matches `uri`; fires with True. Raises, or fails with, a `NodeSetError`."""
        label = readText(name, "a node name")
        pattern = self._ownPattern(uri, label)
        key = str(node.getRemoteTubID()), label
        link = self._links.get(key)
        if link is not None and not link.isWith(node):
            link.lose()  # its Tub has a new connection, the news that the old one is dead is still on the way
            link = None
        if link is None:
            link = self._open(key, node)
        link.reference = node
        return link.subscribe(pattern)

    def unsubscribe(self, uri: str | bytes, node: Any, name: str | bytes) -> Deferred[bool]:
        """Undo `subscribe`; fires with False when there is nothing to undo. Raises a `NodeSetError`."""
        label = readText(name, "a node name")
        pattern = self._ownPattern(uri, label)
        link = self._links.get((str(node.getRemoteTubID()), label))
        return succeed(False) if link is None else link.unsubscribe(pattern)

    def getStats(self) -> str:
        """What the dispatcher counts, as JSON."""
        return json.dumps(self._dispatcher.getStats(), sort_keys=True)

    def _ownPattern(self, uri: str | bytes, label: str) -> str:
        """The event name or pattern in `uri`, which may bear the peer's own label, nobody else's."""
        address = parse(readText(uri, "an address"))
        site = self._dispatcher.exchange.table.site
        if address.nodeName not in (ANY_NODE, label) or address.hostName not in (LOCALHOST, site):
            raise Refused(f"{address.raw!r} is not an address of this node: leave out the node and the host")
        return address.eventName

    def _open(self, key: tuple[str, str], node: Any) -> LegacyLink:
        tub_id, label = key

        def over(lost: LegacyLink) -> None:
            if self._links.get(key) is lost:
                del self._links[key]

        hello = wire.Hello(stream=secrets.token_urlsafe(16), name=label[:800], host=LOCALHOST, features=sorted(wire.FEATURES))
        link = LegacyLink(node, label, self._clock, self._dispatcher.exchange.counters, over)
        try:
            receiver, _answer = self._dispatcher.opening(tub_id, wire.packHello(hello), link)
        except NodeSetError:
            link.lose()
            raise
        self._links[key] = link
        link.begin(receiver)
        return link


class LegacyFace(OpeningFace):
    """The dispatcher, as nodes with and without NodeSet see it."""

    def __init__(self, acceptor: EventDispatcher, door: LegacyDoor) -> None:
        super().__init__(acceptor)
        self._door = door

    def remote_publish(self, uri: str | bytes, msg: object) -> bool:
        """See `LegacyDoor.publish`; True once the dispatcher has it."""
        self._door.publish(uri, msg)
        return True

    def remote_subscribe(self, uri: str | bytes, node: Any, name: str | bytes) -> Deferred[bool]:
        """See `LegacyDoor.subscribe`."""
        return self._door.subscribe(uri, node, name)

    def remote_unsubscribe(self, uri: str | bytes, node: Any, name: str | bytes) -> Deferred[bool]:
        """See `LegacyDoor.unsubscribe`."""
        return self._door.unsubscribe(uri, node, name)

    def remote_get_stats(self) -> str:
        """See `LegacyDoor.getStats`."""
        return self._door.getStats()
