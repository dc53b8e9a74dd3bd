"""What a node promises when links are lost or somebody dies."""

from __future__ import annotations

from typing import Any

from nodeset.core import hello, peer
from nodeset.core.node import Node
from nodeset.core.outbox import Outbox
from nodeset.core.utils import catch
from nodeset.errors import HandlerFailed, OutcomeUnknown, Overloaded, Receipt, Undelivered
from nodeset.testing import Site
from tests.sites import Boom, Crew, Order, Shop, SiteCase


class LossTests(SiteCase):
    """Links that are lost."""

    def test_killAndRestart(self) -> None:
        """After a kill of the dispatcher and its restart events flow again, with no code in the user's node."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        for number in range(5):
            self.site.killDispatcher()
            self.site.advance(number / 3)
            self.site.startDispatcher()
            self.site.wait(shop.start())
            self.site.advance(1.1)
            self.assertEqual(self.publishes(publisher, number), Receipt(1, 1, 0))
        self.assertEqual(shop.orders, [0, 1, 2, 3, 4])

    def test_sentAndUnsent(self) -> None:
        """What was sent and not confirmed when the dispatcher dies is sent again to the next one, before what was not sent."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.site.wire.delay = 0.2
        sent = publisher.publish("orders.created", Order, id=1)
        self.site.advance(0.1)
        self.site.killDispatcher()
        self.site.wire.delay = 0.0
        unsent = publisher.publish("orders.created", Order, id=2)
        self.site.advance(5.0)
        self.assertNoResult(sent)
        self.assertNoResult(unsent)
        self.site.startDispatcher()
        self.assertEqual((self.site.wait(sent), self.site.wait(unsent)), (Receipt(1, 1, 0), Receipt(1, 1, 0)))
        self.assertEqual(shop.orders, [1, 2])

    def test_linkCut(self) -> None:
        """A link that is cut comes back within 2 s, to the same dispatcher, without a second session of that node."""
        shop, publisher = self.site.node(Shop, tub="shop"), self.site.node(Node)
        self.site.wire.cut("shop")
        self.site.advance(2.0)
        self.assertEqual(self.publishes(publisher, 1), Receipt(1, 1, 0))
        assert self.site.dispatcher is not None
        self.assertEqual(self.site.dispatcher.getStats()["nodes"], 2)
        self.assertEqual(shop.orders, [1])

    def test_silentDispatcher(self) -> None:
        """A dispatcher that falls silent is given up after 20 s, at the next look, and another one is dialled."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.site.advance(30.0)
        assert self.site.dispatcher is not None
        self.site.dispatcher.die()
        self.site.startDispatcher()
        self.site.advance(19.9)
        self.assertEqual(len(self.site.wire.links()), 2)
        waiting = publisher.publish("orders.created", Order, id=1)
        self.site.advance(5.2 + 1.0)
        self.assertEqual(self.stats("nodes"), [2])
        # Two seconds are over in which a new dispatcher waits for all to be back: who of the two is first is a matter of luck.
        self.assertIn(self.site.wait(waiting), (Receipt(1, 1, 0), Receipt(0, 0, 0)))
        self.assertEqual(self.publishes(publisher, 2), Receipt(1, 1, 0))
        self.assertEqual(shop.orders[-1], 2)

    def test_idle(self) -> None:
        """Links on which nothing is published stay for an hour."""
        self.site.node(Shop)
        self.site.node(Node)
        links = self.site.wire.links()
        self.site.advance(3600.0)
        self.assertEqual(self.site.wire.links(), links)

    def test_answersInFlight(self) -> None:
        """Confirms that were on their way when the link was lost are given again; the handler is not called twice."""
        shop, publisher = self.site.node(Shop, tub="shop"), self.site.node(Node)
        self.site.wire.delay = 0.2
        receipt = publisher.publish("orders.created", Order, id=1)
        self.site.advance(0.5)
        self.assertEqual(shop.orders, [1])
        self.site.wire.cut("shop")
        self.site.wire.delay = 0.0
        self.assertEqual(self.site.wait(receipt), Receipt(1, 1, 0))
        self.site.advance(3.0)
        self.assertEqual(shop.orders, [1])


class ResendTests(SiteCase):
    """Nothing confirmed is lost, nothing unconfirmed is silent, whoever dies or is cut off."""

    def _stopSite(self) -> None:
        self.site.advance(0.3)  # handlers of workers that are gone come to their ends
        super()._stopSite()

    def jobs(self, publisher: Node, count: int, level: str = "delivered", first: int = 0, mode: str = "all") -> list[Any]:
        """So many jobs."""
        return [
            publisher.publish("jobs", Order, id=number, level=level, _delivery_mode=mode)
            for number in range(first, first + count)
        ]

    def test_killedInFlight(self) -> None:
        """A dispatcher is killed with events at every point of their way: all are confirmed, shown once, in order."""
        for after in (0.05, 0.15, 0.25, 0.35, 0.45, 0.65):
            for down in (0.0, 3.0):
                site = self.site = Site()
                shops = [site.node(Shop), site.node(Shop)]
                publisher = site.node(Node)
                site.wire.delay = 0.1
                receipts: list[Any] = []
                for number in range(60):
                    receipts.append(publisher.publish("orders.created", Order, id=number, note="x" * 2000))
                    if number % 10 == 0:
                        site.advance(after)
                site.killDispatcher()
                site.advance(down)
                site.startDispatcher()
                site.wire.delay = 0.01
                self.assertEqual({site.wait(receipt) for receipt in receipts}, {Receipt(2, 2, 0)}, (after, down))
                for shop in shops:
                    self.assertEqual(shop.orders, list(range(60)), (after, down))
                site.stop()
                self.assertEqual(site.clock.getDelayedCalls(), [])

    def test_killedTwice(self) -> None:
        """A second kill, within the pause of the new dispatcher or just after it, changes nothing about that."""
        for between in (0.5, 1.9, 2.1, 2.3):
            site = self.site = Site()
            shop, publisher = site.node(Shop), site.node(Node)
            site.wire.delay = 0.1
            receipts = [publisher.publish("orders.created", Order, id=number) for number in range(20)]
            site.advance(0.15)
            for _ in range(2):
                site.killDispatcher()
                site.startDispatcher()
                site.advance(between)
            self.assertEqual({site.wait(receipt) for receipt in receipts}, {Receipt(1, 1, 0)}, between)
            self.assertEqual(shop.orders, list(range(20)), between)
            site.stop()

    def test_pause(self) -> None:
        """A restarted dispatcher routes nothing for 2 s, so that subscribers are back before their events are."""
        shop, publisher = self.site.node(Shop, tub="shop"), self.site.node(Node)
        self.site.killDispatcher()
        acceptor = self.site.startDispatcher()
        began = self.site.clock.seconds()
        self.site.wire.acceptor = None
        self.site.advance(0.8)
        self.site.wire.acceptor = acceptor
        self.assertEqual(self.publishes(publisher, 1), Receipt(1, 1, 0))
        self.assertGreaterEqual(self.site.clock.seconds() - began, 2.0)
        self.assertEqual(shop.orders, [1])

    def test_blink(self) -> None:
        """A subscriber whose link is cut for 0.3 s loses nothing: what came meanwhile comes when it is back, in order."""
        for mode in ("all", "one"):
            worker, publisher = self.site.node(Crew, tub=f"{mode} worker"), self.site.node(Node)
            receipts = self.jobs(publisher, 5, mode=mode)
            self.site.flush()
            acceptor, self.site.wire.acceptor = self.site.wire.acceptor, None
            self.site.wire.cut(f"{mode} worker")
            self.site.advance(0.1)
            receipts += self.jobs(publisher, 5, first=5, mode=mode)
            self.site.advance(0.2)
            self.site.wire.acceptor = acceptor
            self.assertEqual({self.site.wait(receipt) for receipt in receipts}, {Receipt(1, 1, 0)})
            self.assertEqual(worker.orders, list(range(10)))
            self.site.wait(worker.stopService())

    def test_longHello(self) -> None:
        """Workers that hold more than one hello can say find their way back all the same; each event runs once."""
        self.patch(hello, "MAX_HELLO", 400)
        crew = [self.site.node(Crew) for _ in range(2)]
        for worker in crew:
            worker.pace = 4.0
        publishers = [self.site.node(Node) for _ in range(30)]
        receipts = [receipt for publisher in publishers for receipt in self.jobs(publisher, 3, mode="one", level="handled")]
        self.site.advance(0.5)
        self.site.killDispatcher()
        self.site.advance(0.5)
        self.site.startDispatcher()
        self.assertEqual({self.site.wait(receipt) for receipt in receipts}, {Receipt(1, 1, 0)})
        for worker in crew:
            assert worker._peer is not None
            self.assertTrue(worker._peer._untold)
        self.assertEqual(sum(len(worker.orders) for worker in crew), 90)

    def cutFor(self, seconds: float, tub: str) -> None:
        """Let one node have no link for so long, while the others keep theirs."""
        acceptor, self.site.wire.acceptor = self.site.wire.acceptor, None
        self.site.wire.cut(tub)
        self.site.advance(seconds)
        self.site.wire.acceptor = acceptor

    def test_goneAll(self) -> None:
        """A subscriber that is cut off for 3 s is gone: in mode all the publishers are told which share it lost."""
        gone, stays = self.site.node(Crew, name="gone", tub="gone"), self.site.node(Crew)
        publisher = self.site.node(Node)
        receipts = self.jobs(publisher, 3)
        self.site.flush()
        self.cutFor(3.0, "gone")
        self.assertEqual(self.site.wait(receipts[0]), Receipt(2, 2, 0))
        for receipt in receipts[1:]:
            failed = self.failing(Undelivered, receipt)
            self.assertEqual(failed.receipt, Receipt(2, 1, 0))
            self.assertIn("gone", str(failed))
        self.site.advance(3.0)
        self.assertEqual(stays.orders, [0, 1, 2])
        self.assertEqual(self.site.wait(publisher.publish("jobs", Order, id=9)), Receipt(2, 2, 0), "it is back")
        self.assertEqual(gone.orders[-1], 9)

    def test_goneOne(self) -> None:
        """In mode one the events of a worker that is cut off go to another; those it had not begun it never begins."""

        class Slow(Crew):
            pace = 1.0

        for level in ("delivered", "handled"):
            cut, stays = self.site.node(Slow, tub=f"cut {level}"), self.site.node(Slow)
            publisher = self.site.node(Node)
            receipts = self.jobs(publisher, 10, level, mode="one")
            self.site.flush()
            share = [*range(5)] if cut.orders == [0] else [*range(5, 10)]
            self.cutFor(2.5, f"cut {level}")
            self.site.wait(cut.start())
            begun = list(cut.orders)
            self.assertLess(len(begun), 5)
            self.assertEqual({self.site.wait(receipt) for receipt in receipts}, {Receipt(1, 1, 0)})
            self.site.advance(11.0)
            # What it began while it was out of reach ran twice; what it confirmed before it was cut off, or never began, once.
            self.assertEqual(cut.orders, begun)
            moved = share[1:] if level == "delivered" else share
            self.assertEqual(sorted(stays.orders), sorted([*moved, *({*range(10)} - {*share})]))
            for worker in (cut, stays):
                self.site.wait(worker.stopService())

    def test_workerDies(self) -> None:
        """A worker that is killed while it handles an event at level handled: another one handles it."""
        dies, lives = self.site.node(Crew, tub="dies"), self.site.node(Crew)
        publisher = self.site.node(Node)
        receipts = self.jobs(publisher, 2, "handled", mode="one")
        self.site.flush()
        self.assertEqual((len(dies.orders), len(lives.orders)), (1, 1))
        assert dies._peer is not None
        dies._peer._inbox.linkLost = lambda: None  # type: ignore[method-assign]  # dead: it neither answers nor comes back
        dies._peer._reconnector.stop()
        self.site.wire.cut("dies")
        self.assertEqual([self.site.wait(receipt) for receipt in receipts], [Receipt(1, 1, 0)] * 2)
        self.assertEqual((sorted(lives.finished), self.stats("moved")), ([0, 1], [1]))

    def test_failureComesBack(self) -> None:
        """At level handled a failure survives the loss of the link, or the death of the dispatcher, on its way back."""
        failures = 0

        class Bad(Node):
            @catch("jobs", Order)
            def work(self, msg: Order) -> None:
                nonlocal failures
                failures += 1
                raise Boom("no")

        for kill in (False, True):
            bad, publisher = self.site.node(Bad, tub=f"bad{kill}"), self.site.node(Node)
            self.site.wire.delay = 0.1
            receipt = publisher.publish("jobs", Order, id=1, level="handled")
            self.site.advance(0.3)
            if kill:
                self.site.killDispatcher()
                self.site.startDispatcher()
            else:
                self.site.wire.cut(f"bad{kill}")
            self.site.wire.delay = 0.0
            self.assertEqual(self.failing(HandlerFailed, receipt).receipt, Receipt(1, 1, 0))
            self.site.wait(bad.stopService())
        self.assertEqual((failures, len(self.flushLoggedErrors(Boom))), (2, 2))

    def test_bounds(self) -> None:
        """While no dispatcher is there the outbox takes its measure and no more: the rest waits, then is refused."""
        self.patch(peer, "Outbox", lambda: Outbox(max_events=50, max_bytes=3000, max_waiting=20))
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.site.killDispatcher()
        self.site.advance(0.1)
        receipts = [publisher.publish("orders.created", Order, id=number) for number in range(70)]
        self.failureResultOf(publisher.publish("orders.created", Order, id=99), Overloaded)
        self.failureResultOf(publisher.publish("orders.created", Order, id=99, wait=False), Overloaded)
        self.site.advance(5.0)
        self.site.startDispatcher()
        self.assertEqual({self.site.wait(receipt) for receipt in receipts}, {Receipt(1, 1, 0)})
        self.assertEqual(shop.orders, list(range(70)))
        self.site.killDispatcher()
        large = [publisher.publish("orders.created", Order, id=number, note="x" * 1000) for number in range(4)]
        self.failureResultOf(publisher.publish("orders.created", Order, note="x" * 2900), Overloaded)
        self.site.startDispatcher()
        self.assertEqual({self.site.wait(receipt) for receipt in large}, {Receipt(1, 1, 0)})

    def test_tenMinutes(self) -> None:
        """Without a link for 10 minutes what was sent fails with OutcomeUnknown; what was never sent goes on waiting."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.site.wire.delay = 0.1
        sent = publisher.publish("orders.created", Order, id=1, timeout=None)
        self.site.advance(0.05)
        self.site.wire.delay = 0.0
        self.site.killDispatcher()
        self.site.flush()
        unsent = publisher.publish("orders.created", Order, id=2, timeout=None)
        self.site.advance(599.0)
        self.assertNoResult(sent)
        self.site.advance(3.0)
        self.assertIn("may or may not", str(self.failureResultOf(sent, OutcomeUnknown).value))
        self.site.startDispatcher()
        self.assertEqual(self.site.wait(unsent), Receipt(1, 1, 0))
        self.assertEqual(shop.orders, [2])

    def test_timeout(self) -> None:
        """A publish without an answer fails at its time-out to the millisecond, and is never sent again."""
        shop, publisher = self.site.node(Shop), self.site.node(Node)
        self.site.wire.delay = 0.2
        late = publisher.publish("orders.created", Order, id=1, timeout=1.5)
        self.site.advance(0.1)
        self.site.killDispatcher()
        self.site.clock.advance(1.399)
        self.assertNoResult(late)
        self.site.clock.advance(0.002)
        self.failureResultOf(late, OutcomeUnknown)
        self.site.wire.delay = 0.0
        self.site.startDispatcher()
        self.site.advance(5.0)
        self.assertEqual(shop.orders, [])
