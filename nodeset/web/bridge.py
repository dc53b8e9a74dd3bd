"""What all parts of a bridge share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime

from nodeset.core.grants.rights import MEMBER, Rights
from nodeset.web.agent import Agent
from nodeset.web.anyone import Access, Anyone
from nodeset.web.bridge_node import BridgeNode
from nodeset.web.feeds.hub import Hub
from nodeset.web.figures.tolls import Tolls
from nodeset.web.figures.watch import Figures
from nodeset.web.limits import Limits

__all__ = ["Bridge"]


class Bridge(MultiService):
    """A bridge from one dispatcher to HTTP.

    :param node: the bridge's own; it starts and stops with the bridge.
    :param rights: what that one's grant allows, for quick refusals.
    :param adopts: whether it does; else somebody else starts and stops the node.
    :param wall: the time of day in seconds since 1970.
    :ivar own: who acts by the bridge's own grant.
    :ivar access: who is let in.
    :ivar counters: what happened how often.
    :ivar tolls: requests, with what else `/metrics` shows.
    :ivar figures: how the dispatcher is, how it was in the last ten minutes.
    :ivar hub: what was heard, for all who read it.
    :ivar draining: whether the bridge is about to stop.
    """

    def __init__(
        self,
        node: BridgeNode,
        clock: IReactorTime,
        limits: Limits,
        *,
        rights: Rights = MEMBER,
        adopts: bool = True,
        wall: Callable[[], float] = time.time,
    ) -> None:
        MultiService.__init__(self)
        self.setName("nodeset-web-bridge")
        self.node, self.clock, self.limits, self.wall = node, clock, limits, wall
        self.own = Agent("anonymous", node, rights, is_anonymous=True)
        self.access: Access = Anyone(self.own)
        self.counters: Counter[str] = Counter()
        self.tolls = Tolls()
        self.figures = Figures(node, clock, wall, limits.figures_interval)
        self.draining = False
        self.hub = Hub(clock, wall, lambda: self.limits, self.counters)
        if adopts:
            node.setServiceParent(self)
        self.figures.setServiceParent(self)
        self.hub.setServiceParent(self)

    def startService(self) -> None:
        """Start all parts."""
        self.draining = False
        MultiService.startService(self)

    async def endStreams(self) -> None:
        """Stop all parts, so that open-ended answers end; the node alone goes on."""
        self.draining = True
        for part in reversed(list(self)):
            if part is not self.node and part.running:
                await maybeDeferred(part.stopService)

    def stopService(self) -> Deferred[Any]:
        """Stop all parts that run, the node last."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        Service.stopService(self)
        await self.endStreams()
        if self.node.running and self.node.parent is self:
            await self.node.stopService()
