"""The test kit: real nodes with a real dispatcher over an in-memory wire, by a clock that the test turns.

::

    from twisted.trial.unittest import SynchronousTestCase
    from nodeset.testing import Site

    class OrderTests(SynchronousTestCase):
        def test_confirmed(self) -> None:
            site = Site.forTest(self)                  # stops itself, leaves nothing behind
            shop = site.node(Shop, name="shop")        # started, linked
            receipt = site.publish("orders.created", Order, id=1)
            self.assertEqual(receipt.delivered, 1)

With pytest, `site` is a fixture. Nothing in it is a stand-in: codec, batches, outbox, exchange, heartbeat are those that run in
production, only the bytes travel through memory. `LinkContract` is the suite that every transport passes.
"""

from nodeset.testing.contract import LinkContract, LinkPair, Recorder
from nodeset.testing.listener import Listener
from nodeset.testing.site import Site

__all__ = ["LinkContract", "LinkPair", "Listener", "Recorder", "Site"]
