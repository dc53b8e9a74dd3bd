"""Requests that are signed with a shared secret, HMAC-SHA256.

The text that is signed has eight lines, with a newline between two of them, none behind the last::

    NODESET-HMAC-SHA256
    alice                                     x-verify-key
    1764000000                                x-verify-timestamp: seconds of Unix time, digits alone
    3q2-7w8mQkGv0bYxJ1c4Zg                    x-verify-nonce: 16 to 64 of A-Z a-z 0-9 - _, never the same twice
    POST                                      the method
    /v1/events/orders.created                 the path, see `canonicalPath`
    a=1&b=2                                   the query, see `canonicalQuery`; an empty line without one
    e3b0c442...                               SHA-256 of the body, 64 hexadecimal digits, of no bytes without one

`x-verify-signature` is the HMAC of that under the secret, as 64 hexadecimal digits. No line can have a newline in it, so no two
requests are the same text.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final

import attrs

__all__ = [
    "HEADERS",
    "SCHEME",
    "WINDOW",
    "BadTarget",
    "Malformed",
    "Partial",
    "Signed",
    "canonicalPath",
    "canonicalQuery",
    "isRecent",
    "isSigned",
    "readSigned",
    "signatureOf",
    "textOf",
]

SCHEME: Final = "NODESET-HMAC-SHA256"
#: Seconds that a timestamp may lie away from our clock, on either side.
WINDOW: Final = 300
#: The headers, in the order of `Signed`.
HEADERS: Final = ("x-verify-key", "x-verify-timestamp", "x-verify-nonce", "x-verify-signature")

_SHAPES: Final = (
    re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII),
    re.compile(r"[0-9]{1,12}", re.ASCII),
    re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII),
    re.compile(r"[0-9A-Fa-f]{64}", re.ASCII),
)
_WANTED: Final = (
    "a name of letters, digits, '.', '_', '@' or '-', 64 at most",
    "seconds of Unix time, in digits",
    "16 to 64 letters, digits, '-' or '_'",
    "64 hexadecimal digits",
)
_ESCAPE: Final = re.compile(r"%(..?|\Z)", re.DOTALL)
_HEX: Final = re.compile(r"[0-9A-Fa-f]{2}", re.ASCII)
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_VISIBLE: Final = re.compile(r"[\x21-\x7e]*")


class BadTarget(ValueError):
    """This is no path or query that a request can have."""


class Partial(ValueError):
    """Some of the four headers are missing."""


class Malformed(ValueError):
    """One of the four headers is none."""


@attrs.frozen
class Signed:
    """What the headers of a signed request say; none of it is proved."""

    key: str
    timestamp: int
    nonce: str
    signature: str = attrs.field(repr=False)


def readSigned(header: Callable[[str], str | None]) -> Signed | None:
    """What the four headers say, None when not one of them is there.

    :param header: the text of the header of this name.
    :raise Partial: says which one is missing.
    :raise Malformed: says which one is none, without its value.
    """
    found = [header(name) for name in HEADERS]
    if not any(text is not None for text in found):
        return None
    for name, text in zip(HEADERS, found, strict=True):
        if text is None:
            raise Partial(f"the header {name} is missing: a signed request has {', '.join(HEADERS)}")
    for name, text, shape, wanted in zip(HEADERS, found, _SHAPES, _WANTED, strict=True):
        if not shape.fullmatch(text or ""):
            raise Malformed(f"the header {name} is none: it is {wanted}")
    key, timestamp, nonce, signature = (text or "" for text in found)
    return Signed(key, int(timestamp), nonce, signature.lower())


def canonicalPath(path: str) -> str:
    """The path as it is signed: as it is sent, but `%XX` of a letter, a digit, `-`, `.`, `_` or `~` is that character, and the
    digits of every other `%XX` are upper case.

    >>> canonicalPath("/v1/events/orders%2ecreated%2f")
    '/v1/events/orders.created%2F'

    :raise BadTarget: for a `%` without two digits, a blank, a control or foreign character.
    """
    return _normalize(path)


def canonicalQuery(query: str) -> str:
    """The query as it is signed, without its question mark: each name and value as in `canonicalPath`, sorted by name.

    Values of the same name keep their order; a name without `=` gets one; what is empty between two `&` is left out.

    >>> canonicalQuery("b=2&a=%7e1&b=1&c")
    'a=~1&b=2&b=1&c='

    :raise BadTarget: as `canonicalPath`.
    """
    pairs = []
    for part in query.split("&"):
        if part:
            name, _equals, value = part.partition("=")
            pairs.append((_normalize(name), _normalize(value)))
    pairs.sort(key=lambda pair: pair[0])  # a stable sort: the order of one name's values may mean something
    return "&".join(f"{name}={value}" for name, value in pairs)


def _normalize(text: str) -> str:
    if not _VISIBLE.fullmatch(text):
        raise BadTarget("the address has a blank, a control or a foreign character: write it as %XX")
    return _ESCAPE.sub(_resolve, text) if "%" in text else text


def _resolve(escape: re.Match[str]) -> str:
    digits = escape[1]
    if not _HEX.fullmatch(digits):
        raise BadTarget("the address has a % without two hexadecimal digits behind it: write %25 for a % itself")
    character = chr(int(digits, 16))
    return character if character in _UNRESERVED else f"%{digits.upper()}"


def textOf(key: str, timestamp: int, nonce: str, method: str, path: str, query: str, body: bytes) -> bytes:
    """What is signed, see the top of this module.

    :param path: as the request line has it, without the query.
    :raise BadTarget: for a path or a query that cannot be.
    """
    digest = hashlib.sha256(body).hexdigest()
    lines = (SCHEME, key, str(timestamp), nonce, method, canonicalPath(path), canonicalQuery(query), digest)
    if any("\n" in line for line in lines):
        raise BadTarget("no part of a signed request has a newline in it")
    return "\n".join(lines).encode("utf-8")


def signatureOf(secret: str, text: bytes) -> str:
    """The signature of this text, 64 hexadecimal digits."""
    return hmac.digest(secret.encode("utf-8"), text, "sha256").hex()


def isSigned(secret: str, signed: Signed, method: str, path: str, query: str, body: bytes) -> bool:
    """Whether this request was signed with `secret`; takes as long whether or not it was. Raises `BadTarget`."""
    text = textOf(signed.key, signed.timestamp, signed.nonce, method, path, query, body)
    return hmac.compare_digest(signatureOf(secret, text), signed.signature)


def isRecent(timestamp: int, now: float) -> bool:
    """Whether this timestamp lies within the window around `now`, which is Unix time."""
    return abs(now - timestamp) <= WINDOW
