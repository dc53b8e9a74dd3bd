"""Streams: chunks pushed from node to node, past the dispatcher, which introduces the two, no more.

::

    class Recorder(StreamNode):
        def onStream(self, name, data):        # called for each chunk of the streams of what it subscribes to
            self.file.write(data)

    recorder.subscribe("video")
    async with await camera.stream("video") as stream:
        await stream.write(frame)              # fires when there is room for more
        results = await stream.push(frame)     # fires with what onStream returned

Who pushes, who takes: both are stream nodes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Final

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from nodeset.core.address import SIGN, matches
from nodeset.core.arguments import publishable
from nodeset.core.calls.expose import Exposed
from nodeset.core.calls.parcel import packArguments
from nodeset.core.calls.signature import compileSignature
from nodeset.core.calls.within import within
from nodeset.core.interfaces import IStreamNode
from nodeset.core.kinds import Mode
from nodeset.core.node import Node
from nodeset.core.patience import deferredOf
from nodeset.core.streams.formatter import (
    Formatter,
    JsonFormatter,
    TextFormatter,
    checkFormatter,
    findFormatter,
    registerFormatter,
)
from nodeset.core.streams.matchmaker import METHODS, introducedBy
from nodeset.core.streams.meeting import Meeting
from nodeset.core.streams.pushend import StreamPeer
from nodeset.core.streams.pushing import Stream
from nodeset.core.streams.reception import Introduced, Reception
from nodeset.core.streams.streaming import Streaming
from nodeset.core.streams.takeend import StreamSource
from nodeset.errors import BadSettings, NodeSetError, NotRunning, Refused, RemoteError

__all__ = [
    "Formatter",
    "JsonFormatter",
    "Stream",
    "StreamNode",
    "StreamPeer",
    "StreamSource",
    "TextFormatter",
    "registerFormatter",
]

#: Seconds for which the dispatcher is asked who takes a stream.
_ANSWER: Final = 10.0


@implementer(IStreamNode)
class StreamNode(Node):
    """A node that pushes streams to others of its kind and takes theirs; its arguments are those of `Node`.

    It takes the streams of all that it subscribes to, by `subscribe` or `@catch`. To be connected to directly it needs a
    `port`; of a pusher and a taker one is enough. What can go directly never passes the dispatcher.
    """

    #: What `stream` makes: `Stream`, or a subclass with an `onLost` of its own.
    streamClass: ClassVar[type[Stream]] = Stream
    #: What the chunks that this node pushes are: raw bytes unless this is another `Formatter`.
    formatterClass: ClassVar[type[Formatter]] = Formatter

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._streaming: Streaming | None = None
        for name in ("open", "dial", "carry", "hear"):
            self._exposed = {**self._exposed, METHODS + name: _exposed(name)}

    def startService(self) -> None:
        """Start; streams can be opened once there is a dispatcher."""
        if not self.running:
            clock = self._findClock()
            self._streaming = Streaming(self._askNode, self._meeting, clock, (self.name, self.host), self._taker)
        super().startService()

    async def _stop(self) -> None:
        streaming, self._streaming = self._streaming, None
        if streaming is not None:
            await streaming.stop(self.settings.drain_timeout)
        await super()._stop()

    def _meeting(self) -> Meeting | None:
        meeting: Meeting | None = getattr(self._transport, "meeting", None)
        return meeting

    # -- what others call, by an introduction

    def _streamOpen(self, key: Any, formatter: Any, furl: Any, node: Any, host: Any) -> Any:
        return self._receive(lambda reception, by, name: reception.open(by, key, name, formatter, furl, node, host))

    def _streamDial(self, key: Any) -> Any:
        return self._receive(lambda reception, by, _name: reception.dial(by, key))

    def _streamCarry(self, key: Any, number: Any, text: Any) -> Any:
        return self._receive(lambda reception, by, _name: reception.carry(by, key, number, text))

    def _streamHear(self, key: Any) -> Any:
        return self._receive(lambda reception, by, _name: reception.hear(by, key))

    def _receive(self, do: Callable[[Reception, Introduced, str], Any]) -> Any:
        """Do what somebody calls who was introduced. A refusal is an answer: what others do wrong is no failure of ours."""
        called = within.get()
        try:
            if called is None or self._streaming is None:
                raise NotRunning(f"the node {self.name} takes no streams now")
            call = called.call
            within.set(None)  # what is taken may well outlive the call
            by = Introduced(call.caller, call.by.partition("/")[0])
            return do(self._streaming.reception, by, introducedBy(call.target))
        except NodeSetError as error:
            return {"refused": [type(error).__name__, str(error)[:1000]]}

    def _askNode(self, introduction: str, method: str, args: list[Any], timeout: float) -> Deferred[Any]:
        """Call a node to which we were introduced, or the dispatcher."""
        phone = self._phone
        if phone is None:
            return fail(NotRunning(f"the node {self.name} does not run, so it cannot stream"))
        token = within.set(None)  # a stream may outlive the call in which it was opened
        try:
            target = SIGN + introduction if introduction else ""
            asked = phone.caller.call(target, method, packArguments(args, {}), Mode.ONE, timeout, False, None)
            return asked.addCallback(_answered)
        finally:
            within.reset(token)

    # -- pushing

    def stream(self, name: str, *, formatter: type[Formatter] | None = None, patience: float | None = None) -> Deferred[Stream]:
        """Open a stream to all stream nodes that subscribe to `name` now, but not to this one unless it subscribed itself.

        :param name: an event name, `host/event` or `node@host/event`, as for `publish`, with the right to publish it.
        :param formatter: instead of `formatterClass`.
        :param patience: seconds for which a peer may leave no room before it is dropped; None: for ever.
        :return: fires with the `Stream`, which has no peers if nobody subscribes. Peers that could not be reached are in its
            `lost`; when none could, fails with the first one's error: `RemoteError` if it does not know the formatter.
            Fails with `NotRunning`, `Refused`, `LinkLost`.
        :raise InvalidAddressing: for an address that is none, or a pattern.
        :raise LocalError: for what is no formatter.
        """
        uri = publishable(name)
        kind = self.formatterClass if formatter is None else formatter
        checkFormatter(kind)
        if patience is not None and not (isinstance(patience, int | float) and patience > 0):
            raise BadSettings(f"patience must be a number of seconds above 0, or None, not {patience!r:.60}")
        return Deferred.fromCoroutine(self._open(uri, kind(), patience))

    async def _open(self, uri: str, formatter: Formatter, patience: float | None) -> Stream:
        streaming = self._streaming
        if streaming is None:
            raise NotRunning(f"the node {self.name} does not run, so it cannot stream")
        name, found = _readPeers(await self._askNode("", "streams", [uri], _ANSWER))
        return await streaming.open(name, formatter, self.streamClass, found, patience)

    # -- taking

    def onStream(self, name: str, data: Any) -> object:
        """Called with each chunk of a stream of `name`, in order, one at a time for each pusher.

        For subclasses; may return a Deferred or be `async def`. What it returns, or comes to, is the result that the pusher
        gets of `push`, so JSON must have it. A subclass that takes a third argument gets the `StreamSource`, who pushes.
        """
        return None

    def onStreamEnd(self, name: str, source: StreamSource, error: NodeSetError | None) -> object:
        """Called once when a stream ends: `error` is None when its pusher has closed it, else says why it is lost."""
        return None

    def _taker(
        self, name: str, formatter: str, source: StreamSource
    ) -> tuple[Callable[[bytes], Any], Callable[[NodeSetError | None], None]]:
        if not any(matches(pattern.rpartition("/")[2], name) for pattern in self.getSubscriptions()):
            raise Refused(f"{self.name} does not subscribe to {name[:80]!r}")
        kind = self.formatterClass if formatter == self.formatterClass.name else findFormatter(formatter)
        if kind is None:
            raise Refused(f"{self.name} knows no formatter {formatter!r}: register its class there, with registerFormatter")
        decode = kind().decode
        on_stream: Callable[..., Any] = self.onStream
        three = _takesSource(on_stream)
        raw = kind is Formatter

        def take(chunk: bytes) -> Any:
            data = chunk if raw else decode(chunk)
            return on_stream(name, data, source) if three else on_stream(name, data)

        def ended(error: NodeSetError | None) -> None:
            try:
                waiting = deferredOf(self.onStreamEnd(name, source, error))
            except Exception:
                self.log.failure("onStreamEnd of {node} failed", node=self.name)
            else:
                if waiting is not None:
                    waiting.addErrback(
                        lambda failure: self.log.failure("onStreamEnd of {node} failed", failure, node=self.name)
                    )

        return take, ended


def _exposed(name: str) -> Exposed:
    method = f"_stream{name.capitalize()}"
    return Exposed(METHODS + name, method, compileSignature(getattr(StreamNode, method), METHODS + name, bound=True))


def _answered(answer: Any) -> Any:
    match answer:
        case {"refused": [str(kind), str(text)]}:
            raise RemoteError(text, kind)
    return answer


def _takesSource(on_stream: Callable[..., Any]) -> bool:
    try:
        inspect.signature(on_stream).bind("name", b"", None)
    except TypeError:
        return False
    return True


def _readPeers(told: Any) -> tuple[str, list[StreamPeer]]:
    try:
        name, rows = told
        return str(name), [StreamPeer(str(label), str(host), str(tub), str(stream)) for stream, label, host, tub in rows]
    except (TypeError, ValueError):
        raise RemoteError(f"the dispatcher answers with {told!r:.60} where the peers of a stream were due") from None
