"""Nodes with a dispatcher in memory under random faults: real peers, exchange, frames; wire, clock, payloads are the test's.

Limits are small (a few events in each queue), so that what is rare in production happens all the time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from nodeset.core.batch import TARGET, Level, Mode, Policy, Sub
from nodeset.core.blocks import Terms
from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.inbox import Delivery, Inbox
from nodeset.core.link import Link, Receiver
from nodeset.core.outbox import Outbox
from nodeset.core.peer import Peer
from nodeset.core.stretch import oneByOne
from nodeset.errors import LinkLost, Receipt
from nodeset.transport.memory import MemoryLink, MemoryTransport, MemoryWire
from nodeset.transport.standstill import ProcessClock
from tests.faults.peaks import Limits, Peaks

__all__ = ["Publication", "Wire", "World", "WorldNode"]

#: Bytes of one event: three of them fill a batch.
_PAYLOAD = TARGET * 3 // 10
_QUEUE, _INBOX, _OUTBOX = 8, 6, 15
#: The same terms each time, so that events share blocks as a node's do.
_makeTerms = lru_cache(Terms)


class Wire(MemoryWire):
    """A wire with random delays, each direction in order; some nodes cannot dial for a while."""

    def __init__(self, clock: Clock, rng: random.Random, lag: float) -> None:
        super().__init__(clock)
        self.rng, self.lag = rng, lag
        self.blocked: dict[str, float] = {}
        self.onBatch: Callable[[], None] = lambda: None
        self._last: dict[int, float] = {}

    def carry(self, end: MemoryLink, batch: bytes) -> None:
        """Bring `batch` to `end` some time later, behind what went before."""
        now = self.clock.seconds()
        at = max(self._last.get(id(end), 0.0), now + self.rng.uniform(0.0005, self.lag))
        self._last[id(end)] = at
        self.clock.callLater(at - now, self._bring, end, batch)

    def _bring(self, end: MemoryLink, batch: bytes) -> None:
        end.arrive(batch)
        self.onBatch()

    def open(
        self, peer: str, hello: bytes, receiver: Receiver, grant: str = "", home: ProcessClock | None = None
    ) -> tuple[Link, bytes]:
        """Open a link, unless the network is parted."""
        if self.clock.seconds() < self.blocked.get(peer, 0.0):
            raise LinkLost("parted")
        return super().open(peer, hello, receiver, grant, home)


@attrs.define(eq=False)
class Publication:
    """One event as its publisher sees it; `result` is what its Deferred fired with, `over` when."""

    number: int
    node: WorldNode
    name: str
    mode: Mode
    level: Level
    at: float
    result: Receipt | BaseException | None = None
    over: float | None = None


class WorldNode:
    """A peer whose handlers take their time, fail now and then, publish in turn."""

    def __init__(self, world: World, name: str, subs: list[str], policy: Policy, generation: int = 0) -> None:
        self.world, self.subs, self.policy, self.generation = world, subs, policy, generation
        self.name = name
        self.tub = f"{name}.{generation}"
        self.died: float | None = None
        self.acked: dict[str, float] = {}
        self.outages: list[list[float | None]] = [[world.now, None]]
        self.netfaults: list[float] = []
        self.transport = MemoryTransport(world.wire, self.tub)
        self.transport.startTransport()
        self.peer = Peer(
            name,
            "localhost",
            self.transport,
            world.clock,
            oneByOne(self._deliver),
            self._opened,
            outbox=Outbox(_OUTBOX),
            inbox=Inbox(1, _INBOX),
            draw=world.rng.uniform,
        )
        world.nodes.append(self)
        for sub in subs:
            self.subscribe(sub)
        world.clock.callLater(world.rng.uniform(0, 0.05), self._start)

    @property
    def alive(self) -> bool:
        """Whether it was not killed."""
        return self.died is None

    def _start(self) -> None:
        if self.alive:
            self.peer.start()

    def _opened(self) -> None:
        self.world.tell(f"{self.tub} is linked")
        if self.outages[-1][1] is None:
            self.outages[-1][1] = self.world.now

    def outage(self) -> None:
        """Its link is gone from now on, whether or not it knows."""
        if self.outages[-1][1] is not None:
            self.outages.append([self.world.now, None])

    def subscribe(self, name: str) -> None:
        """Subscribe, note when that was confirmed."""

        def acked(result: object) -> None:
            if result is True:
                self.acked.setdefault(name, self.world.now)

        self.peer.subscribe(Sub(name, True, self.policy, _QUEUE)).addCallbacks(acked, lambda failure: None)

    def publish(self, name: str, mode: Mode, level: Level, timeout: float | None) -> Deferred[Any]:
        """Publish the next event of the world."""
        world = self.world
        publication = Publication(len(world.published), self, name, mode, level, world.now)
        world.published.append(publication)
        payload = publication.number.to_bytes(8, "big").ljust(_PAYLOAD, b"x")
        over: Deferred[Any] = Deferred()

        def fired(result: Any) -> None:
            publication.result = result.value if isinstance(result, Failure) else result
            publication.over = world.now
            over.callback(None)

        self.peer.publisher.publish(_makeTerms(name, mode, level, timeout), payload).addBoth(fired)
        return over

    def _deliver(self, delivery: Delivery) -> Deferred[str | None] | None:
        if not self.alive:
            return Deferred()
        world, rng = self.world, self.world.rng
        number = int.from_bytes(delivery.payload[:8], "big")
        world.calls.append((world.now, self, number))
        ended: Deferred[str | None] = Deferred()

        def end(ignored: object = None) -> None:
            if self.alive:
                world.finished.add((self.tub, number))
                ended.callback("it failed" if rng.random() < 0.03 else None)

        if world.chains and rng.random() < 0.35 and len(world.published) < 150:
            mode, level = rng.choice(list(Mode)), rng.choice((Level.DELIVERED, Level.HANDLED))
            self.publish(rng.choice("ab"), mode, level, 60.0).addCallback(end)
        else:
            world.clock.callLater(world.duration(), end)
        return ended

    def kill(self) -> None:
        """Die as by kill -9."""
        self.world.tell(f"{self.tub} is killed")
        self.died = self.world.now
        self.world.wire.cut(self.tub)
        self.world.wire.blocked[self.tub] = float("inf")
        self.peer.stop()


class World:
    """One run: everything that happens is decided by `seed`."""

    def __init__(
        self, seed: int, *, faults: bool = True, chains: bool = False, slow: bool = True, outage: bool = False
    ) -> None:
        self.rng = rng = random.Random(seed)
        self.clock = Clock()
        self.wire = Wire(self.clock, rng, rng.choice((0.005, 0.02, 0.2)))
        self.chains, self.faulty = chains, faults
        self.slow = slow and rng.random() < 0.3
        self.timeout: float | None = 60.0 if chains else None
        self.nodes: list[WorldNode] = []
        self.published: list[Publication] = []
        self.calls: list[tuple[float, WorldNode, int]] = []
        self.finished: set[tuple[str, int]] = set()
        self.dispatchers: list[tuple[float, float | None]] = []
        self.dispatcher: EventDispatcher | None = None
        self.healed = False
        #: Faults and openings with their times.
        self.story: list[tuple[float, str]] = []
        self.peaks = Peaks(Limits(_QUEUE, _INBOX, _OUTBOX))
        self._countdown: int | None = None
        self._steps = 0
        self.wire.onBatch = self._counted
        self.startDispatcher(fresh=True)
        for index in range(rng.randint(2, 5)):
            subs = [name for name in "ab" if rng.random() < 0.7]
            policy = Policy.BLOCK if rng.random() < 0.7 else Policy.DROP_OLDEST
            WorldNode(self, "ABCDE"[index], subs, policy)
        self.length = 12.0
        for _ in range(rng.randint(5, 90)):
            at = rng.choice((rng.uniform(0, self.length), rng.uniform(2, 3), rng.uniform(5, 5.4)))
            self.clock.callLater(at, self._publish)
        if faults:
            for _ in range(rng.choice((1, 1, 2, 3, 5, 8))):
                at = rng.choice((rng.uniform(0.2, self.length), rng.uniform(2, 3.5), rng.uniform(5, 6)))
                self.clock.callLater(at, self._fault)
            for _ in range(rng.choice((0, 0, 1, 2))):
                self.clock.callLater(rng.uniform(0, self.length), self._subscribe)
        if outage:
            self.clock.callLater(5.5, self.killDispatcher, 75.0)
        self.heal_at = self.length + 2 + (75 if outage else 0)
        self.clock.callLater(self.heal_at, self._heal)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return float(self.clock.seconds())

    def duration(self) -> float:
        """How long a handler takes."""
        draw = self.rng.random()
        if self.slow and draw < 0.1:
            return self.rng.uniform(2, 14)
        return self.rng.uniform(0, 0.02) if draw < 0.8 else self.rng.uniform(0.05, 0.4)

    def run(self, extra: float = 110.0) -> World:
        """Let it all happen, then let it come to rest."""
        end = self.heal_at + extra + (600 if self.slow else 0)
        while True:
            calls = self.clock.getDelayedCalls()
            following = min((call.getTime() for call in calls), default=end)
            if following > end:
                return self
            self.clock.advance(max(0.0, following - self.now))
            self._steps += 1
            if self._steps % 32 == 0:
                self.peaks.sample((node.peer for node in self.nodes if node.alive), self.dispatcher)

    def tell(self, line: str) -> None:
        """Note what happens now, for the trace."""
        self.story.append((self.now, line))

    # -- what happens

    def _living(self) -> list[WorldNode]:
        return [node for node in self.nodes if node.alive]

    def _publish(self) -> None:
        rng = self.rng
        if self._living():
            node = rng.choice(self._living())
            levels = (Level.ACCEPTED, Level.DELIVERED, Level.DELIVERED, Level.HANDLED, Level.HANDLED)
            for _ in range(rng.choice((1, 1, 2, 6))):
                mode = rng.choice((Mode.ALL, Mode.ALL, Mode.ONE))
                node.publish(rng.choice("ab"), mode, rng.choice(levels), self.timeout)

    def _subscribe(self) -> None:
        if self._living():
            self.rng.choice(self._living()).subscribe(self.rng.choice("ab"))

    def _fault(self) -> None:
        if self.healed:
            return
        rng = self.rng
        kinds = ("dispatcher", "dispatcher", "soon", "soon", "node", "drop", "drop", "half", "part", "new")
        kind = rng.choice(kinds)
        if kind == "dispatcher":
            self.killDispatcher(None)
        elif kind == "soon":
            self._countdown = rng.randint(1, 60)
        elif kind == "new":
            WorldNode(self, f"N{len(self.nodes)}", ["a", "b"], Policy.BLOCK)
        elif self._living():
            self._nodeFault(kind, rng.choice(self._living()))

    def _nodeFault(self, kind: str, node: WorldNode) -> None:
        rng = self.rng
        if kind == "node":
            node.outage()
            node.kill()
            self.clock.callLater(rng.choice((0.1, rng.uniform(0.1, 4))), self._reborn, node)
            return
        if kind == "part":
            self.wire.blocked[node.tub] = self.now + rng.uniform(0.3, 6)
        self.tell(f"{node.tub} loses its link: {kind}")
        if kind != "drop":
            node.netfaults.append(self.now)
        node.outage()
        if kind == "half":
            self.wire.blackhole(node.tub)
        else:
            self.wire.cut(node.tub)

    def _reborn(self, node: WorldNode) -> None:
        WorldNode(self, node.name, node.subs, node.policy, node.generation + 1)

    def _counted(self) -> None:
        if self._countdown is not None:
            self._countdown -= 1
            if self._countdown <= 0:
                self._countdown = None
                self.killDispatcher(None)

    def killDispatcher(self, down: float | None) -> None:
        """kill -9; another one starts after `down` seconds."""
        if self.dispatcher is None:
            return
        dispatcher, self.dispatcher = self.dispatcher, None
        self.wire.acceptor = None
        dispatcher.die()
        self.tell("the dispatcher is killed")
        for node in self._living():
            node.outage()
        self.wire.cut()
        self.dispatchers[-1] = (self.dispatchers[-1][0], self.now)
        self.clock.callLater(down or self.rng.choice((0.05, 0.3, self.rng.uniform(0.05, 3))), self.startDispatcher)

    def startDispatcher(self, fresh: bool = False) -> None:
        """A dispatcher that knows nothing."""
        self.dispatcher = EventDispatcher(self.clock, fresh=fresh)
        self.dispatcher.startService()
        self.tell("a dispatcher starts")
        self.wire.acceptor = self.dispatcher
        self.dispatchers.append((self.now, None))

    def _heal(self) -> None:
        self.healed = True
        self._countdown = None
        for node in self._living():
            self.wire.blocked.pop(node.tub, None)
