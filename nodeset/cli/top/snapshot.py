"""What a dispatcher told of itself at one moment."""

from __future__ import annotations

import attrs

from nodeset.core.figures.reading import Reading

__all__ = ["NodeSample", "Snapshot"]


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
    figures: Reading | None
    nodes: list[NodeSample]
