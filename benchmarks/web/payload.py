"""What goes through a web server: events of five fields as JSON, by POST; how many of them there are in a stream."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import attrs
import msgspec

from nodeset.cli.bench.event import NOTE, TEXT, Event

__all__ = ["EVENT", "FOREIGN", "BadStream", "Numbers", "findNumbers", "makeBatch", "makeBody"]

EVENT: Final = "bench.event"
_NUMBER: Final = re.compile(rb'"number":(\d+),')
_TAIL: Final = msgspec.json.encode(NOTE) + b"}"
#: Names of events that a server puts into a stream by itself: something was lost, or the client is too slow.
FOREIGN: Final = re.compile(rb"event: ?(nodeset\.\w+|slow|gap)")

_encode: Final = msgspec.json.Encoder().encode


class BadStream(Exception):
    """What came is not what was published: this is why."""


@attrs.frozen
class Numbers:
    """The numbers of some events that follow each other; `first` is -1 where there are none."""

    first: int = -1
    last: int = -1


def makeBody(number: int) -> bytes:
    """One event, about 110 bytes."""
    return _encode(Event(number, TEXT, 0.5, 0, NOTE))


def makeBatch(first: int, count: int, event: str = EVENT) -> bytes:
    """So many events in one body, as `POST /v1/events` takes them."""
    name = _encode(event)
    return b"[" + b",".join(b'{"event":%b,"message":%b}' % (name, makeBody(first + each)) for each in range(count)) + b"]"


@cache
def _none() -> Numbers:
    return Numbers()


def findNumbers(data: bytes) -> Numbers:
    """The events in a part of a stream that ends where one of them ends.

    Raises `BadStream` if one is missing, comes twice, is cut, or if the server says that it has left any out.

    >>> findNumbers(b'data: {"number":7,"note":"a note of the bench"}').first
    Traceback (most recent call last):
    ...
    benchmarks.web.payload.BadStream: 1 events, 0 of them whole
    """
    found = [int(each) for each in _NUMBER.findall(data)]
    if (foreign := FOREIGN.search(data)) is not None:
        raise BadStream(f"the server says {foreign[1].decode()}")
    if not found:
        return _none()
    if data.count(_TAIL) != len(found):
        raise BadStream(f"{len(found)} events, {data.count(_TAIL)} of them whole")
    if found != list(range(found[0], found[0] + len(found))):
        raise BadStream(f"{found[:5]} ... follow each other")
    return Numbers(found[0], found[-1])
