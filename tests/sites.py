"""A site to test nodes on, with nodes that note what they hear."""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.message import Attribute, NodeMessage
from nodeset.core.node import Node
from nodeset.core.utils import catch
from nodeset.testing import Site

__all__ = ["Boom", "Crew", "Order", "Quiet", "RetainedCase", "Shop", "Simple", "SiteCase"]

E = TypeVar("E", bound=BaseException)


class Order(NodeMessage):
    """A message in the declared form."""

    id: int = 0
    note: str = ""


class Simple(NodeMessage):
    """A message in the seed's form."""

    def __init__(self) -> None:
        NodeMessage.__init__(self)
        Attribute("field1", "nothing")


class Boom(Exception):
    """What a handler of these tests raises."""


class Quiet(Node):
    """A node that writes down every event, by `onEvent`; it catches none."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.heard: list[tuple[str, Any]] = []
        self.calls: list[str] = []

    def onEvent(self, event: str, msg: NodeMessage) -> object:
        self.heard.append((event, msg))
        self.calls.append("onEvent")
        return None

    def events(self) -> list[str]:
        """What it heard, by name."""
        return [event for event, _msg in self.heard]


class Shop(Quiet):
    """Catches `orders.created`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.orders: list[int] = []

    @catch("orders.created", Order)
    def keep(self, msg: Order) -> None:
        self.orders.append(msg.id)
        self.calls.append("keep")


class Crew(Shop):
    """Its handler takes `pace` seconds; it notes what it has begun and what it has finished."""

    pace = 0.2

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.finished: list[int] = []

    @catch("jobs", Order)
    def work(self, msg: Order) -> Deferred[None]:
        self.orders.append(msg.id)
        done: Deferred[None] = Deferred()
        self._findClock().callLater(self.pace, done.callback, None)
        return done.addCallback(lambda none: self.finished.append(msg.id))


class SiteCase(SynchronousTestCase):
    """A test with a site of its own, which must leave nothing behind."""

    def setUp(self) -> None:
        self.site = Site()
        self.addCleanup(self._stopSite)

    def _stopSite(self) -> None:
        self.site.stop()  # which looks for timers that are left

    def stats(self, *names: str) -> list[int]:
        """What the dispatcher counts under these names."""
        assert self.site.dispatcher is not None
        stats = self.site.dispatcher.getStats()
        return [stats.get(name, 0) for name in names]

    def failing(self, error: type[E], deferred: Deferred[Any]) -> E:
        """What `deferred` fails with, as it must, before long; one line."""
        raised: E = self.assertRaises(error, self.site.wait, deferred)
        self.assertNotIn("\n", str(raised))
        return raised

    def publishes(self, node: Node, number: int = 1, event: str = "orders.created", **options: Any) -> Any:
        """The receipt of one order."""
        return self.site.wait(node.publish(event, Order, id=number, **options))


class RetainedCase(SiteCase):
    """A publisher, with whatever subscribers a test makes."""

    def setUp(self) -> None:
        super().setUp()
        self.pub = self.site.node(Quiet, name="pub")

    def keeps(self, number: int, event: str = "orders.created", **options: Any) -> Any:
        """The receipt of an order that is retained."""
        return self.publishes(self.pub, number, event, retain=True, **options)

    def subscriber(self, *patterns: str, **options: Any) -> Quiet:
        """A node that subscribes to these."""
        node = self.site.node(Quiet, **options)
        for pattern in patterns:
            self.site.wait(node.subscribe(pattern))
        self.site.advance(0.2)
        return node

    def heard(self, node: Quiet) -> list[tuple[str, int, bool]]:
        """What a node heard since the last look: event, id, whether it was handed over."""
        self.site.advance(0.2)
        heard, node.heard = node.heard, []
        return [(event, msg.id, msg.meta.retained) for event, msg in heard]

    def count(self, node: Node, name: str) -> int:
        """What a node counts under this name."""
        assert node._peer is not None
        return node._peer.counters[name]
