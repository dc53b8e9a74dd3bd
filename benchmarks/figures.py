"""Runs made into medians, medians compared with the bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

import attrs

from benchmarks.rows import Bar
from benchmarks.scene import Run

__all__ = ["Figure", "Verdict", "judge", "sumUp"]


@attrs.frozen
class Figure:
    """The good runs of one system at one work, as medians; `lowest` to `highest` is the spread of the value."""

    system: str
    work: str
    runs: int
    value: float
    lowest: float
    highest: float
    p50: float
    p99: float
    cpu: dict[str, float]
    peak: dict[str, float]
    wrong: tuple[str, ...]

    @property
    def spread(self) -> float:
        """Half of what lies between the lowest and the highest, as a share of the median."""
        return (self.highest - self.lowest) / 2 / self.value if self.value else 0.0


@attrs.frozen
class Verdict:
    """A bar with the ratio that was reached, None where one side has no good run."""

    bar: Bar
    ratio: float | None

    @property
    def word(self) -> str:
        """`aim`, `holds`, `MISSES`, or a dash; nothing for a ratio that is only shown."""
        if not self.bar.least:
            return ""
        if self.ratio is None:
            return "-"
        for limit, word in ((self.bar.aim, "aim"), (self.bar.least, "holds")):
            if (self.ratio >= limit) if self.bar.above else (self.ratio <= limit):
                return word
        return "MISSES"


def sumUp(runs: Iterable[Run]) -> dict[tuple[str, str], Figure]:
    """A figure for each work and system. A run in which anything was wrong counts for nothing but its complaint."""
    grouped: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        grouped.setdefault((run.work, run.system), []).append(run)
    return {key: _figure(group) for key, group in grouped.items()}


def _figure(group: Sequence[Run]) -> Figure:
    good = [run for run in group if not run.wrong]
    values = [run.value for run in good] or [0.0]
    return Figure(
        group[0].system,
        group[0].work,
        len(good),
        median(values),
        min(values),
        max(values),
        median([run.p50 for run in good] or [0.0]),
        median([run.p99 for run in good] or [0.0]),
        _medians([run.cpu for run in good]),
        _medians([run.peak for run in good]),
        tuple(run.wrong for run in group if run.wrong),
    )


def _medians(tables: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(table[name] for table in tables) for name in tables[0]} if tables else {}


def judge(bar: Bar, figures: dict[tuple[str, str], Figure]) -> Verdict:
    """How far ours is from the bar."""
    ours = figures.get((bar.ours, "nodeset"))
    if ours is None or not ours.runs:
        return Verdict(bar, None)
    if not bar.theirs:
        return Verdict(bar, getattr(ours, bar.figure))
    theirs = figures.get((bar.theirs, bar.system))
    if theirs is None or not theirs.runs or not getattr(theirs, bar.figure):
        return Verdict(bar, None)
    return Verdict(bar, getattr(ours, bar.figure) / getattr(theirs, bar.figure))
