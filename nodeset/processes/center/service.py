"""The order in which the parts of a center begin, end."""

from __future__ import annotations

from typing import Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from nodeset.core.dispatcher import EventDispatcher
from nodeset.processes.center.eventlog import EventLog
from nodeset.processes.center.node import CenterNode

__all__ = ["CenterService", "Port"]


class Port(Protocol):
    """A dispatcher with the place where it listens; both begin, end together."""

    dispatcher: EventDispatcher

    def startService(self) -> None:
        """Listen. Raises `PortTaken`, `StateUnusable`."""

    def stopService(self) -> Deferred[None]:
        """Fires when all is closed."""


class CenterService(Service):
    """A node, its log, the dispatcher that it brings along, if it does.

    The dispatcher listens first, so that a place that is taken ends the start; the node is linked to it within this process in
    the first turn of the reactor, which reads no socket before that: no event is routed past it. At the end the node leaves
    when all that was routed is answered, before others lose their links.

    :param port: where the dispatcher listens, None if the node joins another.
    """

    def __init__(self, node: CenterNode, log: EventLog, port: Port | None = None) -> None:
        self.setName("nodeset-center")
        self.node, self._log, self._port = node, log, port

    def startService(self) -> None:
        """Listen, link. Raises what `Port.startService` raises."""
        if self._port is not None:
            self._port.startService()
        Service.startService(self)
        self.node.startService()

    def stopService(self) -> Deferred[None]:
        """Let the dispatcher drain, stop all, close the log. Fires when that is done."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        try:
            if self._port is not None:
                await self._port.dispatcher.drain()
            await self.node.stopService()
            if self._port is not None:
                await self._port.stopService()
        finally:
            self._log.close()
