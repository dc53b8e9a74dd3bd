"""The figures of the bridge itself, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from nodeset.version import __version__
from nodeset.web.figures.tolls import Tolls

__all__ = ["Exposition"]

#: Seconds for which the same text is given, however often it is asked for.
_FRESH: Final = 1.0
#: Counters with a reason, or a kind, behind a colon: metric, label, what it is.
_LABELLED: Final = {
    "refused": ("refusals", "reason", "Requests, or connections, that were not served."),
    "cut": ("cuts", "reason", "Streams that were cut."),
    "closed": ("closes", "reason", "WebSockets that the bridge closed."),
    "ended": ("ends", "reason", "Feeds, or streams, that ended with what they were opened by."),
    "dropped": ("drops", "reason", "Events that clients did not get."),
    "opened": ("streams_opened", "kind", "Streams that were opened."),
}
#: Counters that have a metric of their own: what it is.
_ALONE: Final = {
    "connections": "Connections that came.",
    "events_out": "Events for those who read them as streams, one for each.",
    "failed": "Requests at which the bridge failed: its log says how.",
}
#: Gauges that have one: what it is.
_GAUGES: Final = {
    "agents": "Nodes that are linked on behalf of clients.",
    "channels": "Connections that are open.",
    "feeds": "Patterns that are subscribed to for clients, by agent.",
    "linked": "Whether the bridge is linked to the dispatcher.",
    "resident_memory_bytes": "Resident memory of the bridge.",
    "ring_bytes": "Bytes of events that are kept for clients that come back.",
    "uptime_seconds": "Seconds since the bridge was started.",
}


class Exposition(Collector):
    """Makes its families each time that it is asked, its text once a second.

    :param counters: those of the bridge.
    :param now: seconds of a monotonic clock.
    """

    content_type = CONTENT_TYPE_LATEST.encode()

    def __init__(self, tolls: Tolls, counters: Mapping[str, int], now: Callable[[], float]) -> None:
        self._tolls, self._counters, self._now = tolls, counters, now
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._text, self._made = b"", now() - _FRESH - 1

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        now = self._now()
        if now - self._made > _FRESH:
            self._text, self._made = generate_latest(self._registry), now
        return self._text

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        info = GaugeMetricFamily("nodeset_web_info", "Who answers.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield from self._requests()
        yield from self._counted()
        yield from self._levels()

    def _requests(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "nodeset_web_requests", "Requests that were answered.", labels=["route", "method", "status"]
        )
        for values, count in list(self._tolls.requests.items()):
            family.add_metric(values, count)
        yield family
        took = HistogramMetricFamily(
            "nodeset_web_request_seconds", "From the head of a request to its answer.", labels=["route"]
        )
        for route, histogram in list(self._tolls.durations.items()):
            told: dict[str, Any] = histogram.told()
            buckets, seen = [], 0
            for bound, count in zip([*map(str, told["bounds"]), "+Inf"], told["counts"], strict=True):
                seen += count
                buckets.append((bound, float(seen)))
            took.add_metric([route], buckets, told["sum"])
        yield took

    def _counted(self) -> Iterator[Metric]:
        labelled = {
            name: CounterMetricFamily(f"nodeset_web_{metric}", text, labels=[label])
            for name, (metric, label, text) in _LABELLED.items()
        }
        rest = CounterMetricFamily("nodeset_web_incidents", "What else the bridge counts.", labels=["kind"])
        counters = dict(self._counters)
        for name, text in _ALONE.items():
            yield CounterMetricFamily(f"nodeset_web_{name}", text, value=counters.pop(name, 0))
        for name, count in sorted(counters.items()):
            kind, _colon, label = name.partition(":")
            if label and kind in labelled:
                labelled[kind].add_metric([label], count)
            else:
                rest.add_metric([name], count)
        yield from labelled.values()
        yield rest

    def _levels(self) -> Iterator[Metric]:
        streams = GaugeMetricFamily("nodeset_web_streams", "Streams that are open.", labels=["kind"])
        for name, count in sorted(self._tolls.streams.items()):
            streams.add_metric([name], count)
        rest = GaugeMetricFamily("nodeset_web_levels", "What else there is now.", labels=["kind"])
        for name, ask in sorted(self._tolls.gauges.items()):
            kind, _colon, label = name.partition(":")
            if kind == "streams" and label:
                streams.add_metric([label], ask())
            elif name in _GAUGES:
                yield GaugeMetricFamily(f"nodeset_web_{name}", _GAUGES[name], value=ask())
            else:
                rest.add_metric([name], ask())
        yield streams
        yield rest
