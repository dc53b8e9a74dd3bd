"""The figures of a dispatcher, for one that asks: its own method `stats`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nodeset.core.batch import VERSION
from nodeset.core.exchange import Exchange
from nodeset.core.figures.histogram import Histogram, Lateness
from nodeset.version import __version__

__all__ = ["Figures"]


class Figures:
    """What is measured of one dispatcher since its start.

    :param about: what never changes: `site`, `boot`, `max_nodes`, `max_message`.
    :param interval: seconds between two calls of `beat`.
    :param counters: the counters of `EventDispatcher.getStats`.
    :param weigh: returns something with `rss`, `fds`, `max_fds`, each None where it is not known.
    :param wall: returns the Unix time.
    """

    def __init__(
        self,
        exchange: Exchange,
        about: Mapping[str, Any],
        interval: float,
        counters: Callable[[], Mapping[str, int]],
        weigh: Callable[[], Any],
        wall: Callable[[], float],
    ) -> None:
        self._answers, self._about = exchange.answers, dict(about)
        self._counters, self._weigh, self._wall = counters, weigh, wall
        self._began = 0.0
        self._lateness = Lateness(interval)
        #: How long nodes take to answer a ping.
        self.round_trip = Histogram()

    def begin(self, now: float) -> None:
        """The dispatcher starts."""
        self._began = now
        self._lateness.begin(now)

    def beat(self, now: float) -> None:
        """To be called at every interval; when it comes late, the reactor was busy for so long."""
        self._lateness.beat(now)

    def told(self, now: float) -> dict[str, Any]:
        """All of them. Keys may be added in later versions, none goes or changes its meaning.

        `site`, `boot`, `version`, `protocol`, `max_nodes`, `max_message` say who answers. `uptime` is in seconds, `wall` is the
        Unix time, `rss` is in bytes, `fds` and `max_fds` are descriptors (None where the system, or a missing psutil, does not
        tell). `lag` is the greatest lateness of the reactor in the last minute, in seconds. `counters` is `getStats`, `drops`
        counts by reason the events that nodes did not get. `delivery` (from routing a run of events until the last node has
        answered for it) and `round_trip` (pings) are histograms.
        """
        weight = self._weigh()
        return {
            **self._about,
            "version": __version__,
            "protocol": VERSION,
            "uptime": now - self._began,
            "wall": self._wall(),
            "rss": weight.rss,
            "fds": weight.fds,
            "max_fds": weight.max_fds,
            "lag": round(self._lateness.worst(now), 6),
            "counters": dict(self._counters()),
            "drops": dict(self._answers.drops),
            "delivery": self._answers.delivery.told(),
            "round_trip": self.round_trip.told(),
        }
