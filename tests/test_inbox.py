"""What a node received that its handlers have not seen yet."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import MAX_RANGES, RAW_HEADERS, Confirm, Events, Level, Mode, Outcome, pack, unpack
from nodeset.core.inbox import Delivery, Inbox


def _run(stream: str, first: int, count: int, level: Level = Level.DELIVERED) -> Events:
    payloads = [f"{stream}{first + index}".encode() for index in range(count)]
    lengths = [len(payload) for payload in payloads]
    return Events(stream, 1, Mode.ONE, True, "ev", first, level, lengths, RAW_HEADERS, b"".join(payloads))


def _next(box: Inbox) -> Delivery:
    delivery = box.next()
    assert delivery is not None
    return delivery


class OrderTests(SynchronousTestCase):
    def test_delivery(self) -> None:
        """A delivery has all of the event: whose, which, what, and how it was sent."""
        box = Inbox()
        box.take(_run("a", 7, 2, Level.HANDLED))
        one = _next(box)
        self.assertEqual((one.stream, one.sequence, one.event, one.payload), ("a", 7, "ev", b"a7"))
        self.assertEqual((one.level, one.mode, one.again, one.headers), (Level.HANDLED, Mode.ONE, True, RAW_HEADERS))

    def test_oneAtATime(self) -> None:
        """Events of one publisher come in order, the next when the one before is finished."""
        box = Inbox()
        box.take(_run("a", 1, 2))
        box.take(_run("a", 3, 1))
        seen = []
        self.assertEqual((len(box), box.running), (3, 0))
        while (delivery := box.next()) is not None:
            self.assertIsNone(box.next())
            self.assertEqual(box.running, 1)
            seen.append(delivery.payload)
            box.finished(delivery)
        self.assertEqual(seen, [b"a1", b"a2", b"a3"])
        self.assertEqual((len(box), box.running, box._streams), (0, 0, {}))

    def test_turns(self) -> None:
        """Publishers take turns: one that sends much does not keep another waiting."""
        box = Inbox()
        box.take(_run("a", 1, 100))
        box.take(_run("b", 1, 2))
        seen = []
        for _ in range(6):
            delivery = _next(box)
            seen.append(delivery.payload.decode())
            box.finished(delivery)
        self.assertEqual(seen, ["a1", "b1", "a2", "b2", "a3", "a4"])

    def test_slowPublisher(self) -> None:
        """A handler that does not finish holds up its own publisher's events, nobody else's."""
        box = Inbox()
        box.take(_run("a", 1, 2))
        stuck = _next(box)
        box.take(_run("b", 1, 2))
        for expected in (b"b1", b"b2"):
            delivery = _next(box)
            self.assertEqual(delivery.payload, expected)
            box.finished(delivery)
        self.assertIsNone(box.next())
        box.finished(stuck)
        self.assertEqual(_next(box).payload, b"a2")

    def test_concurrency(self) -> None:
        """With `concurrency=3` three events of one publisher are with the handlers, begun in order, finished in any."""
        box = Inbox(concurrency=3)
        box.take(_run("a", 1, 6))
        first, second, third = (_next(box) for _ in range(3))
        self.assertEqual([one.sequence for one in (first, second, third)], [1, 2, 3])
        self.assertIsNone(box.next())
        box.finished(second)
        self.assertEqual(_next(box).sequence, 4)
        self.assertIsNone(box.next())
        box.finished(third)
        box.finished(first)
        self.assertEqual([_next(box).sequence, _next(box).sequence], [5, 6])
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
                box.take(_run(stream, firsts[stream], count))
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
        self.assertEqual((box._streams, list(box._ready)), ({}, []))


class AnswerTests(SynchronousTestCase):
    def _deliveries(self, count: int, stream: str = "a", level: Level = Level.DELIVERED) -> list[Delivery]:
        box = Inbox(concurrency=count)
        box.take(_run(stream, 1, count, level))
        return [_next(box) for _ in range(count)]

    def test_merged(self) -> None:
        """A burst is answered with one range, told once."""
        box = Inbox()
        for delivery in self._deliveries(100):
            box.answer(delivery, Outcome.OK)
        self.assertEqual(box.answers(), [Confirm("a", [(1, 100)], Outcome.OK)])
        self.assertEqual(box.answers(), [])

    def test_anyOrder(self) -> None:
        """Handlers that finish in another order than they began make no more ranges."""
        box = Inbox()
        one, two, three, four, five = self._deliveries(5)
        for delivery in (three, one, five, two):
            box.answer(delivery, Outcome.OK)
        self.assertEqual(box.answers(), [Confirm("a", [(1, 3), (5, 5)], Outcome.OK)])
        box.answer(four, Outcome.OK)
        self.assertEqual(box.answers(), [Confirm("a", [(4, 4)], Outcome.OK)])

    def test_apart(self) -> None:
        """Publishers, outcomes and reasons are told apart."""
        box = Inbox()
        one, two, three = self._deliveries(3)
        (other,) = self._deliveries(1, "b")
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

    def test_accepted(self) -> None:
        """Level accepted asks for no answer and gets none."""
        box = Inbox()
        for delivery in self._deliveries(3, level=Level.ACCEPTED):
            box.answer(delivery, Outcome.OK)
        self.assertEqual(box.answers(), [])

    def test_forgotten(self) -> None:
        """Answers of a link that is lost are not told on the next one."""
        box = Inbox()
        (one,) = self._deliveries(1)
        box.answer(one, Outcome.OK)
        box.forgetAnswers()
        self.assertEqual(box.answers(), [])

    def test_manyRanges(self) -> None:
        """More ranges than a frame may carry go in several frames."""
        box = Inbox()
        for delivery in self._deliveries(2 * MAX_RANGES + 10)[::2]:
            box.answer(delivery, Outcome.OK)
        confirms = box.answers()
        self.assertEqual([len(confirm.ranges) for confirm in confirms], [MAX_RANGES, 5])
        self.assertEqual(unpack(pack(confirms)), confirms)
