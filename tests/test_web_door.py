"""The way of a request into the bridge."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import UnknownNode
from nodeset.web.door import Door
from nodeset.web.inquiry import Inquiry, Reply
from nodeset.web.problem import Problem
from tests.webs import WebSite, readAnswers


class DoorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.web = WebSite(self, max_body=2048, max_header=1024, request_timeout=5, idle_timeout=20)
        self.asked: list[Inquiry] = []

    def serve(self, method: str, template: str, answer: Any) -> None:
        """Serve what `answer` is, or returns, or raises."""

        async def endpoint(inquiry: Inquiry) -> Reply | None:
            self.asked.append(inquiry)
            result = answer(inquiry) if callable(answer) else answer
            if isinstance(result, Awaitable):
                result = await result
            assert result is None or isinstance(result, Reply)
            return result

        door = self.web.http.entrance
        assert isinstance(door, Door)
        door.routes.add(method, template, endpoint, "test")

    def test_answer(self) -> None:
        """An endpoint gets the parameters of its route, percent-decoded, with the body; its reply is what is sent."""
        self.serve("POST", "/t/{one}/x/{two}", lambda inquiry: Reply.json([inquiry.params, inquiry.json(), inquiry.query]))
        answer = self.web.ask("POST", "/t/a%20b/x/%C3%A4?q=1&q=2", {}, b'{"n":1}')
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
        self.assertEqual(answer.json(), [{"one": "a b", "two": "ä"}, {"n": 1}, {"q": ["1", "2"]}])
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")

    def test_kept(self) -> None:
        """Several requests go over one connection, the next one sent before the first is answered included."""
        first: Deferred[Reply] = Deferred()
        self.serve("GET", "/slow", lambda inquiry: first)
        self.serve("GET", "/quick", Reply(200, b"quick"))
        client = self.web.client()
        client.ask("GET", "/slow")
        client.ask("GET", "/quick")
        self.assertEqual(client.received, b"")
        first.callback(Reply(200, b"slow"))
        client.ask("HEAD", "/quick")
        self.assertEqual([answer.body for answer in client.answers()], [b"slow", b"quick", b""])
        self.assertEqual(client.answers()[2].headers["content-length"], "5")

    def test_wrong(self) -> None:
        """What is not there is 404, a method that is not 405 with those that are; each says so in a problem body."""
        self.serve("GET", "/only", Reply(200))
        for method, path, status in (
            ("GET", "/none", 404),
            ("DELETE", "/only", 405),
            ("POST", "/only", 405),
            ("GET", "//", 404),
        ):
            answer = self.web.ask(method, path)
            self.assertEqual((answer.status, answer.headers["content-type"]), (status, "application/problem+json"))
            self.assertEqual(answer.json()["status"], status)
        self.assertEqual(self.web.ask("PUT", "/only").headers["allow"], "GET, HEAD, OPTIONS")
        answer = self.web.ask("OPTIONS", "/only")
        self.assertEqual((answer.status, answer.headers["allow"]), (204, "GET, HEAD, OPTIONS"))

    def test_notText(self) -> None:
        """A path or a query that is no text is the client's fault."""
        self.serve("GET", "/t/{one}", lambda inquiry: Reply.json(inquiry.query))
        for path in ("/t/%ff", "/t/a%00b", "/t/a%0a", "/t/a?q=%ff"):
            self.assertEqual(self.web.ask("GET", path).status, 400, path)

    def test_errors(self) -> None:
        """An error of NodeSet's is what its kind says; one of ours is 500 without a word of it, in the log once."""

        def fail(inquiry: Inquiry) -> Any:
            raise {"node": UnknownNode("no node x"), "problem": Problem(418, "short"), "bug": LookupError("secret")}[
                inquiry.params["kind"]
            ]

        self.serve("GET", "/e/{kind}", fail)
        self.assertEqual(self.web.ask("GET", "/e/node").status, 404)
        self.assertEqual(self.web.ask("GET", "/e/problem").json()["detail"], "short")
        answer = self.web.ask("GET", "/e/bug")
        self.assertEqual(answer.status, 500)
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.web.site.flushErrors(LookupError)), 1)

    def test_cancelled(self) -> None:
        """What is cancelled by neither the client nor the deadline is a failure of ours, which is told."""
        waiting: Deferred[Reply] = Deferred()
        self.serve("GET", "/wait", lambda inquiry: waiting)
        client = self.web.client()
        client.ask("GET", "/wait")
        waiting.cancel()
        self.assertEqual([answer.status for answer in client.answers()], [500])
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_gone(self) -> None:
        """When a client leaves, what works for it is cancelled."""
        ended: list[object] = []
        waiting: Deferred[Reply] = Deferred(lambda deferred: ended.append("cancelled"))
        self.serve("GET", "/slow", lambda inquiry: waiting)
        client = self.web.client()
        client.ask("GET", "/slow")
        client.leave()
        self.assertEqual(ended, ["cancelled"])

    def test_late(self) -> None:
        """A request that is not answered in its time is answered 504, then cancelled; the connection goes on."""
        ended: list[object] = []
        waiting: Deferred[Reply] = Deferred(lambda deferred: ended.append("cancelled"))
        self.serve("GET", "/slow", lambda inquiry: waiting)
        client = self.web.client()
        client.ask("GET", "/slow")
        self.web.site.advance(6)
        self.assertEqual([answer.status for answer in client.answers()], [504])
        self.assertEqual(ended, ["cancelled"])
        self.assertFalse(client.is_closed)


class ChannelTests(SynchronousTestCase):
    """Limits of a connection."""

    def setUp(self) -> None:
        self.web = WebSite(self, max_body=2048, max_header=1024, request_timeout=5, idle_timeout=20, max_connections=3)

    def refused(self, data: bytes, status: int) -> None:
        """These bytes get this status, once, then the connection is closed."""
        client = self.web.client()
        client.send(data)
        self.assertEqual([answer.status for answer in client.answers()], [status], data[:60])
        self.assertEqual(client.answers()[0].json()["status"], status)
        self.assertTrue(client.is_closed)
        client.leave()

    def test_body(self) -> None:
        """A body that is said to be too large is not waited for, one in chunks ends where it is."""
        self.refused(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2049\r\n\r\n", 413)
        self.refused(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 413)
        chunk = b"1000\r\n" + bytes(4096) + b"\r\n"
        self.refused(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + 17 * chunk, 413)

    def test_rest(self) -> None:
        """Who goes on sending after that is cut after 64 KiB, or two seconds."""
        client = self.web.client()
        client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n")
        client.send(bytes(65536))
        self.assertFalse(client.wire.is_over)
        client.send(b"x")
        self.web.site.advance(0.0)
        self.assertTrue(client.wire.is_over)
        another = self.web.client()
        another.send(b"garbage\r\n")
        self.web.site.advance(3)
        self.assertTrue(another.wire.is_over)

    def test_head(self) -> None:
        """A head that is too long, has too many lines, or is none, is refused."""
        self.refused(b"GET /" + b"x" * 1100, 431)
        self.refused(b"GET / HTTP/1.1\r\nA: " + b"x" * 600 + b"\r\nB: " + b"x" * 600 + b"\r\n", 431)
        self.refused(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 102, 431)
        self.refused(b"hello\r\n", 400)
        self.refused(b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400)
        self.refused(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400)

    def test_slow(self) -> None:
        """A request that does not come whole in its time is told so; a connection that asks nothing is closed in peace."""
        client, idle = self.web.client(), self.web.client()
        client.send(b"GET / HTTP/1.1\r\n")
        for _ in range(4):
            self.web.site.advance(1)
            client.send(b"A: b\r\n")
        self.assertEqual(client.received, b"")
        self.web.site.advance(2)
        self.assertEqual([answer.status for answer in client.answers()], [408])
        self.web.site.advance(15)
        self.assertEqual((idle.received, idle.is_closed), (b"", True))

    def test_full(self) -> None:
        """One connection too many is told to come back; a place is free again when somebody left."""
        clients = [self.web.client() for _ in range(3)]
        self.assertEqual(readAnswers(self.web.client().received)[0].status, 503)
        self.web._clients[-1].leave()
        clients[0].leave()
        self.assertEqual(self.web.ask("GET", "/none").status, 404)
        self.assertEqual(self.web.bridge.counters["refused:full"], 1)
