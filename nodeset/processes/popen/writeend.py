"""The end of a child's pipe that its parent writes to."""

from __future__ import annotations

import codecs
import errno
import os
from collections import deque
from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["ROOM", "WriteEnd"]

#: Bytes that may wait when more is written; one write alone may be of any size.
ROOM = 16 * 1024 * 1024
#: Bytes offered to the pipe at once.
_CHUNK = 262_144


@implementer(IWriteDescriptor)
class WriteEnd:
    """Write what a child reads, as to a file: what the pipe has no room for waits here, without being copied if it is bytes.

    :param fd: a pipe; it is ours from here on.
    :param encoder: for text mode.
    """

    def __init__(self, reactor: IReactorFDSet, fd: int, encoder: codecs.IncrementalEncoder | None = None) -> None:
        self._reactor = reactor
        self._fd = fd
        self._encoder = encoder
        self._waiting: deque[memoryview] = deque()
        self._pending = 0
        self._closed = False
        #: Why what was written is lost; `_told` once somebody was told so.
        self._error: OSError | None = None
        self._told = False
        #: Who waits until nothing waits, each with whether that is for the close.
        self._awaited: list[tuple[Deferred[None], bool]] = []

    # What a file has

    def write(self, data: Any) -> int:
        """Write bytes, or text in text mode; the length of it.

        Raises `BrokenPipeError` if the child reads no more, `ValueError` after `close`, `TypeError` for what cannot be written,
        `BufferError` while more than 16 MiB wait, which `drain` is for.
        """
        encoded = self._encode(data)
        if self._closed:
            raise ValueError("write to closed file")
        self._complain()
        if self._pending > ROOM:
            raise BufferError(f"{self._pending} bytes wait for the child to read them: await drain() before you write more")
        view = memoryview(encoded)
        if view.nbytes:
            self._waiting.append(view)
            self._pending += view.nbytes
            if len(self._waiting) == 1:
                os.set_blocking(self._fd, False)
                self.doWrite()
            if self._waiting:
                self._reactor.addWriter(self)
            self._complain()
        return len(data)

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write one after the other."""
        for line in lines:
            self.write(line)

    def drain(self) -> Deferred[None]:
        """Fires once all that was written is in the pipe; fails with `BrokenPipeError` if the child reads no more."""
        return self._await(False)

    #: As a file calls it.
    flush = drain

    def close(self) -> Deferred[None]:
        """Give the pipe back after all that was written, which is the end of the file for the child.

        Fires when that has happened; fails with `BrokenPipeError` if something was lost of which nobody was told before.
        """
        self._closed = True
        if not self._waiting:
            self._release()
        return self._await(True)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def fileno(self) -> int:
        """The descriptor; -1 once it is closed."""
        return self._fd

    def lend(self) -> int:
        """The descriptor as another child wants it as its stdout: its writes wait."""
        os.set_blocking(self._fd, True)
        return self._fd

    # What the reactor calls

    def doWrite(self) -> None:
        """There is room."""
        while self._waiting:
            view = self._waiting[0]
            try:
                written = os.write(self._fd, view[:_CHUNK])
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._break(error)
                return
            self._pending -= written
            if written < len(view):
                self._waiting[0] = view[written:]
                return
            self._waiting.popleft()
        self._reactor.removeWriter(self)
        if self._closed:
            self._release()
        self._fire()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor saw that nobody reads any more, or it stops."""
        if self._fd >= 0:
            self._break(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))

    def logPrefix(self) -> str:
        return "WriteEnd"

    # How it is done

    def _encode(self, data: Any) -> bytes:
        if self._encoder is not None:
            if not isinstance(data, str):
                raise TypeError(f"write() argument must be str, not {type(data).__name__}")
            return self._encoder.encode(data)
        if isinstance(data, str):
            raise TypeError("a bytes-like object is required, not 'str'")
        # What can change while it waits is copied.
        return data if isinstance(data, bytes) else bytes(memoryview(data))

    def _complain(self) -> None:
        if self._error is not None:
            self._told = True
            raise self._error

    def _await(self, is_close: bool) -> Deferred[None]:
        waited: Deferred[None] = Deferred(lambda _: None)
        self._awaited.append((waited, is_close))
        if not self._waiting:
            self._fire()
        return waited

    def _break(self, why: OSError) -> None:
        self._error = why
        self._waiting.clear()
        self._pending = 0
        self._release()
        self._fire()

    def _fire(self) -> None:
        awaited, self._awaited = self._awaited, []
        for waited, is_close in awaited:
            if waited.called:
                continue  # It was cancelled.
            if self._error is None or (is_close and self._told):
                waited.callback(None)
            else:
                self._told = True
                waited.errback(self._error)

    def _release(self) -> None:
        if self._fd >= 0:
            self._reactor.removeWriter(self)
            os.close(self._fd)
            self._fd = -1
