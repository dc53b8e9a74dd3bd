"""Much at once: the credit that links give each other, as nodes see it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset import Node, NodeMessage, catch
from nodeset.errors import Receipt
from nodeset.testing import Site


class Load(NodeMessage):
    """An event with a weight."""

    number: int
    text: str


class Counting(Node):
    """Writes down what comes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.heard: list[int] = []

    @catch("load.*", Load)
    def arrived(self, msg: Any) -> None:
        """An event."""
        self.heard.append(msg.number)


class FlowTests(SynchronousTestCase):
    """Credit in one turn, of many links."""

    def test_noWaiting(self) -> None:
        """More than a queue holds, from ten publishers, is handled and confirmed without a heartbeat or any other timer."""
        site = Site()
        counting = site.node(Counting, name="counting")
        site.wait(counting.subscribe("load.*", max_bytes=200_000))
        publishers = [site.node(Node, name=f"publisher{index}") for index in range(10)]
        text, each = "x" * 9000, 100
        receipts: list[Receipt] = []
        for number in range(each):
            for publisher in publishers:
                publisher.publish(f"load.{number % 7}", Load, number=number, text=text).addCallback(receipts.append)
        start = site.clock.seconds()
        site.flush()
        self.assertEqual((len(receipts), set(receipts)), (10 * each, {Receipt(1, 1, 0)}))
        self.assertEqual(len(counting.heard), 10 * each)
        self.assertEqual(site.clock.seconds(), start)
        site.stop()
