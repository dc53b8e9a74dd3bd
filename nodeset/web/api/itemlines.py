"""The items of a stream that a method returned, as lines."""

from __future__ import annotations

from typing import Any, Final

from msgspec.json import encode
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from nodeset.core.calls.items import Items
from nodeset.errors import NodeSetError
from nodeset.web.bridge import Bridge
from nodeset.web.problem import Problem, judge
from nodeset.web.site import BridgeRequest

__all__ = ["ItemLines"]

_LINES: Final = b"application/x-ndjson"
#: Is in no item.
_END: Final = object()


class ItemLines:
    """Sends items as `application/x-ndjson`: `{"item":...}` each, then `{"end":<their number>}` or `{"problem":...}`.

    The method waits for a client that reads slowly; one that reads nothing for as long as a request may last is cut.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._open = 0
        bridge.tolls.gauges["streams:items"] = lambda: self._open

    async def send(self, request: BridgeRequest, items: Items) -> None:
        """Send all of them, end the request; what the method raises before the first is raised here.

        :raise Problem: 429 when as many streams are open as may be.
        """
        limits, counters = self._bridge.limits, self._bridge.counters
        try:
            if self._open >= limits.max_streams:
                counters["refused:streams"] += 1
                raise Problem(429, f"{limits.max_streams} streams are open: end one, try again", retry_after=1)
            self._open += 1
            try:
                await self._sendAll(request, items)
            finally:
                self._open -= 1
        finally:
            await items.aclose()

    async def _sendAll(self, request: BridgeRequest, items: Items) -> None:
        count, item = 0, await anext(items, _END)
        self._begin(request)
        gate = _Gate()
        # What an earlier answer on this connection has filled stays shut without another word.
        gate.is_shut = request.channel._waitingForTransport
        request.registerProducer(gate, True)
        try:
            while item is not _END:
                request.write(b'{"item":%s}\n' % encode(item))
                count += 1
                if gate.is_shut:
                    await self._wait(request, gate)
                item = await anext(items, _END)
            last: dict[str, Any] = {"end": count}
        except NodeSetError as error:
            last = {"problem": judge(error).fields()}
        finally:
            if not request._disconnected:
                request.unregisterProducer()
        request.write(encode(last) + b"\n")
        request.finish()

    def _begin(self, request: BridgeRequest) -> None:
        request.setResponseCode(200)
        for name, value in (
            (b"Content-Type", _LINES),
            (b"Cache-Control", b"no-store"),
            (b"X-Content-Type-Options", b"nosniff"),
            *self._bridge.access.headers(request),
        ):
            request.responseHeaders.addRawHeader(name, value)

    async def _wait(self, request: BridgeRequest, gate: _Gate) -> None:
        opened = gate.opened()
        timer = self._bridge.clock.callLater(self._bridge.limits.request_timeout, self._cut, request)
        try:
            await opened
        finally:
            if timer.active():
                timer.cancel()

    def _cut(self, request: BridgeRequest) -> None:
        self._bridge.counters["cut:slow"] += 1
        request.channel.abort()  # which cancels who waits here


@implementer(IPushProducer)
class _Gate:
    """Whether the connection takes more."""

    is_shut = False

    def __init__(self) -> None:
        self._waiting: Deferred[None] | None = None

    def opened(self) -> Deferred[None]:
        """Fires when it does again."""
        self._waiting = Deferred()
        return self._waiting

    def pauseProducing(self) -> None:
        """It takes no more now."""
        self.is_shut = True

    def resumeProducing(self) -> None:
        """It takes more."""
        self.is_shut = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(None)

    def stopProducing(self) -> None:
        """It is lost; who waits hears of that from the request."""
        self.is_shut = True
