"""The streams of one node, those that it pushes with those that it takes, from its start to its stop."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from nodeset.core.grants.entitlement import Entitlement
from nodeset.core.streams.formatter import Formatter
from nodeset.core.streams.introduction import Ask, Introduction
from nodeset.core.streams.meeting import Meeting
from nodeset.core.streams.pulse import Pulse
from nodeset.core.streams.pushend import PushEnd, StreamPeer
from nodeset.core.streams.pushing import Stream
from nodeset.core.streams.reception import Reception
from nodeset.core.streams.takeend import StreamSource, TakeEnd
from nodeset.errors import LinkLost, NodeSetError

__all__ = ["AT_ONCE", "Streaming", "Taker"]

#: Peers that are introduced at a time.
AT_ONCE: Final = 16

#: Makes what takes the chunks of a stream: called with the stream's name, the formatter's name, who pushes; returns what is
#: called with each chunk as it travels, and what is called with the end (None, or why the pusher is lost). Raises `Refused`.
Taker = Callable[[str, str, StreamSource], tuple[Callable[[bytes], Any], Callable[[NodeSetError | None], None]]]


class Streaming:
    """Opens streams, takes those of others.

    :param ask: calls other nodes, see `Ask`.
    :param meeting: how nodes connect to each other, if they can.
    :param who: our name and host.
    """

    def __init__(
        self, ask: Ask, meeting: Callable[[], Meeting | None], clock: IReactorTime, who: tuple[str, str], taker: Taker
    ) -> None:
        self._ask, self._meeting, self._clock, self._who, self._taker = ask, meeting, clock, who, taker
        self._pulse = Pulse(clock)
        self._streams: list[Stream] = []
        self._running = True
        self.reception = Reception(self._makeTakeEnd, meeting, clock, self._pulse)
        self._entitlement = Entitlement(ask, self.reception.pushed, clock)

    def _makeTakeEnd(
        self, name: str, formatter: str, source: StreamSource, ended: Callable[[NodeSetError | None], None]
    ) -> TakeEnd:
        take, end = self._taker(name, formatter, source)
        self._entitlement.watch()

        def over(error: NodeSetError | None) -> None:
            ended(error)
            end(error)

        return TakeEnd(name, source, self._clock, take, over)

    async def open(
        self, name: str, formatter: Formatter, kind: type[Stream], peers: list[StreamPeer], patience: float | None
    ) -> Stream:
        """A stream to these, to all that can be reached; raises what the first was refused with when none can."""
        introduction = Introduction(self._ask, self._meeting(), self._clock, self._who)
        few = DeferredSemaphore(AT_ONCE)
        ends = [PushEnd(peer, self._clock) for peer in peers]

        def introduce(end: PushEnd) -> Deferred[None]:
            key = secrets.token_urlsafe(16)
            return Deferred.fromCoroutine(introduction.introduce(end, key, name, formatter.name))

        results: list[tuple[bool, Any]] = await DeferredList([few.run(introduce, end) for end in ends], consumeErrors=True)
        errors: dict[PushEnd, Failure] = {}
        for end, (_good, result) in zip(ends, results, strict=True):
            if isinstance(result, Failure):
                errors[end] = result
        reached = [end for end in ends if end.open and end not in errors]
        if not self._running:
            errors = {end: Failure(LinkLost("the node stopped")) for end in ends}
            for end in reached:
                end.cut(LinkLost("the pusher stopped"))
            reached = []
        if errors and not reached:
            next(iter(errors.values())).raiseException()
        stream = kind(name, formatter, reached, self._clock, self._pulse, patience)
        self._streams.append(stream)
        stream.whenClosed(self._closed)
        for end in ends:
            if end not in reached:
                failure = errors.get(end)
                error = failure.value if failure is not None else LinkLost("it was lost at once")
                stream.tellLost(end.peer, error if isinstance(error, NodeSetError) else LinkLost(str(error)))
        return stream

    def _closed(self, stream: Stream) -> None:
        if stream in self._streams:
            self._streams.remove(stream)

    async def stop(self, timeout: float) -> None:
        """Close what we push, which may take `timeout` seconds; take no more."""
        self._running = False
        await DeferredList([stream.close(timeout) for stream in list(self._streams)])
        self._entitlement.stop()
        self.reception.stop(LinkLost("the taker stopped"))
