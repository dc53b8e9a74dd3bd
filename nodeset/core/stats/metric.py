"""Metrics by name, which any part of a process can update.

::

    from nodeset.core.stats import format, metric, types

    orders = metric.Metric("orders", types.Counter)
    shown = metric.MetricCollection(format.Json())
    shown.add(orders)
    metric.Store.get("orders").update(3)
    shown.get()                                 # '{"orders": 3}'
"""

from __future__ import annotations

from typing import Any, Final

from nodeset.core.stats.format import Base
from nodeset.core.stats.types import Absolute, Counter, Gauge

__all__ = ["Metric", "MetricCollection", "MetricStore", "Store"]


class MetricStore:
    """Metrics by name; of two of a name the newer."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def add(self, metric: Metric) -> None:
        """One more. `Metric` does this by itself, in `Store`."""
        self._metrics[metric.name] = metric

    def get(self, name: str) -> Metric:
        """The metric of this name. Raises KeyError when there is none."""
        return self._metrics[name]


#: All metrics of this process.
Store: Final = MetricStore()


class Metric:
    """One value with a name, found again by `Store.get(name)`.

    :param mtype: `types.Counter`, `Gauge`, `Absolute`, `Derive`, or a subclass.
    """

    def __init__(self, name: str, mtype: type[Counter] | type[Gauge]) -> None:
        self.name, self.mtype = name, mtype
        self.data: Counter | Gauge = mtype()
        Store.add(self)

    def update(self, value: float | None = None) -> None:
        """Set a gauge to `value`, 0 without one; add `value` to all others, 1 without one.

        :raise BadUpdate: (a ValueError) for what is no number; where things are counted, also for less than 0.
        """
        if isinstance(self.data, Gauge):
            self.data = Gauge(0.0 if value is None else value)
        else:
            count: Any = 1 if value is None else value
            self.data = self.data + count

    def get(self) -> Counter | Gauge:
        """The value; an `Absolute` begins anew with it."""
        value = self.data
        if isinstance(value, Absolute):
            self.data = self.mtype()
        return value


class MetricCollection:
    """Metrics that are shown together.

    :ivar formatter: `format.Base`, `Dict` or `Json`, or what has their `get`; it may be exchanged.
    """

    def __init__(self, formatter: Base | None = None) -> None:
        self.formatter = Base() if formatter is None else formatter
        self._metrics: dict[Metric, None] = {}

    def add(self, metric: Metric) -> None:
        """Show this one as well."""
        self._metrics[metric] = None

    def remove(self, metric: Metric) -> None:
        """Show it no longer. Raises KeyError when it was not shown."""
        del self._metrics[metric]

    def get(self) -> Any:
        """All of them as the formatter makes it, in the order in which they were added."""
        return self.formatter.get(self._metrics)
