"""What a monitor makes of the figures that it is told."""

from __future__ import annotations

import gc
import random
from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.calls.replies import Reply
from nodeset.core.figures.histogram import BOUNDS, Histogram
from nodeset.core.figures.reading import NodeFigures, Reading, Spread, plain, readFigures, readStats
from nodeset.core.presence.asking import NodeInfo
from nodeset.errors import ProtocolError
from nodeset.monitor.labels import REST, Labels, Row, Sight, sighted
from nodeset.monitor.message import fieldsOf, lineOf
from nodeset.monitor.overview import Overview
from nodeset.monitor.sweep import askFigures
from nodeset.monitor.totals import OTHER, SpreadTotal, Tally, quantile

#: The least that a dispatcher tells.
TOLD: dict[str, Any] = {"site": "north", "boot": "one", "version": "1", "protocol": 1, "uptime": 10.0, "wall": 1e9}


def see(name: str, stream: str = "", host: str = "localhost", **figures: Any) -> Sight:
    """A node as a sweep sees it."""
    return sighted(NodeInfo(name, host, "tub", stream or name, "up", **figures))


class ReadingTests(SynchronousTestCase):
    """What is taken of an answer."""

    def test_older(self) -> None:
        """What an older dispatcher does not tell is not known; what a newer one tells beside is passed over."""
        reading = readStats({"site": "north", "news": [1, 2]})
        self.assertEqual((reading.site, reading.rss, reading.counters, reading.delivery), ("north", None, {}, Spread()))

    def test_nonsense(self) -> None:
        """An answer that makes no sense is refused, whatever it is."""
        rising = {"bounds": [1.0, 2.0], "counts": [1, 2, 3], "sum": 1.0}
        wrong: list[Any] = [
            None,
            [],
            "x",
            {"site": 3},
            {"site": "x" * 2000},
            {"uptime": -1},
            {"wall": "nan"},
            {"wall": float("inf")},
            {"rss": -5},
            {"counters": {"a": -1}},
            {"counters": {f"c{n}": n for n in range(1000)}},
            {"drops": {"x" * 500: 1}},
            {"drops": {"x": 2**70}},
            {"delivery": {**rising, "counts": [1, 2]}},
            {"delivery": {**rising, "bounds": [2.0, 1.0]}},
            {"delivery": {**rising, "bounds": [1.0] * 1000}},
            {"round_trip": {"bounds": [], "counts": [1], "sum": 0}},
        ]
        for told in wrong:
            self.assertRaises(ProtocolError, readStats, told)

    def test_node(self) -> None:
        """What a node tells that makes no sense is as if it told nothing."""
        wrong: list[Any] = [None, [], {"lag": "long"}, {"rss": -1}, {"counters": {"a": 1.5}}]
        for told in wrong:
            self.assertIsNone(readFigures(told))
        self.assertEqual(readFigures({"lag": 1, "counters": {"received": 3}}), NodeFigures(lag=1.0, counters={"received": 3}))

    def test_plain(self) -> None:
        """A name is shown as one line of UTF-8, however it was meant."""
        self.assertEqual(plain("café"), "café")
        self.assertEqual(plain("a\nb\x1b[2Jc\ud800"), "a?b?[2Jc?")
        self.assertEqual(len(plain("x\n" * 1000)), 255)


class Bulky(dict[str, Any]):
    """What a node tells, and whether somebody keeps it."""


class SweepTests(SynchronousTestCase):
    """What is kept of answers while others are waited for."""

    def test_bulk(self) -> None:
        """Of an answer that came nothing but figures is kept until the last one has come: nodes may send what they like."""
        asked: list[Deferred[Any]] = []

        class Asker:
            """Calls nobody."""

            def call(self, *args: Any, **options: Any) -> Deferred[Any]:
                """One call more."""
                asked.append(Deferred())
                return asked[-1]

        asker: Any = Asker()
        results: list[Any] = []
        rows = {("a", "localhost"): Row(instances=1), ("b", "localhost"): Row(instances=1)}
        Deferred.fromCoroutine(askFigures(asker, rows, 1.0)).addCallback(results.append)
        bulky = Bulky(lag=1.0, junk="x" * 1000)
        kept = ref(bulky)
        asked[0].callback([Reply("a", "localhost", "s1", bulky)])
        del bulky
        gc.collect()
        self.assertIsNone(kept())
        asked[1].callback([Reply("b", "localhost", "s2", {"lag": "long"})])
        self.assertEqual(results, [{("a", "localhost"): {"s1": NodeFigures(lag=1.0)}, ("b", "localhost"): {}}])


class TallyTests(SynchronousTestCase):
    """Counters that only grow."""

    def test_grows(self) -> None:
        """Through starts of what is counted, told or not, a total never falls and counts everything that was seen."""
        tally = Tally()
        tally.see({"a": 5})
        tally.see({"a": 7, "b": 1})
        tally.see({"a": 3}, anew=True)
        self.assertEqual(tally.totals, {"a": 10, "b": 1})
        tally.see({"a": 1})
        self.assertEqual(tally.totals["a"], 11, "a fall is a start, although nobody said so")

    def test_never(self) -> None:
        """No series of values makes a total fall."""
        draw = random.Random(5)
        tally, before = Tally(), 0
        for _ in range(500):
            tally.see({"a": draw.randrange(100)}, anew=draw.random() < 0.2)
            self.assertGreaterEqual(tally.totals["a"], before)
            before = tally.totals["a"]

    def test_bounded(self) -> None:
        """Names without end are counted together."""
        tally = Tally()
        for number in range(1000):
            tally.see({f"name{number}": 1})
        self.assertLessEqual(len(tally.totals), 129)
        self.assertEqual(sum(tally.totals.values()), 1000)
        self.assertGreater(tally.totals[OTHER], 800)

    def test_histogram(self) -> None:
        """A histogram goes on over a start; what is new is told."""
        histogram, total = Histogram(), SpreadTotal()
        histogram.take(0.003, 4)
        self.assertEqual(sum(total.see(spread(histogram)).counts), 4)
        histogram.take(0.3)
        self.assertEqual(sum(total.see(spread(histogram)).counts), 1)
        other = Histogram()
        other.take(0.003, 6)
        total.see(spread(other), anew=True)
        self.assertEqual((sum(total.counts), total.counts[BOUNDS.index(0.005)]), (11, 10))
        self.assertAlmostEqual(total.sum, 0.012 + 0.3 + 0.018)

    def test_otherRanges(self) -> None:
        """Of other ranges than before, those of another version, the counts begin anew."""
        total = SpreadTotal()
        total.see(Spread([1.0], [5, 0], 2.0))
        total.see(Spread([1.0, 2.0], [1, 2, 3], 9.0), anew=True)
        self.assertEqual((total.bounds, total.counts, total.sum), ([1.0, 2.0], [1, 2, 3], 9.0))

    def test_quantile(self) -> None:
        """The upper end of the range in which that share was done."""
        self.assertIsNone(quantile(Spread([1.0], [0, 0]), 0.5))
        found = Spread([1.0, 2.0], [50, 49, 1])
        self.assertEqual([quantile(found, share) for share in (0.5, 0.99, 1.0)], [1.0, 2.0, float("inf")])


def spread(histogram: Histogram) -> Spread:
    """As it is told."""
    return readStats({**TOLD, "delivery": histogram.told()}).delivery


class LabelTests(SynchronousTestCase):
    """The rows of nodes."""

    def test_busiest(self) -> None:
        """The busiest labels have rows, the rest is summed; nothing is counted twice, nothing is lost."""
        labels = Labels(2)
        for sweep in (1, 2, 3):
            labels.sweep(see(f"n{number}", published=sweep * number, queued_events=number) for number in range(5))
        self.assertEqual(set(labels.rows), {("n4", "localhost"), ("n3", "localhost"), REST})
        self.assertEqual(sum(row.published for row in labels.rows.values()), 3 * 10)
        self.assertEqual([row.queued_events for row in labels.rows.values()], [4, 3, 3])
        self.assertEqual(sum(row.instances for row in labels.rows.values()), 5)

    def test_alike(self) -> None:
        """Nodes of one label share a row, which goes on when one of them goes and another comes."""
        labels = Labels(5)
        labels.sweep([see("shop", "a", delivered=10, latency=0.1), see("shop", "b", delivered=5, latency=0.3)])
        labels.sweep([see("shop", "b", delivered=6), see("shop", "c", delivered=2)])
        row = labels.rows["shop", "localhost"]
        self.assertEqual((row.delivered, row.instances, row.latency), (18, 2, None))

    def test_left(self) -> None:
        """The row of a node that left disappears; what it counted stays out of the rest."""
        labels = Labels(5)
        labels.sweep([see("shop", published=10)])
        labels.sweep([])
        self.assertEqual(set(labels.rows), {REST})
        self.assertEqual(labels.rows[REST].published, 0)

    def test_restart(self) -> None:
        """After the dispatcher's start, which forgets what it counted of nodes, theirs go on growing."""
        labels = Labels(5)
        labels.sweep([see("shop", published=10)])
        labels.anew()
        labels.sweep([see("shop", published=12)])
        self.assertEqual(labels.rows["shop", "localhost"].published, 22)
        labels.sweep([see("shop", published=3)])
        self.assertEqual(labels.rows["shop", "localhost"].published, 25)

    def test_loyalty(self) -> None:
        """A label keeps its row unless another one is clearly busier."""
        labels = Labels(1)
        labels.sweep([see("a", published=100), see("b", published=90)])
        labels.sweep([see("a", published=200), see("b", published=200)])
        self.assertIn(("a", "localhost"), labels.rows)
        labels.sweep([see("a", published=200), see("b", published=9000)])
        self.assertEqual(set(labels.rows), {("b", "localhost"), REST})

    def test_other(self) -> None:
        """A node that is called `other` is summed with the rest, whatever its host."""
        labels = Labels(5)
        labels.sweep([see(OTHER, published=3), see(OTHER, "x", host="north", published=4)])
        self.assertEqual((set(labels.rows), labels.rows[REST].published), ({REST}, 7))

    def test_hostile(self) -> None:
        """Ten thousand names, each a line of its own or worse, make no more rows than are allowed."""
        labels = Labels(10)
        labels.sweep(see(f'x"}}\n{number}\x1b\ud800', f"s{number}", published=number) for number in range(10_000))
        self.assertEqual(len(labels.rows), 11)
        self.assertTrue(all(name.isprintable() for name, _host in labels.rows))

    def test_churn(self) -> None:
        """Nodes that call themselves something else each time make no series without end; who had a row has it again."""
        labels = Labels(5)
        seen = set()
        labels.sweep([see("shop", published=1)])
        for sweep in range(1000):
            labels.sweep(see(f"x{sweep}.{number}", published=10**6) for number in range(5))
            seen |= set(labels.rows)
        self.assertLess(len(seen), 80)
        self.assertGreater(labels.rows[REST].published, 0)
        labels.sweep([see("shop", published=1), see("late", published=10**6)])
        self.assertIn(("shop", "localhost"), labels.rows)

    def test_figures(self) -> None:
        """What nodes tell of themselves is the worst of a label, their counts the sum; only known ones are kept."""
        labels = Labels(5)
        labels.sweep([see("shop", "a"), see("shop", "b")])
        label = ("shop", "localhost")
        counts = {"received": 5, "made_up": 9}
        labels.figures(label, {"a": NodeFigures("1", 9.0, 0.5, 100, 1, counts), "b": NodeFigures("1", 3.0, 0.1, None, 1, {})})
        labels.figures(label, {"a": NodeFigures("1", 9.0, 0.2, 90, 1, {"received": 7})})
        row = labels.rows[label]
        self.assertEqual((row.lag, row.rss, row.uptime, dict(row.incidents)), (0.2, 90, 9.0, {"received": 7}))
        labels.figures(("nobody", "x"), {"a": NodeFigures()})
        labels.figures(label, {})
        self.assertEqual((row.lag, row.rss, row.uptime), (None, None, None))


class OverviewTests(SynchronousTestCase):
    """All that a monitor knows."""

    def reading(self, uptime: float, boot: str = "one", **more: Any) -> Reading:
        """One answer."""
        return readStats({**TOLD, "uptime": uptime, "boot": boot, **more})

    def test_rates(self) -> None:
        """Rates are of the time between two answers, by the dispatcher's own clock, over a start as well."""
        overview = Overview(5)
        overview.told(self.reading(10, counters={"published": 100, "pubs": 200}))
        self.assertEqual(overview.rates, (0.0, 0.0, 0.0))
        overview.told(self.reading(20, counters={"published": 150, "pubs": 300}, drops={"lost": 20}))
        self.assertEqual(overview.rates, (5.0, 10.0, 2.0))
        overview.told(self.reading(4, "two", counters={"published": 8}))
        self.assertEqual((overview.rates, overview.restarts), ((2.0, 0.0, 0.0), 1))
        overview.lost()
        self.assertEqual((overview.up, overview.rates), (False, (0.0, 0.0, 0.0)))

    def test_line(self) -> None:
        """The line for people says what is known, in units."""
        overview = Overview(5)
        overview.told(self.reading(10, rss=3 * 2**20, lag=0.0123, counters={"nodes": 7}))
        line = lineOf(fieldsOf(overview))
        for part in ("north", "nodes 7", "events/s 0", "p99 -", "lag 12.3 ms", "rss 3.0 MiB"):
            self.assertIn(part, line)
        overview.told(self.reading(11, "two\n", site="a\x1b[2J", rss=None))
        line = lineOf(fieldsOf(overview))
        self.assertTrue(line.isprintable(), line)
        self.assertIn("rss -", line)
