"""A bridge on a site in memory, asked through its real channel without a socket."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from nodeset.testing import Site
from nodeset.web.assembly import assemble
from nodeset.web.bridge import Bridge
from nodeset.web.bridge_node import BridgeNode
from nodeset.web.limits import Limits
from nodeset.web.site import BridgeSite

__all__ = ["Answer", "Client", "WebSite", "readAnswers"]

#: When the tests are, by the wall clock.
TODAY = 1_764_000_000.0


@attrs.frozen
class Answer:
    """What came back: `headers` by their names in small letters; `body` without its chunks' heads."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)


class Wire(StringTransport):
    """A transport that can be half closed, or cut."""

    is_over = False
    #: How many bytes are kept back, as if the client did not read.
    blocked = False
    #: Whether the system asks a peer that says nothing whether it is there.
    keeps_alive = False

    def setTcpKeepAlive(self, enabled: int) -> None:
        """See `ITCPTransport`."""
        self.keeps_alive = bool(enabled)

    def loseWriteConnection(self) -> None:
        """See `ITCPTransport`."""
        self.loseConnection()

    def abortConnection(self) -> None:
        """See `ITCPTransport`."""
        self.loseConnection()
        self.is_over = True


class Client:
    """One connection to a bridge.

    :param address: the IP address that it seems to come from.
    """

    def __init__(self, site: BridgeSite, address: str = "127.0.0.1") -> None:
        self.wire = Wire(peerAddress=IPv4Address("TCP", address, 40000))
        self.channel = site.buildProtocol(None)
        self.channel.makeConnection(self.wire)
        self._lost = False

    def send(self, data: bytes) -> None:
        """Bytes to the bridge."""
        self.channel.dataReceived(data)

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        """A request of HTTP/1.1; a body gets its Content-Length."""
        given = {"Host": "localhost:8080", **(headers or {})}
        if body or method in ("POST", "PUT"):
            given.setdefault("Content-Length", str(len(body)))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        self.send("\r\n".join(lines).encode() + body)

    @property
    def received(self) -> bytes:
        """All bytes that came back."""
        return bytes(self.wire.value())

    @property
    def is_closed(self) -> bool:
        """Whether the bridge has hung up."""
        return bool(self.wire.disconnecting) or self.wire.is_over

    def answers(self) -> list[Answer]:
        """What came back so far, the unfinished included."""
        return readAnswers(self.received)

    def leave(self, clean: bool = True) -> None:
        """Hang up."""
        if not self._lost:
            self._lost = True
            self.channel.connectionLost(Failure(ConnectionDone() if clean else ConnectionLost()))


def readAnswers(data: bytes) -> list[Answer]:
    """The answers in these bytes, in order; one that is not whole has what of its body is there."""
    found: list[Answer] = []
    while data:
        head, gap, rest = data.partition(b"\r\n\r\n")
        if not gap:
            break
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        pairs = [line.partition(": ") for line in lines[1:]]
        headers = {name.lower(): value for name, _colon, value in pairs}
        if headers.get("transfer-encoding") == "chunked":
            body, data = _unchunk(rest)
        elif "content-length" in headers:
            length = int(headers["content-length"])
            # Nothing follows the answer to HEAD but the next one's head.
            length = 0 if rest.startswith(b"HTTP/1.1 ") else length
            body, data = rest[:length], rest[length:]
        else:
            body, data = rest, b""
        found.append(Answer(status, headers, body))
    return found


def _unchunk(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while data:
        size, gap, rest = data.partition(b"\r\n")
        if not gap:
            break
        length = int(size, 16)
        if length == 0:
            return body, rest[2:]
        body, data = body + rest[:length], rest[length + 2 :]
    return body, b""


class WebSite:
    """A site in memory with a bridge, both stopped after the test.

    :param other: whose site it is one more bridge of.
    :param limits: fields of `Limits`.
    """

    def __init__(self, case: SynchronousTestCase, other: WebSite | None = None, **limits: Any) -> None:
        self.site: Site = Site.forTest(case) if other is None else other.site
        node = self.site.node(BridgeNode, name="bridge" if other is None else "another")
        assert isinstance(node, BridgeNode)
        self.bridge = Bridge(node, self.site.clock, Limits(**limits), wall=lambda: TODAY + self.site.clock.seconds())
        self.http = assemble(self.bridge)
        self.bridge.startService()
        self.http.startFactory()
        self._clients: list[Client] = []
        case.addCleanup(self._end)

    def client(self, address: str = "127.0.0.1") -> Client:
        """One more connection."""
        client = Client(self.http, address)
        self._clients.append(client)
        return client

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        """The answer to one request of its own connection."""
        client = self.client()
        client.ask(method, path, headers, body)
        self.site.until(lambda: bool(client.received) or client.is_closed, what=f"an answer to {method} {path}")
        answer = client.answers()[0]
        client.leave()
        return answer

    def _end(self) -> None:
        for client in self._clients:
            client.leave()
        self.http.cut()
        if self.bridge.running:
            self.site.wait(self.bridge.stopService(), what="the bridge's stopService()")
