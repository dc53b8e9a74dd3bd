"""The test kit that users get, as they would use it."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.message import NodeMessage
from nodeset.core.node import Node
from nodeset.core.utils import catch
from nodeset.errors import LinkLost, OutcomeUnknown
from nodeset.testing import Recorder, Site


class Ping(NodeMessage):
    """A message."""

    number: int = 0


class Ears(Node):
    """Writes down what it hears."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]  # passed on as they are
        self.heard: list[int] = []

    @catch("ping", Ping)
    def hear(self, msg: Ping) -> None:
        self.heard.append(msg.number)


class SiteTests(SynchronousTestCase):
    """`nodeset.testing.Site`."""

    def setUp(self) -> None:
        self.site = Site()

    def test_roundTrip(self) -> None:
        """Three lines make a site, a subscriber, a publisher; one more waits for the receipt."""
        ears, mouth = self.site.node(Ears, name="ears"), self.site.node(Node, name="mouth")
        self.assertEqual(self.site.wait(mouth.publish("ping", Ping, number=7)), (1, 1, 0))
        self.assertEqual(ears.heard, [7])
        self.site.stop()
        self.assertEqual(self.site.clock.getDelayedCalls(), [])

    def test_stopLeavesNothing(self) -> None:
        """After `stop` nothing is left on the clock: with no node, with no dispatcher, with work under way, done twice."""
        for nodes, kill in ((0, False), (2, False), (2, True)):
            site = Site()
            made = [site.node(Ears) for _ in range(nodes)]
            for node in made:
                node.publish("ping", Ping, number=1).addErrback(lambda failure: failure.trap(OutcomeUnknown))
            if kill:
                site.killDispatcher()
            site.stop()
            site.stop()
            self.assertEqual(site.clock.getDelayedCalls(), [])

    def test_timeIsTheTests(self) -> None:
        """Nothing happens by the machine's clock: a delay on the wire is exactly as long as the test says."""
        ears, mouth = self.site.node(Ears), self.site.node(Node)
        self.site.wire.delay = 3.0
        mouth.publish("ping", Ping, number=1)
        self.site.advance(2.9)
        self.assertEqual(ears.heard, [])
        self.site.advance(6.0)
        self.assertEqual(ears.heard, [1])

    def test_waitRaises(self) -> None:
        """`wait` raises what the Deferred failed with."""
        failing: Deferred[None] = Deferred()
        failing.errback(LinkLost("gone"))
        self.assertRaises(LinkLost, self.site.wait, failing)
        self.assertEqual(self.site.wait(succeed(3)), 3)

    def test_waitEnds(self) -> None:
        """`wait` gives up after its time with an AssertionError, so that a test fails instead of hanging."""
        self.assertRaises(AssertionError, self.site.wait, Deferred(), timeout=1.0)
        self.assertGreaterEqual(self.site.clock.seconds(), 1.0)

    def test_flushEnds(self) -> None:
        """What goes on for ever without time passing fails the test instead of hanging it."""

        def again() -> None:
            self.site.clock.callLater(0, again)

        again()
        self.assertRaises(AssertionError, self.site.flush)

    def test_order(self) -> None:
        """Calls are made in the same order as by Twisted's own clock, however they were put off, brought forward, cancelled."""

        def story(clock: Clock, draw: random.Random) -> list[int]:
            made: list[int] = []
            calls: list[Any] = []
            for number in range(60):
                calls.append(clock.callLater(draw.randint(0, 9), made.append, number))
                other = draw.choice(calls)
                match draw.randint(0, 3):
                    case 0:
                        other.reset(draw.randint(0, 9))
                    case 1:
                        other.delay(draw.randint(0, 3))
                    case 2:
                        calls.remove(other)
                        other.cancel()
            clock.advance(60.0)
            return made

        for seed in range(50):
            self.assertEqual(story(Site().clock, random.Random(seed)), story(Clock(), random.Random(seed)), seed)

    def test_killAndRestart(self) -> None:
        """`killDispatcher` is a kill -9: the links go, a new dispatcher knows nothing, the nodes come back to it."""
        ears, mouth = self.site.node(Ears), self.site.node(Node)
        old = self.site.dispatcher
        self.site.killDispatcher()
        self.assertIsNone(self.site.dispatcher)
        self.site.killDispatcher()
        self.site.advance(1.0)
        self.assertIsNot(self.site.startDispatcher(), old)
        self.site.advance(2.0)
        self.assertEqual(self.site.wait(mouth.publish("ping", Ping, number=2)), (1, 1, 0))
        self.assertEqual(ears.heard, [2])
        self.site.stop()

    def test_optionsReachTheDispatcher(self) -> None:
        """Options of the Site are those of the dispatcher, also after a restart."""
        site = Site(start=False, site="paris")
        self.assertIsNone(site.dispatcher)
        self.assertEqual(site.startDispatcher().exchange.table.site, "paris")
        site.stop()

    def test_tubs(self) -> None:
        """Nodes have a TubID each, unless the test wants two to share one."""
        self.site.node(Node)
        self.site.node(Node, tub="same")
        self.site.node(Node, tub="same")
        self.assertEqual(sorted(link.peer for link in self.site.wire.links()), ["same", "same", "tub1"])
        self.site.stop()

    def test_recorder(self) -> None:
        """A Recorder keeps batches and losses, and counts what comes after a loss."""
        recorder = Recorder()
        recorder.batchReceived(b"1")
        recorder.linkLost(LinkLost("gone"))
        recorder.batchReceived(b"2")
        self.assertEqual((recorder.batches, len(recorder.losses), recorder.after_loss), ([b"1", b"2"], 1, 1))
