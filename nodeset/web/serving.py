"""A bridge with its port: how both begin, how both end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from nodeset.web.bridge import Bridge
from nodeset.web.listening import HttpService

__all__ = ["WebService"]

#: Seconds between two looks for who is still served.
_LOOK: Final = 0.05


class WebService(Service):
    """Serves a bridge at a port.

    It stops in steps: the port closes, `/v1/ready` says so to who is still connected; streams end; what is asked for is
    answered; then the node leaves, and what is still connected is cut.

    :param patience: seconds that what is under way gets, asked when it stops.
    """

    log = Logger()

    def __init__(self, bridge: Bridge, http: HttpService, patience: Callable[[], float]) -> None:
        self.setName("nodeset-web-service")
        self.bridge, self.http, self._patience = bridge, http, patience

    def startService(self) -> None:
        """Begin."""
        Service.startService(self)
        self.bridge.startService()
        self.http.startService()

    def stopService(self) -> Deferred[None]:
        """Fires when all is closed."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        bridge, site = self.bridge, self.http.site
        bridge.draining = True
        await self.http.close()
        await bridge.endStreams()
        end = bridge.clock.seconds() + self._patience()
        while (waiting := site.answering) and bridge.clock.seconds() < end:
            await deferLater(bridge.clock, _LOOK)
        if waiting:
            self.log.warn("{count} requests were not answered in time, so they are cut", count=waiting)
        await bridge.stopService()
        await self.http.stopService()
