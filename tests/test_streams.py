"""Events over HTTP, as a client reads them."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from nodeset import NodeMessage, RawMessage
from tests.webs import Client, WebSite


class Order(NodeMessage):
    """What somebody buys."""

    id: int


SSE = {"Accept": "text/event-stream"}
LINES = {"Accept": "application/x-ndjson"}


def eventsIn(body: bytes) -> list[dict[str, str]]:
    """The blocks of a stream of server-sent events, as fields."""
    found = []
    for block in body.decode().split("\n\n")[:-1]:
        fields = dict(line.partition(": ")[::2] for line in block.split("\n") if not line.startswith(":"))
        if fields:
            found.append(fields)
    return found


def messagesIn(body: bytes) -> list[int]:
    """The ids of the orders in a stream, in order."""
    datas = [fields["data"] for fields in eventsIn(body) if "data" in fields and "event" not in fields]
    return [msgspec.json.decode(data)["message"]["id"] for data in datas]


class StreamCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.web = WebSite(self)
        self.site = self.web.site
        self.hub = self.web.bridge.hub

    def read(self, path: str = "/v1/events/orders.*", headers: dict[str, str] | None = None) -> Client:
        """A client whose stream has begun."""
        client = self.web.client()
        client.ask("GET", path, SSE if headers is None else headers)
        self.site.until(lambda: b"\r\n\r\n" in client.received, what="the head of a stream")
        return client

    def order(self, *ids: int, event: str = "orders.created") -> None:
        """Publish so many orders; they have come to the bridge."""
        for each in ids:
            self.site.publish(event, Order, id=each)
        self.site.advance(0)

    def body(self, client: Client) -> bytes:
        """What came so far."""
        return client.answers()[0].body


class ServerSentTests(StreamCase):
    def test_event(self) -> None:
        """A browser gets each event with its id, its name, its message as it was published."""
        client = self.read()
        self.order(7)
        answer = client.answers()[0]
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/event-stream; charset=utf-8"))
        self.assertIn("retry", eventsIn(answer.body)[0])
        fields = eventsIn(answer.body)[-1]
        data = msgspec.json.decode(fields["data"])
        self.assertEqual((data["event"], data["message"]), ("orders.created", {"id": 7}))
        self.assertEqual(data["id"], fields["id"])
        self.assertRegex(fields["id"], r"^[0-9a-f]+-1$")

    def test_resume(self) -> None:
        """Who comes back with the id that it saw last gets what came meanwhile, nothing twice, no gap."""
        client = self.read()
        self.order(1, 2)
        last_id = eventsIn(self.body(client))[-1]["id"]
        client.leave()
        self.order(3, 4)
        again = self.read(headers={**SSE, "Last-Event-ID": last_id})
        self.order(5)
        self.assertEqual(messagesIn(self.body(again)), [3, 4, 5])
        self.assertNotIn(b"gap", self.body(again))

    def test_quiet(self) -> None:
        """Who saw no event before its connection broke misses none either: the stream says where it begins."""
        client = self.read()
        here = eventsIn(self.body(client))[-1]
        client.leave()
        self.order(1)
        self.assertEqual(set(here), {"id"})
        again = self.read(f"/v1/events/orders.*?last_event_id={here['id']}")
        self.assertEqual(messagesIn(self.body(again)), [1])

    def test_gap(self) -> None:
        """Who comes back with an id of before a restart hears first that it may have missed events."""
        client = self.read(headers={**SSE, "Last-Event-ID": "0123abcdef-17"})
        gap = eventsIn(self.body(client))[1]
        self.assertEqual((gap["event"], msgspec.json.decode(gap["data"])["reason"]), ("nodeset.gap", "epoch"))

    def test_expired(self) -> None:
        """Who comes back too late gets all that is kept, behind a gap."""
        web = WebSite(self, feed_events=2)
        self.web, self.site = web, web.site
        client = self.read()
        self.order(1, 2, 3, 4)
        first = eventsIn(self.body(client))[2]["id"]
        again = self.read(headers={**SSE, "Last-Event-ID": first})
        self.assertEqual(eventsIn(self.body(again))[1]["data"].split(",")[0], '{"reason":"expired"')
        self.assertEqual(messagesIn(self.body(again)), [3, 4])

    def test_once(self) -> None:
        """An event that two patterns of a stream match comes once."""
        client = self.read("/v1/events/orders.*?pattern=orders.created&pattern=%3E")
        self.order(1, 2)
        self.assertEqual(messagesIn(self.body(client)), [1, 2])

    def test_raw(self) -> None:
        """Bytes that are no JSON come as base64; no payload can break out of its event."""
        client = self.read("/v1/events/%3E")
        self.site.publish("photo", RawMessage, data=b"\n\nevent: x\ndata: \xff")
        self.site.advance(0)
        last = eventsIn(self.body(client))[-1]
        self.assertEqual(msgspec.json.decode(last["data"])["base64"], "CgpldmVudDogeApkYXRhOiD/")
        self.assertNotIn("event", last)

    def test_beat(self) -> None:
        """A stream without events gives a sign of life every 15 seconds."""
        client = self.read()
        for _second in range(31):
            self.site.advance(1)
        self.assertEqual(self.body(client).count(b":\n\n"), 2)

    def test_slow(self) -> None:
        """Who does not read is cut once too much waits, is told why; what it did not get is counted, by why it did not."""
        self.web = web = WebSite(self, stream_events=3)
        self.site = web.site
        slow, gone = self.read(), self.read()
        slow.channel.pauseProducing()
        gone.channel.pauseProducing()
        self.order(1)
        self.order(2)
        gone.leave()
        self.assertEqual(web.bridge.counters["dropped:gone"], 2)
        self.order(3)
        self.order(4)
        self.assertEqual(eventsIn(self.body(slow))[-1]["event"], "nodeset.slow")
        self.assertEqual((web.bridge.counters["cut:events"], web.bridge.counters["dropped:slow"]), (1, 4))
        self.assertTrue(slow.is_closed)


class LinesTests(StreamCase):
    def test_lines(self) -> None:
        """A program reads an event from each line."""
        client = self.read(headers=LINES)
        self.order(1, 2)
        lines = [msgspec.json.decode(line) for line in self.body(client).splitlines()]
        self.assertEqual(
            [(line["event"], line["message"]["id"]) for line in lines], [("orders.created", 1), ("orders.created", 2)]
        )
        again = self.read(f"/v1/events/orders.*?last_event_id={lines[0]['id']}", LINES)
        self.assertEqual(msgspec.json.decode(self.body(again))["message"], {"id": 2})

    def test_gap(self) -> None:
        """A gap is a line too."""
        client = self.read("/v1/events/orders.*?last_event_id=zz", LINES)
        self.assertEqual(msgspec.json.decode(self.body(client))["gap"]["reason"], "unknown")


class PollTests(StreamCase):
    def test_waits(self) -> None:
        """A poll is answered with the first event, as soon as it is there; the next one goes on behind it."""
        client = self.web.client()
        client.ask("GET", "/v1/events/orders.*?wait=10")
        self.site.advance(1)
        self.assertEqual(client.received, b"")
        self.order(1)
        answer = client.answers()[0].json()
        self.assertEqual(([event["message"]["id"] for event in answer["events"]], answer["gap"]), ([1], False))
        self.order(2, 3)
        following = self.web.ask("GET", f"/v1/events/orders.*?wait=0&last_event_id={answer['next']}").json()
        self.assertEqual([event["message"]["id"] for event in following["events"]], [2, 3])

    def test_nothing(self) -> None:
        """A poll in whose time nothing comes is answered with nothing, and where to go on."""
        client = self.web.client()
        client.ask("GET", "/v1/events/orders.*?wait=5")
        for _second in range(6):
            self.site.advance(1)
        answer = client.answers()[0].json()
        self.assertEqual((answer["events"], answer["gap"]), ([], False))
        self.order(1)
        again = self.web.ask("GET", f"/v1/events/orders.*?last_event_id={answer['next']}").json()
        self.assertEqual(len(again["events"]), 1)

    def test_leaves(self) -> None:
        """A client that leaves while it waits gives its place back."""
        client = self.web.client()
        client.ask("GET", "/v1/events/orders.*?wait=5")
        self.site.advance(1)
        self.assertEqual(self.hub.places.taken, 1)
        client.leave()
        self.assertEqual(self.hub.places.taken, 0)


class RefusalTests(StreamCase):
    def test_accept(self) -> None:
        """Who accepts none of the forms is told which there are."""
        answer = self.web.ask("GET", "/v1/events/orders.*", {"Accept": "image/png"})
        self.assertEqual(answer.status, 406)
        self.assertIn("text/event-stream", answer.json()["detail"])

    def test_wrong(self) -> None:
        """What is asked for wrongly is refused, in one line."""
        for path in ("/v1/events/a..b", "/v1/events/a?wait=x", "/v1/events/n%40h", "/v1/events/a?wait=nan", "/v1/events/a>b"):
            answer = self.web.ask("GET", path, {})
            self.assertEqual((path, answer.status), (path, 400))
        many = "&".join(f"pattern=p{number}" for number in range(100))
        self.assertEqual(self.web.ask("GET", f"/v1/events/a?{many}", SSE).status, 400)

    def test_places(self) -> None:
        """No more streams are open than may be; a place that is given back can be taken."""
        self.web = web = WebSite(self, max_streams=2)
        self.site = web.site
        clients = [self.read() for _each in range(2)]
        answer = web.ask("GET", "/v1/events/orders.*", SSE)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "2"))
        clients[0].leave()
        self.read()
        self.assertEqual(web.bridge.hub.places.taken, 2)

    def test_head(self) -> None:
        """HEAD opens nothing."""
        self.assertEqual(
            self.web.ask("HEAD", "/v1/events/orders.*", SSE).headers["content-type"], "text/event-stream; charset=utf-8"
        )
        self.assertEqual(self.hub.places.taken, 0)
