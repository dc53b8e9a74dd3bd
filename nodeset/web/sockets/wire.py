"""The fence around `twisted.web.websocket`: what it leaves to its user is done here.

It reads whatever length a peer declares, lets what wsproto raises fall through to the reactor, knows no subprotocol, and tells
a clean close as a lost connection. `Wire` is its wire protocol with bounds; only this room knows that one's name.
"""

from __future__ import annotations

from enum import Enum
from io import StringIO
from typing import Any, Final, Protocol

import attrs
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web._websocket_impl import _WebSocketWireProtocol, serverBootstrap
from twisted.web.http import Request
from twisted.web.websocket import WebSocketProtocol
from wsproto.connection import Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.utilities import ProtocolError
from zope.interface import implementer

from nodeset.web.sockets.bounds import Bounds
from nodeset.web.sockets.handshake import BadHandshake, shakeHands

__all__ = ["CLOSE_PATIENCE", "LINGER", "Ending", "Listener", "Wire", "upgrade"]

#: Seconds for the peer to answer a close, before the connection is cut.
CLOSE_PATIENCE: Final = 5.0
#: Seconds that a peer which broke the protocol has to read why: closing at once would throw that away with what it still sends.
LINGER: Final = 1.0


class Listener(WebSocketProtocol, Protocol):
    """What a `Wire` tells beside what Twisted's protocol tells."""

    def heard(self) -> None:
        """Something came from the peer, or it took what was waiting for it."""

    def writingPaused(self) -> None:
        """More waits to be sent than should: write no more than must be."""

    def writingResumed(self) -> None:
        """It was sent."""


@attrs.frozen
class Ending:
    """How a connection ended: `code`, `reason` of the first close; 1006 is none. `clean`: both sides said so."""

    code: int = 1006
    reason: str = "the connection was lost"
    clean: bool = False
    by_us: bool = False


class _State(Enum):
    OPEN = 1
    #: We have closed, and look for nothing but the answer.
    CLOSING = 2
    #: What comes is thrown away.
    DEAF = 3


@implementer(IPushProducer)
class Wire(_WebSocketWireProtocol[Any]):
    """One connection, from the handshake on.

    :param listener: who is told what comes; what it raises ends the connection with 1011, told to the log once.
    :ivar ending: how it ended; None as long as nobody has closed it.
    :ivar is_full: whether the peer reads slower than is written to it. Nothing is read from it meanwhile.
    """

    log = Logger()

    def __init__(self, connection: Connection, listener: Listener, bounds: Bounds, clock: IReactorTime) -> None:
        super().__init__(connection, serverBootstrap, listener)
        self._listener, self._bounds, self._clock = listener, bounds, clock
        self._state = _State.OPEN
        self._text: StringIO | None = None
        self._timer: IDelayedCall | None = None
        self.ending: Ending | None = None
        self.is_full = self._produces = False

    def connectionMade(self) -> None:
        """See `IProtocol`: the connection is taken over from HTTP."""
        super().connectionMade()
        self.attachProducer(self)
        self._produces = True
        self._read(True)  # HTTP had stopped, if much came early
        self._listener.negotiationFinished()

    # -- what comes

    def dataReceived(self, data: bytes) -> None:
        """See `IProtocol`."""
        if self._isDeaf():
            return
        try:
            self._listener.heard()
            self._wsconn.receive_data(data)
            for event in self._wsconn.events():
                self._take(event)
                if self._isDeaf():
                    return
        except ProtocolError as error:
            self._break(1002, " ".join(str(error).split()))
        except Exception:
            self.log.failure("a WebSocket is closed by a mistake of NodeSet's")
            self._break(1011, "internal error: it stands in the log of the bridge")

    def _isDeaf(self) -> bool:
        return self._state is _State.DEAF

    def _take(self, event: Event) -> None:
        if isinstance(event, CloseConnection):
            self._takeClose(event)
        elif self._state is not _State.OPEN:
            pass
        elif isinstance(event, TextMessage):
            self._takeText(event)
        elif isinstance(event, BytesMessage):
            self.loseConnection(1003, "a message must be text: JSON")
        elif isinstance(event, Ping):
            self.transport.write(self._wsconn.send(event.response()))
        elif isinstance(event, Pong):
            self._listener.pongReceived(bytes(event.payload))

    def _takeText(self, event: TextMessage) -> None:
        if self._text is None and event.message_finished:
            self._listener.textMessageReceived(event.data)
            return
        # Twisted's own buffer copies all of a message for each piece of it.
        text = self._text = self._text or StringIO()
        text.write(event.data)
        if event.message_finished:
            self._text = None
            self._listener.textMessageReceived(text.getvalue())

    def _takeClose(self, event: CloseConnection) -> None:
        state = self._wsconn.state
        if state is ConnectionState.REMOTE_CLOSING:
            self._end(int(event.code), event.reason or "", clean=True)
            self.transport.write(self._wsconn.send(event.response()))
            self._hangUp()
        elif state is ConnectionState.CLOSED:
            assert self.ending is not None, "we closed first"
            self.ending = attrs.evolve(self.ending, clean=True)
            self._hangUp()
        else:  # nobody closed: this is how wsproto tells that the peer broke the protocol
            self._break(int(event.code), self._bounds.reason or event.reason or "protocol error")

    def _break(self, code: int, reason: str) -> None:
        """The peer, or we, did what cannot be gone on from."""
        self.loseConnection(code, reason)
        self._state = _State.DEAF
        self._wait(LINGER, self._hangUp)

    # -- what goes

    def sendTextMessage(self, text: str) -> None:
        """See `WebSocketTransport`; after a close nothing is sent any more."""
        if self._state is _State.OPEN:
            super().sendTextMessage(text)

    def ping(self, payload: bytes = b"") -> None:
        """See `WebSocketTransport`; after a close nothing is sent any more."""
        if self._state is _State.OPEN:
            super().ping(payload)

    def loseConnection(self, code: int = 1000, reason: str = "") -> None:
        """Close, once: tell the peer `code` with at most 123 bytes of `reason`, wait `CLOSE_PATIENCE` for its answer."""
        if self._state is not _State.OPEN:
            return
        self._state = _State.CLOSING
        self._end(code, reason, by_us=True)
        self._text = None
        self.transport.write(self._wsconn.send(CloseConnection(code, reason)))
        self._read(True)
        self._wait(CLOSE_PATIENCE, self.abort)

    def abort(self) -> None:
        """Cut the connection at once; what was not sent is thrown away."""
        self._state = _State.DEAF
        self._cancelTimer()
        abort = getattr(self.transport, "abortConnection", self.transport.loseConnection)
        abort()

    def _end(self, code: int, reason: str, clean: bool = False, by_us: bool = False) -> None:
        if self.ending is None:
            self.ending = Ending(code, reason, clean, by_us)

    def _hangUp(self) -> None:
        self._state = _State.DEAF
        self._wait(CLOSE_PATIENCE, self.abort)
        if self._produces:
            self._produces = False
            self.detachProducer()  # with a producer the connection would wait for more, over TLS for ever
        self.transport.loseConnection()

    def _wait(self, seconds: float, then: Any) -> None:
        self._cancelTimer()
        self._timer = self._clock.callLater(seconds, self._fire, then)

    def _fire(self, then: Any) -> None:
        self._timer = None
        then()

    def _cancelTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # -- how fast

    def pauseProducing(self) -> None:
        """See `IPushProducer`: the peer does not take what is written, so nothing is taken from it either."""
        self.is_full = True
        if self._state is _State.OPEN:
            self._read(False)
            self._listener.writingPaused()

    def resumeProducing(self) -> None:
        """See `IPushProducer`."""
        self.is_full = False
        if self._state is _State.OPEN:
            self._read(True)
            self._listener.heard()
            self._listener.writingResumed()

    def stopProducing(self) -> None:
        """See `IPushProducer`: `connectionLost` follows."""

    def _read(self, wanted: bool) -> None:
        producer = IPushProducer(self.transport, None)
        if producer is not None:
            producer.resumeProducing() if wanted else producer.pauseProducing()

    # -- the end

    def connectionLost(self, reason: Failure) -> None:
        """See `IProtocol`; the listener is told `ConnectionDone` when both sides had closed."""
        self._state = _State.DEAF
        self._cancelTimer()
        self._end(1006, "the connection was lost")
        assert self.ending is not None
        self._listener.connectionLost(Failure(ConnectionDone()) if self.ending.clean else reason)


def upgrade(request: Request, listener: Listener, subprotocol: str, max_message: int, clock: IReactorTime) -> Wire:
    """Make the connection of `request` a WebSocket that `listener` hears. Raises `BadHandshake`: nothing was written then."""
    if request.clientproto != b"HTTP/1.1":
        raise BadHandshake(426, "a WebSocket begins with HTTP/1.1", [("Upgrade", "websocket"), ("Connection", "Upgrade")])
    if request.method != b"GET":
        raise BadHandshake(405, "a WebSocket begins with GET", [("Allow", "GET")])
    bounds = Bounds(max_message, clock.seconds)
    headers = [(name, value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values]
    connection, accepted = shakeHands(headers, subprotocol, [bounds])
    wire = Wire(connection, listener, bounds, clock)
    channel: Any = request.channel
    channel.transport.write(accepted)
    channel._protocolUpgradeForWebsockets(wire)
    return wire
