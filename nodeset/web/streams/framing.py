"""A chunk of HTTP/1.1 in one piece."""

from __future__ import annotations

from typing import Any, Final

from twisted.web import http

__all__ = ["framed"]

_toChunk: Final[Any] = http.toChunk


def framed(data: bytes) -> bytes:
    """`data`, which is not empty, as a chunk."""
    return b"".join(_toChunk(data))
