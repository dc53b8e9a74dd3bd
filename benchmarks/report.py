"""The table of a benchmark, as text."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import Figure, Verdict, judge
from benchmarks.rows import BARS, WORKS, Bar, Job

__all__ = ["align", "makeTable"]

_HEAD = ("work", "system", "median", "spread", "CPU us/event p/b/s", "peak MiB p/b/s", "ratio", "least", "aim", "")
_ROLES = ("publisher", "broker", "subscriber")
#: What of ours a ratio is of, where it is not the same work.
_OURS = {"many": "publishMany ", "granted": "granted "}
_SIGNS = {"value": "", "p50": "p50 ", "p99": "p99 "}


def makeTable(figures: dict[tuple[str, str], Figure], titles: dict[str, str]) -> str:
    """One line for each system at each work, NodeSet first; behind a peer how many times as much (or as long, as large)
    NodeSet is, with what it should be: `aim`, `holds` or `MISSES`.
    """
    lines: list[Sequence[str]] = []
    for job in WORKS:
        title = job.title
        for system in job.systems:
            figure = figures.get((job.name, system))
            if figure is None:
                continue
            cells = _cells(job, figure)
            bars = [bar for bar in BARS if _stands(bar, job, system)]
            for index, bar in enumerate(bars or [None]):
                told = _tell(judge(bar, figures), job) if bar is not None else ("", "", "", "")
                lead = (title, titles.get(system, system), *cells) if not index else ("", "", "", "", "", "")
                lines.append((*lead, *told))
            title = ""
    return align([_HEAD, *lines])


def _stands(bar: Bar, job: Job, system: str) -> bool:
    # Ratios stand with the peer, at its own work; what has no peer stands with ours.
    return (bar.theirs, bar.system) == (job.name, system) or (not bar.theirs and (bar.ours, "nodeset") == (job.name, system))


def _cells(job: Job, figure: Figure) -> tuple[str, str, str, str]:
    if not figure.runs:
        return "FAILED", "", "", ""
    spread = f"+-{figure.spread:.0%}" if figure.runs > 1 else ""
    return _value(job, figure), spread, _triple(figure.cpu, ".1f"), _triple(figure.peak, ".0f")


def _value(job: Job, figure: Figure) -> str:
    if job.work.kind == "paced":
        return f"{figure.p50:,.0f}, {figure.p99:,.0f} us"
    if job.work.kind == "call":
        return f"{figure.value:,.0f}; {figure.p50:,.0f}, {figure.p99:,.0f} us"
    return f"{figure.value:,.0f}" if job.unit == "/s" else f"{figure.value:,.1f} {job.unit}"


def _triple(values: dict[str, float], form: str) -> str:
    return "/".join(format(values[role], form) if role in values else "-" for role in _ROLES)


def _tell(verdict: Verdict, job: Job) -> tuple[str, str, str, str]:
    bar = verdict.bar
    unit, sign = ("x", ">=" if bar.above else "<=") if bar.theirs else (" MiB", "<=")
    name = (_OURS.get(bar.ours, "") if bar.ours != bar.theirs else "") + _SIGNS[bar.figure]
    ratio = "-" if verdict.ratio is None else f"{name}{verdict.ratio:.2f}{unit}"
    if not bar.least:
        return ratio, "", "", ""
    return ratio, f"{sign} {bar.least:g}{unit}", f"{bar.aim:g}{unit}", verdict.word


def align(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown whose columns stand one under the other in plain text.

    >>> print(align([("a", "b"), ("1", "22")]))
    | a | b  |
    |---|----|
    | 1 | 22 |
    """
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
