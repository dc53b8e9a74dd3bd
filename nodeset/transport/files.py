"""Small files of ours: written whole or not at all, private, locked."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nodeset.errors import StateUnusable

__all__ = ["blaming", "letGo", "openQuick", "readWhole", "reasonOf", "showPath", "tryLock", "writeWhole"]


def openQuick(path: Path, flags: int) -> int:
    """`os.open` that never hangs, never shares what it opens with a program that we start."""
    # Without O_NONBLOCK a FIFO would hang us; Python adds O_CLOEXEC, so that a program we start holds no lock.
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, 0o600)


def readWhole(
    path: Path, longest: int, notes: list[str] | None = None, check: Callable[[os.stat_result], object] = lambda found: None
) -> bytes:
    """All of a regular file. With `notes` it is a file of ours, made private if it was not. OSError for all else.

    :param check: called with what the file that was opened is, whatever has taken its name since; may raise.
    """
    opened = openQuick(path, os.O_RDONLY)
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        check(found)
        if notes is not None and found.st_mode & 0o077:
            os.fchmod(opened, 0o600)
            notes.append(f"{showPath(path)} was open to others (mode {stat.S_IMODE(found.st_mode):04o}), it is 0600 now")
        data = b""
        while len(data) <= longest and (more := os.read(opened, longest + 1 - len(data))):
            data += more
    finally:
        os.close(opened)
    if len(data) > longest:
        raise OSError(errno.EFBIG, f"longer than {longest} bytes")
    return data


def writeWhole(path: Path, data: bytes, replace: bool = True) -> None:
    """Put a whole new file there, which survives a power cut, or leave everything as it was.

    Without `replace`, a file that somebody else put there first stays. StateUnusable says why it did not work.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    with blaming(path):
        try:
            opened = openQuick(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(opened, rest) :]
                os.fsync(opened)
            finally:
                os.close(opened)
            if replace:
                fresh.replace(path)
            else:
                with suppress(FileExistsError):
                    path.hardlink_to(fresh)
        finally:
            fresh.unlink(missing_ok=True)
        opened = openQuick(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def tryLock(opened: int) -> bool:
    """Whether we hold the file alone from now on, until it is closed; survives a fork."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def letGo(held: list[int]) -> None:
    """Close what is held; again is fine."""
    while held:
        os.close(held.pop())


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Turn an error of the system into ours, which names this file."""
    try:
        yield
    except OSError as error:
        why = f"{showPath(path)} cannot be used ({reasonOf(error)}): check the path, its owner and its mode"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = f"{showPath(path)} was not written, the disk is full ({reasonOf(error)}): free some space"
        raise StateUnusable(why) from None


def reasonOf(error: OSError) -> str:
    """Why the system refused, in its words."""
    # Never str(error), which names temporary files and may have several lines.
    return error.strerror or type(error).__name__


def showPath(path: Path) -> str:
    """The path for an error of one line."""
    text = str(path)
    return text if text.isprintable() else repr(text)
