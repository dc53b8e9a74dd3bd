"""A WebSocket acts by the grant of who opened it."""

from __future__ import annotations

from tests.gates import GateCase
from tests.sockets import SocketClient
from tests.test_sockets import Calc


class GrantTests(GateCase):
    def connect(self, token: str, path: str = "/v1/ws", **headers: str) -> SocketClient:
        """A client that shows this grant, unless it is empty."""
        given = [(name.encode(), value.encode()) for name, value in headers.items()]
        if token:
            given.append((b"Authorization", f"Bearer {token}".encode()))
        client = SocketClient(self.web, path, headers=tuple(given))

        def answered() -> bool:
            client.read()
            return bool(client.frames or client.rejected)

        self.site.until(answered, what="an answer")
        return client

    def test_rights(self) -> None:
        """The grant bounds what is published, subscribed to, called; each refusal is told, nothing else is harmed."""
        self.open()
        self.site.node(Calc, name="calc")
        client = self.connect(self.token(publish=["orders.*"], subscribe=["orders.new"], call=["calc/add"]))
        self.assertFalse(client.next("welcome")["anonymous"])
        for op, fields in (
            ("sub", {"pattern": "orders.*"}),
            ("pub", {"event": "secrets", "message": {}}),
            ("req", {"node": "calc", "method": "fail"}),
        ):
            client.say(op, id=op, **fields)
            self.assertEqual(client.next("error", id=op)["status"], 403)
        client.say("sub", id="s", pattern="orders.new")
        client.next("subscribed")
        client.say("credit", n=1)
        client.say("pub", id="p", event="orders.new", message={"a": 1})
        self.assertEqual(client.next("event")["message"], {"a": 1})
        client.say("req", id="r", node="calc", method="add", args=[1, 2])
        self.assertEqual(client.next("result")["value"], 3)

    def test_revoked(self) -> None:
        """When the grant is revoked the connection ends with 4401, those of others go on."""
        self.open()
        furl = self.site.grant(subscribe=["a"])
        client, other = self.connect(furl), self.connect(self.token(subscribe=["a"]))
        client.say("sub", id="s", pattern="a")
        client.next("subscribed")
        self.site.revoke(furl)
        code, reason = client.ended()
        self.assertEqual(code, 4401)
        self.assertIn("revoked", reason)
        other.say("ping", id="x")
        other.next("pong")
        self.assertEqual(self.connect(furl).rejected, 401)

    def test_ticket(self) -> None:
        """A browser opens it with a ticket, once."""
        self.open(anonymous=False)
        token = self.token(subscribe=["a"])
        answer = self.ask("POST", "/v1/tickets", {"Authorization": f"Bearer {token}"}, b'{"path": "/v1/ws"}')
        path = f"/v1/ws?ticket={answer.json()['ticket']}"
        self.connect("", path).next("welcome")
        self.assertEqual(self.connect("", path).rejected, 401)
        self.assertEqual(self.connect("").rejected, 401)

    def test_origin(self) -> None:
        """A page of another site opens none, whether or not its reader could."""
        self.open(origins=("https://good.example",))
        for origin, welcome in (("https://good.example", True), ("https://bad.example", False), ("null", False)):
            client = self.connect("", Origin=origin)
            self.assertEqual(client.rejected, None if welcome else 403, origin)
