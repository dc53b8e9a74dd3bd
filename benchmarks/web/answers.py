"""The answers to requests on one kept connection, cut out of its bytes."""

from __future__ import annotations

import re
from typing import Final

import attrs

__all__ = ["Answers"]

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@attrs.define
class Answers:
    """Counts whole answers; `refused` is the first status line that is no 2xx, with what the body says."""

    count: int = 0
    refused: str = ""
    body: bytes = b""
    _rest: bytes = b""

    def take(self, data: bytes) -> None:
        """Some bytes have come."""
        self._rest += data
        while self._cut():
            pass

    def _cut(self) -> bool:
        head, gap, _tail = self._rest.partition(b"\r\n\r\n")
        if not gap:
            return False
        begin = len(head) + 4
        if _CHUNKED.search(head) is not None:
            end = self._rest.find(b"0\r\n\r\n", begin) + 5
            if end < 5:
                return False
        else:
            length = _LENGTH.search(head)
            end = begin + (int(length[1]) if length is not None else 0)
            if len(self._rest) < end:
                return False
        self.body = self._rest[begin:end]
        if not self.refused and not head.startswith(b"HTTP/1.1 2"):
            status = head.split(b"\r\n", 1)[0]
            self.refused = f"{status.decode('latin-1')}: {self.body[:200].decode('utf-8', 'replace')}"
        self._rest = self._rest[end:]
        self.count += 1
        return True
