"""The contract of a link: one side's view of a connection that carries batches.

::

    dialler                          acceptor
    dial(hello, receiver)   ->       opening(peer, hello, link) -> (receiver, opened)
    (link, opened)          <-
    link.send(batch)        ->       receiver.batchReceived(batch)
    receiver.batchReceived  <-       link.send(batch)
    link.abort()            ->       receiver.linkLost(reason)      both sides are told, each once

Every transport keeps these promises, and `nodeset.testing.LinkContract` is the suite that says so:

* batches arrive whole, in the order sent, each at most once;
* what is missing is missing at the end: when a batch is lost, all after it are lost, and both sides are told `linkLost`;
* after `linkLost` a side hears nothing more of that link, and what it sends is dropped without an error;
* `batchReceived` is never called from within `send`, nor `linkLost` from within `abort`.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from nodeset.core.grants.rights import MEMBER, Rights
from nodeset.errors import NodeSetError

__all__ = ["Acceptor", "Link", "Receiver", "Transport"]


class Link(Protocol):
    """One side's view of a connection."""

    @property
    def peer(self) -> str:
        """Who is at the other end, for logs: no secret in it."""

    def send(self, batch: bytes) -> None:
        """Send one batch, soon. Never raises: a lost link drops it, and the receiver was told."""

    def close(self) -> None:
        """Lose the connection once what was sent has left; for a peer that does not read, `abort` is the way."""

    def abort(self) -> None:
        """Lose the connection now, without waiting for anything. Doing it twice is fine."""


class Receiver(Protocol):
    """Who hears what comes over a link."""

    def batchReceived(self, batch: bytes) -> None:
        """One batch came. A `ProtocolError` from here costs the peer its link."""

    def linkLost(self, reason: NodeSetError) -> None:
        """The link is gone; called once."""


class Acceptor(Protocol):
    """Who answers those that dial: the dispatcher."""

    def opening(self, peer: str, hello: bytes, link: Link, rights: Rights = MEMBER) -> tuple[Receiver, bytes]:
        """Someone whose TubID is `peer` opens `link`, with a grant that allows `rights`.

        :return: who hears what comes over it, with the packed answer.
        :raise NodeSetError: to refuse; the dialler gets its message.
        """


class Transport(Protocol):
    """How a node reaches its dispatcher. One transport may serve several nodes (a collection)."""

    def startTransport(self) -> Deferred[None]:
        """Make ready to dial. Fails with a `LocalError` when that cannot be (a port is taken, say)."""

    def stopTransport(self) -> Deferred[None]:
        """Lose all links, free everything. Fires when that is done; `linkLost` has been called by then."""

    def dial(self, hello: bytes, receiver: Receiver) -> Deferred[tuple[Link, bytes]]:
        """Try once to open a link, for a bounded time.

        Fires with the link and the packed `Opened`. `receiver` hears nothing before that. Fails with a `NodeSetError`; with
        `Refused` when trying again would be refused again.
        """

    def describe(self) -> str:
        """Where this leads, for logs: no secret in it."""

    def furl(self) -> str:
        """The whole address with which it dials, its secret name behind the last slash. Raises a `NodeSetError` for none."""
