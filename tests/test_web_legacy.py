"""The HTTP of the original: what /publish and /subscribe answer, byte for byte."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.message import NodeMessage, RawMessage
from nodeset.web.legacy.subscriber import Subscriber
from tests.webs import Client, WebSite

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Order(NodeMessage):
    """What somebody buys."""

    id: int
    note: str = ""


class Job(NodeMessage):
    """Work for one."""

    _delivery_mode = "one"

    n: int = 0


def address(path: str, *pairs: tuple[str, str]) -> str:
    """A path with arguments."""
    return f"{path}?{urlencode(pairs)}"


def producerOf(client: Client) -> Any:
    """What a transport asks to pause when its client does not read."""
    return client.wire.producer


class PublishTests(SynchronousTestCase):
    """GET or POST /publish."""

    def setUp(self) -> None:
        self.web = WebSite(self)
        self.site = self.web.site

    def refused(self, status: int, part: str, method: str, path: str, headers: Any = None, body: bytes = b"") -> None:
        """It is answered by a problem that says so; nothing is published."""
        answer = self.web.ask(method, path, headers, body)
        self.assertEqual((answer.status, answer.headers["content-type"]), (status, "application/problem+json"), answer.body)
        self.assertIn(part, answer.json()["detail"])

    def test_success(self) -> None:
        """By GET, by a form or a multipart form: 200 and CR LF, once the event is with the dispatcher; members are fields."""
        listener = self.site.listen("orders.*")
        arguments = urlencode({"event": "orders.created", "message": '{"id": 7, "name": "Zoë"}'})
        parts = "".join(
            f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in (("event", "orders.created"), ("message", '{"id": 7, "name": "Zoë"}'))
        )
        for method, path, headers, body in (
            ("GET", f"/publish?{arguments}", {}, b""),
            ("POST", f"/publish?{arguments}", {}, b""),
            ("POST", "/publish", FORM, arguments.encode()),
            ("POST", "/publish", {"Content-Type": "multipart/form-data; boundary=x"}, f"{parts}--x--\r\n".encode()),
        ):
            answer = self.web.ask(method, path, headers, body)
            self.assertEqual((answer.status, answer.body), (200, b"\r\n"))
            self.assertEqual(answer.headers["content-type"], "text/html")
            self.site.flush()
            self.assertEqual([msg.fields() for msg in listener.heard], [{"id": 7, "name": "Zoë"}])
            listener.heard.clear()

    def test_mode(self) -> None:
        """`_delivery_mode` in the message says who gets it, as it always did; the last one of several arguments counts."""
        first, second = self.site.listen("jobs", name="a"), self.site.listen("jobs", name="b")
        one = ("message", '{"n": 1, "_delivery_mode": "one"}')
        self.assertEqual(self.web.ask("GET", address("/publish", ("event", "no"), ("event", "jobs"), one)).status, 200)
        self.site.flush()
        self.assertEqual(len(first.heard) + len(second.heard), 1)
        many = ("message", '{"_delivery_mode": "direct"}')
        self.refused(400, "'direct'", "GET", address("/publish", ("event", "jobs"), many))

    def test_nobody(self) -> None:
        """That nobody subscribed is no failure."""
        self.assertEqual(self.web.ask("GET", address("/publish", ("event", "x"), ("message", "{}"))).body, b"\r\n")

    def test_badArguments(self) -> None:
        """What is missing or wrong is the client's fault, and named."""
        ok = ("event", "x")
        for status, part, path in (
            (400, "there is no event", "/publish"),
            (400, "there is no event", address("/publish", ("message", "{}"))),
            (400, "no message for 'x'", address("/publish", ok)),
            (400, "no JSON", address("/publish", ok, ("message", ""))),
            (400, "no JSON", address("/publish", ok, ("message", "{'a': 1}"))),
            (400, "JSON array", address("/publish", ok, ("message", "[1]"))),
            (400, "JSON number", address("/publish", ok, ("message", "1"))),
            (400, "JSON null", address("/publish", ok, ("message", "null"))),
            (400, "no JSON", address("/publish", ok, ("message", '{"a": NaN}'))),
            (400, "nested", address("/publish", ok, ("message", '{"a":' * 40 + "1" + "}" * 40))),
            (400, "__class__", address("/publish", ok, ("message", '{"__class__": 1}'))),
            (400, "is a pattern", address("/publish", ("event", "a.*"), ("message", "{}"))),
            (400, "Invalid addressing", address("/publish", ("event", "a/b/c"), ("message", "{}"))),
            (400, "message is not UTF-8", "/publish?event=x&message=%ff"),
            (400, "event is not UTF-8", "/publish?event=%ff&message={}"),
        ):
            self.refused(status, part, "GET", path)
        self.refused(413, "send less", "POST", "/publish", FORM, b"event=x&message=" + b"9" * 1_100_000)
        deep = b"event=x&message=" + b"[" * 900_000
        self.refused(400, "no JSON", "POST", "/publish", FORM, deep)

    def test_badMethod(self) -> None:
        """Only GET and POST are for it; HEAD does nothing."""
        listener = self.site.listen(">")
        path = address("/publish", ("event", "x"), ("message", "{}"))
        for method in ("PUT", "DELETE", "PATCH", "BREW"):
            self.refused(405, "only", method, path)
        answer = self.web.ask("HEAD", path)
        self.assertEqual((answer.status, answer.headers["allow"], answer.body), (405, "GET, POST", b""))
        self.site.flush()
        self.assertEqual(listener.heard, [])

    def test_badBody(self) -> None:
        """A body that is no form is told so, whatever the address says; the size that a body may have is bounded."""
        path = address("/publish", ("event", "x"), ("message", "{}"))
        self.refused(415, "'application/json'", "POST", path, {"Content-Type": "application/json"}, b"{}")
        self.refused(415, "no Content-Type", "POST", path, {}, b"event=x")
        self.refused(400, "no body", "GET", path, {**FORM, "Content-Length": "7"}, b"event=x")
        self.refused(413, "send less", "POST", path, {**FORM, "Content-Length": "1073741824"}, b"")

    def test_noDispatcher(self) -> None:
        """Without a dispatcher it is 503 at once, with when to come back."""
        self.site.killDispatcher()
        self.site.until(lambda: not self.web.bridge.node.is_linked)
        for path in (address("/publish", ("event", "x"), ("message", "{}")), "/subscribe?event=x"):
            answer = self.web.ask("GET", path)
            self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
            self.assertNotIn("pb://", answer.json()["detail"])
        self.site.startDispatcher()

    def test_noAnswer(self) -> None:
        """When the dispatcher does not answer it is 504 after the time that a request may take, never a hang."""
        assert self.site.dispatcher is not None
        client = self.web.client()
        self.site.freeze(self.site.dispatcher)
        client.ask("GET", address("/publish", ("event", "x"), ("message", "{}")))
        self.site.advance(31)
        self.assertEqual([answer.status for answer in client.answers()], [504])


class SubscribeTests(SynchronousTestCase):
    """GET or POST /subscribe."""

    def setUp(self) -> None:
        self.web = WebSite(self)
        self.site = self.web.site

    def subscribe(self, *events: str, version: str = "1.1") -> Client:
        """A client that is subscribed."""
        client = self.web.client()
        arguments = "&".join(f"event={quote(event)}" for event in events)
        client.send(f"GET /subscribe?{arguments} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
        self.site.until(lambda: bool(client.received), what="the head of the answer")
        return client

    def test_stream(self) -> None:
        """Each event is one chunk: its JSON as `toJson` has it, then CR LF; the answer stays open."""
        client = self.subscribe("orders.created", "orders.paid")
        [answer] = client.answers()
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(answer.headers["transfer-encoding"], "chunked")
        head = client.received
        self.site.publish("orders.created", Order, id=1, note="Zoë")
        self.site.publish("orders.shipped", Order, id=2)
        self.site.publish("orders.paid", Order, id=3)
        first, second = rb'{"id": 1, "note": "Zo\u00eb"}', b'{"id": 3, "note": ""}'
        self.assertEqual(client.received[len(head) :], b"1f\r\n%s\r\n\r\n17\r\n%s\r\n\r\n" % (first, second))
        self.assertEqual(first.decode("unicode_escape"), Order(id=1, note="Zoë").toJson().encode().decode("unicode_escape"))
        self.assertFalse(client.is_closed)

    def test_http10(self) -> None:
        """With HTTP/1.0 the first event ends it, without chunks."""
        client = self.subscribe("orders.*", version="1.0")
        head = client.received
        self.assertNotIn(b"chunked", head)
        self.site.publish("orders.created", Order, id=1)
        self.site.publish("orders.created", Order, id=2)
        self.assertEqual(client.received[len(head) :], b'{"id": 1, "note": ""}\r\n')
        self.assertTrue(client.is_closed)
        self.assertEqual(self.web.bridge.node.getSubscriptions(), [])

    def test_post(self) -> None:
        """The events may come in a form; an address of this site is its event; the same event twice comes once."""
        client = self.web.client()
        client.ask("POST", "/subscribe?event=a", FORM, b"event=localhost/b&event=b&event=*")
        self.site.until(lambda: bool(client.received))
        self.site.publish("b", n=1)
        self.assertEqual(client.answers()[0].body, b'{"n": 1}\r\n')

    def test_raw(self) -> None:
        """Bytes that are no JSON come as their base64."""
        client = self.subscribe("raw")
        self.site.wait(self.site.me.publishMessage("raw", RawMessage(b"\xff\r\n")))
        self.assertEqual(client.answers()[0].body, b'{"data": "/w0K"}\r\n')

    def test_looksOn(self) -> None:
        """Who subscribes by HTTP takes no work from a worker."""
        worker = self.site.listen("jobs")
        client = self.subscribe("jobs")
        for n in range(4):
            self.site.publish("jobs", Job, n=n)
        self.assertEqual((len(worker.heard), client.answers()[0].body), (4, b""))

    def test_leaves(self) -> None:
        """A client that leaves is unsubscribed within a second; others for the same event stay."""
        node = self.web.bridge.node
        first, second = self.subscribe("x", "y"), self.subscribe("x")
        self.assertEqual(node.getSubscriptions(), ["x", "y"])
        first.leave()
        self.site.advance(1)
        self.assertEqual(node.getSubscriptions(), ["x"])
        self.site.publish("x", n=1)
        self.assertEqual(second.answers()[0].body, b'{"n": 1}\r\n')
        second.leave(clean=False)
        self.site.advance(1)
        self.assertEqual(node.getSubscriptions(), [])
        self.assertEqual(self.site.publish("x", n=1).matched, 0)

    def test_leavesEarly(self) -> None:
        """One that leaves before it was answered leaves nothing behind."""
        client = self.web.client()
        client.ask("GET", "/subscribe?event=x")
        client.leave()
        self.site.advance(1)
        self.assertEqual(self.web.bridge.node.getSubscriptions(), [])

    def test_many(self) -> None:
        """Five hundred that come and go leave nothing behind, one subscription serves all that are there."""
        clients = [self.subscribe("x") for _ in range(20)]
        self.assertEqual(self.site.publish("x", n=1).matched, 1)
        self.assertEqual({client.answers()[0].body for client in clients}, {b'{"n": 1}\r\n'})
        for client in clients:
            client.leave()
        for _ in range(480):
            self.subscribe("x").leave()
        self.site.advance(1)
        self.assertEqual((self.web.bridge.node.getSubscriptions(), len(self.web.http.channels)), ([], 0))

    def test_bad(self) -> None:
        """What cannot be subscribed to is refused, and named."""
        many = "&".join(f"event=e{n}" for n in range(101))
        for status, part, path in (
            (400, "there is no event", "/subscribe"),
            (400, "there is no event", "/subscribe?event="),
            (400, "101 events", f"/subscribe?{many}"),
            (400, "misplaced wildcard", "/subscribe?event=a*"),
            (400, "addressed to somebody", "/subscribe?event=n@localhost/x"),
            (400, "not UTF-8", "/subscribe?event=%ff"),
        ):
            answer = self.web.ask("GET", path)
            self.assertEqual(answer.status, status, path)
            self.assertIn(part, answer.json()["detail"])
        self.assertEqual(self.web.ask("HEAD", "/subscribe?event=x").status, 405)
        self.assertEqual(self.web.ask("PUT", "/subscribe?event=x").status, 405)
        self.assertEqual(self.web.bridge.node.getSubscriptions(), [])


class LimitTests(SynchronousTestCase):
    """How much a subscriber may cost."""

    def subscribe(self, web: WebSite) -> Client:
        client = web.client()
        client.ask("GET", "/subscribe?event=x")
        web.site.until(lambda: bool(client.received))
        return client

    def test_slow(self) -> None:
        """One that does not read is cut when more waits than may, and counted; the others notice nothing."""
        web = WebSite(self, stream_events=10)
        slow, quick = self.subscribe(web), self.subscribe(web)
        producerOf(slow).pauseProducing()
        for n in range(10):
            web.site.publish("x", n=n)
        self.assertFalse(slow.is_closed)
        web.site.publish("x", n=10)
        self.assertTrue(slow.is_closed)
        self.assertEqual((web.bridge.counters["cut:slow"], web.bridge.counters["dropped:slow"]), (1, 11))
        self.assertEqual(len(quick.answers()[0].body.splitlines()), 11)

    def test_gone(self) -> None:
        """What waits for one that leaves is counted as what it did not get."""
        web = WebSite(self)
        slow = self.subscribe(web)
        producerOf(slow).pauseProducing()
        web.site.publish("x", n=1)
        slow.leave()
        self.assertEqual(web.bridge.counters["dropped:gone"], 1)

    def test_reads(self) -> None:
        """One that reads again gets what waited, in order; the bytes that wait are bounded as well."""
        web = WebSite(self, stream_bytes=1000)
        slow = self.subscribe(web)
        producer = producerOf(slow)
        producer.pauseProducing()
        for n in range(3):
            web.site.publish("x", n=n)
        self.assertEqual(slow.answers()[0].body, b"")
        producer.resumeProducing()
        self.assertEqual(slow.answers()[0].body, b'{"n": 0}\r\n{"n": 1}\r\n{"n": 2}\r\n')
        producer.pauseProducing()
        web.site.publish("x", text="x" * 1000)
        self.assertTrue(slow.is_closed)

    def test_streams(self) -> None:
        """There are so many streams at a time; one that ends makes room."""
        web = WebSite(self, max_streams=2)
        first, _second = self.subscribe(web), self.subscribe(web)
        answer = web.ask("GET", "/subscribe?event=x")
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        first.leave()
        self.assertEqual(self.subscribe(web).answers()[0].status, 200)

    def test_patience(self) -> None:
        """A stream has no deadline."""
        web = WebSite(self)
        client = self.subscribe(web)
        web.site.advance(3600)
        web.site.publish("x", n=1)
        self.assertEqual(client.answers()[0].body, b'{"n": 1}\r\n')
        self.assertTrue(client.wire.keeps_alive, "a machine that vanished would be kept for ever")

    def test_drain(self) -> None:
        """When the bridge stops, streams end as whole answers, with what waited for a client that did not read."""
        web = WebSite(self)
        client, slow = self.subscribe(web), self.subscribe(web)
        producerOf(slow).pauseProducing()
        web.site.publish("x", n=1)
        web.site.wait(web.bridge.stopService())
        for each in (client, slow):
            self.assertTrue(each.received.endswith(b'a\r\n{"n": 1}\r\n\r\n0\r\n\r\n'), each.received)

    def test_interface(self) -> None:
        """A subscriber is the producer that it says it is."""
        from twisted.internet.interfaces import IPushProducer
        from zope.interface.verify import verifyClass

        self.assertTrue(verifyClass(IPushProducer, Subscriber))
