"""A shell that listens in the process of a test."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import TestCase

from nodeset.cli.keyfiles import takeSocket
from nodeset.shell.keys import makeHostKey, readHostKey, readKeys
from nodeset.shell.local import LocalEntrance
from nodeset.shell.server import Door, ShellServer
from nodeset.shell.shell import Shell
from nodeset.shell.ssh import SshEntrance
from tests.sshclients import Client, makeKey, publicLine

__all__ = ["Plain", "ShellServerCase", "turn"]


class Plain(Protocol):
    """A connection that says what a test says."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: Deferred[None] = Deferred()
        self._waits: list[tuple[bytes, Deferred[None]]] = []

    def until(self, part: bytes) -> Deferred[None]:
        wait: Deferred[None] = Deferred()
        self._waits.append((part, wait))
        self.dataReceived(b"")
        return wait

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        while self._waits and self._waits[0][0] in self.data:
            self.data = b""
            self._waits.pop(0)[1].callback(None)

    def connectionLost(self, reason: Any = None) -> None:
        self.lost.callback(None)


class ShellServerCase(TestCase):
    """A shell that listens, in this process."""

    timeout = 10

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir(mode=0o700)
        self.clock = Clock()
        self.waiting: Deferred[Any] = Deferred()
        self.shell = Shell("test", {"name": "shop", "waiting": self.waiting}, self.clock)
        self.key = makeKey()
        self.key_lines = publicLine(self.key, "me@here")
        self.entrance = SshEntrance(self.shell, readHostKey(makeHostKey()), self.findKeys)
        self.local = LocalEntrance(self.shell)
        # Sockets have short names.
        self.path = Path(os.path.relpath(self.directory / "s"))
        doors = [
            Door("tcp:0:interface=127.0.0.1", "SSH port 127.0.0.1:0", self.entrance),
            Door(f"unix:{self.path}:mode=600:lockfile=0", "the socket", self.local, takeSocket(self.path)),
        ]
        self.server = ShellServer(self.shell, doors, reactor)
        self.log: list[LogEvent] = []
        observer = cast(ILogObserver, self.log.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.server.startService()
        self.addCleanup(self.server.stopService)
        self.port = self.server._ports[0].getHost().port

    def findKeys(self) -> dict[bytes, Any]:
        return readKeys(self.key_lines, [])

    def said(self, level: LogLevel = LogLevel.info) -> list[str]:
        """What was logged at this level or above."""
        return [
            str(event["log_format"]).format(**event)
            for event in self.log
            if event["log_namespace"].startswith("nodeset.") and event["log_level"] >= level
        ]

    def play(self, scenario: Coroutine[Any, Any, None]) -> Deferred[None]:
        return Deferred.fromCoroutine(scenario)

    async def plain(self) -> Plain:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        made: Plain = await connectProtocol(endpoint, Plain())
        return made

    async def close(self, client: Client) -> None:
        client.loseConnection()
        await client.lost


async def turn() -> None:
    """Let the reactor turn once."""
    done: Deferred[None] = Deferred()
    turning: Any = reactor
    turning.callLater(0, done.callback, None)
    await done
