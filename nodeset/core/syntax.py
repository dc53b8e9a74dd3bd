"""Where a text is no JSON."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["explainSyntax"]

_AT_BYTE: Final = re.compile(r"(?:JSON is malformed: )?(.*) \(byte (\d+)\)", re.DOTALL)
_AT_PATH: Final = re.compile(r"(.*) - at `\$?(.*)`", re.DOTALL)
_HALF: Final = re.compile(rb"\\u[dD][89abAB]")
_LONGEST: Final = 200


def explainSyntax(error: Exception, text: bytes) -> str:
    """What msgspec found wrong with `text`, as part of a line; where it says which byte, the line and the column from 1."""
    if isinstance(error, UnicodeDecodeError):
        try:
            text.decode()
        except UnicodeDecodeError as found:
            return f"no UTF-8 at {_place(text, found.start)}"
        return "a character in it is broken"
    said = " ".join(str(error).split())
    if (malformed := _AT_BYTE.fullmatch(said)) is not None:
        return f"{malformed[1]} at {_place(text, int(malformed[2]))}"
    if said == "Input data was truncated":
        half = ", or has half a character in an escape" if _HALF.search(text) else ""
        return f"it ends too soon{half}" if text.strip() else "it is empty"
    if (misplaced := _AT_PATH.fullmatch(said)) is not None:
        path = misplaced[2].lstrip(".")
        return f"{misplaced[1]} at {path}"[:_LONGEST]
    return said[:_LONGEST]


def _place(text: bytes, byte: int) -> str:
    before = text[:byte].decode("utf-8", "replace")
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
