"""The port of a bridge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IOpenSSLServerConnectionCreator, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from nodeset.errors import PortTaken
from nodeset.web.site import BridgeSite

__all__ = ["HttpService", "urlOf"]

#: What listens everywhere.
_WILD: Final = ("", "0.0.0.0", "::")  # noqa: S104  # nothing is bound by it here


class HttpService(Service):
    """Listens for HTTP at one endpoint.

    :param failed: called with `PortTaken` when it cannot listen.
    :param tls: makes HTTPS of it.
    :ivar url: where it is, once it listens; empty before.
    """

    log = Logger()

    def __init__(
        self,
        site: BridgeSite,
        endpoint: IStreamServerEndpoint,
        failed: Callable[[PortTaken], object],
        tls: IOpenSSLServerConnectionCreator | None = None,
    ) -> None:
        self.setName("nodeset-web-http")
        self.site, self._endpoint, self._failed, self._tls = site, endpoint, failed, tls
        self._port: IListeningPort | None = None
        self._opening: Deferred[IListeningPort] | None = None
        self.url = ""

    def startService(self) -> None:
        """Listen."""
        Service.startService(self)
        factory: Any = self.site
        if self._tls is not None:
            factory = TLSMemoryBIOFactory(self._tls, False, factory, self.site.clock)
        self._opening = self._endpoint.listen(factory)
        self._opening.addCallbacks(self._listens, self._cannot)

    def _listens(self, port: IListeningPort) -> None:
        self._opening, self._port = None, port
        self.url = urlOf("http" if self._tls is None else "https", port.getHost())
        self.log.info("HTTP is served at {url}", url=self.url)

    def _cannot(self, failure: Failure) -> None:
        self._opening = None
        error: Any = failure.value
        if failure.check(CannotListenError):
            where = f"port {error.port} of {error.interface or 'this machine'}"
            self._failed(PortTaken(f"{where} cannot be listened on: {error.socketError}"))
        elif self.running:
            self._failed(PortTaken(f"HTTP cannot be served: {failure.getErrorMessage()}"))

    def close(self) -> Deferred[None]:
        """Listen no more; what is connected stays so."""
        if self._opening is not None:
            self._opening.cancel()
        port, self._port = self._port, None
        return maybeDeferred(lambda: None if port is None else port.stopListening()).addCallback(lambda result: None)

    def stopService(self) -> Deferred[None]:
        """Close the port, cut what is still connected."""
        Service.stopService(self)
        return self.close().addBoth(lambda result: self.site.cut())


def urlOf(scheme: str, host: Any) -> str:
    """The URL of who listens at this address, which people can open: a wildcard is the loopback address."""
    address, port = getattr(host, "host", ""), getattr(host, "port", 0)
    if address in _WILD:
        address = "127.0.0.1"
    return f"{scheme}://{f'[{address}]' if ':' in address else address}:{port}/"
