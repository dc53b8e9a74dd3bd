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
#: Seconds for what was answered to reach who asked.
_FAREWELL: Final = 1.0


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
        # What was sent before we were told to stop may still be on its way from the kernel.
        await deferLater(bridge.clock, _LOOK)
        await self.http.close()
        await bridge.endStreams()
        await self._wait(lambda: site.answering, self._patience())
        if site.answering:
            self.log.warn("{count} requests were not answered in time, so they are cut", count=site.answering)
        await bridge.stopService()
        site.hangUp()
        await self._wait(lambda: len(site.channels), _FAREWELL)
        await self.http.stopService()

    async def _wait(self, busy: Callable[[], int], patience: float) -> None:
        clock = self.bridge.clock
        end = clock.seconds() + patience
        while busy() and clock.seconds() < end:
            await deferLater(clock, _LOOK)
