"""Unix sockets as Foolscap uses them, to listen on, to dial."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from foolscap.ipb import IConnectionHintHandler, InvalidHintError
from twisted.internet import tcp, unix
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, execute, fail
from twisted.internet.endpoints import UNIXClientEndpoint, serverFromString
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from nodeset.errors import BadFurl
from nodeset.transport.endpoint import pathOf
from nodeset.transport.files import reasonOf
from nodeset.transport.socketfile import BACKLOG, bindSocket, reachSocket, readSocket, removeSocket

__all__ = ["SocketClient", "SocketHints", "SocketServer", "serverOf"]


class _Address(UNIXAddress):
    """Where somebody came from, who has no name. Foolscap writes host and port of everybody down."""

    host = "localhost"
    port = 0


class _Port(unix.Port):
    """A port of Twisted's on a socket that we have bound; it removes that alone, not what another put in its place."""

    def __init__(self, path: Path, factory: IProtocolFactory, reactor: Any) -> None:
        super().__init__(os.fsencode(path), factory, backlog=BACKLOG, mode=0o600, reactor=reactor)
        self._path = path
        self._preexistingSocket, self._ours = bindSocket(path)

    def _buildAddr(self, name: Any) -> _Address:
        return _Address(name)

    def connectionLost(self, reason: Failure) -> None:
        """Listening is over."""
        removeSocket(self._path, self._ours)
        tcp.Port.connectionLost(self, reason)


@implementer(IStreamServerEndpoint)
class SocketServer:
    """Listens on the socket at an absolute path, in the place of a listener that is dead. Fails with PortTaken."""

    def __init__(self, reactor: Any, path: str) -> None:
        self._reactor, self._path = reactor, Path(path)

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See `IStreamServerEndpoint`."""
        return execute(self._listen, protocolFactory)

    def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        port = _Port(self._path, factory, self._reactor)
        port.startListening()
        return port


def serverOf(description: str, reactor: Any) -> IStreamServerEndpoint:
    """What listens where this Twisted endpoint string says. BadSettings, or whatever Twisted raises, for one that is none."""
    path = readSocket(description)
    endpoint: IStreamServerEndpoint = SocketServer(reactor, path) if path else serverFromString(reactor, description)
    return endpoint


@implementer(IStreamClientEndpoint)
class SocketClient:
    """Connects to the socket at an absolute path."""

    def __init__(self, reactor: Any, path: str) -> None:
        self._reactor, self._path = reactor, Path(path)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See `IStreamClientEndpoint`. Fails with ConnectError."""
        held = ExitStack()
        try:
            name = held.enter_context(reachSocket(self._path))
        except OSError as error:
            return fail(ConnectError(error.errno, reasonOf(error)))

        def close(result: Any) -> Any:
            held.close()
            return result

        connected: Deferred[IProtocol] = UNIXClientEndpoint(self._reactor, name).connect(protocolFactory)
        return connected.addBoth(close)


@implementer(IConnectionHintHandler)
class SocketHints:
    """Lets Foolscap dial the hints `unix:` of FURLs."""

    def hint_to_endpoint(self, hint: str, reactor: Any, update_status: Callable[[str], object]) -> tuple[SocketClient, str]:
        """See `IConnectionHintHandler`."""
        try:
            return SocketClient(reactor, pathOf(hint)), "localhost"
        except BadFurl as error:
            raise InvalidHintError(str(error)) from None

    def describe(self) -> str:
        """See `IConnectionHintHandler`."""
        return "unix"
