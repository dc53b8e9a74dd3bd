"""What a key of a program file may be.

Each reader takes what TOML gave, returns the value of the field; BadSettings says what is wrong with it.
"""

from __future__ import annotations

import difflib
import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, cast, get_args
from urllib.parse import urlsplit

from nodeset.errors import BadProgram
from nodeset.processes.program import Dependency, Probe, Until, checkName
from nodeset.processes.signals import signalName, signalNumber
from nodeset.settings.readers import readCount, readText, show

__all__ = [
    "BadPart",
    "counts",
    "nearest",
    "readAlive",
    "readCodes",
    "readCommand",
    "readDependencies",
    "readEnv",
    "readFlag",
    "readOwner",
    "readReady",
    "readShare",
    "readSignal",
    "readUmask",
    "seconds",
    "sizeWords",
    "sizes",
    "words",
]

Kind = Literal["log", "tcp", "http", "command"]

_DAY: Final = 86400.0
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE: Final = re.compile(r"(\d{1,15})\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_PROBES: Final[tuple[str, ...]] = get_args(Kind)


class BadPart(BadProgram):
    """What is wrong is inside a table.

    :ivar key: where in it.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key if key.isprintable() and len(key) <= 60 else show(key)}: {text}")
        self.key = key


def nearest(name: str, known: Iterable[str]) -> str:
    """`: did you mean 'retries'?`, or nothing if none of the known is near."""
    found = difflib.get_close_matches(name[:60], list(known), 1)
    return f": did you mean {found[0]!r}?" if found else ""


def _number(value: object) -> float:
    try:
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return math.nan


def seconds(least: float, most: float = _DAY) -> Callable[[object], float]:
    """A reader of seconds in these bounds."""

    def read(value: object) -> float:
        if least <= (found := _number(value)) <= most:
            return found
        raise BadProgram(f"{show(value)} is no time: give a number of seconds, from {least:g} to {most:g}")

    return read


def readShare(value: object) -> float:
    """A share, from 0 to 1."""
    if 0 <= (found := _number(value)) <= 1:
        return found
    raise BadProgram(f"{show(value)} is no share: give a number from 0 to 1")


def counts(least: int, most: int) -> Callable[[object], int]:
    """A reader of whole numbers in these bounds."""

    def read(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            return readCount(value, most, least)
        raise BadProgram(f"{show(value)} is no whole number: give one from {least} to {most}")

    return read


def sizes(least: int, most: int = 1 << 50) -> Callable[[object], int]:
    """A reader of sizes in bytes, as a number, or with a K, M, G or T of 1024."""

    def read(value: object) -> int:
        found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
        size = int(found[1]) * _UNITS[found[2].upper()] if found else value
        if isinstance(size, int) and not isinstance(size, bool) and least <= size <= most:
            return size
        raise BadProgram(
            f"{show(value)} is no size: give bytes, or a text such as '64M', from {sizeWords(least)} to {sizeWords(most)}"
        )

    return read


def sizeWords(size: int) -> str:
    """The size as a file would have it: 64M."""
    unit = next(unit for unit in reversed(_UNITS) if size >= _UNITS[unit] and size % _UNITS[unit] == 0) if size else ""
    return f"{size // _UNITS[unit]}{unit}"


def words(*allowed: str) -> Callable[[object], str]:
    """A reader of one of these words."""

    def read(value: object) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        hint = nearest(value, allowed) if isinstance(value, str) else ""
        raise BadProgram(f"{show(value)} is not one of {', '.join(map(repr, allowed))}{hint}")

    return read


def readFlag(value: object) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    raise BadProgram(f"{show(value)} is neither true nor false")


def _checkText(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise BadProgram(f"{show(value)} is no text{what}: put it in quotes")
    if "\0" in value:
        raise BadProgram(f"{show(value)} holds a zero byte, which no program can be given")
    return value


def readCommand(value: object) -> tuple[str, ...]:
    """A command as a list of words, or as a text that is split as a shell would, which is not run."""
    if isinstance(value, str):
        try:
            parts = shlex.split(_checkText(value, ""))
        except ValueError as error:
            raise BadProgram(f"{show(value)} cannot be split into words: {str(error).lower()}") from None
    elif isinstance(value, list):
        parts = [_checkText(each, f" in {show(value)}") for each in value]
    else:
        raise BadProgram(f"{show(value)} is no command: give a text or a list of texts")
    if not parts or not parts[0]:
        raise BadProgram(f"{show(value)} names no program: give the one to run, then its arguments")
    return tuple(parts)


def readEnv(value: object) -> dict[str, str]:
    """A table of texts; numbers are written out."""
    if not isinstance(value, Mapping):
        raise BadProgram(f"{show(value)} is no table: write {{ NAME = 'value' }}")
    env = {}
    for name, each in value.items():
        if not name or "=" in name or "\0" in name:
            raise BadProgram(f"{show(name)} cannot name a variable: it must not be empty, nor hold '='")
        is_number = isinstance(each, (int, float)) and not isinstance(each, bool)
        try:
            env[name] = _checkText(str(each) if is_number else each, "")
        except (BadProgram, ValueError) as error:
            raise BadPart(name, str(error)) from None
    return env


def readOwner(value: object) -> str:
    """A user or group, by name or number; whether it exists is for who has the machine to say."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32 - 1:
        return str(value)
    return readText(value)


def readUmask(value: object) -> int:
    """A umask as octal digits in quotes."""
    if isinstance(value, str) and re.fullmatch(r"[0-7]{1,4}", value) and int(value, 8) <= 0o777:
        return int(value, 8)
    raise BadProgram(f"{show(value)} is no umask: give octal digits in quotes, such as '022'")


def readCodes(value: object) -> tuple[int, ...]:
    """Exit codes, or one."""
    found = value if isinstance(value, list) else [value]
    if all(isinstance(each, int) and not isinstance(each, bool) and 0 <= each <= 255 for each in found):
        return tuple(dict.fromkeys(found))
    raise BadProgram(f"{show(value)} are no exit codes: give numbers from 0 to 255, such as [0, 2]")


def readSignal(value: object) -> str:
    """The name of a signal."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return signalName(signalNumber(_checkText(value, "")))


def readDependencies(value: object) -> tuple[Dependency, ...]:
    """A name, a list of names, or a table of names with how far each must have come."""
    until = words(*get_args(Until))
    if isinstance(value, Mapping):
        found: list[Dependency] = []
        for name, each in value.items():
            try:
                found.append(Dependency(checkName(name), cast(Until, until(each))))
            except BadProgram as error:
                raise BadPart(name, str(error)) from None
        return tuple(found)
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise BadProgram(f"{show(value)} names no programs: give names, such as ['db'], or {{ db = 'ready' }}")
    return tuple(Dependency(checkName(each)) for each in dict.fromkeys(names))


def readReady(value: object) -> Probe:
    """A probe that shows when it is ready."""
    return _readProbe(value, _PROBES, ("interval", "timeout", "delay"))


def readAlive(value: object) -> Probe:
    """A probe that shows whether it is still well."""
    if isinstance(value, Mapping) and "log" in value:
        raise BadPart("log", "what it once wrote does not show that it is well: use tcp, http or command")
    return _readProbe(value, _PROBES[1:], ("interval", "timeout", "failures", "delay"))


def _readProbe(value: object, kinds: tuple[str, ...], others: tuple[str, ...]) -> Probe:
    if not isinstance(value, Mapping):
        raise BadProgram(f"{show(value)} is no probe: write {{ tcp = '127.0.0.1:5432' }}, or one of {', '.join(kinds)}")
    readers: dict[str, Callable[[object], Any]] = {
        "log": _readPattern,
        "tcp": _readPlace,
        "http": _readHttp,
        "command": readCommand,
        "interval": seconds(0.05),
        "timeout": seconds(0.05, 3600),
        "failures": counts(1, 1000),
        "delay": seconds(0),
    }
    fields: dict[str, Any] = {}
    for key, each in value.items():
        if key not in (*kinds, *others):
            raise BadPart(key, f"a probe has no such key{nearest(key, (*kinds, *others))}")
        try:
            fields[key] = readers[key](each)
        except ValueError as error:
            raise BadPart(key, str(error)) from None
    given = [kind for kind in _PROBES if kind in fields]
    if len(given) != 1:
        have = f"has {' as well as '.join(given)}" if given else "says not what to try"
        raise BadProgram(f"this probe {have}: give one of {', '.join(kinds)}")
    target = fields.pop(given[0])
    return Probe(cast(Kind, given[0]), target, **fields)


def _readPattern(value: object) -> str:
    text = _checkText(value, "")
    try:
        # As output is looked at: bytes.
        re.compile(text.encode())
    except (re.error, OverflowError, RecursionError) as error:
        raise BadProgram(f"{show(value)} is no regular expression: {error}") from None
    if not text:
        raise BadProgram("'' is in every output: give what it writes when it is ready")
    return text


def _readPlace(value: object) -> str:
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if host and host.isprintable() and port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535:
        return f"{host}:{int(port)}"
    raise BadProgram(f"{show(value)} is no place to connect to: give host:port, such as '127.0.0.1:5432'")


def _readHttp(value: object) -> str:
    try:
        url = urlsplit(value if isinstance(value, str) else "")
        fine = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and str(value).isprintable()
    except ValueError:
        fine = False
    if fine and "@" in url.netloc:
        raise BadProgram("a URL with a user's name or password in it is not asked: leave these out")
    if fine and isinstance(value, str) and value.isascii() and " " not in value:
        return value
    raise BadProgram(f"{show(value)} is no URL to ask: give one such as 'http://127.0.0.1:8000/ready'")
