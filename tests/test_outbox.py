"""What a node published that is not confirmed yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import outbox
from nodeset.core.batch import MAX_SEQUENCE, TARGET, Events
from nodeset.core.blocks import Terms
from nodeset.core.outbox import Gone, Outbox
from nodeset.errors import Overloaded

_terms: dict[object, Terms] = {}


def makeTerms(event: str, **changes: Any) -> Terms:
    """The same terms each time, as a node finds them."""
    key = event, *((name, bytes(value) if name == "headers" else value) for name, value in sorted(changes.items()))
    return _terms.setdefault(key, Terms(event, **changes))


def add(
    box: Outbox, token: object, payload: bytes = b"x", event: str = "ev", now: float = 0.0, wait: bool = True, **changes: Any
) -> bool:
    terms = makeTerms(event, **changes)
    return box.add(terms, payload, token, None if terms.timeout is None else now + terms.timeout, wait)


def fill(box: Outbox, count: int, **changes: Any) -> list[object]:
    """Add `count` events; returns their tokens."""
    tokens: list[object] = list(range(count))
    for token in tokens:
        add(box, token, **changes)
    return tokens


def tokensOf(gone: Iterable[Gone]) -> list[object]:
    return [token for _terms, tokens in gone for token in tokens]


def sequencesOf(runs: list[Events]) -> list[int]:
    return [sequence for run in runs for sequence in range(run.first, run.last + 1)]


class FillTests(SynchronousTestCase):
    def test_figures(self) -> None:
        """100,000 events or 64 MiB may be unconfirmed."""
        self.assertEqual((outbox.MAX_UNCONFIRMED, outbox.MAX_UNCONFIRMED_BYTES), (100_000, 64 * 1024 * 1024))

    def test_order(self) -> None:
        """Sequence numbers count from 1 in the order of publish, also for those that had to wait."""
        box = Outbox(max_events=2)
        fill(box, 4)
        self.assertEqual(sequencesOf(box.take(100)), [1, 2])
        self.assertEqual(tokensOf(box.done([(1, 2)])), [0, 1])
        self.assertEqual(sequencesOf(box.take(100)), [3, 4])
        self.assertEqual(tokensOf(box.done([(3, 3)])), [2])
        self.assertEqual(tokensOf(box.done([(4, 4)])), [3])

    def test_events(self) -> None:
        """Past the limit of events the next one waits, as many as may; then the error names the event and what to do."""
        box = Outbox(max_events=3, max_waiting=3)
        fill(box, 6)
        error = self.assertRaises(Overloaded, add, box, 6, event="seventh")
        self.assertIn("'seventh'", str(error))
        self.assertIn("await", str(error))
        self.assertEqual((len(box), sequencesOf(box.take(100))), (6, [1, 2, 3]))

    def test_bytes(self) -> None:
        """The same with the limit of bytes; what waits is bounded in bytes too."""
        box = Outbox(max_bytes=100)
        fill(box, 2, payload=b"x" * 50)
        add(box, "waiting", b"x" * 60)
        self.assertRaises(Overloaded, add, box, 3, b"x" * 41)
        add(box, "also", b"x" * 40)
        self.assertEqual(sequencesOf(box.take(1000)), [1, 2])
        box.done([(1, 1)])
        self.assertFalse(box.unsent)
        box.done([(2, 2)])
        self.assertEqual((sequencesOf(box.take(1000)), len(box)), ([3, 4], 2))

    def test_distance(self) -> None:
        """Never further past the lowest unconfirmed than the limit, however few are unconfirmed in between."""
        box = Outbox(max_events=10)
        fill(box, 10)
        box.take(1000)
        box.done([(2, 10)])
        add(box, "late")
        self.assertEqual((box.unsent, box.low, len(box)), (False, 1, 2))
        self.assertRaises(Overloaded, add, box, "later", wait=False)
        box.done([(1, 1)])
        self.assertEqual((sequencesOf(box.take(100)), box.low), ([11], 11))

    def test_large(self) -> None:
        """One event fits always, when nothing else is there."""
        box = Outbox(max_bytes=10)
        add(box, 0, b"x" * 100)
        self.assertEqual(len(box.take(5)), 1)

    def test_noWait(self) -> None:
        """`wait=False` never waits, neither for room nor behind those that do."""
        box = Outbox(max_events=1)
        add(box, 0, wait=False)
        error = self.assertRaises(Overloaded, add, box, 1, wait=False)
        self.assertIn("1 events (1 bytes)", str(error))
        box = Outbox(max_bytes=10)
        fill(box, 2, payload=b"x" * 6)
        self.assertRaises(Overloaded, add, box, 2, b"", wait=False)
        self.assertEqual(len(box), 2)

    def test_noOvertaking(self) -> None:
        """A small event does not pass a large one that waits."""
        box = Outbox(max_bytes=10)
        for token, size in (("first", 6), ("large", 6), ("small", 1)):
            add(box, token, b"x" * size)
        self.assertFalse(box.addMany(makeTerms("ev"), [b""], "none"))
        self.assertEqual(sequencesOf(box.take(100)), [1])
        box.done([(1, 1)])
        box.take(100)
        self.assertEqual([tokensOf(box.done([(number, number)])) for number in (2, 3)], [["large"], ["small"]])

    def test_refusedLeavesNothing(self) -> None:
        """What was refused is not there: neither counted nor ever expired."""
        box = Outbox(max_events=1)
        add(box, 0)
        self.assertRaises(Overloaded, add, box, 1, timeout=1.0, wait=False)
        self.assertIsNone(box.nextDeadline())
        self.assertEqual((len(box), box.expire(99.0)), (1, ([], [])))

    def test_low(self) -> None:
        """The low mark is the lowest unconfirmed, the next number when there is none."""
        box = Outbox()
        self.assertEqual(box.low, 1)
        fill(box, 3)
        box.take(100)
        self.assertEqual(box.low, 1)
        box.done([(2, 2)])
        self.assertEqual(box.low, 1)
        box.done([(1, 1)])
        self.assertEqual(box.low, 3)
        box.done([(3, 3)])
        self.assertEqual(box.low, 4)

    def test_news(self) -> None:
        """`add` says when there may be more to send or to expire than before, so that most need no look."""
        box = Outbox(max_events=5)
        self.assertTrue(add(box, 0, timeout=1.0))
        self.assertFalse(add(box, 1, timeout=1.0, now=0.01))
        self.assertTrue(add(box, 2, timeout=2.0, now=0.01))
        box.take(1000)
        self.assertTrue(add(box, 3, timeout=2.0, now=0.01))
        box.expire(9.0)
        self.assertTrue(add(box, 4, timeout=2.0, now=9.0))

    def test_many(self) -> None:
        """Many that share a token get their numbers in order, all of them or none."""
        box = Outbox(max_events=5, max_bytes=10)
        self.assertTrue(box.addMany(makeTerms("ev"), [b"x"] * 3, "many", 7.0))
        for payloads in ([b"x"] * 3, [b"x" * 4, b"x" * 4]):
            self.assertFalse(box.addMany(makeTerms("ev"), payloads, "more"))
        self.assertTrue(box.addMany(makeTerms("ev"), [], "none"))
        add(box, "one")
        self.assertEqual(len(box), 4)
        self.assertEqual(sequencesOf(box.take(1000)), [1, 2, 3, 4])
        self.assertEqual(tokensOf(box.done([(2, 4)])), ["many", "many", "one"])

    def test_manyLarge(self) -> None:
        """Many large ones, or tens of thousands of empty ones, leave in runs that a receiver accepts."""
        for payloads in ([b"x" * TARGET * 10] * 3, [b""] * 40_000, [b"x" * 1000] * 1000):
            box = Outbox()
            self.assertTrue(box.addMany(makeTerms("ev"), payloads, "many"))
            taken = []
            while runs := box.take(TARGET):
                self.assertTrue(sum(run.weight for run in runs) <= 3 * TARGET or len(sequencesOf(runs)) == 1)
                taken += runs
            self.assertEqual(sequencesOf(taken), list(range(1, len(payloads) + 1)))
            self.assertEqual(len(tokensOf(box.done([(1, len(payloads))]))), len(payloads))


class DoneTests(SynchronousTestCase):
    def test_outOfOrder(self) -> None:
        """Answers in any order hand back their tokens, in order, each once."""
        box = Outbox()
        fill(box, 6)
        box.take(100)
        self.assertEqual(tokensOf(box.done([(5, 6), (2, 2)])), [1, 4, 5])
        self.assertEqual(tokensOf(box.done([(1, 6), (1, 3)])), [0, 2, 3])
        self.assertEqual(box.done([(1, 6)]), [])
        self.assertEqual(len(box), 0)

    def test_terms(self) -> None:
        """The tokens come with the terms that they were published under."""
        box = Outbox()
        for token, event in enumerate("aabb"):
            add(box, token, event=event)
        box.take(1000)
        self.assertEqual(box.done([(2, 3)]), [(makeTerms("a"), [1]), (makeTerms("b"), [2])])

    def test_nonsense(self) -> None:
        """Ranges of numbers that are not here, backwards or without end, are passed over at no cost."""
        box = Outbox()
        tokens = fill(box, 1000)
        while box.unsent:
            box.take(10_000)
        self.assertEqual(box.done([(0, 0), (1001, MAX_SEQUENCE), (500, 400)]), [])
        far = [(number << 40, (number << 40) + (1 << 39)) for number in range(1, 16_000)]
        self.assertEqual(box.done(far), [])
        self.assertEqual(tokensOf(box.done([(0, MAX_SEQUENCE)] * 16_000)), tokens)
        self.assertEqual(box.done([(0, MAX_SEQUENCE)] * 16_000), [])

    def test_neverSent(self) -> None:
        """What was never sent cannot be done, whatever the peer says: it is sent yet."""
        box = Outbox()
        fill(box, 3, payload=b"x" * TARGET)
        box.take(100)
        self.assertEqual(tokensOf(box.done([(1, 3)])), [0])
        self.assertEqual(sequencesOf([*box.take(100), *box.take(100)]), [2, 3])

    def test_beforeResent(self) -> None:
        """What was sent on an earlier link can be done before it is sent again, and is not sent then."""
        box = Outbox()
        for token in range(5):
            add(box, token, bytes([token]))
        box.take(1000)
        box.rewind()
        self.assertEqual(tokensOf(box.done([(1, 2), (4, 4)])), [0, 1, 3])
        runs = box.take(1000)
        self.assertEqual([(run.first, run.payloads, run.low) for run in runs], [(3, b"\2", 3), (5, b"\4", 3)])
        self.assertEqual(tokensOf(box.done([(1, 5)])), [2, 4])

    def test_allBeforeResent(self) -> None:
        """When all of it is answered before it is sent again there is nothing to send."""
        box = Outbox()
        fill(box, 3, payload=b"x" * TARGET)
        while box.take(1000):
            pass
        box.rewind()
        box.done([(1, 1)])
        self.assertTrue(box.unsent)
        box.done([(2, 3)])
        self.assertEqual((box.unsent, box.take(1000)), (False, []))

    def test_room(self) -> None:
        """What becomes free lets in what waits, as many as fit."""
        box = Outbox(max_events=4)
        fill(box, 8)
        box.take(100)
        box.done([(1, 2)])
        self.assertEqual((sequencesOf(box.take(100)), len(box)), ([5, 6], 6))


class TimeTests(SynchronousTestCase):
    def test_deadlines(self) -> None:
        """Events expire at their own time, whatever the order of their time-outs; the next deadline is the earliest."""
        box = Outbox()
        for token, (timeout, now) in enumerate([(9.0, 0.0), (1.0, 0.5), (3.0, 1.0), (1.0, 2.0), (None, 2.0)]):
            add(box, token, timeout=timeout, now=now)
        story = []
        while (deadline := box.nextDeadline()) is not None:
            self.assertEqual(box.expire(deadline - 0.01), ([], []))
            story += [(deadline, token) for token in tokensOf(box.expire(deadline)[0])]
        self.assertEqual(story, [(1.5, 1), (3.0, 3), (4.0, 2), (9.0, 0)])
        self.assertEqual(len(box), 1)

    def test_grain(self) -> None:
        """Events published within 50 ms may expire together, at the time of the last of them; none ever before its own."""
        box = Outbox()
        for token, now in enumerate((0.0, 0.03, 0.05, 0.06)):
            add(box, token, timeout=1.0, now=now)
        self.assertEqual([box.expire(1.04), box.nextDeadline()], [([], []), 1.05])
        self.assertEqual(tokensOf(box.expire(1.05)[0]), [0, 1, 2])
        self.assertEqual(box.nextDeadline(), 1.06)
        self.assertEqual(tokensOf(box.expire(1.06)[0]), [3])

    def test_open(self) -> None:
        """What expires while more like it could yet join is gone; what is published next is a new beginning."""
        box = Outbox()
        add(box, 0, timeout=1.0)
        self.assertEqual(tokensOf(box.expire(1.0)[0]), [0])
        add(box, 1, timeout=1.0, now=0.01)
        self.assertEqual((sequencesOf(box.take(1000)), box.nextDeadline()), ([2], 1.01))

    def test_waiting(self) -> None:
        """What waits for room expires as well, its room to wait is free again; it never gets a number."""
        box = Outbox(max_events=2, max_bytes=10)
        fill(box, 2, payload=b"x")
        for token in ("first", "second"):
            add(box, token, b"x" * 5, timeout=1.0)
        self.assertRaises(Overloaded, add, box, "third")
        self.assertEqual(box.nextDeadline(), 1.0)
        gone, waited = box.expire(1.0)
        self.assertEqual((gone, tokensOf(waited), box.nextDeadline()), ([], ["first", "second"], None))
        add(box, "fourth", b"x" * 10)
        self.assertEqual(len(box), 3)
        box.take(100)
        box.done([(1, 2)])
        self.assertEqual(sequencesOf(box.take(100)), [3])

    def test_waited(self) -> None:
        """What waited and was let in expires at its own time all the same."""
        box = Outbox(max_events=1)
        add(box, 0)
        add(box, 1, timeout=1.0)
        add(box, 2, timeout=3.0)
        box.take(100)
        box.done([(1, 1)])
        self.assertEqual(box.nextDeadline(), 1.0)
        self.assertEqual([tokensOf(gone) for gone in box.expire(1.0)], [[1], []])
        self.assertEqual((box.nextDeadline(), sequencesOf(box.take(100))), (3.0, [3]))

    def test_sent(self) -> None:
        """A sent event that expires is never sent again; a late answer for it is passed over; what waits moves up."""
        box = Outbox(max_events=1)
        add(box, 0, timeout=1.0)
        add(box, 1)
        box.take(100)
        self.assertEqual(tokensOf(box.expire(1.0)[0]), [0])
        self.assertEqual(box.low, 2)
        self.assertEqual(box.done([(1, 1)]), [])
        box.rewind()
        self.assertEqual(sequencesOf(box.take(100)), [2])

    def test_done(self) -> None:
        """What is done does not expire."""
        box = Outbox()
        fill(box, 2, timeout=1.0)
        box.take(100)
        box.done([(1, 2)])
        self.assertEqual((box.nextDeadline(), box.expire(99.0)), (None, ([], [])))
