"""The contract by which two nodes that were introduced connect to each other, past their dispatcher."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from nodeset.core.link import Link, Receiver

__all__ = ["ATTEMPT", "UNUSED", "Meeting", "Offer"]

#: Seconds that an attempt to reach the other one may take.
ATTEMPT = 3.0
#: Seconds after which an offer that nobody took is gone.
UNUSED = 30.0


class Offer(Protocol):
    """An address that leads to one receiver, once."""

    @property
    def furl(self) -> str:
        """The address, a secret between the two that were introduced."""

    @property
    def taken(self) -> Deferred[Link]:
        """Fires with the link when the one that it was made for has come; fails when it is withdrawn."""

    def withdraw(self) -> None:
        """Nobody can come by it any more. Doing it twice is fine."""


class Meeting(Protocol):
    """What a transport has that can connect nodes directly: its `meeting` attribute."""

    def offer(self, tub: str, receiver: Receiver) -> Offer | None:
        """An address for the node of this TubID alone; None when nobody can come, since we listen nowhere."""

    def meet(self, furl: str, tub: str, receiver: Receiver) -> Deferred[Link]:
        """Connect to the node of this TubID by its offer, within `ATTEMPT` seconds.

        `receiver` hears nothing before it fires. Fails with a `NodeSetError`: `WrongIdentity` when the FURL leads
        elsewhere, before anybody is connected to if that can be seen from it.
        """
