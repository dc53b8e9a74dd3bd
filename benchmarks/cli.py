"""What the commands for people cost: how soon they are there, how true their figures are, what watching costs.

    python -m benchmarks.cli [--quick] [--only PART,...]

The exit code is 1 if something went wrong in a run, 0 else: a bar that is missed is told, it fails nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import comb
from pathlib import Path
from statistics import median
from typing import Final

import attrs
import msgspec

from benchmarks.measure import describeMachine
from benchmarks.monitored import Compared, comparePairs
from benchmarks.peers import KEPT, findPace
from benchmarks.report import align
from benchmarks.rows import WORKS, planWork
from benchmarks.scene import play
from nodeset.cli.bench.lodging import lodge

__all__ = ["Line", "main"]

NODESET: Final = str(Path(sys.executable).parent / "nodeset")
HELP, PUB, NEAR, COST = 0.5, 1.0, 0.2, 0.01
#: Seconds that a command has.
PATIENCE: Final = 60.0
#: The works that both benchmarks have.
BOTH: Final = ("publish", "calls")
PARTS: Final = ("help", "pub", "bench", "monitor")


@attrs.frozen
class Line:
    """A row of the table; `held` is None where there is no bar or figure; `noisy` where the noise is larger than the bar."""

    title: str
    figure: str
    bar: str
    held: bool | None
    note: str = ""
    wrong: str = ""
    noisy: bool = False

    def cells(self) -> tuple[str, ...]:
        """As text."""
        word = "FAILED" if self.wrong else "-" if self.held is None else "held" if self.held else "MISSED"
        word = "unclear" if self.noisy and not self.wrong else word
        return self.title, self.figure, self.bar, word, self.note or self.wrong


@attrs.frozen
class Plan:
    """How often: commands, pairs of benchmarks, pairs with and without a monitor. Floods last so many seconds, so does rest."""

    commands: int
    benches: int
    monitored: int
    seconds: float
    idle: float


def timeCommand(
    times: int, *words: str, check: Callable[[subprocess.CompletedProcess[str]], str], **env: str
) -> tuple[list[float], str]:
    """Seconds of each run from nothing to its end, with what is wrong in the first that went wrong."""
    taken = []
    environ = {name: value for name, value in os.environ.items() if not name.startswith("NODESET_")} | env
    for _ in range(times):
        start = time.perf_counter()
        done = subprocess.run([NODESET, *words], env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
        taken.append(time.perf_counter() - start)
        if done.returncode or (why := check(done)):
            return taken, f"exit code {done.returncode}: {(done.stderr.strip() or why)[:200]}"
    return taken, ""


def spread(values: Sequence[float]) -> str:
    """From the least to the greatest."""
    return f"{min(values):.2f} to {max(values):.2f} s, {len(values)} runs"


def measureHelp(plan: Plan) -> Line:
    """`nodeset --help`."""
    taken, wrong = timeCommand(plan.commands, "--help", check=lambda done: "" if "Usage: nodeset" in done.stdout else "no help")
    return Line("nodeset --help", f"{median(taken):.2f} s", f"<= {HELP} s", median(taken) <= HELP, spread(taken), wrong)


def measurePub(plan: Plan) -> Line:
    """`nodeset pub` of one event to a subscriber, which must get each once, in order."""
    broker, furl = lodge()
    environ = {**os.environ, "NODESET_DISPATCHER": f"file:{furl}", "NODESET_HOME": str(Path(furl).parent)}
    command = [sys.executable, "-c", "from nodeset.cli.node import main; main()", "subscriber", "-n", "--event", "bench.cli"]
    listener = subprocess.Popen(
        [*command, "--name", "listener"],
        env=environ,
        cwd=Path(furl).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    taken, wrong, heard = list[float](), "", list[str]()
    try:
        assert listener.stderr is not None and listener.stdout is not None
        while "subscribed" not in (line := listener.stderr.readline()):
            if not line:
                return Line("nodeset pub, one event", "-", f"<= {PUB} s", None, "", "the subscriber ended")
        for number in range(plan.commands):
            each, wrong = timeCommand(1, "pub", "-d", f"@{furl}", "bench.cli", f'{{"number": {number}}}', check=lambda done: "")
            taken += each
            if wrong:
                break
            heard.append(listener.stdout.readline().strip())
        if not wrong and [msgspec.json.decode(each)["number"] for each in heard] != list(range(plan.commands)):
            wrong = f"the subscriber heard {heard}"
    finally:
        for child in (listener, broker):
            child.kill() if child is listener else child.stdin.close() if child.stdin else None
            child.wait(PATIENCE)
    return Line("nodeset pub, one event", f"{median(taken):.2f} s", f"<= {PUB} s", median(taken) <= PUB, spread(taken), wrong)


def measureBench(plan: Plan) -> list[Line]:
    """`nodeset bench` beside `make bench`, in turn."""
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in BOTH}
    wrong = ""
    for turn in range(plan.benches):
        for name in BOTH:
            for whose in (0, 1) if turn % 2 == 0 else (1, 0):
                value, why = (_ours, _theirs)[whose](name, plan.seconds)
                found[name][whose].append(value)
                wrong = wrong or why
                print(f"{name}, {('nodeset bench', 'make bench')[whose]}: {value:,.0f}/s {why}", flush=True)
    lines = []
    for name, (ours, theirs) in found.items():
        ratios = [one / other for one, other in zip(ours, theirs, strict=True) if other] or [0.0]
        ratio = median(ratios)
        note = f"{describe(ratios)}; {median(ours):,.0f}/s, {median(theirs):,.0f}/s by make bench"
        within = f"{1 - NEAR:g} to {1 + NEAR:g}"
        lines.append(Line(f"nodeset bench {name} / make bench", f"{ratio:.2f}", within, abs(ratio - 1) <= NEAR, note, wrong))
    return lines


def _ours(name: str, seconds: float) -> tuple[float, str]:
    words = [NODESET, "bench", name, "--own", "--json", "--seconds", f"{seconds:g}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE + seconds, check=False)
    if done.returncode:
        return 0.0, f"exit code {done.returncode}: {done.stderr.strip()[:200]}"
    told = msgspec.json.decode(done.stdout)
    return told["value"], told["wrong"]


def _theirs(name: str, seconds: float) -> tuple[float, str]:
    job = next(job for job in WORKS if job.name == name)
    # As many events as there are in so many seconds here, not where its PACE was found.
    run = asyncio.run(play("nodeset", name, planWork(job, findPace("nodeset", job.work), seconds, 1), True))
    return run.value, run.wrong


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Between what the true median lies with 95 % certainty, however the values are spread; of few the least and the greatest.

    >>> interval([5, 1, 4, 2, 3]), interval(range(11))
    ((1, 5), (1, 9))
    """
    ordered, count = sorted(values), len(values)
    left, chance = 0, 0.0
    while left < count // 2 and (chance := chance + comb(count, left) / 2**count) <= 0.025:
        left += 1
    left = max(1, left)
    return ordered[left - 1], ordered[count - left]


def describe(ratios: Sequence[float]) -> str:
    """How sure a median of ratios is."""
    low, high = interval(ratios)
    return f"median of {len(ratios)} pairs, 95 % in {low:.3f} to {high:.3f}, all in {min(ratios):.3f} to {max(ratios):.3f}"


def judgePairs(compared: Compared) -> list[Line]:
    """What the monitor costs, with the noise around it."""
    pairs = compared.pairs
    title, bar = "events/s with nodeset-monitor / without", f">= {1 - COST:g}"
    wrong = next((pair.wrong for pair in pairs if pair.wrong), "")
    ratios = [pair.watched / pair.alone for pair in pairs if pair.alone]
    if wrong or not ratios:
        return [Line(title, "-", bar, None, "", wrong or "no pair")]
    ratio, (low, high) = median(ratios), interval(ratios)
    note = f"{describe(ratios)}; {median(pair.alone for pair in pairs):,.0f}/s without"
    lines = [Line(title, f"{ratio:.3f}", bar, ratio >= 1 - COST, note, noisy=low < 1 - COST <= high)]
    if compared.idle_alone is not None and compared.idle_watched is not None:
        cost = compared.idle_watched - compared.idle_alone
        told = f"of a core: {compared.idle_watched:.2%} while watched, {compared.idle_alone:.2%} not; no events"
        lines.append(Line("dispatcher's time for nodeset-monitor", f"{cost:.2%}", f"<= {COST:.0%}", cost <= COST, told))
    share = sum(pair.monitor_cpu for pair in pairs) / len(pairs)
    of_broker = median(pair.broker_watched / pair.broker_alone for pair in pairs if pair.broker_alone)
    return [
        *lines,
        Line("dispatcher's time an event, with / without", f"{of_broker:.3f}", "", None, "shown only"),
        Line("nodeset-monitor's own time", f"{share:.2%}", "", None, "of a core, during floods; shown only"),
    ]


def readPlan(arguments: list[str]) -> tuple[Plan, list[str]]:
    """The plan, with its parts; a word that it does not know ends the process."""
    parser = argparse.ArgumentParser(prog="benchmarks.cli", description="What the commands for people cost.")
    parser.add_argument("--quick", action="store_true", help="fewer runs of each, about a minute")
    parser.add_argument("--only", default="", help=f"parts, with commas: {', '.join(PARTS)}")
    found = parser.parse_args(arguments)
    parts = [part for part in PARTS if not found.only or part in found.only.split(",")]
    if not parts:
        parser.error("nothing is left to run: see --help for the parts")
    return Plan(3, 1, 3, 1.5, 5.0) if found.quick else Plan(9, 5, 15, 1.5, 10.0), parts


def main() -> int:
    """Run all, print the table. Returns the exit code."""
    plan, parts = readPlan(sys.argv[1:])
    lines, load = list[Line](), os.getloadavg()[0]
    try:
        if "help" in parts:
            lines.append(measureHelp(plan))
        if "pub" in parts:
            lines.append(measurePub(plan))
        if "bench" in parts:
            lines += measureBench(plan)
        if "monitor" in parts:
            lines += judgePairs(comparePairs(plan.monitored, plan.seconds, plan.idle))
    except KeyboardInterrupt:
        print("bench-cli: interrupted", file=sys.stderr)
        return 1
    head = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {describeMachine()}; load {load:.1f} before, {os.getloadavg()[0]:.1f} after"
    )
    text = "\n".join([head, "", align([("what", "measured", "bar", "", "note"), *(line.cells() for line in lines)])])
    KEPT.mkdir(exist_ok=True)
    (KEPT / "cli.txt").write_text(text + "\n")
    print(f"\n{text}\n\nwritten to .bench/cli.txt", flush=True)
    return int(any(line.wrong for line in lines))


if __name__ == "__main__":
    sys.exit(main())
