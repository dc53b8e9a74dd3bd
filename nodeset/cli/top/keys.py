"""The keyboard, key by key."""

from __future__ import annotations

import os
import re
import termios
import tty
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

__all__ = ["Keyboard", "readKeys"]

_ARROWS: Final = {b"A": "up", b"B": "down", b"C": "right", b"D": "left"}
_KEY: Final = re.compile(rb"\x1b[\[O][0-9;]*([A-Za-z~])|([\x20-\x7e\x03])|.", re.DOTALL)


def readKeys(data: bytes) -> list[str]:
    """The keys that a terminal sent: letters, or `left`, `right`, `up`, `down`; what we know no use for is left out.

    >>> readKeys(b"s\\x1b[C\\x1bOD\\x1b[5~\\xffq")
    ['s', 'right', 'left', 'q']
    """
    found = []
    for match in _KEY.finditer(data):
        arrow, letter = match.groups()
        key = _ARROWS.get(arrow, "") if arrow else (letter or b"").decode()
        if key:
            found.append(key)
    return found


@implementer(IReadDescriptor)
class Keyboard:
    """Reads a terminal that gives each key at once, until closed.

    :param pressed: called with each key.
    """

    def __init__(self, reactor: Any, descriptor: int, pressed: Callable[[str], None]) -> None:
        self._reactor, self._descriptor, self._pressed = reactor, descriptor, pressed
        self._before = termios.tcgetattr(descriptor)
        self.open()

    def open(self) -> None:
        """Have each key at once."""
        tty.setcbreak(self._descriptor)
        self._reactor.addReader(self)

    def fileno(self) -> int:
        """See `IReadDescriptor`."""
        return self._descriptor

    def logPrefix(self) -> str:
        """See `ILoggingContext`."""
        return "keyboard"

    def doRead(self) -> None:
        """Some keys were pressed."""
        try:
            data = os.read(self._descriptor, 1024)
        except OSError:
            data = b""
        if not data:  # the terminal has gone
            self._reactor.removeReader(self)
            return
        for key in readKeys(data):
            self._pressed(key)

    def connectionLost(self, reason: object) -> None:
        """See `IReadDescriptor`."""

    def close(self) -> None:
        """Give the terminal back as it was."""
        self._reactor.removeReader(self)
        try:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
        except termios.error:
            pass  # it has gone
