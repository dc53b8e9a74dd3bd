"""What `make bench-processes` runs: nodeset-processes beside supervisord, circusd, at the same tasks, interleaved.

    python -m benchmarks.processes [--quick] [--only WORK,...] [--systems NAME,...] [--runs N]

The exit code is 1 if a run of NodeSet failed, 0 else: a bar that is missed is told, it fails nothing.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from math import isfinite
from statistics import median
from typing import Final

import attrs
import msgspec

from benchmarks.install import run as install
from benchmarks.measure import describeMachine
from benchmarks.peers import KEPT, ROOT
from benchmarks.report import align
from benchmarks.supervision.rows import WORKS, Row, Work
from benchmarks.supervision.systems import SYSTEMS
from benchmarks.supervision.task import Result, Wrong
from benchmarks.supervision.works import Sizes

__all__ = ["main", "makeTable", "play"]

_COLUMNS: Final = (*SYSTEMS, "cat")
_HEAD: Final = ("work", "figure", *(system.TITLE for system in SYSTEMS.values()), "cat", "ratio", "bar", "aim", "")
_WHOLE: Final = Sizes(200, 500, 20.0, 15.0, 2**31)
_QUICK: Final = Sizes(200, 500, 5.0, 5.0, 2**29)


@attrs.frozen
class Plan:
    """What is run: so many rounds of these works with these systems."""

    works: list[Work]
    systems: set[str]
    rounds: int
    sizes: Sizes

    def steps(self) -> list[tuple[Work, str]]:
        """One round, in order."""
        return [(work, name) for work in self.works for name in work.systems if name in self.systems or name == "cat"]


def makeTable(results: Sequence[Result]) -> str:
    """One line for each figure of each work, with what ours is of the better peer's, the bar, what came of that."""
    lines: list[Sequence[str]] = []
    for work in WORKS:
        title = work.title
        done = [result for result in results if result.work == work.name]
        for row in work.rows if done else ():
            values = {name: _values(done, name, row.figure) for name in _COLUMNS}
            failed = {result.system for result in done if result.wrong}
            cells = [_cell(values[name], row, name in failed) for name in _COLUMNS]
            lines.append((title, row.title, *cells, *_judge(row, values)))
            title = ""
    return align([_HEAD, *lines])


def _values(results: Sequence[Result], system: str, figure: str) -> list[float]:
    return [result.figures[figure] for result in results if result.system == system and figure in result.figures]


def _cell(values: list[float], row: Row, has_failed: bool) -> str:
    if not values:
        return "FAILED" if has_failed else ""
    middle = median(values)
    spread = (max(values) - min(values)) / 2 / middle if middle and isfinite(middle) else 0.0
    return f"{middle:{row.form}}" + (f" +-{spread:.0%}" if len(values) > 1 else "")


def _judge(row: Row, values: dict[str, list[float]]) -> tuple[str, str, str, str]:
    peers = [median(values[name]) for name in SYSTEMS if name != "nodeset" and values[name]]
    if not values["nodeset"]:
        return "", "", "", ""
    ours = median(values["nodeset"])
    best = (max if row.is_more_better else min)(peers, default=0.0)
    ratio = ours / best if best else 0.0
    shown = f"{ratio:.2f}x" if ratio else ""
    if row.limit:
        return shown, f"< {row.limit:g}", "", "holds" if ours < row.limit else "MISSES"
    bar = row.at_least or row.at_most
    if not bar or not ratio:
        return shown, "", "", ""
    word = next((word for mark, word in ((row.aim, "aim"), (bar, "holds")) if _reaches(ratio, mark, row)), "MISSES")
    return shown, f"{'>=' if row.at_least else '<='} {bar:g}x", f"{row.aim:g}x", word


def _reaches(ratio: float, mark: float, row: Row) -> bool:
    return ratio >= mark if row.at_least else ratio <= mark


def describe(plan: Plan, left_out: Sequence[str]) -> str:
    """What one has to know to judge the table."""
    sizes = plan.sizes
    seconds, size = f"{sizes.seconds:g} s", f"{sizes.output // 2**20} MiB"
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {describeMachine()}",
        f"{plan.rounds} interleaved rounds, medians; a ratio is ours to the better peer's. Figures are the supervisor's with",
        "its guardian's, without its programs'. A run that leaves a process, by a mark in its environment, is FAILED.",
        f"Failing: {sizes.failing} x sh -c 'echo >> FILE; exit 1', {seconds} from the first on; the bytes of FILE are starts.",
        "Own pauses: 1, 2, 4 .. s (nodeset), 1, 2, 3 .. s (supervisord), until the check each 5 s (circusd).",
        "Pauses that do not grow: backoff_max 1 (nodeset), startsecs 0 (supervisord), as before (circusd).",
        f"Sleeping: {sizes.programs} x sleep, all run by /proc; it says so in its log, after 1 s (circusd: at once); idle for",
        f"{seconds}; to stop: from SIGTERM until it has ended. Peers take no figures of programs, nor does nodeset-processes",
        "while nobody is linked who could be told: two more works have it linked to a center.",
        f"Output: {size} in lines of 64 bytes by cat (circusd: an eighth, shipped: a quarter) until all is in the log, of the",
        "same SHA-256, in the center's as well. 20 x yes: logs of 16 MiB, one older each; MB/s are what yes could write.",
    ]
    lines += [f"{system.TITLE}: {system.SETTINGS}." for name, system in SYSTEMS.items() if name in plan.systems]
    lines += [f"LEFT OUT: {why}" for why in left_out]
    return "\n".join(lines)


def play(work: Work, name: str, sizes: Sizes) -> Result:
    """One run."""
    try:
        return Result(work.name, name, work.do(name, SYSTEMS.get(name), sizes))
    except Wrong as error:
        return Result(work.name, name, {}, str(error))


def carryOut(plan: Plan, results: list[Result]) -> None:
    """Every run of the plan, added to `results` as it ends."""
    for _ in range(plan.rounds):
        for work, name in plan.steps():
            start = time.monotonic()
            result = play(work, name, plan.sizes)
            results.append(result)
            said = result.wrong or ", ".join(f"{key} {value:.2f}" for key, value in result.figures.items())
            title = SYSTEMS[name].TITLE if name in SYSTEMS else name
            print(f"{title}: {work.title}: {said} ({time.monotonic() - start:.1f} s)", flush=True)


def obtain(systems: set[str]) -> dict[str, str]:
    """Install the peers that are lacking. Returns why one is left out, by its name."""
    KEPT.mkdir(exist_ok=True)
    if any(_lacks(name) for name in systems):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
        install("pip", [*pip, "--editable", f"{ROOT}[bench]"])
    return {name: f"{SYSTEMS[name].TITLE}: pip could not install it" for name in systems if _lacks(name)}


def _lacks(name: str) -> bool:
    module = SYSTEMS[name].PYTHON
    return bool(module) and find_spec(module) is None


def readPlan(arguments: list[str]) -> Plan:
    """The plan that the command line asks for; a word it does not know ends the process."""
    parser = argparse.ArgumentParser(prog="benchmarks.processes", description="How nodeset-processes is beside others.")
    parser.add_argument("--quick", action="store_true", help="one short run of each, about four minutes")
    parser.add_argument("--only", default="", help=f"works, with commas: {', '.join(work.name for work in WORKS)}")
    parser.add_argument("--systems", default="", help=f"systems, with commas: {', '.join(SYSTEMS)}")
    parser.add_argument("--runs", type=int, default=0, help="how many rounds, instead of 3 (quick: 1)")
    found = parser.parse_args(arguments)
    works = [work for work in WORKS if not found.only or work.name in found.only.split(",")]
    systems = {name for name in SYSTEMS if not found.systems or name in found.systems.split(",")}
    if not works or not systems:
        parser.error("nothing is left to run: see --help for the names")
    return Plan(works, systems, found.runs or (1 if found.quick else 3), _QUICK if found.quick else _WHOLE)


def keep(results: list[Result], text: str) -> None:
    """Write the results as JSON, the text."""
    told = msgspec.json.encode({"text": text.splitlines(), "runs": results})
    (KEPT / "bench-processes.json").write_bytes(msgspec.json.format(told))
    (KEPT / "bench-processes.txt").write_text(text + "\n")


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run all, print the table. Returns the exit code."""
    plan = readPlan(sys.argv[1:])
    # A run that is interrupted ends what it has started.
    signal.signal(signal.SIGTERM, _interrupt)
    left_out = obtain(plan.systems)
    plan = attrs.evolve(plan, systems=plan.systems - left_out.keys())
    results, is_whole = list[Result](), False
    try:
        carryOut(plan, results)
        is_whole = True
    except KeyboardInterrupt:
        print("bench-processes: interrupted", file=sys.stderr)
        if not results:
            return 1
    good = sum(not result.wrong for result in results)
    ledger = f"correctness: {good} of {len(results)} runs had every program running, every byte, nothing left behind"
    failures = [f"FAILED: {result.system}, {result.work}: {result.wrong}" for result in results if result.wrong]
    failures += [] if is_whole else [f"INTERRUPTED after {len(results)} of {plan.rounds * len(plan.steps())} runs"]
    text = "\n".join([describe(plan, list(left_out.values())), "", makeTable(results), "", ledger, *failures])
    keep(results, text)
    print(f"\n{text}\n\nwritten to .bench/: bench-processes.json, bench-processes.txt", flush=True)
    return int(not is_whole or any(result.wrong for result in results if result.system == "nodeset"))


if __name__ == "__main__":
    sys.exit(main())
