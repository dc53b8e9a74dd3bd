"""What a receiver remembers: resent events are answered, not handled again; room is bounded."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import MAX_EVENTS, MAX_RANGES, Confirm, Level, Mode, Outcome
from nodeset.core.inbox import SILENCE, Delivery, Inbox
from tests.test_inbox import drain, makeRun, nextOf


class ResentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.box = Inbox()

    def test_answered(self) -> None:
        """A resent event that was handled is answered from memory, with its outcome, and not handled again."""
        for first, outcome in ((1, Outcome.OK), (3, Outcome.FAILED), (5, Outcome.REFUSED)):
            self.box.offer([makeRun("a", first, 2, Level.HANDLED)], 0.0)
            drain(self.box, outcome)
        told = self.box.answers()
        self.assertEqual(self.box.offer([makeRun("a", 1, 6, Level.HANDLED, again=True)], 1.0), 1)
        self.assertEqual((len(self.box), self.box.next()), (0, None))
        self.assertEqual(self.box.answers(), told)

    def test_inHand(self) -> None:
        """One that waits or is with a handler is answered when that is over, once, and handled once."""
        self.box.offer([makeRun("a", 1, 3, Level.HANDLED)], 0.0)
        begun = nextOf(self.box)
        self.box.linkLost()
        self.box.offer([makeRun("a", 1, 3, Level.HANDLED, again=True)], 1.0)
        self.assertEqual((len(self.box), self.box.answers()), (2, []))
        self.box.answer(begun, Outcome.OK)
        self.box.finished(begun)
        self.assertEqual(drain(self.box), [2, 3])
        self.assertEqual(self.box.answers(), [Confirm("a", [(1, 3)], Outcome.OK)])

    def test_notAnsweredYet(self) -> None:
        """Level delivered: called is delivered, so asked again while its handler still works it is answered."""
        self.box.offer([makeRun("a", 1, 1)], 0.0)
        self.box.answer(nextOf(self.box), Outcome.OK)
        self.box.answers()
        self.box.offer([makeRun("a", 1, 1, again=True)], 1.0)
        self.assertEqual(self.box.answers(), [Confirm("a", [(1, 1)], Outcome.OK)])

    def test_late(self) -> None:
        """Mode all is taken in rising order: what is below the highest taken and unknown is late, not run out of order."""
        self.box.offer([makeRun("a", 17, 1)], 0.0)
        drain(self.box)
        self.box.answers()
        self.box.offer([makeRun("a", 1, 2, again=True), makeRun("a", 17, 2, again=True)], 1.0)
        self.assertEqual(self.box.answers(), [Confirm("a", [(1, 2)], Outcome.LATE), Confirm("a", [(17, 17)], Outcome.OK)])
        self.assertEqual(drain(self.box), [18])

    def test_oneIsNeverLate(self) -> None:
        """Mode one has no order: an older event that was not here yet is handled."""
        self.box.offer([makeRun("a", 17, 1), makeRun("a", 5, 2, mode=Mode.ONE)], 0.0)
        self.assertEqual(drain(self.box), [17, 5, 6])
        self.box.offer([makeRun("a", 30, 1, mode=Mode.ONE), makeRun("a", 20, 2)], 0.0)
        self.assertEqual(drain(self.box), [30, 20, 21])

    def test_belowLow(self) -> None:
        """Below the publisher's low mark it is answered ok: it was confirmed or given up, so nobody needs it."""
        self.box.offer([makeRun("a", 10, 1, low=8)], 0.0)
        self.assertEqual(drain(self.box), [10])
        self.box.answers()
        for mode in Mode:
            self.box.offer([makeRun("a", 5, 3, mode=mode, low=5, again=True)], 1.0)
            self.assertEqual(self.box.answers(), [Confirm("a", [(5, 7)], Outcome.OK)])
        self.box.offer([makeRun("a", 7, 3, low=5, again=True)], 1.0)
        expected = [Confirm("a", [(7, 7)], Outcome.OK), Confirm("a", [(8, 9)], Outcome.LATE)]
        self.assertEqual((self.box.answers(), len(self.box)), (expected, 0))

    def test_lowForgets(self) -> None:
        """The low mark, wherever it rides, lets memory go: a set never holds more than lies above it."""
        for first in range(1, 2000, 2):
            self.box.offer([makeRun("a", first, 1, mode=Mode(first // 2 % 2), low=max(1, first - 20))], 0.0)
            drain(self.box)
            self.box.answers()
        self.assertLess(len(self.box._streams["a"].seen), 13)

    def test_lowOfWaiting(self) -> None:
        """A low mark that passes what still waits for a handler does not keep that from being handled."""
        self.box.offer([makeRun("a", 1, 2, Level.ACCEPTED)], 0.0)
        self.box.offer([makeRun("a", 3, 1, low=3)], 0.0)
        self.assertEqual(drain(self.box), [1, 2, 3])

    def test_partly(self) -> None:
        """Of a resent run of which some was here only the rest is handled, with its own payloads."""
        self.box.offer([makeRun("a", 1, 3)], 0.0)
        drain(self.box)
        self.box.answers()
        self.box.offer([makeRun("a", 2, 4, again=True)], 1.0)
        self.assertEqual(self.box.answers(), [Confirm("a", [(2, 3)], Outcome.OK)])
        self.assertEqual([nextOf(self.box).payload, len(self.box)], [b"a4", 1])


class RoomTests(SynchronousTestCase):
    def test_parked(self) -> None:
        """A batch without room waits whole; its credit goes back when it is taken in, in order."""
        box = Inbox(max_events=5)
        self.assertEqual(box.offer([makeRun("a", 1, 3)], 0.0), 1)
        self.assertEqual(box.offer([makeRun("a", 4, 3)], 0.0), 0)
        self.assertEqual(box.offer([makeRun("b", 1, 1)], 0.0), 0)
        self.assertEqual((len(box), box.unpark(1.0)), (3, 0))
        for _ in range(2):
            box.finished(nextOf(box))
        self.assertEqual((box.unpark(1.0), len(box)), (2, 5))

    def test_running(self) -> None:
        """What is with the handlers takes room as well."""
        box = Inbox(concurrency=9, max_events=3)
        box.offer([makeRun("a", 1, 2)], 0.0)
        first, second = nextOf(box), nextOf(box)
        self.assertEqual(box.offer([makeRun("a", 3, 2)], 0.0), 0)
        box.finished(first)
        self.assertEqual(box.unpark(0.0), 1)
        box.finished(second)

    def test_bytes(self) -> None:
        """Bytes are bounded as events are."""
        box = Inbox(max_bytes=10)
        self.assertEqual(box.offer([makeRun("a", 1, 3)], 0.0), 1)
        self.assertEqual(box.offer([makeRun("a", 4, 3)], 0.0), 0)
        box.finished(nextOf(box))
        self.assertEqual(box.unpark(0.0), 1)
        self.assertEqual((len(box), box._bytes), (5, 10))

    def test_larger(self) -> None:
        """A batch larger than all the room is taken in when nothing else is there."""
        box = Inbox(max_events=1, max_bytes=1)
        self.assertEqual(box.offer([makeRun("a", 1, 5)], 0.0), 1)
        self.assertEqual(box.offer([makeRun("a", 6, 1)], 0.0), 0)
        drain(box)
        self.assertEqual(box.unpark(0.0), 1)

    def test_lostParked(self) -> None:
        """What was parked when the link was lost is forgotten: it comes again, and would be claimed by two."""
        box = Inbox(max_events=2)
        box.offer([makeRun("a", 1, 2, mode=Mode.ONE)], 0.0)
        box.offer([makeRun("a", 3, 2, mode=Mode.ONE)], 0.0)
        box.linkLost()
        self.assertEqual(box.holds(), [("a", [], [(1, 2)])])
        drain(box)
        self.assertEqual(box.unpark(1.0), 0)


class HoldTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.box = Inbox()

    def _held(self) -> dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
        held: dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]]]] = {}
        for stream, begun, unbegun in self.box.holds():
            both = held.setdefault(stream, ([], []))
            both[0].extend(begun)
            both[1].extend(unbegun)
        return held

    def test_holds(self) -> None:
        """It tells which mode-one events it holds, begun or over apart from those not begun, of mode all nothing."""
        self.box.offer([makeRun("a", 1, 4, Level.HANDLED, Mode.ONE), makeRun("a", 5, 2), makeRun("b", 1, 1)], 0.0)
        over = nextOf(self.box)
        self.box.answer(over, Outcome.FAILED)
        self.box.answers()
        self.box.finished(over)
        nextOf(self.box)
        self.assertEqual(self._held(), {"a": ([(1, 2)], [(3, 4)])})

    def test_many(self) -> None:
        """No list of ranges is longer than a hello may carry."""
        box = Inbox(max_events=10**6)
        for first in range(1, 3 * MAX_EVENTS, 2):
            box.offer([makeRun("a", first, 1, mode=Mode.ONE)], 0.0)
        self.assertTrue(all(len(begun) <= MAX_RANGES and len(unbegun) <= MAX_RANGES for _s, begun, unbegun in box.holds()))
        self.assertEqual(sum(len(unbegun) for _s, _b, unbegun in box.holds()), 3 * MAX_EVENTS // 2)

    def test_forgetUnbegun(self) -> None:
        """Told that it is new, it forgets mode-one events that were not begun: they may have gone to others."""
        self.box.offer(
            [
                makeRun("a", 1, 3, Level.HANDLED, Mode.ONE),
                makeRun("a", 4, 2),
                makeRun("a", 6, 2, Level.ACCEPTED, Mode.ONE),
                makeRun("a", 8, 2, mode=Mode.ONE),
                makeRun("b", 1, 2, mode=Mode.ONE),
            ],
            0.0,
        )
        begun = nextOf(self.box)
        self.box.forgetUnbegun()
        self.assertEqual((len(self.box), self._held()), (4, {"a": ([(1, 1)], [(6, 7)])}))
        self.box.finished(begun)
        self.assertEqual(drain(self.box), [4, 5, 6, 7])
        self.assertEqual((len(self.box), self.box._bytes, self.box.waiting), (0, 0, False))

    def test_forgottenComesAgain(self) -> None:
        """What it has forgotten it handles when it comes again."""
        self.box.offer([makeRun("a", 1, 2, mode=Mode.ONE)], 0.0)
        self.box.forgetUnbegun()
        self.assertEqual(drain(self.box), [])
        self.box.offer([makeRun("a", 1, 2, mode=Mode.ONE, again=True)], 1.0)
        self.assertEqual(drain(self.box), [1, 2])


class ExpiryTests(SynchronousTestCase):
    def test_silent(self) -> None:
        """A stream that says nothing for 15 min is forgotten, so that publishers that come and go cost nothing."""
        box = Inbox()
        for number in range(100):
            box.offer([makeRun(f"s{number}", 1, 1)], float(number))
        drain(box)
        self.assertEqual(SILENCE, 900.0)
        box.expire(SILENCE)
        self.assertEqual(len(box._streams), 100)
        box.expire(SILENCE + 50.5)
        self.assertEqual(len(box._streams), 49)

    def test_inHand(self) -> None:
        """Not while anything of it waits or is with a handler."""
        box = Inbox()
        box.offer([makeRun("a", 1, 2)], 0.0)
        begun = nextOf(box)
        box.expire(10 * SILENCE)
        box.finished(begun)
        box.expire(10 * SILENCE)
        self.assertEqual(drain(box), [2])
        box.expire(10 * SILENCE)
        self.assertEqual(box._streams, {})

    def test_betweenTurns(self) -> None:
        """Forgotten between two turns of the handlers, it is not asked for any more."""
        box = Inbox()
        box.offer([makeRun("a", 1, 1)], 0.0)
        box.finished(nextOf(box))
        box.expire(2 * SILENCE)
        self.assertEqual((box.waiting, box.next()), (False, None))
        box.expire(2 * SILENCE)
        self.assertEqual(box._streams, {})

    def test_answerAfter(self) -> None:
        """An answer for a stream that was forgotten meanwhile is told all the same, and harms nobody."""
        box = Inbox()
        box.offer([makeRun("a", 1, 1)], 0.0)
        delivery = nextOf(box)
        box.finished(delivery)
        self.assertIsNone(box.next())
        box.expire(2 * SILENCE)
        box.answer(delivery, Outcome.OK)
        self.assertEqual(box.answers(), [Confirm("a", [(1, 1)], Outcome.OK)])


class InboxMachine(RuleBasedStateMachine):
    """A publisher that resends what is not answered, over links that are lost at random."""

    def __init__(self) -> None:
        super().__init__()
        self.box = Inbox(2, max_events=6)
        self.modes: dict[int, Mode] = {}
        self.done: set[int] = set()
        self.unsent: list[int] = []
        self.handled: list[int] = []
        self.running: list[Delivery] = []
        self.sent: set[int] = set()

    @property
    def low(self) -> int:
        return min((number for number in self.modes if number not in self.done), default=len(self.modes) + 1)

    @rule(modes=st.lists(st.sampled_from(Mode), min_size=1, max_size=4))
    def publish(self, modes: list[Mode]) -> None:
        for mode in modes:
            number = len(self.modes) + 1
            self.modes[number] = mode
            self.unsent.append(number)

    @rule(count=st.integers(1, 4))
    def send(self, count: int) -> None:
        batch = []
        for number in self.unsent[:count]:
            again = number in self.sent
            batch.append(makeRun("s", number, 1, Level.HANDLED, self.modes[number], self.low, again))
            self.sent.add(number)
        del self.unsent[:count]
        if batch:
            self.box.offer(batch, 0.0)

    @rule()
    def begin(self) -> None:
        delivery = self.box.next()
        if delivery is not None:
            assert delivery.sequence not in self.handled, "handled twice"
            assert delivery.payload == f"s{delivery.sequence}".encode()
            self.handled.append(delivery.sequence)
            self.running.append(delivery)

    @rule(which=st.integers(0, 5))
    def finish(self, which: int) -> None:
        if self.running:
            delivery = self.running.pop(which % len(self.running))
            self.box.answer(delivery, Outcome.OK)
            self.box.finished(delivery)
            self.box.unpark(0.0)

    @rule()
    def tell(self) -> None:
        for confirm in self.box.answers():
            assert confirm.outcome is Outcome.OK, "nothing is late when all is resent in order"
            for first, last in confirm.ranges:
                self.done.update(range(first, last + 1))

    @rule()
    def lose(self) -> None:
        self.box.linkLost()
        self.unsent = [number for number in self.modes if number not in self.done]

    @invariant()
    def order(self) -> None:
        rising = [number for number in self.handled if self.modes[number] is Mode.ALL]
        assert rising == sorted(rising)
        assert self.done <= set(self.handled)
        assert len(self.box) + self.box.running <= 6

    def teardown(self) -> None:
        self.lose()
        for _ in range(len(self.modes) * 3 + 3):
            self.send(1)
            self.begin()
            self.finish(0)
            self.tell()
        assert sorted(self.handled) == sorted(self.modes), "each is handled in the end"
        assert self.done == set(self.modes)


class ModelTests(SynchronousTestCase):
    def test_once(self) -> None:
        """However often links are lost, all resent: each event is handled once, mode all in order, each answered in the end."""
        run_state_machine_as_test(InboxMachine, settings=settings(max_examples=80, stateful_step_count=30, deadline=None))
