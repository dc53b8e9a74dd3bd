"""What is asked of every web server, with the bars."""

from __future__ import annotations

from typing import Final

import attrs
import msgspec

from benchmarks.rows import Bar

__all__ = ["BARS", "WORKS", "Job", "Order"]

_ALL: Final = ("nodeset", "fastapi", "nchan")
#: One event in each request leaves a server nothing to join.
_FANS: Final = ("fan1", "fan100", "fan1000", "single100", "single1000")
_TWO: Final = ("nodeset", "fastapi")


class Order(msgspec.Struct, frozen=True):
    """What the load does.

    :param kind: `fan` (clients follow, one connection publishes), `idle` (clients more that follow and get nothing), `churn`
        (clients that come and go), `post` (wrk publishes).
    :param clients: clients that follow; connections of wrk.
    :param batch: events in each request.
    :param window: the most events that are published but not yet with every client.
    :param publishers: connections that publish, each of which waits for its answer before it goes on.
    :param rate: events a second while latency is measured, one in each request.
    """

    kind: str
    clients: int
    batch: int = 1
    window: int = 1
    publishers: int = 1
    rate: int = 0


@attrs.frozen
class Job:
    """A work with its name, its unit, the systems that do it."""

    name: str
    title: str
    unit: str
    systems: tuple[str, ...]
    order: Order


#: Everything that is run.
WORKS: Final = (
    # nchan loses events of a channel beyond 32,768 within a second.
    Job("fan1", "deliveries/s to 1 SSE client", "/s", _TWO, Order("fan", 1, 100, 400, 4, 200)),
    Job("fan100", "deliveries/s to 100 SSE clients", "/s", _ALL, Order("fan", 100, 25, 100, 4, 100)),
    Job("fan1000", "deliveries/s to 1,000 SSE clients", "/s", _ALL, Order("fan", 1000, 25, 100, 4, 20)),
    Job("single100", "to 100, one event a request", "/s", _ALL, Order("fan", 100, 1, 4, 4)),
    Job("single1000", "to 1,000, one event a request", "/s", _ALL, Order("fan", 1000, 1, 4, 4)),
    Job("post", "publishes/s, one a request", "/s", _ALL, Order("post", 16)),
    Job("batch", "publishes/s, 100 a request", "/s", _TWO, Order("post", 16, 100)),
    Job("idle", "server, an idle SSE client", "KiB", _ALL, Order("idle", 1000)),
    Job("churn", "server, after 5,000 clients came and went", "MiB", _ALL, Order("churn", 5000)),
)

BARS: Final = (
    *(
        Bar(work, work, system, 1.0 if system == "fastapi" else 0.0, 2.0)
        for work in _FANS
        for system in _ALL[1:]
        if system != "nchan" or work != "fan1"
    ),
    *(
        Bar(work, work, "fastapi", figure=figure, above=False)
        for work in ("fan1", "fan100", "fan1000")
        for figure in ("p50", "p99")
    ),
    Bar("post", "post", "fastapi", 0.6, 1.0),
    Bar("post", "post", "nchan"),
    Bar("batch", "batch", "fastapi", 1.0, 2.0),
    Bar("idle", "", "", 64, 32, above=False),
    *(Bar("idle", "idle", system, above=False) for system in _ALL[1:]),
)
