"""What a command writes to stdout, without the reactor ever waiting for who reads it."""

from __future__ import annotations

import errno
import os
import select
import threading
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed

__all__ = ["Output"]

#: Bytes that wait to be written before `put` asks to be waited for.
_MOST: Final = 1024 * 1024


class Output:
    """Writes in a thread of its own, in the order in which it was put; sees at once that the other end of a pipe is closed.

    :param failed: called once, by the reactor, with the error after which nothing is written any more.
    """

    def __init__(self, reactor: Any, failed: Callable[[OSError], object], descriptor: int = 1) -> None:
        self._reactor, self._failed, self._descriptor = reactor, failed, descriptor
        self._lock = threading.Lock()
        self._chunks: list[bytes] = []
        self._size = 0
        self._idle = False
        self._over = False
        #: Who waits until no more than so many bytes are left.
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self._woken, self._waker = os.pipe()
        threading.Thread(target=self._run, name="output", daemon=True).start()

    def put(self, data: bytes) -> Deferred[None] | None:
        """Have it written. None while there is room for more, else a Deferred that fires once there is.

        Who puts more meanwhile is not refused: nothing is lost, the bound is the caller's patience.
        """
        with self._lock:
            if self._over:
                return None
            self._chunks.append(data)
            self._size += len(data)
            if self._idle:
                self._idle = False
                os.write(self._waker, b"!")
            return self._await(_MOST // 2) if self._size > _MOST else None

    def flush(self) -> Deferred[None]:
        """Fires once all is written, or cannot be."""
        with self._lock:
            return self._await(0) if self._size and not self._over else succeed(None)

    def _await(self, left: int) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._waiting.append((left, waiting))
        return waiting

    # -- in the thread

    def _run(self) -> None:
        try:
            while True:
                with self._lock:
                    data = b"".join(self._chunks)
                    self._chunks.clear()
                    self._idle = not data
                if data:
                    self._write(data)
                    self._wrote(len(data))
                else:
                    self._rest()
        except OSError as error:
            self._reactor.callFromThread(self._end, error)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest[:65536]) :]
            except BlockingIOError:  # others share the terminal, one of them made it so
                select.select([], [self._descriptor], [])

    def _wrote(self, count: int) -> None:
        with self._lock:
            self._size -= count
            free = [waiting for left, waiting in self._waiting if self._size <= left]
            self._waiting = [each for each in self._waiting if self._size > each[0]]
        if free:
            self._reactor.callFromThread(_fire, free)

    def _rest(self) -> None:
        """Until there is something to write, or nobody any more who would read it."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        poll.register(self._descriptor, 0)
        for descriptor, what in poll.poll():
            if descriptor == self._woken:
                os.read(self._woken, 16)
            elif what & select.POLLNVAL:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            else:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    # -- in the reactor

    def _end(self, error: OSError) -> None:
        with self._lock:
            self._over = True
            waiting, self._waiting = [each for _left, each in self._waiting], []
        # First, or who waits for the end would take it for a good one.
        self._failed(error)
        _fire(waiting)


def _fire(waiting: list[Deferred[None]]) -> None:
    for each in waiting:
        if not each.called:
            each.callback(None)
