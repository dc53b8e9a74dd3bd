"""The page that Prometheus reads, and what else may knock at its door."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from nodeset.monitor.page import LIFETIME, MAX_CONNECTIONS, MetricsPage, PageSite


class Client(StringTransport):
    """One connection; `cut` says whether we were hung up on."""

    cut = False

    def __init__(self, channel: Any, clock: Clock) -> None:
        base: Any = super()
        base.__init__()
        self.channel, self.clock = channel, clock
        channel.makeConnection(self)

    def loseConnection(self) -> None:
        if not self.cut:
            self.cut = self.disconnecting = True
            self.clock.callLater(0, lambda: self.channel.connectionLost(Failure(ConnectionDone())))

    def abortConnection(self) -> None:
        self.loseConnection()


class PageTests(SynchronousTestCase):
    """`/metrics` over HTTP."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.made = 0
        self.site = PageSite(MetricsPage(self.make, self.clock.seconds), self.clock)
        self.site.startFactory()
        self.addCleanup(self.site.stopFactory)

    def make(self) -> bytes:
        """The text of the page."""
        self.made += 1
        return b"nodeset_up 1.0\n"

    def connect(self) -> Client:
        """One more connection."""
        return Client(self.site.buildProtocol(None), self.clock)

    def ask(self, raw: bytes) -> tuple[bytes, Client]:
        """What comes back for these bytes."""
        client = self.connect()
        client.channel.dataReceived(raw)
        client.channel.dataReceived(raw)  # what comes after all was said makes no difference
        self.clock.advance(0)
        return client.value(), client

    def test_get(self) -> None:
        """GET gets the text with its type, then the connection is closed."""
        said, client = self.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _blank, body = said.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 200 "))
        self.assertIn(b"text/plain; version=0.0.4", head)
        self.assertEqual(body, b"nodeset_up 1.0\n")
        self.assertTrue(client.cut)
        self.assertEqual((self.site.open, len(self.clock.getDelayedCalls())), (0, 1), "the one left is the site's own date")

    def test_head(self) -> None:
        """HEAD gets the same without the text."""
        said, _client = self.ask(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(said.startswith(b"HTTP/1.1 200 ") and said.endswith(b"\r\n\r\n"), said)
        self.assertIn(b"Content-Length: 15", said)

    def test_query(self) -> None:
        """A query changes nothing."""
        self.assertIn(b" 200 ", self.ask(b"GET /metrics?name[]=up HTTP/1.1\r\nHost: x\r\n\r\n")[0])

    def test_otherPaths(self) -> None:
        """There is nothing else, by whatever name."""
        for path in (b"/", b"/metrics/", b"/metrics/x", b"/metricsx", b"//metrics", b"/..%2fmetrics", b"/%00", b"/\xff", b"*"):
            said, _client = self.ask(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertTrue(said.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ", b"HTTP/1.1 405 ")), (path, said))

    def test_otherVerbs(self) -> None:
        """Nothing can be done but to read."""
        for verb in (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"BREW", b"render"):
            said, _client = self.ask(verb + b" /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            self.assertTrue(said.startswith(b"HTTP/1.1 405 "), said)
        self.assertEqual(self.made, 0)

    def test_body(self) -> None:
        """What brings a body, or says that it will, is turned away before it is read."""
        for length in (b"Content-Length: 5", b"Content-Length: 999999999999", b"Transfer-Encoding: chunked"):
            said, client = self.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n")
            client.channel.dataReceived(b"12345")
            self.assertNotIn(b" 200 ", client.value())
            self.assertTrue(said.startswith(b"HTTP/1.1 413 "), said)
            self.clock.advance(LIFETIME + 1)
            self.assertTrue(client.cut)

    def test_garbage(self) -> None:
        """What is no HTTP is hung up on; nothing is logged as a failure."""
        for raw in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
            b"\r\n" * 100,
            b"GET\r\n\r\n",
            b"GET /metrics FTP/1.0\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ):
            client = self.ask(raw)[1]
            self.clock.advance(LIFETIME + 1)
            self.assertTrue(client.cut, raw)
            self.assertNotIn(b" 200 ", client.value())
        self.assertEqual((self.site.open, self.made), (0, 0))

    def test_hugeHeaders(self) -> None:
        """Headers that are too long, or too many, are not kept: the connection is closed."""
        for raw in (
            b"X: " + b"y" * 20_000 + b"\r\n",
            b"X: y\r\n" * 60,
            b"".join(b"X%d: %s\r\n" % (n, b"y" * 900) for n in range(20)),
        ):
            client = self.ask(b"GET /metrics HTTP/1.1\r\n" + raw)[1]
            self.assertTrue(client.cut)
        client = self.ask(b"GET /" + b"x" * 20_000)[1]
        self.assertTrue(client.cut)

    def test_slow(self) -> None:
        """Who takes his time, a byte now and then, is cut off when his time is over."""
        client = self.connect()
        for letter in b"GET /metrics HTTP/1.1\r\n":
            self.clock.advance(0.4)
            client.channel.dataReceived(bytes([letter]))
        self.clock.advance(0.8)
        self.assertTrue(client.cut)
        self.assertEqual(self.site.open, 0)

    def test_crowd(self) -> None:
        """Only so many are let in at a time; when they have left, others are."""
        crowd = [self.connect() for _ in range(MAX_CONNECTIONS)]
        self.assertTrue(self.connect().cut)
        self.assertFalse(any(client.cut for client in crowd))
        self.clock.advance(LIFETIME + 1)
        self.assertTrue(all(client.cut for client in crowd))
        self.assertIn(b" 200 ", self.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")[0])

    def test_pipeline(self) -> None:
        """One request is answered on a connection, whatever follows it."""
        said, client = self.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        self.assertEqual((said.count(b"HTTP/1.1"), client.cut), (1, True))

    def test_flood(self) -> None:
        """However often it is asked for, the text is made once a second."""
        for _ in range(100):
            self.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.made, 1)
        self.clock.advance(1.1)
        self.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.made, 2)
