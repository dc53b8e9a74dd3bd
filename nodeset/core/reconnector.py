"""Keep one link open, trying again for ever.

idle --start--> dialling --opened--> linked
                ^      |               |
             retry   failed          lost
                |      v               |
                +--- waiting <---------+          every state --stop--> idle
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

import attrs
from automat import TypeMachineBuilder, pep614
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from nodeset.core.link import Link
from nodeset.errors import LinkLost, NodeSetError

__all__ = ["LONGEST_PAUSE", "Linked", "Reconnector", "makeReconnector", "retryDelay"]

#: No pause between two attempts is longer (D6): whoever comes back later than its publishers is resent to too late.
LONGEST_PAUSE = 1.0
_FIRST_PAUSE = 0.1


def retryDelay(attempt: int, draw: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1): doubling up to a second, jittered by half."""
    longest = min(LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(attempt - 1, 10))
    return draw(longest / 2, longest)


class Linked(Protocol):
    """Who wants the link: it dials, then is told what becomes of that."""

    def dial(self) -> Deferred[tuple[Link, bytes]]:
        """Try once."""

    def linkOpened(self, link: Link, answer: bytes) -> None:
        """The link is open. Raising refuses it: it is aborted, tried again later."""

    def dialFailed(self, error: NodeSetError, pause: float) -> None:
        """An attempt failed; the next one comes after `pause` seconds."""


class Reconnector(Protocol):
    """The inputs of the machine; what an attempt says after `stop`, or after its link was lost, is not heard."""

    def start(self) -> None:
        """Begin to dial; does nothing when begun."""

    def stop(self) -> None:
        """Dial no more. An open link is left alone."""

    def lost(self) -> None:
        """The link that was opened is lost: dial again."""

    def _opened(self) -> None:
        """An attempt gave us a link."""

    def _failed(self, error: NodeSetError) -> None:
        """An attempt gave us none."""

    def _retry(self) -> None:
        """The pause is over."""


@attrs.define(eq=False)
class _Core:
    owner: Linked
    clock: IReactorTime
    policy: Callable[[int], float]
    attempts: int = 0
    pause: float = 0.0
    current: object = None


def _makeMachine() -> Callable[[_Core], Reconnector]:
    machine = TypeMachineBuilder(Reconnector, _Core)

    def attempt(inputs: Reconnector, core: _Core) -> Deferred[object]:
        mine = core.current = object()

        def opened(result: tuple[Link, bytes]) -> None:
            link, answer = result
            if core.current is not mine:  # stopped meanwhile
                link.abort()
                return
            inputs._opened()  # first, since the owner may say at once that the link is lost, or stop
            try:
                core.owner.linkOpened(link, answer)
            except Exception:
                link.abort()
                raise
            core.attempts = 0

        def failed(failure: Failure) -> None:
            if core.current is mine:
                error = failure.value
                core.attempts += 1
                inputs._failed(error if isinstance(error, NodeSetError) else LinkLost(repr(error)))

        dialling: Deferred[object] = core.owner.dial().addCallback(opened)
        return dialling.addErrback(failed)

    def pauseBefore(inputs: Reconnector, core: _Core, error: NodeSetError | None = None) -> IDelayedCall:
        # Here, since Automat makes a state's data before it runs what else the transition does.
        core.pause = core.policy(max(1, core.attempts))
        return core.clock.callLater(core.pause, inputs._retry)

    idle = machine.state("idle")
    dialling = machine.state("dialling", attempt)
    linked = machine.state("linked")
    waiting = machine.state("waiting", pauseBefore)

    idle.upon(Reconnector.start).to(dialling).returns(None)
    idle.upon(Reconnector.stop).loop().returns(None)
    idle.upon(Reconnector.lost).loop().returns(None)
    dialling.upon(Reconnector.start).loop().returns(None)
    dialling.upon(Reconnector.lost).loop().returns(None)
    waiting.upon(Reconnector.start).loop().returns(None)
    waiting.upon(Reconnector.lost).loop().returns(None)
    waiting.upon(Reconnector._retry).to(dialling).returns(None)
    linked.upon(Reconnector.start).loop().returns(None)
    dialling.upon(Reconnector._opened, nodata=True).to(linked).returns(None)

    @pep614(linked.upon(Reconnector._failed).to(waiting))
    @pep614(dialling.upon(Reconnector._failed, nodata=True).to(waiting))
    def failedAttempt(inputs: Reconnector, core: _Core, error: NodeSetError) -> None:
        core.owner.dialFailed(error, core.pause)

    @pep614(linked.upon(Reconnector.lost).to(waiting))
    def lostLink(inputs: Reconnector, core: _Core) -> None:
        core.current = None

    @pep614(dialling.upon(Reconnector.stop).to(idle))
    def stopDialling(inputs: Reconnector, core: _Core, dialled: Deferred[object]) -> None:
        core.current = None
        dialled.cancel()

    @pep614(linked.upon(Reconnector.stop).to(idle))
    def stopLinked(inputs: Reconnector, core: _Core) -> None:
        core.current = None

    @pep614(waiting.upon(Reconnector.stop).to(idle))
    def stopWaiting(inputs: Reconnector, core: _Core, retry: IDelayedCall) -> None:
        retry.cancel()

    return machine.build()


_build = _makeMachine()


def makeReconnector(owner: Linked, clock: IReactorTime, policy: Callable[[int], float] = retryDelay) -> Reconnector:
    """A reconnector for `owner`; `policy` gives the seconds to wait after each failed attempt in a row, from 1."""
    return _build(_Core(owner, clock, policy))
