"""Two snapshots made into rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import attrs

from nodeset.cli.top.snapshot import NodeSample, Snapshot
from nodeset.monitor.reading import Reading, Spread

__all__ = ["Frame", "Quantile", "Row", "compare", "quantile"]

_BLANK = Reading()


@attrs.frozen
class Quantile:
    """So many seconds; `beyond` says: or more, since it lies above the last bound of its histogram."""

    seconds: float
    beyond: bool = False


@attrs.frozen
class Row:
    """A node with what it does in a second; None where that is not known yet."""

    node: NodeSample
    published: float | None = None
    delivered: float | None = None


@attrs.frozen
class Frame:
    """What is shown at one moment: rates are per second, of the time since the frame before; None is not known.

    :ivar published: events that came in; `delivered` those that went out.
    :ivar dropped: events that were dropped; `drops` is how many since the dispatcher started, by reason.
    :ivar p50: of what deliveries took since the frame before.
    """

    figures: Reading
    rows: list[Row]
    seconds: float | None = None
    published: float | None = None
    delivered: float | None = None
    bytes_in: float | None = None
    bytes_out: float | None = None
    calls: float | None = None
    dropped: float | None = None
    p50: Quantile | None = None
    p99: Quantile | None = None
    pending: int | None = None
    drops: dict[str, int] = attrs.field(factory=dict)


def compare(old: Snapshot | None, new: Snapshot) -> Frame:
    """What `new` shows after `old`. After another start of the dispatcher nothing can be compared: it counts from nothing."""
    if old is not None and not _continues(old, new):
        old = None
    figures = new.figures or _BLANK
    rows = _rows(old, new)
    if new.figures is None:
        published, delivered = _total([row.published for row in rows]), _total([row.delivered for row in rows])
        return Frame(figures, rows, None, published, delivered, drops=_noReasons(new.nodes))
    before = old.figures if old is not None else None
    seconds = _between(old, new)
    now, past = figures.counters, before.counters if before is not None else {}
    gained = {
        name: (now.get(name, 0) - past.get(name, 0)) / seconds if seconds else None
        for name in ("published", "pubs", "bytes_in", "bytes_out", "calls")
    }
    steps = _subtract(before.delivery if before is not None else None, figures.delivery)
    dropped = (sum(figures.drops.values()) - sum(before.drops.values())) / seconds if before is not None and seconds else None
    return Frame(
        figures,
        rows,
        seconds,
        gained["published"],
        gained["pubs"],
        gained["bytes_in"],
        gained["bytes_out"],
        gained["calls"],
        dropped,
        _quantileOf(steps, 0.5),
        _quantileOf(steps, 0.99),
        now.get("pending"),
        figures.drops,
    )


def _continues(old: Snapshot, new: Snapshot) -> bool:
    """Whether both are of the same start of the dispatcher, as far as one can tell."""
    if (old.figures is None) != (new.figures is None) or new.at <= old.at:
        return False
    if old.figures is None or new.figures is None:
        return True
    before, after = old.figures, new.figures
    if before.boot != after.boot or before.uptime > after.uptime:
        return False
    # Those that also fall as time goes by stand at a level, they count nothing.
    counting = before.counters.keys() - {"subs", "nodes", "pending"}
    return all(after.counters.get(name, 0) >= before.counters[name] for name in counting) and all(
        after.drops.get(name, 0) >= count for name, count in before.drops.items()
    )


def _between(old: Snapshot | None, new: Snapshot) -> float | None:
    """Seconds between the two, by the dispatcher's own clock where it tells: its answers may be late."""
    if old is None:
        return None
    before, after = old.figures, new.figures
    if before is not None and after is not None and after.uptime > before.uptime:
        return after.uptime - before.uptime
    return new.at - old.at


def _rows(old: Snapshot | None, new: Snapshot) -> list[Row]:
    before = {node.stream: node for node in old.nodes} if old is not None else {}
    seconds = new.at - old.at if old is not None else 0.0
    rows = []
    for node in new.nodes:
        past = before.get(node.stream)
        if past is None or past.published > node.published or past.delivered > node.delivered:
            rows.append(Row(node))
        else:
            rows.append(
                Row(node, (node.published - past.published) / seconds, (node.delivered - past.delivered) / seconds),
            )
    return rows


def _total(rates: list[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return math.fsum(known) if known else None


def _noReasons(nodes: Sequence[NodeSample]) -> dict[str, int]:
    dropped = sum(node.dropped for node in nodes)
    return {"all": dropped} if dropped else {}


def _subtract(old: Spread | None, new: Spread | None) -> Spread | None:
    """What came between the two; None where they do not go together."""
    if old is None or new is None or old.bounds != new.bounds or len(old.counts) != len(new.counts):
        return None
    return Spread(new.bounds, [after - before for before, after in zip(old.counts, new.counts, strict=True)])


def _quantileOf(spread: Spread | None, share: float) -> Quantile | None:
    return quantile(spread.bounds, spread.counts, share) if spread is not None else None


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> Quantile | None:
    """The value that `share` of all are not above, taking those of a bucket as spread evenly; None of nothing, or of nonsense.

    >>> quantile([0.1, 0.2], [0, 10, 0], 0.5), quantile([0.1], [0, 3], 0.5), quantile([0.1], [0, 0], 0.5)
    (Quantile(seconds=0.15000000000000002, beyond=False), Quantile(seconds=0.1, beyond=True), None)
    """
    total = sum(counts)
    rising = all(low < high for low, high in pairwise(bounds))
    if not bounds or len(counts) != len(bounds) + 1 or min(counts) < 0 or not total or not rising or bounds[0] < 0:
        return None
    rank, below = share * total, 0
    for index, bound in enumerate(bounds):
        count = counts[index]
        if count and below + count >= rank:
            lower = bounds[index - 1] if index else 0.0
            return Quantile(lower + (bound - lower) * max(0.0, rank - below) / count)
        below += count
    return Quantile(bounds[-1], beyond=True)
