"""Processes that stand still."""

from __future__ import annotations

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from nodeset.transport.standstill import ProcessClock


class StandstillTests(SynchronousTestCase):
    """`ProcessClock`, which is all of a process that there is."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.process = ProcessClock(self.clock)
        self.done: list[object] = []

    def later(self, delay: float, what: object) -> object:
        return self.process.callLater(delay, self.done.append, what)

    def test_clock(self) -> None:
        """It is a clock like any other as long as nothing is wrong."""
        verifyObject(IReactorTime, self.process)
        timer = self.process.callLater(2.0, self.done.append, "two")
        gone = self.process.callLater(1.0, self.done.append, "never")
        gone.cancel()
        self.assertRaises(AlreadyCancelled, gone.cancel)
        self.assertEqual(self.process.getDelayedCalls(), [timer])
        self.assertEqual((timer.active(), gone.active(), timer.getTime()), (True, False, 2.0))
        self.clock.advance(2.0)
        self.assertEqual((self.done, timer.active()), (["two"], False))
        self.assertRaises(AlreadyCalled, timer.cancel)
        self.assertRaises(AlreadyCalled, timer.reset, 1.0)
        self.assertRaises(AlreadyCalled, timer.delay, 1.0)

    def test_moved(self) -> None:
        """A timer can be delayed or begun anew, also one that is due in a process that stands still."""
        one, two = self.process.callLater(1.0, self.done.append, 1), self.process.callLater(1.0, self.done.append, 2)
        one.delay(1.0)
        two.reset(3.0)
        self.process.freeze()
        self.clock.advance(2.5)
        one.reset(0.2)
        self.process.thaw()
        self.clock.advance(0.1)
        self.assertEqual(self.done, [])
        self.clock.advance(0.1)
        self.assertEqual(self.done, [1])
        self.clock.advance(0.3)
        self.assertEqual(self.done, [1, 2])

    def test_late(self) -> None:
        """What is due while it stands still happens when it goes on, in the order in which it was due; none is lost."""
        self.later(2.0, 2), self.later(1.0, 1), self.later(9.0, 9)
        cancelled = self.process.callLater(1.5, self.done.append, "never")
        self.process.freeze()
        self.clock.advance(1.0)
        self.process.do(self.done.append, "read")
        self.clock.advance(4.0)
        cancelled.cancel()
        self.assertEqual((self.done, self.process.still), ([], True))
        self.process.thaw()
        self.assertEqual(self.done, [])
        self.clock.advance(0)
        self.assertEqual(self.done, [1, "read", 2])
        self.clock.advance(4.0)
        self.assertEqual(self.done, [1, "read", 2, 9])

    def test_stopsAgain(self) -> None:
        """One that stands still again in the middle of what was due leaves the rest for later; new work waits behind it."""
        self.process.freeze()
        self.process.do(self.process.freeze)
        self.process.do(self.process.do, self.done.append, "behind")
        self.process.do(self.done.append, "first")
        self.process.thaw()
        self.clock.advance(0)
        self.assertEqual(self.done, [])
        self.process.thaw()
        self.clock.advance(0)
        self.assertEqual(self.done, ["first", "behind"])

    def test_raising(self) -> None:
        """What raises keeps nothing else from happening."""
        self.process.freeze()
        self.process.do(int, "no number")
        self.process.do(self.done.append, "after")
        self.process.thaw()
        self.assertRaises(ValueError, self.clock.advance, 0)
        self.clock.advance(0)
        self.assertEqual(self.done, ["after"])

    def test_busy(self) -> None:
        """A slow process does nothing else while it is busy, whatever else is wrong with it."""
        self.process.pace = 2.0
        self.process.do(self.process.work)
        self.process.do(self.done.append, "next")
        self.later(0.5, "timer")
        self.process.freeze()
        self.clock.advance(3.0)
        self.assertEqual(self.done, [])
        self.process.thaw()
        self.clock.advance(0)
        self.assertEqual(self.done, ["next", "timer"])

    def test_dead(self) -> None:
        """In a dead process nothing happens; who cancels what will not happen may; nothing is left on the clock."""
        self.process.pace = 1.0
        self.process.work()
        timer = self.process.callLater(1.0, self.done.append, "never")
        self.process.die()
        late = self.process.callLater(1.0, self.done.append, "never")
        self.process.do(self.done.append, "never")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        timer.cancel()
        late.cancel()
        self.process.thaw()
        self.clock.advance(9.0)
        self.assertEqual(self.done, [])
