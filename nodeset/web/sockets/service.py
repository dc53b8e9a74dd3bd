"""The WebSockets that are open."""

from __future__ import annotations

from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall

from nodeset.web.bridge import Bridge
from nodeset.web.inquiry import Inquiry
from nodeset.web.problem import Problem
from nodeset.web.sockets.conversation import ENVELOPE, Conversation
from nodeset.web.sockets.frames import SUBPROTOCOL
from nodeset.web.sockets.handshake import BadHandshake
from nodeset.web.sockets.wire import upgrade

__all__ = ["Sockets"]

#: Seconds between two looks for who is silent.
_LOOK: Final = 1.0


class Sockets(Service):
    """`GET /v1/ws`. When it stops, every client is told so, and gets the answers that are due."""

    def __init__(self, bridge: Bridge) -> None:
        self.setName("nodeset-web-sockets")
        self._bridge = bridge
        self._open: set[Conversation] = set()
        self._looking = LoopingCall(self._look)
        self._looking.clock = bridge.clock
        self._stopped: Deferred[None] | None = None
        bridge.tolls.gauges["streams:socket"] = lambda: len(self._open)

    def __len__(self) -> int:
        return len(self._open)

    async def enter(self, inquiry: Inquiry) -> None:
        """Make a WebSocket of it. Raises `Problem`: 400, 426 for another handshake, 503 when there is no room."""
        bridge = self._bridge
        if bridge.draining or not self.running:
            raise Problem(503, "the bridge is stopping: come back", retry_after=1)
        bridge.hub.places.enter()
        conversation = Conversation(bridge, inquiry.agent, self._over)
        self._open.add(conversation)
        try:
            upgrade(inquiry.request, conversation, SUBPROTOCOL, bridge.limits.max_body + ENVELOPE, bridge.clock)
        except BadHandshake as error:
            self._over(conversation)
            headers = [(name.encode(), value.encode()) for name, value in error.headers]
            raise Problem(error.status, error.detail, headers=headers) from None
        bridge.counters["opened:socket"] += 1

    def startService(self) -> None:
        """Begin to look at the clock."""
        Service.startService(self)
        self._looking.start(_LOOK, now=False)

    def stopService(self) -> Deferred[None]:
        """Close all; fires when they are."""
        Service.stopService(self)
        for conversation in list(self._open):
            conversation.drain()
        if not self._open:
            self._end()
            return succeed(None)
        self._stopped = Deferred()
        return self._stopped

    def _over(self, conversation: Conversation) -> None:
        self._open.discard(conversation)
        self._bridge.hub.places.leave()
        stopped = self._stopped
        if stopped is not None and not self._open:
            self._stopped = None
            self._end()
            stopped.callback(None)

    def _end(self) -> None:
        if self._looking.running:
            self._looking.stop()

    def _look(self) -> None:
        now = self._bridge.clock.seconds()
        for conversation in list(self._open):
            conversation.beat(now)
