"""Text that can do nothing to the terminal it is shown on."""

from __future__ import annotations

from unicodedata import combining, east_asian_width

__all__ = ["columns", "plain"]


def plain(text: str, longest: int) -> str:
    """The text with each character that is not printable written out, but for line breaks; tabs become spaces.

    What is longer than `longest` characters is cut, which a last line says.

    >>> plain("a\\x1b[2Jb", 80)
    'a\\\\x1b[2Jb'
    >>> plain("abcdef", 3)
    'abc\\n[3 more characters are not shown]\\n'
    """
    rest = len(text) - longest
    if rest > 0:
        text = text[:longest]
    text = text.replace("\r\n", "\n").expandtabs()
    if not text.isprintable():
        text = "\n".join(line if line.isprintable() else _writeOut(line) for line in text.split("\n"))
    return f"{text}\n[{rest} more characters are not shown]\n" if rest > 0 else text


def _writeOut(line: str) -> str:
    # Not repr of the whole: quotes with backslashes stay as they are.
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)


def columns(text: str) -> int:
    """How many columns of a terminal the printable text takes.

    >>> columns("a字")
    3
    """
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)
