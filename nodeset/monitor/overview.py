"""What a monitor knows of a dispatcher with its nodes, from all that it was told so far."""

from __future__ import annotations

from collections.abc import Iterable

from nodeset.core.figures.reading import Reading, Spread
from nodeset.monitor.labels import Labels, Sight
from nodeset.monitor.totals import SpreadTotal, Tally

__all__ = ["Overview"]


class Overview:
    """Counters of it only grow, whatever the dispatcher goes through; all else is as it was last told.

    :param max_labels: labels of nodes that have rows of their own.
    :ivar up: whether the dispatcher answered when it was last asked.
    :ivar reading: what it answered, None before it first did.
    :ivar rates: a second, since the answer before: events published, deliveries, drops.
    """

    def __init__(self, max_labels: int) -> None:
        self.up = False
        self.reading: Reading | None = None
        self.counters, self.drops = Tally(), Tally()
        self.delivery, self.round_trip = SpreadTotal(), SpreadTotal()
        self.labels = Labels(max_labels)
        self.rates = (0.0, 0.0, 0.0)
        #: What came since the answer before.
        self.recent_delivery, self.recent_round_trip = Spread(), Spread()
        self.restarts = 0

    def told(self, reading: Reading) -> None:
        """The dispatcher has answered."""
        old = self.reading
        anew = old is not None and old.boot != reading.boot
        if anew:
            self.restarts += 1
            self.labels.anew()
        before = self._sums()
        self.counters.see(reading.counters, anew)
        self.drops.see(reading.drops, anew)
        self.recent_delivery = self.delivery.see(reading.delivery, anew)
        self.recent_round_trip = self.round_trip.see(reading.round_trip, anew)
        took = reading.uptime - (0.0 if anew or old is None else old.uptime)
        if old is not None and took > 0:
            first, second, third = (max(0.0, now - then) / took for now, then in zip(self._sums(), before, strict=True))
            self.rates = first, second, third
        self.reading, self.up = reading, True

    def _sums(self) -> tuple[int, int, int]:
        totals = self.counters.totals
        return totals.get("published", 0), totals.get("pubs", 0), sum(self.drops.totals.values())

    def lost(self) -> None:
        """It has not answered."""
        self.up = False
        self.rates = (0.0, 0.0, 0.0)

    def sweep(self, sights: Iterable[Sight]) -> None:
        """It has told of all nodes that are there."""
        self.labels.sweep(sights)
