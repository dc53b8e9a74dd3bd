"""Events that are published over HTTP."""

from __future__ import annotations

import base64
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.message import NodeMessage, RawMessage
from nodeset.core.node import Node
from nodeset.core.utils import catch
from tests.webs import Answer, WebSite

JSON = {"Content-Type": "application/json"}
BYTES = {"Content-Type": "application/octet-stream"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Broken(Node):
    """Fails with whatever it gets."""

    @catch("orders.created")
    def fail(self, msg: NodeMessage) -> None:
        raise ValueError("out of stock")


class EventsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.web = WebSite(self)
        self.site = self.web.site
        self.site.until(lambda: self.web.bridge.node.is_linked)

    def post(self, body: bytes = b"{}", event: str = "orders.created", **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.web.ask("POST", f"/v1/events/{event}", {**JSON, **given}, body)

    def problem(self, answer: Answer, status: int, said: str) -> dict[str, Any]:
        """The answer is this problem."""
        self.assertEqual((answer.status, answer.headers["content-type"]), (status, "application/problem+json"), answer.body)
        fields: dict[str, Any] = answer.json()
        self.assertEqual(fields["status"], status)
        self.assertIn(said, fields["detail"])
        self.assertNotIn(b"Traceback", answer.body)
        return fields


class PublishTests(EventsCase):
    """`POST /v1/events/{event}`."""

    def test_delivered(self) -> None:
        """The body goes its way byte for byte; the answer says who got it."""
        heard, raw = self.site.listen("orders.*"), self.site.listen("orders.*", msgClass=RawMessage)
        answer = self.post(b'{ "id" : 1 }')
        self.assertEqual(answer.status, 200)
        fields = answer.json()
        self.assertEqual((fields["matched"], fields["delivered"], fields["dropped"]), (2, 2, 0))
        self.assertEqual(heard.heard[0].fields(), {"id": 1})
        self.assertEqual(raw.heard[0].data, b'{ "id" : 1 }')
        self.assertNotEqual(fields["id"], self.post().json()["id"])

    def test_levels(self) -> None:
        """`accepted` answers 202; `handled` waits for the handlers; `durable` is not offered."""
        self.site.listen("orders.*")
        answer = self.post(NodeSet_Confirm="accepted")
        self.assertEqual((answer.status, sorted(answer.json())), (202, ["id", "matched"]))
        self.assertEqual(self.post(NodeSet_Confirm="handled").status, 200)
        self.problem(self.post(NodeSet_Confirm="durable"), 501, "durable is not offered")
        self.problem(self.post(NodeSet_Confirm="soon"), 400, "NodeSet-Confirm is 'soon'")

    def test_failed(self) -> None:
        """A handler that fails is 502 with the receipt, without a traceback."""
        self.site.node(Broken)
        self.site.listen("orders.*")
        fields = self.problem(self.post(NodeSet_Confirm="handled"), 502, "failed")
        self.assertEqual(fields["receipt"], {"matched": 2, "delivered": 2, "dropped": 0})
        self.site.flushErrors(ValueError)

    def test_options(self) -> None:
        """Delivery, life, retention are said by headers."""
        heard = [self.site.listen("orders.*") for _ in range(3)]
        self.assertEqual(self.post(NodeSet_Delivery="one").json()["matched"], 1)
        self.assertEqual(sum(len(one.heard) for one in heard), 1)
        self.assertEqual(self.post(b'{"id":7}', NodeSet_Retain="true", NodeSet_TTL="60").status, 200)
        late = self.site.listen("orders.*")
        self.site.advance(0.2)
        self.assertEqual([message.fields() for message in late.heard], [{"id": 7}])
        self.problem(self.post(NodeSet_Retain="true", NodeSet_Delivery="one"), 400, "retain")
        self.problem(self.post(NodeSet_Confrim="handled"), 400, "'nodeset-confrim' means nothing here")

    def test_bytes(self) -> None:
        """`application/octet-stream` goes as it is."""
        raw = self.site.listen("orders.*", msgClass=RawMessage)
        answer = self.web.ask("POST", "/v1/events/orders.created", {**BYTES, "NodeSet-Delivery": "one"}, b"\x00\xff")
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(raw.heard[0].data, b"\x00\xff")

    def test_trace(self) -> None:
        """A traceparent is passed on; one that is wrong is ignored, as W3C has it."""
        heard = self.site.listen("orders.*")
        self.post(traceparent=TRACE)
        self.assertEqual(heard.heard[0].meta.traceparent[:36], TRACE[:36])
        for wrong in ("00-1-2-3", TRACE.upper(), "x" * 5000):
            self.assertEqual(self.post(traceparent=wrong).status, 200)
            self.assertIsNone(heard.heard[-1].meta.traceparent)

    def test_addresses(self) -> None:
        """A slash in an address is percent-encoded; what is no name is said."""
        mine, other = self.site.listen("orders.*", name="kitchen"), self.site.listen("orders.*", name="hall")
        self.assertEqual(self.post(event="kitchen@localhost%2forders.created").json()["matched"], 1)
        self.assertEqual((len(mine.heard), len(other.heard)), (1, 0))
        for event in ("orders.*", "a..b", "a%20b", "%2f", "a%2fb%2fc", "*", "%C3%A4%40", "x" * 2000):
            self.assertEqual(self.post(event=event).status, 400, event)
        for event, status in (("%ff", 400), ("a%00b", 400), ("a/b", 404), ("", 404)):
            self.assertEqual(self.post(event=event).status, status, event)

    def test_types(self) -> None:
        """Anything but JSON or bytes is 415, nothing said as well."""
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "x", ";"):
            answer = self.web.ask("POST", "/v1/events/a", {"Content-Type": kind}, b"{}")
            self.problem(answer, 415, "application/json or application/octet-stream" if "16" not in kind else "UTF-8")
        self.problem(self.web.ask("POST", "/v1/events/a", {}, b"{}"), 415, "no Content-Type")
        for kind in ("application/json;charset=UTF-8", "Application/JSON"):
            self.assertEqual(self.web.ask("POST", "/v1/events/a", {"Content-Type": kind}, b"{}").status, 200)

    def test_bodies(self) -> None:
        """A body that is wrong is 400, with line and column where it is syntax; one too large is 413."""
        for body, said in (
            (b'{"a":1,\n  "b":}', "line 2, column 7"),
            (b"[1]", "Expected `object`, got `array`"),
            (b"", "it is empty"),
            (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "nested deeper than 32"),
            (b'{"a":' * 100_000, "nested deeper than 32"),
            (b'{"a":NaN}', "line 1, column 6"),
            (b'{"a":99999999999999999999}', "a is an int beyond 64 bits"),
            (b'{"__a":1}', "__a"),
            (b'{"_delivery_mode":"one"}', "beside the message"),
            (b'{"a":"\xff"}', "no UTF-8 at line 1, column 7"),
        ):
            self.problem(self.post(body), 400, said)
        self.problem(self.post(b'{"a":"%s"}' % (b"x" * (1 << 20))), 413, "more than 1048576")

    def test_noDispatcher(self) -> None:
        """Without a dispatcher it is 503 at once, with Retry-After; it works again when there is one."""
        self.site.killDispatcher()
        self.site.until(lambda: not self.web.bridge.node.is_linked)
        answer = self.post()
        self.problem(answer, 503, "no link to its dispatcher")
        self.assertEqual(answer.headers["retry-after"], "1")
        self.site.startDispatcher()
        self.site.until(lambda: self.web.bridge.node.is_linked)
        self.assertEqual(self.post().status, 200)

    def test_gone(self) -> None:
        """A client that leaves does not take its event with it."""
        heard = self.site.listen("orders.*")
        client = self.web.client()
        client.ask("POST", "/v1/events/orders.created", JSON, b'{"id":1}')
        client.leave(clean=False)
        self.site.advance(1.0)
        self.assertEqual(len(heard.heard), 1)


class KeyTests(EventsCase):
    """`Idempotency-Key`."""

    def setUp(self) -> None:
        super().setUp()
        self.heard = self.site.listen("orders.*")

    def test_replayed(self) -> None:
        """The same request with the same key acts once, is given the same answer again."""
        first, second = (self.post(b'{"id":1}', Idempotency_Key="k-1") for _ in range(2))
        self.assertEqual((first.body, first.json()["id"]), (second.body, "k-1"))
        self.assertEqual((first.headers.get("idempotency-replayed"), second.headers["idempotency-replayed"]), (None, "true"))
        self.assertEqual(len(self.heard.heard), 1)
        self.site.advance(601.0)
        self.assertNotIn("idempotency-replayed", self.post(b'{"id":1}', Idempotency_Key="k-1").headers)

    def test_different(self) -> None:
        """Another request with the key of an earlier one is 422."""
        self.post(b'{"id":1}', Idempotency_Key="k-1")
        self.problem(self.post(b'{"id":2}', Idempotency_Key="k-1"), 422, "used for another request")
        self.problem(self.post(b'{"id":1}', event="orders.paid", Idempotency_Key="k-1"), 422, "another request")
        self.problem(self.post(b'{"id":1}', NodeSet_TTL="9", Idempotency_Key="k-1"), 422, "another request")
        self.problem(self.post(Idempotency_Key="x" * 256), 400, "Idempotency-Key is")
        self.assertEqual(len(self.heard.heard), 1)

    def test_together(self) -> None:
        """Of a thousand at once one acts; all have its answer, also when the first client has left."""
        clients = [self.web.client() for _ in range(1000)]
        for client in clients:
            client.ask("POST", "/v1/events/orders.created", {**JSON, "Idempotency-Key": "k"}, b'{"id":1}')
        clients[0].leave(clean=False)
        self.site.until(lambda: all(client.received for client in clients[1:]))
        answers = [client.answers()[0] for client in clients[1:]]
        self.assertEqual({(one.status, one.body) for one in answers}, {(200, answers[0].body)})
        self.assertEqual({one.headers.get("idempotency-replayed") for one in answers}, {"true"})
        self.assertEqual(len(self.heard.heard), 1)

    def test_notFinal(self) -> None:
        """What failed for want of a dispatcher is tried anew under the same key."""
        self.site.killDispatcher()
        self.site.until(lambda: not self.web.bridge.node.is_linked)
        self.assertEqual(self.post(Idempotency_Key="k").status, 503)
        self.site.startDispatcher()
        self.site.until(lambda: self.web.bridge.node.is_linked)
        answer = self.post(Idempotency_Key="k")
        self.assertEqual((answer.status, answer.headers.get("idempotency-replayed")), (200, None))

    def test_otherBridge(self) -> None:
        """Over another bridge, or after a restart, receivers see to it that they have an event once."""
        self.post(b'{"id":1}', Idempotency_Key="k")
        self.assertEqual(len(self.heard.heard), 1)
        again = WebSite(self, self.web)
        self.site.until(lambda: again.bridge.node.is_linked)
        answer = again.ask("POST", "/v1/events/orders.created", {**JSON, "Idempotency-Key": "k"}, b'{"id":1}')
        self.assertEqual((answer.status, answer.headers.get("idempotency-replayed")), (200, None))
        self.assertEqual(len(self.heard.heard), 1)


class BatchTests(EventsCase):
    """`POST /v1/events`."""

    def batch(self, body: bytes, kind: str = "application/json", **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.web.ask("POST", "/v1/events", {"Content-Type": kind, **given}, body)

    def test_each(self) -> None:
        """Each event has a result of its own, in order; what is wrong with one does not stop the others."""
        heard, raw = self.site.listen("a"), self.site.listen("b", msgClass=RawMessage)
        bytes64 = base64.b64encode(b"\x00\xff")
        lines = [
            b'{"event":"a","message":{"n":1}}',
            b'{"event":"a.*","message":{}}',
            b'{"event":"b","base64":"%s","id":"mine"}' % bytes64,
            b'{"event":"a","message":[]}',
            b"7",
            b'{"event":"a","message":{"n":2}}',
            b'{"event":"a","message":{},"id":""}',
        ]
        for body, kind in ((b"[" + b",".join(lines) + b"]", "application/json"), (b"\n".join(lines), "application/x-ndjson")):
            answer = self.batch(body, kind)
            results = answer.json()
            self.assertEqual(answer.status, 200)
            self.assertEqual([one["status"] for one in results], [200, 400, 200, 400, 400, 200, 400])
            self.assertEqual((results[0]["matched"], results[0]["delivered"], results[2]["id"]), (1, 1, "mine"))
            self.assertIn("pattern", results[1]["detail"])
        self.assertEqual([message.fields()["n"] for message in heard.heard], [1, 2, 1, 2])
        self.assertEqual([message.data for message in raw.heard], [b"\x00\xff"])

    def test_hundred(self) -> None:
        """100 events are one request, 101 are refused as a whole."""
        heard = self.site.listen("a")
        body = [b'{"event":"a","message":{"n":%d}}' % number for number in range(100)]
        self.assertEqual({one["status"] for one in self.batch(b"[" + b",".join(body) + b"]").json()}, {200})
        self.assertEqual([message.fields()["n"] for message in heard.heard], list(range(100)))
        self.problem(self.batch(b"[" + b",".join([*body, body[0]]) + b"]"), 400, "more than 100")
        self.problem(self.batch(b"[]"), 400, "empty")
        self.problem(self.batch(b"{}"), 400, "Expected `array`")
        self.problem(self.batch(b"[]", "text/plain"), 415, "application/x-ndjson")

    def test_accepted(self) -> None:
        """The level holds for all of them."""
        self.site.listen("a")
        results = self.batch(b'[{"event":"a","message":{}}]', NodeSet_Confirm="accepted").json()
        self.assertEqual([(one["status"], one["matched"]) for one in results], [(202, 1)])

    def test_keys(self) -> None:
        """A key of the batch replays its answer; an id of an event is known to receivers, over whatever it came."""
        heard = self.site.listen("a")
        body = b'[{"event":"a","message":{"n":1}},{"event":"a","message":{"n":2}}]'
        first, second = self.batch(body, Idempotency_Key="k"), self.batch(body, Idempotency_Key="k")
        self.assertEqual((first.body, second.headers["idempotency-replayed"], len(heard.heard)), (second.body, "true", 2))
        for _ in range(2):
            self.batch(b'[{"event":"a","message":{"n":3},"id":"three"}]')
        self.assertEqual(self.web.ask("POST", "/v1/events/a", {**JSON, "Idempotency-Key": "three"}, b'{"n":3}').status, 200)
        self.assertEqual([message.fields()["n"] for message in heard.heard], [1, 2, 3])
