"""What a dispatcher told of itself at one moment."""

from __future__ import annotations

import attrs
import msgspec

from nodeset.errors import ProtocolError

__all__ = ["Figures", "Histogram", "NodeSample", "Snapshot", "readFigures"]


class Histogram(msgspec.Struct, frozen=True):
    """How many took how long: `counts[i]` took at most `bounds[i]` seconds, the last one longer than all of them."""

    bounds: list[float]
    counts: list[int]
    sum: float = 0.0


class Figures(msgspec.Struct, frozen=True):
    """What the dispatcher's method `stats` tells; an older dispatcher leaves things out.

    :ivar boot: names this start of the dispatcher.
    :ivar uptime: seconds; `lag` too.
    """

    site: str = ""
    boot: str = ""
    version: str = ""
    uptime: float | None = None
    rss: int | None = None
    lag: float | None = None
    counters: dict[str, int] = {}
    drops: dict[str, int] = {}
    delivery: Histogram | None = None


@attrs.frozen
class NodeSample:
    """What was told of one node; `stream` names this start of it, the numbers are since then."""

    stream: str
    name: str
    state: str = ""
    latency: float | None = None
    published: int = 0
    delivered: int = 0
    queued_events: int = 0
    queued_bytes: int = 0
    calls_running: int = 0
    dropped: int = 0


@attrs.frozen
class Snapshot:
    """Everything that was told, `at` so many seconds of our own clock; `figures` is None where there is no such method."""

    at: float
    figures: Figures | None
    nodes: list[NodeSample]


def readFigures(told: object) -> Figures:
    """The answer of `stats`. Raises `ProtocolError` for one that makes no sense; what is missing is no reason."""
    try:
        return msgspec.convert(told, Figures)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"the dispatcher's answer about itself makes no sense: {error}") from None
