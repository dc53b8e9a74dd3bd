"""Whoever says that a center is here, be it one or not, does no harm to those who watch programs."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.processes.events import CenterHere
from nodeset.processes.watching.announcements import Announcements


class AnnouncementTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.centers = Announcements(self.clock, self.told.append)

    def say(self, name: str) -> None:
        self.centers.hear(CenterHere(name=name, session="s"))

    def test_few(self) -> None:
        """Each of a few centers is told of at once, again when it comes again."""
        for name in ("one", "two", "one"):
            self.say(name)
        self.assertEqual(self.told, ["one", "two", "one"])

    def test_flood(self) -> None:
        """Of a thousand announcements in a second a few are answered, then one each second, the last of them for all."""
        for number in range(1000):
            self.say(f"c{number}")
            self.clock.advance(0.001)
        self.assertLess(len(self.told), 8)
        self.clock.advance(1.0)
        self.assertEqual(self.told[-1], "c999")
        self.clock.pump([1.0] * 5)
        self.assertLess(len(self.told), 8)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_noName(self) -> None:
        """What cannot be the name of a center counts for nothing: it would stand in each event of each program."""
        for name in ("x" * 1_000_000, "", "a.b", "\x1b[2J"):
            self.say(name)
        self.assertEqual((self.told, self.centers.refused), ([], 4))

    def test_forget(self) -> None:
        """Nothing is told any more of those that were heard of before a link was lost."""
        for _ in range(10):
            self.say("hub")
        before = len(self.told)
        self.centers.forget()
        self.clock.advance(10.0)
        self.assertEqual(len(self.told), before)
