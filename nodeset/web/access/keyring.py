"""The keys that sign requests, as their file has them.

::

    [keys.alice]
    secret = "R0-2Yp..."            # 32 characters or more, the key of the HMAC as it stands
    grant = "@alice.furl"           # what it may do: a file beside this one, a FURL, or its name, g1....; else as the bridge
    not-after = 2027-01-31          # the moment, or the day, after which it counts no longer
    legacy = true                   # it may sign /publish and /subscribe in the original's way too
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final, NoReturn

import attrs

from nodeset.errors import BadSettings

__all__ = ["LARGEST", "MOST_KEYS", "NO_NAME", "SHORTEST", "WebKey", "isName", "readKeys"]

#: Characters of the shortest secret, of the longest.
SHORTEST, _LONGEST = 32, 512
#: Keys of a file, bytes of it.
MOST_KEYS: Final = 10_000
LARGEST: Final = 1 << 23

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_SECRET: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)
_AT: Final = re.compile(r" \((?:at line (\d+), column \d+|at end of document)\)\Z")
_FIELDS: Final = ("secret", "grant", "not-after", "legacy")


@attrs.frozen
class WebKey:
    """One key.

    :ivar grant: what its holder may do: `@FILE`, a FURL or its name; None for what the bridge itself may.
    :ivar not_after: Unix time at which it ends, None for never.
    :ivar legacy: whether it may sign in the original's way, see `nodeset.web.legacy.signing`.
    """

    name: str
    secret: str = attrs.field(repr=False)
    grant: str | None = attrs.field(default=None, repr=False)
    not_after: float | None = None
    legacy: bool = False

    def isOver(self, now: float) -> bool:
        """Whether it has ended; `now` is Unix time."""
        return self.not_after is not None and now >= self.not_after


#: What to say of what is no name of a key.
NO_NAME: Final = "is no name of a key: letters, digits, '.', '_', '@' or '-', 64 at most, a letter or digit first"


def isName(text: str) -> bool:
    """Whether a key may be called this."""
    return _NAME.fullmatch(text) is not None


#: The line of each key of a TOML text, by its path.
Locate = Callable[[str], Mapping[tuple[str, ...], int]]


def readKeys(text: str, path: str, locate: Locate) -> dict[str, WebKey]:
    """The keys in this text, by name.

    :param path: for errors, which have the line, and never a value.
    :param locate: finds that line; asked only when something is wrong.

    :raise BadSettings: for what is no TOML, or no file of keys; one bad key makes all of it bad.
    """
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise BadSettings(f"{path}: it is nested too deeply: a file of keys has tables such as [keys.alice]") from None
    except ValueError as error:
        # Without tomllib's words, which may quote what stands there.
        at = _AT.search(str(error))
        line = at[1] if at and at[1] else len(text.rstrip("\n").split("\n"))
        raise BadSettings(f'{path}:{line}: this is no TOML: it has [keys.alice], below it secret = "..."') from None
    lines = _Lines(text, path, locate)
    for key in found:
        if key != "keys":
            lines.refuse((key,), f"there is no table {_shown(key)}: each key stands in [keys.NAME]")
    keys = found.get("keys", {})
    if not isinstance(keys, dict) or not all(isinstance(each, dict) for each in keys.values()):
        lines.refuse(("keys",), 'keys are tables: write [keys.alice], below it secret = "..."')
    if len(keys) > MOST_KEYS:
        raise BadSettings(f"{path}: it has {len(keys)} keys, {MOST_KEYS} are the most")
    return {name: _readKey(name, table, lines) for name, table in keys.items()}


def _readKey(name: str, table: Mapping[str, Any], lines: _Lines) -> WebKey:
    at = ("keys", name)
    if not isName(name):
        lines.refuse(at, f"{_shown(name)} {NO_NAME}")
    for field in table:
        if field not in _FIELDS:
            near = difflib.get_close_matches(field[:40], _FIELDS, 1)
            hint = f": did you mean {near[0]!r}?" if near else f": there are {', '.join(_FIELDS)}"
            lines.refuse((*at, field), f"a key has no {_shown(field)}{hint}")
    secret = table.get("secret")
    if not isinstance(secret, str) or not SHORTEST <= len(secret) <= _LONGEST or not _SECRET.fullmatch(secret):
        where = (*at, "secret") if "secret" in table else at
        lines.refuse(
            where, f"key {name!r}: its secret is {SHORTEST} to {_LONGEST} visible ASCII characters: nodeset webkey makes one"
        )
    grant = table.get("grant")
    if grant is not None and not (isinstance(grant, str) and grant.startswith(("@", "pb://", "g1."))):
        lines.refuse(
            (*at, "grant"), f"key {name!r}: its grant is a file with a FURL (@FILE), a FURL, or the name in one (g1....)"
        )
    legacy = table.get("legacy", False)
    if not isinstance(legacy, bool):
        lines.refuse((*at, "legacy"), f"key {name!r}: legacy is true or false")
    return WebKey(name, secret, grant, _readEnd(name, table, lines), legacy)


def _readEnd(name: str, table: Mapping[str, Any], lines: _Lines) -> float | None:
    """When a key ends. A day counts to its end; without a time zone it is of UTC, wherever it is read."""
    end = table.get("not-after")
    if end is None:
        return None
    try:
        if isinstance(end, datetime):
            return (end if end.tzinfo is not None else end.replace(tzinfo=UTC)).timestamp()
        if isinstance(end, date):
            return datetime(end.year, end.month, end.day, tzinfo=UTC).timestamp() + 86400.0
    except (OverflowError, ValueError):
        pass
    lines.refuse(
        ("keys", name, "not-after"), f"key {name!r}: not-after is a day or a moment without quotes, such as 2027-01-31"
    )


class _Lines:
    """Where each key of a TOML text stands."""

    def __init__(self, text: str, path: str, locate: Locate) -> None:
        self._text, self._path, self._locate = text, path, locate

    def refuse(self, keys: tuple[str, ...], why: str) -> NoReturn:
        """Raises `BadSettings`."""
        lines = self._locate(self._text)
        while keys and keys not in lines:
            keys = keys[:-1]
        raise BadSettings(f"{self._path}{f':{lines[keys]}' if keys else ''}: {why}")


def _shown(name: str) -> str:
    return ascii(name[:40])
