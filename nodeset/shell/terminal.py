"""A person's terminal, seen from the service: keys come in, text goes out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from twisted.conch.insults import insults

__all__ = ["Terminal"]

#: Bytes that may wait for a terminal that takes none; what comes on top is dropped.
_MOST_WAITING: Final = 1 << 18
#: A key never sends a longer sequence.
_LONGEST_KEY: Final = 32
_SIZE: Final = re.compile(rb"\x1b\[8;([0-9]{1,4});([0-9]{1,4})t")


class Terminal(insults.ServerProtocol):
    """Conch's, with limits; it leaves the terminal's screen as it was.

    :ivar backlog: how many bytes wait to be taken by the other side.
    :ivar dropped: how many bytes were not written since too many waited.
    """

    def __init__(self, factory: Callable[[], Any], backlog: Callable[[], int] = lambda: 0) -> None:
        base: Any = super()
        base.__init__(factory)
        self.backlog = backlog
        self.dropped = 0
        self._held: list[bytes] | None = None

    def dataReceived(self, data: bytes) -> None:
        """Take the keys, then let the screen follow them once."""
        outermost = self.hold()
        base: Any = super()
        base.dataReceived(data)
        if len(getattr(self, "escBuf", ())) > _LONGEST_KEY:
            self.escBuf: list[bytes] = []
            self.state = b"data"
        if self.terminalProtocol is not None:
            self.terminalProtocol.keysTaken()
        if outermost:
            self.release()

    def unhandledControlSequence(self, seq: bytes) -> None:
        """Learn the window's size from the sequence in which terminals report it; any other one is nothing to us."""
        if self.terminalProtocol is not None and (found := _SIZE.fullmatch(seq)):
            self.terminalProtocol.terminalSize(int(found[2]), int(found[1]))

    def write(self, data: bytes | str) -> None:
        """Show it, line breaks as terminals want them."""
        raw = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
        if not raw:
            return
        self.lastWrite = raw
        raw = raw.replace(b"\n", b"\r\n")
        if self._held is not None:
            self._held.append(raw)
        else:
            self._send(raw)

    @property
    def holding(self) -> bool:
        """Whether what is written is gathered."""
        return self._held is not None

    def hold(self) -> bool:
        """Gather what is written, until `release`; whether nobody did so before."""
        if self._held is not None:
            return False
        self._held = []
        return True

    def release(self) -> None:
        """Write what was gathered."""
        held, self._held = b"".join(self._held or ()), None
        if held:
            self._send(held)

    def _send(self, raw: bytes) -> None:
        if self.transport is None:
            return
        if self.backlog() > _MOST_WAITING:
            self.dropped += len(raw)
            return
        if self.dropped:
            raw = b"\r\n[%d bytes were dropped: they came faster than they were read]\r\n" % self.dropped + raw
            self.dropped = 0
        self.transport.write(raw)

    def loseConnection(self) -> None:
        """Close it, once all is written."""
        if self._held is not None:
            self.release()
            self._held = []
        if self.transport is not None:
            self.transport.loseConnection()
