"""Who hears one link on behalf of somebody who may take another one."""

from __future__ import annotations

from nodeset.core.link import Receiver
from nodeset.errors import NodeSetError

__all__ = ["Ear"]


class Ear:
    """Hears one link for `receiver`; what an older link still says falls on a deaf one."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver: Receiver | None = receiver

    def batchReceived(self, batch: bytes) -> None:
        """One batch came."""
        if self._receiver is not None:
            self._receiver.batchReceived(batch)

    def linkLost(self, reason: NodeSetError) -> None:
        """The link is gone; it is told once."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.linkLost(reason)

    def deafen(self) -> None:
        """Pass nothing on any more."""
        self._receiver = None
