"""What `make bench-processes` computes, without running any supervisor."""

from __future__ import annotations

import contextlib
import io
import os
import tomllib
from configparser import ConfigParser, RawConfigParser
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.processes import makeTable, readPlan
from benchmarks.supervision.looking import findMarked, isRunning, measureUse, readWords
from benchmarks.supervision.rows import WORKS
from benchmarks.supervision.systems import SYSTEMS
from benchmarks.supervision.task import Place, Result, Task


def rowOf(table: str, figure: str) -> list[str]:
    """The cells of the first row of the table that has this figure."""
    line = next(line for line in table.splitlines() if f"| {figure} " in line)
    return [cell.strip() for cell in line.split("|")[1:-1]]


def makeResults(work: str, **figures: tuple[float, float, float]) -> list[Result]:
    """A run of each system: for each figure ours, supervisord's, circusd's."""
    return [Result(work, name, {key: values[index] for key, values in figures.items()}) for index, name in enumerate(SYSTEMS)]


class TableTests(SynchronousTestCase):
    """What the table says of a bar."""

    def test_less(self) -> None:
        """Where less is better, ours must not be above the better peer's."""
        for ours, ratio, word in ((10.0, "0.50x", "aim"), (20.0, "1.00x", "holds"), (21.0, "1.05x", "MISSES")):
            table = makeTable(makeResults("many", resident=(ours, 30.0, 20.0)))
            self.assertEqual(rowOf(table, "MiB resident")[6:], [ratio, "<= 1x", "0.5x", word])

    def test_more(self) -> None:
        """Where more is better, ours must not be below the better peer's."""
        for ours, word in ((200.0, "aim"), (100.0, "holds"), (99.0, "MISSES")):
            self.assertEqual(rowOf(makeTable(makeResults("output", rate=(ours, 100.0, 50.0))), "MB/s")[-1], word)

    def test_limit(self) -> None:
        """A limit is ours alone, whatever the peers have."""
        self.assertEqual(rowOf(makeTable(makeResults("fail", cpu=(19.9, 1.0, 1.0))), "% of a core")[-1], "holds")
        self.assertEqual(rowOf(makeTable(makeResults("fail", cpu=(20.0, 90.0, 90.0))), "% of a core")[-1], "MISSES")

    def test_median(self) -> None:
        """Runs make a median with half of their spread; a run that went wrong counts for nothing but its word."""
        runs = [Result("many", "nodeset", {"run": value}) for value in (1.0, 2.0, 3.0)]
        wrong = Result("many", "supervisord", {}, "499 of 500 programs run")
        cells = rowOf(makeTable([*runs, wrong]), "s until all run")
        self.assertEqual(cells[2:4], ["2.00 +-50%", "FAILED"])

    def test_alone(self) -> None:
        """What only ours does has no ratio; an endless stop has no spread."""
        self.assertEqual(rowOf(makeTable([Result("told", "nodeset", {"idle": 4.0})]), "% of a core, idle")[6], "")
        never = [Result("fail", "circusd", {"stop": float("inf")})] * 2
        self.assertEqual(rowOf(makeTable(never), "s to stop, inf: not in 15")[4], "inf +-0%")


class PlanTests(SynchronousTestCase):
    """What the command line asks for."""

    def test_plan(self) -> None:
        """All works with all systems, unless fewer are named."""
        self.assertEqual(len(readPlan([]).steps()), sum(len(work.systems) for work in WORKS))
        plan = readPlan(["--quick", "--only", "many,flood", "--systems", "nodeset"])
        self.assertEqual([(work.name, name) for work, name in plan.steps()], [("many", "nodeset"), ("flood", "nodeset")])
        self.assertEqual(plan.rounds, 1)

    def test_unknown(self) -> None:
        """A plan without a work is refused."""
        with contextlib.redirect_stderr(io.StringIO()):
            self.assertRaises(SystemExit, readPlan, ["--only", "nothing"])


class TaskTests(SynchronousTestCase):
    """Every system is told the same."""

    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 500), st.integers(0, 2**30))
    def test_same(self, count: int, log_bytes: int) -> None:
        """The count, the command, the size of the logs are in each configuration."""
        task = Task(command=("/bin/sh", "-c", "echo >> FILE; exit 1"), count=count, log_bytes=log_bytes, fails=True)
        place = Place(Path(self.mktemp()), "mark", Path("bin"))
        place.path.mkdir()
        for system in SYSTEMS.values():
            system.command(place, task)
        ours = tomllib.loads((place.path / "nodeset.toml").read_text())["process"]["job"]
        self.assertEqual((tuple(ours["command"]), ours["numprocs"]), (task.command, count))
        supervisord, circusd = RawConfigParser(), ConfigParser()
        supervisord.read(place.path / "supervisord.conf")
        circusd.read(place.path / "circus.ini")
        self.assertEqual(supervisord["program:job"]["command"], '/bin/sh -c "echo >> FILE; exit 1"')
        self.assertEqual(supervisord["program:job"]["numprocs"], str(count))
        self.assertEqual(supervisord["program:job"]["stdout_logfile_maxbytes"], str(log_bytes))
        self.assertEqual(circusd["watcher:job"]["cmd"], "/bin/sh -c 'echo >> FILE; exit 1'")
        self.assertEqual(circusd["watcher:job"]["numprocesses"], str(count))

    def test_said(self) -> None:
        """That a program runs counts once, however often it is said."""
        said = "[report] job-1 is RUNNING\n[report] job-2 is RUNNING\n[report] job-1 is RUNNING\n[report] job-3 is STARTING\n"
        self.assertEqual(SYSTEMS["nodeset"].saysRunning(said), 2)


class LookingTests(SynchronousTestCase):
    """What /proc tells, tried with ourselves."""

    def test_self(self) -> None:
        """We run, have words, use memory; a mark that nobody has finds nobody."""
        me = os.getpid()
        self.assertTrue(isRunning(me))
        self.assertTrue(readWords(me))
        used = measureUse([me])
        self.assertGreater(min(used.cpu, used.resident, used.share, used.peak), 0)
        self.assertGreaterEqual(used.resident, used.share)
        self.assertEqual(findMarked("nobody has this", "BENCH_RUN"), [])
