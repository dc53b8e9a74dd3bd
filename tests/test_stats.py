"""Metrics of a user's own."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.stats import format, metric, types


class MetricTests(SynchronousTestCase):
    """One value with a name."""

    def test_counter(self) -> None:
        """A counter grows by what it is updated with, by one without that."""
        counter = metric.Metric("orders", types.Counter)
        self.assertEqual(counter.get(), 0)
        counter.update()
        counter.update(5)
        counter.update(0)
        self.assertEqual(counter.get(), 6)
        self.assertEqual(counter.get(), 6)

    def test_counterNeverFalls(self) -> None:
        """Nothing is taken from what only grows; what was wrong is named, the value stays."""
        for kind in (types.Counter, types.Absolute, types.Derive):
            counter = metric.Metric("orders", kind)
            counter.update(3)
            for wrong in (-1, 1.5, True, "3", float("nan")):
                error = self.assertRaises(ValueError, counter.update, wrong)
                self.assertIn(repr(wrong), str(error))
            with self.assertRaises(types.BadUpdate):
                kind(3) - 1
            self.assertEqual(counter.get(), 3)

    def test_derive(self) -> None:
        """A derive is a counter."""
        derive = metric.Metric("bytes", types.Derive)
        derive.update()
        derive.update(1231)
        self.assertEqual(derive.get(), 1232)
        self.assertIsInstance(derive.get(), types.Derive)

    def test_absolute(self) -> None:
        """An absolute begins anew each time that it is read."""
        absolute = metric.Metric("visits", types.Absolute)
        absolute.update()
        absolute.update()
        self.assertEqual([absolute.get(), absolute.get()], [2, 0])
        absolute.update(4)
        self.assertEqual(absolute.get(), 4)

    def test_gauge(self) -> None:
        """A gauge is what it was last set to."""
        gauge = metric.Metric("load", types.Gauge)
        self.assertEqual(gauge.get(), 0.0)
        gauge.update(15.4)
        gauge.update(-2)
        self.assertEqual(gauge.get(), -2.0)
        self.assertEqual((types.Gauge(3) + 1, types.Gauge(3) - 1), (4.0, 2.0))
        gauge.update()
        self.assertEqual(gauge.get(), 0.0)
        for wrong in (float("nan"), float("inf")):
            self.assertRaises(types.BadUpdate, gauge.update, wrong)

    def test_store(self) -> None:
        """A metric is found by its name from anywhere; the newest of a name is."""
        first = metric.Metric("orders", types.Counter)
        self.assertIs(metric.Store.get("orders"), first)
        second = metric.Metric("orders", types.Gauge)
        self.assertIs(metric.Store.get("orders"), second)
        self.assertRaises(KeyError, metric.Store.get, "nothing")


class CollectionTests(SynchronousTestCase):
    """Metrics that are shown together."""

    def setUp(self) -> None:
        self.orders, self.load = metric.Metric("orders", types.Counter), metric.Metric("load", types.Gauge)
        self.collection = metric.MetricCollection()
        self.collection.add(self.orders)
        self.collection.add(self.load)
        self.orders.update(2)
        self.load.update(0.5)

    def test_pairs(self) -> None:
        """Without a formatter they are pairs, in order."""
        self.assertEqual(self.collection.get(), [("orders", 2), ("load", 0.5)])

    def test_dict(self) -> None:
        """`Dict` makes a dict; the formatter can be exchanged."""
        self.collection.formatter = format.Dict()
        self.assertEqual(self.collection.get(), {"orders": 2, "load": 0.5})

    def test_json(self) -> None:
        """`Json` makes a text."""
        text = metric.MetricCollection(format.Json()).get()
        self.assertEqual(text, "{}")
        self.collection.formatter = format.Json()
        self.assertEqual(json.loads(self.collection.get()), {"orders": 2, "load": 0.5})

    def test_remove(self) -> None:
        """What was removed is shown no longer, but can still be updated."""
        self.collection.remove(self.orders)
        self.orders.update()
        self.assertEqual((self.collection.get(), self.orders.get()), ([("load", 0.5)], 3))
        self.assertRaises(KeyError, self.collection.remove, self.orders)
