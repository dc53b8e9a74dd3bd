"""Whether the process can be what twistd is told to make of it.

twistd finds out too late, with a traceback or, as a daemon, with nobody there to read it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.python.usage import UsageError
from twisted.python.util import gidFromString, uidFromString

from nodeset.errors import BadSettings

__all__ = ["checkPlaces", "findRunning", "readGroup", "readMask", "readUser"]


def readMask(text: str) -> int:
    """What `--umask` says. UsageError for what is no mask."""
    try:
        mask = int(text, 8)
    except ValueError:
        mask = -1
    if 0 <= mask <= 0o777:
        return mask
    raise UsageError(f"--umask {text[:40]!r} is no file mode mask: give three octal digits, such as 022")


def readUser(text: str) -> int:
    """What `--uid` says, a name or a number. UsageError for nobody."""
    return _readId("uid", text, uidFromString, "user")


def readGroup(text: str) -> int:
    """What `--gid` says, a name or a number. UsageError for none."""
    return _readId("gid", text, gidFromString, "group")


def _readId(option: str, text: str, read: Callable[[str], int], what: str) -> int:
    try:
        found = read(text)
    except (KeyError, ValueError, OverflowError):
        found = -1
    if 0 <= found < 2**32 - 1:
        return found
    raise UsageError(f"--{option} {text[:40]!r} is no {what} of this machine: give a name or a number")


def checkPlaces(twistd: Mapping[str, Any]) -> None:
    """Raises BadSettings, which names the option, if twistd could not do what `--uid` to `--pidfile` say."""
    for option, own in (("uid", os.getuid()), ("gid", os.getgid())):
        if os.geteuid() != 0 and twistd.get(option) not in (None, own):
            raise BadSettings(f"--{option} {twistd[option]}: only root can become somebody else: start it as root, or without")
    root, rundir = twistd.get("chroot"), str(twistd.get("rundir") or ".")
    if root is not None:
        if os.geteuid() != 0:
            raise BadSettings(f"--chroot {str(root)[:200]!r}: only root can do that: start it as root, or without")
        _checkDirectory("chroot", root, Path(root))
    _checkDirectory("rundir", rundir, Path(root or "", rundir.lstrip("/") if root else rundir))
    pid_file = twistd.get("pidfile")
    if pid_file and root is None:
        _checkPidFile(Path(rundir, str(pid_file)))


def _checkDirectory(option: str, shown: str, path: Path) -> None:
    if not (_isDirectory(path) and os.access(path, os.X_OK)):
        todo = "make it, or name another"
        if shown.startswith(("@", "pb:", "pbu:")):  # -d, which is --dispatcher where people ask
            shown, todo = shown.partition("/")[0], "say --dispatcher-url, if that is where the dispatcher is"
        raise BadSettings(f"--{option} {shown[:200]!r} is no directory that can be entered: {todo}")


def _isDirectory(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that is too long, or with a NUL in it
        return False


def _checkPidFile(path: Path) -> None:
    shown = str(path)[:200]
    if not _isDirectory(path.parent):
        raise BadSettings(f"--pidfile {shown!r} is in no directory: make that, or name another file")
    if path.is_dir():
        raise BadSettings(f"--pidfile {shown!r} is a directory: name a file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise BadSettings(f"--pidfile {shown!r} cannot be written: name another file, or '' for none")


def findRunning(pid_file: str) -> int | None:
    """The id of the process that holds this pid file; None if there is none, or it is no more.

    Raises BadSettings for a file that is no pid file.
    """
    try:
        text = Path(pid_file).read_bytes()[:40].strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise BadSettings(f"--pidfile {pid_file[:200]!r} cannot be read ({why}): name another file, or '' for none") from None
    if not (text.isdigit() and 0 < int(text) < 2**31):
        raise BadSettings(f"--pidfile {pid_file[:200]!r} holds no process id: remove it, or name another file")
    try:
        os.kill(int(text), 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # somebody else's, but there
    return int(text)
