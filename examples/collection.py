"""Two nodes that share one port with one connection: python examples/collection.py, beside nodeset-dispatcher -n.

What `till` publishes reaches `kitchen` through the dispatcher, as it would from anywhere else.
"""

from __future__ import annotations

from typing import Any

from nodeset.core import message, node, utils
from nodeset.core.collection import CollectionAdapter, NodeCollection


class Order(message.NodeMessage):
    """What was ordered."""

    dish: str
    count: int = 1


class Kitchen(node.Node):
    """Cooks what is ordered."""

    @utils.catch("orders.created")
    def cook(self, msg: Order) -> None:
        """Say so."""
        print(f"{self.name} cooks {msg.count} {msg.dish}")


def order(till: CollectionAdapter) -> Any:
    """Publish an order, then tell who got it."""
    return till.publish("orders.created", Order, dish="soup", count=2).addCallback(print)


def main() -> None:
    """Run until Ctrl-C."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    utils.setDefaultOptions()
    collection = NodeCollection(5788)
    collection.adapt(Kitchen(name="kitchen"))
    till = collection.adapt(node.Node(name="till"))
    collection.start().addCallback(lambda linked: order(till)).addErrback(lambda failure: print(failure.getErrorMessage()))
    collection.startService()
    reactor.addSystemEventTrigger("before", "shutdown", collection.stopService)
    reactor.run()


if __name__ == "__main__":
    main()
