"""The nodes of a dispatcher by their labels: the busiest by themselves, the rest summed.

A label is a name with a host, which several nodes may bear, so that a node that is started again goes on where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from nodeset.core.figures.reading import NodeFigures, plain
from nodeset.core.presence.asking import NodeInfo
from nodeset.monitor.totals import OTHER, Tally

__all__ = ["REST", "Label", "Labels", "Row", "Sight", "sighted"]

Label = tuple[str, str]
#: Under which the rest is summed; no node has an empty host.
REST: Final[Label] = (OTHER, "")
#: How much of a label's activity of earlier sweeps counts still.
_FADE: Final = 0.5
#: How much busier another one has to be to take a label's place: series that come and go are worth little.
_LOYALTY: Final = 1.5
#: Labels that had no row before get one: so many for each row at once, then one in so many sweeps. Whoever reads the metrics
#: keeps each series for weeks, and a node calls itself what it likes.
_FRESH: Final = 4
_SWEEPS: Final = 20
#: Labels that are known to have had a row, for each row.
_KNOWN: Final = 20
#: What a node counts of itself that is worth telling.
_TOLD: Final = frozenset(
    {
        "answered",
        "calls_failed",
        "calls_timed_out",
        "duplicate",
        "expired",
        "outcome_unknown",
        "overloaded",
        "received",
        "refused",
        "timed_out",
    }
)


@attrs.frozen
class Sight:
    """One node as a sweep saw it: no more than is needed of it."""

    label: Label
    stream: str
    state: str
    published: int
    delivered: int
    dropped: int
    queued_events: int
    queued_bytes: int
    unanswered: int
    calls_running: int
    calls_waiting: int
    latency: float | None


def sighted(info: NodeInfo) -> Sight:
    """What is needed of what a dispatcher told of one node."""
    return Sight(
        (plain(info.name), plain(info.host)),
        info.stream,
        "away" if info.away else plain(info.state),
        info.published,
        info.delivered,
        sum(info.drops.values()),
        info.queued_events,
        info.queued_bytes,
        info.unanswered_events,
        info.calls_running,
        info.calls_waiting,
        info.latency,
    )


@attrs.define
class Row:
    """All nodes of one label together. Counters only grow; all else is as it was seen last.

    `latency` and `lag` are the worst of them, `rss` is the largest, `uptime` the youngest; None where nobody told.
    """

    published: int = 0
    delivered: int = 0
    dropped: int = 0
    instances: int = 0
    queued_events: int = 0
    queued_bytes: int = 0
    unanswered: int = 0
    calls_running: int = 0
    calls_waiting: int = 0
    latency: float | None = None
    lag: float | None = None
    rss: int | None = None
    uptime: float | None = None
    incidents: Counter[str] = attrs.field(factory=Counter)

    def begin(self) -> None:
        """Another sweep is to be summed."""
        self.instances = self.queued_events = self.queued_bytes = 0
        self.unanswered = self.calls_running = self.calls_waiting = 0
        self.latency = None

    def add(self, sight: Sight, new: tuple[int, int, int]) -> None:
        """One more of them; so much is new of what it published, got, did not get."""
        self.published += new[0]
        self.delivered += new[1]
        self.dropped += new[2]
        self.instances += 1
        self.queued_events += sight.queued_events
        self.queued_bytes += sight.queued_bytes
        self.unanswered += sight.unanswered
        self.calls_running += sight.calls_running
        self.calls_waiting += sight.calls_waiting
        if sight.latency is not None:
            self.latency = max(sight.latency, self.latency or 0.0)


class Labels:
    """A row for each of the `most` busiest labels, one for the rest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._fresh = float(_FRESH * most)
        self._known: dict[Label, None] = {}
        self.rows: dict[Label, Row] = {REST: Row()}
        #: How many nodes are in which state.
        self.states: Counter[str] = Counter()
        self._last: dict[str, tuple[int, int, int]] = {}
        self._activity: dict[Label, float] = {}
        self._tallies: dict[Label, dict[str, Tally]] = {}

    def anew(self) -> None:
        """The dispatcher was started anew: what it counts of nodes has begun at 0."""
        self._last = {}

    def sweep(self, sights: Iterable[Sight]) -> None:
        """All nodes that are there now."""
        seen: dict[str, tuple[int, int, int]] = {}
        news: list[tuple[Sight, tuple[int, int, int]]] = []
        activity: Counter[Label] = Counter()
        self.states = Counter()
        for sight in sights:
            count = sight.published, sight.delivered, sight.dropped
            was = self._last.get(sight.stream, (0, 0, 0))
            new = count[0] - was[0], count[1] - was[1], count[2] - was[2]
            if min(new) < 0:
                new = count  # the dispatcher has forgotten it in between
            seen[sight.stream] = count
            news.append((sight, new))
            activity[sight.label] += sum(new)
            self.states[sight.state] += 1
        self._last = seen
        self._choose(activity)
        for row in self.rows.values():
            row.begin()
        for sight, new in news:
            (self.rows.get(sight.label) or self.rows[REST]).add(sight, new)

    def _choose(self, activity: Mapping[Label, int]) -> None:
        self._activity = {label: count + _FADE * self._activity.get(label, 0.0) for label, count in activity.items()}

        def rank(label: Label) -> tuple[float, Label]:
            weight = self._activity[label]
            return -(weight * _LOYALTY + 1e-9 if label in self.rows else weight), label

        self._fresh = min(float(_FRESH * self._most), self._fresh + 1 / _SWEEPS)
        chosen: list[Label] = []
        # A node that is called as the rest is summed with it.
        for label in sorted((label for label in activity if label[0] != OTHER), key=rank):
            if len(chosen) < self._most and self._mayHaveRow(label):
                chosen.append(label)
        self.rows = {label: self.rows.get(label) or Row() for label in chosen} | {REST: self.rows[REST]}
        self._tallies = {label: tallies for label, tallies in self._tallies.items() if label in self.rows}

    def _mayHaveRow(self, label: Label) -> bool:
        if label in self._known:
            del self._known[label]
        elif self._fresh >= 1:
            self._fresh -= 1
        else:
            return False
        self._known[label] = None
        if len(self._known) > _KNOWN * self._most:
            del self._known[next(iter(self._known))]
        return True

    def figures(self, label: Label, told: Mapping[str, NodeFigures]) -> None:
        """What the nodes of this label told of themselves, by their stream ids."""
        row = self.rows.get(label)
        if row is None or label == REST:
            return
        row.lag = max((each.lag for each in told.values()), default=None)
        row.rss = max((each.rss for each in told.values() if each.rss is not None), default=None)
        row.uptime = min((each.uptime for each in told.values()), default=None)
        before = self._tallies.get(label, {})
        tallies = self._tallies[label] = {stream: before.get(stream) or Tally() for stream in told}
        for stream, each in told.items():
            tally = tallies[stream]
            old = Counter(tally.totals)
            tally.see({name: value for name, value in each.counters.items() if name in _TOLD})
            row.incidents.update(Counter(tally.totals) - old)
