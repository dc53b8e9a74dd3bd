"""What a page is shown of a dispatcher: samples, the busiest nodes, ten minutes of history."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.figures.histogram import BOUNDS
from nodeset.core.figures.reading import Reading, Spread, readStats
from nodeset.errors import ProtocolError
from nodeset.web.figures.busiest import MOST_KNOWN, MOST_ROWS, Busiest, Page, Sight, infoOf, readPage
from nodeset.web.figures.history import SPAN, History
from nodeset.web.figures.reading import Sample, sampleOf, snapshotOf

_RATES = ("published", "delivered", "dropped", "calls")


def told(uptime: float, published: int = 0, boot: str = "b1", **more: Any) -> Reading:
    """What a dispatcher tells that has been up for so long."""
    counters = {"published": published, "pubs": 2 * published, "calls": 3 * published, "nodes": 4}
    counts = [published, *([0] * len(BOUNDS))]
    stats = {"site": "north", "boot": boot, "uptime": uptime, "counters": counters, "delivery": _spread(counts), **more}
    return readStats(stats)


def _spread(counts: list[int]) -> dict[str, Any]:
    return {"bounds": list(BOUNDS), "counts": counts, "sum": 1.0}


def page(*nodes: dict[str, Any], following: str = "") -> Page:
    """A page as a dispatcher tells it."""
    return readPage({"nodes": [{"name": "n", "host": "localhost", "stream": "s", **node} for node in nodes], "next": following})


def look(busiest: Busiest, at: float, *nodes: dict[str, Any]) -> Sight:
    """All nodes on one page."""
    busiest.begin()
    busiest.see(page(*nodes), at)
    return busiest.finish()


class SampleTests(SynchronousTestCase):
    """Two readings."""

    def test_first(self) -> None:
        """Of one reading no rate is known, but what stands at a level is."""
        sample = sampleOf(5.0, None, told(9.0, 500, rss=7, lag=0.25), None)
        self.assertEqual([getattr(sample, name) for name in (*_RATES, "p50", "rtt99", "queued_events")], [None] * 7)
        self.assertEqual((sample.at, sample.linked, sample.nodes, sample.rss, sample.lag), (5.0, True, 4, 7, 0.25))

    def test_rates(self) -> None:
        """Rates are of what came between the two, by the dispatcher's own clock; times are of the same."""
        before = told(10.0, 100, drops={"late": 5}, round_trip=_spread([5, *[0] * 15]))
        after = told(12.0, 300, drops={"late": 5, "lost": 2}, round_trip=_spread([5, 10, *[0] * 14]))
        sample = sampleOf(1.0, before, after, Sight([], 4, 6, 700, True))
        self.assertEqual((sample.published, sample.delivered, sample.calls, sample.dropped), (100.0, 200.0, 300.0, 1.0))
        self.assertEqual((sample.p50, sample.rtt50, sample.queued_events, sample.queued_bytes), (0.00025, 0.00075, 6, 700))

    def test_restart(self) -> None:
        """After a restart nothing is compared with what was before it, however large the new numbers are."""
        for after in (told(13.0, 900, boot="b2"), told(3.0, 900), told(13.0, 50)):
            sample = sampleOf(1.0, told(12.0, 100), after, None)
            self.assertEqual([getattr(sample, name) for name in _RATES], [None] * 4, after)

    def test_older(self) -> None:
        """What an older dispatcher does not tell is not known, which is not zero."""
        sample = sampleOf(1.0, readStats({"uptime": 1.0}), readStats({"uptime": 2.0}), None)
        self.assertEqual(sample, Sample(1.0, True))
        bare = readPage({"nodes": [{"name": "a", "host": "x"}]})
        self.assertEqual(infoOf(bare.nodes[0])["latency"], None)

    def test_partial(self) -> None:
        """Where not all nodes were looked at, how much waits for them is not known."""
        sample = sampleOf(1.0, None, told(1.0), Sight([], 4, 6, 700, False))
        self.assertEqual((sample.queued_events, sample.queued_bytes), (None, None))

    @settings(max_examples=80, deadline=None)
    @given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 10**9), st.booleans()), min_size=2, max_size=8))
    def test_neverNegative(self, steps: list[tuple[float, int, bool]]) -> None:
        """Whatever a dispatcher tells, however often it is started anew, no figure is below nothing, each is JSON."""
        before: Reading | None = None
        boot, uptime = 0, 0.0
        for seconds, published, restarts in steps:
            boot, uptime = boot + restarts, seconds if restarts else uptime + seconds
            now = told(uptime, published, str(boot), drops={"late": published})
            sample = sampleOf(1.0, before, now, None)
            figures = [getattr(sample, name) for name in (*_RATES, "p50", "p99")]
            self.assertTrue(all(each is None or (each >= 0 and math.isfinite(each)) for each in figures), figures)
            self.assertEqual(msgspec.json.decode(msgspec.json.encode(sample), type=Sample), sample)
            before = now

    def test_snapshot(self) -> None:
        """Names from elsewhere are one printable line each; nodes that are not listed are counted."""
        sight = look(Busiest(), 1.0, {"name": "a\n\ud800", "stream": "1"})
        now = snapshotOf(1.0, told(1.0, site="no\x1brth", drops={"la\nte": 3}), sight)
        self.assertEqual((now.site, now.drops, now.more_nodes, now.nodes[0].name), ("no?rth", {"la?te": 3}, 3, "a??"))
        msgspec.json.encode(now)


class BusiestTests(SynchronousTestCase):
    """The nodes that do most."""

    def test_rates(self) -> None:
        """Rates of a node are from one look to the next; one that came just now, or began anew, has none yet."""
        busiest = Busiest()
        look(busiest, 10.0, {"stream": "a", "published": 5}, {"stream": "b", "published": 50})
        sight = look(
            busiest, 14.0, {"stream": "a", "published": 25, "delivered": 2}, {"stream": "b", "published": 3}, {"stream": "c"}
        )
        self.assertEqual(
            [(row.stream, row.published, row.delivered) for row in sight.rows],
            [("a", 5.0, 0.5), ("b", None, None), ("c", None, None)],
        )

    def test_forget(self) -> None:
        """What another dispatcher told is compared with nothing."""
        busiest = Busiest()
        look(busiest, 10.0, {"stream": "a", "published": 5})
        busiest.forget()
        self.assertIsNone(look(busiest, 14.0, {"stream": "a", "published": 25}).rows[0].published)

    def test_cutShort(self) -> None:
        """A look that did not come to its end leaves nothing behind."""
        busiest = Busiest()
        busiest.see(page({"stream": "a", "queued_events": 7}), 1.0)
        sight = look(busiest, 2.0, {"stream": "b", "queued_events": 1})
        self.assertEqual((sight.count, sight.queued_events, [row.stream for row in sight.rows]), (1, 1, ["b"]))

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10**6), st.integers(1, 600))
    def test_busiest(self, seed: int, count: int) -> None:
        """Of however many nodes the two hundred busiest are listed, the busiest first; all of them count in the sums."""
        draw = random.Random(seed)
        ends = [draw.randrange(1000) for _ in range(count)]
        busiest = Busiest()
        for at, nodes in ((0.0, [0] * count), (1.0, ends)):
            busiest.begin()
            for first in range(0, count, 200):
                part = [
                    {"stream": f"{first + n}", "published": p, "queued_bytes": p}
                    for n, p in enumerate(nodes[first : first + 200])
                ]
                busiest.see(page(*part), at)
            sight = busiest.finish()
        self.assertEqual([row.published for row in sight.rows], sorted(ends, reverse=True)[:MOST_ROWS])
        self.assertEqual((sight.count, sight.queued_bytes), (count, sum(ends)))

    def test_bounded(self) -> None:
        """Nodes with names without end make a message of a bounded size, which says how many there are."""
        names = [f"{'x' * 60}{number}" for number in range(1000)]
        nodes = [{"stream": str(n), "subscriptions": names, "methods": names, "subscribed": 1000} for n in range(300)]
        sight = look(Busiest(), 1.0, *nodes)
        size = len(msgspec.json.encode(snapshotOf(1.0, told(1.0), sight)))
        self.assertLess(size, 1024 * 1024)
        self.assertEqual((len(sight.rows[0].subscriptions), sight.rows[0].subscribed), (16, 1000))

    def test_full(self) -> None:
        """A dispatcher whose pages never end is not asked for ever."""
        busiest = Busiest()
        pages = 0
        while not busiest.full:
            busiest.see(page(*({"stream": f"{pages}.{n}"} for n in range(200))), 1.0)
            pages += 1
        self.assertEqual(pages, MOST_KNOWN // 200)

    def test_nonsense(self) -> None:
        """An answer that makes no sense is refused, whatever it is."""
        good = {"name": "a", "host": "x"}
        wrong: list[Any] = [
            None,
            [],
            {},
            {"nodes": [{}]},
            {"nodes": [{**good, "published": -1}]},
            {"nodes": [{**good, "latency": "long"}]},
            {"nodes": [{**good, "name": "x" * 2000}]},
            {"nodes": [{**good, "queued_bytes": 2**70}]},
            {"nodes": [], "next": 5.5},
        ]
        for answer in wrong:
            self.assertRaises(ProtocolError, readPage, answer)


class HistoryTests(SynchronousTestCase):
    """The last ten minutes."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.floats(-500, 500), min_size=1, max_size=200))
    def test_ordered(self, steps: list[float]) -> None:
        """However the clock is set, samples are in the order of their times, none older than ten minutes, the newest last."""
        history, now = History(), 10_000.0
        for step in steps:
            now += step
            history.add(Sample(now, True))
            times = [sample.at for sample in history]
            self.assertEqual(times, sorted(set(times)))
            self.assertEqual(times[-1], now)
            self.assertLessEqual(times[-1] - times[0], SPAN)

    def test_kept(self) -> None:
        """Ten minutes of samples are kept, not one less; a link that comes and goes all the time takes no more room."""
        history = History()
        for number in range(1000):
            history.add(Sample(2.0 * number, True))
        self.assertEqual(len(history), 301)
        for number in range(10_000):
            history.add(Sample(3000 + number / 1000, False))
        self.assertLessEqual(len(history), 2400)


class SpreadTests(SynchronousTestCase):
    """Histograms of two versions."""

    def test_otherRanges(self) -> None:
        """Of a histogram whose ranges changed no times are known."""
        before = told(1.0, 5)
        after = msgspec.structs.replace(told(2.0, 9), delivery=Spread([1.0], [9, 0]))
        sample = sampleOf(1.0, before, after, None)
        self.assertEqual((sample.p50, sample.published), (None, 4.0))
