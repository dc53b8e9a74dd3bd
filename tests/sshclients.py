"""A client of SSH, of Conch's own, for the tests of what listens."""

from __future__ import annotations

import struct
from typing import Any

from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.session import packRequest_pty_req
from twisted.conch.ssh.transport import SSHClientTransport
from twisted.conch.ssh.userauth import SSHUserAuthClient
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.logger import Logger

__all__ = ["Client", "makeKey", "publicLine"]


class _Silent(Logger):
    def emit(self, level: Any, format: str | None = None, **fields: Any) -> None:
        pass


_SILENT = _Silent()


def makeKey() -> Key:
    """A key of somebody."""
    from nodeset.shell.keys import makeHostKey

    key: Key = Key.fromString(makeHostKey())
    return key


def publicLine(key: Key, comment: str = "") -> bytes:
    """Its line for the file of keys."""
    line: bytes = key.public().toString("openssh")
    return line + (f" {comment}".encode() if comment else b"") + b"\n"


class _Auth(SSHUserAuthClient):
    _log = _SILENT

    def __init__(self, key: Key, connection: SSHConnection) -> None:
        base: Any = super()
        base.__init__(b"whoever", connection)
        self._keys = [key]
        #: What it may try besides, in vain.
        self.preferredOrder = [b"publickey", b"password"]

    def getPublicKey(self) -> Any:
        return self._keys.pop() if self._keys else None

    def getPrivateKey(self) -> Any:
        return succeed(self.key)

    key: Key

    def getPassword(self, prompt: object = None) -> Any:
        return succeed(b"secret")


class Channel(SSHChannel):
    """One session, or what else is asked for."""

    _log = _SILENT

    def __init__(self, kind: bytes = b"session") -> None:
        base: Any = super()
        base.__init__()
        self.name = kind
        self.opened: Deferred[Channel] = Deferred()
        self.ended: Deferred[int | None] = Deferred()
        self.heard = b""
        self.code: int | None = None
        self._waits: list[tuple[bytes, Deferred[bytes]]] = []

    def channelOpen(self, data: object) -> None:
        self.opened.callback(self)

    def openFailed(self, reason: Any) -> None:
        self.opened.errback(reason)

    def ask(self, request: bytes, data: bytes) -> Any:
        """Send a request; fires when it is granted."""
        conn: Any = self.conn
        return conn.sendRequest(self, request, data, wantReply=True)

    def until(self, part: bytes) -> Deferred[bytes]:
        """All that came, once it has this part; what came is forgotten then."""
        wait: Deferred[bytes] = Deferred()
        self._waits.append((part, wait))
        self.dataReceived(b"")
        return wait

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        while self._waits and self._waits[0][0] in self.heard:
            seen, self.heard = self.heard, b""
            self._waits.pop(0)[1].callback(seen)

    def request_exit_status(self, data: bytes) -> None:
        self.code = struct.unpack(">I", data)[0]

    def closed(self) -> None:
        self.ended.callback(self.code)


class Client(SSHClientTransport):
    """One connection. `login` fires when it has logged in; fails when that is refused."""

    _log = _SILENT

    def __init__(self, key: Key) -> None:
        base: Any = super()
        base.__init__()
        self._key = key
        self.login: Deferred[Client] = Deferred()
        self.lost: Deferred[None] = Deferred()
        client = self

        class Connection(SSHConnection):
            _log = _SILENT

            def serviceStarted(self) -> None:
                client.login.callback(client)

        self.connection = Connection()

    @classmethod
    def connect(cls, reactor: Any, port: int, key: Key) -> Deferred[Client]:
        """Connect to this port of this machine, try to log in."""
        made: Deferred[Client] = connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), cls(key))
        return made.addCallback(lambda client: client.login)

    def verifyHostKey(self, hostKey: bytes, fingerprint: bytes) -> Any:
        return succeed(True)

    def connectionSecure(self) -> None:
        auth = _Auth(self._key, self.connection)
        auth.key = self._key
        self.requestService(auth)

    def connectionLost(self, reason: Any = None) -> None:
        base: Any = super()
        base.connectionLost(reason)
        if not self.login.called:
            self.login.errback(reason)
        self.lost.callback(None)

    def open(self, kind: bytes = b"session") -> Deferred[Channel]:
        """A channel of this kind."""
        channel = Channel(kind)
        conn: Any = self.connection
        conn.openChannel(channel, b"")
        return channel.opened

    async def run(self, command: bytes) -> tuple[bytes, int | None]:
        """Run a piece of Python: what came, the exit code."""
        channel = await self.open()
        await channel.ask(b"exec", NS(command))
        code = await channel.ended
        return channel.heard, code

    async def shell(self) -> Channel:
        """A session with a terminal of 80 columns."""
        channel = await self.open()
        await channel.ask(b"pty-req", packRequest_pty_req(b"xterm", (24, 80, 0, 0), b""))
        await channel.ask(b"shell", b"")
        return channel
