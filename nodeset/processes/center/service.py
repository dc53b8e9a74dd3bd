"""The order in which the parts of a center begin, end."""

from __future__ import annotations

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred

from nodeset.processes.center.eventlog import EventLog
from nodeset.processes.center.node import CenterNode

__all__ = ["CenterService"]


class CenterService(Service):
    """A node, its log, the dispatcher that it brings along, if it does.

    The dispatcher listens first, so that a place that is taken ends the start; the node is linked to it within this process in
    the first turn of the reactor, which reads no socket before that: no event is routed past it. It ends last.

    :param acceptor: the service of the dispatcher with its port, None if the node joins another.
    """

    def __init__(self, node: CenterNode, log: EventLog, acceptor: IService | None = None) -> None:
        self.setName("nodeset-center")
        self.node, self._log, self._acceptor = node, log, acceptor

    def startService(self) -> None:
        """Listen, link. Raises what the dispatcher's start raises: `PortTaken`, `StateUnusable`."""
        if self._acceptor is not None:
            self._acceptor.startService()
        Service.startService(self)
        self.node.startService()

    def stopService(self) -> Deferred[None]:
        """Let the dispatcher drain to the node, stop that, close the log. Fires when all is done."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        try:
            if self._acceptor is not None:
                await _done(self._acceptor.stopService())
            await self.node.stopService()
        finally:
            self._log.close()


async def _done(result: Deferred[None] | None) -> None:
    if result is not None:
        await result
