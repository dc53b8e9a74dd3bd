"""What a dispatcher, or a node, tells of itself, checked before anything is made of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Final

import msgspec

from nodeset.errors import ProtocolError

__all__ = ["NodeFigures", "Reading", "Spread", "plain", "readFigures", "readStats"]

#: Counters, reasons, ranges that are taken of one answer; a dispatcher has some forty.
_MOST: Final = 128
_LONGEST: Final = 255

_Text = Annotated[str, msgspec.Meta(max_length=1000)]
_Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
_Moment = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]
_Counts = Annotated[dict[Annotated[str, msgspec.Meta(max_length=100)], _Natural], msgspec.Meta(max_length=_MOST)]


class Spread(msgspec.Struct, frozen=True):
    """How long things took: `counts` by upper `bounds` in seconds, one more than these; `sum` of all."""

    bounds: Annotated[list[_Seconds], msgspec.Meta(max_length=64)] = []
    counts: Annotated[list[_Natural], msgspec.Meta(max_length=65)] = []
    sum: _Seconds = 0.0


class Reading(msgspec.Struct, frozen=True):
    """The figures of a dispatcher at one time; see `Figures.told`. What an older one does not tell has these defaults."""

    site: _Text = ""
    boot: _Text = ""
    version: _Text = ""
    protocol: _Natural = 0
    uptime: _Seconds = 0.0
    wall: _Moment = 0.0
    rss: _Natural | None = None
    fds: _Natural | None = None
    max_fds: _Natural | None = None
    max_nodes: _Natural | None = None
    max_message: _Natural | None = None
    lag: _Seconds | None = None
    counters: _Counts = {}
    drops: _Counts = {}
    delivery: Spread = Spread()
    round_trip: Spread = Spread()


class NodeFigures(msgspec.Struct, frozen=True):
    """The figures of a node at one time; see `Peer.figures`."""

    version: _Text = ""
    uptime: _Seconds = 0.0
    lag: _Seconds = 0.0
    rss: _Natural | None = None
    subscriptions: _Natural = 0
    counters: _Counts = {}


def readStats(told: Any) -> Reading:
    """What a dispatcher told by its method `stats`. Raises `ProtocolError` when it makes no sense."""
    try:
        reading = msgspec.convert(told, Reading, strict=False)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"the dispatcher's figures make no sense: {error}") from None
    for spread in (reading.delivery, reading.round_trip):
        rises = all(lower < upper for lower, upper in pairwise(spread.bounds))
        if not rises or len(spread.counts) != (len(spread.bounds) + 1 if spread.bounds else 0):
            raise ProtocolError("the dispatcher's figures make no sense: the ranges of a histogram do not fit")
    return reading


def readFigures(told: Any) -> NodeFigures | None:
    """What a node told by its method `nodeset.figures`; None when it makes no sense: nodes are not to be trusted."""
    try:
        return msgspec.convert(told, NodeFigures, strict=False)
    except msgspec.ValidationError:
        return None


def plain(text: str) -> str:
    """A name from elsewhere as it may be printed: one line that is UTF-8, of a bounded length."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else "?" for each in text[:_LONGEST])
    return text[:_LONGEST]
