"""What a monitor knows, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from nodeset.core.figures.reading import Reading, plain
from nodeset.monitor.labels import Row
from nodeset.monitor.overview import Overview
from nodeset.monitor.totals import SpreadTotal

__all__ = ["Exposition"]

#: Counters of the dispatcher that are no count of what happened.
_GAUGES: Final = frozenset({"subs", "nodes", "pending"})
#: Those that have a name of their own: metric, what it is.
_COUNTERS: Final = {
    "published": ("events_published", "Events that the dispatcher routed."),
    "pubs": ("events_delivered", "Events queued for subscribers, one for each."),
    "bytes_in": ("received_bytes", "Bytes that came from nodes."),
    "bytes_out": ("sent_bytes", "Bytes that went to nodes."),
    "calls": ("calls", "Calls that came."),
}
#: Reasons, kinds that are told from the start: a series that begins with its first drop has no increase.
_REASONS: Final = ("dropped_newest", "dropped_oldest", "expired", "late", "lost", "presence")
_KINDS: Final = ("expelled", "protocol_errors", "refused_events", "refused_grants", "refused_subscriptions", "silent")
#: Of a row: metric, attribute, what it is; counters, then all else.
_ROW_COUNTERS: Final = (
    ("node_published", "published", "Events that came from the nodes of a label."),
    ("node_delivered", "delivered", "Events that were sent to them."),
    ("node_drops", "dropped", "Events that they did not get."),
)
_ROW_GAUGES: Final = (
    ("node_instances", "instances", "Nodes that bear the label."),
    ("node_queued_events", "queued_events", "Events that wait for them at the dispatcher."),
    ("node_queued_bytes", "queued_bytes", "Bytes of payload that these have."),
    ("node_unanswered_events", "unanswered", "Events on their way to them, or with them."),
    ("node_calls_running", "calls_running", "Calls that they were sent and have not answered."),
    ("node_calls_waiting", "calls_waiting", "Calls that wait for them at the dispatcher."),
    ("node_round_trip_seconds", "latency", "Smoothed round trip to the dispatcher, the longest of them."),
    ("node_lag_seconds", "lag", "Greatest lateness of their reactors in the last minute."),
    ("node_resident_memory_bytes", "rss", "Resident memory, of the largest of their processes."),
    ("node_uptime_seconds", "uptime", "Seconds since the youngest of them was started."),
)
_OPTIONAL: Final = (
    ("resident_memory_bytes", "rss", "Resident memory of the dispatcher."),
    ("open_fds", "fds", "Open file descriptors of the dispatcher."),
    ("max_fds", "max_fds", "How many file descriptors it may have."),
    ("lag_seconds", "lag", "Greatest lateness of the dispatcher's reactor in the last minute."),
    ("max_nodes", "max_nodes", "How many nodes it takes."),
)


class Exposition(Collector):
    """A collector that makes its families of `overview` each time that it is asked."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        overview, reading = self._overview, self._overview.reading
        yield GaugeMetricFamily("nodeset_up", "Whether the dispatcher answered when it was last asked.", float(overview.up))
        if reading is None:
            return
        site = plain(reading.site)
        yield from self._told(reading, site)
        yield from self._counted(site)
        yield _histogram("delivery", "From routing an event until the last node answered for it.", overview.delivery, site)
        yield _histogram("round_trip", "Pings of nodes.", overview.round_trip, site)
        yield from self._nodes(site)

    def _told(self, reading: Reading, site: str) -> Iterator[Metric]:
        if not self._overview.up:
            return  # what it was is not what it is
        info = GaugeMetricFamily("nodeset_dispatcher_info", "Who answers.", labels=["site", "version", "protocol"])
        info.add_metric([site, plain(reading.version), str(reading.protocol)], 1)
        yield info
        yield _gauge("uptime_seconds", "Seconds since the dispatcher was started.", site, reading.uptime)
        for name, attribute, text in _OPTIONAL:
            value = getattr(reading, attribute)
            if value is not None:
                yield _gauge(name, text, site, value)
        yield _gauge("nodes", "Nodes that are linked.", site, reading.counters.get("nodes", 0))
        yield _gauge("subscriptions", "Subscriptions that they hold.", site, reading.counters.get("subs", 0))
        yield _gauge("pending_events", "Events whose answers are due.", site, reading.counters.get("pending", 0))

    def _counted(self, site: str) -> Iterator[Metric]:
        overview, totals = self._overview, self._overview.counters.totals
        for counter, (name, text) in _COUNTERS.items():
            family = CounterMetricFamily(f"nodeset_{name}", text, labels=["site"])
            family.add_metric([site], totals.get(counter, 0))
            yield family
        yield _byName(
            "drops", "Events that nodes did not get.", "reason", site, {**dict.fromkeys(_REASONS, 0), **overview.drops.totals}
        )
        rest = {name: count for name, count in totals.items() if name not in _COUNTERS and name not in _GAUGES}
        yield _byName("incidents", "What else the dispatcher counts.", "kind", site, {**dict.fromkeys(_KINDS, 0), **rest})
        family = CounterMetricFamily("nodeset_restarts", "Starts of the dispatcher that the monitor saw.", labels=["site"])
        family.add_metric([site], overview.restarts)
        yield family

    def _nodes(self, site: str) -> Iterator[Metric]:
        labels = ["site", "node", "host"]
        rows = [([site, *label], row) for label, row in self._overview.labels.rows.items()]
        for name, attribute, text in _ROW_COUNTERS:
            counter = CounterMetricFamily(f"nodeset_{name}", text, labels=labels)
            for values, row in rows:
                counter.add_metric(values, getattr(row, attribute))
            yield counter
        if self._overview.up:
            for name, attribute, text in _ROW_GAUGES:
                yield _rowGauge(name, attribute, text, labels, rows)
            states = GaugeMetricFamily("nodeset_nodes_in_state", "Nodes by state.", labels=["site", "state"])
            for state in ("up", "slow", "suspect", "away"):
                states.add_metric([site, state], self._overview.labels.states.get(state, 0))
            yield states
        incidents = CounterMetricFamily("nodeset_node_incidents", "What nodes count of themselves.", labels=[*labels, "kind"])
        for values, row in rows:
            for kind, count in row.incidents.items():
                incidents.add_metric([*values, kind], count)
        yield incidents


def _rowGauge(name: str, attribute: str, text: str, labels: list[str], rows: list[tuple[list[str], Row]]) -> Metric:
    gauge = GaugeMetricFamily(f"nodeset_{name}", text, labels=labels)
    for values, row in rows:
        value: Any = getattr(row, attribute)
        if value is not None:
            gauge.add_metric(values, value)
    return gauge


def _gauge(name: str, text: str, site: str, value: float) -> Metric:
    family = GaugeMetricFamily(f"nodeset_{name}", text, labels=["site"])
    family.add_metric([site], value)
    return family


def _byName(name: str, text: str, label: str, site: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"nodeset_{name}", text, labels=["site", label])
    told: dict[str, int] = {}
    for each, count in counts.items():
        told[plain(each)] = told.get(plain(each), 0) + count
    for each, count in told.items():
        family.add_metric([site, each], count)
    return family


def _histogram(name: str, text: str, total: SpreadTotal, site: str) -> Metric:
    family = HistogramMetricFamily(f"nodeset_{name}_seconds", text, labels=["site"])
    buckets, seen = [], 0
    for bound, count in zip([*map(str, total.bounds), "+Inf"], total.counts, strict=False):
        seen += count
        buckets.append((bound, float(seen)))
    if buckets:
        family.add_metric([site], buckets, total.sum)
    return family
