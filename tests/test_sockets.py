"""WebSockets over memory: publish, subscribe, call, by frames."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from nodeset import Node, catch, expose
from nodeset.core.message import RawMessage
from nodeset.errors import RemoteError
from tests.sockets import SocketClient
from tests.webs import WebSite


class Calc(Node):
    """Answers calls, hears of orders."""

    def __init__(self, *args: Any, **about: Any) -> None:
        super().__init__(*args, **about)
        self.heard: list[bytes] = []
        self.cancelled = False

    @catch("orders.>", RawMessage)
    def hear(self, msg: RawMessage) -> None:
        """An order."""
        self.heard.append(msg.data)

    @expose
    def add(self, a: int, b: int = 0) -> int:
        """The sum."""
        return a + b

    @expose
    def fail(self) -> None:
        """Always."""
        raise RemoteError("no luck")

    @expose
    def wait(self) -> Deferred[None]:
        """For ever."""

        def cancelled(waiting: Deferred[None]) -> None:
            self.cancelled = True

        return Deferred(cancelled)

    @expose
    async def count(self, to: int) -> AsyncIterator[int]:
        """One by one."""
        for number in range(to):
            yield number


class SocketCase(SynchronousTestCase):
    """A bridge with a node beside it."""

    limits: dict[str, Any] = {}

    def setUp(self) -> None:
        """A site."""
        self.web = WebSite(self, **self.limits)
        self.site = self.web.site
        node = self.site.node(Calc, name="calc")
        assert isinstance(node, Calc)
        self.calc = node

    def open(self, **about: Any) -> SocketClient:
        """One more client, welcomed."""
        client = SocketClient(self.web, **about)
        client.next("welcome")
        return client

    def subscribe(self, client: SocketClient, pattern: str, id: str = "s", credit: int = 0, **more: Any) -> None:
        """Subscribe, with so much credit."""
        client.say("sub", id=id, pattern=pattern, **more)
        client.next("subscribed", id=id)
        if credit:
            client.say("credit", n=credit)


class HandshakeTests(SocketCase):
    def test_welcome(self) -> None:
        """The first frame tells who one is, what the bounds are; the subprotocol is agreed on."""
        client = SocketClient(self.web, protocols=("other", "nodeset.v1"))
        welcome = client.next("welcome")
        self.assertEqual(client.protocol, "nodeset.v1")
        self.assertEqual(
            {name: welcome[name] for name in ("protocol", "name", "anonymous", "linked", "max_subscriptions", "ping")},
            {
                "protocol": "nodeset.v1",
                "name": "anonymous",
                "anonymous": True,
                "linked": True,
                "max_subscriptions": 100,
                "ping": 25.0,
            },
        )

    def test_otherSubprotocols(self) -> None:
        """Who offers others alone is refused by a 400; who offers none, as many libraries do, is let in."""
        self.assertEqual(SocketClient(self.web, protocols=("nodeset.v2", "mqtt")).rejected, 400)
        client = SocketClient(self.web, protocols=())
        client.next("welcome")
        self.assertIsNone(client.protocol)

    def test_badHandshakes(self) -> None:
        """What is no handshake is answered like any request: 426 with what to upgrade to, or 400."""
        good = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
            "Sec-WebSocket-Protocol": "nodeset.v1",
        }
        for change, status in (
            ({"Upgrade": "h2c"}, 426),
            ({"Upgrade": ""}, 426),
            ({"Sec-WebSocket-Version": "8"}, 426),
            ({"Sec-WebSocket-Key": "short"}, 400),
            ({"Sec-WebSocket-Key": "\xff"}, 400),
            ({"Connection": "close"}, 400),
            ({"Sec-WebSocket-Protocol": "\xff\xfe"}, 400),
        ):
            answer = self.web.ask("GET", "/v1/ws", {**good, **change})
            self.assertEqual(answer.status, status, change)
            self.assertEqual(answer.json()["status"], status)
        old = self.web.client()
        lines = [f"{name}: {value}" for name, value in good.items()]
        old.send("\r\n".join(["GET /v1/ws HTTP/1.0", "Host: localhost", *lines, "", ""]).encode())
        self.assertEqual(old.answers()[0].status, 426)
        self.assertEqual(self.web.ask("GET", "/v1/ws").headers["upgrade"], "websocket")
        self.assertEqual(self.web.ask("POST", "/v1/ws").status, 405)
        self.assertEqual(self.web.ask("HEAD", "/v1/ws", good).status, 405)

    def test_earlyFrames(self) -> None:
        """What a client sends without waiting for the answer to its handshake is not lost."""
        client = self.web.client()
        key = base64.b64encode(bytes(16)).decode()
        head = (
            "GET /v1/ws HTTP/1.1\r\nHost: localhost:8080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: nodeset.v1\r\n\r\n"
        )
        ping = b'{"op":"ping","id":"x"}'
        client.send(head.encode() + bytes([0x81, 0x80 | len(ping)]) + bytes(4) + ping)
        self.site.until(lambda: b'"pong"' in client.received, what="a pong")


class PublishTests(SocketCase):
    def test_receipts(self) -> None:
        """What is published arrives byte for byte; the receipt says what became of it."""
        client = self.open()
        for confirm in ("accepted", "delivered", "handled"):
            client.text(f'{{"op":"pub","id":"p","event":"orders.new","message":{{"a": 1.50}},"confirm":"{confirm}"}}')
            self.assertEqual(client.next("receipt", id="p")["matched"], 1)
        client.say("pub", id="q", event="orders.new", base64="AAE=")
        self.assertEqual(
            client.next("receipt", id="q"), {"op": "receipt", "id": "q", "matched": 1, "delivered": 1, "dropped": 0}
        )
        self.assertEqual(self.calc.heard, [b'{"a": 1.50}'] * 3 + [b"\x00\x01"])

    def test_noId(self) -> None:
        """A publish without an id is answered only when it fails."""
        client = self.open()
        client.say("pub", event="orders.new", message={})
        client.say("pub", event="orders.*", message={})
        error = client.next("error")
        self.assertEqual((error["id"], error["status"]), (None, 400))
        self.site.until(lambda: len(self.calc.heard) == 1, what="the event")
        self.assertEqual(client.frames, [])

    def test_wrongPublishes(self) -> None:
        """Each mistake is told under its id, then the next frame is done as if nothing had been."""
        client = self.open()
        for fields, status in (
            ({"event": "orders.new"}, 400),
            ({"event": "orders.new", "message": 5}, 400),
            ({"event": "orders.new", "message": {}, "base64": ""}, 400),
            ({"event": "orders.new", "base64": "?"}, 400),
            ({"event": "", "message": {}}, 400),
            ({"event": "a b/", "message": {}}, 400),
            ({"event": "orders.new", "message": {"_delivery_mode": "one"}}, 400),
        ):
            client.say("pub", id="p", **fields)
            self.assertEqual(client.next("error", id="p")["status"], status, fields)
        client.say("pub", id="p", event="orders.new", message={})
        client.next("receipt", id="p")
        self.assertIsNone(client.closed)

    def test_key(self) -> None:
        """An event that is published twice under one key is handled once."""
        client = self.open()
        for id in ("1", "2"):
            client.say("pub", id=id, event="orders.new", message={"n": id}, key="k1")
            client.next("receipt", id=id)
        self.assertEqual(self.calc.heard, [b'{"n":"1"}'])

    def test_noDispatcher(self) -> None:
        """Without a dispatcher a publish is refused at once, with 503; the link's loss, its return are told."""
        client = self.open()
        self.site.killDispatcher()
        self.assertFalse(client.next("link")["linked"])
        client.say("pub", id="p", event="orders.new", message={})
        error = client.next("error", id="p")
        self.assertEqual((error["status"], error["retry_after"]), (503, 1))
        self.site.startDispatcher()
        self.assertTrue(client.next("link")["linked"])


class CallTests(SocketCase):
    def test_results(self) -> None:
        """A method is called with arguments, by position or by name, answered under the id of the request."""
        client = self.open()
        client.say("req", id="1", node="calc", method="add", args=[1], kwargs={"b": 2})
        client.say("req", id="2", node="calc", method="add", args=[5])
        self.assertEqual(client.next("result", id="2")["value"], 5)
        self.assertEqual(client.next("result", id="1")["value"], 3)

    def test_failures(self) -> None:
        """What cannot be called, or fails, is told under its id."""
        client = self.open()
        for fields, status in (
            ({"node": "nobody", "method": "add"}, 404),
            ({"node": "calc", "method": "nothing"}, 404),
            ({"node": "calc", "method": "add", "args": ["x"]}, 422),
            ({"node": "calc", "method": "fail"}, 502),
            ({"node": "calc", "method": "wait", "timeout": 0.5}, 504),
            ({"node": "@", "method": "wait"}, 400),
        ):
            client.say("req", id="r", **fields)
            self.assertEqual(client.next("error", id="r")["status"], status, fields)
        client.say("req", id="r", node="calc", method="add", args=[1])
        client.next("result", id="r")
        self.assertEqual(len(self.site.flushErrors(RemoteError)), 1)

    def test_cancel(self) -> None:
        """A call that is cancelled cancels the method, is answered once; one that is over cannot be."""
        client = self.open()
        client.say("req", id="r", node="calc", method="wait")
        client.say("req", id="r", node="calc", method="wait")
        self.assertEqual(client.next("error", id="r")["status"], 409)
        client.say("cancel", id="r")
        client.next("cancelled", id="r")
        self.site.until(lambda: self.calc.cancelled, what="the method's end")
        client.say("cancel", id="r")
        self.assertEqual(client.next("error", id="r")["status"], 404)

    def test_leaving(self) -> None:
        """A client that leaves cancels what it called."""
        client = self.open()
        client.say("req", id="r", node="calc", method="wait")
        self.site.advance(0.1)
        client.leave()
        self.site.until(lambda: self.calc.cancelled, what="the method's end", timeout=1)

    def test_items(self) -> None:
        """The items of a method that streams come on credit, one by one; then their end."""
        client = self.open()
        client.say("req", id="r", node="calc", method="count", args=[3])
        self.site.advance(1)
        client.read()
        self.assertEqual(client.frames, [])
        client.say("credit", n=2)
        self.assertEqual([client.next("item", id="r")["value"] for _ in range(2)], [0, 1])
        client.say("ack", n=2)
        self.assertEqual(client.next("item", id="r")["value"], 2)
        client.next("end", id="r")

    def test_itemsWithoutCredit(self) -> None:
        """A stream for whose items no credit comes is ended, its client told."""
        client = self.open()
        client.say("req", id="r", node="calc", method="count", args=[3])
        self.site.advance(31)
        self.assertEqual(client.next("error", id="r")["status"], 504)
