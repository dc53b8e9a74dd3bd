"""A page that looks on: each update as a server-sent event, for as long as it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from nodeset.web.figures.watch import Figures, Update
from nodeset.web.streams.stream import HEADERS

if TYPE_CHECKING:
    from nodeset.web.agent import Agent
    from nodeset.web.bridge import Bridge
    from nodeset.web.site import BridgeRequest

__all__ = ["KIND", "FiguresStream"]

#: What it is counted as.
KIND: Final = "figures"
#: Milliseconds after which a browser comes back.
_RETRY: Final = b"retry: 2000\n\n"
#: Seconds for which a client may read nothing before it is cut.
_PATIENCE: Final = 30.0


@implementer(IPushProducer)
class FiguresStream:
    """One stream. Who reads slowly misses updates, never gets old ones: one waits for it at most.

    :param whole: whether the nodes may be seen.
    :raise Problem: when as many streams are open as may be.
    """

    def __init__(self, request: BridgeRequest, bridge: Bridge, agent: Agent, figures: Figures, whole: bool) -> None:
        bridge.hub.places.enter()
        self._request, self._bridge, self._agent, self._figures, self._whole = request, bridge, agent, figures, whole
        self._waiting: Update | None = None
        self._full_since: float | None = None
        self._release: Callable[[], None] = lambda: None
        self.over = False

    def begin(self) -> None:
        """Say what is known now, then what comes."""
        request, bridge = self._request, self._bridge
        request.responseHeaders.addRawHeader(b"Content-Type", b"text/event-stream; charset=utf-8")
        for name, value in (*HEADERS, *bridge.access.headers(request)):
            request.responseHeaders.addRawHeader(name, value)
        request.openEnded()
        request.notifyFinish().addBoth(self._gone)
        if request.channel._waitingForTransport:  # an earlier answer on this connection has filled it, which nobody repeats
            self.pauseProducing()
        request.registerProducer(self, True)
        request.write(_RETRY)
        bridge.counters[f"opened:{KIND}"] += 1
        bridge.tolls.streams[KIND] += 1
        newest = self._figures.newest
        if newest is not None:
            self.take(newest)
        self._figures.follow(self)
        self._release = self._agent.hold(lambda reason: self._cut("ended"))

    def take(self, update: Update) -> None:
        """Write it, now or once there is room."""
        now = self._bridge.clock.seconds()
        # What is told is asked for by the bridge's own node, so no dispatcher sees that this grant is over.
        expires = self._agent.rights.expires
        if expires is not None and self._bridge.wall() >= expires:
            self._cut("expired")
        elif self._full_since is None:
            self._write(update)
        elif now - self._full_since > _PATIENCE:
            self._cut("slow")
        else:
            self._waiting = update

    def _write(self, update: Update) -> None:
        self._request.write(update.whole if self._whole else update.nodeless)

    def _cut(self, why: str) -> None:
        if not self.over:
            self._bridge.counters[f"cut:{why}"] += 1
            self._gone(None)
            self._request.channel.abort()

    def end(self) -> None:
        """The bridge stops."""
        if not self.over:
            self._request.unregisterProducer()
            self._request.finish()

    def _gone(self, result: Any) -> None:
        if self.over:
            return
        self.over = True
        self._bridge.hub.places.leave()
        self._bridge.tolls.streams[KIND] -= 1
        self._waiting = None
        self._release()
        self._figures.unfollow(self)

    # -- as the transport wants it

    def pauseProducing(self) -> None:
        """There is no room."""
        if self._full_since is None:
            self._full_since = self._bridge.clock.seconds()

    def resumeProducing(self) -> None:
        """There is room again."""
        self._full_since = None
        update, self._waiting = self._waiting, None
        if update is not None and not self.over:
            self._write(update)

    def stopProducing(self) -> None:
        """The client has gone."""
