"""The events of a monitor: what it is asked by, what it publishes."""

from __future__ import annotations

from typing import Any, Final

from nodeset.core.figures.reading import plain
from nodeset.core.message import NodeMessage
from nodeset.monitor.overview import Overview
from nodeset.monitor.totals import quantile

__all__ = ["NOTIFY", "STATS", "Notify", "Stats", "fieldsOf", "lineOf"]

#: Whoever publishes this event wants to be told the figures at once.
NOTIFY: Final = "notify"
#: What they are published as.
STATS: Final = "nodeset.stats"
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


class Notify(NodeMessage):
    """A question to all monitors. `reply_to` is the node that is to be told, `name` or `name@host`; empty is all that subscribe
    to the answer. Any other message will do as well.
    """

    reply_to: str = ""


class Stats(NodeMessage):
    """The figures of a dispatcher. Times are in seconds, sizes in bytes; what is not known is None.

    `published`, `delivered` and `drops` (by reason) count events since the monitor first saw the dispatcher, restarts included,
    `events_per_second`, `deliveries_per_second`, `drops_per_second` are of the time since the last look. `delivery_p50`,
    `delivery_p99`, `round_trip_p99` are upper bounds of the times in that interval. `pending` events wait for an answer.
    `queued_events` wait at the dispatcher for their subscribers. `lag` is the greatest lateness of the dispatcher's reactor in
    the last minute.
    """

    site: str
    version: str
    uptime: float
    wall: float
    nodes: int
    subscriptions: int
    pending: int
    published: int
    delivered: int
    drops: dict[str, int]
    events_per_second: float
    deliveries_per_second: float
    drops_per_second: float
    delivery_p50: float | None
    delivery_p99: float | None
    round_trip_p99: float | None
    lag: float | None
    queued_events: int
    queued_bytes: int
    rss: int | None
    fds: int | None
    max_fds: int | None


def fieldsOf(overview: Overview) -> dict[str, Any]:
    """The fields of a `Stats`; `overview` must have a reading."""
    reading = overview.reading
    assert reading is not None, "there is nothing to tell yet"
    totals, rows = overview.counters.totals, overview.labels.rows.values()
    events, deliveries, drops = (round(rate, 3) for rate in overview.rates)
    return {
        "site": plain(reading.site),
        "version": plain(reading.version),
        "uptime": round(reading.uptime, 3),
        "wall": round(reading.wall, 3),
        "nodes": reading.counters.get("nodes", 0),
        "subscriptions": reading.counters.get("subs", 0),
        "pending": reading.counters.get("pending", 0),
        "published": totals.get("published", 0),
        "delivered": totals.get("pubs", 0),
        "drops": {plain(reason): count for reason, count in overview.drops.totals.items()},
        "events_per_second": events,
        "deliveries_per_second": deliveries,
        "drops_per_second": drops,
        "delivery_p50": _finite(quantile(overview.recent_delivery, 0.5)),
        "delivery_p99": _finite(quantile(overview.recent_delivery, 0.99)),
        "round_trip_p99": _finite(quantile(overview.recent_round_trip, 0.99)),
        "lag": reading.lag,
        "queued_events": sum(row.queued_events for row in rows),
        "queued_bytes": sum(row.queued_bytes for row in rows),
        "rss": reading.rss,
        "fds": reading.fds,
        "max_fds": reading.max_fds,
    }


def _finite(seconds: float | None) -> float | None:
    # JSON has no infinity; over the last bound is an hour.
    return seconds if seconds is None or seconds < 3600 else 3600.0


def lineOf(fields: dict[str, Any]) -> str:
    """The same in one line for people."""
    parts = [
        f"{fields['site']}",
        f"nodes {fields['nodes']}",
        f"events/s {_rate(fields['events_per_second'])}",
        f"deliveries/s {_rate(fields['deliveries_per_second'])}",
        f"drops/s {_rate(fields['drops_per_second'])}",
        f"pending {fields['pending']}",
        f"queued {fields['queued_events']}",
        f"p99 {_time(fields['delivery_p99'])}",
        f"lag {_time(fields['lag'])}",
        f"rss {_size(fields['rss'])}",
    ]
    return "  ".join(parts)


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 or rate == 0 else f"{rate:.1f}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _size(size: float | None) -> str:
    if size is None:
        return "-"
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
