"""What a setting may be.

Each reader takes what an option, a variable or a file gave, returns the value; BadSettings says what is wrong with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from nodeset.core.address import LOCALHOST, checkPart
from nodeset.core.batch import MAX_EVENT
from nodeset.errors import BadSettings, InvalidAddressing

__all__ = [
    "LOG_LEVELS",
    "hideFurls",
    "readAnonymous",
    "readBytes",
    "readCount",
    "readFlag",
    "readGc",
    "readInterval",
    "readLabel",
    "readLabels",
    "readLevel",
    "readList",
    "readNodes",
    "readOptionalCount",
    "readOptionalLabel",
    "readOptionalPlace",
    "readOptionalText",
    "readOutput",
    "readPatience",
    "readPayload",
    "readPidFile",
    "readPlaces",
    "readPort",
    "readRate",
    "readRestart",
    "readRetries",
    "readRoom",
    "readSeconds",
    "readText",
    "readUrl",
    "readUser",
    "readWait",
    "show",
]

LOG_LEVELS: Final = ("debug", "info", "notice", "warn", "crit")
_GC: Final = ("tuned", "default")
_ANONYMOUS: Final = ("loopback", "allow", "refuse")
_RESTART: Final = ("never", "on-failure", "always")
_OUTPUT: Final = ("slow", "drop")
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off", ""})
_FURL = re.compile(r"pb:/.*", re.DOTALL)
_QUOTES: Final = "'\""
#: A look costs a dispatcher some milliseconds.
_OFTENEST: Final = 0.5
#: Each label has twenty metrics.
_MOST_LABELS: Final = 1000
_FASTEST: Final = 1_000_000.0
#: A day; a longer wait for one event is a slip of the pen.
_LONGEST = 86400.0


def hideFurls(text: str) -> str:
    """The text without the secrets of FURLs, nor what follows them."""
    return _FURL.sub("pb://…", text)


def show(value: object) -> str:
    """The value as an error may show it: short, on one line, without the secret of a FURL."""
    text = repr(hideFurls(value)) if isinstance(value, str) else hideFurls(_textOf(value, repr))
    if isinstance(value, bool):
        text = text.lower()  # as TOML has it
    # Cut inside the quotes, so that they are closed.
    return text if len(text) <= 60 else f"{text[:56]}...{text[0] if text[0] in _QUOTES else ''}"


def _textOf(value: object, write: Callable[[object], str] = str) -> str:
    try:
        return write(value)
    except (ValueError, RecursionError):
        # Python writes no number of thousands of digits, which TOML may have as hexadecimal ones.
        return f"a {type(value).__name__} of great length"


def readText(value: object) -> str:
    """Any printable text that is not empty."""
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise BadSettings(f"{show(value)} is no text that can be used: give one that is not empty and printable")


def readOptionalText(value: object) -> str | None:
    """Such a text, or None."""
    return None if value is None else readText(value)


def readPayload(value: object) -> str | None:
    """Any text, or None; what is in it is for who sends it to judge."""
    if value is None or isinstance(value, str):
        return value
    raise BadSettings(f"{show(value)} is no text: put it in quotes, a JSON object as well")


def readPidFile(value: object) -> str | None:
    """A path, an empty text for no file, or None."""
    return "" if value == "" else readOptionalText(value)


def readUser(value: object) -> str | None:
    """A user or group by name or number, or None; whether it exists is for who becomes it to judge."""
    return readPlaces(value)


def readUrl(value: object) -> str:
    """Where a dispatcher is."""
    # What it holds is judged where it is used (rendezvous), which knows how to speak of it without its secret.
    if isinstance(value, str):
        return value
    raise BadSettings(f"a {type(value).__name__} is no address: give a FURL, a file or pbu://host:port/ref")


def readLabel(value: object) -> str:
    """A part of an address."""
    if not isinstance(value, str):
        raise BadSettings(f"{show(value)} is no text: put it in quotes")
    try:
        return checkPart(value, "the name")
    except InvalidAddressing:
        why = "no space, '/' or '@', nothing unprintable, at most 255 bytes"
        raise BadSettings(f"{show(value)} cannot be part of an address: {why}") from None


def readOptionalLabel(value: object) -> str | None:
    """A part of an address, or None."""
    return None if value is None else readLabel(value)


def readFlag(value: object) -> bool:
    """Yes or no, in any of the usual words."""
    word = _textOf(value).strip().lower()
    if word in _YES or word in _NO:
        return word in _YES
    raise BadSettings(f"{show(value)} is neither yes nor no: write 1 or 0")


def readSeconds(value: object) -> float:
    """A time to wait, up to a day."""
    try:
        seconds = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    if 0 < seconds <= _LONGEST:
        return seconds
    raise BadSettings(f"{show(value)} is no time: give seconds, more than 0, at most {_LONGEST:.0f}")


def readWait(value: object, longest: float = _LONGEST) -> float:
    """A time to wait, 0 for not at all."""
    try:
        seconds = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    if 0 <= seconds <= longest:
        return seconds
    most = "or inf for ever" if longest == math.inf else f"at most {longest:.0f}"
    raise BadSettings(f"{show(value)} is no time: give seconds, 0 or more, {most}")


def readPatience(value: object) -> float:
    """A time to wait, which may have no end."""
    return readWait(value, math.inf)


def readRetries(value: object) -> int:
    """How often something is tried again."""
    return readCount(value, 999, 0)


def readCount(value: object, most: int = 999_999_999_999, least: int = 1) -> int:
    """A whole number from `least` to `most`."""
    text = _textOf(value).strip()
    if text.isascii() and text.isdigit() and len(text) <= 12 and least <= int(text) <= most:
        return int(text)
    raise BadSettings(f"{show(value)} is no number that is allowed here: give one from {least} to {most}")


def readInterval(value: object) -> float:
    """How often a monitor looks."""
    seconds = readSeconds(value)
    if seconds < _OFTENEST:
        raise BadSettings(f"{show(value)} is too often: give {_OFTENEST:g} seconds or more")
    return seconds


def readLabels(value: object) -> int:
    """How many labels have metrics of their own."""
    return readCount(value, _MOST_LABELS)


def readOptionalPlace(value: object) -> str | None:
    """A port, or host:port, as the latter; or None."""
    if value is None:
        return None
    text = _textOf(value).strip()
    host, colon, port = text.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    if is_port and (host or not colon) and text.isprintable() and len(text) <= 300:
        return f"{host or LOCALHOST}:{int(port)}"
    raise BadSettings(f"{show(value)} is no place to listen: give a port, or host:port, such as {LOCALHOST}:9464")


def readPlaces(value: object) -> str | None:
    """A text, or the number of a port; or None."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return readOptionalText(_textOf(value) if is_number else value)


def readBytes(value: object) -> int:
    """The size of an event."""
    return readCount(value, MAX_EVENT)


def readRoom(value: object) -> int:
    """How many bytes something may take, up to 64 MiB."""
    return readCount(value, 64 * 1024 * 1024)


def readPort(value: object) -> int:
    """A TCP port, 0 for any."""
    return readCount(value, 65535, 0)


def readRate(value: object) -> float:
    """So many a second, up to a million."""
    try:
        rate = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        rate = math.nan
    if 0 < rate <= _FASTEST:
        return rate
    raise BadSettings(f"{show(value)} is no rate: give how many a second, more than 0, at most {_FASTEST:.0f}")


def readNodes(value: object) -> int:
    """How many nodes."""
    return readCount(value, 10_000_000)


def readOptionalCount(value: object) -> int | None:
    """A whole number from 1, or None."""
    return None if value is None else readCount(value)


def _readWord(value: object, words: tuple[str, ...]) -> str:
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in words:
        return word
    raise BadSettings(f"{show(value)} is not one of {', '.join(words)}")


def readLevel(value: object) -> str:
    """A log level."""
    return _readWord(value, LOG_LEVELS)


def readGc(value: object) -> str:
    """How the garbage collector is set."""
    return _readWord(value, _GC)


def readRestart(value: object) -> str:
    """When a program is started again."""
    return _readWord(value, _RESTART)


def readOutput(value: object) -> str:
    """What a flood of output leads to."""
    return _readWord(value, _OUTPUT)


def readAnonymous(value: object) -> str:
    """Who may act without credentials."""
    return _readWord(value, _ANONYMOUS)


def readList(value: object) -> tuple[str, ...]:
    """Printable texts, separated by commas if they come as one."""
    parts: Iterable[Any] = ()
    if isinstance(value, str):
        parts = value.split(",")
    elif isinstance(value, Iterable) and not isinstance(value, Mapping):
        parts = value
    read = tuple(part.strip() if isinstance(part, str) else part for part in parts)
    if (read or value in ((), [])) and all(isinstance(part, str) and part and part.isprintable() for part in read):
        return read
    raise BadSettings(f"{show(value)} is no list: give printable parts, separated by commas")
