"""Text from elsewhere as a terminal may see it: nothing in it moves the cursor, paints, or reads from right to left."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final, TextIO

__all__ = ["hasColours", "paint", "printable", "readable", "readableJson", "terminalWidth"]

_STYLES: Final = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36}
_TOKEN: Final = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*')


def terminalWidth(usual: int = 80) -> int:
    """The columns of the terminal that is looked at: also of `--help | less`, whose stdout is none."""
    if (columns := os.environ.get("COLUMNS", "")).isdecimal() and int(columns) > 0:
        return int(columns)
    for descriptor in (1, 2, 0):
        try:
            return os.get_terminal_size(descriptor).columns or usual
        except OSError:
            continue
    return usual


def hasColours(stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether what is written there may be coloured: a terminal that can, whose user does not say NO_COLOR."""
    if environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def paint(text: str, *styles: str) -> str:
    """The same in these styles, such as `bold` or `red`.

    >>> paint("gone", "red")
    '\\x1b[31mgone\\x1b[0m'
    """
    return f"\x1b[{';'.join(str(_STYLES[style]) for style in styles)}m{text}\x1b[0m" if styles and text else text


def _escape(letter: str) -> str:
    code = ord(letter)
    if code > 0xFFFF:
        high, low = divmod(code - 0x10000, 0x400)
        return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
    return f"\\u{code:04x}"


def printable(text: str, keep: str = "") -> str:
    """The same with all that does not print as JSON would escape it, but for what is to be kept.

    >>> printable("a\\x1b[31mb\\u202ec")
    'a\\\\u001b[31mb\\\\u202ec'
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in keep else _escape(letter) for letter in text)


def readable(data: bytes) -> str:
    """Bytes as text, whatever they are."""
    return printable(data.decode("utf-8", "backslashreplace"), "\t")


def readableJson(value: Any, pretty: bool = False, coloured: bool = False) -> str:
    """A value as JSON for people: letters as they are, yet nothing that does not print. Raises ValueError, TypeError.

    :param pretty: on lines of its own for each member.

    >>> readableJson({"name": "Renée", "id": 1})
    '{"name": "Renée", "id": 1}'
    """
    import simplejson  # which --help does without

    text = printable(simplejson.dumps(value, ensure_ascii=False, indent=2 if pretty else None, use_decimal=True), "\n")
    return _TOKEN.sub(_colour, text) if coloured else text


def _colour(found: re.Match[str]) -> str:
    if found[1] is None:
        return paint(found[0], "magenta")
    return f"{paint(found[1], 'blue')}{found[2]}" if found[2] else paint(found[1], "green")
