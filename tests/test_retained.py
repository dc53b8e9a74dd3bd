"""The last values that a node keeps."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.address import matches, parse
from nodeset.core.batch import Done, Frame, Keep, Result, Want
from nodeset.core.outbox import Outbox
from nodeset.core.publisher import Publisher
from nodeset.core.retained import keeping
from nodeset.core.retained.keeping import Keeping
from nodeset.core.retained.store import Retained
from nodeset.errors import Overloaded, ProtocolError

_events = st.sampled_from(["a", "a.b", "n@/a", "h/a.b", "a.b.c"])
_steps = st.lists(st.tuples(_events, st.integers(0, 12), st.sampled_from([None, 1.0, 5.0])), max_size=40)


class RetainedTests(SynchronousTestCase):
    """`Retained` against a dictionary."""

    @given(_steps, st.sampled_from(["a", "a.*", ">", "a.>", "b"]))
    def test_naive(self, steps: list[tuple[str, int, float | None]], pattern: str) -> None:
        """Whatever is kept and forgotten: what is there, its bytes, what a pattern matches are right; numbers only grow."""
        box = Retained(4, 30)
        naive: dict[str, tuple[bytes, float | None]] = {}
        last = 0
        for event, size, expires in steps:
            if size == 0:
                box.put(event, None)
                naive.pop(event, None)
                continue
            after = {**naive, event: (b"x" * size, expires)}
            if len(after) > 4 or sum(len(payload) for payload, _expires in after.values()) > 30:
                self.assertRaises(Overloaded, box.keep, event, b"x" * size, False, expires)
                continue
            naive = after
            kept = box.keep(event, b"x" * size, False, expires)
            self.assertGreater(kept.number, last)
            last = kept.number
        found = {event: box.get(event) for event in box.events()}
        self.assertEqual({event: (one.payload, one.expires) for event, one in found.items() if one is not None}, naive)
        wanted = {event for event in naive if matches(pattern, parse(event).eventName)}
        self.assertEqual(set(box.matching(pattern)), wanted)
        self.assertEqual(set(box.expire(2.0)), {event for event, (_payload, expires) in naive.items() if expires == 1.0})
        self.assertEqual(box._bytes, sum(len(payload) for payload, expires in naive.values() if expires != 1.0))
        for event in box.events():
            box.put(event, None)
        self.assertEqual((box._bytes, box._mortal, box._by_name, len(box)), (0, 0, {}, 0))


class KeepingTests(SynchronousTestCase):
    """`Keeping`: a node's end."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[Frame] = []
        self.counters: Counter[str] = Counter()
        self.make(Outbox())

    def make(self, outbox: Outbox) -> None:
        """Begin anew, with this outbox."""
        self.publisher = Publisher(outbox, self.clock, lambda: None, self.counters)
        self.keeping = Keeping(self.publisher, self.clock, self.sent.append, self.counters)
        self.publisher.linkOpened()

    def taken(self) -> list[Any]:
        """What is sent to newcomers: event, to whom; each is confirmed at once."""
        found = []
        while runs := self.publisher.take():
            for run in runs:
                found.append((run.event, run.to))
                self.publisher.done(Done([(run.first, run.last)], Result.OK, 1, 1, 0))
            self.publisher.took(1)
        return found

    def test_inTurn(self) -> None:
        """What is wanted is handed in the order in which it was wanted, and said back when it is all in the outbox."""
        for event in ("a", "b"):
            self.keeping.keep(event, b"1", False, None)
        wants = [Want("a", "one"), Want("*", "two"), Want("zzz", "three")]
        for want in wants:
            self.keeping.wanted(want)
        self.assertEqual(self.taken(), [("a", "one"), ("a", "two"), ("b", "two")])
        self.assertEqual(self.sent, [Keep("a"), Keep("b"), *wants])
        self.assertEqual(self.counters["handed"], 3)

    def test_large(self) -> None:
        """Of large values few are under way at a time."""
        for number in range(8):
            self.keeping.keep(f"e{number}", b"x" * (keeping._AT_ONCE_BYTES // 2), False, None)
        self.keeping.wanted(Want("*", "one"))
        self.assertEqual(len(self.publisher._outbox), 2)
        self.assertEqual(len(self.taken()), 8)

    def test_noRoom(self) -> None:
        """What finds no room even to wait is tried again a little later; nothing is skipped."""
        self.make(Outbox(max_events=1, max_waiting=1))
        for number in range(4):
            self.keeping.keep(f"e{number}", b"1", False, None)
        self.keeping.wanted(Want("*", "one"))
        self.assertNotIn(Want("*", "one"), self.sent)
        found = self.taken()
        self.keeping.tick()
        found += self.taken()
        self.keeping.tick()
        self.assertEqual([event for event, _to in found + self.taken()], ["e0", "e1", "e2", "e3"])
        self.keeping.tick()
        self.assertIn(Want("*", "one"), self.sent)

    def test_givenUp(self) -> None:
        """A value that nobody confirms is given up at its time-out, counted, and makes room for the next one."""
        for number in range(keeping._AT_ONCE + 1):
            self.keeping.keep(f"e{number}", b"1", False, None)
        self.keeping.wanted(Want("*", "one"))
        self.publisher.take()
        self.clock.advance(61.0)
        self.assertEqual(self.counters["unhanded"], keeping._AT_ONCE)
        self.assertEqual(len(self.publisher._outbox), 1)

    def test_stopped(self) -> None:
        """A node that is about to leave hands nothing more, not even what it was in the middle of."""
        for number in range(keeping._AT_ONCE + 1):
            self.keeping.keep(f"e{number}", b"1", False, None)
        self.keeping.wanted(Want("*", "one"))
        self.keeping.stop()
        self.keeping.wanted(Want("*", "two"))
        self.assertEqual(len(self.taken()), keeping._AT_ONCE)

    def test_badInput(self) -> None:
        """What is no pattern breaks the protocol; askings are bounded, and those that are too many are not said back."""
        for bad in ("", "a..b", "x" * 300):
            self.assertRaises(ProtocolError, self.keeping.wanted, Want(bad, "one"))
        self.patch(keeping, "MAX_WANTS", 2)
        for number in range(keeping._AT_ONCE + 1):
            self.keeping.keep(f"e{number}", b"1", False, None)
        for name in ("one", "two", "three"):
            self.keeping.wanted(Want("*", name))
        self.assertEqual(self.counters["unhanded"], 1)
        self.assertEqual(len({to for _event, to in self.taken()}), 2)
        self.assertNotIn(Want("*", "three"), self.sent)

    def test_changedMeanwhile(self) -> None:
        """What was kept or forgotten while a hello was on its way is told after it."""
        self.keeping.keep("old", b"1", False, None)
        self.keeping.keep("gone", b"1", False, None)
        self.assertEqual(self.keeping.told(), ["old", "gone"])
        self.keeping.keep("new", b"1", False, None)
        self.keeping.keep("old", b"2", False, None)
        self.keeping.forget("gone")
        self.assertEqual(self.keeping.untold(), [Keep("new"), Keep("gone", False)])
