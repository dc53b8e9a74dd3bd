"""The lines of stdin, without the reactor ever waiting for who writes them."""

from __future__ import annotations

import os
import select
import stat
import threading
from collections import deque
from typing import Any, Final

from twisted.internet.defer import Deferred

from nodeset.cli.outcome import Exit, GaveUp

__all__ = ["Lines", "isPiped", "sizeOf"]

_CHUNK: Final = 64 * 1024
#: Chunks that are read ahead.
_AHEAD: Final = 4


def isPiped(descriptor: int = 0) -> bool:
    """Whether something is there to be read that is no terminal, nor nothing as /dev/null is."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def sizeOf(descriptor: int = 0) -> int | None:
    """The bytes that are still to be read, if that can be known."""
    found = os.fstat(descriptor)
    return found.st_size - os.lseek(descriptor, 0, os.SEEK_CUR) if stat.S_ISREG(found.st_mode) else None


class Lines:
    """Reads in a thread of its own, a few chunks ahead of who asks for them.

    :param most: the bytes that a line may have.
    """

    def __init__(self, reactor: Any, most: int, descriptor: int = 0) -> None:
        self._reactor, self._most, self._descriptor = reactor, most, descriptor
        self._read: deque[list[bytes] | Exception] = deque()
        self._waiting: Deferred[list[bytes]] | None = None
        self._room = threading.Semaphore(_AHEAD)
        #: Lines that were handed out, bytes that were read.
        self.count = self.size = 0
        threading.Thread(target=self._run, name="input", daemon=True).start()

    def next(self) -> Deferred[list[bytes]]:
        """Fires with the next lines, without their ends; with none after the last one. One waits at a time.

        Fails with `GaveUp` for a line that is too long, or for what cannot be read.
        """
        self._waiting = Deferred()
        self._room.release()
        waiting = self._waiting
        self._serve()
        return waiting

    def _serve(self) -> None:
        if self._read and self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            found = self._read.popleft()
            if isinstance(found, Exception):
                waiting.errback(found)
            else:
                self.count += len(found)
                waiting.callback(found)

    def _came(self, found: list[bytes] | Exception, size: int) -> None:
        self.size += size
        self._read.append(found)
        self._serve()

    def _run(self) -> None:
        rest, seen, unsaid = b"", 0, 0
        while True:
            self._room.acquire()
            try:
                data = self._readSome()
            except OSError as error:
                self._tell(GaveUp(f"stdin cannot be read: {error.strerror}"), 0)
                return
            *lines, rest = (rest + data).split(b"\n") if data else [*([rest] if rest else []), b""]
            for at, line in enumerate([*lines, rest]):
                if len(line) > self._most:
                    what = f"line {seen + at + 1} has more than {self._most} bytes, the most of an event"
                    self._tell(lines[:at], unsaid)
                    self._tell(GaveUp(what, Exit.USAGE), 0)
                    return
            seen, unsaid = seen + len(lines), unsaid + len(data)
            if lines:
                self._tell(lines, unsaid)
                unsaid = 0
            else:
                self._room.release()  # nothing of it was handed on
            if not data:
                self._reactor.callFromThread(self._came, [], 0)
                return

    def _readSome(self) -> bytes:
        while True:
            try:
                return os.read(self._descriptor, _CHUNK)
            except BlockingIOError:  # others share it, one of them made it so
                select.select([self._descriptor], [], [])

    def _tell(self, found: list[bytes] | Exception, size: int) -> None:
        if found:
            self._reactor.callFromThread(self._came, found, size)
