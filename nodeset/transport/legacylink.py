"""A link to a peer without NodeSet code: frames on this side, calls of its node on the other."""

from __future__ import annotations

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
from nodeset.core.batch import Beat, Bye, Confirm, Events, Level, Mode, Outcome, Sub, Subbed, Took, Unsub
from nodeset.core.inbox import SILENCE
from nodeset.core.link import Receiver
from nodeset.core.spans import Spans
from nodeset.core.writer import BatchWriter
from nodeset.errors import LinkLost, NodeSetError, Refused
from nodeset.transport.copies import makeCopy

__all__ = ["MAX_OUTSTANDING", "MAX_WAITING", "LegacyLink", "Upward"]

#: `event` calls that one peer may leave unanswered (D16).
MAX_OUTSTANDING: Final = 64
#: Events that wait behind those; of more the oldest is dropped.
MAX_WAITING: Final = 64
#: Stands for the outcome of what the peer has not answered yet.
_UNANSWERED: Final = Outcome.LOST


@attrs.define(eq=False)
class _Event:
    """One event on its way to a plain peer."""

    run: Events
    sequence: int
    payload: bytes
    raw: bool


@attrs.define(eq=False)
class _Stream:
    """What the peer has had of one publisher, with the outcomes; `high` is the last one of mode `all`."""

    heard: float = 0.0
    high: int = 0
    seen: Spans[Outcome] = attrs.field(factory=Spans)


class Upward:
    """A `Link` to the dispatcher itself, for a `BatchWriter`: answers arrive in a turn of their own, as from any peer."""

    peer = "dispatcher"

    def __init__(self, receiver: Receiver) -> None:
        self.send = receiver.batchReceived

    def close(self) -> None:
        """There is nothing to close."""

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
        self._clock = clock
        self._writer = BatchWriter(clock)
        self._receiver: Receiver | None = None
        self._calls = 0
        self._waiting: deque[_Event] = deque()
        self._asked: deque[Deferred[bool]] = deque()
        self._patterns: set[str] = set()
        self._streams: dict[str, _Stream] = {}
        self._beating = self._slow = self._lost = False
        self._marker = reference.notifyOnDisconnect(self.lose)

    @property
    def peer(self) -> str:
        """The beginning of the peer's TubID."""
        return str(self.reference.getRemoteTubID())[:8]

    def begin(self, receiver: Receiver) -> None:
        """From now on `receiver` hears what the peer answers."""
        self._receiver = receiver
        self._writer.attach(Upward(receiver))

    def isWith(self, reference: Any) -> bool:
        """Whether `reference` came over the connection that this link is on."""
        return reference.tracker.broker is self.reference.tracker.broker

    def close(self) -> None:
        """See `Link`. Everything on this connection is lost with it."""
        if not self._lost:
            self.reference.tracker.broker.transport.loseConnection()

    def abort(self) -> None:
        """See `Link`. Everything on this connection is lost with it."""
        if not self._lost:
            self.reference.tracker.broker.transport.abortConnection()

    def lose(self) -> None:
        """The connection is gone, the session with it. Questions stay unanswered: whoever asked them is gone as well."""
        if self._lost:
            return
        self._lost = True
        self.reference.dontNotifyOnDisconnect(self._marker)
        self._writer.detach()
        self._waiting.clear()
        self._over(self)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            # Nobody can come back to this session, so it is not to be waited for as one that is away.
            receiver.batchReceived(wire.pack([Bye("the connection was lost")]))
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
        frames = wire.unpack(batch)
        if any(type(frame) is Events for frame in frames):
            self._writer.write(Took(1))  # a full queue here drops, it never blocks
        for frame in frames:
            match frame:
                case Events():
                    for run in self._unseen(frame):
                        self._take(run)
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
        now = self._clock.seconds()
        for name in [name for name, stream in self._streams.items() if now - stream.heard > SILENCE]:
            del self._streams[name]
        if not self._beating:
            self._beating = True
            self.reference.callRemote("heartbeat").addBoth(self._heard)

    def _heard(self, result: object) -> None:
        self._beating = False
        if not _isLost(result):
            self._writer.write(Beat())

    def _unseen(self, run: Events) -> list[Events]:
        """The parts of `run` to call with. What was here before is answered as it was, what others have overtaken is late."""
        stream = self._streams.setdefault(run.stream, _Stream())
        stream.heard = self._clock.seconds()
        stream.seen.forgetBelow(run.low)
        unseen = []
        for first, last, known in stream.seen.within(run.first, run.last):
            if known is None and run.mode is Mode.ALL and last < stream.high:
                known = Outcome.LATE
            if known is None:
                stream.seen.put(first, last, _UNANSWERED)
                unseen.append(run.part(first, last))
            elif known is not _UNANSWERED:
                self._confirm(run, first, last, known)
        if run.mode is Mode.ALL:
            stream.high = max(stream.high, run.last)
        return unseen

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

    def _confirm(self, run: Events, first: int, last: int, outcome: Outcome, reason: str = "") -> None:
        self._streams.setdefault(run.stream, _Stream()).seen.put(first, last, outcome)
        self._writer.write(Confirm(run.stream, [(first, last)], outcome, reason))


def _isLost(result: object) -> bool:
    return isinstance(result, Failure) and result.check(DeadReferenceError) is not None


def _kindOf(failure: Failure) -> str:
    """The type of what a peer's handler raised; its text may say anything, so nobody is told that."""
    copied: Any = getattr(failure.value, "failure", failure)
    kind: str = (copied.type if isinstance(copied.type, str) else copied.type.__name__).rpartition(".")[2]
    return kind if kind.isidentifier() and len(kind) <= 100 else "an error"
