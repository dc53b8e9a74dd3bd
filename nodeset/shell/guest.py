"""Who has logged in over SSH."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from twisted.conch.avatar import ConchUser
from twisted.conch.error import ConchError
from twisted.conch.interfaces import ISession
from twisted.conch.ssh.session import SSHSession
from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from nodeset.shell.session import Prompt, runOnce
from nodeset.shell.shell import Shell
from nodeset.shell.terminal import Terminal

__all__ = ["CONCH", "Guest"]

_LONGEST_COMMAND: Final = 65_536


class _Quiet(Logger):
    """What Conch tells of itself, some of it in the words of whoever connects, is for who looks for a mistake."""

    def emit(self, level: Any, format: str | None = None, **fields: Any) -> None:
        """As `debug`."""
        super().emit(LogLevel.debug, format, **fields)


#: Conch's own words.
CONCH: Final = _Quiet(namespace="twisted.conch")


class _Wire:
    """The transport of a protocol, made of two functions."""

    def __init__(self, write: Callable[[bytes], object], loseConnection: Callable[[], object]) -> None:
        self.write, self.loseConnection = write, loseConnection


@implementer(ISession)
class Guest(ConchUser):
    """Who has logged in, with the one session that a connection may have."""

    _log = CONCH

    def __init__(self, shell: Shell, key: str, channel: type[SSHSession]) -> None:
        base: Any = super()
        base.__init__()
        self.channelLookup = {b"session": channel}
        self._shell, self._key = shell, key
        self._terminal: Terminal | None = None
        self._prompt: Prompt | None = None
        self._running: Deferred[bool] | None = None
        self._width = 0
        self._is_dumb = False
        self._asked: Callable[[], None] | None = None

    def _who(self) -> str:
        return f"the holder of {self._key} at {self.conn.transport.transport.getPeer().host}"

    def begin(self) -> None:
        """Do what was asked for; called when the other side has been told that it is."""
        asked, self._asked = self._asked, None
        if asked is not None:
            asked()

    def getPty(self, term: bytes, windowSize: tuple[int, ...], modes: object) -> None:
        """See `ISession`."""
        self._width = windowSize[1] or 80
        self._is_dumb = term == b"dumb"

    def windowChanged(self, newWindowSize: tuple[int, ...]) -> None:
        """See `ISession`."""
        if self._prompt is not None:
            self._prompt.terminalSize(newWindowSize[1] or 80, newWindowSize[0])

    def openShell(self, transport: Any) -> None:
        """See `ISession`."""
        self._asked = partial(self._openShell, transport)

    def _openShell(self, transport: Any) -> None:
        if not self._width:
            transport.write(b"this shell needs a terminal (ssh -t), or a piece of Python to run as the command\r\n")
            _end(transport, 1)
            return
        channel = transport.session
        prompt = self._prompt = Prompt(self._shell, self._who())
        prompt.colours = not self._is_dumb
        prompt.terminalSize(self._width, 0)
        terminal = self._terminal = Terminal(lambda: prompt, lambda: len(channel.buf))
        transport.makeConnection(_Wire(terminal.dataReceived, lambda: None))
        terminal.makeConnection(_Wire(transport.write, lambda: _end(transport, 0)))

    def execCommand(self, proto: Any, command: bytes) -> None:
        """See `ISession`: one piece of Python, whose output goes back; the exit code is 1 when it raised."""
        self._asked = partial(self._runOnce, proto, command)

    def _runOnce(self, proto: Any, command: bytes) -> None:
        def show(text: str) -> None:
            proto.write(text.encode("utf-8", "backslashreplace"))

        proto.makeConnection(_Wire(lambda data: None, lambda: None))
        if len(command) > _LONGEST_COMMAND:
            show(f"this command has more than {_LONGEST_COMMAND} bytes: put it into a module, import that\n")
            _end(proto, 1)
            return
        running = runOnce(self._shell, self._who(), command.decode("utf-8", "replace"), show)
        if running is None:
            show("there are too many sessions: close one of them\n")
            _end(proto, 1)
            return
        self._running = running
        running.addCallbacks(lambda well: _end(proto, 0 if well else 1), lambda failure: _end(proto, 1))

    def eofReceived(self) -> None:
        """See `ISession`. Whoever types ends by Ctrl-D, a command by itself."""

    def closed(self) -> None:
        """See `ISession`."""
        terminal, self._terminal = self._terminal, None
        if terminal is not None:
            terminal.connectionLost(Failure(ConchError("closed")))
        if self._running is not None and not self._running.called:
            self._running.cancel()


def _end(proto: Any, code: int) -> None:
    """Close the session with an exit code, once all is written."""
    channel = proto.session
    if not channel.localClosed and channel.conn is not None and channel in channel.conn.channelsToRemoteChannel:
        channel.conn.sendRequest(channel, b"exit-status", struct.pack(">I", code))
        channel.loseConnection()
