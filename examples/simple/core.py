"""What the subscriber with its twin, the publisher, share: a message class, a node that shows what it catches.

Run them in three terminals, in any order::

    nodeset-dispatcher -n
    python examples/simple/sub.py
    python examples/simple/pub.py
"""

# ruff: noqa: UP031

from nodeset.core import message, node, utils


class SimpleMessage(message.NodeMessage):
    def __init__(self):  # type: ignore[no-untyped-def]  # as in the README, untyped
        message.NodeMessage.__init__(self)
        message.Attribute("field1")


class SimpleNode(node.Node):
    @utils.catch("some_event")
    def callbackForWhatever(self, msg):  # type: ignore[no-untyped-def]  # as in the README, untyped
        print("EVENT: %s" % msg.toJson())
