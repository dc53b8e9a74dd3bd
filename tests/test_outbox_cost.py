"""What a full outbox costs: memory for what is in it, time for what happens."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import TARGET
from nodeset.core.outbox import MAX_UNCONFIRMED, Outbox
from tests.test_outbox import add, fill, makeTerms, sequencesOf, tokensOf


class Token:
    """Whose end can be watched."""


def takeAll(box: Outbox) -> None:
    """Send all that there is."""
    while box.take(TARGET):
        pass


class MemoryTests(SynchronousTestCase):
    def _payloads(self, count: int) -> list[bytes]:
        return [f"payload {number}".encode() for number in range(count)]

    def _held(self, payloads: list[bytes]) -> int:
        """How many of these somebody but us keeps."""
        return sum(sys.getrefcount(payloads[index]) > 2 for index in range(len(payloads)))

    def test_done(self) -> None:
        """A payload is let go when it is done, not at its time-out, even when an older one still waits for its own."""
        box, payloads = Outbox(), self._payloads(10)
        refs = []
        for payload in payloads:
            token = Token()
            refs.append(weakref.ref(token))
            add(box, token, payload, timeout=60.0)
        del token, payload
        block = weakref.ref(box._blocks[0])
        box.take(1000)
        self.assertEqual(self._held(payloads), 10)
        box.done([(2, 10)])
        self.assertEqual((self._held(payloads), [ref() is None for ref in refs]), (1, [False] + [True] * 9))
        box.done([(1, 1)])
        self.assertEqual((self._held(payloads), refs[0](), box.nextDeadline()), (0, None, None))
        takeAll(box)
        for _ in range(200):
            fill(box, 1, timeout=60.0)
            box.take(1000)
            box.done([(0, 1 << 40)])
        self.assertIsNone(block())
        self.assertLess(len(box._blocks) + len(box._deadlines), 300)

    def test_behindOne(self) -> None:
        """The same when the one in front is a block of its own that never ends: what was in the others is gone."""
        box, payloads = Outbox(), self._payloads(50)
        add(box, "for ever")
        box.take(1000)
        for payload in payloads:
            add(box, payload, payload, timeout=60.0)
            box.take(1000)
        del payload
        box.done([(2, 99)])
        self.assertEqual((self._held(payloads), box.low, len(box)), (0, 1, 1))
        self.assertEqual(sum(len(block.tokens) for block in box._blocks), 1)

    def test_expired(self) -> None:
        """The same for what expired unsent or waiting, behind one that never expires."""
        box, payloads = Outbox(max_events=5), self._payloads(8)
        add(box, "for ever")
        for payload in payloads:
            add(box, Token(), payload, timeout=1.0)
        del payload
        gone, waited = box.expire(1.0)
        self.assertEqual([len(tokensOf(one)) for one in (gone, waited)], [4, 4])
        refs = [weakref.ref(token) for token in tokensOf(gone) + tokensOf(waited)]
        del gone, waited
        self.assertEqual([ref() for ref in refs], [None] * 8)
        self.assertEqual((self._held(payloads), len(box), len(box._deadlines)), (0, 1, 0))

    def test_waiting(self) -> None:
        """What expires while it waits costs nothing from then on, were one in front of it that waits for ever."""
        box = Outbox(max_events=2, max_waiting=5)
        fill(box, 3)
        for now in range(1000):
            add(box, now, timeout=1.0, now=float(now))
            box.expire(now + 1.0)
        self.assertEqual((len(box), len(box._waiting), len(box._deadlines)), (3, 1, 0))

    def test_letIn(self) -> None:
        """What waited and was let in is not remembered for its time-out beside its block."""
        box = Outbox(max_events=2, max_waiting=5)
        for number in range(2000):
            add(box, number, timeout=60.0)
            if number > 3:
                box.take(1000)
                box.done([(0, number - 3)])
        self.assertLess(len(box._deadlines), 200)

    def test_longRun(self) -> None:
        """However many were published, what is remembered is what is unconfirmed."""
        box = Outbox()
        add(box, "for ever")
        box.take(1000)
        box.done([(1, 1)])
        for number in range(2, 20_002):
            add(box, number, timeout=60.0, event="ab"[number % 2])
            if number % 100 == 0:
                takeAll(box)
                box.done([(0, number - 10)])
        self.assertLess(len(box._blocks), 1000)
        self.assertEqual(len(box._blocks), len(box._firsts))
        self.assertLess(len(box._deadlines), 1000)


def steps(call: Callable[[], object]) -> int:
    """How many lines of Python are run by this call."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


class TimeTests(SynchronousTestCase):
    """Twice as many events are twice as much work, never four times."""

    def _check(self, story: Callable[[int], Callable[[], object]]) -> None:
        few, many = steps(story(250)), steps(story(1000))
        self.assertLess(many, 6 * few)

    def _sent(self, count: int, apart: bool, **changes: Any) -> Outbox:
        """An outbox with so many sent, each apart or in blocks."""
        box = Outbox()
        for number in range(count):
            add(box, number, **changes)
            if apart:
                box.take(TARGET)
        takeAll(box)
        return box

    def test_oneByOne(self) -> None:
        """Answered one by one, in order, backwards, every second one first."""
        for apart in (True, False):
            for order in (lambda n: range(1, n + 1), lambda n: range(n, 0, -1), lambda n: [*range(2, n, 2), *range(1, n, 2)]):

                def story(count: int, apart: bool = apart, order: Any = order) -> Callable[[], object]:
                    box = self._sent(count, apart, timeout=60.0)
                    return lambda: [box.done([(number, number)]) for number in order(count)]

                self._check(story)

    def test_everySecond(self) -> None:
        """Every second one answered at once, the rest sent again on many a new link, answered one by one before it is."""

        def story(count: int) -> Callable[[], object]:
            box = self._sent(count, False)
            box.done([(number, number) for number in range(2, count, 2)])

            def answer() -> None:
                box.rewind()
                for number in range(1, count, 2):
                    box.done([(number, number)])
                    self.assertIsInstance(box.unsent, bool)

            return answer

        self._check(story)

    def test_timeouts(self) -> None:
        """Each with a time-out of its own, answered or expired one by one."""

        def make(count: int) -> Outbox:
            box = Outbox()
            for number in range(count):
                add(box, number, timeout=1.0 + number)
            takeAll(box)
            return box

        def answered(count: int) -> Callable[[], object]:
            box = make(count)
            return lambda: [(box.done([(number, number)]), box.nextDeadline()) for number in range(1, count)]

        def expired(count: int) -> Callable[[], object]:
            box = make(count)
            return lambda: [(box.expire(1.0 + number), box.nextDeadline()) for number in range(count)]

        self._check(answered)
        self._check(expired)

    def test_waiting(self) -> None:
        """Waiting behind what never ends, expired one by one."""

        def story(count: int) -> Callable[[], object]:
            box = Outbox(max_events=1)
            add(box, "for ever")
            for number in range(count):
                add(box, number, timeout=60.0, now=float(number))
            return lambda: [box.expire(60.0 + number) for number in range(count)]

        self._check(story)

    def test_full(self) -> None:
        """With 100,000 unconfirmed, each apart, or as many more waiting, all is sent, resent and answered."""
        box = Outbox()
        for number in range(MAX_UNCONFIRMED):
            add(box, number, event="ab"[number % 2], timeout=60.0)
        self.assertFalse(box.addMany(makeTerms("a"), [b"x"], "none"))
        for number in range(MAX_UNCONFIRMED):
            add(box, number, timeout=60.0)
        takeAll(box)
        box.done([(number, number) for number in range(2, MAX_UNCONFIRMED, 2)])
        self.assertEqual((box.low, len(box)), (1, MAX_UNCONFIRMED * 3 // 2 + 1))
        box.rewind()
        takeAll(box)
        self.assertEqual(len(tokensOf(box.done([(0, 1 << 50)]))), MAX_UNCONFIRMED // 2 + 1)
        taken: list[int] = []
        while runs := box.take(TARGET):
            taken += sequencesOf(runs)
        self.assertEqual(taken, list(range(MAX_UNCONFIRMED + 1, 2 * MAX_UNCONFIRMED + 1)))
        gone, waited = box.expire(60.0)
        self.assertEqual((len(tokensOf(gone)), waited, len(box)), (MAX_UNCONFIRMED, [], 0))
