"""A stream, as those have it who push."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.core.streams.chunks import MAX_CHUNK
from nodeset.core.streams.formatter import Formatter
from nodeset.core.streams.pulse import Pulse
from nodeset.core.streams.pushend import QUEUED, PushEnd, StreamPeer
from nodeset.errors import BadMessage, LinkLost, LocalError, MessageTooLarge, NodeSetError, NotRunning, Overloaded, TimedOut

__all__ = ["Stream"]

#: Seconds that a result is waited for, or the end of a stream, unless the caller says otherwise.
_TIMEOUT = 60.0


class Stream:
    """What `StreamNode.stream` gives: chunks go to every peer, in order.

    A peer that dies, stops, falls silent for 20 s is dropped and told once, by `onLost`; the others go on. A slow peer holds
    all of them, since there is one pace, unless the stream was opened with `patience`.

    :ivar name: what is streamed.
    :ivar lost: the peers that were lost, or never reached, each with its error.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        formatter: Formatter,
        ends: list[PushEnd],
        clock: IReactorTime,
        pulse: Pulse,
        patience: float | None,
    ) -> None:
        self.name = name
        self.lost: list[tuple[StreamPeer, NodeSetError]] = []
        self._formatter, self._clock, self._pulse, self._patience = formatter, clock, pulse, patience
        self._ends: list[PushEnd] = []
        self._waiting: list[Deferred[None]] = []
        self._impatient: dict[PushEnd, IDelayedCall] = {}
        self._closing: Deferred[None] | None = None
        self._closed: Callable[[Stream], None] = lambda stream: None
        for end in ends:
            end.room, end.lost = partial(self._roomAt, end), self._lose
            self._ends.append(end)
            pulse.add(end)

    def whenClosed(self, closed: Callable[[Stream], None]) -> None:
        """Have `closed` called when the stream is."""
        self._closed = closed

    @property
    def peers(self) -> list[StreamPeer]:
        """Who takes the chunks now: name, host, tub, and whether `direct` or relayed by the dispatcher."""
        return [end.peer for end in self._ends]

    def onLost(self, peer: StreamPeer, error: NodeSetError) -> None:
        """Called once for each peer that is lost before the stream was closed. Override it, or set it on the stream."""
        self.log.warn("{name} goes on without {peer}: {reason}", name=self.name, peer=peer, reason=str(error))

    def push(self, data: Any, timeout: float | None = _TIMEOUT) -> Deferred[Any]:
        """Send a chunk; fires when every peer has taken it, with what its `onStream` returned, which JSON must have.

        One peer: its result, or fails with its error. Several: a list in the order of `peers`, in which errors stand as they
        are. None: `[]`. Errors are `RemoteError` with the `type` of what `onStream` raised, `LinkLost` for a peer that is
        lost, `TimedOut` after `timeout` seconds (None: never). Fails with `Overloaded` when 16 MiB wait already, `NotRunning`
        when the stream is closed.

        :raise BadMessage: for what the formatter cannot send.
        :raise MessageTooLarge: for a chunk over 16 MiB.
        """
        chunk = self._encode(data)
        if (refusal := self._refusal(chunk)) is not None:
            return fail(refusal)
        pushed = [self._await(end.push(chunk), end, timeout) for end in list(self._ends)]
        self._watch()
        if not pushed:
            return succeed([])
        if len(pushed) == 1:
            return pushed[0]
        return DeferredList(pushed, consumeErrors=True).addCallback(_results)

    def write(self, data: Any) -> Deferred[None]:
        """Send a chunk; fires when there is room for another at every peer, however long that takes.

        What `onStream` returns is not asked for, what it raises is logged over there. Fails and raises as `push` does; who
        goes on without waiting gets `Overloaded` in the end.
        """
        chunk = self._encode(data)
        if (refusal := self._refusal(chunk)) is not None:
            return fail(refusal)
        room = True
        for end in list(self._ends):
            end.write(chunk)
            room = room and not end.full
        if room:
            return succeed(None)
        self._watch()
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def close(self, timeout: float = _TIMEOUT) -> Deferred[None]:
        """End the stream; fires when every peer has taken all of it, or is lost, after `timeout` seconds at the latest."""
        if self._closing is None:
            closing = self._closing = Deferred()
            self._release()
            ended: Deferred[Any] = DeferredList([end.finish() for end in self._ends], consumeErrors=True)
            ended.addTimeout(timeout, self._clock, onTimeoutCancel=lambda result, seconds: None)
            ended.addCallback(self._finished).addCallback(closing.callback)
        told: Deferred[None] = Deferred()

        def tell(result: None) -> None:
            if not told.called:
                told.callback(None)

        self._closing.addCallback(tell)
        return told

    def cut(self, reason: NodeSetError) -> None:
        """End the stream now: what was not taken is lost, the peers are told `reason`."""
        if self._closing is None:
            self._closing = succeed(None)
        self._release()
        for end in list(self._ends):
            end.cut(reason)
        self._finished(None)

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
        else:
            self.cut(LinkLost(f"the pusher gave up: {type(error).__name__}"))

    # -- within

    def _encode(self, data: Any) -> bytes:
        chunk = self._formatter.encode(data)
        if type(chunk) is not bytes:
            raise BadMessage(f"{type(self._formatter).__qualname__}.encode made {type(chunk).__name__} of a chunk, not bytes")
        if len(chunk) > MAX_CHUNK:
            raise MessageTooLarge(f"a chunk of {len(chunk)} bytes, at most {MAX_CHUNK} can be sent: push it in parts")
        return chunk

    def _refusal(self, chunk: bytes) -> LocalError | None:
        if self._closing is not None:
            return NotRunning(f"the stream {self.name} is closed")
        for end in self._ends:
            if not end.hasPlace(len(chunk)):
                return Overloaded(f"{QUEUED} bytes wait for {end.peer} already: wait for what write or push returns")
        return None

    def _await(self, pushed: Deferred[Any], end: PushEnd, timeout: float | None) -> Deferred[Any]:
        if timeout is None:
            return pushed

        def late(result: Any, seconds: float) -> Any:
            return Failure(TimedOut(f"{end.peer} has not taken the chunk within {seconds:g} s"))

        return pushed.addTimeout(timeout, self._clock, onTimeoutCancel=late)

    def _watch(self) -> None:
        """Be patient with those that have no room, no longer than we are to be."""
        if self._patience is not None:
            for end in self._ends:
                if end.full and end not in self._impatient:
                    slow = LinkLost(f"it made no room for {self._patience:g} s")
                    self._impatient[end] = self._clock.callLater(self._patience, end.cut, slow)

    def _calm(self, end: PushEnd) -> None:
        timer = self._impatient.pop(end, None)
        if timer is not None and timer.active():
            timer.cancel()

    def _roomAt(self, end: PushEnd) -> None:
        self._calm(end)
        if not any(end.full for end in self._ends):
            self._release()

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)

    def _lose(self, end: PushEnd, error: NodeSetError) -> None:
        self._ends.remove(end)
        self._pulse.remove(end)
        self._roomAt(end)
        self.tellLost(end.peer, error)

    def tellLost(self, peer: StreamPeer, error: NodeSetError) -> None:
        """Note that this peer is lost, or was never reached."""
        self.lost.append((peer, error))
        try:
            self.onLost(peer, error)
        except Exception:
            self.log.failure("onLost of the stream {name} failed", name=self.name)

    def _finished(self, result: object) -> None:
        for end in list(self._ends):
            self._calm(end)
            if end.open:
                end.cut(LinkLost("it did not take the end of the stream in time"))
            self._pulse.remove(end)
        self._ends.clear()
        self._closed(self)


def _results(results: list[tuple[bool, Any]]) -> list[Any]:
    return [result if good else result.value for good, result in results]
