"""How a bridge with its port begins and ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from nodeset.errors import PortTaken
from nodeset.web.listening import HttpService, urlOf
from nodeset.web.serving import WebService
from tests.webs import Client, WebSite


@implementer(IListeningPort)
class Port:
    """A port that listens nowhere."""

    is_open = True

    def startListening(self) -> None:
        """See `IListeningPort`."""

    def stopListening(self) -> None:
        """See `IListeningPort`."""
        self.is_open = False

    def getHost(self) -> Any:
        """See `IListeningPort`."""
        return IPv4Address("TCP", "127.0.0.1", 8080)


@implementer(IStreamServerEndpoint)
class Endpoint:
    """Gives what it is told to give."""

    def __init__(self, result: Callable[[], Deferred[Any]]) -> None:
        self._result = result

    def listen(self, factory: Any) -> Deferred[Any]:
        """See `IStreamServerEndpoint`."""
        return self._result()


class LifeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.web = WebSite(self)
        self.site, self.bridge = self.web.site, self.web.bridge
        self.port = Port()
        self.patience = 10.0

    def serve(self) -> WebService:
        """It runs."""
        http = HttpService(self.web.http, Endpoint(lambda: succeed(self.port)), self.fail)
        service = WebService(self.bridge, http, lambda: self.patience)
        self.site.wait(self.bridge.stopService())
        service.startService()
        self.site.until(lambda: self.bridge.node.is_linked)
        self.assertEqual(http.url, "http://127.0.0.1:8080/")
        return service

    def ask(self, path: str) -> Client:
        """A connection on which this was asked."""
        client = self.web.client()
        client.ask("GET", path)
        return client

    def statuses(self, client: Client) -> list[int]:
        """What it was answered."""
        return [answer.status for answer in client.answers()]

    def test_drains(self) -> None:
        """It stops in steps: it is no longer ready, streams end, what is under way is answered, then all is closed."""
        service = self.serve()
        kept = self.ask("/v1/ready")
        stream = self.ask("/subscribe?event=x")
        self.site.until(lambda: bool(stream.received))
        assert self.site.dispatcher is not None
        self.site.freeze(self.site.dispatcher)
        publish, late = self.ask("/publish?event=x&message={}"), self.ask("/subscribe?event=y")
        stopped: list[Any] = []
        service.stopService().addCallback(stopped.append)
        kept.ask("GET", "/v1/ready")
        self.assertEqual(self.statuses(kept), [200, 503])
        self.site.advance(1)
        self.assertFalse(self.port.is_open)
        self.assertTrue(stream.received.endswith(b"0\r\n\r\n"))
        self.assertEqual((self.statuses(publish), stopped), ([], []))
        self.site.thaw(self.site.dispatcher)
        self.site.until(lambda: stopped)
        self.assertEqual((publish.answers()[0].body, self.statuses(late)), (b"\r\n", [503]))
        self.assertTrue(publish.is_closed and kept.is_closed and stream.is_closed)
        self.assertFalse(self.bridge.node.running)

    def test_impatient(self) -> None:
        """What is not answered in time is told so; it stops all the same."""
        self.patience = 3.0
        service = self.serve()
        assert self.site.dispatcher is not None
        self.site.freeze(self.site.dispatcher)
        publish = self.ask("/publish?event=x&message={}")
        stopped: list[Any] = []
        service.stopService().addCallback(stopped.append)
        self.site.advance(2.5)
        self.assertEqual(stopped, [])
        self.site.until(lambda: stopped, 30)
        self.assertEqual(self.statuses(publish), [504])
        self.assertTrue(publish.is_closed)

    def test_again(self) -> None:
        """It may be started again, and is ready then."""
        service = self.serve()
        self.site.wait(service.stopService())
        service.startService()
        self.site.until(lambda: self.bridge.node.is_linked)
        self.assertEqual(self.statuses(self.ask("/v1/ready")), [200])
        self.site.wait(service.stopService())

    def test_portTaken(self) -> None:
        """A port that cannot be had is told, with whose it is."""
        told: list[PortTaken] = []
        error = CannotListenError("127.0.0.1", 8080, OSError(98, "Address already in use"))
        endpoint = Endpoint(lambda: fail(error))
        http = HttpService(self.web.http, endpoint, told.append)
        http.startService()
        self.assertIn("port 8080 of 127.0.0.1", str(told[0]))
        self.site.wait(http.stopService())

    def test_url(self) -> None:
        """A wildcard is shown as an address that can be opened."""
        for host, url in (("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]"), ("192.0.2.1", "192.0.2.1")):
            self.assertEqual(urlOf("https", IPv4Address("TCP", host, 1)), f"https://{url}:1/")
