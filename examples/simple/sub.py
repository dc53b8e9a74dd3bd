"""Shows every `some_event`: python examples/simple/sub.py, beside nodeset-dispatcher -n."""

# ruff: noqa: E402, UP031

from core import SimpleNode

from nodeset.core import utils


def do_subscribe(node, event_name):  # type: ignore[no-untyped-def]  # as in the README, untyped
    print("Subscribing for %s event" % event_name)
    node.subscribe(event_name)


def _err(failure):  # type: ignore[no-untyped-def]  # as in the README, untyped
    print(failure)


from twisted.internet import reactor

utils.setDefaultOptions()

node = SimpleNode(name="nodeAbc", port=6555)
node.start().addCallback(do_subscribe, "some_event").addErrback(_err)
node.startService()

reactor.run()
