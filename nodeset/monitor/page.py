"""The page that Prometheus reads, behind doors that let little in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from nodeset.errors import PortTaken

__all__ = ["LIFETIME", "MAX_CONNECTIONS", "MetricsPage", "PageService", "PageSite"]

#: The type of the text format.
_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
#: Connections at a time; one more is closed at once.
MAX_CONNECTIONS: Final = 20
#: Seconds after which a connection is cut, whatever it does.
LIFETIME: Final = 10.0
#: Bytes of all headers of a request, with their number.
_HEADERS, _LINES = 8192, 50
#: Seconds for which the same text is given, however often it is asked for.
_FRESH: Final = 1.0


class _Text(Resource):
    """A fixed text."""

    isLeaf = True

    def __init__(self, code: int, text: bytes) -> None:
        Resource.__init__(self)
        self._code, self._text = code, text

    def render(self, request: Request) -> bytes:
        """See `Resource`."""
        request.setResponseCode(self._code)
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        if self._code == 405:
            request.setHeader(b"allow", b"GET, HEAD")
        return b"" if request.method == b"HEAD" else self._text


class MetricsPage(Resource):
    """`/metrics`, and nothing else, for GET and HEAD.

    :param text: makes the text.
    :param now: seconds of a monotonic clock.
    """

    log = Logger()

    def __init__(self, text: Callable[[], bytes], now: Callable[[], float]) -> None:
        Resource.__init__(self)
        self._make, self._now = text, now
        self._text, self._made = b"", now() - _FRESH - 1

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource`."""
        if request.method not in (b"GET", b"HEAD"):
            return _Text(405, b"GET or HEAD\n")
        if path != b"metrics" or request.postpath:
            return _Text(404, b"there is only /metrics\n")
        return self

    def render(self, request: Request) -> bytes:
        """The metrics."""
        now = self._now()
        if now - self._made > _FRESH:
            self._text, self._made = self._make(), now
        request.setHeader(b"content-type", _TYPE)
        request.setHeader(b"content-length", b"%d" % len(self._text))
        return b"" if request.method == b"HEAD" else self._text


class _Channel(HTTPChannel):
    """One connection: one request without a body, in a bounded time."""

    maxHeaders = _LINES
    totalHeadersSize = _HEADERS
    door: PageSite
    _alarm: IDelayedCall | None = None
    _over = False

    def connectionMade(self) -> None:
        """Let it in if there is room."""
        self.door.open += 1
        HTTPChannel.connectionMade(self)
        self._alarm = self.door.clock.callLater(LIFETIME, self._cut)
        if self.door.open > MAX_CONNECTIONS:
            self._cut()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        self.door.open -= 1
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        HTTPChannel.connectionLost(self, reason)

    def dataReceived(self, data: bytes) -> None:
        """Bytes came; what comes after the end is not looked at."""
        if not self._over:
            HTTPChannel.dataReceived(self, data)

    def loseConnection(self) -> None:
        """Hang up, once all is said."""
        self._over = True
        HTTPChannel.loseConnection(self)

    def _cut(self) -> None:
        self._over = True
        transport: Any = self.transport
        transport.abortConnection()

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        """One request is all."""
        request.responseHeaders.setRawHeaders(b"connection", [b"close"])
        return False

    def allHeadersReceived(self) -> None:
        """Nobody has a body to send."""
        if self.length != 0:  # None for one in chunks, which would go to the disk without an end
            transport: Any = self.transport
            transport.write(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self.loseConnection()
            return
        HTTPChannel.allHeadersReceived(self)


class PageSite(Site):
    """A site of one page.

    :param reactor: times the connections.
    """

    displayTracebacks = False
    noisy = False

    def __init__(self, page: MetricsPage, reactor: Any) -> None:
        root: Any = page
        base: Any = Site
        base.__init__(self, root, reactor=reactor, timeout=LIFETIME)
        self.clock = reactor
        #: Connections that are open.
        self.open = 0

    def buildProtocol(self, addr: Any) -> Any:
        """A channel of our kind."""
        channel: Any = _Channel()
        channel.door = channel.site = channel.factory = self
        channel.requestFactory = self.requestFactory
        channel.callLater, channel.timeOut = self.clock.callLater, self.timeOut
        return channel

    def log(self, request: Any) -> None:
        """Who scrapes is not worth a line."""


class PageService(Service):
    """Shows the page at one address.

    :param host: an address of this machine.
    """

    log = Logger()

    def __init__(self, page: MetricsPage, host: str, port: int, reactor: Any) -> None:
        self.setName("nodeset-monitor-page")
        self._site, self._host, self._port, self._reactor = PageSite(page, reactor), host, port, reactor
        self._listening: Any = None

    def startService(self) -> None:
        """Listen. Raises `PortTaken`."""
        try:
            self._listening = self._reactor.listenTCP(self._port, self._site, interface=self._host)
        except CannotListenError as error:
            raise PortTaken(f"--metrics {self._host}:{self._port} cannot be listened on: {error.socketError}") from None
        Service.startService(self)
        where = self._listening.getHost()
        host = f"[{where.host}]" if ":" in where.host else where.host
        self.log.info("metrics are at http://{host}:{port}/metrics", host=host, port=where.port)

    def stopService(self) -> Any:
        """Close the port."""
        Service.stopService(self)
        listening, self._listening = self._listening, None
        return None if listening is None else listening.stopListening()
