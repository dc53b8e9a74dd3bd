"""What `make faults` runs: `python -m tests.faults.run [--quick] [--only NAME] [--json FILE]`.

Thousands of seeds in memory, then every scenario against real processes; progress on stderr, one table at the end on stdout.
Exits with 1 when something does not hold. `--seed mixed/123 --trace` plays one run in memory and shows what happened.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import attrs

from tests.faults import flow, hostile, killing, masses, presence, scarcity, stopping
from tests.faults.planted import PLANTED
from tests.faults.scenario import SCENARIOS, Findings, scenario
from tests.faults.seeds import KINDS, parseRun, play, sweep, trace

__all__ = ["main", "showTable"]

_ROOMS = (killing, stopping, presence, scarcity, hostile, masses, flow)

#: The rows of the table. What runs in memory comes first.
ORDER = (
    "seeds",
    "rules off",
    "kill -9 dispatcher",
    "kill -9 subscriber",
    "SIGSTOP node",
    "SIGSTOP dispatcher",
    "presence",
    "black hole",
    "publisher ends",
    "rolling restarts",
    "descriptors",
    "full disk",
    "wall clock",
    "fuzz",
    "herd",
    "nodes held",
    "cycles",
    "slow readers",
)


@scenario(
    "seeds",
    "the protocol in memory under random faults: kills, lost, half-open and parted links; 2,000 seeds x 4 kinds",
    "I1 to I7 of the delivery protocol",
)
def seeds(findings: Findings) -> None:
    """Many runs of the world."""
    count = findings.pick(2000, 100)
    published = calls = 0
    broken: Counter[str] = Counter()
    for kind in KINDS:
        findings.say(f"{count} seeds of {kind}")
        for run in sweep(kind, count):
            published += len(run.world.published)
            calls += len(run.world.calls)
            for invariant, number, text in run.violations:
                broken[invariant] += 1
                findings.must(False, f"{run.name}: {invariant} for #{number}: {text}")
    findings.measure(f"{count * len(KINDS)} runs, {published} events, {calls} calls, {sum(broken.values())} violations")


@scenario(
    "rules off",
    "the same with one rule of the protocol switched off at a time, 16 rules; 1,500 seeds each",
    "what should be missed soon is missed: the ledger finds violations",
)
def rulesOff(findings: Findings) -> None:
    """A ledger that finds nothing proves nothing."""
    count = findings.pick(1500, 150)
    found: list[str] = []
    missing: list[str] = []
    for name, rule in PLANTED.items():
        run = rule.find(count)
        findings.say(f"without {name}: {run or 'not found'}")
        (found if run else missing).append(name)
        findings.must(run or not rule.common, f"nobody misses: {name}")
    findings.measure(
        f"{len(found)} of {len(PLANTED)} missed within {count} runs" + "".join(f"; not: {name}" for name in missing)
    )


def showTable(found: dict[str, Findings], quick: bool) -> str:
    """The table as Markdown, with where and when it was made."""
    when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    cores = os.cpu_count()
    title = f"{'quick' if quick else 'full'} run, {when}, {platform.system()} {platform.machine()}, {cores} cores, "
    lines = [title + f"Python {platform.python_version()}", ""]
    lines += ["| fault | must hold | found | holds | s |", "|---|---|---|---|---|"]
    for name, findings in found.items():
        row = SCENARIOS[name]
        told = "; ".join(findings.measured) or findings.skipped
        if findings.broken:
            more = f" (and {len(findings.broken) - 3} more)" if len(findings.broken) > 3 else ""
            told += f" **Does not hold: {'; '.join(findings.broken[:3])}{more}**"
        elif findings.skipped and findings.measured:
            told += f"; {findings.skipped}"
        told = told.replace("|", "/").replace("\n", " ").strip()
        lines.append(f"| **{name}**: {row.fault} | {row.promise} | {told} | {findings.verdict} | {findings.seconds:.0f} |")
    return "\n".join(lines)


def _runAll(quick: bool, only: list[str]) -> dict[str, Findings]:
    wanted = [name for name in ORDER if not only or any(word in name for word in only)]
    found = {}
    for number, name in enumerate(wanted, 1):
        sys.stderr.write(f"[{number}/{len(wanted)}] {name}\n")

        def say(line: str) -> None:
            sys.stderr.write(textwrap.shorten(f"    {line}", 160).join(["    ", "\n"]))
            sys.stderr.flush()

        found[name] = SCENARIOS[name].run(quick, say)
        sys.stderr.write(
            f"    holds: {found[name].verdict}, {found[name].seconds:.0f} s: {'; '.join(found[name].measured)[:300]}\n"
        )
    return found


def main() -> int:
    """Run; 0 when everything holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.run", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter of everything")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="scenarios whose name has this in it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found there as well")
    parser.add_argument("--seed", metavar="KIND/NUMBER", help="play one run in memory")
    parser.add_argument("--trace", action="store_true", help="with --seed: show all that happened")
    options = parser.parse_args()
    if options.seed:
        try:
            parseRun(options.seed)
        except ValueError as error:
            parser.error(str(error))
        run = play(options.seed)
        lines = list(trace(run))
        print("\n".join(lines if options.trace else lines[len(lines) - len(run.violations) - 1 :]))
        return 1 if run.violations else 0
    if options.only and not any(word in name for word in options.only for name in SCENARIOS):
        parser.error(f"no scenario is called that: choose from {', '.join(SCENARIOS)}")
    began = time.monotonic()
    found = _runAll(options.quick, options.only)
    print(showTable(found, options.quick))
    broken = [name for name, findings in found.items() if findings.broken]
    print(
        f"\n{len(found)} scenarios in {time.monotonic() - began:.0f} s, {len(broken)} do not hold"
        + (f": {', '.join(broken)}" if broken else "")
    )
    if options.json:
        options.json.write_text(
            json.dumps({name: attrs.asdict(one, filter=lambda a, v: a.name != "say") for name, one in found.items()}, indent=1)
        )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
