"""Events as clients read them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final

import attrs
import msgspec

__all__ = ["Batch", "Entry", "Scribe", "batches", "gapJson", "syntaxOf"]

#: Event names of which a scribe remembers how JSON writes them.
_REMEMBERED: Final = 4096
_parse: Final = msgspec.json.Decoder(msgspec.Raw).decode
_encode: Final = msgspec.json.Encoder().encode


@attrs.define(eq=False, repr=False)
class Entry:
    """One event of a feed, or a gap in it.

    :ivar number: its place in the feed.
    :ivar at: when it came, by the clock of the bridge.
    :ivar sse: it as a server-sent event, whole.
    :ivar gap: why events may be missing here; empty for an event.
    """

    number: int
    at: float
    sse: bytes
    _start: int
    gap: str = ""

    @property
    def id(self) -> str:
        """By which a client that has seen it comes back."""
        return self.sse[4 : self.sse.index(b"\n")].decode()

    @property
    def json(self) -> bytes:
        """It as a JSON object, in one line: for an event what clients read, for a gap its reason and id."""
        return self.sse[self._start : -2]

    @property
    def line(self) -> bytes:
        """It as a line of NDJSON, whole."""
        return b'{"gap":%b}\n' % self.json if self.gap else self.sse[self._start : -1]

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.sse)


class Batch:
    """Entries that came in the same turn, in order, written once however many clients read them.

    :ivar entries: what it is made of.
    :ivar size: bytes of all of it, more or less.
    :ivar kept: what sinks made of it, for each other; the key says what that is.
    """

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        self.size = sum(len(entry.sse) for entry in entries)
        self.kept: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def sse(self) -> bytes:
        """All as server-sent events."""
        return b"".join([entry.sse for entry in self.entries])

    @cached_property
    def lines(self) -> bytes:
        """All as NDJSON."""
        return b"".join([entry.line for entry in self.entries])


def batches(entries: Iterable[Entry], most: int) -> Iterator[Batch]:
    """These entries in batches of `most` bytes; a larger entry is one by itself."""
    part: list[Entry] = []
    size = 0
    for entry in entries:
        if part and size + len(entry.sse) > most:
            yield Batch(tuple(part))
            part, size = [], 0
        part.append(entry)
        size += len(entry.sse)
    if part:
        yield Batch(tuple(part))


def syntaxOf(payload: bytes) -> bytes | None:
    """`payload` as JSON in one line: as it is if that is what it is already; None when it is no JSON."""
    try:
        _parse(payload)
        if not payload.isascii():
            payload.decode()  # msgspec looks at no text that it does not keep
        if b"\n" in payload or b"\r" in payload:
            return msgspec.json.format(payload, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return payload


def gapJson(reason: str, ident: str) -> bytes:
    """What a client is told of a gap: why, with the id that it has seen all up to, as far as there is anything."""
    return _encode({"reason": reason, "id": ident})


class Scribe:
    """Writes the entries of one feed.

    :param epoch: what its ids begin with.
    """

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch.encode()
        self._names: dict[str, bytes] = {}

    def event(self, number: int, now: float, event: str, at: float, payload: bytes, raw: bool = False) -> Entry:
        """An event with its payload, spliced in as it is if it is JSON, else (or if it is said to be `raw`) as base64.

        :param now: by the clock of the bridge; `at` by that of the wall, in seconds since 1970.
        """
        written = None if raw else syntaxOf(payload)
        if written is None:
            key, written = b"base64", b'"%b"' % b64encode(payload)
        else:
            key = b"message"
        name = self._names.get(event)
        if name is None:
            if len(self._names) >= _REMEMBERED:
                self._names.clear()
            name = self._names[event] = _encode(event)
        ident = b"%b-%d" % (self._epoch, number)
        sse = b'id: %b\ndata: {"id":"%b","event":%b,"at":%.3f,"%b":%b}\n\n' % (ident, ident, name, at, key, written)
        return Entry(number, now, sse, len(ident) + 11)

    def gap(self, number: int, now: float, reason: str) -> Entry:
        """Where events may be missing."""
        ident = b"%b-%d" % (self._epoch, number)
        head = b"id: %b\nevent: nodeset.gap\ndata: " % ident
        return Entry(number, now, b"%b%b\n\n" % (head, gapJson(reason, ident.decode())), len(head), reason)
