"""Events over WebSockets: on credit, resumed, never more than a client can take."""

from __future__ import annotations

from typing import Any

from wsproto.events import CloseConnection, TextMessage

from tests.test_sockets import SocketCase


def numbers(frames: list[dict[str, Any]]) -> list[int]:
    """What the events among them say, in order."""
    return [frame["message"]["n"] for frame in frames if frame["op"] == "event"]


class EventCase(SocketCase):
    def publish(self, first: int, count: int, event: str = "orders.new", **fields: Any) -> None:
        """So many events, numbered."""
        for number in range(first, first + count):
            self.site.publish(event, n=number, **fields)

    def settle(self, *clients: Any) -> None:
        """Let come what comes."""
        self.site.advance(0.2)
        for client in clients:
            client.read()


class CreditTests(EventCase):
    def test_credit(self) -> None:
        """Nothing comes without credit, no more than there is of it; what waited comes with the next, in order."""
        client = self.open()
        self.subscribe(client, "orders.*")
        self.publish(0, 5)
        self.settle(client)
        self.assertEqual(client.frames, [])
        client.say("credit", n=2)
        self.settle(client)
        self.assertEqual(numbers(client.frames), [0, 1])
        client.say("credit", n=100)
        self.publish(5, 3)
        self.settle(client)
        self.assertEqual(numbers(client.frames), list(range(8)))

    def test_ack(self) -> None:
        """What is acknowledged may come anew; more than was sent cannot be."""
        client = self.open()
        self.subscribe(client, "orders.*", credit=3)
        self.publish(0, 10)
        self.settle(client)
        self.assertEqual(numbers(client.frames), [0, 1, 2])
        client.say("ack", n=2)
        self.settle(client)
        self.assertEqual(numbers(client.frames), [0, 1, 2, 3, 4])
        client.say("ack", n=4)
        self.assertEqual(client.next("error")["status"], 400)
        client.say("ack", n=3)
        self.settle(client)
        self.assertEqual(len(numbers(client.frames)), 8)

    def test_tooMuchCredit(self) -> None:
        """Credit beyond a million is refused, not counted."""
        client = self.open()
        client.say("credit", n=1_000_000)
        client.say("credit", n=1)
        self.assertEqual(client.next("error")["status"], 400)

    def test_event(self) -> None:
        """An event names its subscription, itself, its place, when it came; bytes come as base64."""
        client = self.open()
        self.subscribe(client, "orders.*", id="o", credit=10)
        self.publish(7, 1)
        frame = client.next("event")
        self.assertEqual(
            {name: frame[name] for name in ("sub", "event", "message")},
            {"sub": "o", "event": "orders.new", "message": {"n": 7}},
        )
        self.assertRegex(frame["id"], r"^[0-9a-z]+-\d+$")
        self.assertGreater(frame["at"], 1_700_000_000)
        client.say("pub", event="orders.new", base64="AAE=")
        self.assertEqual(client.next("event")["base64"], "AAE=")


class SlowTests(EventCase):
    limits = {"stream_events": 10, "stream_bytes": 2000}

    def test_tooMany(self) -> None:
        """A client for whom more events wait than may is cut, with a reason; nobody else notices."""
        slow, quick = self.open(), self.open()
        self.subscribe(slow, "orders.*")
        self.subscribe(quick, "orders.*", credit=100)
        self.publish(0, 10)
        self.settle(slow, quick)
        self.assertIsNone(slow.closed)
        self.publish(10, 1)
        code, reason = slow.ended()
        self.assertEqual(code, 1008)
        self.assertTrue(reason.startswith("slow: "), reason)
        self.publish(11, 5)
        self.settle(quick)
        self.assertEqual(numbers(quick.frames), list(range(16)))
        self.assertEqual(self.web.bridge.counters["closed:slow"], 1)
        self.assertEqual(self.web.bridge.counters["dropped:slow"], 11)

    def test_tooLarge(self) -> None:
        """So it is with bytes; one event alone may be larger than all that may wait."""
        client = self.open()
        self.subscribe(client, "orders.*")
        self.publish(0, 1, text="x" * 5000)
        self.settle(client)
        self.assertIsNone(client.closed)
        self.publish(1, 1)
        self.assertEqual(client.ended()[0], 1008)

    def test_fullSocket(self) -> None:
        """A client that has credit, but does not read, is cut the same way; what it sends is not read meanwhile."""
        client = self.open()
        self.subscribe(client, "orders.*", credit=1000)
        client.producer.pauseProducing()
        self.assertEqual(client.client.wire.producerState, "paused")
        self.publish(0, 5)
        self.settle(client)
        self.assertEqual(client.frames, [])
        client.producer.resumeProducing()
        self.assertEqual(client.client.wire.producerState, "producing")
        self.settle(client)
        self.assertEqual(len(numbers(client.frames)), 5)
        client.producer.pauseProducing()
        self.publish(5, 11)
        self.assertEqual(client.ended()[0], 1008)
        self.site.advance(6)
        self.assertTrue(client.client.wire.is_over)

    def test_answers(self) -> None:
        """Answers that are not read are bounded as well."""
        client = self.open()
        client.producer.pauseProducing()
        ping = '{"op":"ping","id":"%s"}' % ("x" * 64)
        for _ in range(40):
            client.client.send(client._ws.send(TextMessage(ping)))
        self.assertEqual(client.ended()[0], 1008)


class ResumeTests(EventCase):
    def test_resume(self) -> None:
        """Who comes back with the id of the last event gets what came meanwhile, no gap."""
        client = self.open()
        self.subscribe(client, "orders.*", credit=10)
        self.publish(0, 2)
        self.settle(client)
        last = client.frames[-1]["id"]
        client.leave()
        self.publish(2, 3)
        client = self.open()
        self.subscribe(client, "orders.*", last_id=last, credit=10)
        self.settle(client)
        self.assertEqual(numbers(client.frames), [2, 3, 4])
        self.assertEqual([frame["op"] for frame in client.frames], ["event"] * 3)

    def test_nothingHeard(self) -> None:
        """The answer to a subscription has an id to come back with, though no event came."""
        client = self.open()
        client.say("sub", id="s", pattern="orders.*")
        last = client.next("subscribed")["last_id"]
        client.leave()
        self.publish(0, 2)
        client = self.open()
        self.subscribe(client, "orders.*", last_id=last, credit=10)
        self.settle(client)
        self.assertEqual(numbers(client.frames), [0, 1])

    def test_gap(self) -> None:
        """Who comes back with an id of another run is told of the gap, without credit, before anything else."""
        client = self.open()
        self.subscribe(client, "orders.*", last_id="0123456789-5")
        gap = client.next("gap")
        self.assertEqual((gap["sub"], gap["reason"]), ("s", "epoch"))

    def test_lostLink(self) -> None:
        """When the dispatcher was away there is a gap where events may be missing, in its place between them."""
        client = self.open()
        self.subscribe(client, "orders.*")
        self.publish(0, 1)
        self.settle(client)
        self.site.killDispatcher()
        self.assertEqual(client.next("link")["linked"], False)
        self.site.startDispatcher()
        self.assertEqual(client.next("link")["linked"], True)
        self.site.until(lambda: self.calc.is_linked, what="a link")
        self.publish(1, 1)
        self.settle(client)
        self.assertEqual(client.frames, [])
        client.say("credit", n=10)
        self.settle(client)
        self.assertEqual([frame["op"] for frame in client.frames], ["event", "gap", "event"])

    def test_muchKept(self) -> None:
        """All that was kept may wait for credit, though it is more than what may wait of what comes."""
        client = self.open()
        self.subscribe(client, "orders.*", credit=1)
        self.publish(0, 1)
        self.settle(client)
        last = client.frames[-1]["id"]
        client.leave()
        self.publish(1, 900)
        client = self.open()
        self.subscribe(client, "orders.*", last_id=last)
        self.publish(901, 200)
        self.settle(client)
        self.assertIsNone(client.closed)
        client.say("credit", n=2000)
        self.settle(client)
        self.assertEqual(numbers(client.frames), list(range(1, 1101)))


class SubscriptionTests(EventCase):
    limits = {"max_subscriptions": 3}

    def test_many(self) -> None:
        """One connection has many subscriptions, each event for each; so many, no more, none twice under one id."""
        client = self.open()
        for id, pattern in (("a", "orders.*"), ("b", "orders.new"), ("c", "other")):
            self.subscribe(client, pattern, id=id)
        for id, status in (("a", 409), ("d", 429)):
            client.say("sub", id=id, pattern="x")
            self.assertEqual(client.next("error", id=id)["status"], status)
        client.say("credit", n=10)
        self.publish(1, 1)
        self.settle(client)
        self.assertEqual(sorted(frame["sub"] for frame in client.frames), ["a", "b"])

    def test_unsub(self) -> None:
        """After an unsub no event comes, not even one that waited; its id may be used anew."""
        client = self.open()
        self.subscribe(client, "orders.*")
        self.publish(0, 3)
        self.settle(client)
        client.say("unsub", id="s")
        self.assertEqual(client.next("unsubscribed"), {"op": "unsubscribed", "id": "s", "reason": ""})
        client.say("credit", n=10)
        self.publish(3, 3)
        self.settle(client)
        self.assertEqual(client.frames, [])
        client.say("unsub", id="s")
        self.assertEqual(client.next("error", id="s")["status"], 404)
        self.subscribe(client, "orders.*")

    def test_wrongPatterns(self) -> None:
        """A pattern that is none is refused, under its id; the connection goes on."""
        client = self.open()
        for pattern in ("", "a..b", "a.>.b", "node@host/a", "x" * 2000):
            client.say("sub", id="s", pattern=pattern)
            self.assertEqual(client.next("error", id="s")["status"], 400, pattern)
        self.subscribe(client, "orders.*")

    def test_vanished(self) -> None:
        """A client that vanishes reads no feed any more, within a second, and takes up no place."""
        client = self.open()
        self.subscribe(client, "orders.*")
        hub = self.web.bridge.hub
        self.assertEqual(hub.places.taken, 1)
        client.leave()
        self.site.advance(1)
        self.assertEqual(hub.places.taken, 0)
        self.assertEqual([feed.taps for feed in hub._feeds.values()], [[]])

    def test_opensAndCloses(self) -> None:
        """A thousand that come and go leave nothing behind."""
        hub = self.web.bridge.hub
        for number in range(1000):
            client = self.open()
            client.say("sub", id="s", pattern="orders.*")
            if number % 2:
                client.send(CloseConnection(1000))
            client.leave()
            self.web._clients.remove(client.client)
        self.site.advance(1)
        self.assertEqual((hub.places.taken, len(hub)), (0, 1))
        self.assertEqual(len(self.web.http.channels), 0)

    def test_drain(self) -> None:
        """A bridge that stops tells everybody, with 1012, and waits until they have gone."""
        client, stubborn = self.open(), self.open()
        self.subscribe(client, "orders.*")
        stopped = self.web.bridge.stopService()
        self.assertEqual(client.ended()[0], 1012)
        client.leave()
        self.assertFalse(stopped.called)
        stubborn.read()
        self.site.advance(6)
        self.assertTrue(stubborn.client.wire.is_over)
        stubborn.leave()
        self.site.wait(stopped)

    def test_drainBusy(self) -> None:
        """What is under way when the bridge stops is answered first, unless it takes for ever; nothing is begun."""
        quick, endless = self.open(), self.open()
        quick.say("pub", id="p", event="orders.new", message={})
        endless.say("req", id="r", node="calc", method="wait")
        stopped = self.web.bridge.stopService()
        endless.say("pub", id="p", event="orders.new", message={})
        self.assertEqual(endless.next("error", id="p")["status"], 503)
        quick.next("receipt", id="p")
        self.assertEqual(quick.ended()[0], 1012)
        self.assertIsNone(endless.closed)
        self.assertEqual(endless.ended()[0], 1012)
        quick.leave()
        endless.leave()
        self.site.wait(stopped)

    def test_ended(self) -> None:
        """Whose grant is revoked is cut, with 4401 and the reason."""
        client = self.open()
        self.web.bridge.own.end("it was revoked")
        self.assertEqual(client.ended(), (4401, "revoked: it was revoked"))
