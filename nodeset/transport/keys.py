"""The key that a dispatcher signs grants with, what was revoked of them: the files of that."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from nodeset.core.grants import chain as grants
from nodeset.core.grants.chain import KEY_SIZE, Caveat
from nodeset.core.grants.revocations import HEADER, MAX_REVOKED, Revocation, Revocations, readLines
from nodeset.core.grants.rights import Rights, memberCaveat
from nodeset.errors import GrantRefused, StateUnusable
from nodeset.transport.files import blaming, openQuick, readWhole, showPath, writeWhole

__all__ = ["loadKey", "loadRevocations", "mintMember", "mintOwner", "revokeLeaked", "whyNotKept"]

_LONGEST: Final = 100 * (MAX_REVOKED + 1)


def loadKey(path: Path, notes: list[str]) -> bytes:
    """The key in this file, made if there is none. Raises `StateUnusable`."""
    if not os.path.lexists(path):
        writeWhole(path, secrets.token_bytes(KEY_SIZE))
    with blaming(path):
        key = readWhole(path, 4 * KEY_SIZE, notes)
    if len(key) != KEY_SIZE:
        raise StateUnusable(
            f"{showPath(path)} has {len(key)} bytes, a key has {KEY_SIZE}: bring the file back; without it all grants end"
        )
    return key


def mintMember(key: bytes) -> str:
    """The name in the FURL that every node of the site finds."""
    return grants.mint(key, memberCaveat(secrets.token_bytes(8)))


def mintOwner(key: bytes) -> str:
    """The name in the FURL that mints others and revokes them."""
    return grants.mint(key, Caveat(secrets.token_bytes(8), answer=["*"], owner=True))


def revokeLeaked(name: str, key: bytes, revocations: Revocations, now: float) -> None:
    """This name lay where every node of the site found it: if it is an owner's, it counts no longer."""
    with suppress(GrantRefused):
        chain = grants.verify(key, name)
        if Rights(chain).owner:
            revocations.add(Revocation(chain[-1].id, chain[0].id, None), True, now)


def whyNotKept(name: str, key: bytes, revocations: Revocations, owner: bool) -> str:
    """Why this name is none that a file of the dispatcher's should go on having, empty when it is one."""
    try:
        rights = Rights(grants.verify(key, name))
    except GrantRefused as error:
        return f"has no grant of ours ({error})"
    if any(grant in revocations for grant in rights.ids):
        return "has a grant that was revoked"
    if rights.owner != owner or len(rights.chain) > 1 or rights.expires is not None:
        return "has another grant than it should"
    return ""


def loadRevocations(path: Path, now: float, notes: list[str]) -> Revocations:
    """The revocations in this file that have not expired; more of them are written there. Raises `StateUnusable`."""
    with blaming(path):
        try:
            # What is not ASCII is no line of ours: it becomes a damaged one.
            text: str | None = readWhole(path, _LONGEST, notes).decode("ascii", errors="replace")
        except FileNotFoundError:
            text = None  # but an empty file is one that was damaged
    try:
        said: list[str] = []
        known = [] if text is None else readLines(text, said)
        notes += [f"{showPath(path)}: {note}" for note in said]
    except StateUnusable as error:
        raise StateUnusable(f"{showPath(path)}: {error}") from None
    left = [revocation for revocation in known if revocation.expires is None or revocation.expires > now]
    if text is not None and text != _text(left):
        _rewrite(path, left)
    return Revocations(left, partial(_append, path), partial(_rewrite, path))


def _text(revocations: list[Revocation]) -> str:
    return "".join(f"{line}\n" for line in (HEADER, *(revocation.line() for revocation in revocations)))


def _rewrite(path: Path, revocations: list[Revocation]) -> None:
    writeWhole(path, _text(revocations).encode("ascii"))


def _append(path: Path, revocation: Revocation) -> None:
    """Add one line, which is on the disk when this returns, or not there at all."""
    line = f"{revocation.line()}\n".encode("ascii")
    with blaming(path):
        try:
            opened = openQuick(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        except FileNotFoundError:
            writeWhole(path, _text([revocation]).encode("ascii"))
            return
        try:
            size = os.fstat(opened).st_size
            try:
                if os.write(opened, line) != len(line):
                    raise StateUnusable(f"{showPath(path)} was not written, the disk is full: free some space")
                os.fsync(opened)
            except BaseException:
                with suppress(OSError):
                    os.ftruncate(opened, size)
                raise
        finally:
            os.close(opened)
