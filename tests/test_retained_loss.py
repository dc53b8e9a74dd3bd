"""Last values that are kept for newcomers, when links are lost or somebody dies."""

from __future__ import annotations

from nodeset.core.node import Node
from tests.sites import Order, Quiet, RetainedCase, Shop


class RetainedLossTests(RetainedCase):
    """Every newcomer is handed the last value, nobody sees one twice."""

    def gone(self, node: Node, tub: str, seconds: float) -> None:
        """The links of `tub` are lost, no other one of its comes for a while."""
        acceptor, self.site.wire.acceptor = self.site.wire.acceptor, None
        self.site.wire.cut(tub)
        self.site.advance(seconds)
        self.site.wire.acceptor = acceptor
        self.site.wait(node.start())
        self.site.advance(1.5)

    def test_dispatcherRestart(self) -> None:
        """After a restart of the dispatcher newcomers are handed what was kept before; who had it sees nothing again."""
        early = self.subscriber("orders.created")
        self.keeps(1)
        self.assertEqual(self.heard(early), [("orders.created", 1, False)])
        self.site.killDispatcher()
        self.site.advance(3.0)
        self.site.startDispatcher()
        late = self.site.node(Quiet)
        late.subscribe("orders.*")
        self.site.advance(6.0)
        self.assertEqual((self.heard(early), self.heard(late)), ([], [("orders.created", 1, True)]))
        self.assertEqual(self.keeps(2), (2, 2, 0))
        self.assertEqual((self.heard(early), self.heard(late)), ([("orders.created", 2, False)],) * 2)

    def test_keptWhileAway(self) -> None:
        """What was kept while no dispatcher was there is handed to those who come after it was sent."""
        self.site.killDispatcher()
        waiting = self.pub.publish("orders.created", Order, id=1, retain=True)
        self.site.advance(1.0)
        self.site.startDispatcher()
        self.assertEqual(self.site.wait(waiting), (0, 0, 0))
        self.assertEqual(self.heard(self.subscriber("orders.created")), [("orders.created", 1, True)])

    def test_beforeTheLink(self) -> None:
        """Who subscribes before a value that waited for the dispatcher is there sees it once, however it came."""
        early = self.subscriber("orders.created")
        self.site.killDispatcher()
        waiting = self.pub.publish("orders.created", Order, id=1, retain=True)
        self.site.advance(1.0)
        self.site.startDispatcher()
        self.assertEqual(self.site.wait(waiting), (1, 1, 0))
        self.site.advance(5.0)
        self.assertEqual(len(self.heard(early)), 1)

    def test_publisherRestarts(self) -> None:
        """A publisher that starts anew has forgotten what it kept, and publishes it anew to all."""
        node = self.subscriber("orders.created")
        self.keeps(1)
        self.site.wait(self.pub.stopService())
        self.assertEqual(self.heard(self.subscriber("orders.created")), [])
        self.pub.startService()
        self.site.wait(self.pub.start())
        self.assertEqual(self.heard(self.subscriber("orders.created")), [])
        self.assertEqual(self.keeps(1)[1], 3)
        self.assertEqual(self.heard(node), [("orders.created", 1, False)] * 2)
        self.assertEqual(self.heard(self.subscriber("orders.created")), [("orders.created", 1, True)])

    def test_subscriberAway(self) -> None:
        """A subscriber that was away, or gone, for a while sees nothing twice; what it missed it is handed."""
        for seconds, how in ((0.5, False), (5.0, True)):
            node = self.subscriber("orders.created", tub="sub")
            self.keeps(1)
            self.assertEqual(len(self.heard(node)), 2 if how else 1)  # the second one is handed what the first one left
            self.gone(node, "sub", seconds)
            self.assertEqual(self.heard(node), [])
            acceptor, self.site.wire.acceptor = self.site.wire.acceptor, None
            self.site.wire.cut("sub")
            self.site.advance(seconds)
            waiting = self.pub.publish("orders.created", Order, id=2, retain=True)
            self.site.advance(0.1)
            self.site.wire.acceptor = acceptor
            self.site.wait(waiting)
            self.site.wait(node.start())
            self.assertEqual(self.heard(node), [("orders.created", 2, how)])
            self.site.wait(node.stopService())

    def test_publisherAway(self) -> None:
        """Who subscribes while the publisher is away, or gone, is handed the value when it is back, and nobody else is."""
        for number, seconds in enumerate((0.5, 5.0)):
            pub = self.site.node(Quiet, tub="away")
            early = self.subscriber(f"e{number}")
            self.publishes(pub, number, f"e{number}", retain=True)
            acceptor = self.site.wire.acceptor
            self.site.wire.cut("away")
            late = self.site.node(Quiet)
            late.subscribe(f"e{number}")
            self.site.flush()
            self.site.wire.acceptor = None
            self.site.advance(seconds)
            self.site.wire.acceptor = acceptor
            self.site.wait(pub.start())
            self.assertEqual(self.heard(late), [(f"e{number}", number, True)])
            self.assertEqual(self.heard(early), [(f"e{number}", number, False)])

    def test_wantIsLost(self) -> None:
        """A link that is lost while the publisher is asked, or hands a value over, loses nothing."""
        for delay in (0.01, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5):
            self.site.wire.delay = 0.0
            pub = self.site.node(Quiet, tub="cut")
            self.publishes(pub, 7, "value", retain=True)
            self.site.wire.delay = 0.1
            shop = self.site.node(Quiet)
            shop.subscribe("value")
            self.site.advance(delay)
            self.site.wire.cut("cut")
            self.site.advance(4.0)
            self.assertEqual(self.heard(shop), [("value", 7, True)], delay)
            self.site.wire.delay = 0.0
            self.site.advance(0.2)  # what is on the way comes as late as it would have
            self.site.wait(pub.stopService())
            self.site.wait(shop.stopService())

    def test_killedWhileHanding(self) -> None:
        """A dispatcher that dies while values are handed over loses none of them, and nobody sees one twice."""
        for number in range(300):
            self.pub.publish(f"a.{number}", Order, id=number, retain=True)
        self.site.flush()
        self.site.wire.delay = 0.05
        node = self.site.node(Quiet)
        node.subscribe("a.>")
        while not node.heard:
            self.site.advance(0.05)
        self.site.killDispatcher()
        self.site.advance(0.5)
        self.assertLess(len(node.heard), 300)
        self.site.startDispatcher()
        self.site.advance(10.0)
        self.assertEqual(sorted(node.events()), sorted(f"a.{number}" for number in range(300)))

    def test_nothingLeft(self) -> None:
        """A dispatcher forgets what nodes kept when they are gone, whatever was under way."""
        dispatcher = self.site.dispatcher
        assert dispatcher is not None
        nodes = [self.site.node(Shop) for _ in range(3)]
        for node in nodes:
            self.publishes(node, 1, "a.b.c", retain=True)
            self.publishes(node, 1, "a.b", retain=True)
            node.forget("a.b")
        self.subscriber("a.>")
        self.keeps(1)
        self.site.stop()
        handing = dispatcher.exchange.handing
        self.assertEqual((handing._owed, handing.new, len(handing._keepers), handing._keepers._root.branches), ({}, {}, 0, {}))
        self.assertEqual((handing._keepers._root.above, handing._keepers._kept), ({}, {}))
