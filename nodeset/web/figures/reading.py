"""Two readings of a dispatcher made into what a page shows."""

from __future__ import annotations

from typing import Final

import msgspec

from nodeset.core.figures.rates import Quantile, continues, gained, quantileOf, subtract
from nodeset.core.figures.reading import Reading, plain
from nodeset.web.figures.busiest import NodeRow, Sight

__all__ = ["Sample", "Snapshot", "sampleOf", "snapshotOf"]


#: Rates, with the dispatcher's counters that they are of.
_COUNTERS: Final = {"published": "published", "delivered": "pubs", "calls": "calls"}


class Sample(msgspec.Struct, frozen=True):
    """How much was going on, `at` Unix time; rates are per second, times in seconds, None is not known.

    `published`, `delivered`, `dropped` count events, `p50`, `p99` are of what deliveries took, `rtt50`, `rtt99` of pings of
    nodes, each since the sample before. `queued_events`, `queued_bytes` wait at the dispatcher. `lag` is the greatest lateness
    of the dispatcher's reactor in the last minute.
    """

    at: float
    linked: bool
    published: float | None = None
    delivered: float | None = None
    dropped: float | None = None
    calls: float | None = None
    p50: float | None = None
    p99: float | None = None
    rtt50: float | None = None
    rtt99: float | None = None
    queued_events: int | None = None
    queued_bytes: int | None = None
    nodes: int | None = None
    lag: float | None = None
    rss: int | None = None


class Snapshot(msgspec.Struct, frozen=True):
    """What is there, `at` Unix time.

    `reason` says why the dispatcher does not answer, or what of it cannot be told although it does. `drops` are those since the
    dispatcher was started, `more_nodes` so many that are there beside those that are listed.
    """

    at: float
    linked: bool
    reason: str = ""
    site: str = ""
    version: str = ""
    uptime: float | None = None
    drops: dict[str, int] = {}
    more_nodes: int = 0
    nodes: list[NodeRow] = []


def sampleOf(at: float, before: Reading | None, now: Reading, sight: Sight | None) -> Sample:
    """What `now` says, after what was told `before`; after another start of the dispatcher nothing can be compared.

    :param sight: the nodes as they were last seen, if all were.
    """
    whole = sight if sight is not None and sight.whole else None
    level = Sample(
        at,
        True,
        queued_events=None if whole is None else whole.queued_events,
        queued_bytes=None if whole is None else whole.queued_bytes,
        nodes=now.counters.get("nodes"),
        lag=None if now.lag is None else round(now.lag, 6),
        rss=now.rss,
    )
    seconds = 0.0 if before is None else now.uptime - before.uptime
    if before is None or seconds <= 0 or not continues(before, now):
        return level
    deliveries, pings = subtract(before.delivery, now.delivery), subtract(before.round_trip, now.round_trip)
    times = {
        "p50": _seconds(quantileOf(deliveries, 0.5)),
        "p99": _seconds(quantileOf(deliveries, 0.99)),
        "rtt50": _seconds(quantileOf(pings, 0.5)),
        "rtt99": _seconds(quantileOf(pings, 0.99)),
    }
    rates = {}
    if now.counters:  # an older dispatcher that tells none has not counted zero
        rates = {name: round(gained(before, now, counter, seconds), 3) for name, counter in _COUNTERS.items()}
        rates["dropped"] = round((sum(now.drops.values()) - sum(before.drops.values())) / seconds, 3)
    return msgspec.structs.replace(level, **times, **rates)


def _seconds(found: Quantile | None) -> float | None:
    return None if found is None else round(found.seconds, 6)


def snapshotOf(at: float, now: Reading, sight: Sight | None, reason: str = "") -> Snapshot:
    """What is there, by what was told last."""
    rows = [] if sight is None else sight.rows
    count = now.counters.get("nodes", 0 if sight is None else sight.count)
    drops = {plain(reason): dropped for reason, dropped in now.drops.items()}
    return Snapshot(
        at,
        True,
        reason,
        plain(now.site),
        plain(now.version),
        round(now.uptime, 3),
        drops,
        max(0, count - len(rows)),
        rows,
    )
