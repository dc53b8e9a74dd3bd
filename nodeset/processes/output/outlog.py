"""A program's own log file."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

from twisted.logger import Logger
from twisted.python.logfile import LogFile

from nodeset.errors import StateUnusable
from nodeset.processes.logplace import openLog

__all__ = ["OutLog"]


class _File(LogFile):
    """Rotated by Twisted. Appended to, readable by its owner alone; says how much of the data found room."""

    def _openFile(self) -> None:
        self.closed = False
        number = openLog(self.path)
        self._file: Any = os.fdopen(number, "ab", 0)
        status = os.fstat(number)
        self.size, self._is_file = status.st_size, stat.S_ISREG(status.st_mode)

    def shouldRotate(self) -> bool:
        """A device, a pipe must never be renamed: as root we would take /dev/null from all."""
        return self._is_file and 0 < self.rotateLength <= self.size

    def rotate(self) -> None:
        """Begin another file; without older ones to keep, this one anew."""
        if self.maxRotatedFiles:
            rotate: Any = super().rotate
            rotate()
        else:
            self._file.truncate(0)
            self.size = 0

    def append(self, data: bytes) -> int:
        """Rotate if it is time, then write; returns how many bytes found room. Raises OSError if none did."""
        if self.shouldRotate():
            try:
                self.rotate()
            except OSError:
                if self._file.closed:
                    self._openFile()  # else it goes on in the old one
        written = 0
        while written < len(data):
            try:
                count = self._file.write(data[written:] if written else data)
                if not count:
                    raise BlockingIOError(errno.EAGAIN, "nobody reads it")
                written += count
            except OSError:
                if not written:
                    raise
                break
        self.size += written
        return written


class OutLog:
    """What a program writes, byte for byte as it comes, in a file that is rotated as `file.1`, `file.2`... by size.

    A disk that is full, a directory that is gone: what cannot be written is lost and counted, which is said once, then once
    more with the sum when writing works again. It never raises, and the program notices nothing.

    :param path: the file, made with mode 0600 if it is missing; its directory must be there.
    :param most: bytes after which another file is begun; one chunk goes into one file.
    :param files: how many older ones are kept.
    :raise StateUnusable: when it cannot be opened now.
    """

    log = Logger()

    def __init__(self, path: str, most: int, files: int) -> None:
        self._path = Path(path).absolute()
        self._most, self._files = most, files
        self._file: _File | None = None
        self._trouble = 0
        #: Bytes written, bytes lost.
        self.written = self.lost = 0
        try:
            self._open()
        except OSError as error:
            hint = "choose another" if self._path.parent.is_dir() else "make its directory"
            raise StateUnusable(f"the log {str(path)[:200]!r} cannot be written ({error.strerror}): {hint}") from None

    def _open(self) -> _File:
        self._file = _File(self._path.name, str(self._path.parent), self._most, None, self._files)
        return self._file

    def write(self, data: bytes) -> None:
        """Append it."""
        try:
            # A rotation that failed half way has left no open file.
            file = self._open() if self._file is None or self._file._file.closed else self._file
            written = file.append(data)
        except OSError as error:
            self._lose(len(data), error)
            return
        self.written += written
        if written < len(data):
            self._lose(len(data) - written, None)
        elif self._trouble:
            self.log.warn("{path} can be written again; {count} bytes were lost", path=str(self._path), count=self._trouble)
            self._trouble = 0

    def _lose(self, count: int, error: OSError | None) -> None:
        if not self._trouble:
            why = "no space is left" if error is None else error.strerror
            self.log.error("{path} cannot be written ({why}): what comes is lost", path=str(self._path), why=why)
        self._trouble += count
        self.lost += count

    def reopen(self) -> None:
        """Go on in the file that has the name now: somebody may have moved the one that is open."""
        self.close()
        try:
            self._open()
        except OSError as error:
            self.log.error("{path} cannot be opened ({why})", path=str(self._path), why=error.strerror)

    def close(self) -> None:
        """Write no more; the next `write` would open it again."""
        if self._file is not None and not self._file._file.closed:
            self._file._file.close()
        self._file = None
