"""Who has fallen silent.

By a monotonic clock that the caller reads: the wall clock may jump by a day without anybody dying. Whoever was stopped itself
(SIGSTOP, a laptop's lid, a long pause) judges nobody by the time that it did not see pass.
"""

from __future__ import annotations

from collections.abc import Hashable

import attrs
from zope.interface import implementer

from nodeset.core.interfaces import INodeHeartBeat

__all__ = ["INTERVAL", "PATIENCE", "SUSPICION", "Heartbeat"]

#: Seconds between two beats of a peer, in both directions (D9).
INTERVAL = 5.0
#: Unheard for this long, two beats, a peer is suspect: mode `one` passes it over.
SUSPICION = 2 * INTERVAL
#: Unheard for this long, its link is aborted.
PATIENCE = 4 * INTERVAL


@implementer(INodeHeartBeat)
@attrs.define
class Heartbeat:
    """Remember when each peer was last heard; all times are seconds of a monotonic clock.

    :param patience: how long a peer may be unheard before it is `silent`.
    :param suspicion: how long before it is one of the `suspects`.
    :param interval: how often `looked` is called; far more between two calls means that we were stopped ourselves.
    """

    patience: float = PATIENCE
    suspicion: float = SUSPICION
    interval: float = INTERVAL
    _heard: dict[Hashable, float] = attrs.field(factory=dict, init=False)
    _looked: float | None = attrs.field(default=None, init=False)

    def heard(self, peer: Hashable, now: float) -> None:
        """`peer` was heard at `now`."""
        self._heard[peer] = now

    def forget(self, peer: Hashable) -> None:
        """`peer` is gone: ask no more about it."""
        self._heard.pop(peer, None)

    def looked(self, now: float) -> None:
        """Say that it is time to judge; forgives everybody the time by which this call comes late."""
        if self._looked is not None and (late := now - self._looked - self.interval) > self.interval:
            for peer, then in self._heard.items():
                self._heard[peer] = min(now, then + late)  # who was heard since we woke needs no forgiveness
        self._looked = now

    def suspects(self, now: float) -> list[Hashable]:
        """The peers that are unheard for longer than our suspicion lasts."""
        return [peer for peer, then in self._heard.items() if now - then > self.suspicion]

    def silent(self, now: float) -> list[Hashable]:
        """The peers to drop: unheard for longer than our patience."""
        return [peer for peer, then in self._heard.items() if now - then > self.patience]
