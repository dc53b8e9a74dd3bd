"""The way into a shell by a socket of this machine, for its own user.

`nodeset shell` connects a terminal to it. What the terminal sends comes as it is, its size as the sequence in which terminals
report that; what is shown goes back as it is.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import implementer

from nodeset.shell.session import Prompt
from nodeset.shell.shell import Shell
from nodeset.shell.terminal import Terminal

__all__ = ["LocalEntrance"]

#: Seconds for the first byte to come.
_FIRST_KEY: Final = 30.0


@implementer(IPushProducer)
class _Local(Terminal):
    """A terminal at the other end of the socket."""

    def __init__(self, entrance: LocalEntrance) -> None:
        super().__init__(self._makePrompt, lambda: self._waiting)
        self.entrance = entrance
        self._who = ""
        self._alarm: IDelayedCall | None = None
        self._waiting = 0
        self._paused = False

    def _makePrompt(self) -> Prompt:
        return Prompt(self.entrance.shell, self._who)

    def connectionMade(self) -> None:
        """Let the user of this process in, or root, nobody else."""
        transport: Any = self.transport
        pid, uid, _gid = findPeer(transport)
        if uid not in (os.geteuid(), 0):
            self.entrance.refused += 1
            self.entrance.log.warn("user {uid} (pid {pid}) is refused: the shell is not theirs", uid=uid, pid=pid)
            transport.abortConnection()
            return
        self._who = f"user {uid} (pid {pid}) at this machine"
        self.entrance.terminals.add(self)
        # Who only looks whether somebody listens is no session.
        self._alarm = self.entrance.shell.clock.callLater(_FIRST_KEY, transport.abortConnection)
        transport.registerProducer(self, True)

    def connectionLost(self, reason: Any = None) -> None:
        """See `Protocol`."""
        self.entrance.terminals.discard(self)
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        base: Any = super()
        base.connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        """Take the keys; with the first, or the size of the window, the session begins."""
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
            base: Any = super()
            base.connectionMade()
        if self.terminalProtocol is not None:
            super().dataReceived(data)

    def loseConnection(self) -> None:
        """Close it, once all is written."""
        transport: Any = self.transport
        if transport is not None:
            transport.unregisterProducer()
        super().loseConnection()

    def _send(self, raw: bytes) -> None:
        super()._send(raw)
        if self._paused:
            self._waiting += len(raw)

    def pauseProducing(self) -> None:
        """The terminal takes no more for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It has taken all."""
        self._paused, self._waiting = False, 0

    def stopProducing(self) -> None:
        """It has gone."""


def findPeer(transport: Any) -> tuple[int, int, int]:
    """The process, the user, the group that connected."""
    size = struct.calcsize("3i")
    pid, uid, gid = struct.unpack("3i", transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return pid, uid, gid


class LocalEntrance(Factory[Any]):
    """Listens on a unix socket; the user of this process gets a session of `shell`."""

    log = Logger()
    noisy = False

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.terminals: set[_Local] = set()
        #: How many were turned away for being somebody else.
        self.refused = 0

    def buildProtocol(self, addr: Any) -> Any:
        """See `Factory`."""
        return _Local(self)

    def closeAll(self) -> None:
        """Close every connection."""
        for terminal in list(self.terminals):
            terminal.loseConnection()
