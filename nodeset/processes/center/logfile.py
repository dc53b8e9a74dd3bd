"""The file, or the stream, that a center writes its lines to."""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import select
import stat
from pathlib import Path
from typing import Any, Protocol

from twisted.python.logfile import LogFile

from nodeset.processes.center.ledger import SIZE
from nodeset.processes.center.lines import isBegun
from nodeset.processes.logplace import openLog

__all__ = ["FileSink", "Sink", "StreamSink", "openLedger"]

#: The longest torn line that is looked for: an event has a megabyte, of which each byte may be written as four.
_LONGEST_LINE = 5 * 1024 * 1024
#: What a pipe takes without blocking once it takes anything.
_AT_ONCE = select.PIPE_BUF


class Sink(Protocol):
    """Where lines go."""

    #: Seconds after which to try again when it takes no more.
    pause: float

    def prepare(self, size: int, begins: bool = True) -> tuple[int, int] | None:
        """So many bytes are to be written: the number of the file that they go to, its size then; None for no file.

        Unless a line begins with them, it is the file that has the beginning. OSError if there is none that can be written.
        """

    def write(self, data: bytes) -> int:
        """Write as much as can be written now, to the system, not to a buffer; how much that was. OSError if nothing can be."""

    def reopen(self) -> None:
        """Write to the file that has the name now. OSError if it cannot be opened: the next `write` tries again."""

    def close(self) -> None:
        """Write no more."""


class _Rotating(LogFile):
    """Twisted's, opened to append, telling how much was written; readable by its owner alone."""

    def _openFile(self) -> None:
        self.closed = False
        self._file: Any = os.fdopen(openLog(self.path), "ab", 0)
        self.size = 0
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # so that nobody mends what we are writing
        except OSError:
            pass  # a file system without locks, or somebody who mends just now: what was there before us

    def listLogs(self) -> list[int]:
        """The numbers of the older files; Twisted's own takes a bracket in the path for a pattern."""
        found = re.compile(re.escape(self.name) + r"\.([1-9][0-9]{0,8})")
        return sorted(int(match[1]) for each in os.listdir(self.directory) if (match := found.fullmatch(each)))  # noqa: PTH208

    def prepare(self, size: int, begins: bool = True) -> tuple[int, int] | None:
        file = getattr(self, "_file", None)
        if file is None or file.closed:
            self._openFile()  # a rotation failed half way, or a file could not be opened anew
        status = os.fstat(self._file.fileno())
        # A device, a pipe must never be renamed.
        if not stat.S_ISREG(status.st_mode):
            return None
        if begins and status.st_size and status.st_size + size > self.rotateLength:
            self._begin(status)
            status = os.fstat(self._file.fileno())
        return status.st_ino, status.st_size + size

    def _begin(self, status: os.stat_result) -> None:
        """Begin another file, unless another center, which logs here too, has done so."""
        try:
            is_current = os.path.samestat(os.stat(self.path), status)  # noqa: PTH116  # the path is Twisted's, a str
        except FileNotFoundError:
            is_current = False
        if is_current:
            self.rotate()
        else:
            self.reopen()


class FileSink:
    """A file that is rotated: `path.1` is the newest of the older ones.

    What an earlier process, killed while it wrote, left of its last line is removed, since the event comes again. Several
    centers may log to one file. OSError if it cannot be opened.

    :param size: bytes of one file at most, unless one line is longer.
    :param older: how many older ones are kept.
    """

    pause = 1.0

    def __init__(self, path: Path, size: int, older: int) -> None:
        self.path = path.absolute()
        #: Bytes of a torn line that were removed.
        self.mended = _mend(self.path)
        self._size, self._older = size, older
        self._file = _Rotating(self.path.name, str(self.path.parent), size, None, older)

    def prepare(self, size: int, begins: bool = True) -> tuple[int, int] | None:
        """See `Sink`."""
        return self._file.prepare(size, begins)

    def write(self, data: bytes) -> int:
        """See `Sink`."""
        written: int | None = self._file._file.write(data)
        return written or 0

    def reopen(self) -> None:
        """See `Sink`."""
        self.close()
        self._file._openFile()

    def close(self) -> None:
        """See `Sink`."""
        file = getattr(self._file, "_file", None)
        if file is not None:
            file.close()


def _mend(path: Path) -> int:
    """See to it that the file ends with a whole line; how many bytes of a torn one of ours were removed."""
    if not path.is_file():
        return 0
    with os.fdopen(openLog(str(path), os.O_RDWR), "rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return 0  # another center logs here too, and may be in the middle of a line
        size = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, size - _LONGEST_LINE))
        tail = file.read()
        if not tail or tail.endswith(b"\n"):
            return 0
        torn = tail[tail.rfind(b"\n") + 1 :]
        if isBegun(torn) and (len(torn) < len(tail) or not start):
            file.truncate(size - len(torn))
            return len(torn)
        file.write(b"\n")  # whosever it is
    return 0


class StreamSink:
    """A descriptor that somebody reads, or does not: nothing is written that would block."""

    pause = 0.02

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def prepare(self, size: int, begins: bool = True) -> tuple[int, int] | None:
        """See `Sink`."""
        return None

    def write(self, data: bytes) -> int:
        """See `Sink`."""
        written, view = 0, memoryview(data)
        while written < len(data):
            if not self._poll.poll(0):
                break
            try:
                written += os.write(self._descriptor, view[written : written + _AT_ONCE])
            except BlockingIOError:
                break
            except OSError:
                if not written:
                    raise
                break
        return written

    def reopen(self) -> None:
        """See `Sink`."""

    def close(self) -> None:
        """See `Sink`."""


def openLedger(path: Path) -> mmap.mmap:
    """The block of a `Ledger`, kept in this file. OSError if it cannot be, or while another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Written, not left as a hole: a full disk is told now, not by a signal later.
        os.posix_fallocate(descriptor, 0, SIZE)
        os.ftruncate(descriptor, SIZE)
        return mmap.mmap(descriptor, SIZE)  # it has a descriptor of its own, which keeps the lock
    finally:
        os.close(descriptor)
