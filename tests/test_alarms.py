"""What is to be done at what time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.alarms import Alarms


class AlarmsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.alarms = Alarms()
        self.rung: list[tuple[str, float]] = []

    def _at(self, when: float, name: str) -> None:
        self.alarms.at(when, lambda now: self.rung.append((name, now)))

    def test_order(self) -> None:
        """What is due is done in the order of its times, what is due at one time in the order asked for, each once."""
        for when, name in ((3.0, "c"), (1.0, "a"), (2.0, "b1"), (2.0, "b2")):
            self._at(when, name)
        self.alarms.ring(0.5)
        self.assertEqual((self.rung, self.alarms.next()), ([], 1.0))
        self.alarms.ring(2.0)
        self.assertEqual((self.rung, self.alarms.next()), ([("a", 2.0), ("b1", 2.0), ("b2", 2.0)], 3.0))
        self.alarms.ring(9.0)
        self.alarms.ring(9.0)
        self.assertEqual((self.rung[3:], self.alarms.next()), ([("c", 9.0)], None))

    def test_rounding(self) -> None:
        """A clock that is a hair early, as sums of floats are, rings all the same: nobody is called again for nothing."""
        self._at(0.1 + 0.2, "a")
        self.alarms.ring(0.3)
        self.assertEqual(self.rung, [("a", 0.3)])

    def test_meanwhile(self) -> None:
        """What is asked for while it rings is done at once if it is due, else later."""

        def ask(now: float) -> None:
            self._at(now, "due")
            self._at(now + 1, "later")

        self.alarms.at(1.0, ask)
        self.alarms.ring(1.0)
        self.assertEqual((self.rung, self.alarms.next()), ([("due", 1.0)], 2.0))

    def test_nothing(self) -> None:
        """With nothing to do there is no time to wait for."""
        self.assertIsNone(self.alarms.next())
        self.alarms.ring(1e9)
