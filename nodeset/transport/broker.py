"""Foolscap's connections with limits: what a peer sends is looked at before Foolscap keeps it.

`BoundedBroker` puts a `TokenGuard` in front of Foolscap's parser. Strangers may send strings of 8 KiB; whoever has named a
reference of ours that exists, which takes the secret in a FURL, may send batches. `ImpatientNegotiation` bounds the time till
then.
"""

from __future__ import annotations

from typing import Any

from foolscap.broker import Broker
from foolscap.negotiate import Negotiation
from twisted.logger import Logger

from nodeset.core.batch import MAX_BATCH
from nodeset.errors import ProtocolError
from nodeset.transport.guard import TokenGuard

__all__ = ["STRANGER_LIMIT", "BoundedBroker", "ImpatientNegotiation", "ReplacingNegotiation", "trust"]

#: Bytes in one token from a peer that has shown no capability (D8).
STRANGER_LIMIT = 8 * 1024


class BoundedBroker(Broker):  # type: ignore[misc]  # Foolscap has no types
    """A stock broker that cuts off whoever sends a token over the limit, on the token's header."""

    log = Logger()
    connectionAbandoned: bool

    def initReceive(self) -> None:
        """Prepare to receive."""
        super().initReceive()
        self.guard = TokenGuard(STRANGER_LIMIT)

    def dataReceived(self, chunk: bytes) -> None:
        """Look first, then receive."""
        if self.connectionAbandoned:
            return
        try:
            self.guard.feed(chunk)
        except ProtocolError as error:
            self.connectionAbandoned = True
            self.log.warn("{peer} is cut off: {reason}", peer=self._whose(), reason=str(error))
            self.transport.abortConnection()
        else:
            super().dataReceived(chunk)

    def _whose(self) -> str:
        return self.remote_tubref.getShortTubID() if self.remote_tubref else "a stranger"

    def remote_getReferenceByName(self, name: bytes) -> Any:
        """Somebody names a reference; who knows one is no stranger."""
        reference = super().remote_getReferenceByName(name)
        trust(self)
        return reference


def trust(broker: BoundedBroker) -> None:
    """Take batches from this peer from now on."""
    # The string of a batch is all that may be as long; names and numbers around it are far below.
    broker.guard.limit = MAX_BATCH


class ImpatientNegotiation(Negotiation):  # type: ignore[misc]  # Foolscap has no types
    """Foolscap's negotiation with a time limit that is no gift to who only connects."""

    SERVER_TIMEOUT = 20


class ReplacingNegotiation(ImpatientNegotiation):
    """Where the newest connection of a Tub replaces an older one.

    Only the holder of a certificate gets this far, and a dispatcher never dials, so there is no race of two connections to
    settle: the older one is dead, even where the peer cannot prove by sequence numbers that it knows (a half-open TCP).
    """

    def compareOfferAndExisting(self, offer: object, existing: object, lp: object) -> bool:
        """Whether to take the new one."""
        return True
