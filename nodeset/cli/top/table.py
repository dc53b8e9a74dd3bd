"""The lines of a frame, cut to the place that there is for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from rich.cells import cell_len, set_cell_size

from nodeset.cli.top.rates import Frame, Row
from nodeset.cli.top.words import lasting, number, size, sparkline, took
from nodeset.core.figures.reading import plain

__all__ = ["COLUMNS", "SORTS", "Line", "Order", "View", "arrange", "header", "table"]

#: One line: texts with the names of their styles, which are `dim`, `bold`, `good`, `warn`, `bad` or empty.
Line = list[tuple[str, str]]

_STATES: Final = {"up": "good", "slow": "warn", "suspect": "bad"}
_NAME: Final = 12
_MOST_NAME: Final = 40
#: Reasons of drops that are shown.
_REASONS: Final = 6


@attrs.frozen
class Column:
    """One column of the table, `width` cells wide; `place` says which go first where there is little room."""

    title: str
    width: int
    place: int
    show: Callable[[Row], str]
    value: Callable[[Row], Any]


#: By the names that --sort takes.
COLUMNS: Final[dict[str, Column]] = {
    "node": Column("node", _NAME, 0, lambda row: plain(row.node.name), lambda row: row.node.name),
    "state": Column("state", 7, 4, lambda row: plain(row.node.state), lambda row: row.node.state),
    "latency": Column("latency", 7, 5, lambda row: took(row.node.latency), lambda row: row.node.latency),
    "published": Column("pub/s", 7, 1, lambda row: number(row.published), lambda row: row.published),
    "delivered": Column("dlv/s", 7, 2, lambda row: number(row.delivered), lambda row: row.delivered),
    "queued": Column("queued", 7, 3, lambda row: number(row.node.queued_events), lambda row: row.node.queued_events),
    "bytes": Column("bytes", 6, 8, lambda row: size(row.node.queued_bytes), lambda row: row.node.queued_bytes),
    "calls": Column("calls", 6, 7, lambda row: number(row.node.calls_running), lambda row: row.node.calls_running),
    "drops": Column("drops", 6, 6, lambda row: number(row.node.dropped), lambda row: row.node.dropped),
}
SORTS: Final = tuple(COLUMNS)


@attrs.frozen
class Order:
    """By which column, whether turned round: names come in order, figures with the largest first."""

    key: str = "delivered"
    turned: bool = False

    def next(self, step: int) -> Order:
        """By another column."""
        return Order(SORTS[(SORTS.index(self.key) + step) % len(SORTS)])

    def apply(self, rows: Sequence[Row]) -> list[Row]:
        """The rows in this order; those that have no such figure come last, those that have the same by their names."""
        value = COLUMNS[self.key].value
        known = sorted((row for row in rows if value(row) is not None), key=lambda row: (row.node.name, row.node.stream))
        known.sort(key=value, reverse=(self.key not in ("node", "state")) != self.turned)
        return known + sorted((row for row in rows if value(row) is None), key=lambda row: row.node.name)


@attrs.frozen
class View:
    """What is looked at how.

    :ivar order: of the nodes.
    :ivar trouble: why what is shown is old; empty if it is not.
    :ivar paused: whether it stands still because that was asked for.
    :ivar asks: seconds between two frames, where that is more than was asked for; 0 else.
    """

    order: Order = Order()
    trouble: str = ""
    paused: bool = False
    asks: float = 0.0


def header(frame: Frame | None, history: Sequence[float], view: View, width: int, most: int) -> list[Line]:
    """What is told of the dispatcher, in `most` lines at most. What comes first is what one wants to know first."""
    lines: list[Line] = []
    if view.trouble:
        lines.append([(cut(view.trouble, width), "bad")])
    if frame is None:
        return lines
    if view.paused:
        lines.append([(cut("paused: p goes on", width), "warn")])
    found = frame.figures
    who = [plain(found.site)[:60] if found.site else "dispatcher", plain(found.version)[:20]]
    first = [
        " ".join(filter(None, who)),
        f"up {lasting(found.uptime or None)}",
        f"{len(frame.rows)} node{'s' * (len(frame.rows) != 1)}",
    ]
    if view.asks:
        first.append(f"asked every {view.asks:.0f}s")
    bars = sparkline(history, min(30, width - 27))
    flow = [f"in {number(frame.published)}/s", f"out {number(frame.delivered)}/s", *([bars] if bars else [])]
    delays = [f"p50 {took(frame.p50)}", f"p99 {took(frame.p99)}", f"pending {number(frame.pending)}"]
    rest = [
        f"calls {number(frame.calls)}/s",
        f"bytes in {size(frame.bytes_in)}/s out {size(frame.bytes_out)}/s",
        f"RSS {size(found.rss)}",
        f"lag {took(found.lag)}",
    ]
    drops = _drops(frame)
    groups = [first, flow, delays, *([drops] if drops else []), rest]
    room = most - len(lines)
    packed = _pack(groups, width, room, "dim" if view.trouble else "")
    if drops and not view.trouble:
        packed = [[(text, "warn" if text.startswith("dropped") else style) for text, style in line] for line in packed]
    return lines + packed


def _drops(frame: Frame) -> list[str]:
    """How many were dropped in all, by reason."""
    kinds = sorted(((count, reason) for reason, count in frame.drops.items() if count), reverse=True)
    if not kinds:
        return []
    shown = [f"{plain(reason)[:20]} {number(count)}" for count, reason in kinds[:_REASONS]]
    more = f", {len(kinds) - _REASONS} more" if len(kinds) > _REASONS else ""
    return [f"dropped {number(frame.dropped)}/s ({', '.join(shown)}{more})"]


def _pack(groups: Sequence[Sequence[str]], width: int, most: int, style: str) -> list[Line]:
    """Groups of texts in lines: with room enough each has its own, with little they follow each other."""
    flat = len(groups) > most
    lines: list[str] = []
    for group in groups:
        fresh = not flat
        for text in group:
            joined = f"{lines[-1]}  {text}" if lines and not fresh else ""
            if joined and cell_len(joined) <= width:
                lines[-1] = joined
            else:
                lines.append(text)
            fresh = False
    return [[(cut(line, width), style)] for line in lines[: max(0, most)]]


def cut(text: str, width: int) -> str:
    """A text in at most so many cells of a terminal."""
    if cell_len(text) <= width:
        return text
    return f"{set_cell_size(text, width - 1).rstrip()}…" if width > 1 else set_cell_size(text, max(0, width))


def table(rows: Sequence[Row], order: Order, width: int, height: int, stale: bool = False) -> list[Line]:
    """The head and the nodes in this order, in so many lines of so many cells; the last tells how many are left out."""
    if height < 2:
        return []
    keys = chooseColumns(width, order.key)
    room = height - 1
    ordered = order.apply(rows)
    shown = ordered if len(ordered) <= room else ordered[: room - 1]
    rest = sum(COLUMNS[key].width + 1 for key in keys if key != "node")
    longest = max((cell_len(COLUMNS["node"].show(row)) for row in shown), default=_NAME)
    name = max(1, min(width - rest, max(_NAME, longest), _MOST_NAME if width < 120 else 2 * _MOST_NAME))
    lines = [_line([(key, _title(key, order), "bold") for key in keys], name)]
    for row in shown:
        lines.append(_line([(key, COLUMNS[key].show(row), "dim" if stale else _style(key, row)) for key in keys], name))
    if len(shown) < len(ordered):
        lines.append([(cut(f"... {len(ordered) - len(shown):,} more", width), "dim")])
    return lines


def chooseColumns(width: int, sorted_by: str) -> list[str]:
    """The columns that there is room for, in their order; the one that is sorted by goes before others."""
    wanted = sorted(COLUMNS, key=lambda key: (key != "node", key != sorted_by, COLUMNS[key].place))
    chosen, left = set[str](), width + 1
    for key in wanted:
        left -= COLUMNS[key].width + 1
        if left < 0 and chosen:
            break
        chosen.add(key)
    return [key for key in COLUMNS if key in chosen]


def _title(key: str, order: Order) -> str:
    return f"{COLUMNS[key].title}{'^' if order.turned else '*'}" if key == order.key else COLUMNS[key].title


def _line(cells: Sequence[tuple[str, str, str]], name: int) -> Line:
    """Cells, each with its column and its style, side by side."""
    line: Line = []
    for key, text, style in cells:
        gap = " " if line else ""
        wide = name if key == "node" else COLUMNS[key].width
        shown = cut(text, wide)
        pad = " " * (wide - cell_len(shown))
        left = key in ("node", "state")
        line.append((f"{gap}{shown}{pad}" if left else f"{gap}{pad}{shown}", style))
    return line


def _style(key: str, row: Row) -> str:
    match key:
        case "state":
            return _STATES.get(row.node.state, "")
        case "queued" | "bytes" | "calls" | "drops" if not COLUMNS[key].value(row):
            return "dim"
        case "drops":
            return "warn"
        case _:
            return ""


def arrange(frame: Frame | None, history: Sequence[float], view: View, width: int, height: int) -> list[Line]:
    """A whole frame, in `height` lines of `width` cells at most."""
    width, height = max(1, width), max(1, height)
    rows = frame.rows if frame is not None else []
    top = header(frame, history, view, width, height if not rows else max(1, min(9, height // 3)))
    left = height - len(top)
    body = table(rows, view.order, width, left if left < 4 else left - 1, bool(view.trouble)) if rows else []
    return top + ([[]] if body and left >= 4 else []) + body
