"""What hostile clients send over HTTP, as bytes on a connection."""

from __future__ import annotations

import gc
from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from nodeset.web.access.gate import Gate, Policy
from nodeset.web.access.hosts import Hosts
from nodeset.web.access.origins import Origins
from tests.webs import Client, WebSite

POST = b"POST /v1/events/a HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\n"
GET = b"GET /v1/health HTTP/1.1\r\nHost: localhost:8080\r\n\r\n"


class HostileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.web = WebSite(self)
        self.site = self.web.site
        self.site.until(lambda: self.web.bridge.node.is_linked)

    def says(self, *parts: bytes) -> Client:
        """A client that sends these, some time apart."""
        client = self.web.client()
        for part in parts:
            if not client.is_closed:
                client.send(part)
            self.site.advance(0.1)
        return client

    def refused(self, status: int, *parts: bytes, closes: bool = True) -> Client:
        """It is told so, once, by a problem; no traceback, no more of what it sent is read."""
        client = self.says(*parts)
        shown = b"".join(parts)[:80]
        answers = client.answers()
        self.assertEqual([one.status for one in answers], [status], (shown, client.received[:300]))
        self.assertEqual(answers[0].json()["status"], status)
        self.assertEqual(answers[0].headers["content-type"], "application/problem+json")
        self.assertNotIn(b"Traceback", client.received)
        if closes:
            self.assertTrue(client.is_closed, shown)
        return client

    def served(self) -> None:
        """Others are served as if nothing was."""
        self.assertEqual(self.web.ask("GET", "/v1/health").status, 200)

    def test_garbage(self) -> None:
        """What is no HTTP is answered by 400, then the connection is closed."""
        for garbage in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
            b"hello\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / FTP/1.1\r\n\r\n",
            b"GET /v1/health HTTP/1.1\r\nno colon here\r\n\r\n",
            b"GET /v1/health HTTP/1.1\r\nHost : x\r\n\r\n",
            b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\x00: y\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ):
            self.refused(400, garbage)
        self.served()

    def test_lengths(self) -> None:
        """A length that is none, or is said twice, is 400; one that is too large is 413 at once."""
        for header, status in (
            (b"Content-Length: -1", 400),
            (b"Content-Length: +5", 400),
            (b"Content-Length: 1e3", 400),
            (b"Content-Length: 0x10", 400),
            (b"Content-Length: ", 400),
            (b"Content-Length: 5, 5", 400),
            (b"Content-Length: 5\r\nContent-Length: 6", 400),
            (b"Content-Length: 2\r\nTransfer-Encoding: chunked", 400),
            (b"Transfer-Encoding: chunked\r\nContent-Length: 2", 400),
            (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
            (b"Transfer-Encoding: gzip", 400),
            (b"Content-Length: 1048577", 413),
            (b"Content-Length: 99999999999999999999999999999", 413),
        ):
            self.refused(status, POST + header + b"\r\n\r\n{}")
        self.served()

    def test_noLength(self) -> None:
        """A POST without a length has no body."""
        self.refused(400, POST + b"\r\n", closes=False)

    def test_heads(self) -> None:
        """A head that is too large, or does not end, is 431, however it comes."""
        long = b"x" * 20_000
        for parts in (
            (b"GET /" + long + b" HTTP/1.1\r\n\r\n",),
            (b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nA: " + long + b"\r\n\r\n",),
            (b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n", *[b"A: " + b"x" * 1000 + b"\r\n"] * 20),
            (b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n", b"A: b\r\n" * 150),
            (b"G" * 20_000,),
        ):
            self.refused(431, *parts)
        self.served()

    def test_chunks(self) -> None:
        """Chunks that are none are 400; more of them than a body may have is 413."""
        chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
        for body in (b"zz\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}x\r\n0\r\n\r\n", b"2" * 5000):
            self.refused(400, chunked + body)
        self.refused(413, chunked, *[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 20)
        self.refused(413, chunked, *[b"1\r\nx\r\n" * 20_000] * 12)
        whole = self.says(chunked, b"1\r\n{\r\n", b"1\r\n}\r\n0\r\n\r\n")
        self.assertEqual([one.status for one in whole.answers()], [200])
        trailers = self.says(chunked + b"2\r\n{}\r\n0\r\n", *[b"A: " + b"x" * 5000 + b"\r\n"] * 40)
        self.assertTrue(trailers.is_closed)
        self.served()

    def test_paths(self) -> None:
        """No path leads anywhere but where it should, none is a 500."""
        for path in (
            "/%2e%2e/%2e%2e/etc/passwd",
            "/../../etc/passwd",
            "//etc/passwd",
            "/dashboard/../../setup.py",
            "/dashboard/..%2f..%2f..%2fetc%2fpasswd",
            "/dashboard/%2e%2e%2fassembly.py",
            "/dashboard/%2fetc%2fpasswd",
            "/dashboard/.",
            "/dashboard/..",
            "/dashboard/",
            "/dashboard/__init__.py",
            "/dashboard/..%5c..%5csetup.py",
            "/v1/health/",
            "/v1//health",
            "/v1/events//",
            "/V1/HEALTH",
            "/%76%31/health",
            "/v1/health;x=1",
            "/v1/health%00",
            "/index.rpy",
            "/x.rpy",
            "/\\..\\..\\etc",
            "*",
            "http://localhost:8080/etc",
        ):
            answer = self.web.ask("GET", path)
            self.assertIn(answer.status, (400, 404), path)
            self.assertEqual(answer.headers["content-type"], "application/problem+json", path)
            self.assertNotIn(b"root:", answer.body)
            self.assertNotIn(b"Traceback", answer.body)
        for path in ("/dashboard/%00", "/dashboard/%ff%fe", "/dashboard/a%0d%0ab", "/dashboard/" + "x" * 3000):
            self.assertIn(self.web.ask("GET", path).status, (400, 404), path)

    def test_noSlash(self) -> None:
        """What does not begin with a slash is no address, which a proxy could not tell from another one."""
        for path in (b"Xv1/events/a?wait=0", b"*v1/events/a", b"http:/v1/events/a", b"?v1/events/a"):
            self.refused(404, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", closes=False)

    def test_methods(self) -> None:
        """A wrong method is 405 with those that are right; what is no method is 400, HEAD has no body."""
        for method, path, allowed in (
            ("PUT", "/v1/nodes", "GET, HEAD, OPTIONS"),
            ("DELETE", "/v1/events", "OPTIONS, POST"),
            ("TRACE", "/v1/health", "GET, HEAD, OPTIONS"),
            ("GET", "/v1/calls/a/b", "OPTIONS, POST"),
            ("BREW", "/v1/health", "GET, HEAD, OPTIONS"),
            ("get", "/v1/health", "GET, HEAD, OPTIONS"),
        ):
            answer = self.web.ask(method, path)
            self.assertEqual((answer.status, set(answer.headers["allow"].split(", "))), (405, set(allowed.split(", "))), path)
        head = self.says(GET.replace(b"GET", b"HEAD"))
        self.assertTrue(head.received.endswith(b"\r\n\r\n"))
        self.assertIn(self.web.ask("CONNECT", "example.org:443").status, (400, 404, 405))

    def test_old(self) -> None:
        """HTTP/1.0 is answered, then closed; chunks in it are not believed."""
        client = self.says(b"GET /v1/health HTTP/1.0\r\nHost: localhost\r\n\r\n")
        self.assertEqual([one.status for one in client.answers()], [200])
        self.assertTrue(client.is_closed)
        body = b"POST /v1/events/a HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        self.assertEqual([one.status for one in self.says(body).answers()], [200])

    def test_pipelined(self) -> None:
        """Requests that come all at once are answered one after the other; a wrong one ends the row."""
        client = self.says(GET * 50)
        self.assertEqual([one.status for one in client.answers()], [200] * 50)
        client = self.says((POST + b"Content-Length: 2\r\n\r\n{}") * 20)
        self.site.until(lambda: len(client.answers()) == 20)
        client = self.says(GET + b"garbage\r\n\r\n" + GET)
        self.assertEqual([one.status for one in client.answers()], [200, 400])
        # Behind a request that takes its time nothing piles up.
        slow = self.web.client()
        slow.send(POST.replace(b"events/a", b"calls/nobody/waits") + b"Content-Length: 0\r\n\r\n")
        for _ in range(100):
            slow.send(GET * 100)
        self.assertLess(sum(map(len, slow.channel._dataBuffer)), 20_000)

    def test_slow(self) -> None:
        """A request that does not come whole in 30 s is 408, however busy it seems; an idle connection is closed."""
        begun = self.site.clock.seconds()
        drip = self.web.client()
        drip.send(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n")
        while not drip.is_closed:
            drip.send(b"A: b\r\n")
            self.site.advance(1.0)
        self.assertEqual([one.status for one in drip.answers()], [408])
        self.assertLess(self.site.clock.seconds() - begun, 32.0)
        body = self.says(POST + b"Content-Length: 100\r\n\r\n")
        idle = self.says(GET)
        silent = self.web.client()
        self.site.advance(31.0)
        self.assertEqual([one.status for one in body.answers()], [408])
        self.assertFalse(idle.is_closed)
        self.site.advance(50.0)
        self.assertTrue(idle.is_closed)
        self.assertTrue(silent.is_closed)
        self.assertEqual(silent.received, b"")

    def test_answersNotRead(self) -> None:
        """Who does not read what he asked for is not read from either."""
        client = self.says(GET)
        client.channel.pauseProducing()
        client.send(GET * 1000)
        self.assertEqual(client.wire.producerState, "paused")

    def test_headers(self) -> None:
        """Headers with any bytes in them are no 500."""
        for name in ("Content-Type", "Idempotency-Key", "traceparent", "NodeSet-TTL", "NodeSet-Confirm", "Accept", "Origin"):
            for value in (b"\xff\xfe", b"\xd7", b"", b"a\tb", b"x" * 8000, b"\xe2\x80\xae"):
                lines = {b"Host": b"localhost:8080", b"Content-Type": b"application/json", b"Content-Length": b"2"}
                lines[name.encode()] = value
                head = b"".join(b"%s: %s\r\n" % line for line in lines.items())
                answers = self.says(b"POST /v1/events/a HTTP/1.1\r\n" + head + b"\r\n{}").answers()
                self.assertIn(answers[0].status, (200, 400, 403, 415), (name, value))

    def test_headersAtTheGate(self) -> None:
        """Nor are they where somebody looks who asks."""
        gate = self.web.bridge.access = Gate(self.web.bridge, Policy(Origins(), Hosts("127.0.0.1")))
        for name in ("Host", "Origin", "Sec-Fetch-Site", "Authorization", "x-verify-key", "x-verify-signature", "Upgrade"):
            for value in (b"\xff\xfe", b"\xd7", b"", b"x" * 8000):
                lines = {b"Host": b"localhost:8080", b"Content-Type": b"application/json", b"Content-Length": b"2"}
                lines[name.encode()] = value
                head = b"".join(b"%s: %s\r\n" % line for line in lines.items())
                answers = self.says(b"POST /v1/events/a HTTP/1.1\r\n" + head + b"\r\n{}").answers()
                self.assertIn(answers[0].status, (200, 400, 401, 403, 421, 429), (name, value))
        self.assertEqual(gate.agents, 0)

    def test_leaving(self) -> None:
        """2,000 connections that come and leave, at any point of a request, leave nothing behind."""
        whole = POST + b"Content-Length: 2\r\n\r\n{}"

        def visit(cuts: Iterable[int]) -> None:
            for cut in cuts:
                client = Client(self.web.http)
                client.send(whole[: cut % (len(whole) + 1)])
                client.leave(clean=False)
            self.site.advance(1.0)
            gc.collect()

        gc.freeze()  # what is there already is not looked through again and again
        self.addCleanup(gc.unfreeze)
        visit(range(200))
        channels, objects = len(self.web.http.channels), len(gc.get_objects())
        visit(range(2000))
        self.assertEqual(len(self.web.http.channels), channels)
        self.assertLess(len(gc.get_objects()) - objects, 400)
