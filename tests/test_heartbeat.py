"""Who has fallen silent."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from nodeset.core.heartbeat import INTERVAL, PATIENCE, SUSPICION, Heartbeat
from nodeset.core.interfaces import INodeHeartBeat


class HeartbeatTests(SynchronousTestCase):
    def test_figures(self) -> None:
        """A beat every 5 s; suspect after two missed; dropped at 20 s."""
        self.assertEqual((INTERVAL, SUSPICION, PATIENCE), (5.0, 10.0, 20.0))
        pulse = Heartbeat()
        verifyObject(INodeHeartBeat, pulse)
        self.assertEqual((pulse.interval, pulse.suspicion, pulse.patience), (5.0, 10.0, 20.0))

    def test_silence(self) -> None:
        """A peer unheard for longer than the suspicion is suspect, for longer than the patience silent; not a moment before."""
        pulse = Heartbeat()
        pulse.heard("a", 0.0)
        pulse.heard("b", 3.0)
        self.assertEqual((pulse.suspects(10.0), pulse.silent(10.0)), ([], []))
        self.assertEqual((pulse.suspects(10.1), pulse.silent(10.1)), (["a"], []))
        self.assertEqual((pulse.suspects(20.0), pulse.silent(20.0)), (["a", "b"], []))
        self.assertEqual(pulse.silent(20.1), ["a"])
        self.assertEqual(pulse.silent(23.1), ["a", "b"])

    def test_recovery(self) -> None:
        """One sign of life makes a suspect a good peer again."""
        pulse = Heartbeat()
        pulse.heard("a", 0.0)
        self.assertEqual(pulse.suspects(12.0), ["a"])
        pulse.heard("a", 12.0)
        self.assertEqual(pulse.suspects(22.0), [])

    def test_forget(self) -> None:
        """Who has gone is asked about no more; forgetting a stranger is fine."""
        pulse = Heartbeat()
        pulse.heard("a", 0.0)
        pulse.forget("a")
        pulse.forget("stranger")
        self.assertEqual((pulse.suspects(99.0), pulse.silent(99.0)), ([], []))

    def test_unheardOf(self) -> None:
        """Nobody is silent who was never heard."""
        self.assertEqual(Heartbeat().silent(1e9), [])

    def test_stoppedOurselves(self) -> None:
        """After we were stopped for a minute nobody is judged by that minute, yet by what was missed before it."""
        pulse = Heartbeat()
        pulse.heard("quiet", 0.0)
        for now in (5.0, 10.0):
            pulse.looked(now)
        pulse.heard("a", 10.0)
        pulse.looked(75.0)  # 60 s late
        self.assertEqual((pulse.suspects(75.0), pulse.silent(75.0)), (["quiet"], []))
        pulse.looked(80.0)
        self.assertEqual((pulse.suspects(80.0), pulse.silent(80.0)), (["quiet"], []))
        pulse.looked(85.0)
        self.assertEqual((pulse.suspects(85.1), pulse.silent(85.1)), (["quiet", "a"], ["quiet"]))

    def test_heardWhileWaking(self) -> None:
        """A peer that was heard just before we noticed our own pause is not forgiven time that it has still before it."""
        pulse = Heartbeat()
        pulse.looked(0.0)
        pulse.heard("a", 100.0)  # what lay in the socket is read before the timer fires
        pulse.looked(100.0)
        for now in (105.0, 110.0, 115.0, 120.0):
            pulse.looked(now)
        self.assertEqual(pulse.suspects(110.1), ["a"])
        self.assertEqual(pulse.silent(120.1), ["a"])

    def test_littleLate(self) -> None:
        """A call that is late by less than an interval, as timers are, forgives nothing."""
        pulse = Heartbeat()
        pulse.heard("a", 0.0)
        now = 0.0
        while now < 20.0:
            pulse.looked(now)
            now += 9.0
        self.assertEqual(pulse.silent(20.1), ["a"])

    def test_wallClock(self) -> None:
        """No clock is looked at: the wall clock may jump by a day."""

        def forbidden() -> float:
            raise AssertionError("the heartbeat read a clock")

        for name in ("time", "monotonic", "perf_counter"):
            self.patch(time, name, forbidden)
        pulse = Heartbeat()
        pulse.heard("a", 0.0)
        pulse.looked(5.0)
        self.assertEqual((pulse.suspects(10.0), pulse.silent(10.0)), ([], []))
