"""What goes through a web server: events of five fields as JSON, by POST; how many of them there are in a stream."""

from __future__ import annotations

import re
from typing import Final

import attrs
import msgspec

from nodeset.cli.bench.event import NOTE, TEXT, Event

__all__ = ["EVENT", "FOREIGN", "BadStream", "Numbers", "findNumbers", "makeBatch", "makeBody"]

EVENT: Final = "bench.event"
_NUMBER: Final = re.compile(rb'"number":(\d+),[^{}]*?"source":(\d+)')
_TAIL: Final = msgspec.json.encode(NOTE) + b"}"
#: Names of events that a server puts into a stream by itself: something was lost, or the client is too slow.
FOREIGN: Final = re.compile(rb"event: ?(nodeset\.\w+|slow|gap)")

_encode: Final = msgspec.json.Encoder().encode


class BadStream(Exception):
    """What came is not what was published: this is why."""


@attrs.frozen
class Numbers:
    """The numbers of some events of one publisher that follow each other."""

    source: int
    first: int
    last: int


def makeBody(number: int, source: int = 0) -> bytes:
    """One event, about 110 bytes."""
    return _encode(Event(number, TEXT, 0.5, source, NOTE))


def makeBatch(first: int, count: int, source: int = 0, event: str = EVENT) -> bytes:
    """So many events in one body, as `POST /v1/events` takes them."""
    name = _encode(event)
    return (
        b"[" + b",".join(b'{"event":%b,"message":%b}' % (name, makeBody(first + each, source)) for each in range(count)) + b"]"
    )


def findNumbers(data: bytes) -> tuple[Numbers, ...]:
    """The events in a part of a stream that ends where one of them ends, by publisher.

    Raises `BadStream` if one is missing, comes twice, is cut, or if the server says that it has left any out.

    >>> findNumbers(b'data: {"number":7,"source":0,"note":"a note of the bench"}')
    Traceback (most recent call last):
    ...
    benchmarks.web.payload.BadStream: 1 events, 0 of them whole
    """
    if (foreign := FOREIGN.search(data)) is not None:
        raise BadStream(f"the server says {foreign[1].decode()}")
    found: dict[int, list[int]] = {}
    count = 0
    for number, source in _NUMBER.findall(data):
        found.setdefault(int(source), []).append(int(number))
        count += 1
    whole = data.count(_TAIL)
    if whole != count:
        raise BadStream(f"{count} events, {whole} of them whole")
    for source, numbers in found.items():
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            raise BadStream(f"{numbers[:5]} ... of publisher {source} follow each other")
    return tuple(Numbers(source, numbers[0], numbers[-1]) for source, numbers in found.items())
