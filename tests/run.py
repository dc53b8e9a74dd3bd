"""Everything that a contributor must see pass, in one command.

`make test` runs it; every part runs even if one before it failed. The last line is trial's counts, `N passed, N failed`, those
of the packaging tests included; the exit code is 0 only if all parts passed. Nothing may be left behind: no process, no file.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TextIO

import attrs

ROOT = Path(__file__).resolve().parent.parent
#: Those that build something, beside each other after all the rest.
BUILDING = {"packaging": "tests.test_packaging", "docs": "tests.test_site"}
#: Those that mostly wait for real processes, in rows that run beside each other and beside all the rest.
WAITING = {
    "commands": (
        "tests.test_cli",
        "tests.test_cli_bad",
        "tests.test_cli_node",
        "tests.test_reload",
        "tests.test_tutorial",
    ),
    "people": (
        "tests.test_people",
        "tests.test_people_bad",
        "tests.test_talk",
        "tests.test_init",
        "tests.test_bench",
        "tests.test_doctor",
        "tests.test_cli_grants",
        "tests.test_cli_monitor",
        "tests.test_shell_service",
        "tests.test_testing_users",
    ),
    "web": (
        "tests.test_cli_web",
        "tests.test_cli_webkeys",
        "tests.test_demo",
        "tests.test_sockets_real",
        "tests.test_web_floods",
    ),
    "processes": (
        "tests.test_center",
        "tests.test_cli_socket",
        "tests.test_guardian",
        "tests.test_guardiandeath",
        "tests.test_nerve",
        "tests.test_open",
        "tests.test_open_terminal",
        "tests.test_popen",
        "tests.test_popen_events",
        "tests.test_popen_objects",
        "tests.test_popen_odd",
        "tests.test_processes_bad",
        "tests.test_processes_command",
        "tests.test_warden",
    ),
    "faults": (
        "tests.test_faults",
        "tests.test_restart",
    ),
}
#: Seconds after which a part counts as hung.
PATIENCE = 900.0
#: Seconds that a process which was told to stop has to go.
GRACE = 3.0

_DONE = re.compile(r"\[(OK|ERROR|FAIL|SKIPPED|TODO|SUCCESS!\?!)\]$", re.MULTILINE)
_SUMMARY = re.compile(r"^(?:PASSED|FAILED)(?: \((.*)\))?$", re.MULTILINE)


@attrs.frozen
class Part:
    """One thing that must pass: a command, by trial or not."""

    name: str
    command: list[str]
    is_trial: bool = False


@attrs.frozen
class Outcome:
    """What became of one part: its complaints, none if it passed, then what it printed."""

    complaints: list[str]
    output: str


def listParts(temp: Path) -> list[list[Part]]:
    """Every command to run, those in one list at the same time; `temp` is where trial may write."""
    python = [sys.executable, "-m"]
    trial = [*python, "twisted.trial", "--temp-directory"]
    suite = listSuite(ROOT)
    busy = [name for name in suite if not any(name in row for row in WAITING.values())]
    # In two rows, since trial runs its tests one after the other, on one core.
    rows = {"trial": busy[::2], "more": busy[1::2]}
    rows |= {row: [name for name in suite if name in names] for row, names in WAITING.items()}
    return [
        [Part("ruff check", [*python, "ruff", "check", "."])],
        [Part("ruff format", [*python, "ruff", "format", "--check", "."])],
        [Part("mypy", [*python, "mypy"])],
        [Part(row, [*trial, str(temp / row), *names], is_trial=True) for row, names in rows.items()],
        [Part(name, [*trial, str(temp / name), module], is_trial=True) for name, module in BUILDING.items()],
    ]


def listSuite(root: Path) -> list[str]:
    """All test modules but those that build something, which are slow."""
    paths = sorted((root / "tests").rglob("test_*.py"))
    names = [".".join(path.relative_to(root).with_suffix("").parts) for path in paths]
    return [name for name in names if name not in BUILDING.values()]


def readCounts(output: str) -> Counter[str]:
    """Trial's own counts (successes, failures, errors, skips ...); one error when it did not get as far as to count."""
    found = _SUMMARY.findall(output)
    if not found:
        return Counter(errors=1)
    counts: Counter[str] = Counter()
    for each in filter(None, found[-1].split(", ")):
        name, _, number = each.partition("=")
        counts[name] = int(number)
    return counts


def countBad(counts: Counter[str]) -> int:
    """How many tests did not do what they should, one that passed against expectation included."""
    return counts["failures"] + counts["errors"] + counts["unexpectedSuccesses"]


def readPassedOver(output: str) -> list[str]:
    """The tests that trial skipped, or that failed as expected: neither shows that anything works."""
    names: list[str] = []
    for block in re.split(r"^(?:={20,}|-{20,})\n", output, flags=re.MULTILINE):
        if block.startswith(("[SKIPPED]", "[TODO]")):
            # The reason comes first, an empty line after it, then a name per line.
            names += block.rstrip().rpartition("\n\n")[2].splitlines()
    return names


def readListed(contributing: str) -> set[str]:
    """The tests that CONTRIBUTING.md lets be skipped: the items below its heading `## Skips` that give a reason."""
    section = re.search(r"^## Skips$(.*?)(?=^## |\Z)", contributing, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^- `([\w.]+)`: \S", section.group(1), re.MULTILINE)) if section else set()


def judge(part: Part, code: int | None, output: str, listed: set[str]) -> list[str]:
    """What is wrong with a part that ended with this exit code (None: it had to be stopped)."""
    if code is None:
        return [f"hung: stopped after {PATIENCE:.0f} s"]
    complaints = [f"exit code {code}"] if code else []
    if part.is_trial:
        for name in readPassedOver(output):
            if name not in listed:
                complaints.append(f"{name} was skipped, which CONTRIBUTING.md does not list under Skips")
        counts = readCounts(output)
        if not counts["successes"]:
            complaints.append("no test passed")
        if countBad(counts) and not code:
            complaints.append(f"{countBad(counts)} failed")
    return complaints


def runParts(parts: list[Part], temp: Path, env: dict[str, str], listed: set[str]) -> list[Outcome]:
    """Run these parts at the same time, each to its end, telling on a terminal how far they are."""
    running = [(part, *_start(part, temp, env)) for part in parts]
    outcomes = []
    for part, child, log in running:
        try:
            code = _awaitEnd(child, part.name, log)
        except KeyboardInterrupt:
            # Trial was interrupted too, so it is ending; what it started must not outlive us.
            endLeftovers(temp)
            raise SystemExit(f"\nmake test: interrupted in {part.name}") from None
        if code is None:
            child.kill()
            child.wait()
        output = log.read_text("utf-8", "replace")
        outcomes.append(Outcome(judge(part, code, output, listed), output))
    outcomes[-1].complaints.extend(f"left a process behind: {name}" for name in endLeftovers(temp))
    return outcomes


def _start(part: Part, temp: Path, env: dict[str, str]) -> tuple[subprocess.Popen[bytes], Path]:
    # A file, not a pipe: a process left behind would hold a pipe open, so we would wait for it.
    log = temp / f"{re.sub('[^a-z]+', '-', part.name)}.log"
    with log.open("wb") as sink:
        child = subprocess.Popen(
            part.command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        )
    return child, log


def _awaitEnd(child: subprocess.Popen[bytes], name: str, log: Path) -> int | None:
    start = time.monotonic()
    with log.open(encoding="utf-8", errors="replace") as output:
        done = 0
        while (spent := time.monotonic() - start) < PATIENCE:
            try:
                return child.wait(0.2)
            except subprocess.TimeoutExpired:
                if sys.stdout.isatty():
                    done += len(_DONE.findall(output.read()))
                    tests = f"{done} tests, " if done else ""
                    sys.stdout.write(f"\r\033[K{name:<16}{tests}{spent:.0f} s")
                    sys.stdout.flush()
    return None


def adoptOrphans() -> None:
    """Become the parent of every process whose own parent ended, so that daemons cannot hide from `endLeftovers`."""
    set_child_subreaper = 36
    # Only Linux has it. Elsewhere leftovers are not seen, nor is there a /proc to look in.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def endLeftovers(temp: Path) -> list[str]:
    """Kill, then name, the processes that a part left behind: our children, also whoever lives in `temp`."""
    deadline = time.monotonic() + GRACE
    while (left := _findLeftovers(temp)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    named = list(left.values())
    while left and _findLeftovers(temp) and time.monotonic() < deadline + GRACE:
        time.sleep(0.05)
    return named


def _findLeftovers(temp: Path) -> dict[int, str]:
    left = {}
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            is_child = int(parent) == os.getpid()
            if is_child and state == "Z":
                os.waitpid(pid, os.WNOHANG)
            elif pid != os.getpid() and (is_child or str(temp) in command or _isIn(entry / "cwd", temp)):
                left[pid] = f"{pid} {_withoutSecrets(command)}"
        except (OSError, ValueError):
            continue  # It ended while we looked, or belongs to somebody else.
    return left


def _isIn(cwd: Path, temp: Path) -> bool:
    return cwd.readlink().is_relative_to(temp)


def _withoutSecrets(command: str) -> str:
    return re.sub(r"(pb[a-z]*://[^/\s]*/)\S+", r"\1...", command)[:200]


def readTree() -> set[str]:
    """What git sees changed or added in the checkout, a line each; empty where there is no git checkout."""
    if not (ROOT / ".git").exists():
        return set()
    command = ["git", "status", "--porcelain", "--untracked-files=all"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"make test: git cannot tell what is in this checkout: {done.stderr.partition(chr(10))[0]}")
    return set(done.stdout.splitlines())


def report(name: str, seconds: float, outcome: Outcome, out: TextIO) -> None:
    """Say what became of a part: one line, with all that it printed if it failed."""
    if out.isatty():
        out.write("\r\033[K")
    out.write(f"{name:<16}{'FAILED' if outcome.complaints else 'ok':<8}{seconds:6.1f} s\n")
    if outcome.complaints:
        out.write(outcome.output.rstrip() + "\n" if outcome.output else "")
        out.writelines(f"{name}: {complaint}\n" for complaint in outcome.complaints)
    out.flush()


def environment(temp: Path) -> dict[str, str]:
    """The surroundings of every part: nothing of the user's own NodeSet, all that is temporary below `temp`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("NODESET_")}
    env |= {"TMPDIR": str(temp), "XDG_STATE_HOME": str(temp / "state"), "PYTHONUNBUFFERED": "1"}
    return env


def main() -> int:
    """Run all parts; 0 if every one passed, else 1."""
    os.chdir(ROOT)
    adoptOrphans()
    before = readTree()
    contributing = ROOT / "CONTRIBUTING.md"
    listed = readListed(contributing.read_text("utf-8")) if contributing.exists() else set()
    counts: Counter[str] = Counter()
    failed = []

    with tempfile.TemporaryDirectory(prefix="nodeset-test-") as name:
        # Resolved, since /proc tells resolved paths.
        temp = Path(name).resolve()
        env = environment(temp)
        for parts in listParts(temp):
            start = time.monotonic()
            for part, outcome in zip(parts, runParts(parts, temp, env, listed), strict=True):
                report(part.name, time.monotonic() - start, outcome, sys.stdout)
                if part.is_trial:
                    counts += readCounts(outcome.output)
                if outcome.complaints:
                    failed.append(part.name)

    start = time.monotonic()
    added = Outcome([f"left behind or changed: {line}" for line in sorted(readTree() - before)], "")
    report("clean tree", time.monotonic() - start, added, sys.stdout)
    if added.complaints:
        failed.append("clean tree")

    if failed:
        print(f"failed: {', '.join(failed)}")
    print(f"{counts['successes']} passed, {countBad(counts)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
