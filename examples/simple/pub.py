"""Publishes one `some_event`, prints its receipt: python examples/simple/pub.py, beside sub.py."""

# ruff: noqa: E402

from core import SimpleMessage, SimpleNode

from nodeset.core import utils

utils.setDefaultOptions()

from twisted.internet import reactor

node = SimpleNode(name="nodeAbc", port=6553)
published = node.start().addCallback(lambda node: node.publish("some_event", SimpleMessage, field1="value1"))
published.addCallbacks(print, print)
node.startService()

reactor.run()
