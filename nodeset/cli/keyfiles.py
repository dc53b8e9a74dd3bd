"""The files that a shell needs on disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from nodeset.errors import BadSettings, StateUnusable
from nodeset.transport.files import blaming, letGo, openQuick, readWhole, showPath, tryLock, writeWhole

if TYPE_CHECKING:
    from nodeset.shell.keys import KeyOwner

__all__ = ["HOST_KEY", "KEYS", "KeyFile", "loadHostKey", "readKeyFile", "takeSocket"]

_log = Logger()

#: Their names in the state directory.
HOST_KEY: Final = "shell_host_key"
KEYS: Final = "shell_keys"
_LONGEST_FILE: Final = 1 << 16
#: What the system takes; one byte of it ends the name.
_LONGEST_SOCKET: Final = 107


class KeyFile:
    """The file of the keys that open a shell, read anew for each login: who is taken out of it stays outside."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said: list[str] = []
        self._data: bytes | None = None
        self._found: dict[bytes, KeyOwner] = {}

    def read(self) -> dict[bytes, KeyOwner]:
        """The keys that are in it now. StateUnusable as `readKeyFile`; lines that do not count are logged, once."""
        data = _load(self._path)
        if data == self._data:
            return self._found  # anybody may have it read, but not all of it made out again
        notes: list[str] = []
        found = _makeOut(self._path, data, notes)
        for note in notes:
            if note not in self._said:
                _log.warn("{path}: {note}", path=showPath(self._path), note=note)
        self._said, self._data, self._found = notes, data, found
        return found


def readKeyFile(path: Path, notes: list[str]) -> dict[bytes, KeyOwner]:
    """The keys in this file, see `readKeys`. StateUnusable if it is not there, could be somebody else's, has none."""
    return _makeOut(path, _load(path), notes)


def _load(path: Path) -> bytes:
    with blaming(path):
        try:
            _checkOwner(path.parent, path.parent.stat())
            return readWhole(path, _LONGEST_FILE, check=partial(_checkOwner, path))
        except FileNotFoundError:
            example = f"cp ~/.ssh/id_ed25519.pub {showPath(path)}"
            raise StateUnusable(
                f"{showPath(path)} is not there, which says whose SSH keys open the shell: make it, as by {example}"
            ) from None


def _makeOut(path: Path, data: bytes, notes: list[str]) -> dict[bytes, KeyOwner]:
    from nodeset.shell.keys import readKeys

    found = readKeys(data, notes)
    if not found:
        why = f" ({notes[0]})" if notes else ""
        raise StateUnusable(f"{showPath(path)} holds no key{why}: put public keys there, one a line, without options")
    return found


def _checkOwner(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (os.geteuid(), 0):
        raise StateUnusable(f"{showPath(path)} belongs to user {found.st_uid}: the keys of a shell must be its own user's")
    # Whoever may write to a sticky directory cannot replace what is ours in it.
    if found.st_mode & 0o022 and not (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX):
        mode = stat.S_IMODE(found.st_mode)
        raise StateUnusable(
            f"{showPath(path)} can be written by others (mode {mode:04o}), who could let themselves in: chmod go-w"
        )


def loadHostKey(path: Path) -> bytes:
    """What is in the file of the host key, made if there is none."""
    from nodeset.shell.keys import makeHostKey, readHostKey

    if not os.path.lexists(path):
        writeWhole(path, makeHostKey(), replace=False)
    notes: list[str] = []
    with blaming(path):
        data = readWhole(path, _LONGEST_FILE, notes)
    for note in notes:
        _log.warn("{note}", note=note)
    try:
        readHostKey(data)
    except StateUnusable as error:
        raise StateUnusable(f"{showPath(path)}: {error}") from None
    return data


def takeSocket(path: Path) -> Callable[[], None]:
    """Make this path ours to listen on: the function that lets go of it. What a dead process left there is removed.

    StateUnusable if a live one has it, or if there is something else; BadSettings for a path that cannot be a socket's.
    """
    if len(os.fsencode(path)) > _LONGEST_SOCKET:
        raise BadSettings(
            f"{showPath(path)} is too long for a socket ({len(os.fsencode(path))} bytes, {_LONGEST_SOCKET} is the most): "
            "name a shorter one, unix:PATH"
        )
    lock = path.with_name(f"{path.name}.lock")
    with blaming(path):
        _checkOwner(path.parent, path.parent.stat())
        held = [openQuick(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)]
        try:
            if not tryLock(held[0]):
                raise StateUnusable(
                    f"{showPath(path)} is in use, a shell listens there: stop it, or name another one, unix:PATH"
                )
            if os.path.lexists(path):
                if not stat.S_ISSOCK(path.lstat().st_mode):
                    raise StateUnusable(f"{showPath(path)} is there, but is no socket: name another one, unix:PATH")
                path.unlink()
        except BaseException:
            letGo(held)
            raise
    return partial(letGo, held)
