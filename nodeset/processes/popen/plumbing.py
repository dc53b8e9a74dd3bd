"""The three files of a child, with the ends of its pipes that stay here."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
from contextlib import ExitStack
from typing import Protocol, TypeAlias, runtime_checkable

import attrs

from nodeset.processes.popen.readend import ReadEnd
from nodeset.processes.popen.writeend import WriteEnd

__all__ = ["HasFileno", "Plumbing", "Where", "layPipes"]


@runtime_checkable
class HasFileno(Protocol):
    """An open file, or what is like one."""

    def fileno(self) -> int: ...


Where: TypeAlias = int | HasFileno | None


@attrs.define
class Plumbing:
    """Descriptors: `child` become 0, 1, 2 of the child, `ours` are the other ends, each None where no pipe was asked for."""

    child: tuple[int, int, int]
    ours: tuple[int | None, int | None, int | None]
    #: What of `child` was opened for it.
    _opened: ExitStack
    _kept: ExitStack

    def spawned(self) -> None:
        """The child has its ends: close them here."""
        self._opened.close()

    def abandon(self) -> None:
        """There is no child: close everything."""
        self._opened.close()
        self._kept.close()


def layPipes(wheres: tuple[Where, Where, Where], pipesize: int, piped: tuple[bool, bool, bool]) -> Plumbing:
    """Open what `subprocess.Popen` would for its arguments stdin, stdout, stderr.

    :param pipesize: as there, in bytes; -1 for the system's.
    :param piped: where a pipe is wanted although none was asked for.
    """
    with ExitStack() as opened, ExitStack() as kept:
        child: list[int] = []
        ours: list[int | None] = []
        for number, (where, wants_pipe) in enumerate(zip(wheres, piped, strict=True)):
            theirs, stays = _open(number, where, wants_pipe, pipesize, child, opened, kept)
            child.append(theirs)
            ours.append(stays)
        return Plumbing((child[0], child[1], child[2]), (ours[0], ours[1], ours[2]), opened.pop_all(), kept.pop_all())


def _open(
    number: int, where: Where, wants_pipe: bool, pipesize: int, before: list[int], opened: ExitStack, kept: ExitStack
) -> tuple[int, int | None]:
    if where == subprocess.STDOUT and number == 2:
        return before[1], None
    if where == subprocess.PIPE or wants_pipe:
        reading, writing = os.pipe()
        theirs, stays = (writing, reading) if number else (reading, writing)
        opened.callback(os.close, theirs)
        kept.callback(os.close, stays)
        if pipesize > 0:
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, pipesize)
        return theirs, stays
    if where is None and _isOpen(number):
        return number, None
    if where is None or where == subprocess.DEVNULL:
        nowhere = os.open(os.devnull, os.O_RDWR)
        opened.callback(os.close, nowhere)
        return nowhere, None
    if isinstance(where, ReadEnd | WriteEnd):
        return where.lend(), None
    found = where if isinstance(where, int) else where.fileno()
    if not _isOpen(found):
        raise OSError(errno.EBADF, f"{os.strerror(errno.EBADF)}: {found}")
    return found, None


def _isOpen(fd: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_GETFD)
    except (OSError, ValueError):  # a number below 0
        return False
    return True
