"""Which forms are taken apart, since that comes before anybody has said who he is."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MOST_FIELDS", "whyNotRead"]

#: Fields of a form.
MOST_FIELDS: Final = 1000
#: Bytes of what stands before the value of a field, characters of the type: Python's parser of mails takes seconds for a MiB.
_HEAD: Final = 1024
_LONGEST: Final = 200
_URLENCODED: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = re.compile(
    r'multipart/form-data *; *boundary=("?)([0-9A-Za-z\'()+_,./:=?-]{1,70})\1 *', re.ASCII | re.IGNORECASE
)


def whyNotRead(content_type: str, body: bytes) -> str:
    """Why this form is not taken apart, empty when it may be."""
    if len(content_type) > _LONGEST:
        return f"its Content-Type has more than {_LONGEST} characters"
    if content_type.partition(";")[0].strip().lower() == _URLENCODED:
        # twisted.web takes both for what stands between two fields.
        count = body.count(b"&") + body.count(b";") + 1
        return _tooMany(count) if count > MOST_FIELDS else ""
    found = _MULTIPART.fullmatch(content_type.strip())
    if found is None:
        return f"a form comes as {_URLENCODED}, or as multipart/form-data; boundary=..."
    before, *parts = body.split(b"--" + found[2].encode(), MOST_FIELDS + 1)
    if len(parts) > MOST_FIELDS:
        return _tooMany(len(parts))
    if before or not parts or parts.pop().rstrip(b"\r\n") != b"--":
        return "a form of parts begins with its boundary, ends with it and two dashes"
    for part in parts:
        # A boundary in the middle of a line is none to the parser, so each part has to have an end of its head.
        head, gap, _value = part[: _HEAD + 4].partition(b"\r\n\r\n")
        if not gap:
            return f"a field of a form has a head of {_HEAD} bytes at most, then an empty line"
        if b"multipart" in head.lower() or b"message/" in head.lower():
            return "a field of a form is no form itself"
    return ""


def _tooMany(count: int) -> str:
    return f"the form has {count} fields, {MOST_FIELDS} are the most"
