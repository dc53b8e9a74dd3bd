"""Who waits at a bridge, while others leave, while the bridge stops, while nobody else uses a grant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from nodeset import expose
from nodeset.core.node import Node
from nodeset.transport.memory import MemoryTransport
from nodeset.web.feeds.feed import Feed
from nodeset.web.feeds.ring import Bounds
from tests.gates import GateCase
from tests.webs import Client, WebSite

JSON = {"Content-Type": "application/json"}


class SharedTests(SynchronousTestCase):
    """Several clients who wait for the same subscription."""

    def setUp(self) -> None:
        self.web = WebSite(self)
        self.site = self.web.site
        assert self.site.dispatcher is not None
        self.dispatcher = self.site.dispatcher

    def ask(self, path: str, **headers: str) -> Client:
        """A connection on which this was asked."""
        client = self.web.client()
        client.ask("GET", path, headers)
        return client

    def test_firstLeaves(self) -> None:
        """The first one to ask leaves before the dispatcher has confirmed: the others are served all the same."""
        self.site.freeze(self.dispatcher)
        first = self.ask("/subscribe?event=x")
        others = [self.ask("/subscribe?event=x"), self.ask("/v1/events/x", Accept="text/event-stream")]
        self.site.advance(1)
        first.leave()
        self.site.thaw(self.dispatcher)
        self.site.until(lambda: all(each.received for each in others), what="the others are served")
        self.assertEqual([each.answers()[0].status for each in others], [200, 200])
        self.site.wait(self.site.node(Node, name="pub").publish("x", number=1))
        self.site.until(lambda: all(b'"number"' in each.received for each in others), what="they get the event")

    def test_allLeave(self) -> None:
        """When all of them leave, nothing stays subscribed."""
        self.site.freeze(self.dispatcher)
        for client in [self.ask("/subscribe?event=x"), self.ask("/subscribe?event=x")]:
            client.leave()
        self.site.thaw(self.dispatcher)
        self.site.advance(1)
        self.assertEqual(self.web.bridge.node.getSubscriptions(), [])

    def test_endsAnother(self) -> None:
        """What one of them does when it is confirmed may make another one give up; the third is told all the same."""
        self.site.freeze(self.dispatcher)
        node, bounds = self.web.bridge.node, Bounds()
        feed = Feed(node, ("x",), "e", bounds, lambda: 0.0, lambda: 0.0, lambda feed: None)
        feed.listen()
        one, other, third = feed.confirmed(), feed.confirmed(), feed.confirmed()
        one.addCallback(lambda none: other.cancel())
        ends = [other.addErrback(lambda failure: failure.trap(CancelledError)), third]
        self.site.thaw(self.dispatcher)
        self.site.advance(1)
        self.assertEqual([end.called for end in ends], [True, True])

    def test_narrower(self) -> None:
        """When the bridge is back with a narrower grant, a stream that this does not allow ends, and says why."""
        kept, ended = self.ask("/v1/events/x", Accept="text/event-stream"), self.ask("/v1/events/y", Accept="text/event-stream")
        old = self.ask("/subscribe?event=y")
        self.site.until(lambda: bool(kept.received and ended.received and old.received), what="the streams")
        transport = self.web.bridge.node._transport
        assert isinstance(transport, MemoryTransport)
        transport._furl = self.site.grant(subscribe=["x"])
        self.site.lose(self.web.bridge.node)
        self.site.until(lambda: self.web.bridge.node.is_linked, what="a link")
        self.site.advance(1)
        self.assertIn(b"event: nodeset.gap", kept.received)
        self.assertIn(b'event: nodeset.ended\ndata: {"reason":"refused"', ended.received)
        self.assertTrue(old.received.endswith(b"0\r\n\r\n"))
        self.assertTrue(ended.is_closed)
        self.assertFalse(kept.is_closed)
        self.assertEqual(self.web.bridge.node.getSubscriptions(), ["x"])
        again = self.web.ask("GET", "/v1/events/y", {"Accept": "text/event-stream"})
        self.assertEqual(again.status, 403)


class Slow(Node):
    """Answers when it is told to."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.done: Deferred[str] = Deferred()

    @expose
    async def work(self) -> str:
        return await self.done

    @expose
    async def items(self) -> AsyncIterator[str]:
        yield "first"
        yield await self.done


class GrantTests(GateCase):
    """What is under way on behalf of who holds a grant."""

    def setUp(self) -> None:
        super().setUp()
        self.slow = self.site.node(Slow, name="slow")
        self.open()
        self.asks = {"Authorization": f"Bearer {self.token(call=['slow/*'], publish=['*'])}", **JSON}

    def begin(self, method: str, **headers: str) -> Client:
        """A call, under way."""
        client = self.web.client()
        client.ask("POST", f"/v1/calls/slow/{method}", {**self.asks, **headers})
        self.site.advance(1)
        return client

    def test_longCall(self) -> None:
        """A call that takes minutes is answered, though its grant is used for nothing else meanwhile."""
        client = self.begin("work", **{"NodeSet-Timeout": "600"})
        self.site.advance(200)
        self.assertEqual(client.received, b"")
        self.slow.done.callback("done")
        self.site.until(lambda: bool(client.received), what="an answer")
        self.assertEqual((client.answers()[0].status, client.answers()[0].json()), (200, {"result": "done"}))

    def test_longItems(self) -> None:
        """So are items that come over minutes."""
        client = self.begin("items", **{"NodeSet-Timeout": "600"})
        self.site.advance(200)
        self.slow.done.callback("last")
        self.site.advance(1)
        self.assertEqual(client.answers()[0].body, b'{"item":"first"}\n{"item":"last"}\n{"end":2}\n')

    def test_leaves(self) -> None:
        """Once it is answered, nothing holds the grant any more."""
        for method in ("work", "items"):
            self.begin(method, **{"NodeSet-Timeout": "600"})
        self.slow.done.callback("done")
        self.site.advance(200)
        self.assertFalse(any(guest.is_linked for guest in self.guests))

    def test_drains(self) -> None:
        """A bridge that stops lets a call be answered that is under way."""
        client = self.begin("work")
        self.bridge.draining = True
        ended: list[Any] = []
        Deferred.fromCoroutine(self.bridge.endStreams()).addCallback(ended.append)
        self.site.advance(2)
        self.slow.done.callback("done")
        self.site.until(lambda: bool(client.received), what="an answer")
        self.assertEqual(client.answers()[0].status, 200)
        self.site.until(lambda: bool(ended))
