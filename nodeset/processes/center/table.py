"""How each watched program is, as far as a center heard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from nodeset.processes.center.lines import fieldsOf, namesOf
from nodeset.processes.events import ProcessState, ProcessStats
from nodeset.processes.states import OVER, State

__all__ = ["COLUMNS", "MISSED", "Table"]

#: Intervals without a word after which nobody knows how a program is.
MISSED: Final = 3
#: Seconds for which a program that is over is still listed.
_KEPT: Final = 3600.0
#: The longest interval that is believed, in seconds: who names a longer one would be listed as well for ever.
_LONGEST: Final = 86400.0
#: Characters of a text, those of all texts of a list that are kept.
_TEXT: Final = 256
_TEXTS: Final = 4096
#: Characters of all texts of all rows: ten times those of ten thousand usual ones; what a text weighs beside these.
_WEIGHT: Final = 32 * 1024 * 1024
_EACH: Final = 32

#: What every row begins with.
_FIRST: Final = (
    "center",
    "uuid",
    "name",
    "pid",
    "state_name",
    "cmdline",
    "cpu_percent",
    "memory_percent",
    "username",
    "uptime",
)
#: The columns of every row, in their order.
COLUMNS: Final = (*_FIRST, *(each for each in namesOf(ProcessStats) if each not in _FIRST))


@attrs.define(eq=False)
class _Row:
    """One program: what it told when it was heard last; `deadline` is when it should have told more, None for never."""

    stream: str
    cells: dict[str, Any]
    heard: float
    deadline: float | None
    is_over: bool
    weight: int

    def isLate(self, now: float) -> bool:
        return self.deadline is not None and now > self.deadline


class Table:
    """Programs by uuid. Time is in seconds of a clock that never goes back.

    :param center: the name of the center that keeps it.
    :param most: programs that are listed at most; beyond that those that are over go first, then those unheard for longest.
    :param weight: characters of their texts; the same goes for more.
    """

    def __init__(self, center: str, most: int = 10_000, weight: int = _WEIGHT) -> None:
        self._center, self._most, self._most_weight = center, most, weight
        self._weight = 0
        #: In the order in which they were heard last, those that are over apart.
        self._live: dict[str, _Row] = {}
        self._over: dict[str, _Row] = {}
        #: Rows that made room for others, events of somebody who used another's uuid.
        self.evicted = self.foreign = 0

    def __len__(self) -> int:
        return len(self._live) + len(self._over)

    def heard(self, name: str, msg: ProcessState, stream: str, now: float) -> None:
        """The program of this name tells its state, in this stream of its publisher.

        While the row of this uuid is another stream's, who is heard in time, it stays as it is.
        """
        uuid = msg.uuid
        known = self._live.get(uuid) or self._over.get(uuid)
        if known is not None and known.stream != stream and not (known.is_over or known.isLate(now)):
            self.foreign += 1
            return
        for rows in (self._live, self._over):
            if uuid in rows:
                self._drop(rows, uuid)
        told = {each: _cut(value) for each, value in fieldsOf(msg).items()}
        told["name"] = name
        # A state without figures leaves the last ones standing, unless they are another process's.
        before = known.cells if known is not None and known.cells.get("pid") == told["pid"] else {}
        cells = {**before, **told}
        is_over = msg.state in OVER
        interval = min(msg.interval, _LONGEST)
        deadline = now + MISSED * interval if interval > 0 and not is_over else None
        row = _Row(stream, cells, now, deadline, is_over, sum(map(_weigh, cells.values())))
        (self._over if is_over else self._live)[uuid] = row
        self._weight += row.weight
        self._makeRoom(now)

    def _drop(self, rows: dict[str, _Row], uuid: str) -> None:
        self._weight -= rows.pop(uuid).weight

    def _makeRoom(self, now: float) -> None:
        while self._over and now - next(iter(self._over.values())).heard > _KEPT:
            self._drop(self._over, next(iter(self._over)))
        while len(self) > self._most or self._weight > self._most_weight:
            rows = self._over or self._live
            self._drop(rows, next(iter(rows)))
            self.evicted += 1

    def rows(self, now: float) -> Iterator[dict[str, Any]]:
        """A row of `COLUMNS` for each program, the live ones first, by name; UNKNOWN is who was silent for too long."""
        self._makeRoom(now)
        live = sorted(self._live.values(), key=lambda row: (row.cells["name"], row.cells["uuid"]))
        for row in [*live, *self._over.values()]:
            yield self._tell(row, now)

    def _tell(self, row: _Row, now: float) -> dict[str, Any]:
        told = {name: row.cells.get(name) for name in COLUMNS}
        told["center"] = told["center"] or self._center
        if told["pid"] is not None and not row.is_over and not row.isLate(now):
            told["uptime"] = row.cells["uptime"] + now - row.heard
        if row.isLate(now):
            was = row.cells["state_name"]
            told["state"], told["state_name"] = int(State.UNKNOWN), State.UNKNOWN.name
            told["reason"] = f"nothing was heard of it for {now - row.heard:.0f} s, it was {was}"
            # What it did when it was heard says nothing of now.
            told["cpu_percent"] = told["memory_percent"] = None
        return told

    def counts(self, now: float) -> Mapping[str, int]:
        """How many programs are in each state, by its name."""
        found: dict[str, int] = {}
        for row in self.rows(now):
            found[row["state_name"]] = found.get(row["state_name"], 0) + 1
        return found


def _cut(value: object) -> object:
    """The same, bounded."""
    if isinstance(value, str):
        return value if len(value) <= _TEXT else f"{value[:_TEXT]}…"
    if isinstance(value, list):
        kept: list[object] = []
        left = _TEXTS
        for each in map(_cut, value):
            left -= 8 + (len(each) if isinstance(each, str) else 0)
            if left < 0:
                return [*kept, "…"]
            kept.append(each)
        return kept
    return value


def _weigh(value: object) -> int:
    if isinstance(value, list):
        return sum(map(_weigh, value))
    return _EACH + len(value) if isinstance(value, str) else 0
