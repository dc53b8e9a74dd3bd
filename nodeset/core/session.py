"""What a dispatcher knows of one node, with the events that are on their way to it."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator

import attrs

from nodeset.core.batch import MAX_QUEUED, MAX_QUEUED_BYTES, WINDOW, Events, Policy
from nodeset.core.routing import RouteEntry

__all__ = ["Quota", "Session"]


@attrs.define(eq=False)
class Quota:
    """How much may be queued for one subscription, how much is; `full_since` is when it last became full."""

    policy: Policy = Policy.BLOCK
    max_events: int = MAX_QUEUED
    max_bytes: int = MAX_QUEUED_BYTES
    events: int = 0
    bytes: int = 0
    full_since: float | None = None
    stalled: bool = False

    @property
    def full(self) -> bool:
        """Whether nothing more should come."""
        return self.events >= self.max_events or self.bytes >= self.max_bytes

    @property
    def blocks(self) -> bool:
        """Whether a publisher has to wait for it."""
        return self.policy is Policy.BLOCK and not self.stalled and self.full

    def count(self, run: Events, sign: int) -> None:
        """A run comes in (1) or goes out (-1)."""
        self.events += sign * len(run.lengths)
        self.bytes += sign * len(run.payloads)
        if not self.full:
            self.full_since = None


def _first(item: tuple[Events, Quota]) -> int:
    return item[0].first


@attrs.define(eq=False)
class _Queued:
    """One run in a queue; `run` is None when it was dropped from the middle."""

    run: Events | None
    quota: Quota


@attrs.define(eq=False)
class Session:
    """A node by its stream id, which is bound to a TubID: its label, its host, its subscriptions, its queues.

    `entries` are its routes by the pattern as it was written; `spellings` has for each route all patterns that mean it (`ev`
    and `localhost/ev`, say), each with whether it wants the node's own events. `away_since` is None while a link is open.
    `arrived` holds the batches that it published and that were not routed, the first one from `position` on.
    """

    stream: str
    peer: str
    name: str
    host: str
    entries: dict[str, RouteEntry] = attrs.field(factory=dict)
    spellings: dict[RouteEntry, dict[str, bool]] = attrs.field(factory=dict)
    quotas: dict[RouteEntry, Quota] = attrs.field(factory=dict)
    suspect: bool = False
    retiring: bool = False
    away_since: float | None = None
    highest: int = 0
    credit: int = WINDOW
    arrived: deque[list[Events]] = attrs.field(factory=deque)
    position: int = 0
    _queue: deque[_Queued] = attrs.field(factory=deque)
    _by_quota: dict[int, deque[_Queued]] = attrs.field(factory=dict)
    _sent: dict[str, list[tuple[Events, Quota]]] = attrs.field(factory=dict)

    @property
    def away(self) -> bool:
        """Whether no link is open."""
        return self.away_since is not None

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way to the node."""
        return not self._queue and not self._sent

    @property
    def queued(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._queue)

    def put(self, run: Events, quota: Quota) -> None:
        """Queue `run`."""
        queued = _Queued(run, quota)
        self._queue.append(queued)
        self._by_quota.setdefault(id(quota), deque()).append(queued)
        quota.count(run, 1)

    def take(self, max_bytes: int) -> list[Events]:
        """The next batch, about `max_bytes`, if there is credit for one; it counts as sent from here on."""
        if self.credit <= 0 or self.away:
            return []
        batch: list[Events] = []
        size = 0
        while self._queue and size < max_bytes:
            queued = self._queue[0]
            if queued.run is not None:
                weight = len(queued.run.payloads) + 5 * len(queued.run.lengths) + 64
                if batch and size + weight > max_bytes:
                    break
                size += weight
                batch.append(queued.run)
                self._remember(queued.run, queued.quota)
            self._pop(queued)
        if batch:
            self.credit -= 1
        return batch

    def _remember(self, run: Events, quota: Quota) -> None:
        line = self._sent.setdefault(run.stream, [])
        if line and line[-1][0].first > run.first:
            insort(line, (run, quota), key=_first)
        else:
            line.append((run, quota))

    def _pop(self, queued: _Queued) -> None:
        self._queue.popleft()
        if queued.run is not None:
            queued.quota.count(queued.run, -1)
            line = self._by_quota[id(queued.quota)]
            while line and line[0].run is None:
                line.popleft()
            line.popleft()
            if not line:
                del self._by_quota[id(queued.quota)]

    def dropOldest(self, quota: Quota, events: int) -> Iterator[Events]:
        """Take the `events` oldest that are queued for `quota` out; yields them in runs."""
        line = self._by_quota.get(id(quota), deque())
        while events > 0 and line:
            queued = line[0]
            run = queued.run
            if run is None:
                line.popleft()
                continue
            quota.count(run, -1)
            if len(run.lengths) <= events:
                line.popleft()
                queued.run = None
                dropped = run
            else:
                dropped = run.part(run.first, run.first + events - 1)
                queued.run = run.part(run.first + events, run.last)
                quota.count(queued.run, 1)
            events -= len(dropped.lengths)
            yield dropped
        if not line:
            self._by_quota.pop(id(quota), None)

    def confirmed(self, stream: str, first: int, last: int, waits: Callable[[Events], bool]) -> None:
        """Some of `first..last` of `stream` was answered: let go of the runs of which nothing `waits` for an answer."""
        line = self._sent.get(stream)
        if line is None:
            return
        index = max(0, bisect_right(line, first, key=_first) - 1)
        while index < len(line) and line[index][0].first <= last:
            if waits(line[index][0]):
                index += 1
            else:
                del line[index]
        if not line:
            del self._sent[stream]

    def takeBack(self) -> list[tuple[Events, Quota]]:
        """Everything that was sent and not confirmed, then everything queued; nothing of it is left here."""
        items = [item for line in self._sent.values() for item in line]
        items += [(queued.run, queued.quota) for queued in self._queue if queued.run is not None]
        for queued in self._queue:
            if queued.run is not None:
                queued.quota.count(queued.run, -1)
        self._sent.clear()
        self._queue.clear()
        self._by_quota.clear()
        return items

    def takeQueued(self, quota: Quota) -> list[Events]:
        """Everything that is queued for `quota`; nothing of it is left here."""
        return list(self.dropOldest(quota, quota.events))
