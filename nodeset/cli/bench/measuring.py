"""A whole measurement, as a visitor of the dispatcher makes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall, deferLater

from nodeset.cli.bench.crew import Hand, hire
from nodeset.cli.bench.play import hands, play
from nodeset.cli.bench.telling import Teller
from nodeset.cli.bench.works import WORKS, Plan, Result
from nodeset.cli.outcome import Exit, GaveUp
from nodeset.cli.visit import Visitor, Where

__all__ = ["measure"]

#: Seconds between two looks whether the dispatcher is there.
_EVERY: Final = 0.25


class _Watch:
    """Cancels what is awaited when the dispatcher has been gone for too long."""

    def __init__(self, node: Visitor, reactor: Any, patience: float) -> None:
        self._node, self._reactor, self._patience = node, reactor, patience
        self._since: float | None = None
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor
        self._work: Deferred[Any] | None = None
        #: Whether it was gone at all.
        self.gone = self.fatal = False

    def start(self, work: Deferred[Any]) -> None:
        """Look from now on."""
        self._work, self.gone = work, False
        self._looking.start(_EVERY)

    def stop(self) -> None:
        """Look no more."""
        if self._looking.running:
            self._looking.stop()

    def _look(self) -> None:
        now = self._reactor.seconds()
        if self._node.is_linked:
            self._since = None
            return
        self.gone = True
        self._since = now if self._since is None else self._since
        if now - self._since >= self._patience and self._work is not None:
            self.fatal = True
            self._work.cancel()


async def measure(node: Visitor, reactor: Any, where: Where, names: Sequence[str], plan: Plan, teller: Teller) -> list[Result]:
    """Do these works, one after the other. Raises `GaveUp` where one cannot be done; its processes end with it."""
    publishing, taking = hands(names, plan)
    started = [0.0]
    crew: list[Hand] = []
    watch = _Watch(node, reactor, where.timeout)

    def told() -> None:
        if plan.count:
            teller.at(sum(hand.at for hand in crew[:publishing]) / plan.count)
        else:
            teller.at((reactor.seconds() - started[0]) / plan.seconds)

    results: list[Result] = []
    try:
        crew += await hire(reactor, where.dispatcher, publishing + taking, told)
        for name in names:
            teller.begin(plan.describe(WORKS[name]))
            started[0] = reactor.seconds()
            work = Deferred.fromCoroutine(
                play(name, plan, crew[:publishing], crew[publishing:], lambda seconds: deferLater(reactor, seconds))
            )
            watch.start(work)
            try:
                result = await work
            except CancelledError:
                if watch.fatal:
                    reason = node.reason or "the link is lost"
                    raise GaveUp(f"the dispatcher has gone while {name} ran ({reason})", Exit.NO_DISPATCHER) from None
                raise
            finally:
                watch.stop()
            result = attrs.evolve(result, interrupted=watch.gone)
            if result.refused:
                raise GaveUp(f"{result.title}: {result.wrong}", Exit.REFUSED)
            results.append(result)
            teller.end(result)
    finally:
        teller.close()
        for hand in crew:
            hand.end()
    teller.sum(results)
    return results
