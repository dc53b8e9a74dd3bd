"""What `make bench` runs: every system at every work, interleaved; then one table.

    python -m benchmarks.run [--quick] [--only WORK,...] [--systems NAME,...] [--runs N] [--tune-all]

The exit code is 1 if a run of NodeSet failed, 0 else: a bar that is missed is told, it fails nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import msgspec

from benchmarks.desk import THRESHOLDS
from benchmarks.figures import judge, sumUp
from benchmarks.install import obtain
from benchmarks.measure import describeMachine
from benchmarks.peers import KEPT, PEERS, findPace, findPeer, load
from benchmarks.plot import drawBars
from benchmarks.report import makeTable
from benchmarks.rows import BARS, WORKS, Job, planWork
from benchmarks.scene import Run, play
from nodeset.cli.bench.pump import TOGETHER

__all__ = ["main"]


@attrs.frozen
class Plan:
    """What is run: so many rounds of these works with these systems; floods last about `seconds`."""

    jobs: list[Job]
    systems: set[str]
    rounds: int
    seconds: float
    scale: int
    tune_all: bool

    def steps(self) -> list[tuple[Job, str]]:
        """One round, in order."""
        return [(job, system) for job in self.jobs for system in job.systems if system in self.systems]


class Screen:
    """Shows how far it is: a bar on a terminal, a line for each run anywhere else."""

    def __init__(self, total: int) -> None:
        self._bar: Any = None
        if sys.stdout.isatty():
            progress: Any = load("rich.progress")
            self._bar = progress.Progress()
            self._task = self._bar.add_task("runs", total=total)
            self._bar.start()

    def begin(self, job: Job, system: str) -> None:
        """A run begins."""
        if self._bar is not None:
            self._bar.update(self._task, description=f"{findPeer(system).TITLE}: {job.title}")

    def end(self, job: Job, run: Run, seconds: float) -> None:
        """A run has ended."""
        line = f"{findPeer(run.system).TITLE}: {job.title}: {run.wrong or f'{run.value:,.1f} {job.unit}'} ({seconds:.1f} s)"
        if self._bar is not None:
            self._bar.advance(self._task)
            if run.wrong:
                self._bar.console.print(line, markup=False, highlight=False)
        else:
            print(line, flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()


async def carryOut(plan: Plan) -> list[Run]:
    """Every run of the plan. SIGTERM ends it, with all that it has started."""
    running = asyncio.current_task()
    assert running is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    screen, runs = Screen(plan.rounds * len(plan.steps())), list[Run]()
    try:
        for _ in range(plan.rounds):
            for job, system in plan.steps():
                screen.begin(job, system)
                start = time.monotonic()
                work = planWork(job, findPace(system, job.work), plan.seconds, plan.scale)
                runs.append(await play(system, job.name, work, plan.tune_all or system == "nodeset"))
                screen.end(job, runs[-1], time.monotonic() - start)
    finally:
        screen.close()
    return runs


def describe(plan: Plan, left_out: dict[str, str]) -> str:
    """What one has to know to judge the table."""
    target = load("nodeset.core.writer").TARGET
    whose = "in every Python worker" if plan.tune_all else "in NodeSet's processes only"
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {describeMachine()}",
        f"{plan.rounds} interleaved rounds, floods of about {plan.seconds:g} s; each run: three processes, publisher, broker,",
        "subscriber. NodeSet: TLS, level delivered, a receipt for every event. The others: no TLS, no receipts except where",
        "they come by themselves. Every event came once, in order (count, sum, sequence), every call had its own answer,",
        "every byte of a stream was the one that was sent, or the run is FAILED.",
        f"Ours is tuned as its service commands are: gc.freeze(), thresholds {THRESHOLDS}, {whose};",
        f"batches of {target // 1024} KiB; {TOGETHER} calls of a publisher in a reactor turn, 10,000 events at most wait for",
        "their receipts (100,000 when stalled, 200 when mixed).",
    ]
    kinds = {(system, job.work.kind) for job, system in plan.steps()}
    settings = [(findPeer(name).TITLE, findPeer(name, kind).SETTINGS) for name, kind in sorted(kinds, key=_place)]
    lines += [f"{title}: {text}." for title, text in dict.fromkeys(settings) if text]
    lines += [f"LEFT OUT: {findPeer(name).TITLE}: {why}" for name, why in left_out.items()]
    return "\n".join(lines)


def _place(pair: tuple[str, str]) -> tuple[int, str]:
    return PEERS.index(pair[0]), pair[1]


def readPlan(arguments: list[str]) -> Plan:
    """The plan that the command line asks for; a word it does not know ends the process."""
    parser = argparse.ArgumentParser(prog="benchmarks.run", description="How fast NodeSet is beside others.")
    parser.add_argument("--quick", action="store_true", help="one short run of each, about two minutes")
    parser.add_argument("--only", default="", help=f"works, with commas: {', '.join(job.name for job in WORKS)}")
    parser.add_argument("--systems", default="", help=f"systems, with commas: {', '.join(PEERS)}")
    parser.add_argument("--runs", type=int, default=0, help="how many rounds, instead of 3 (quick: 1)")
    parser.add_argument("--tune-all", action="store_true", help="tune the garbage collector of the others as well")
    found = parser.parse_args(arguments)
    jobs = [job for job in WORKS if not found.only or job.name in found.only.split(",")]
    systems = {name for name in PEERS if not found.systems or name in found.systems.split(",")}
    if not jobs or not systems:
        parser.error("nothing is left to run: see --help for the names")
    return Plan(
        jobs,
        systems & {system for job in jobs for system in job.systems},
        found.runs or (1 if found.quick else 3),
        1.0 if found.quick else 3.0,
        1 if found.quick else 3,
        found.tune_all,
    )


def keep(runs: list[Run], text: str, directory: Path) -> list[str]:
    """Write the runs as JSON, the text, the picture. Returns the names of the files."""
    figures = sumUp(runs)
    verdicts = [judge(bar, figures) for bar in BARS]
    directory.mkdir(exist_ok=True)
    (directory / "bench.json").write_bytes(
        msgspec.json.format(
            msgspec.json.encode(
                {
                    "text": text.splitlines(),
                    "runs": runs,
                    "bars": [{**attrs.asdict(each.bar), "ratio": each.ratio, "word": each.word} for each in verdicts],
                }
            )
        )
    )
    (directory / "bench.txt").write_text(text + "\n")
    try:
        drawBars(verdicts, {name: findPeer(name).TITLE for name in PEERS}, directory / "bench.svg")
    except ImportError:
        return ["bench.json", "bench.txt"]
    return ["bench.json", "bench.txt", "bench.svg"]


def main() -> int:
    """Run all, print the table. Returns the exit code."""
    plan = readPlan(sys.argv[1:])
    left_out = obtain(plan.systems)
    plan = attrs.evolve(plan, systems=plan.systems - left_out.keys())
    try:
        runs = asyncio.run(carryOut(plan))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("bench: interrupted", file=sys.stderr)
        return 1
    failures = [f"FAILED: {findPeer(run.system).TITLE}, {run.work}: {run.wrong}" for run in runs if run.wrong]
    table = makeTable(sumUp(runs), {name: findPeer(name).TITLE for name in PEERS})
    text = "\n".join([describe(plan, left_out), "", table, *failures])
    files = keep(runs, text, KEPT)
    print(f"\n{text}\n\nwritten to .bench/: {', '.join(files)}", flush=True)
    return int(any(run.wrong for run in runs if run.system == "nodeset"))


if __name__ == "__main__":
    sys.exit(main())
