"""The file of the keys that sign requests, as it is now."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import attrs
from twisted.logger import Logger

from nodeset.core.grants.chain import isGrant
from nodeset.errors import BadFurl, BadSettings, StateUnusable
from nodeset.settings.file import locate
from nodeset.transport.files import blaming, readWhole, showPath
from nodeset.transport.furl import LONGEST_FURL, parse
from nodeset.web.access.keyring import LARGEST, WebKey, readKeys

__all__ = ["KeyFile", "checkPrivate", "checkText", "loadKeys", "readText"]


def checkPrivate(path: Path, found: os.stat_result) -> None:
    """Raises `StateUnusable` when others than its owner, who is us or root, may read or write this file."""
    if found.st_uid not in (os.geteuid(), 0):
        raise StateUnusable(f"{showPath(path)} belongs to user {found.st_uid}: the keys of a bridge must be its own user's")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise StateUnusable(f"{showPath(path)} holds secrets, and others can get at it (mode {mode:04o}): chmod 600 it")


def loadKeys(path: Path) -> dict[str, WebKey]:
    """The keys in this file, by name, with the text of each grant in place of the file that has it.

    Raises `StateUnusable` for a file that cannot be read or is not private, `BadSettings` for what it must not say.
    """
    return checkText(path, readText(path))


def readText(path: Path) -> str:
    """What is in this file. Raises as `loadKeys`."""
    with blaming(path):
        data = readWhole(path, LARGEST, check=partial(checkPrivate, path))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadSettings(f"{showPath(path)}:{line}: byte {data[error.start]:#04x} is no UTF-8: save it as UTF-8") from None


def checkText(path: Path, text: str) -> dict[str, WebKey]:
    """The keys that this text would be in the file at `path`. Raises as `loadKeys`."""
    found = readKeys(text, showPath(path), locate)
    for name, key in found.items():
        if key.grant is not None:
            try:
                found[name] = attrs.evolve(key, grant=_grantOf(path, key.grant))
            except (BadFurl, StateUnusable) as error:
                at = locate(text).get(("keys", name, "grant"))
                raise BadSettings(f"{showPath(path)}{f':{at}' if at else ''}: key {name!r}: its grant: {error}") from None
    return found


def _grantOf(path: Path, text: str) -> str:
    if text.startswith("@"):
        file = path.parent / Path(text[1:]).expanduser()
        with blaming(file):
            text = readWhole(file, LONGEST_FURL, check=partial(checkPrivate, file)).decode("ascii", "replace").strip()
    name = parse(text).name if text.startswith("pb://") else text
    if not isGrant(name):
        raise BadFurl("this is no grant, its name does not begin with g1.: make one by nodeset grant")
    return text


class KeyFile:
    """The keys that count, read at the start, then whenever `reload` says so.

    :param path: made absolute now, as a daemon changes its directory.
    :raise StateUnusable: as `loadKeys`; so does `BadSettings`.
    """

    log = Logger()

    def __init__(self, path: Path) -> None:
        self._path = path.expanduser().absolute()
        self._keys: Mapping[str, WebKey] = loadKeys(self._path)

    @property
    def keys(self) -> Mapping[str, WebKey]:
        """The keys by name."""
        return self._keys

    def find(self, name: str, now: float) -> WebKey | None:
        """The key of this name, None when there is none, or no longer; `now` is Unix time."""
        found = self._keys.get(name)
        return None if found is None or found.isOver(now) else found

    def reload(self) -> bool:
        """Read the file again; whether it could be. Otherwise the keys stay as they were, with a line in the log."""
        try:
            found = loadKeys(self._path)
        except (BadSettings, StateUnusable) as error:
            self.log.error("the keys stay as they were: {reason}", reason=str(error))
            return False
        gone = sorted(self._keys.keys() - found.keys())
        new = sorted(found.keys() - self._keys.keys())
        changed = sorted(name for name in found.keys() & self._keys.keys() if found[name] != self._keys[name])
        self._keys = found
        self.log.info(
            "{file} was read again: {count} keys; new {new}, changed {changed}, gone {gone}",
            file=showPath(self._path),
            count=len(found),
            new=", ".join(new[:20]) or "none",
            changed=", ".join(changed[:20]) or "none",
            gone=", ".join(gone[:20]) or "none",
        )
        return True
