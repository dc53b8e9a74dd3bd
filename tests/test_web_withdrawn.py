"""What lives by keys and grants ends with them, and nothing else does."""

from __future__ import annotations

from tests.gates import SECRET, GateCase
from tests.webs import Client

ALICE = f'[keys.alice]\nsecret = "{SECRET}"\n'
BOB = f'[keys.bob]\nsecret = "{"b" * 32}"\n'


class WithdrawnTests(GateCase):
    def stream(self, path: str, headers: dict[str, str]) -> Client:
        """One that is open."""
        client = self.web.client()
        client.ask("GET", path, {"Accept": "text/event-stream", **headers})
        self.site.advance(0.5)
        self.assertTrue(client.received.startswith(b"HTTP/1.1 200"), client.received)
        return client

    def test_keys(self) -> None:
        """Streams of a key that is taken out of its file are cut, those of the same events by another key go on."""
        gate = self.open(ALICE + BOB)
        path = "/v1/events/orders.*"
        alice = self.stream(path, self.signed("GET", path))
        bob = self.stream(path, self.signed("GET", path, key="bob", secret="b" * 32))
        self.write(BOB)
        gate.reload()
        self.site.publish("orders.created", id=1)
        self.site.advance(0.5)
        self.assertNotIn(b"orders.created", alice.received)
        self.assertTrue(alice.is_closed)
        self.assertIn(b"orders.created", bob.received)
        self.write(ALICE)
        gate.reload()
        self.site.publish("orders.created", id=2)
        self.site.advance(0.5)
        self.assertNotIn(b'"id":2', bob.received)
        self.assertTrue(bob.is_closed)

    def test_grants(self) -> None:
        """Streams of all kinds are cut within two seconds when their grant is revoked, those of another one go on."""
        self.open()
        furl = self.site.grant(subscribe=["orders.*"], call=["nodeset/stats"])
        other = self.site.grant(subscribe=["orders.*"])
        mine = {"Authorization": f"Bearer {furl}"}
        streams = [
            self.stream("/v1/events/orders.*", mine),
            self.stream("/v1/events/orders.*", {**mine, "Accept": "application/x-ndjson"}),
            self.stream("/subscribe?event=orders.created", mine),
            self.stream("/v1/figures", mine),
        ]
        kept = self.stream("/v1/events/orders.*", {"Authorization": f"Bearer {other}"})
        self.site.revoke(furl)
        self.site.advance(2.0)
        self.site.publish("orders.created", id=1)
        self.site.advance(1.0)
        self.assertEqual([stream.is_closed for stream in streams], [True] * 4)
        for stream in streams:
            self.assertNotIn(b"orders.created", stream.received)
        self.assertIn(b"orders.created", kept.received)
        self.assertFalse(kept.is_closed)

    def test_ticket(self) -> None:
        """A stream that was opened by a ticket lives by the grant of who asked for it."""
        self.open(anonymous=False)
        furl = self.site.grant(subscribe=["orders.*"])
        answer = self.ask("POST", "/v1/tickets", {"Authorization": f"Bearer {furl}"})
        stream = self.stream(f"/v1/events/orders.*?ticket={answer.json()['ticket']}", {})
        self.site.advance(100.0)
        self.assertFalse(stream.is_closed)
        self.site.revoke(furl)
        self.site.advance(2.0)
        self.assertTrue(stream.is_closed)
