"""What `make bench-http` runs: publishing by POST, following by SSE, ours beside other web servers, interleaved.

    python -m benchmarks.http [--quick] [--only WORK,...] [--systems NAME,...] [--runs N]

The exit code is 1 if a run of NodeSet failed, 0 else: a bar that is missed is told, it fails nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import attrs
import msgspec

from benchmarks.figures import Figure, Verdict, judge, sumUp
from benchmarks.install import searchPath
from benchmarks.measure import describeMachine
from benchmarks.peers import KEPT
from benchmarks.report import align
from benchmarks.rows import Bar
from benchmarks.web.getting import obtain
from benchmarks.web.scene import WebRun, pin, play
from benchmarks.web.systems import SYSTEMS
from benchmarks.web.work import BARS, WORKS, Job

__all__ = ["main", "makeTable"]

_HEAD: Final = ("work", "system", "median", "spread", "p50, p99 us", "CPU us w/b/l", "load's core", "ratio", "least", "aim", "")
_ROLES: Final = ("web", "broker", "load")
_SIGNS: Final = {"value": "", "p50": "p50 ", "p99": "p99 "}


@attrs.frozen
class Plan:
    """What is run: so many rounds of these works with these systems; floods last so many seconds."""

    jobs: list[Job]
    systems: set[str]
    rounds: int
    seconds: float

    def steps(self) -> list[tuple[Job, str]]:
        """One round, in order."""
        return [(job, system) for job in self.jobs for system in job.systems if system in self.systems]


def makeTable(runs: Sequence[WebRun]) -> str:
    """One line for each system at each work, NodeSet first; behind a peer how many times as much NodeSet is."""
    figures = sumUp(runs)
    lines: list[Sequence[str]] = []
    for job in WORKS:
        title = job.title
        for system in job.systems:
            figure = figures.get((job.name, system))
            if figure is None:
                continue
            cells = _cells(job, figure, [run for run in runs if (run.work, run.system) == (job.name, system)])
            stands = [bar for bar in BARS if _stands(bar, job, system)]
            for index, bar in enumerate(stands or [None]):
                told = _tell(judge(bar, figures)) if bar is not None else ("", "", "", "")
                lead = (title, SYSTEMS[system].TITLE, *cells) if not index else ("",) * 7
                lines.append((*lead, *told))
            title = ""
    return align([_HEAD, *lines])


def _stands(bar: Bar, job: Job, system: str) -> bool:
    # Ratios stand with the peer; what has none stands with ours.
    return (bar.theirs, bar.system) == (job.name, system) or (not bar.theirs and (bar.ours, "nodeset") == (job.name, system))


def _cells(job: Job, figure: Figure, runs: Sequence[WebRun]) -> tuple[str, str, str, str, str]:
    if not figure.runs:
        return "FAILED", "", "", "", ""
    is_rate = job.unit == "/s"
    value = f"{figure.value:,.0f}" if is_rate else f"{figure.value:,.1f} {job.unit}"
    spread = f"+-{abs(figure.spread):.0%}" if figure.runs > 1 and is_rate else ""
    delays = f"{figure.p50:,.0f}, {figure.p99:,.0f}" if figure.p50 else ""
    cpu = "/".join(format(figure.cpu[role], ".1f") if role in figure.cpu else "-" for role in _ROLES) if is_rate else ""
    busy = sorted(run.busy for run in runs if not run.wrong)
    return value, spread, delays, cpu, f"{busy[len(busy) // 2]:.0%}" if busy[-1] else ""


def _tell(verdict: Verdict) -> tuple[str, str, str, str]:
    bar = verdict.bar
    unit, sign = ("x", ">=" if bar.above else "<=") if bar.theirs else (" KiB", "<=")
    ratio = "-" if verdict.ratio is None else f"{_SIGNS[bar.figure]}{verdict.ratio:.2f}{unit}"
    return (ratio, f"{sign} {bar.least:g}{unit}", f"{bar.aim:g}{unit}", verdict.word) if bar.least else (ratio, "", "", "")


def describe(plan: Plan, left_out: dict[str, str]) -> str:
    """What one has to know to judge the table."""
    web, rest = ((pin(is_web) or ["-"])[-1] for is_web in (True, False))
    pinned = f"web server on core {web}, broker and load on core {rest}" if web != "-" else "no process has a core for itself"
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {describeMachine()}",
        f"{plan.rounds} interleaved rounds, floods of {plan.seconds:g} s; {pinned}.",
        "Deliveries: 4 connections publish, each waits for its answer, then until all clients are near: 400 events under way",
        "at most to 1 client, 100 to more, 100 or 25 of them in a request; 4 where one goes in each. Every client must get",
        "every event once, in order, whole, or the run is FAILED. Latency: 200, 100, 20 events/s alone, from when one is due.",
        "Publishes: wrk, 16 connections; every answer is a success, as many as the broker counted. All show a bearer token.",
        "CPU: microseconds of web server, broker, load for each delivery or publish, latency's part included.",
    ]
    lines += [f"{SYSTEMS[name].TITLE}: {SYSTEMS[name].SETTINGS}." for name in SYSTEMS if name in plan.systems]
    lines += [f"LEFT OUT: {why}" for why in left_out.values()]
    return "\n".join(lines)


async def carryOut(plan: Plan, runs: list[WebRun]) -> None:
    """Every run of the plan, added to `runs` as it ends. SIGTERM ends it, with all that it has started."""
    running = asyncio.current_task()
    assert running is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    for _ in range(plan.rounds):
        for job, system in plan.steps():
            start = time.monotonic()
            run = await play(system, job, plan.seconds)
            runs.append(run)
            said = run.wrong or f"{run.value:,.1f} {job.unit} {run.note}"
            print(f"{SYSTEMS[system].TITLE}: {job.title}: {said} ({time.monotonic() - start:.1f} s)", flush=True)


def readPlan(arguments: list[str]) -> Plan:
    """The plan that the command line asks for; a word it does not know ends the process."""
    parser = argparse.ArgumentParser(prog="benchmarks.http", description="How fast nodeset-web is beside others.")
    parser.add_argument("--quick", action="store_true", help="one short run of each, about two minutes")
    parser.add_argument("--only", default="", help=f"works, with commas: {', '.join(job.name for job in WORKS)}")
    parser.add_argument("--systems", default="", help=f"systems, with commas: {', '.join(SYSTEMS)}")
    parser.add_argument("--runs", type=int, default=0, help="how many rounds, instead of 3 (quick: 1)")
    found = parser.parse_args(arguments)
    jobs = [job for job in WORKS if not found.only or job.name in found.only.split(",")]
    systems = {name for name in SYSTEMS if not found.systems or name in found.systems.split(",")}
    if not jobs or not systems:
        parser.error("nothing is left to run: see --help for the names")
    return Plan(jobs, systems, found.runs or (1 if found.quick else 3), 1.0 if found.quick else 3.0)


def keep(runs: list[WebRun], text: str) -> None:
    """Write the runs as JSON, the text."""
    KEPT.mkdir(exist_ok=True)
    (KEPT / "bench-http.json").write_bytes(msgspec.json.format(msgspec.json.encode({"text": text.splitlines(), "runs": runs})))
    (KEPT / "bench-http.txt").write_text(text + "\n")


def main() -> int:
    """Run all, print the table. Returns the exit code."""
    plan = readPlan(sys.argv[1:])
    os.environ["PATH"] = searchPath()
    left_out = obtain(plan.systems, any(job.order.kind == "post" for job in plan.jobs))
    if "wrk" in left_out:
        plan = attrs.evolve(plan, jobs=[job for job in plan.jobs if job.order.kind != "post"])
    plan = attrs.evolve(plan, systems=plan.systems - left_out.keys())
    runs, is_whole = list[WebRun](), False
    try:
        asyncio.run(carryOut(plan, runs))
        is_whole = True
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("bench-http: interrupted", file=sys.stderr)
        if not runs:
            return 1
    notes = [f"{SYSTEMS[run.system].TITLE}, {run.work}: {run.note}" for run in runs if run.note]
    failures = [f"FAILED: {SYSTEMS[run.system].TITLE}, {run.work}: {run.wrong}" for run in runs if run.wrong]
    good = sum(not run.wrong for run in runs)
    ledger = f"correctness: {good} of {len(runs)} runs had every event once, in order, every answer a success"
    failures += [] if is_whole else [f"INTERRUPTED after {len(runs)} of {plan.rounds * len(plan.steps())} runs"]
    text = "\n".join([describe(plan, left_out), "", makeTable(runs), "", ledger, *notes, *failures])
    keep(runs, text)
    print(f"\n{text}\n\nwritten to .bench/: bench-http.json, bench-http.txt", flush=True)
    return int(not is_whole or any(run.wrong for run in runs if run.system == "nodeset"))


if __name__ == "__main__":
    sys.exit(main())
