"""What a node received: the queue before its handlers, the memory of what came, the answers that are due."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import MAX_RANGES, RAW_HEADERS, Confirm, Events, Level, Mode, Outcome, pack, unpack
from nodeset.core.inbox import Delivery, Inbox

__all__ = ["drain", "makeRun", "nextOf"]


def makeRun(
    stream: str,
    first: int,
    count: int,
    level: Level = Level.DELIVERED,
    mode: Mode = Mode.ALL,
    low: int = 1,
    again: bool = False,
) -> Events:
    """A run as a dispatcher passes it on."""
    payloads = [f"{stream}{first + index}".encode() for index in range(count)]
    lengths = [len(payload) for payload in payloads]
    return Events(stream, low, mode, again, "ev", first, level, lengths, RAW_HEADERS, b"".join(payloads))


def nextOf(box: Inbox) -> Delivery:
    """The next event, which there is."""
    delivery = box.next()
    assert delivery is not None
    return delivery


def drain(box: Inbox, outcome: Outcome = Outcome.OK) -> list[int]:
    """Handle all that is there; returns the numbers in the order handled."""
    seen = []
    while (delivery := box.next()) is not None:
        seen.append(delivery.sequence)
        box.answer(delivery, outcome)
        box.finished(delivery)
    return seen


class OrderTests(SynchronousTestCase):
    def test_delivery(self) -> None:
        """A delivery has all of the event: whose, which, what, and how it was sent."""
        box = Inbox()
        box.offer([makeRun("a", 7, 2, Level.HANDLED, Mode.ONE, again=True)], 0.0)
        one = nextOf(box)
        self.assertEqual((one.stream, one.sequence, one.event, one.payload), ("a", 7, "ev", b"a7"))
        self.assertEqual(
            (one.level, one.mode, one.again, one.headers), (Level.HANDLED, Mode.ONE, True, {"content_type": "raw"})
        )

    def test_oneAtATime(self) -> None:
        """Events of one publisher come in order, the next when the one before is finished."""
        box = Inbox()
        box.offer([makeRun("a", 1, 2)], 0.0)
        box.offer([makeRun("a", 3, 1)], 0.0)
        seen = []
        self.assertEqual((len(box), box.running), (3, 0))
        while (delivery := box.next()) is not None:
            self.assertIsNone(box.next())
            self.assertEqual(box.running, 1)
            seen.append(delivery.payload)
            box.finished(delivery)
        self.assertEqual(seen, [b"a1", b"a2", b"a3"])
        self.assertEqual((len(box), box.running, box.waiting), (0, 0, False))

    def test_turns(self) -> None:
        """Publishers take turns, run by run: one that sends many does not keep another waiting."""
        box = Inbox()
        box.offer([makeRun("a", first, 2) for first in range(1, 100, 2)], 0.0)
        box.offer([makeRun("b", 1, 1), makeRun("b", 2, 1)], 0.0)
        seen = []
        for _ in range(7):
            delivery = nextOf(box)
            seen.append(delivery.payload.decode())
            box.finished(delivery)
        self.assertEqual(seen, ["a1", "a2", "b1", "a3", "a4", "b2", "a5"])

    def test_slowPublisher(self) -> None:
        """A handler that does not finish holds up its own publisher's events, nobody else's."""
        box = Inbox()
        box.offer([makeRun("a", 1, 2)], 0.0)
        stuck = nextOf(box)
        box.offer([makeRun("b", 1, 2)], 0.0)
        for expected in (b"b1", b"b2"):
            delivery = nextOf(box)
            self.assertEqual(delivery.payload, expected)
            box.finished(delivery)
        self.assertIsNone(box.next())
        box.finished(stuck)
        self.assertEqual(nextOf(box).payload, b"a2")

    def test_concurrency(self) -> None:
        """With `concurrency=3` three events of one publisher are with the handlers, begun in order, finished in any."""
        box = Inbox(concurrency=3)
        box.offer([makeRun("a", 1, 6)], 0.0)
        first, second, third = (nextOf(box) for _ in range(3))
        self.assertEqual([one.sequence for one in (first, second, third)], [1, 2, 3])
        self.assertIsNone(box.next())
        box.finished(second)
        self.assertEqual(nextOf(box).sequence, 4)
        self.assertIsNone(box.next())
        box.finished(third)
        box.finished(first)
        self.assertEqual([nextOf(box).sequence, nextOf(box).sequence], [5, 6])
        self.assertEqual(box.running, 3)

    @given(
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), max_size=12),
        st.integers(1, 3),
        st.lists(st.integers(0, 5), max_size=60),
    )
    @settings(max_examples=100, deadline=None)
    def test_everything(self, runs: list[tuple[str, int]], concurrency: int, choices: list[int]) -> None:
        """Each event comes out once, in its publisher's order, never more than `concurrency` of one publisher at a time."""
        box = Inbox(concurrency)
        firsts: dict[str, int] = defaultdict(lambda: 1)
        expected: dict[str, list[int]] = defaultdict(list)
        seen: dict[str, list[int]] = defaultdict(list)
        running: list[Delivery] = []
        queue = list(runs)
        steps = iter(choices)
        while queue or len(box) or running:
            choice = next(steps, 1)
            if queue and choice in (0, 1):
                stream, count = queue.pop(0)
                box.offer([makeRun(stream, firsts[stream], count)], 0.0)
                expected[stream] += range(firsts[stream], firsts[stream] + count)
                firsts[stream] += count
            elif running and choice in (2, 3):
                box.finished(running.pop(choice % len(running)))
            elif (delivery := box.next()) is not None:
                self.assertEqual(delivery.payload, f"{delivery.stream}{delivery.sequence}".encode())
                seen[delivery.stream].append(delivery.sequence)
                running.append(delivery)
                self.assertLessEqual(sum(one.stream == delivery.stream for one in running), concurrency)
            elif running:
                box.finished(running.pop())
            else:
                self.assertTrue(queue, "events wait, and none comes out")
            self.assertEqual(box.running, len(running))
        self.assertEqual(seen, expected)
        self.assertIsNone(box.next())
        self.assertEqual((len(box), box._bytes, box.running, list(box._ready)), (0, 0, 0, []))


class HeadTests(SynchronousTestCase):
    def test_passed(self) -> None:
        """A whole run at a time: what the handlers were through with at once is answered, the rest comes next."""
        box = Inbox()
        box.offer([makeRun("a", 5, 4)], 0.0)
        head = box.head()
        assert head is not None
        self.assertEqual((head[0], head[1].first, head[2], head[3]), ("a", 5, 0, 0))
        box.passed("a", 3, 6)
        self.assertEqual((len(box), box.running), (1, 0))
        self.assertEqual(nextOf(box).payload, b"a8")
        self.assertEqual(box.answers(), [Confirm("a", [(5, 7)], Outcome.OK)])

    def test_nothing(self) -> None:
        """With nothing there, or all that is there held up by a handler, there is no head."""
        box = Inbox()
        self.assertIsNone(box.head())
        box.offer([makeRun("a", 1, 2)], 0.0)
        delivery = nextOf(box)
        self.assertIsNone(box.head())
        box.finished(delivery)
        self.assertIsNotNone(box.head())


class AnswerTests(SynchronousTestCase):
    def _box(self, count: int, stream: str = "a", level: Level = Level.DELIVERED) -> tuple[Inbox, list[Delivery]]:
        box = Inbox(concurrency=count)
        box.offer([makeRun(stream, 1, count, level)], 0.0)
        return box, [nextOf(box) for _ in range(count)]

    def test_merged(self) -> None:
        """A burst is answered with one range, told once."""
        box, deliveries = self._box(100)
        for delivery in deliveries:
            box.answer(delivery, Outcome.OK)
        self.assertEqual(box.answers(), [Confirm("a", [(1, 100)], Outcome.OK)])
        self.assertEqual(box.answers(), [])

    def test_anyOrder(self) -> None:
        """Handlers that finish in another order than they began make no more ranges."""
        box, (one, two, three, four, five) = self._box(5)
        for delivery in (three, one, five, two):
            box.answer(delivery, Outcome.OK)
        self.assertEqual(box.answers(), [Confirm("a", [(1, 3), (5, 5)], Outcome.OK)])
        box.answer(four, Outcome.OK)
        self.assertEqual(box.answers(), [Confirm("a", [(4, 4)], Outcome.OK)])

    def test_apart(self) -> None:
        """Publishers, outcomes and reasons are told apart."""
        box, (one, two, three) = self._box(3)
        box.offer([makeRun("b", 1, 1)], 0.0)
        other = nextOf(box)
        box.answer(one, Outcome.OK)
        box.answer(two, Outcome.FAILED, "why")
        box.answer(three, Outcome.OK)
        box.answer(other, Outcome.OK)
        self.assertEqual(
            box.answers(),
            [
                Confirm("a", [(1, 1), (3, 3)], Outcome.OK),
                Confirm("a", [(2, 2)], Outcome.FAILED, "why"),
                Confirm("b", [(1, 1)], Outcome.OK),
            ],
        )

    def test_lost(self) -> None:
        """Answers of a link that is lost are not told on the next one, but given when asked again, reasons aside."""
        box, (one, two) = self._box(2, level=Level.HANDLED)
        box.answer(one, Outcome.OK)
        box.answer(two, Outcome.FAILED, "why")
        box.linkLost()
        self.assertEqual(box.answers(), [])
        box.offer([makeRun("a", 1, 2, Level.HANDLED, again=True)], 0.0)
        self.assertEqual(box.answers(), [Confirm("a", [(1, 1)], Outcome.OK), Confirm("a", [(2, 2)], Outcome.FAILED)])

    def test_manyRanges(self) -> None:
        """More ranges than a frame may carry go in several frames."""
        box, deliveries = self._box(2 * MAX_RANGES + 10)
        for delivery in deliveries[::2]:
            box.answer(delivery, Outcome.OK)
        confirms = box.answers()
        self.assertEqual([len(confirm.ranges) for confirm in confirms], [MAX_RANGES, 5])
        self.assertEqual(unpack(pack(confirms)), confirms)
