"""The files 0, 1, 2 of a program, seen from who watches it."""

from __future__ import annotations

import array
import fcntl
import os
import termios
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from nodeset.errors import CannotStart

__all__ = ["READ", "STREAMS", "PipeStdio", "Stdio", "Stream", "Taker"]

Stream = Literal["out", "err"]
Taker = Callable[[Stream, bytes], object]
STREAMS: Final[tuple[Stream, ...]] = ("out", "err")
#: Bytes of one read, one of which each stream has in a turn of the reactor: no flood starves anybody. With 128 KiB a log
#: had a tenth less.
READ: Final = 256 * 1024
#: What a pipe is made to hold once it was found full. Not from the beginning: Linux counts all pipes of a user together, past
#: 64 MiB it gives new ones 8 KiB.
_GROWN: Final = 512 * 1024


class Stdio(Protocol):
    """What a watcher needs of these files. One run after the other: `open`, `spawned`, then `closed` fires."""

    #: Fires with None when nothing more will come of this run: both streams ended, or `finish` waited long enough. All that
    #: came was handed to the takers before.
    closed: Deferred[None]

    def onData(self, taker: Taker) -> None:
        """Call `taker(stream, data)` with all that comes, in order, from now on."""

    def open(self) -> tuple[int, int, int]:
        """The child's files 0, 1, 2 for a new run, until `spawned` or `abandon` closes them. Raises `CannotStart`."""

    def spawned(self) -> None:
        """The child has its files: close ours of them, begin to read."""

    def abandon(self) -> None:
        """Close everything now, unread bytes are lost; `closed` fires. Also for a child that could not be started."""

    def finish(self, grace: float) -> None:
        """The child is gone: what it wrote is read, then whoever else holds its files has `grace` seconds more.

        While `pause` holds a stream, that waits too.
        """

    def pause(self, stream: Stream) -> None:
        """Read no more of it until `resume`: who writes is slowed down once the pipe is full."""

    def resume(self, stream: Stream) -> None:
        """Read it again."""


@implementer(IReadDescriptor)
class _Reader:
    """Our end of one pipe."""

    log = Logger()

    def __init__(self, number: int, stream: Stream, stdio: PipeStdio) -> None:
        self._number, self.stream, self._stdio = number, stream, stdio
        self._grown = False

    def fileno(self) -> int:
        """See `IFileDescriptor`."""
        return self._number

    def logPrefix(self) -> str:
        """See `ILoggingContext`."""
        return f"std{self.stream}"

    def doRead(self) -> None:
        """One read: there is something, or the end."""
        self.read(READ)

    def read(self, most: int) -> int:
        """Hand on what one read gives, `most` bytes at most; returns how many, 0 at the end or if nothing is there."""
        try:
            data = os.read(self._number, most)
        except BlockingIOError:
            return 0
        except OSError:  # EIO is how a terminal ends
            data = b""
        if not data:
            self._stdio.ended(self)
            return 0
        if len(data) >= 65536 and not self._grown:
            self._grow()
        self._stdio.hand(self.stream, data)
        return len(data)

    def _grow(self) -> None:
        self._grown = True
        try:
            fcntl.fcntl(self._number, fcntl.F_SETPIPE_SZ, _GROWN)
        except OSError:
            pass  # the user's share of pipes is used up, or this is no pipe: it stays as it is

    def readRest(self) -> None:
        """Hand on what is in the pipe now; what comes meanwhile may wait."""
        left = waiting(self._number)
        while left > 0:
            got = self.read(min(left, READ))
            if not got:
                return
            left -= got

    def connectionLost(self, reason: Any) -> None:
        """The reactor found it unusable."""
        self._stdio.ended(self)


def waiting(number: int) -> int:
    """The bytes that can be read from this file now."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(number, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]


class PipeStdio:
    """Pipes for stdout and stderr; stdin is `/dev/null` or what the caller has.

    :param stdin: the number of a file that the child gets as its stdin; it stays the caller's to close.
    """

    log = Logger()

    def __init__(self, reactor: Any, stdin: int | None = None) -> None:
        self._reactor, self._stdin = cast(IReactorFDSet, reactor), stdin
        self._clock = cast(IReactorTime, reactor)
        self._takers: list[Taker] = []
        self._childs: list[int] = []
        self._readers: dict[Stream, _Reader] = {}
        self._paused: set[Stream] = set()
        self._reading = False
        self._grace: IDelayedCall | None = None
        self._over = False
        self.closed: Deferred[None] = succeed(None)

    def onData(self, taker: Taker) -> None:
        """See `Stdio`."""
        self._takers.append(taker)

    def open(self) -> tuple[int, int, int]:
        """See `Stdio`."""
        assert not self._readers and not self._childs, "one run after the other"
        ours: list[int] = []
        try:
            given = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) if self._stdin is None else os.dup(self._stdin)
            self._childs.append(given)
            for _stream in STREAMS:
                reading, writing = os.pipe2(os.O_CLOEXEC)
                ours.append(reading)
                self._childs.append(writing)
        except OSError as error:
            for number in (*ours, *self._childs):
                os.close(number)
            self._childs.clear()
            raise CannotStart(
                f"no pipes can be made for it: {error.strerror}; see `ulimit -n`", error.errno or 0, "limit"
            ) from None
        for stream, number in zip(STREAMS, ours, strict=True):
            os.set_blocking(number, False)
            self._readers[stream] = _Reader(number, stream, self)
        self._reading = self._over = False
        self.closed = Deferred()
        first, second, third = self._childs
        return first, second, third

    def _closeChilds(self) -> None:
        for number in self._childs:
            os.close(number)
        self._childs.clear()

    def spawned(self) -> None:
        """See `Stdio`."""
        self._closeChilds()
        self._reading = True
        for stream, reader in self._readers.items():
            if stream not in self._paused:
                self._reactor.addReader(reader)

    def abandon(self) -> None:
        """See `Stdio`."""
        self._closeChilds()
        for reader in list(self._readers.values()):
            self.ended(reader)

    def finish(self, grace: float) -> None:
        """See `Stdio`."""
        self._over = True
        for stream in STREAMS:
            self._readRest(stream)
        if self._readers and self._grace is None:
            self._grace = self._clock.callLater(grace, self._graceOver)

    def _readRest(self, stream: Stream) -> None:
        reader = self._readers.get(stream)
        if reader is not None and stream not in self._paused:
            reader.readRest()

    def _graceOver(self) -> None:
        self._grace = None
        for stream in STREAMS:
            self._readRest(stream)
        # Who is paused closes when it is resumed.
        for stream, reader in list(self._readers.items()):
            if stream not in self._paused:
                self.ended(reader)

    def pause(self, stream: Stream) -> None:
        """See `Stdio`."""
        self._paused.add(stream)
        if self._reading and stream in self._readers:
            self._reactor.removeReader(self._readers[stream])

    def resume(self, stream: Stream) -> None:
        """See `Stdio`."""
        self._paused.discard(stream)
        if not self._reading or stream not in self._readers:
            return
        self._reactor.addReader(self._readers[stream])
        if self._over and self._grace is None:
            self._grace = self._clock.callLater(0, self._graceOver)

    # -- what a reader says

    def hand(self, stream: Stream, data: bytes) -> None:
        """This was read."""
        for taker in self._takers:
            try:
                taker(stream, data)
            except Exception:
                self.log.failure("{taker} failed with what a program wrote", taker=taker)

    def ended(self, reader: _Reader) -> None:
        """Nothing more will come of it."""
        stream = reader.stream
        if self._readers.get(stream) is not reader:
            return
        if self._reading:
            self._reactor.removeReader(reader)
        del self._readers[stream]
        os.close(reader.fileno())
        if not self._readers:
            if self._grace is not None:
                self._grace.cancel()
                self._grace = None
            self.closed.callback(None)
