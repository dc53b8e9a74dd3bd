"""The original's site with its node, in a program of one's own."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site as TwistedSite

import nodeset
from nodeset import NodeSetSite, WebBridgeNode
from nodeset.core.message import NodeMessage
from nodeset.errors import BadMessage, InvalidAddressing, LocalError, MessageTooLarge, MissingField
from nodeset.testing import Site
from nodeset.web.legacy.builder import WebMessageBuilder
from nodeset.web.legacy.site import NodeSetPublish, NodeSetSubscribe
from nodeset.web.limits import Limits
from tests.webs import Answer, Client

SECRET = b"the secret of both"


class Order(NodeMessage):
    """What somebody buys."""

    id: int
    note: str = ""


class Page(Resource):
    """Something of the program's own."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """See `Resource`."""
        return b"mine"


class Judge:
    """A verifier, which notes what it was asked.

    :param answer: what it says.
    """

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self._answer = answer

    def verify(self, a: str, b: str, c: str) -> Any:
        """See `Verifier`."""
        self.asked.append((a, b, c))
        return self._answer()


class Hmac:
    """A verifier as one would write it."""

    def verify(self, a: str, b: str, c: str) -> bool:
        """See `Verifier`."""
        return hmac.compare_digest(hmac.digest(SECRET, (a + b).encode(), "sha256").hex(), c)


class NodeTests(SynchronousTestCase):
    """WebBridgeNode."""

    def setUp(self) -> None:
        self.site = Site.forTest(self)
        self.node = self.site.node(WebBridgeNode, name="web")
        self.got: list[Any] = []

    def note(self, msg: NodeMessage, sub_id: str, *args: Any, **kw: Any) -> None:
        """A callback."""
        self.got.append((msg.toJson(), sub_id, args, kw))

    def test_called(self) -> None:
        """A callback gets the message, the id that subscribe returned, then what it was to be given."""
        sub_id = self.node.subscribe("orders.*", self.note, 1, key="x")
        self.site.flush()
        self.assertEqual(self.site.publish("orders.created", Order, id=1).matched, 1)
        self.assertEqual(self.got, [('{"id": 1, "note": ""}', sub_id, (1,), {"key": "x"})])

    def test_several(self) -> None:
        """Several may subscribe to one event, the dispatcher hears of it once; each ends its own, the last one ends it all."""
        first = self.node.subscribe("x", self.note, "first")
        second = self.node.subscribe("x", self.note, "second")
        self.assertNotEqual(first, second)
        self.site.flush()
        self.assertEqual(self.site.publish("x").matched, 1)
        self.assertEqual([args for _json, _id, args, _kw in self.got], [("first",), ("second",)])
        self.assertTrue(self.successResultOf(self.node.unsubscribe("x", first)))
        self.site.publish("x")
        self.assertEqual([sub_id for _json, sub_id, _args, _kw in self.got[2:]], [second])
        self.assertTrue(self.node.issubscribed("x"))
        self.node.unsubscribe("x", second)
        self.site.flush()
        self.assertEqual((self.site.publish("x").matched, self.node.getSubscriptions()), (0, []))

    def test_unknown(self) -> None:
        """An id that is none, or was for another event, undoes nothing; again neither."""
        sub_id = self.node.subscribe("x", self.note)
        for event, given in (("x", "no"), ("y", sub_id)):
            self.assertFalse(self.successResultOf(self.node.unsubscribe(event, given)))
        self.assertTrue(self.successResultOf(self.node.unsubscribe("x", sub_id)))
        self.assertFalse(self.successResultOf(self.node.unsubscribe("x", sub_id)))

    def test_notShared(self) -> None:
        """Two nodes do not share their subscriptions, as the original's did."""
        other = self.site.node(WebBridgeNode, name="other")
        self.node.subscribe("x", self.note)
        self.site.flush()
        self.assertEqual((other.getSubscriptions(), self.site.publish("x").matched), ([], 1))

    def test_raises(self) -> None:
        """A callback that raises, at once or later, is logged once each, and stops nobody else."""

        def bad(msg: NodeMessage, sub_id: str) -> None:
            raise ValueError("bad")

        async def late(msg: NodeMessage, sub_id: str) -> None:
            raise KeyError("late")

        for callback in (bad, late, self.note):
            self.node.subscribe("x", callback)
        self.site.flush()
        self.site.publish("x", n=1)
        self.assertEqual(len(self.got), 1)
        self.assertEqual([failure.type for failure in self.site.flushErrors()], [ValueError, KeyError])

    def test_endsItself(self) -> None:
        """A callback may end its own subscription, or one whose turn has not come."""

        def once(msg: NodeMessage, sub_id: str) -> None:
            self.node.unsubscribe("x", sub_id)
            self.node.unsubscribe("x", second)
            self.got.append("once")

        self.node.subscribe("x", once)
        second = self.node.subscribe("x", self.note)
        self.site.flush()
        self.site.publish("x")
        self.site.publish("x")
        self.assertEqual(self.got, ["once"])

    def test_asNode(self) -> None:
        """Without a callback its verbs are those of every node; before it starts, subscriptions wait."""
        early = self.site.node(WebBridgeNode, name="early", start=False)
        early.subscribe("x", self.note)
        early.startService()
        self.site.flush()
        self.assertTrue(self.site.wait(early.subscribe("y")))
        self.assertEqual(early.getSubscriptions(), ["x", "y"])
        self.assertTrue(self.site.wait(early.unsubscribe("y")))
        self.site.publish("x")
        self.assertEqual(len(self.got), 1)

    def test_wrong(self) -> None:
        """What is no event, no callback is told at once, and leaves nothing behind."""
        self.assertRaises(InvalidAddressing, self.node.subscribe, "a b", self.note)
        self.assertRaises(LocalError, self.node.subscribe, "x", "no callback")
        self.assertEqual(self.node.getSubscriptions(), [])

    def test_front(self) -> None:
        """The names of the original stand at the front door."""
        self.assertIs(nodeset.WebBridgeNode, WebBridgeNode)
        self.assertTrue(issubclass(NodeSetSite, TwistedSite))


class BuilderTests(SynchronousTestCase):
    """WebMessageBuilder."""

    def test_made(self) -> None:
        """A message has the members of the JSON as fields; a class of its own checks those that it knows."""
        build = WebMessageBuilder.createMessage
        self.assertEqual(build(None, '{"klass": 1, "json": [2]}').fields(), {"klass": 1, "json": [2]})
        msg = build(Order, '{"id": 1, "more": true, "_delivery_mode": "one"}')
        self.assertEqual((type(msg), msg.fields(), msg._delivery_mode), (Order, {"id": 1, "note": "", "more": True}, "one"))
        self.assertEqual(build(Order, id=2).fields(), {"id": 2, "note": ""})
        self.assertRaises(BadMessage, build, Order, '{"id": "seven"}')
        self.assertRaises(BadMessage, build, Order, "{}")

    def test_bad(self) -> None:
        """What is no JSON object, or too much of one, is refused."""
        for text in ("", "[]", "7", "null", "{", '{"a": NaN}', '{"a":' * 40 + "1" + "}" * 40, '{"a": 99999999999999999999}'):
            self.assertRaises(BadMessage, WebMessageBuilder.createMessage, None, text)
        self.assertRaises(BadMessage, WebMessageBuilder.createMessage, None, "[" * 100_000)
        self.assertRaises(MessageTooLarge, WebMessageBuilder.createMessage, None, '{"a": "' + "x" * (1 << 20) + '"}')
        msg = WebMessageBuilder.createMessage(None, "{}")
        self.assertRaises(MissingField, getattr, msg, "a")


class SiteTests(SynchronousTestCase):
    """NodeSetSite."""

    def setUp(self) -> None:
        self.site = Site.forTest(self)
        self.node = self.site.node(WebBridgeNode, name="web")
        root = Resource()
        root.putChild(b"mine", Page())
        root.putChild(b"pub", NodeSetPublish())
        root.putChild(b"sub", NodeSetSubscribe())
        self.http = NodeSetSite(root, self.node, limits=Limits(max_body=2000))
        self.http.startFactory()
        self.addCleanup(self.http.cut)

    def ask(self, path: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        """The answer to one request."""
        client = Client(self.http)
        client.ask(method, path, headers, body)
        self.site.until(lambda: bool(client.received), what=f"an answer to {path}")
        self.site.flush()
        [answer] = client.answers()
        client.leave()
        return answer

    def publish(self, **arguments: str) -> Answer:
        """Publish by GET."""
        return self.ask(f"/publish?{urlencode({'event': 'x', 'message': '{}', **arguments})}")

    def subscribe(self, *arguments: str, **headers: str) -> Answer:
        """Subscribe, until the head of the answer is there."""
        return self.ask(f"/subscribe?{'&'.join(['event=x', *arguments])}", headers=headers)

    def test_served(self) -> None:
        """What the program serves is there, with the two pages on top, at addresses of one's own as well."""
        listener = self.site.listen("x")
        self.assertEqual((self.ask("/mine").body, self.ask("/mine?a=b").body), (b"mine", b"mine"))
        self.assertEqual(self.ask("/nothing").status, 404)
        self.assertEqual((self.publish().status, self.publish().body), (200, b"\r\n"))
        self.assertEqual(self.ask("/pub?event=x&message={}").body, b"\r\n")
        self.assertEqual(len(listener.heard), 3)
        for path in ("/subscribe?event=x", "/sub?event=x"):
            client = Client(self.http)
            client.ask("GET", path)
            self.site.flush()
            self.site.publish("x", n=1)
            self.assertEqual(client.answers()[0].body, b'{"n": 1}\r\n')
            client.leave()
        self.site.flush()
        self.assertEqual(self.node.getSubscriptions(), [])

    def test_limits(self) -> None:
        """It takes no more than its limits say, of what the program serves either; nothing shows a traceback."""
        self.assertEqual(self.ask("/mine", "POST", {"Content-Length": "3000"}).status, 413)
        self.assertEqual(self.ask("/publish", "PUT").status, 405)

    def test_accessors(self) -> None:
        """Node and verifier can be looked at and replaced, as in the original."""
        self.assertIs(self.http.getNode(), self.node)
        self.assertIsNone(self.http.getVerifier())
        verifier = Hmac()
        self.http.setVerifier(verifier)
        self.assertIs(self.http.getVerifier(), verifier)
        self.http.setVerifier(None)
        other = self.site.node(WebBridgeNode, name="other")
        self.http.setNode(other)
        self.assertIs(self.http.getNode(), other)
        heard: list[str] = []
        self.node.subscribe("x", lambda msg, sub_id: heard.append(msg.meta.by))
        self.site.flush()
        self.assertEqual(self.publish().status, 200)
        self.assertEqual(len(heard), 1)

    def test_asked(self) -> None:
        """A publish is judged by event, message, signature as they came; a subscribe by key, timestamp, signature."""
        judge = Judge(lambda: True)
        self.http.setVerifier(judge)
        message = '{"a":  "Zoë"}'
        self.assertEqual(self.publish(message=message, signature="s1").body, b"\r\n")
        self.assertEqual(self.subscribe("timestamp=17", "signature=s2", **{"X-Verify-Key": "alice"}).status, 200)
        self.assertEqual(judge.asked, [("x", message, "s1"), ("alice", "17", "s2")])

    def test_signed(self) -> None:
        """A right signature lets in, another one is 403, none is 401: then nothing was published, nobody is subscribed."""
        listener = self.site.listen("x")
        self.http.setVerifier(Hmac())
        signature = hmac.digest(SECRET, b'x{"n": 1}', "sha256").hex()
        good = f"signature={hmac.digest(SECRET, b'alice17', 'sha256').hex()}"
        self.assertEqual(self.publish(message='{"n": 1}', signature=signature).status, 200)
        self.assertEqual(self.subscribe("timestamp=17", good, **{"X-Verify-Key": "alice"}).status, 200)
        for status, answer in (
            (403, self.publish(message='{"n": 2}', signature=signature)),
            (403, self.publish(message='{"n": 1}', event="y", signature=signature)),
            (401, self.publish(message='{"n": 1}')),
            (401, self.publish(message='{"n": 1}', signature="")),
            (403, self.subscribe("timestamp=18", good, **{"X-Verify-Key": "alice"})),
            (401, self.subscribe("timestamp=17", good)),
            (401, self.subscribe(good, **{"X-Verify-Key": "alice"})),
            (401, self.subscribe("timestamp=17", **{"X-Verify-Key": "alice"})),
            (401, self.subscribe()),
            (401, self.ask("/pub?event=x&message={}")),
        ):
            self.assertEqual((answer.status, answer.headers["content-type"]), (status, "application/problem+json"))
            self.assertNotIn(signature, answer.body.decode())
            self.assertEqual("www-authenticate" in answer.headers, status == 401)
        self.site.flush()
        self.assertEqual((len(listener.heard), self.node.getSubscriptions()), (1, []))

    def test_answers(self) -> None:
        """A verifier may say it at once, by a Deferred, by a coroutine; what is neither true nor awaited lets nobody in."""

        async def later(answer: bool) -> bool:
            return answer

        waiting: list[Deferred[bool]] = []

        def wait() -> Deferred[bool]:
            waiting.append(Deferred())
            self.site.clock.callLater(1, waiting[-1].callback, True)
            return waiting[-1]

        for answer, status in ((lambda: 1, 200), (lambda: None, 403), (lambda: later(True), 200), (lambda: later(False), 403)):
            self.http.setVerifier(Judge(answer))
            self.assertEqual(self.publish(signature="s").status, status)
        self.http.setVerifier(Judge(wait))
        self.assertEqual(self.publish(signature="s").status, 200)

    def test_raises(self) -> None:
        """A verifier that raises, or whose Deferred fails, lets nobody in; that is one entry in the log each."""

        def fail() -> bool:
            raise ValueError("no such key")

        async def failLater() -> bool:
            raise KeyError("no such key")

        for answer, kind in ((fail, ValueError), (failLater, KeyError)):
            self.http.setVerifier(Judge(answer))
            answered = self.publish(signature="s")
            self.assertEqual(answered.status, 403)
            self.assertNotIn(b"no such key", answered.body)
            self.assertEqual(len(self.site.flushErrors(kind)), 1)

    def test_neverAnswers(self) -> None:
        """A verifier that never answers is 504 after the time that a request may take; its Deferred is cancelled."""
        cancelled: list[bool] = []
        self.http.setVerifier(Judge(lambda: Deferred(lambda deferred: cancelled.append(True))))
        client = Client(self.http)
        client.ask("GET", "/publish?event=x&message={}&signature=s")
        self.site.advance(31)
        self.assertEqual(([answer.status for answer in client.answers()], cancelled), ([504], [True]))
        client.leave()

    def test_stops(self) -> None:
        """When the port closes, streams end as whole answers; no timer is left when the last connection has gone."""
        client = Client(self.http)
        client.ask("GET", "/subscribe?event=x")
        self.site.until(lambda: bool(client.received))
        self.http.stopFactory()
        self.assertTrue(client.received.endswith(b"0\r\n\r\n"))
        client.leave()
        self.site.advance(1)
        self.assertFalse(self.http._looking.running)

    def test_crossSite(self) -> None:
        """A page of somebody else's cannot publish, by GET either; one of ours, a program, a typed address can."""
        path = f"/publish?event=x&message={quote('{}')}"
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
        ):
            for method in ("GET", "POST"):
                self.assertEqual(self.ask(path, method, headers).status, 403, headers)
        for headers in ({}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8080"}):
            self.assertEqual(self.ask(path, headers=headers).status, 200, headers)
