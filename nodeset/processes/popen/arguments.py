"""The arguments of subprocess.Popen, checked as it checks them."""

from __future__ import annotations

import codecs
import grp
import io
import locale
import os
import pwd
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as Folder
from subprocess import SubprocessError
from typing import Any, TypeAlias

import attrs

__all__ = ["Args", "Path", "TextMode", "argvOf", "environmentOf", "gidOf", "gidsOf", "inheritedFiles", "uidOf"]

Path: TypeAlias = str | bytes | os.PathLike[Any]
Args: TypeAlias = Path | Sequence[Path]


@attrs.frozen
class TextMode:
    """How bytes become text."""

    encoding: str
    errors: str

    @classmethod
    def of(
        cls, universal_newlines: bool | None, text: bool | None, encoding: str | None, errors: str | None
    ) -> TextMode | None:
        """None for bytes. Raises `subprocess.SubprocessError` for a contradiction, `LookupError` for an unknown encoding."""
        if text is not None and universal_newlines is not None and bool(universal_newlines) != bool(text):
            raise SubprocessError(
                f"text={text} contradicts universal_newlines={universal_newlines}: pass one or the other, they mean the same"
            )
        if not (encoding or errors or text or universal_newlines):
            return None
        encoding = encoding or ("utf-8" if sys.flags.utf8_mode else locale.getencoding())
        codecs.lookup(encoding)
        codecs.lookup_error(errors or "strict")
        return cls(encoding, errors or "strict")

    def decoder(self) -> io.IncrementalNewlineDecoder:
        return io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(self.encoding)(self.errors), True)

    def encoder(self) -> codecs.IncrementalEncoder:
        return codecs.getincrementalencoder(self.encoding)(self.errors)


def argvOf(args: Args, executable: Path | None, shell: bool) -> tuple[tuple[str, ...], str]:
    """What the child shall have as its argv, and what to run.

    Raises `TypeError` for what no word is made of, `ValueError` for a word with a NUL and for no word at all.
    """
    if isinstance(args, str | bytes):
        words: list[Path] = [args]
    elif isinstance(args, os.PathLike):
        if shell:
            raise TypeError("path-like args is not allowed when shell is true")
        words = [args]
    else:
        words = list(args)
    if shell:
        words = [executable or "/bin/sh", "-c", *words]
    if not words:
        raise ValueError("args is empty: name a program")
    argv = tuple(_asText(word) for word in words)
    return argv, argv[0] if executable is None else _asText(executable)


def environmentOf(env: Mapping[Any, Any] | None) -> dict[str, str]:
    """The environment of the child: this one, or ours as it is now. Raises `ValueError` for a name with a '='."""
    found = {_asText(name): _asText(value) for name, value in (os.environ if env is None else env).items()}
    if any("=" in name for name in found):
        raise ValueError("illegal environment variable name")
    return found


def _asText(word: Path) -> str:
    text = os.fsdecode(word)
    if "\0" in text:
        raise ValueError("embedded null byte")
    return text


def uidOf(user: str | int | None) -> int | None:
    """Raises `KeyError` for a name that is nobody's, `ValueError` for a number below 0, `TypeError` for anything else."""
    if user is None:
        return None
    if isinstance(user, str):
        return pwd.getpwnam(user).pw_uid
    return _checkNumber("User", user)


def gidOf(group: str | int | None) -> int | None:
    """Raises as `uidOf`."""
    if group is None:
        return None
    if isinstance(group, str):
        return grp.getgrnam(group).gr_gid
    return _checkNumber("Group", group)


def gidsOf(groups: Iterable[str | int] | None) -> tuple[int, ...] | None:
    """Raises as `uidOf`, and `ValueError` for text instead of a list."""
    if isinstance(groups, str):
        raise ValueError("Groups must be a list, not a string")
    if groups is None:
        return None
    return tuple(gid for group in groups if (gid := gidOf(group)) is not None)


def _checkNumber(what: str, number: object) -> int:
    if not isinstance(number, int):
        raise TypeError(f"{what} must be a string or an integer, not {type(number).__name__}")
    if number < 0:
        raise ValueError(f"{what} ID cannot be negative, got {number}")
    return number


def inheritedFiles(close_fds: bool, pass_fds: Iterable[int]) -> tuple[int, ...]:
    """The descriptors beyond 2 that the child shall have: those named or, without `close_fds`, all that are inheritable."""
    named = tuple(sorted({int(fd) for fd in pass_fds}))
    if named and not close_fds:
        warnings.warn("pass_fds overriding close_fds.", RuntimeWarning, stacklevel=3)
    if named or close_fds:
        return named
    found = []
    for fd in [int(entry.name) for entry in Folder("/proc/self/fd").iterdir()]:
        try:
            if fd > 2 and os.get_inheritable(fd):
                found.append(fd)
        except OSError:
            continue  # It was the listing's own.
    return tuple(sorted(found))
