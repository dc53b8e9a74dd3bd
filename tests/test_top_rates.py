"""What `nodeset top` reckons: rates, quantiles, the order of nodes, the lines that fit."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any

import attrs
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from twisted.trial.unittest import SynchronousTestCase

from nodeset.cli.people.top import top
from nodeset.cli.top.keys import readKeys
from nodeset.cli.top.rates import Frame, Row, compare
from nodeset.cli.top.snapshot import NodeSample, Snapshot
from nodeset.cli.top.table import SORTS, Order, View, arrange, chooseColumns, table
from nodeset.cli.top.words import lasting, number, size, sparkline, took
from nodeset.core.figures.rates import Quantile, quantile
from nodeset.core.figures.reading import Reading, Spread

BOUNDS = [0.001, 0.01, 0.1, 1.0]


def told(uptime: float, published: int, boot: str = "b1", counts: list[int] | None = None, **more: int) -> Reading:
    """What a dispatcher tells that has been up for so long."""
    counters = {"published": published, "pubs": 2 * published, "calls": 3 * published, "pending": 7, **more}
    return Reading(boot=boot, uptime=uptime, counters=counters, delivery=Spread(BOUNDS, counts or [published, 0, 0, 0, 0]))


def node(name: str, published: int = 0, delivered: int = 0, **more: Any) -> NodeSample:
    """A node, whose stream is called like itself."""
    return attrs.evolve(NodeSample(name, name, "up", None, published, delivered), **more)


class RateTests(SynchronousTestCase):
    """Two snapshots."""

    def test_first(self) -> None:
        """Of one snapshot no rate is known, but what stands at a level is."""
        frame = compare(None, Snapshot(1.0, told(9.0, 500), [node("a", 5)]))
        self.assertEqual((frame.published, frame.delivered, frame.p50, frame.rows[0].published), (None, None, None, None))
        self.assertEqual((frame.pending, frame.figures.uptime), (7, 9.0))

    def test_rates(self) -> None:
        """Rates are by the dispatcher's own clock, those of nodes by ours, since they were told at another moment."""
        old, new = Snapshot(1.0, told(10.0, 100), [node("a", 10, 20)]), Snapshot(5.0, told(12.0, 300), [node("a", 18, 20)])
        frame = compare(old, new)
        self.assertEqual((frame.seconds, frame.published, frame.delivered, frame.calls), (2.0, 100.0, 200.0, 300.0))
        self.assertEqual((frame.rows[0].published, frame.rows[0].delivered), (2.0, 0.0))
        self.assertEqual(frame.p50, Quantile(0.0005))

    def test_restart(self) -> None:
        """After a restart nothing is compared with what was before it, however large the new numbers are."""
        old = Snapshot(1.0, told(10.0, 100), [node("a", 10)])
        for reading in (told(11.0, 900, boot="b2"), told(3.0, 900), told(11.0, 50)):
            frame = compare(old, Snapshot(2.0, reading, [node("a", 90)]))
            self.assertEqual((frame.published, frame.calls, frame.p99, frame.rows[0].published), (None,) * 4, reading)

    def test_levelsFall(self) -> None:
        """Subscriptions, nodes, pending events may become fewer without a restart."""
        frame = compare(
            Snapshot(1.0, told(1.0, 5, subs=9, nodes=9), []), Snapshot(2.0, told(2.0, 5, subs=1, nodes=1, pending=0), [])
        )
        self.assertEqual(frame.published, 0.0)

    def test_nodeAnew(self) -> None:
        """A node that was started anew, or came just now, has no rates yet; one that left is not there."""
        old = Snapshot(1.0, told(1.0, 5), [node("a", 50), node("gone", 1)])
        frame = compare(old, Snapshot(2.0, told(2.0, 5), [node("a", 3), node("new", 9)]))
        self.assertEqual([(row.node.name, row.published) for row in frame.rows], [("a", None), ("new", None)])

    def test_olderDispatcher(self) -> None:
        """Of a dispatcher without figures, what its nodes do is summed."""
        old, new = Snapshot(1.0, None, [node("a", 1), node("b", 1)]), Snapshot(2.0, None, [node("a", 4), node("b", 6)])
        self.assertEqual(compare(old, new).published, 8.0)
        self.assertIsNone(compare(None, old).published)
        self.assertIsNone(compare(old, Snapshot(3.0, told(1.0, 9), [node("a", 9)])).published)

    @settings(max_examples=80, deadline=None)
    @given(
        st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 10**9), st.booleans()), min_size=2, max_size=8),
        st.lists(st.integers(0, 10**6), min_size=8, max_size=8),
    )
    def test_neverNegative(self, steps: list[tuple[float, int, bool]], numbers: list[int]) -> None:
        """Whatever a dispatcher and its nodes tell, however often it is started anew, no rate is below nothing."""
        last: Snapshot | None = None
        now, boot, uptime = 0.0, 0, 0.0
        for (seconds, published, restarts), count in zip(steps, numbers, strict=False):
            now, boot, uptime = now + seconds, boot + restarts, 0.0 if restarts else uptime + seconds
            snapshot = Snapshot(now, told(uptime, published, str(boot), counts=[count, 0, 1, 0, 2]), [node("a", count)])
            frame = compare(last, snapshot)
            rates = [frame.published, frame.delivered, frame.calls, frame.dropped, *(row.published for row in frame.rows)]
            self.assertTrue(all(rate is None or (rate >= 0 and math.isfinite(rate)) for rate in rates), rates)
            last = snapshot


class QuantileTests(SynchronousTestCase):
    """Quantiles of histograms."""

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.floats(0, 2), min_size=1, max_size=60), st.floats(0.01, 1.0))
    def test_inTheRightRange(self, values: list[float], share: float) -> None:
        """The quantile lies in the range in which the true one lies; one above all ranges says so."""
        counts = [0] * (len(BOUNDS) + 1)
        for value in values:
            counts[bisect_left(BOUNDS, value)] += 1
        ordered = sorted(values)
        true = ordered[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
        found = quantile(BOUNDS, counts, share)
        assert found is not None
        index = bisect_left(BOUNDS, true)
        self.assertEqual(found.beyond, index == len(BOUNDS))
        if not found.beyond:
            lower = BOUNDS[index - 1] if index else 0.0
            self.assertTrue(lower - 1e-9 <= found.seconds <= BOUNDS[index] + 1e-9, (found, true))

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(0, 1000), min_size=5, max_size=5))
    def test_rises(self, counts: list[int]) -> None:
        """A larger share never takes less time."""
        found = [quantile(BOUNDS, counts, share / 20) for share in range(1, 21)]
        times = [each.seconds for each in found if each is not None]
        self.assertEqual(times, sorted(times))
        self.assertEqual(len(times), 20 if sum(counts) else 0)

    def test_nonsense(self) -> None:
        """Of nothing, and of what is no histogram, there is no quantile."""
        for bounds, counts in (
            ([], []),
            ([], [3]),
            ([0.1], [1]),
            ([0.2, 0.1], [1, 1, 1]),
            ([0.1], [5, -1]),
            ([0.1], [0, 0]),
            ([-1.0], [1, 0]),
        ):
            self.assertIsNone(quantile(bounds, counts, 0.5), (bounds, counts))


class OrderTests(SynchronousTestCase):
    """Which node comes first."""

    rows = [Row(node("b", queued_events=5), 1.0, 9.0), Row(node("a", queued_events=7), None, 2.0), Row(node("c"), 8.0, 2.0)]

    def names(self, order: Order) -> str:
        """The nodes in this order."""
        return "".join(row.node.name for row in order.apply(self.rows))

    def test_order(self) -> None:
        """Figures have the largest first, names come as in a book; what is not known comes last, either way round."""
        self.assertEqual(self.names(Order("delivered")), "bac")
        self.assertEqual(self.names(Order("node")), "abc")
        self.assertEqual(self.names(Order("queued")), "abc")
        self.assertEqual(self.names(Order("published")), "cba")
        self.assertEqual(self.names(Order("published", turned=True)), "bca")

    def test_all(self) -> None:
        """The keys go round all columns, which are those that --sort takes."""
        order, seen = Order(), []
        for _ in SORTS:
            order = order.next(1)
            seen.append(order.key)
        self.assertEqual((sorted(seen), order.key), (sorted(SORTS), "delivered"))
        (option,) = [each for each in top.params if each.name == "sort"]
        self.assertEqual(tuple(getattr(option.type, "choices", ())), SORTS)


class LineTests(SynchronousTestCase):
    """What fits."""

    def frame(self, count: int, name: str = "node") -> Frame:
        """A frame with so many nodes."""
        rows = [Row(node(f"{name}{index}"), float(index), float(index)) for index in range(count)]
        return Frame(told(99.0, 5), rows, published=1e5, delivered=1e6, drops={"expired": 3}, dropped=0.5)

    @settings(max_examples=150, deadline=None)
    @given(
        st.integers(1, 200), st.integers(1, 60), st.integers(0, 70), st.sampled_from(["n", "日本語", "a\x1b[2J\n", "e\u0301"])
    )
    def test_fits(self, width: int, height: int, count: int, name: str) -> None:
        """No frame is larger than its terminal; no name brings a character that a terminal obeys."""
        for trouble in ("", "no dispatcher: " + "x" * 300):
            lines = arrange(self.frame(count, name), [1.0, 5.0, 2.0], View(trouble=trouble), width, height)
            texts = ["".join(text for text, _style in line) for line in lines]
            self.assertLessEqual(len(lines), height)
            self.assertTrue(all(cell_len(text) <= width for text in texts), texts)
            self.assertTrue(all(text.isprintable() for text in texts))
            self.assertTrue(width < 20 or texts[0].startswith("no dispatcher" if trouble else "dispatcher"), texts)

    def test_small(self) -> None:
        """40 columns of 10 lines show the rates, some nodes, how many more there are."""
        lines = ["".join(text for text, _ in line) for line in arrange(self.frame(20), [], View(), 40, 10)]
        self.assertIn("in 100k/s  out 1.0M/s", "\n".join(lines))
        self.assertEqual(lines[-1], "... 16 more")
        self.assertEqual(lines[4].split(), ["node", "pub/s", "dlv/s*", "queued"])
        self.assertEqual(lines[5].split(), ["node19", "19", "19", "0"])

    def test_noneMore(self) -> None:
        """When all nodes fit, none is cut."""
        shown = table(self.frame(4).rows, Order(), 80, 5)
        self.assertEqual(len(shown), 5)
        self.assertNotIn("more", shown[-1][0][0])

    def test_sortedColumnStays(self) -> None:
        """The column that is sorted by is there, however narrow it is."""
        for key in SORTS:
            self.assertIn(key, chooseColumns(24, key))
        self.assertEqual(chooseColumns(200, "node"), list(SORTS))

    def test_drops(self) -> None:
        """Drops are told by their reasons."""
        lines = ["".join(text for text, _ in line) for line in arrange(self.frame(1), [], View(), 80, 24)]
        self.assertIn("dropped 0.5/s (expired 3)", lines)


class WordTests(SynchronousTestCase):
    """Figures as words."""

    @settings(max_examples=200, deadline=None)
    @given(st.floats(0, 1e14))
    def test_short(self, value: float) -> None:
        """No figure is wider than its column."""
        self.assertLessEqual(len(number(value)), 6)
        self.assertLessEqual(len(size(value)), 6)
        self.assertLessEqual(len(took(min(value, 99_000.0))), 7)
        self.assertTrue(lasting(value))

    @given(st.lists(st.floats(0, 1e9)), st.integers(-3, 50))
    def test_sparkline(self, values: list[float], width: int) -> None:
        """A bar for each of the newest values."""
        self.assertEqual(len(sparkline(values, width)), min(len(values), max(0, width)))

    def test_keys(self) -> None:
        """Arrows are keys, whatever kind the terminal sends; what is no key is nothing."""
        self.assertEqual(readKeys(b"q\x1b[D\x1bOC\x1b[1;5A\x00\xc3\xa9s"), ["q", "left", "right", "up", "s"])
        self.assertEqual(readKeys(b"\x1b["), ["["])
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(readKeys(bytes(range(256)))))[:2], ["\x03", " "])
