"""Random trouble from a seed: the same each time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.node import Node
from nodeset.testing.faults import Faults

__all__ = ["Troubles"]

#: Seconds between two troubles, how long one lasts, at most.
_PAUSE: Final = 2.0
_LASTS: Final = 5.0
#: Seconds within which nodes are linked again at the end, whatever happened.
_PEACE: Final = 30.0


class Troubles(Faults):
    """A site where things go wrong by chance."""

    def trouble(self, seed: int, seconds: float, *nodes: Node, meanwhile: Callable[[], object] | None = None) -> list[str]:
        """Let `seconds` pass with trouble: links that are lost, nodes that are cut off, frozen or slow, a dispatcher that dies.

        Nobody is killed but the dispatcher, which is started anew. Afterwards all is healed, then 30 s pass in peace; by then
        every node is linked again, and what a test published before can be waited for.

        :param seed: the same seed makes the same trouble for the same nodes, whose own pauses are drawn anew.
        :param nodes: whom it may befall; without any, all nodes of the site.
        :param meanwhile: called before each trouble: to publish something, say.
        :return: what happened, line by line, for the message of an assertion.
        """
        chance = Random(seed)  # noqa: S311  # it keeps no secret
        told: list[str] = []
        end = self.clock.seconds() + seconds
        until: list[tuple[float, Callable[[], object]]] = []

        def undo(now: float) -> None:
            for when, call in [each for each in until if each[0] <= now]:
                until.remove((when, call))
                call()

        while (now := self.clock.seconds()) < end:
            undo(now)
            if meanwhile is not None:
                meanwhile()
            victims = [node for node in nodes or self.nodes if node.running and not self._processes(node)[0].dead]
            over = now + chance.uniform(0.1, _LASTS)
            text, call = self._befall(chance, victims)
            told.append(f"{now:.2f} s: {text}")
            until.append((over, call))
            self.advance(min(end - now, chance.uniform(0.05, _PAUSE)))
        for _when, call in until:
            call()
        self.heal()
        self.advance(_PEACE)
        return told

    def _befall(self, chance: Random, victims: list[Node]) -> tuple[str, Callable[[], object]]:
        """Do something bad; returns what, and how it is undone."""
        kind = chance.randrange(6) if victims else 5
        if kind == 5:
            if self.dispatcher is None:
                return "nothing", lambda: None
            self.killDispatcher()
            return "the dispatcher died", self._revive
        victim = chance.choice(victims)
        whom: Node | EventDispatcher = victim
        if self.dispatcher is not None and kind in (2, 3) and chance.random() < 0.2:
            whom = self.dispatcher
        name = victim.name if whom is victim else "the dispatcher"
        match kind:
            case 0:
                self.lose(whom)
                return f"{name} lost its link", lambda: None
            case 1:
                self.cutOff(whom, silently=chance.random() < 0.5)
                return f"{name} was cut off", lambda: self.reconnect(whom)
            case 2:
                self.freeze(whom)
                return f"{name} froze", lambda: self.thaw(whom)
            case 3:
                self.slow(chance.uniform(0.01, 0.3), whom)
                return f"{name} became slow", lambda: self.slow(0.0, whom)
            case _:
                self.delay(chance.uniform(0.01, 0.5), whom)
                return f"{name} moved far away", lambda: self.delay(0.0, whom)

    def _revive(self) -> None:
        if self.dispatcher is None:
            self.startDispatcher()
