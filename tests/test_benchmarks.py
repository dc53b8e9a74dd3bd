"""What the benchmarks compute, without running any."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from statistics import median
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.cli import interval, judgePairs
from benchmarks.desk import THRESHOLDS
from benchmarks.figures import judge, sumUp
from benchmarks.measure import parseStat, parseStatus
from benchmarks.monitored import Compared, Pair
from benchmarks.peers import PEERS, findPace, findPeer
from benchmarks.report import align, makeTable
from benchmarks.rows import BARS, WORKS, Bar, planWork
from benchmarks.scene import Run
from benchmarks.work import BATCH, Event, drawSizes
from nodeset.cli import service
from nodeset.cli.bench.ledger import Ledger
from nodeset.cli.bench.pacing import Pace
from nodeset.cli.bench.pump import TOGETHER, Pump
from nodeset.cli.bench.sample import percentile


def makeLedger(count: int, publishers: int = 1, ordered: bool = True, timed: bool = False) -> Ledger:
    """A ledger whose clock stands at 10 s; `told` says how often it was full."""
    ledger = Ledger(count, publishers, ordered, timed, lambda: 10.0, lambda: told.append(1))
    told: list[int] = []
    return ledger


def makeEvent(number: int, source: int = 0, stamp: float = 9.0) -> Event:
    """An event."""
    return Event(number, "text", stamp, source, "note")


class LedgerTests(SynchronousTestCase):
    """What a subscriber got."""

    def fill(self, numbers: list[int], count: int, ordered: bool = True) -> str:
        """The complaint about these numbers of one publisher."""
        ledger = makeLedger(count, ordered=ordered)
        for number in numbers:
            ledger.take(makeEvent(number))
        return ledger.complain()

    def test_good(self) -> None:
        """Every event once, in order, is no reason to complain; nothing at all is one."""
        self.assertEqual(self.fill([0, 1, 2], 3), "")
        self.assertIn("0 of 3", self.fill([], 3))

    def test_wrong(self) -> None:
        """An event that is lost, comes twice, early, or from nowhere is found."""
        for numbers in ([0, 2], [0, 1], [0, 1, 1, 2], [0, 0, 2], [1, 0, 2], [0, 1, 3]):
            self.assertNotEqual(self.fill(numbers, 3), "", numbers)

    def test_unordered(self) -> None:
        """Workers of one queue may get events in any order, but each once."""
        self.assertEqual(self.fill([2, 0, 1], 3, ordered=False), "")
        for numbers in ([2, 0, 0], [2, 0, 3], [2, 0, 1, 1]):
            self.assertNotEqual(self.fill(numbers, 3, ordered=False), "", numbers)

    @settings(max_examples=60, deadline=None)
    @given(st.permutations(range(6)))
    def test_onlyOneOrder(self, numbers: list[int]) -> None:
        """No order but the published one passes."""
        self.assertEqual(self.fill(numbers, 6) == "", numbers == sorted(numbers))

    def test_publishers(self) -> None:
        """Each publisher has an order of its own."""
        ledger = makeLedger(4, publishers=2)
        for source, number in ((1, 0), (0, 0), (0, 1), (1, 1)):
            ledger.take(makeEvent(number, source))
        self.assertEqual(ledger.complain(), "")

    def test_latency(self) -> None:
        """Latencies are told in microseconds, from the stamp to the arrival."""
        ledger = makeLedger(2, timed=True)
        ledger.take(makeEvent(0, stamp=9.999))
        ledger.take(makeEvent(1, stamp=9.998))
        summary = ledger.summary()
        self.assertAlmostEqual(summary["p50"], 1000.0, places=3)
        self.assertAlmostEqual(summary["p99"], 2000.0, places=3)
        self.assertEqual((summary["got"], summary["last"], summary["wrong"]), (2, 10.0, ""))

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(), min_size=1), st.floats(0.01, 1.0))
    def test_percentile(self, values: list[int], share: float) -> None:
        """A percentile is one of the values; at least that share of all are not above it."""
        found = percentile(values, share)
        self.assertIn(found, values)
        self.assertGreaterEqual(sum(value <= found for value in values) / len(values), share - 1e-9)


class FigureTests(SynchronousTestCase):
    """Medians, ratios, verdicts."""

    def runs(self, system: str, *values: float, work: str = "publish") -> list[Run]:
        """One good run for each value."""
        return [
            Run(system, work, value, cpu={"broker": value}, peak={"broker": 1.0}, p50=value, p99=2 * value) for value in values
        ]

    def test_median(self) -> None:
        """A figure is the median of its runs with the spread around it."""
        figure = sumUp(self.runs("nats", 100, 90, 120))["publish", "nats"]
        self.assertEqual((figure.value, figure.lowest, figure.highest, figure.runs), (100, 90, 120, 3))
        self.assertAlmostEqual(figure.spread, 0.15)
        self.assertEqual(figure.cpu, {"broker": 100})

    def test_badRun(self) -> None:
        """A run in which an event was lost counts for nothing, but its complaint is kept."""
        runs = [*self.runs("nats", 100, 110), Run("nats", "publish", 900.0, wrong="1 lost")]
        figure = sumUp(runs)["publish", "nats"]
        self.assertEqual((figure.value, figure.runs, figure.wrong), (105, 2, ("1 lost",)))

    def test_verdict(self) -> None:
        """A ratio misses, holds, or reaches the aim; without a peer there is none."""
        bar = Bar("publish", "publish", "nats", 1.8, 4)
        for ours, word in ((179, "MISSES"), (180, "holds"), (399, "holds"), (400, "aim")):
            self.assertEqual(judge(bar, sumUp(self.runs("nodeset", ours) + self.runs("nats", 100))).word, word)
        self.assertEqual(judge(bar, sumUp(self.runs("nodeset", 400))).word, "-")
        failed = [Run("nodeset", "publish", wrong="lost"), *self.runs("nats", 100)]
        self.assertEqual(judge(bar, sumUp(failed)).word, "-")

    def test_lessIsBetter(self) -> None:
        """A latency must be at most so many times the peer's."""
        bar = Bar("slow", "slow", "nats", 2, 1, "p99", above=False)
        for ours, word in ((210, "MISSES"), (200, "holds"), (100, "aim")):
            runs = self.runs("nodeset", ours, work="slow") + self.runs("nats", 100, work="slow")
            self.assertEqual(judge(bar, sumUp(runs)).word, word)

    def test_shown(self) -> None:
        """A ratio without a bar is computed, judged by nobody."""
        bar = Bar("calls", "calls", "zeromq")
        verdict = judge(bar, sumUp(self.runs("nodeset", 50, work="calls") + self.runs("zeromq", 100, work="calls")))
        self.assertEqual((verdict.ratio, verdict.word), (0.5, ""))

    def test_alone(self) -> None:
        """The memory of a stalled dispatcher is judged by itself."""
        bar = next(bar for bar in BARS if bar.ours == "stall")
        verdict = judge(bar, sumUp(self.runs("nodeset", 9.0, work="stall")))
        self.assertEqual((verdict.ratio, verdict.word), (9.0, "holds"))


class ReportTests(SynchronousTestCase):
    """The table."""

    def test_everyBarHasALine(self) -> None:
        """When all has run, every bar is in the table with its verdict, every ratio without a bar as it is."""
        runs = [Run(system, job.name, 1.0, 1.0, 1.0) for job in WORKS for system in job.systems]
        table = makeTable(sumUp(runs), {})
        self.assertEqual(
            sum(table.count(f"| {word} ") for word in ("aim   ", "holds ", "MISSES")), sum(bar.least > 0 for bar in BARS)
        )
        self.assertEqual(table.count("1.00x"), sum(bool(bar.theirs) for bar in BARS))

    def test_latencies(self) -> None:
        """Calls a second stand with the p50 and p99 of their round trips."""
        table = makeTable(sumUp([Run("nats", "calls", 40_000.0, 2430.0, 3901.0)]), {})
        self.assertIn("| 40,000; 2,430, 3,901 us |", table)

    def test_failed(self) -> None:
        """A system without a good run stands in the table as FAILED."""
        self.assertIn("FAILED", makeTable(sumUp([Run("nats", "publish", wrong="gone")]), {"nats": "nats-py"}))

    def test_aligned(self) -> None:
        """All lines of a table are equally long."""
        lines = align([("a", "b"), ("long one", ""), ("", "x")]).splitlines()
        self.assertEqual(len({len(line) for line in lines}), 1)


class PlanTests(SynchronousTestCase):
    """What is asked of the systems."""

    def test_peers(self) -> None:
        """Every system offers the whole contract."""
        pairs = {(system, job.work.kind) for job in WORKS for system in job.systems} | {(name, "") for name in PEERS}
        for name, kind in pairs:
            peer = findPeer(name, kind)
            for function, arguments in (("server", 1), ("serveHere", 1), ("publisher", 2), ("subscriber", 2)):
                self.assertEqual(len(inspect.signature(getattr(peer, function)).parameters), arguments, f"{name}.{function}")
            for value in ("TITLE", "SETTINGS", "PACE", "DEBIAN", "PYTHON"):
                self.assertTrue(hasattr(peer, value), f"{name}.{value}")

    def test_unknownPeer(self) -> None:
        """A system that there is not is named beside those that there are."""
        error = self.assertRaises(ValueError, findPeer, "kafka")
        self.assertIn("'kafka'", str(error))

    def test_bars(self) -> None:
        """Every bar is about works that both sides do."""
        systems = {job.name: job.systems for job in WORKS}
        for bar in BARS:
            self.assertIn("nodeset", systems[bar.ours])
            if bar.theirs:
                self.assertIn(bar.system, systems[bar.theirs])

    def test_counts(self) -> None:
        """A flood lasts as long as asked for, in whole batches; every publisher has as many events as any other."""
        for job in WORKS:
            for system in job.systems:
                work = planWork(job, findPace(system, job.work), 1.0, 1)
                self.assertEqual(work.count % work.publishers, 0)
                if job.basis and job.work.kind not in ("call", "stream"):
                    self.assertEqual(work.count % BATCH, 0)

    def test_tuning(self) -> None:
        """What is printed as our tuning is what the service commands set."""
        self.assertEqual(service._THRESHOLDS, THRESHOLDS)

    def test_sizes(self) -> None:
        """The sizes are the same every time, from 50 B to 64 KiB, as many below the geometric middle as above."""
        sizes = drawSizes(2000)
        self.assertEqual(sizes, drawSizes(2000))
        self.assertTrue(min(sizes) >= 50 and max(sizes) <= 65536)
        self.assertTrue(800 < sum(size < 1810 for size in sizes) < 1200)

    def test_pace(self) -> None:
        """At a steady rate nothing is due early, nothing is forgotten."""
        pace = Pace(5_000, 100)
        self.assertEqual([pace.due(seconds) for seconds in (0.0, 0.00021, 0.01, 9.0)], [1, 2, 51, 100])


class MeasureTests(SynchronousTestCase):
    """What /proc says."""

    def test_stat(self) -> None:
        """The times of a process whose name holds blanks or brackets are read right."""
        self.assertEqual(parseStat("12 (a b) c) S 1 12 77 0 -1 0 0 0 0 0 150 50 0 0 20"), (77, 200))

    def test_status(self) -> None:
        """Memory now, memory at the peak; a process that has ended has none."""
        self.assertEqual(parseStatus("Name:\tx\nVmHWM:\t  3072 kB\nVmRSS:\t  1024 kB\n"), (1.0, 3.0))
        self.assertEqual(parseStatus("Name:\tx\nState:\tZ\n"), (0.0, 0.0))


class Waiting:
    """Stands for the Deferred of a publish; `fire` answers it."""

    def addCallbacks(self, confirm: Callable[[Any], None], fail: Callable[[Any], None]) -> None:
        """Keep who is told."""
        self.fire, self.fail = confirm, fail


class PumpTests(SynchronousTestCase):
    """A publisher of ours at full speed."""

    def setUp(self) -> None:
        self.sent: list[Waiting] = []
        self.turns: list[Callable[[], object]] = []
        self.over: list[int] = []

    def makePump(self, count: int, window: int) -> Pump:
        """A pump whose turns wait in `turns`."""

        def send(first: int, last: int, confirm: Callable[[Any], None], fail: Callable[[Any], None]) -> None:
            self.assertEqual(first, len(self.sent))
            for _ in range(first, last):
                self.sent.append(Waiting())
                self.sent[-1].addCallbacks(confirm, fail)

        return Pump(send, count, window, 1, lambda: self.over.append(1), lambda _, call: self.turns.append(call))

    def test_window(self) -> None:
        """No more than the window waits for receipts; half of it confirmed, it goes on."""
        pump = self.makePump(10, 4)
        pump.turn()
        self.assertEqual((len(self.sent), self.turns), (4, []))
        for waiting in self.sent[:2]:
            waiting.fire((1, 1, 0))
        self.assertEqual(len(self.turns), 1)
        self.turns.pop()()
        self.assertEqual(len(self.sent), 6)

    def test_turns(self) -> None:
        """The reactor gets its turn between so many calls."""
        pump = self.makePump(TOGETHER + 1, 10 * TOGETHER)
        pump.turn()
        self.assertEqual((len(self.sent), len(self.turns)), (TOGETHER, 1))

    def test_done(self) -> None:
        """It is through when all are confirmed, once; a receipt that is short is told."""
        pump = self.makePump(2, 4)
        pump.turn()
        self.sent[0].fire((1, 1, 0))
        self.assertEqual(self.over, [])
        self.sent[1].fire((1, 0, 1))
        self.assertEqual((self.over, pump.confirmed, pump.wrong), ([1], 2, (1, 0, 1)))


class CommandTests(SynchronousTestCase):
    """What `make bench-cli` makes of its runs."""

    def pairs(self, *ratios: float, wrong: str = "") -> Compared:
        """One pair for each ratio."""
        return Compared([Pair(100.0, 100.0 * ratio, 2.0, 2.0, 0.001, wrong) for ratio in ratios], 0.001, 0.003)

    def test_monitor(self) -> None:
        """Two runs in a hundred lost are too many; what lies within the noise says so; a wrong run is no figure."""
        held, cost, *_ = judgePairs(self.pairs(*[0.999] * 11))
        self.assertEqual((held.cells()[3], cost.figure, cost.held), ("held", "0.20%", True))
        missed = judgePairs(self.pairs(*[0.98] * 11))[0]
        self.assertEqual(missed.cells()[3], "MISSED")
        self.assertEqual(judgePairs(self.pairs(0.9, 1.0, 1.1))[0].cells()[3], "unclear")
        (failed,) = judgePairs(self.pairs(1.0, wrong="1 lost"))
        self.assertEqual(failed.cells()[3:], ("FAILED", "1 lost"))
        self.assertEqual(judgePairs(Compared())[0].wrong, "no pair")

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=40))
    def test_interval(self, values: list[float]) -> None:
        """The interval of a median has the median in it, nothing that was not measured at its ends."""
        low, high = interval(values)
        self.assertTrue(low <= median(values) <= high)
        self.assertTrue({low, high} <= set(values))
