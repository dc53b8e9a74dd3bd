"""Two snapshots made into rates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from nodeset.cli.top.snapshot import NodeSample, Snapshot
from nodeset.core.figures.rates import Quantile, continues, gained, quantileOf, subtract
from nodeset.core.figures.reading import Reading

__all__ = ["Frame", "Row", "compare"]

_BLANK = Reading()


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
    rates = {
        name: gained(before, figures, name, seconds) if before is not None and seconds else None
        for name in ("published", "pubs", "bytes_in", "bytes_out", "calls")
    }
    steps = subtract(before.delivery if before is not None else None, figures.delivery)
    dropped = (sum(figures.drops.values()) - sum(before.drops.values())) / seconds if before is not None and seconds else None
    return Frame(
        figures,
        rows,
        seconds,
        rates["published"],
        rates["pubs"],
        rates["bytes_in"],
        rates["bytes_out"],
        rates["calls"],
        dropped,
        quantileOf(steps, 0.5),
        quantileOf(steps, 0.99),
        figures.counters.get("pending"),
        figures.drops,
    )


def _continues(old: Snapshot, new: Snapshot) -> bool:
    """Whether both are of the same start of the dispatcher, as far as one can tell."""
    if (old.figures is None) != (new.figures is None) or new.at <= old.at:
        return False
    return old.figures is None or new.figures is None or continues(old.figures, new.figures)


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
