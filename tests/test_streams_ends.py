"""How streams of events end, what they say of a dispatcher that is gone."""

from __future__ import annotations

from typing import Any

import msgspec

from nodeset.core.grants.rights import MEMBER
from nodeset.web.agent import Agent
from nodeset.web.anyone import Anyone
from nodeset.web.bridge_node import BridgeNode
from tests.test_streams import LINES, SSE, Order, StreamCase, eventsIn, messagesIn
from tests.webs import Client, WebSite


def namedIn(body: bytes, name: str) -> list[dict[str, Any]]:
    """What a stream said by events of NodeSet's own."""
    return [msgspec.json.decode(fields["data"]) for fields in eventsIn(body) if fields.get("event") == f"nodeset.{name}"]


class LinkTests(StreamCase):
    def test_lost(self) -> None:
        """Clients are told that the dispatcher is gone, that it is back, that they may have missed events; then they go on."""
        client = self.read()
        self.order(1)
        self.site.cutOff(self.web.bridge.node)
        self.site.until(lambda: b"nodeset.link" in client.received, what="the news")
        self.assertEqual(namedIn(self.body(client), "link"), [{"linked": False}])
        self.site.reconnect(self.web.bridge.node)
        self.site.until(lambda: b"nodeset.gap" in client.received, what="the gap")
        self.order(2)
        body = self.body(client)
        self.assertEqual(namedIn(body, "link"), [{"linked": False}, {"linked": True}])
        self.assertEqual([gap["reason"] for gap in namedIn(body, "gap")], ["link"])
        self.assertEqual(messagesIn(body), [1, 2])

    def test_resume(self) -> None:
        """Who was away while the link was lost hears of it where it happened; who knows of it does not hear it again."""
        client = self.read()
        self.order(1)
        first = eventsIn(self.body(client))[-1]["id"]
        self.site.lose(self.web.bridge.node)
        self.site.until(lambda: b"nodeset.gap" in client.received, what="the gap")
        gap = eventsIn(self.body(client))[-1]
        self.order(2)
        again = self.read(headers={**SSE, "Last-Event-ID": first})
        self.assertEqual([fields.get("event", "") for fields in eventsIn(self.body(again))[1:3]], ["nodeset.gap", ""])
        aware = self.read(headers={**SSE, "Last-Event-ID": gap["id"]})
        self.assertEqual((namedIn(self.body(aware), "gap"), messagesIn(self.body(aware))), ([], [2]))

    def test_without(self) -> None:
        """Without a dispatcher a stream opens, since browsers give up on an error; it says so, and begins when there is one."""
        self.site.cutOff(self.web.bridge.node)
        self.site.until(lambda: not self.web.bridge.node.is_linked, what="the loss")
        client = self.read()
        self.assertEqual(namedIn(self.body(client), "link"), [{"linked": False}])
        self.site.reconnect(self.web.bridge.node)
        self.site.until(lambda: len(namedIn(self.body(client), "link")) == 2, what="the link")
        self.site.advance(1)
        self.order(1)
        self.assertEqual(messagesIn(self.body(client)), [1])


class RetainedTests(StreamCase):
    def test_retained(self) -> None:
        """The first client of a pattern gets the last values; so do those who come later, who get the newest of each event."""
        self.site.wait(self.site.me.publish("heat", Order, id=1, retain=True))
        first = self.read("/v1/events/heat")
        self.site.advance(1)
        self.assertEqual(messagesIn(self.body(first)), [1])
        second = self.read("/v1/events/heat")
        self.site.wait(self.site.me.publish("heat", Order, id=2, retain=True))
        self.site.advance(0)
        third = self.read("/v1/events/heat")
        self.assertEqual([messagesIn(self.body(client)) for client in (first, second, third)], [[1, 2], [1, 2], [2]])


class SlowTests(StreamCase):
    def setUp(self) -> None:
        self.web = WebSite(self, stream_events=3, stream_bytes=1000)
        self.site = self.web.site
        self.hub = self.web.bridge.hub

    def stalled(self, headers: dict[str, str] | None = None) -> Client:
        """A client that reads no more."""
        client = self.read(headers=headers)
        producer: Any = client.wire.producer
        producer.pauseProducing()
        return client

    def test_events(self) -> None:
        """A client for whom too many events wait is cut, told why, counted; nobody else is harmed."""
        slow, other = self.stalled(), self.read()
        self.order(1, 2, 3)
        self.assertFalse(slow.is_closed)
        self.order(4)
        self.assertTrue(slow.is_closed)
        self.assertEqual(namedIn(self.body(slow), "slow"), [{"reason": "events"}])
        self.assertEqual(self.web.bridge.counters["cut:events"], 1)
        self.assertEqual(messagesIn(self.body(other)), [1, 2, 3, 4])
        self.assertEqual(self.hub.places.taken, 1)

    def test_bytes(self) -> None:
        """So is one for whom too many bytes wait."""
        slow = self.stalled(LINES)
        self.site.publish("orders.created", note="x" * 1000)
        self.site.advance(0)
        self.assertEqual(msgspec.json.decode(self.body(slow)), {"slow": {"reason": "bytes"}})

    def test_recovers(self) -> None:
        """A client that was slow for a moment gets all that waited, in order."""
        slow = self.stalled()
        self.order(1, 2)
        self.assertEqual(messagesIn(self.body(slow)), [])
        producer: Any = slow.wire.producer
        producer.resumeProducing()
        self.order(3)
        self.assertEqual(messagesIn(self.body(slow)), [1, 2, 3])

    def test_stalled(self) -> None:
        """A client that takes nothing for half a minute is cut, however little waits for it."""
        slow = self.stalled()
        self.order(1)
        for _second in range(31):
            self.site.advance(1)
        self.assertEqual(namedIn(self.body(slow), "slow"), [{"reason": "stalled"}])

    def test_backlog(self) -> None:
        """Who comes back gets more than may wait for a slow client, at the pace at which it reads."""
        client = self.read()
        last_id = eventsIn(self.body(client))[-1]["id"]
        for number in range(1, 11):
            self.order(number)
        again = self.read(headers={**SSE, "Last-Event-ID": last_id})
        self.assertEqual(messagesIn(self.body(again)), list(range(1, 11)))


class EndTests(StreamCase):
    def test_leaves(self) -> None:
        """A client that leaves is forgotten at once; its pattern stays for who comes back, then is unsubscribed."""
        self.web = WebSite(self, feed_age=60.0)
        self.site, self.hub = self.web.site, self.web.bridge.hub
        client = self.read()
        client.leave()
        self.assertEqual((self.hub.places.taken, len(self.hub)), (0, 1))
        self.assertEqual(self.web.bridge.node.getSubscriptions(), ["orders.*"])
        for _second in range(70):
            self.site.advance(1)
        self.assertEqual((len(self.hub), self.web.bridge.node.getSubscriptions()), (0, []))

    def test_many(self) -> None:
        """However many open and close, nothing is left of them."""
        for _each in range(300):
            client = self.web.client()
            client.ask("GET", "/v1/events/orders.*", SSE)
            self.site.advance(0)
            client.leave()
        self.site.advance(1)
        feeds = list(self.hub._feeds.values())
        self.assertEqual((self.hub.places.taken, [feed.taps for feed in feeds], len(self.web.http.channels)), (0, [[]], 0))
        self.assertEqual(self.web.bridge.counters["opened:sse"], 300)

    def test_pipelined(self) -> None:
        """What a client sends behind an answer without an end is thrown away, however much it is: its leaving is noticed."""
        client = self.read()
        for _each in range(100):
            client.send(b"x" * 1000)
        self.assertEqual(client.wire.producerState, "producing")

    def test_late(self) -> None:
        """Who comes for a grant that has just ended is refused at once."""
        self.web.bridge.own.end("this grant was revoked")
        self.assertEqual(self.web.ask("GET", "/v1/events/orders.*", SSE).status, 403)
        self.assertEqual((self.hub.places.taken, len(self.hub)), (0, 0))

    def test_draining(self) -> None:
        """When the bridge stops, streams end with a last event that says so; nobody is let in."""
        client, poll = self.read(), self.web.client()
        poll.ask("GET", "/v1/events/orders.*?wait=20")
        self.site.advance(0)
        self.hub.drain()
        self.assertEqual(namedIn(self.body(client), "ended")[0]["reason"], "draining")
        self.assertTrue(client.received.endswith(b"0\r\n\r\n") and client.is_closed)
        self.assertEqual(poll.answers()[0].json()["events"], [])
        self.assertEqual(self.web.ask("GET", "/v1/events/orders.*", SSE).status, 503)

    def test_revoked(self) -> None:
        """The streams of an agent who may do nothing any more end, with the reason."""
        client = self.read()
        self.web.bridge.own.end("this grant was revoked")
        self.assertEqual(namedIn(self.body(client), "ended"), [{"reason": "grant", "detail": "this grant was revoked"}])
        self.assertEqual(self.hub.places.taken, 0)

    def test_refused(self) -> None:
        """What the grant does not allow is refused by the dispatcher, whatever the bridge believes, before a stream begins."""
        furl = self.site.grant(subscribe=["orders.*"])
        node = self.site.node(BridgeNode, name="guest", grant=furl)
        self.web.bridge.access = Anyone(Agent("guest", node, MEMBER))
        self.assertEqual(self.web.ask("GET", "/v1/events/secrets.*", SSE).status, 403)
        self.assertEqual(self.web.ask("GET", "/v1/events/secrets.*").status, 403)
        self.assertEqual((self.hub.places.taken, len(self.hub)), (0, 0))

    def test_feeds(self) -> None:
        """No more sets of patterns are kept than may be: those that nobody reads make room, those that are read do not."""
        self.web = WebSite(self, max_feeds=2)
        self.site, self.hub = self.web.site, self.web.bridge.hub
        first = self.read("/v1/events/a")
        self.read("/v1/events/b")
        self.assertEqual(self.web.ask("GET", "/v1/events/c", SSE).status, 503)
        first.leave()
        self.read("/v1/events/c")
        self.assertEqual(sorted(self.web.bridge.node.getSubscriptions()), ["b", "c"])

    def test_bytes(self) -> None:
        """All sets of patterns together keep no more bytes than they may."""
        self.web = WebSite(self, max_feeds_bytes=2000)
        self.site, self.hub = self.web.site, self.web.bridge.hub
        self.read()
        for number in range(100):
            self.order(number)
        self.assertLessEqual(self.hub.size, 2000)
        self.assertGreater(self.hub.size, 0)
