"""What a dispatcher knows of one node, with the events that are on their way to it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Final

import attrs

from nodeset.core.batch import MAX_EVENT, MAX_QUEUED, MAX_QUEUED_BYTES, WINDOW, Events, Policy
from nodeset.core.grants.rights import MEMBER, Rights
from nodeset.core.hello import Hello
from nodeset.core.limits import OBSERVER
from nodeset.core.routing import RouteEntry

__all__ = ["INNER", "STALL", "Quota", "Session", "Slow", "Watch"]

#: What stands for the TubID, as well as for the name, of the session under which peers without NodeSet code publish: it is no
#: node, so nobody is told of it.
INNER: Final = "legacy"
#: Seconds for which a queue may be full under the policy `block` before it is dropped (D7).
STALL = 10.0


@attrs.define(eq=False)
class Quota:
    """How much may be queued for one subscription, how much is; `full_since` is when it last became full.

    It is `closed` when its subscription is over: what is queued still goes out, nothing new comes.
    """

    policy: Policy = Policy.BLOCK
    max_events: int = MAX_QUEUED
    max_bytes: int = MAX_QUEUED_BYTES
    events: int = 0
    bytes: int = 0
    full_since: float | None = None
    stalled: bool = False
    closed: bool = False

    @property
    def full(self) -> bool:
        """Whether nothing more should come."""
        return self.events >= self.max_events or self.bytes >= self.max_bytes

    @property
    def blocks(self) -> bool:
        """Whether a publisher has to wait for it."""
        return self.policy is Policy.BLOCK and not self.stalled and not self.closed and self.full

    def count(self, run: Events, sign: int) -> None:
        """A run comes in (1) or goes out (-1)."""
        self.events += sign * len(run.lengths)
        self.bytes += sign * len(run.payloads)
        if not self.full:
            self.full_since = None


@attrs.define(eq=False)
class Slow:
    """A node does not take its events in: of which subscription, how much was queued when that began, how many were dropped.

    `stalled` says that its queue was dropped under the policy `block`; else `at` is when one was last dropped.
    """

    pattern: str
    queued: int
    stalled: bool
    at: float
    dropped: int = 0


@attrs.define(eq=False)
class Watch:
    """A node is told who is there: what it subscribed to, how far it was told.

    `sent` is the number of the last change that it was sent, `had` of the last that it confirmed. While `anew` it is being
    handed the present state of everybody, and has had those up to the stream id `reached`, None before the first.
    """

    patterns: dict[RouteEntry, frozenset[str]] = attrs.field(factory=dict)
    sent: int = 0
    had: int = 0
    anew: bool = False
    reached: str | None = None
    yields: bool = False


def _first(item: tuple[Events, Quota]) -> int:
    return item[0].first


@attrs.define(eq=False)
class _Queued:
    """One run in a queue; `run` is None when it was dropped from the middle."""

    run: Events | None
    quota: Quota


#: The queue of who was never sent anything: an empty deque takes 760 bytes, and most nodes of a dispatcher may be idle.
_NOTHING: Final[deque[_Queued]] = deque(maxlen=0)


@attrs.define(eq=False)
class Session:
    """A node by its stream id, which is bound to a TubID: its label, its host, its subscriptions, its queues.

    `entries` are its routes by the pattern as it was written; `spellings` has for each route all patterns that mean it (`ev`
    and `localhost/ev`, say), each with whether it wants the node's own events. `away_since` is None while a link is open.
    `arrived` holds the batches that it published and that were not routed, the first one from `position` on; `blocker` is the
    quota that must have room before it is worth while to try again. `told` counts the ranges that it said to hold,
    `branches` the parts of its patterns.
    `state` is what was last said of its presence, at `since`; `census` whether it takes snapshots of that; `observes` whether
    events of mode `one` go past it; `latency` is its round trip in seconds; `drops` counts by reason what it did not get.
    `rights` is what its grant allows, `by` what its events and calls are stamped with; `answers` whether it gets what is
    addressed to its label. `max_event` is the size in bytes of the largest event that it was told it may send.
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
    arrived: list[list[Events]] = attrs.field(factory=list)
    position: int = 0
    blocker: Quota | None = None
    told: int = 0
    branches: int = 0
    state: str = ""
    since: float = 0.0
    census: bool = False
    observes: bool = False
    software: str = ""
    methods: Collection[str] = ()
    latency: float | None = None
    slow: Slow | None = None
    watch: Watch | None = None
    drops: Counter[str] | None = None
    max_event: int = MAX_EVENT
    published: int = 0
    delivered: int = 0
    rights: Rights = MEMBER
    by: str = ""
    answers: bool = True
    _most: int = 16
    _queue: deque[_Queued] = attrs.field(default=_NOTHING)
    _by_quota: dict[int, deque[_Queued]] = attrs.field(factory=dict)
    _holes: int = 0
    _sent: dict[str, list[tuple[Events, Quota]]] = attrs.field(factory=dict)

    def introduce(self, hello: Hello) -> None:
        """It opened a link, and says what it is."""
        self.census, self.observes = "presence" in hello.features, OBSERVER in hello.features
        self.methods = tuple(hello.methods)

    def hold(self, rights: Rights) -> None:
        """Its link was opened with a grant that allows this."""
        self.rights, self.by = rights, f"{self.peer}/{rights.grant}"
        self.answers = not rights.mayAnswer(self.name, own=True)

    @property
    def away(self) -> bool:
        """Whether no link is open."""
        return self.away_since is not None

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way to the node."""
        return not self.queued and not self._sent

    @property
    def queued(self) -> bool:
        """Whether something waits to be sent."""
        return len(self._queue) > self._holes

    @property
    def depth(self) -> tuple[int, int]:
        """How many events wait to be sent, how many bytes they have."""
        return sum(quota.events for quota in self.quotas.values()), sum(quota.bytes for quota in self.quotas.values())

    @property
    def unanswered(self) -> int:
        """How many events were sent and not confirmed."""
        return sum(len(run.lengths) for line in self._sent.values() for run, _quota in line)

    def countDrop(self, reason: str, count: int) -> None:
        """So many events did not get there."""
        if self.drops is None:  # most nodes never have one
            self.drops = Counter()
        self.drops[reason] += count

    @property
    def owed(self) -> bool:
        """Whether there may be something to be sent."""
        return len(self._queue) > self._holes or self.watch is not None

    def shrink(self) -> None:
        """Give back the memory of subscriptions that are gone: a dictionary keeps its size when it is emptied."""
        count = len(self.entries)
        self._most = max(self._most, count)
        if 2 * count < self._most:
            self._most = max(16, count)
            self.entries, self.spellings, self.quotas = dict(self.entries), dict(self.spellings), dict(self.quotas)

    def put(self, run: Events, quota: Quota) -> None:
        """Queue `run`."""
        queued = _Queued(run, quota)
        if self._queue is _NOTHING:
            self._queue = deque()
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
                weight = queued.run.weight
                if batch and size + weight > max_bytes:
                    break
                size += weight
                batch.append(queued.run)
                self.delivered += len(queued.run.lengths)
                self._remember(queued.run, queued.quota)
            self._pop(queued)
        if batch:
            self.credit -= 1
        return batch

    def _remember(self, run: Events, quota: Quota) -> None:
        line = self._sent.setdefault(run.stream, [])
        if not line or line[-1][0].last < run.first:
            line.append((run, quota))
            return
        # Sent before in part: answered since, asked again because the answer was lost. No two runs of a line overlap.
        start = stop = self._find(line, run.first)
        kept = [(run, quota)]
        while stop < len(line) and line[stop][0].first <= run.last:
            old, old_quota = line[stop]
            if old.first < run.first:
                kept.append((old.part(old.first, run.first - 1), old_quota))
            if old.last > run.last:
                kept.append((old.part(run.last + 1, old.last), old_quota))
            stop += 1
        line[start:stop] = sorted(kept, key=_first)

    @staticmethod
    def _find(line: list[tuple[Events, Quota]], first: int) -> int:
        """Where the run is that holds `first`, or else the next one."""
        index = bisect_left(line, first, key=_first)
        return index - 1 if index and line[index - 1][0].last >= first else index

    def _pop(self, queued: _Queued) -> None:
        self._queue.popleft()
        if queued.run is None:
            self._holes -= 1
            return
        queued.quota.count(queued.run, -1)
        line = self._by_quota[id(queued.quota)]
        line.popleft()
        if not line:
            del self._by_quota[id(queued.quota)]

    def dropOldest(self, quota: Quota, events: int, size: int = 0) -> list[Events]:
        """Take the oldest that are queued for `quota` out, `events` at least, more until they weigh `size` bytes.

        For its bytes the newest is never taken out. Returns them in runs.
        """
        line = self._by_quota.get(id(quota), deque())
        dropped: list[Events] = []
        while line and (events > 0 or (size > 0 and quota.events > 1)):
            queued = line[0]
            run = queued.run
            assert run is not None, "what was dropped is in no line"
            count = freed = 0
            for length in run.lengths:
                if count >= events and (freed >= size or count + 1 >= quota.events):
                    break
                count += 1
                freed += length
            quota.count(run, -1)
            if count == len(run.lengths):
                line.popleft()
                queued.run = None
                self._holes += 1
            else:
                queued.run = run.part(run.first + count, run.last)
                quota.count(queued.run, 1)
                run = run.part(run.first, run.first + count - 1)
            events -= count
            size -= freed
            dropped.append(run)
        if not line:
            self._by_quota.pop(id(quota), None)
        self._closeHoles()
        return dropped

    def _closeHoles(self) -> None:
        """Whoever takes nothing, while events come and are dropped, shall not gather what is left of them."""
        if 2 * self._holes > len(self._queue):
            self._queue = deque(queued for queued in self._queue if queued.run is not None)
            self._holes = 0

    def confirmed(self, stream: str, first: int, last: int, waits: Callable[[Events], bool]) -> None:
        """Some of `first..last` of `stream` was answered: let go of the runs of which nothing `waits` for an answer."""
        line = self._sent.get(stream)
        if line is None:
            return
        index = self._find(line, first)
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
        self._holes = 0
        return items

    def takeQueued(self, quota: Quota) -> list[Events]:
        """Everything that is queued for `quota`; nothing of it is left here."""
        return self.dropOldest(quota, quota.events)
