"""A file of its own for a secret."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from nodeset.errors import StateUnusable
from nodeset.transport.files import blaming, openQuick, showPath

__all__ = ["SecretFile"]


class SecretFile:
    """Takes its place on the disk before there is a secret, so that none is made in vain; nobody else can read it.

    :param force: whether a file that is there already is replaced.
    :raise StateUnusable: when it could not be written, or is there.
    """

    def __init__(self, path: Path, force: bool) -> None:
        self._path, self._force = path, force
        self._fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        with blaming(path):
            if path.is_dir():
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
            if os.path.lexists(path) and not force:
                raise self._isThere()
            self._opened = openQuick(self._fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)

    def _isThere(self) -> StateUnusable:
        return StateUnusable(f"{showPath(self._path)} is there already: name another file, or say --force")

    def write(self, text: str) -> None:
        """Put the secret there, as a whole. Raises `StateUnusable`; then nothing is left of it."""
        try:
            with blaming(self._path):
                rest = memoryview(text.encode())
                while rest:
                    rest = rest[os.write(self._opened, rest) :]
                os.fsync(self._opened)
                if self._force:
                    self._fresh.replace(self._path)
                else:
                    try:
                        self._path.hardlink_to(self._fresh)
                    except FileExistsError:
                        raise self._isThere() from None
        finally:
            self.forget()

    def forget(self) -> None:
        """Give the place up if nothing was written; again is fine."""
        if self._opened >= 0:
            os.close(self._opened)
            self._opened = -1
            self._fresh.unlink(missing_ok=True)
