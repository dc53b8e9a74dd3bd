"""What is to be given up at its time."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.deadlines import Deadlines


@attrs.define(eq=False)
class Thing:
    """Something that ends."""

    deadline: float | None
    left: int = 1


class DeadlineTests(SynchronousTestCase):
    def test_order(self) -> None:
        """They are due at their times, the earliest first; of the same time, the one that came first."""
        deadlines: Deadlines[Thing] = Deadlines()
        things = [Thing(when) for when in (3.0, 1.0, None, 2.0, 1.0)]
        for thing in things:
            deadlines.add(thing)
        self.assertEqual((deadlines.next(), list(deadlines.due(0.9))), (1.0, []))
        self.assertEqual(list(deadlines.due(2.0)), [things[1], things[4], things[3]])
        self.assertEqual((deadlines.next(), list(deadlines.due(9.0)), deadlines.next()), (3.0, [things[0]], None))

    def test_later(self) -> None:
        """One whose deadline has become later is due then."""
        deadlines: Deadlines[Thing] = Deadlines()
        thing, other = Thing(1.0), Thing(2.0)
        deadlines.add(thing)
        deadlines.add(other)
        thing.deadline = 3.0
        self.assertEqual((list(deadlines.due(2.5)), deadlines.next()), ([other], 3.0))

    def test_over(self) -> None:
        """One that is over is never due, nor what is next."""
        deadlines: Deadlines[Thing] = Deadlines()
        things = [Thing(1.0), Thing(2.0)]
        for thing in things:
            deadlines.add(thing)
        things[0].left = 0
        self.assertEqual(deadlines.next(), 2.0)
        things[1].left = 0
        self.assertEqual((deadlines.next(), list(deadlines.due(9.0)), len(deadlines)), (None, [], 0))

    def test_tidy(self) -> None:
        """Those that are over do not stay until their time when they are the most."""
        deadlines: Deadlines[Thing] = Deadlines()
        things = [Thing(float(number)) for number in range(1000)]
        for thing in things:
            deadlines.add(thing)
            if thing.deadline:
                thing.left = 0
        deadlines.tidy(500)
        self.assertEqual(len(deadlines), 1000)
        deadlines.tidy(1)
        self.assertEqual((len(deadlines), deadlines.next()), (1, 0.0))

    @given(st.lists(st.tuples(st.sampled_from(["add", "over", "later", "due", "tidy"]), st.integers(0, 20))))
    def test_naive(self, steps: list[tuple[str, int]]) -> None:
        """Whatever comes, ends, is put off: what is due is what a search from end to end finds."""
        deadlines: Deadlines[Thing] = Deadlines()
        alive: list[Thing] = []
        now = 0.0
        for what, number in steps:
            if what == "add":
                alive.append(Thing(now + number))
                deadlines.add(alive[-1])
            elif what == "due":
                now += number
                due = list(deadlines.due(now))
                expected = [thing for thing in alive if thing.deadline is not None and thing.deadline <= now]
                self.assertEqual([len(due), set(due)], [len(expected), set(expected)])
                alive = [thing for thing in alive if thing not in due]
            elif what == "tidy":
                deadlines.tidy(len(alive))
            elif alive and what == "over":
                alive.pop(number % len(alive)).left = 0
            elif alive:
                thing = alive[number % len(alive)]
                thing.deadline = (thing.deadline or 0.0) + 1.0
            self.assertEqual(deadlines.next(), min((thing.deadline or 0.0 for thing in alive), default=None))
