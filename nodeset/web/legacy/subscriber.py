"""A client that is sent events, line by line, until it leaves."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import DeferredList
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from nodeset.core.message import RawMessage
from nodeset.errors import BadMessage
from nodeset.web.agent import Agent
from nodeset.web.bridge_node import BridgeNode
from nodeset.web.legacy.builder import Lines
from nodeset.web.limits import Limits
from nodeset.web.problem import Problem
from nodeset.web.site import BridgeRequest

__all__ = ["Subscriber"]


@implementer(IPushProducer)
class Subscriber:
    """Passes on what a node hears, from `open` to `close`.

    What comes while the client does not read waits, within `stream_events` and `stream_bytes`; one more, and the client is
    cut. With HTTP/1.0 the first event ends it.

    :param counters: gets `cut:slow`, `cut:revoked`, `cut:refused`, with `dropped:` and the reason in events.
    :param over: called once, when it is closed.
    """

    def __init__(
        self,
        request: BridgeRequest,
        node: BridgeNode,
        events: list[str],
        lines: Lines,
        limits: Limits,
        counters: Counter[str],
        over: Callable[[Subscriber], object],
    ) -> None:
        self._request, self._node, self._events = request, node, events
        self._lines, self._limits, self._counters, self._over = lines, limits, counters, over
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._paused, self._closed = True, False
        self._latest: RawMessage | None = None
        self._listened: list[str] = []
        self._release: Callable[[], None] = lambda: None

    def liveBy(self, agent: Agent) -> None:
        """End with `agent`: what he may do no longer is not to go on."""
        self._release = agent.hold(self._cut)

    def _cut(self, reason: str) -> None:
        if not self._closed:
            self._counters["cut:revoked"] += 1
            self.close("revoked")
            self._request.channel.abort()

    def _look(self, is_linked: bool, reason: str) -> None:
        """With each new link: whether we hear all that we did."""
        if is_linked and not all(map(self._node.hears, self._events)):
            self._counters["cut:refused"] += 1
            self.drain()

    async def open(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Subscribe, then begin the answer with these headers. Raises `Refused`, `Problem`, then nothing stands."""
        self._request.notifyFinish().addBoth(lambda result: self.close())
        try:
            asked = []
            for event in self._events:
                asked.append(self._node.listen(event, self.take))
                self._listened.append(event)
            found: Any = await DeferredList(asked, fireOnOneErrback=True, consumeErrors=True)
            del found
        except BaseException as error:
            self.close()
            # What DeferredList wraps an error in.
            raise getattr(getattr(error, "subFailure", None), "value", error) from None
        if self._closed:
            raise Problem(503, "the bridge stops: come back", retry_after=1)
        self._node.watchLink(self._look)
        self._request.openEnded()
        self._request.args, self._request.content = {}, None  # a form of a MiB need not stay for as long
        for name, value in headers:
            self._request.responseHeaders.addRawHeader(name, value)
        self._request.registerProducer(self, True)
        self._request.write(b"")  # the head, so that the client knows that from now on nothing is missed
        self.resumeProducing()

    def take(self, event: str, msg: RawMessage) -> None:
        """An event came. One that several patterns match comes once."""
        if self._closed or msg is self._latest:
            return
        self._latest = msg
        try:
            line = self._lines.of(msg)
        except BadMessage:
            self._counters["dropped:unreadable"] += 1
            return
        self._waiting.append(line)
        self._bytes += len(line)
        if not self._paused:
            self._write()
        elif len(self._waiting) > self._limits.stream_events or self._bytes > self._limits.stream_bytes:
            self._counters["cut:slow"] += 1
            self.close("slow")
            self._request.channel.abort()

    def _write(self) -> None:
        while self._waiting and not self._paused:
            line = self._waiting.popleft()
            self._bytes -= len(line)
            self._request.write(line)
            if self._request.clientproto == b"HTTP/1.0":
                self.end()
                return

    def drain(self) -> None:
        """End the answer with all that waits for the client; one that has not begun becomes a 503."""
        if self._closed or not self._request.startedWriting:
            self.close("draining")
            return
        self._paused = False
        self._write()
        self.end()

    def end(self) -> None:
        """End the answer as a whole one."""
        if not self._closed:
            self.close("")  # with HTTP/1.0 the first event is all that was asked for
            self._request.unregisterProducer()
            self._request.finish()

    def close(self, why: str = "gone") -> None:
        """Unsubscribe; again is fine. `why` is what the events are counted as that wait for the client, if anything."""
        if self._closed:
            return
        self._closed = True
        self._release()
        if why and self._waiting:
            self._counters[f"dropped:{why}"] += len(self._waiting)
        self._waiting.clear()
        self._node.unwatchLink(self._look)
        for event in self._listened:
            self._node.unlisten(event, self.take)
        self._over(self)

    # -- what the connection says

    def pauseProducing(self) -> None:
        """The client does not read."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It reads."""
        self._paused = False
        if not self._closed:
            self._write()

    def stopProducing(self) -> None:
        """It is gone."""
        self.close()
