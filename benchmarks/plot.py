"""A picture of the ratios to the bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.figures import Verdict
from benchmarks.peers import load
from benchmarks.rows import WORKS

__all__ = ["drawBars"]

_COLORS = {"aim": "#2a7f3f", "holds": "#8fbf5a", "MISSES": "#c0392b"}


def drawBars(verdicts: list[Verdict], titles: dict[str, str], path: Path) -> None:
    """Write an SVG: each ratio as a part of what it must be, logarithmic, better to the right.

    Raises ImportError where matplotlib is not installed.
    """
    load("matplotlib").use("svg")
    pyplot: Any = load("matplotlib.pyplot")
    known = [verdict for verdict in verdicts if verdict.ratio and verdict.bar.least]
    names = {job.name: job.title for job in WORKS}
    figure, axes = pyplot.subplots(figsize=(11, 0.45 * len(known) + 1.5), layout="constrained")
    for index, verdict in enumerate(reversed(known)):
        bar, ratio = verdict.bar, verdict.ratio or 1.0
        reached = ratio / bar.least if bar.above else bar.least / ratio
        aimed = bar.aim / bar.least if bar.above else bar.least / bar.aim
        axes.barh(index, reached - 1, left=1, color=_COLORS[verdict.word])
        axes.plot([aimed, aimed], [index - 0.4, index + 0.4], color="#444444", linewidth=2)
    labels = [_label(verdict, names, titles) for verdict in reversed(known)]
    axes.set_yticks(range(len(known)), labels, fontsize=8)
    axes.set_xscale("log")
    axes.axvline(1, color="#222222", linewidth=1)
    axes.set_xlabel("times the bar: 1 is `at least`, the mark is the aim; farther right is better")
    figure.savefig(path)
    pyplot.close(figure)


def _label(verdict: Verdict, names: dict[str, str], titles: dict[str, str]) -> str:
    bar = verdict.bar
    figure = "" if bar.figure == "value" else f" {bar.figure}"
    against = f" / {titles[bar.system]}" if bar.system else ""
    return f"{names[bar.ours]}{figure}{against}: {verdict.ratio:.2f}"
