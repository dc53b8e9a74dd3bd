"""Bytes passed on from one file to another by a thread, with a copy for who asks.

A thread, since our own stdout must not be made non-blocking: its flags are shared with everybody who has it. So a reader of
ours that is slow holds up this thread, which holds up the program, as a bare pipe would; nobody else waits. Nothing of Twisted
is imported here: what a program writes is passed on before there is a reactor.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["BOUND", "READ", "Keeping", "Relay"]

#: Bytes of one read.
READ: Final = 128 * 1024
#: Bytes of the copy that wait for who takes them; while there are more, nothing is read.
BOUND: Final = 4 * 1024 * 1024
#: Seconds between two looks whether we may read, of a terminal that is somebody else's for now.
_PATIENCE: Final = 0.2
#: What a pipe is made to hold once it was found full, as in `stdio`.
_GROWN: Final = 512 * 1024


class Keeping(Protocol):
    """What makes something else of bytes."""

    def __call__(self, data: bytes) -> bytes:
        """What becomes of the next bytes."""

    def rest(self) -> bytes:
        """What is missing of that at the end."""


def _always() -> bool:
    return True


class Relay:
    """One direction of one stream.

    :param source: read until its end; closed then.
    :param sink: where it goes; None is nowhere. It stays open.
    :param copies: whether to keep what passes until `take`.
    :param keep: what the copy has instead of the bytes, which it is given in order.
    :param change: what is passed on instead of what was read.
    :param may: asked before each read; while it says no, nothing is read.
    """

    def __init__(
        self,
        source: int,
        sink: int | None,
        *,
        copies: bool,
        keep: Keeping | None = None,
        change: Keeping | None = None,
        may: Callable[[], bool] = _always,
    ) -> None:
        self._source, self._sink, self._copies, self._keep, self._may = source, sink, copies, keep, may
        self._change = change
        self._lock = threading.Lock()
        self._kept: deque[bytes] = deque()
        self._size = 0
        self._paused = self._stopping = self._grown = False
        self._told: Callable[[], object] | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        #: Called by the thread, with the source still open, at the end of what there was to read.
        self.atEnd: Callable[[], object] = lambda: None
        #: Why the sink takes no more; a pipe whose reader is gone is no trouble, but what pipes are for.
        self.trouble: OSError | None = None
        #: Bytes passed on.
        self.passed = 0
        #: Whether the thread is through.
        self.ended = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def listen(self, told: Callable[[], object]) -> None:
        """Have `told` called, by the thread, whenever something can be taken after nothing could, and at the end."""
        with self._lock:
            self._told = told
            due = bool(self._kept) or self.ended
        if due:
            told()

    def take(self) -> list[bytes]:
        """The copies since the last time."""
        with self._lock:
            taken = list(self._kept)
            self._kept.clear()
            was_full, self._size = self._size >= BOUND, 0
        if was_full:
            self.wake()
        return taken

    def pause(self) -> None:
        """Read no more until `resume`; what was read is still passed on."""
        self._paused = True

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        self.wake()

    def stop(self) -> None:
        """Pass on what is there to read by now, then end."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Have a fresh look at what may be read."""
        with self._lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def discard(self) -> None:
        """Close the source; for one that was not started."""
        os.close(self._source)
        self._close()

    def join(self, seconds: float) -> bool:
        """Wait until the thread is through, at most so long; returns whether it is."""
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return self.ended

    # -- the thread

    def _run(self) -> None:
        try:
            self._passAll()
            if self._change is not None and (rest := self._change.rest()):
                self._passOn(rest)
            if self._keep is not None:
                self._hand(self._keep.rest())
            self.atEnd()
        finally:
            os.close(self._source)
            self._close()

    def _close(self) -> None:
        with self._lock:
            self.ended, told = True, self._told
            wake, self._wake = self._wake, -1
            os.close(wake)
        if told is not None:
            told()

    def _passAll(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._sink is not None:
            # Of a pipe without readers, of a closed socket the system tells unasked: a program that looks for that sees it.
            poll.register(self._sink, 0)
        reading = False
        while True:
            may = self._may()
            wanted = may and not self._paused and self._size < BOUND and not self._stopping
            if wanted != reading:
                # Not with 0: the end of the source would be told again and again.
                poll.register(self._source, select.POLLIN) if wanted else poll.unregister(self._source)
                reading = wanted
            for number, _events in poll.poll(None if may else _PATIENCE * 1000):
                if number == self._wake:
                    os.eventfd_read(self._wake)
                elif number == self._sink or (self._may() and not self._passOne()):
                    return
            if self._stopping:
                self._passRest()
                return

    def _passRest(self) -> None:
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        left = _GROWN
        while left > 0 and poll.poll(0):
            before = self.passed
            if not self._passOne():
                return
            left -= self.passed - before

    def _passOne(self) -> bool:
        """Pass on what one read gives; returns whether there may be more."""
        try:
            data = os.read(self._source, READ)
        except BlockingIOError:
            return True
        except OSError:  # EIO is how a terminal ends
            return False
        if not data:
            return False
        if len(data) >= 65536 and not self._grown:
            self._grow()
        return self._passOn(data if self._change is None else self._change(data))

    def _passOn(self, data: bytes) -> bool:
        if self._sink is not None and not self._write(self._sink, data):
            return False
        self.passed += len(data)
        if self._copies:
            self._hand(data if self._keep is None else self._keep(data))
        return True

    def _grow(self) -> None:
        self._grown = True
        try:
            fcntl.fcntl(self._source, fcntl.F_SETPIPE_SZ, _GROWN)
        except OSError:
            pass  # the user's share of pipes is used up, or this is no pipe

    def _write(self, sink: int, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(sink, view) :]
            except BlockingIOError:
                # Somebody else who has it made it non-blocking.
                waiting = select.poll()
                waiting.register(sink, select.POLLOUT)
                waiting.poll()
            except OSError as error:
                if error.errno != errno.EPIPE:
                    self.trouble = error
                return False
        return True

    def _hand(self, data: bytes) -> None:
        if not data:
            return
        with self._lock:
            self._kept.append(data)
            self._size += len(data)
            told = self._told if len(self._kept) == 1 else None
        if told is not None:
            told()
