"""The ledger: what publishers were told against what handlers saw, as violations of the seven invariants of delivery.

I1 every subscriber that was due got what was confirmed with `dropped == 0`; I2 no second handler call while the receiver
lives (mode all); I3 FIFO per publisher with subscriber (mode all); I4 mode one runs once unless its taker died or was out of
reach for 2 s, at least once for `handled`; I5 every Deferred fires within a bound once the network is healed; I6 no queue,
set or table ever held more than its limits allow; I7 no deadlock (which I5 shows).
"""

from __future__ import annotations

from itertools import pairwise

from nodeset.core.batch import Level, Mode
from nodeset.errors import HandlerFailed, OutcomeUnknown, Receipt, Undelivered
from tests.faults.world import Publication, World, WorldNode

__all__ = ["Violation", "check"]

Violation = tuple[str, int, str]


def _outOfReach(world: World, node: WorldNode) -> list[tuple[float, float]]:
    """When `node` had no open link for 2 s or more while one dispatcher was up, by a fault of its network."""
    found = []
    for begin, end in node.outages:
        a, b = begin or 0.0, world.now if end is None else end
        for started, stopped in world.dispatchers:
            low, high = max(a, started), min(b, world.now if stopped is None else stopped)
            if high - low >= 1.999 and any(a - 0.1 <= fault <= b for fault in node.netfaults):
                found.append((a, b))
    return found


class _Ledger:
    def __init__(self, world: World, bound: float) -> None:
        self.world, self.bound = world, bound
        self.bad: list[Violation] = []
        self.reach = {node: _outOfReach(world, node) for node in world.nodes}
        self.calls: dict[int, list[tuple[float, WorldNode]]] = {}
        for at, node, number in world.calls:
            self.calls.setdefault(number, []).append((at, node))

    def say(self, invariant: str, publication: Publication, text: str) -> None:
        self.bad.append((invariant, publication.number, text))

    def due(self, publication: Publication) -> list[WorldNode]:
        over = publication.over or 0.0

        def far(node: WorldNode) -> bool:
            return any(a <= over and b >= publication.at for a, b in self.reach[node])

        return [
            node
            for node in self.world.nodes
            if node.acked.get(publication.name, 1e9) <= publication.at
            and (node.died is None or node.died > over)
            and not far(node)
        ]

    def confirmed(self, publication: Publication) -> None:
        """I1, I4, I5: what one publisher was told."""
        world, result, over = self.world, publication.result, publication.over
        if over is None:
            if publication.at <= world.now - 65:
                self.say("I5", publication, f"{publication.level.name}/{publication.mode.name} never fired")
            return
        if isinstance(result, OutcomeUnknown):
            return
        if over > max(world.heal_at, publication.at) + self.bound + 300 * world.slow:
            self.say("I5", publication, f"late by {over - world.heal_at:.0f} s")
        if publication.level is Level.ACCEPTED:
            return
        receipt = result.receipt if isinstance(result, (Undelivered, HandlerFailed)) else result
        if not isinstance(receipt, Receipt):
            self.say("I5", publication, f"fired with {result!r}")
            return
        seen = {node for at, node in self.calls.get(publication.number, ()) if at <= over + 1e-9}
        if len(seen) < receipt.delivered:
            self.say("I1", publication, f"the receipt says {receipt.delivered}, {len(seen)} were called")
        if isinstance(result, Undelivered) or receipt.dropped:
            return
        due = self.due(publication)
        if publication.mode is Mode.ALL:
            for node in due:
                if node not in seen:
                    self.say("I1", publication, f"confirmed {result!r} at {over:.3f}, {node.tub} was not called")
                elif publication.level is Level.HANDLED and (node.tub, publication.number) not in world.finished:
                    self.say("I1", publication, f"confirmed, {node.tub} has not finished")
        else:
            if due and not seen:
                self.say("I4", publication, f"confirmed {result!r}, nobody was called, due {[node.tub for node in due]}")
            finished = any((node.tub, publication.number) in world.finished for node in seen)
            if publication.level is Level.HANDLED and receipt.delivered and not finished:
                self.say("I4", publication, "nobody has finished")

    def ran(self, number: int, calls: list[tuple[float, WorldNode]]) -> None:
        """I2, I4: how often one event ran."""
        publication = self.world.published[number]
        nodes = [node for _at, node in calls]
        for node in set(nodes):
            if nodes.count(node) > 1:
                self.say("I2", publication, f"{node.tub} was called {nodes.count(node)} times")
        if publication.mode is Mode.ONE and publication.node.alive:
            for (at, one), (later, other) in pairwise(calls):
                excused = (
                    one is other
                    or (one.died is not None and one.died <= later)
                    or any(b >= at - 25 and a <= later for a, b in self.reach[one])
                    or any(a <= later <= b + 0.1 for a, b in self.reach[other])
                )
                if not excused:
                    self.say("I4", publication, f"ran at {one.tub} ({at:.3f}), then at {other.tub} ({later:.3f})")

    def order(self) -> None:
        """I3: in which order."""
        newest: dict[tuple[WorldNode, WorldNode], int] = {}
        for _at, node, number in self.world.calls:
            publication = self.world.published[number]
            if publication.mode is Mode.ALL:
                pair = (node, publication.node)
                if number < newest.get(pair, -1):
                    self.say("I3", publication, f"{node.tub} called it after {newest[pair]}")
                newest[pair] = max(number, newest.get(pair, -1))


def check(world: World, bound: float = 60.0) -> list[Violation]:
    """Every violation in a run that has come to rest; `bound` is in seconds."""
    ledger = _Ledger(world, bound)
    for publication in world.published:
        if publication.node.alive:
            ledger.confirmed(publication)
    for number, calls in ledger.calls.items():
        ledger.ran(number, calls)
    ledger.order()
    return ledger.bad + [("I6", -1, text) for text in world.peaks.excesses()]
