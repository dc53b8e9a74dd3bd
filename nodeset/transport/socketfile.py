"""Sockets in the file system: whether one is taken, how one is bound in the place of a dead one, however long its path.

The socket of a listener appears under its name when it listens already, for its user alone, which one listener does at a time:

bind(.NAME.RANDOM.tmp, mode 0600)   listen   link(.NAME.RANDOM.tmp, NAME)   unlink(.NAME.RANDOM.tmp)
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nodeset.errors import BadSettings, PortTaken
from nodeset.transport.endpoint import Endpoint
from nodeset.transport.files import reasonOf, showPath
from nodeset.transport.places import socketPath

__all__ = ["BACKLOG", "bindSocket", "describeSocket", "probeSocket", "reachSocket", "readSocket", "removeSocket"]

#: Who connects while so many wait is told to come again: watchers come all at once when a center is back.
BACKLOG = 1024
#: What the kernel takes as the name of a socket, in bytes, less the zero at its end.
_LONGEST_NAME = 107
#: How often the name may be taken by somebody who is gone again before we give up.
_TRIES = 3
_ESCAPE = chr(92)


@contextmanager
def reachSocket(path: Path) -> Iterator[str]:
    """A name for the socket at `path` that the kernel takes, as long as the context lasts."""
    if len(os.fsencode(path)) <= _LONGEST_NAME:
        yield str(path)
        return
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{opened}"
    finally:
        os.close(opened)


@contextmanager
def _nameable(path: Path) -> Iterator[str]:
    """The same for a socket that is not there yet; its own name must be short."""
    if len(os.fsencode(path)) <= _LONGEST_NAME:
        yield str(path)
        return
    opened = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{opened}/{path.name}"
    finally:
        os.close(opened)


def _isAlive(path: Path) -> bool:
    """Whether anybody listens on the socket at `path`. OSError if that cannot be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.setblocking(False)
        with reachSocket(path) as name:
            result = trial.connect_ex(name)
    if result in (errno.ECONNREFUSED, errno.ENOENT):
        return False
    # Its queue may be full; it may be a socket for datagrams.
    if result in (0, errno.EAGAIN, errno.EINPROGRESS, errno.EPROTOTYPE):
        return True
    raise OSError(result, os.strerror(result))


def probeSocket(path: str) -> os.stat_result | None:
    """What a listener that is dead left at `path`, None if nothing is there.

    PortTaken in one line if we could not listen there: somebody does, it is no socket, or the system refuses.
    """
    return _examine(Path(path))


def _examine(path: Path) -> os.stat_result | None:
    try:
        found = path.lstat()
        if not stat.S_ISSOCK(found.st_mode):
            raise PortTaken(f"{showPath(path)} is there and is no socket, so it stays: remove it, or choose another endpoint")
        if _isAlive(path):
            raise PortTaken(f"somebody listens on {showPath(path)} already: stop that first, or choose another endpoint")
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise PortTaken(f"cannot listen on {showPath(path)}, it is in no directory: make that first") from None
        return None
    except OSError as error:
        raise _refusal(path, error) from None
    return found


def _refusal(path: Path, error: OSError) -> PortTaken:
    return PortTaken(f"cannot listen on {showPath(path)} ({reasonOf(error)}): see to its directory, or choose another endpoint")


def _beside(path: Path) -> Path:
    # Short enough to be named from its directory, whatever its characters.
    return path.with_name(f".{path.name[:12]}.{secrets.token_hex(4)}.tmp")


def _bury(path: Path, dead: os.stat_result) -> None:
    """Remove the socket of a dead listener, unless another has taken its place meanwhile."""
    aside = _beside(path)
    path.rename(aside)
    try:
        # Inodes are used again, so the living may have the number of the dead.
        is_dead = os.path.samestat(aside.lstat(), dead) and not _isAlive(aside)
    except OSError:
        is_dead = False
    if not is_dead:
        with suppress(FileExistsError):
            path.hardlink_to(aside)
    aside.unlink()


def bindSocket(path: Path) -> tuple[socket.socket, os.stat_result]:
    """A socket that listens at `path`, with what can be found there. PortTaken if that cannot be."""
    _examine(path)
    fresh = _beside(path)
    try:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as error:
        raise _refusal(path, error) from None
    try:
        made.setblocking(False)
        # What Linux makes of it has this mode from the first moment on, without an umask, which all threads share.
        os.fchmod(made.fileno(), 0o600)
        with _nameable(fresh) as name:
            made.bind(name)
        try:
            ours = fresh.lstat()
            made.listen(BACKLOG)
            _link(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        made.close()
        raise _refusal(path, error) from None
    except BaseException:
        made.close()
        raise
    return made, ours


def _link(fresh: Path, path: Path) -> None:
    for _ in range(_TRIES):
        if (dead := _examine(path)) is not None:
            with suppress(FileNotFoundError):
                _bury(path, dead)
        with suppress(FileExistsError):
            path.hardlink_to(fresh)
            return
    raise PortTaken(f"somebody else takes {showPath(path)} each time that it is free: stop that, or choose another endpoint")


def removeSocket(path: Path, ours: os.stat_result) -> None:
    """Remove the socket that we have bound, if it is still what is at `path`."""
    with suppress(OSError):
        if os.path.samestat(path.lstat(), ours):
            path.unlink()


def readSocket(description: str) -> str | None:
    """The absolute path in `unix:PATH`, the Twisted endpoint string, None for that of another kind.

    BadSettings for one that says more, since the mode of our sockets, with all the rest, is settled.
    """
    kind, _colon, rest = description.partition(":")
    if kind.lower() != "unix":
        return None
    path, *more = (part.replace(_ESCAPE, "") for part in re.split(r"(?<!\\):", rest))
    path = path.removeprefix("address=")
    if more or not path:
        raise BadSettings(f"{description[:80]!r} is no socket to listen on: write unix:PATH alone, or ipc://PATH")
    return socketPath(Endpoint(path=path))


def describeSocket(path: str) -> str:
    """The Twisted endpoint string for the socket at this path."""
    return "unix:" + path.replace(_ESCAPE, 2 * _ESCAPE).replace(":", f"{_ESCAPE}:")
