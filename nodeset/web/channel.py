"""One HTTP connection, which gets so much time, so many bytes, then hears what it did wrong."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, datetimeToString
from twisted.web.http_headers import Headers

from nodeset.web.problem import PROBLEM_TYPE, Problem

if TYPE_CHECKING:
    from nodeset.web.site import BridgeRequest, BridgeSite

__all__ = ["Channel"]

#: Headers of a request at most.
_LINES: Final = 100
#: Bytes, seconds for which we go on reading from who was told to stop: closed at once, the answer to it would be lost.
_LINGER, _FAREWELL = 64 * 1024, 2.0
#: Bytes of further requests that are kept while one is answered.
_EARLY: Final = 16 * 1024
#: Digits of the longest Content-Length: Python refuses to read thousands.
_DIGITS: Final = 18
#: What a connection does: waits for a request, is served one, has an open-ended answer, is told to go.
_IDLE, _ASKING, _STREAMING, _ENDING = range(4)


class Channel(HTTPChannel):
    """twisted.web's channel, within the limits of its site."""

    site: BridgeSite
    maxHeaders = _LINES
    _state = _IDLE
    _since = 0.0
    _left = _LINGER
    _taken = 0
    #: Bytes of bodies that are in memory by it.
    kept = 0
    _upgraded: Any = None

    def connectionMade(self) -> None:
        """Let it in if there is room."""
        site = self.site
        limits = site.limits
        self.totalHeadersSize = limits.max_header
        self.MAX_LENGTH = limits.max_header
        self._since = site.clock.seconds()
        site.channels.add(self)
        site.counters["connections"] += 1
        HTTPChannel.connectionMade(self)
        if len(site.channels) > limits.max_connections:
            self.refuse(Problem(503, f"{limits.max_connections} connections are open: come back", retry_after=1), "full")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        self.site.channels.discard(self)
        self._state = _ENDING
        self.site.release(self)
        HTTPChannel.connectionLost(self, reason)
        upgraded, self._upgraded = self._upgraded, None
        if upgraded is not None:
            upgraded.connectionLost(reason)

    # -- what comes

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""
        if self._upgraded is not None:
            self._upgraded.dataReceived(data)
        elif self._state == _ENDING:
            if 0 <= self._left < len(data):
                # Not from here: Twisted's TLS stumbles, with a traceback, over a connection that is gone while it reads.
                self.site.clock.callLater(0, self.abort)
            self._left -= len(data)
        else:
            if self._state == _IDLE:
                self._state, self._since = _ASKING, self.site.clock.seconds()
            HTTPChannel.dataReceived(self, data)

    def allHeadersReceived(self) -> None:
        """The head is there: a body that is too large is not waited for."""
        most = self.site.limits.max_body
        if self.length is not None and self.length > most:
            self.refuse(Problem(413, f"the body has {self.length} bytes, more than {most}: send less"), "body")
            self.length = None  # so that no request begins
            return
        self._taken = 0
        HTTPChannel.allHeadersReceived(self)

    def rawDataReceived(self, data: bytes) -> None:
        """A part of a body, or of what comes after a request that is being answered."""
        if self._state == _ENDING:
            return
        if self._upgraded is not None:
            self._upgraded.dataReceived(data)
            return
        if self._state == _STREAMING:
            # Kept, it would fill a buffer, and with it full nobody would notice that the client has gone.
            if self.persistent and sum(map(len, self._dataBuffer)) + len(data) > _EARLY:
                self.persistent = 0
                self._dataBuffer.clear()
            if not self.persistent:
                return
        if self._transferDecoder is not None:
            self._taken += len(data)
            most = self.site.limits.max_body
            # Chunks have sizes beside what they carry; one in tiny chunks is none that anybody needs.
            if self.length is None and self._taken > most + _LINGER:
                self.refuse(Problem(413, f"the body has more than {most} bytes: send less"), "body")
                return
            if self.site.keep(self, len(data)):
                return
        HTTPChannel.rawDataReceived(self, data)
        # twisted.web's own looks at this only as long as its answers are read.
        if self._handlingRequest and self._state == _ASKING and sum(map(len, self._dataBuffer)) > _EARLY:
            self._networkProducer.pauseProducing()

    def _maybeChooseTransferDecoder(self, header: bytes, data: bytes) -> bool:
        if header == b"Content-Length" and len(data) > _DIGITS and data.isdigit():
            self.refuse(Problem(413, f"the length of the body has {len(data)} digits: send less"), "body")
            return False
        chosen: bool = HTTPChannel._maybeChooseTransferDecoder(self, header, data)
        return chosen

    @property
    def is_receiving(self) -> bool:
        """Whether a body comes that is not whole yet."""
        return self._state == _ASKING and self._transferDecoder is not None

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line of the head that does not end."""
        self._tooLong()

    def _tooLong(self) -> None:
        most = self.site.limits.max_header
        self.refuse(Problem(431, f"the head of the request has more than {most} bytes, or {_LINES} lines: send less"), "header")

    def _respondToBadRequestAndDisconnect(self) -> None:
        # twisted.web's own answer has no body, and tells nobody why.
        if self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            self._tooLong()
        else:
            self.refuse(Problem(400, "this is no HTTP request: see RFC 9112"), "garbage")

    # -- what it is told

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Write the head of an answer in one piece, where twisted.web writes forty."""
        lines = [b"%s %s %s" % (version, code, reason)]
        lines += [b"%s: %s" % (name, value) for name, values in headers.getAllRawHeaders() for value in values]
        transport: Any = self.transport
        transport.write(b"\r\n".join(lines) + b"\r\n\r\n")

    def refuse(self, problem: Problem, why: str) -> None:
        """Say what is wrong, then hang up; `why` is what it is counted as."""
        if self._state == _ENDING:
            return
        self.site.counters[f"refused:{why}"] += 1
        body = problem.body()
        head = [
            b"HTTP/1.1 %d %s" % (problem.status, problem.fields()["title"].encode()),
            b"Date: " + datetimeToString(),
            b"Content-Type: " + PROBLEM_TYPE,
            b"Content-Length: %d" % len(body),
            b"Connection: close",
            *(b"%s: %s" % header for header in problem.headers),
        ]
        transport: Any = self.transport
        transport.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
        self._end()

    def _end(self) -> None:
        """Hang up once all is said; what still comes is thrown away, for a while."""
        self._state, self._since, self._left = _ENDING, self.site.clock.seconds(), _LINGER
        self.persistent = 0
        # What came in the same piece is no request any more, nor the rest of this one: half of a close stops no reading.
        self.setRawMode()
        self.clearLineBuffer()
        if not self._handlingRequest:
            for request in self.requests:
                request.content = BytesIO()  # it would stay for as long as the client has to read why
        self.site.release(self)
        transport: Any = self.transport
        # TLS has no half of a close; asked for one, it would hand out that of the socket below it.
        is_tls = isinstance(transport, ProtocolWrapper)
        lose = None if is_tls else getattr(transport, "loseWriteConnection", None)
        if lose is None:
            transport.unregisterProducer()
            transport.loseConnection()
        else:
            transport.resumeProducing()
            lose()

    def loseConnection(self) -> None:
        """Hang up, once all is said."""
        if self._state != _ENDING:
            self._state, self._since = _ENDING, self.site.clock.seconds()
        HTTPChannel.loseConnection(self)

    def abort(self) -> None:
        """Cut it."""
        self._state = _ENDING
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    # -- time

    @property
    def is_answering(self) -> bool:
        """Whether a request came whole that is not answered, and is no stream."""
        return self._state == _ASKING and bool(self._handlingRequest and self.requests)

    def stream(self) -> None:
        """What is answered now ends when it likes."""
        if self._state == _ASKING:
            self._state = _STREAMING
            self.site.release(self)
            # Of a machine that vanished nothing is heard while nothing is sent to it: let the system ask, now and then.
            keep = getattr(self.transport, "setTcpKeepAlive", None)
            if keep is not None:
                keep(1)

    def requestDone(self, request: Any) -> None:
        """One request is answered; the next one begins with its first byte."""
        self.site.release(self)
        if self._state != _ENDING:
            self._state, self._since = _IDLE, self.site.clock.seconds()
            # What came meanwhile is the next request already.
            if any(self._dataBuffer):
                self._state = _ASKING
            if self._waitingForTransport:
                # Who does not read his answers has no further one made: what came early stays unread, then no more comes.
                self.paused = True
                self._networkProducer.pauseProducing()
        HTTPChannel.requestDone(self, request)

    def resumeProducing(self) -> None:
        """The answers are read again."""
        HTTPChannel.resumeProducing(self)
        if self.paused:
            self.paused = False
            if self._buffer:
                self.dataReceived(b"")

    def check(self, now: float) -> None:
        """Cut what took too long."""
        limits = self.site.limits
        spent = now - self._since
        if self._state == _ENDING:
            if spent > _FAREWELL:
                self.abort()
        elif self._state == _IDLE:
            if spent > limits.idle_timeout:
                self._end()
        elif self._state == _ASKING and spent > limits.request_timeout:
            # Once, whatever comes of it.
            self._since = now
            if self._handlingRequest and self.requests:
                request: BridgeRequest = self.requests[0]
                self.site.entrance.expire(request)
            else:
                self.refuse(Problem(408, f"the request did not come whole in {limits.request_timeout:g} s"), "slow")

    def _protocolUpgradeForWebsockets(self, protocol: Any) -> None:
        # twisted.web's own puts the protocol in our place, so that nobody would know when the connection is over.
        self._state, self._upgraded = _STREAMING, protocol
        transport: Any = self.transport
        transport.unregisterProducer()
        protocol.makeConnection(transport)
        early, self._dataBuffer = b"".join(self._dataBuffer), []
        if early:
            protocol.dataReceived(early)

    @property
    def is_upgraded(self) -> bool:
        """Whether another protocol has the connection, which ends it itself."""
        return self._upgraded is not None
