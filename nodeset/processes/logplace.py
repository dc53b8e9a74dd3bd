"""Opening a log in a directory that others may write to."""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["openLog"]


def openLog(path: str, flags: int = os.O_WRONLY | os.O_APPEND | os.O_CREAT) -> int:
    """The descriptor of a log, made for its owner alone if it is missing. OSError if it cannot be had.

    Where others may put files, they could put a link to one of ours in the place of the log, or a file of theirs to read what
    is none of their business: there a log is neither a link, nor has it a second name, nor does it belong to anybody but us
    or the owner of the directory. A pipe that nobody reads holds nobody up: opening, or writing, fails.
    """
    flags |= os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    if _isOurs(directory := os.stat(os.path.dirname(path) or ".")):  # noqa: PTH116, PTH120  # the paths of logs are Twisted's, texts
        return os.open(path, flags, 0o600)
    opened = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    found = os.fstat(opened)
    if stat.S_ISREG(found.st_mode) and (found.st_nlink > 1 or found.st_uid not in (os.geteuid(), directory.st_uid)):
        os.close(opened)
        raise OSError(errno.EPERM, "it is another's file, in a directory that others can write to")
    return opened


def _isOurs(directory: os.stat_result) -> bool:
    """Whether nobody but us, or root, can put a file there."""
    return directory.st_uid in (0, os.geteuid()) and not directory.st_mode & 0o022
