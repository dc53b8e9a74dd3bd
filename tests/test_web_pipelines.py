"""Requests that come behind each other on one connection, from clients that mean no good."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.web.site import BODIES
from tests.webs import Client, WebSite

GET = b"GET /v1/health HTTP/1.1\r\nHost: localhost:8080\r\n\r\n"
HEAD = b"POST /v1/events/a HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\n"
FOLLOW = b"POST /subscribe?event=a HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 0\r\n\r\n"


class PipelineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.web = WebSite(self)
        self.site = self.web.site
        self.site.until(lambda: self.web.bridge.node.is_linked)

    def client(self) -> Client:
        """One whose half of a connection stays open when ours is closed, as a socket's does."""
        client = self.web.client()
        wire: Any = client.wire
        wire.loseWriteConnection = lambda: None
        return client

    def test_refused(self) -> None:
        """Once one request was refused nothing of it is done, nor what came behind it in the same piece."""
        heads = (
            b"GET /v1/health HTTP/1.1\r\nno colon\r\nX: y\r\n\r\n",
            HEAD + b"Content-Length : 2\r\nX: y\r\n\r\n{}",
            HEAD + b"Content-Length: 2\r\nContent-Length: 40\r\nX: y\r\n\r\n{}",
            HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\nX: y\r\n\r\n",
            b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
            HEAD + b"Content-Length: 99999999\r\n\r\n",
        )
        for head in heads:
            client = self.client()
            client.send(head + GET)
            self.site.advance(0.1)
            client.send(GET)
            self.site.advance(0.1)
            statuses = [one.status for one in client.answers()]
            self.assertEqual(len(statuses), 1, (head[:60], statuses))
            self.assertIn(statuses[0], (400, 413), head[:60])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_refusedGoesOn(self) -> None:
        """Who goes on sending then is cut, in a turn of its own: TLS fails with a traceback in the midst of reading."""
        client = self.client()
        client.send(HEAD + b"Content-Length: 99999999\r\n\r\n")
        for _ in range(200):
            client.send(b"x" * 1000)
        self.assertFalse(client.wire.is_over)
        self.site.advance(0.0)
        self.assertTrue(client.wire.is_over)

    def test_unread(self) -> None:
        """Who does not read the answers to what he asked for has no more of them made, until he reads."""
        client = self.client()
        client.send(GET)
        client.channel.pauseProducing()
        client.wire.clear()
        client.send(GET * 1000)
        self.assertLessEqual(len(client.answers()), 1)
        self.assertEqual(client.wire.producerState, "paused")
        client.channel.resumeProducing()
        self.assertEqual(len(client.answers()), 1000)
        self.assertEqual(client.wire.producerState, "producing")

    def test_unreadWhileAsking(self) -> None:
        """Nor is without end read what he sends meanwhile."""
        client = self.client()
        client.send(HEAD.replace(b"events/a", b"events/a?wait=1").replace(b"POST", b"GET") + b"Accept: */*\r\n\r\n")
        client.channel.pauseProducing()
        client.wire.resumeProducing()
        client.send(GET * 1000)
        self.assertEqual(client.wire.producerState, "paused")

    def test_behindAStream(self) -> None:
        """What is sent behind a request whose answer has no end is not kept, so that it is noticed when the client goes."""
        client = self.client()
        client.send(FOLLOW)
        self.site.until(lambda: bool(client.received))
        for _ in range(100):
            client.send(GET * 100)
        self.assertEqual(client.wire.producerState, "producing")
        self.assertLess(sum(map(len, client.channel._dataBuffer)), 20_000)

    def test_bodies(self) -> None:
        """All bodies that are under way have a bound together: beyond it the largest is refused, small ones are served."""
        part = b"x" * 1_000_000
        clients = [self.client() for _ in range(100)]
        for client in clients:
            client.send(HEAD + b"Content-Length: 1048576\r\n\r\n" + part)
        kept = sum(client.channel.kept for client in clients)
        self.assertLessEqual(kept, BODIES)
        refused = [client for client in clients if client.received]
        self.assertEqual(len(refused), len(clients) - BODIES // len(part))
        self.assertEqual({client.answers()[0].status for client in refused}, {503})
        self.assertEqual(self.web.ask("POST", "/v1/events/a", {"Content-Type": "application/json"}, b"{}").status, 200)
        for client in clients:
            client.leave()
        self.assertEqual([client.channel.kept for client in clients], [0] * len(clients))
        self.assertEqual(self.web.http._kept, 0)
