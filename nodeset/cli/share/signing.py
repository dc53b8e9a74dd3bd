"""A key that signs requests to a bridge, put into its file."""

from __future__ import annotations

import os
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from nodeset.cli.outcome import Exit, GaveUp
from nodeset.cli.share.expiry import readExpiry
from nodeset.cli.visit import complain
from nodeset.errors import BadGrant
from nodeset.transport.files import showPath, writeWhole

__all__ = ["makeKey"]

#: Bytes of a secret.
_SECRET = 32


def makeKey(name: str, keys: str, grant: str | None, expires: str | None, show: bool) -> int:
    """Make the key `name` in the file `keys`; say so, with its secret only if `show`.

    Raises `BadSettings`, `BadGrant`, `StateUnusable` or `GaveUp`; then the file is as it was.
    """
    try:
        from nodeset.web.access.keyfile import checkText, readText
        from nodeset.web.access.keyring import NO_NAME, isName
    except ImportError as error:
        raise GaveUp(f"it needs the extra 'web' ({error.name} cannot be imported): pip install 'nodeset[web]'") from None
    if not isName(name):
        raise GaveUp(f"{name[:40]!a} {NO_NAME}", Exit.USAGE)
    path = Path(keys).absolute()
    text = readText(path) if os.path.lexists(path) else ""
    if name in checkText(path, text):
        raise GaveUp(f"there is a key {name!r} in {showPath(path)}: choose another name, such as {name}-2", Exit.USAGE)
    secret = secrets.token_urlsafe(_SECRET)
    lines = [f'[keys."{name}"]', f'secret = "{secret}"']
    if grant is not None:
        lines.append(f'grant = "@{_fileOf(grant)}"')
    if expires is not None:
        lines.append(f"not-after = {_moment(expires)}")
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    whole = text + gap + "\n".join(lines) + "\n"
    checkText(path, whole)  # so that a bridge takes it
    writeWhole(path, whole.encode())
    if show:
        sys.stdout.write(f"{secret}\n")
        sys.stdout.flush()
    complain("webkey", f"made key {name} in {showPath(path)}; a bridge that runs takes it at SIGHUP")
    return Exit.OK


def _fileOf(grant: str) -> Path:
    """Absolute, as the file of keys may lie elsewhere."""
    if not grant.startswith("@"):
        raise GaveUp("--grant is the file of a FURL, @FILE: the FURL itself every user of this machine could see", Exit.USAGE)
    path = Path(grant[1:]).expanduser().absolute()
    if not str(path).isprintable() or set('"\\') & set(str(path)):
        raise GaveUp(f"--grant {str(path)[:200]!r} has characters in its name that a file of keys cannot have", Exit.USAGE)
    return path


def _moment(expires: str) -> str:
    """When it ends, as TOML has it."""
    found = readExpiry(expires)
    try:
        end = found if isinstance(found, datetime) else datetime.fromtimestamp(time.time() + found, UTC)
        end = end.astimezone(UTC)
    except (OverflowError, ValueError, OSError):
        raise BadGrant(f"expires {expires[:40]!r} is too far away: give 7d, or 2030-12-31T18:00") from None
    if end.timestamp() <= time.time():
        raise BadGrant(f"expires {expires[:40]!r} is over already: give 7d, or 2030-12-31T18:00")
    return f"{end:%Y-%m-%dT%H:%M:%SZ}"
