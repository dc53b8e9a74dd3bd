"""What SIGHUP changes in nodes and dispatchers that run."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred

from nodeset.core.calls.expose import expose
from nodeset.core.message import NodeMessage
from nodeset.core.node import Node
from nodeset.errors import HandlerFailed, OutcomeUnknown, Refused
from tests.sites import Order, Quiet, SiteCase


class Slow(Quiet):
    """Takes for ever."""

    def onEvent(self, event: str, msg: NodeMessage) -> object:
        super().onEvent(event, msg)
        return Deferred()

    @expose
    def wait(self) -> Deferred[Any]:
        """For ever."""
        return Deferred()


class NodeTests(SiteCase):
    """Time-outs."""

    def fails(self, deferred: Deferred[Any], error: type[Exception], seconds: float) -> None:
        """It fails after so many seconds, not earlier."""
        self.site.advance(seconds - 0.2)
        self.assertNoResult(deferred)
        self.site.advance(0.4)
        self.failureResultOf(deferred, error)

    def test_publish(self) -> None:
        """A publish that begins later has the new time-out, also one like those before, which takes the short way."""
        node = self.site.node(Node)
        for _ in range(2):
            self.publishes(node)
        node.adjust(attrs.evolve(node.settings, publish_timeout=3))
        self.site.killDispatcher()
        self.fails(node.publish("orders.created", Order, id=1), OutcomeUnknown, 3)

    def test_call(self) -> None:
        """So has a call."""
        self.site.node(Slow, name="slow")
        node = self.site.node(Node)
        node.adjust(attrs.evolve(node.settings, call_timeout=2))
        self.fails(node.call("slow", "wait"), OutcomeUnknown, 2)

    def test_handler(self) -> None:
        """A handler that is called later has the new time-out, the one at work still the old one."""
        node, publisher = self.site.node(Slow), self.site.node(Node)
        self.site.wait(node.subscribe("a"))
        first = publisher.publish("a", level="handled")
        self.site.until(lambda: node.heard)
        node.adjust(attrs.evolve(node.settings, handler_timeout=2))
        self.fails(first, HandlerFailed, 30)
        self.fails(publisher.publish("a", level="handled"), HandlerFailed, 2)
        self.assertEqual(len(self.site.flushErrors()), 2)

    def test_others(self) -> None:
        """All else stays as it was, whatever the settings say."""
        node = self.site.node(Node, name="me")
        node.adjust(attrs.evolve(node.settings, drain_timeout=1, host="elsewhere", name="you"))
        self.assertEqual((node.settings.drain_timeout, node.settings.host, node.name), (1, "localhost", "me"))


class DispatcherTests(SiteCase):
    """Limits."""

    def test_nodes(self) -> None:
        """With fewer nodes allowed than are there, all stay, and nobody else is let in."""
        first, second = self.site.node(Node), self.site.node(Node)
        assert self.site.dispatcher is not None
        self.site.dispatcher.exchange.max_nodes = 1
        self.publishes(first)
        self.publishes(second)
        third = self.site.node(Node, start=False)
        third.startService()
        self.failing(Refused, third.start())

    def test_message(self) -> None:
        """Who is there may send what it was told it may; who comes later what is allowed by then."""
        old = self.site.node(Node)
        assert self.site.dispatcher is not None
        self.site.dispatcher.exchange.max_event = 100
        self.assertTrue(self.site.wait(old.publish("orders.created", Order, note="x" * 200)))
        new = self.site.node(Node)
        self.publishes(new)
        self.assertEqual(self.stats("protocol_errors"), [0])
        self.failing(OutcomeUnknown, new.publish("orders.created", Order, note="x" * 200, timeout=1))
        self.assertGreater(self.stats("protocol_errors")[0], 0)
