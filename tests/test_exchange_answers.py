"""What publishers hear from a dispatcher: fair shares of mode `one`, answers gathered, losses."""

from __future__ import annotations

from collections import Counter

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeset.core.address import matches
from nodeset.core.batch import (
    MAX_RANGES,
    MAX_SEQUENCE,
    RAW_HEADERS,
    Confirm,
    Done,
    Events,
    Level,
    Mode,
    Outcome,
    Result,
    pack,
    unpack,
)
from nodeset.core.exchange import Session
from nodeset.errors import ProtocolError
from tests.exchanges import ExchangeCase, Out, makeRun


class ModeOneTests(ExchangeCase):
    def test_single(self) -> None:
        """3 nodes, 3,000 events one by one: 1,000 each, each event to exactly one."""
        for name in "abc":
            self.join(name, "ev")
        sums: Counter[str] = Counter()
        for first in range(1, 3001):
            sums += self.publish(makeRun(first, mode=Mode.ONE)).sums
        self.assertEqual(sums, Counter(a=1000, b=1000, c=1000))

    def test_dealtOut(self) -> None:
        """A run is dealt out in contiguous shares that have every event once, in order, with its own payload."""
        for name in "abc":
            self.join(name, "ev")
        payloads = [b"aaa", b"", b"b", b"ccccc", b"dd", b"", b"eeeeeee"]
        out = self.publish(makeRun(1, payloads, mode=Mode.ONE, headers=RAW_HEADERS, level=Level.HANDLED, low=1))
        self.assertEqual([(name, len(events)) for name, events in out.events], [("a", 3), ("b", 2), ("c", 2)])
        self.assertEqual([event for _name, events in out.events for event in events], list(enumerate(payloads, 1)))
        for _name, run in out.other(Events):
            assert isinstance(run, Events)
            self.assertEqual(
                (run.mode, run.level, run.headers, run.stream), (Mode.ONE, Level.HANDLED, RAW_HEADERS, self.publisher.stream)
            )
        self.assertEqual(self.publish(makeRun(8, 2, mode=Mode.ONE)).sums, Counter(b=1, c=1))
        self.assertEqual(self.publish(makeRun(10, 1, mode=Mode.ONE)).sums, Counter(a=1))

    @given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(1, 5))
    @settings(max_examples=60, deadline=None)
    def test_fairRuns(self, sizes: list[int], nodes: int) -> None:
        """However the events are gathered into runs, through a host filter as well, shares differ by one at most."""
        self.setUp()
        for number in range(nodes):
            self.join(f"n{number}", "ev", host="h")
            self.join(f"k{number}", "ev", host="k")
        sums = {"h/ev": Counter[str](), "ev": Counter[str]()}
        first = 1
        for index, size in enumerate(sizes):
            address = "h/ev" if index % 3 else "ev"
            out = self.publish(makeRun(first, size, address, Mode.ONE))
            numbers = [number for _name, events in out.events for number, _payload in events]
            self.assertEqual(numbers, list(range(first, first + size)))
            sums[address] += out.sums
            first += size
        for address, candidates in (("h/ev", nodes), ("ev", 2 * nodes)):
            shares = sorted(sums[address].values())
            shares = [0] * (candidates - len(shares)) + shares
            self.assertLessEqual(shares[-1] - shares[0], 1)

    def test_suspect(self) -> None:
        """A suspect is passed over, unless all are suspects; when it is well again it is next."""
        a, b = self.join("a", "ev"), self.join("b", "ev")
        a.suspect = True
        self.assertEqual(self.publish(makeRun(1, 4, mode=Mode.ONE)).sums, Counter(b=4))
        self.assertEqual(self.publish(makeRun(5)).to, ["a", "b"])
        b.suspect = True
        self.assertEqual(self.publish(makeRun(6, 4, mode=Mode.ONE)).sums, Counter(a=2, b=2))
        a.suspect = b.suspect = False
        self.assertEqual(self.publish(makeRun(10, 2, mode=Mode.ONE)).sums, Counter(a=1, b=1))

    def test_comingAndGoing(self) -> None:
        """A node that leaves gives its turn up, one that joins waits for its own: still even among those that stay."""
        self.join("a", "ev")
        self.join("b", "ev")
        sums: Counter[str] = Counter()
        for first in range(1, 1201):
            guest = self.join(f"guest{first}", "ev") if first % 3 == 0 else None
            out = self.publish(makeRun(first, mode=Mode.ONE, level=Level.ACCEPTED))
            self.assertEqual(out.sums.total(), 1)
            sums += out.sums
            if guest is not None:
                self.leave(guest)
        self.assertLessEqual(abs(sums["a"] - sums["b"]), 1)

    def test_confirm(self) -> None:
        """One of mode one matched one: the taker's answer is the answer, nobody else's counts."""
        a, b = self.join("a", "ev"), self.join("b", "ev")
        self.publish(makeRun(1, 2, mode=Mode.ONE))
        self.assertEqual(self.confirm(b, 1, 1), [])
        self.assertEqual(self.confirm(a, 1, 2), [Done([(1, 1)], Result.OK, 1, 1, 0)])
        self.assertEqual(self.confirm(b, 1, 2), [Done([(2, 2)], Result.OK, 1, 1, 0)])


class AnswerTests(ExchangeCase):
    def test_everyone(self) -> None:
        """The publisher is told when the last one has answered, what is alike in one frame."""
        a, b = self.join("a", "ev"), self.join("b", "ev")
        self.publish(makeRun(1, 5))
        self.publish(makeRun(6, 5))
        self.assertEqual(self.confirm(a, 1, 10), [])
        self.assertEqual(self.confirm(b, 1, 10), [Done([(1, 10)], Result.OK, 2, 2, 0)])
        self.assertTrue(a.idle and b.idle)

    def test_pieces(self) -> None:
        """Answers in pieces, out of order and twice: each event is told once."""
        a = self.join("a", "ev")
        self.publish(makeRun(1, 10))
        self.assertEqual(self.confirm(a, 7, 8), [Done([(7, 8)], Result.OK, 1, 1, 0)])
        self.assertEqual(self.confirm(a, 1, 2), [Done([(1, 2)], Result.OK, 1, 1, 0)])
        self.assertEqual(self.confirm(a, 7, 8), [])
        answer = Confirm(self.publisher.stream, [(9, 12), (2, 3), (9, 9), (3, 3), (5, 3)], Outcome.OK)
        self.exchange.confirm(a, answer, self.now)
        self.assertEqual(self.carryOut().done, [("pub", Done([(3, 3), (9, 10)], Result.OK, 1, 1, 0))])
        self.assertFalse(a.idle)
        self.assertEqual(self.confirm(a, 0, 99), [Done([(4, 6)], Result.OK, 1, 1, 0)])
        self.assertTrue(a.idle)

    def test_strangers(self) -> None:
        """An answer from somebody who was not sent the event, or for a stream that is not there, is passed over."""
        a, stranger = self.join("a", "ev"), self.join("stranger", "other")
        self.publish(makeRun(1))
        self.assertEqual(self.confirm(stranger, 0, MAX_SEQUENCE), [])
        self.assertEqual(self.confirm(self.publisher, 1, 1), [])
        self.exchange.confirm(a, Confirm("nobody", [(1, 1)], Outcome.OK), self.now)
        self.assertEqual(self.carryOut().frames, [])
        self.assertEqual(self.confirm(a, 1, 1), [Done([(1, 1)], Result.OK, 1, 1, 0)])

    def test_liar(self) -> None:
        """No node can say that an event was lost: that is the dispatcher's to say."""
        a = self.join("a", "ev")
        self.publish(makeRun(1))
        self.assertRaises(ProtocolError, self.confirm, a, 1, 1, Outcome.LOST)

    def test_hugeRanges(self) -> None:
        """Ranges far too large, as many as a frame holds, cost nothing: thousands of waiting runs are looked at once."""
        a, stranger = self.join("a", "ev"), self.join("stranger", "other")
        for first in range(1, 3001):
            self.publish(makeRun(first))
        ranges = [(0, MAX_SEQUENCE)] * MAX_RANGES
        for session, done in ((stranger, []), (a, [("pub", Done([(1, 3000)], Result.OK, 1, 1, 0))])):
            self.exchange.confirm(session, Confirm(self.publisher.stream, ranges, Outcome.OK), self.now)
            self.assertEqual(self.carryOut().done, done)
        self.assertTrue(a.idle)

    def test_everyOther(self) -> None:
        """An answer to every other event of a full run, as handlers give that do not end in order, is taken at once."""
        a = self.join("a", "ev")
        self.publish(makeRun(1, [b""] * MAX_RANGES, level=Level.HANDLED))
        ranges = [(number, number) for number in range(2, MAX_RANGES + 1, 2)]
        self.exchange.confirm(a, Confirm(self.publisher.stream, ranges, Outcome.OK), self.now)
        self.assertEqual(self.carryOut().done, [("pub", Done(ranges, Result.OK, 1, 1, 0))])
        self.assertFalse(a.idle)

    def test_late(self) -> None:
        """Late counts as dropped, which succeeds: only `dropped == 0` means everyone."""
        a, b = self.join("a", "ev"), self.join("b", "ev")
        self.publish(makeRun(1))
        self.confirm(a, 1, 1, Outcome.LATE)
        self.assertEqual(self.confirm(b, 1, 1), [Done([(1, 1)], Result.OK, 2, 1, 1)])

    def test_failures(self) -> None:
        """Refused or failed at one of them fails the event, with the reason; a handler that failed was called."""
        for first, (outcome, delivered) in enumerate(((Outcome.FAILED, 2), (Outcome.REFUSED, 1)), 1):
            a, b = self.join(f"a{first}", "ev"), self.join(f"b{first}", "ev")
            self.publish(makeRun(first, level=Level.HANDLED))
            self.confirm(a, first, first, outcome, "it raised")
            expected = Done([(first, first)], Result.FAILED, 2, delivered, 0, "it raised")
            self.assertEqual(self.confirm(b, first, first), [expected])
            self.leave(a)
            self.leave(b)

    def test_publisherGone(self) -> None:
        """What a publisher that left had asked for nobody is told; answers for it are passed over."""
        a = self.join("a", "ev")
        self.publish(makeRun(1, 5))
        self.leave(self.publisher)
        self.assertEqual(self.confirm(a, 1, 5), [])
        self.assertTrue(a.idle)
        self.assertEmpty()

    def test_manyRanges(self) -> None:
        """More ranges than fit into a frame go in several: no publisher loses its link over a long answer."""
        self.join("even", "even")
        odd = self.join("odd", "odd")
        count = MAX_RANGES + 10
        for first in range(1, 2 * count, 2):
            self.publish(makeRun(first, event="odd"))
            self.publish(makeRun(first + 1, event="even"))
        done = [frame for _name, frame in self.leave(odd).done]
        self.assertEqual(sum(len(frame.ranges) for frame in done), count)
        for frame in done:
            self.assertEqual(unpack(pack([frame])), [frame])


class LeaveTests(ExchangeCase):
    def test_unanswered(self) -> None:
        """Who leaves is lost to what it had not answered: undelivered with what the others said; what it answered stands."""
        a, b = self.join("a", "ev"), self.join("b", "ev")
        self.publish(makeRun(1, 6))
        self.confirm(a, 1, 2)
        self.assertEqual(self.confirm(b, 1, 4), [Done([(1, 2)], Result.OK, 2, 2, 0)])
        out = self.leave(a, "the cat pulled the plug")
        self.assertEqual(out.done, [("pub", Done([(3, 4)], Result.UNDELIVERED, 2, 1, 0, "a: the cat pulled the plug"))])
        expected = Done([(5, 6)], Result.UNDELIVERED, 2, 1, 0, "a: the cat pulled the plug")
        self.assertEqual(self.confirm(b, 5, 6), [expected])
        self.assertEqual(self.exchange.answers.counters["lost"], 4)

    def test_routes(self) -> None:
        """All routes of a node go with it, plain and patterns; leaving twice is once."""
        a = self.join("a", "ev", "x.*", "y.>", "z")
        self.assertEqual(len(self.exchange.table), 4)
        self.leave(a)
        self.assertEqual(self.leave(a).frames, [])
        self.assertEqual(len(self.exchange.table), 0)
        self.assertEqual(self.publish(makeRun(1, event="x.1")).done, [("pub", Done([(1, 1)], Result.OK, 0, 0, 0))])
        self.assertEmpty()

    def test_severalPublishers(self) -> None:
        """Every publisher that waits for a node that leaves is told, each about its own."""
        other = self.join("other")
        a = self.join("a", "ev")
        self.publish(makeRun(1, 2))
        self.publish(makeRun(7), other)
        self.publish(makeRun(1), a)
        told = {name: done.ranges for name, done in self.leave(a).done}
        self.assertEqual(told, {"pub": [(1, 2)], "other": [(7, 7)]})

    def test_longReason(self) -> None:
        """However long the reason for which a node was cut off, its publishers get a frame that they can read."""
        a = self.join("a", "ev")
        self.publish(makeRun(1))
        frames = [frame for _name, frame in self.leave(a, "\U0001f600" * 5000).done]
        self.assertEqual(len(frames), 1)
        self.assertEqual(unpack(pack(frames)), frames)


@attrs.define
class Step:
    """One confirm, or the loss of a subscriber."""

    subscriber: int
    ranges: list[tuple[int, int]]
    outcome: Outcome | None


outcomes = st.sampled_from([*(one for one in Outcome if one is not Outcome.LOST), Outcome.OK, Outcome.OK, Outcome.OK, None])
steps = st.builds(
    Step,
    st.integers(0, 3),
    st.lists(
        st.tuples(st.integers(0, 35), st.integers(0, 9)).map(lambda pair: (pair[0], pair[0] + pair[1])), min_size=1, max_size=4
    ),
    outcomes,
)
published = st.lists(
    st.tuples(
        st.integers(1, 6), st.sampled_from(["a", "b", "a.b", "unmatched"]), st.sampled_from(Mode), st.sampled_from(Level)
    ),
    min_size=1,
    max_size=7,
)
wanted = st.lists(st.lists(st.sampled_from(["a", "b", "*", ">", "a.*"]), max_size=3), min_size=4, max_size=4)


@attrs.define
class Told:
    """One event as a patient clerk would note it: where it is, what became of it there, what its publisher was told."""

    event: str
    mode: Mode
    level: Level
    fates: dict[str, Outcome | None] = attrs.field(factory=dict)
    matched: int = 0
    done: list[tuple[Result, int, int, int]] = attrs.field(factory=list)

    @property
    def expected(self) -> list[tuple[Result, int, int, int]]:
        """All that its publisher must have been told by now."""
        if self.level is Level.ACCEPTED:
            return [(Result.OK, self.matched, 0, 0)]
        if None in self.fates.values():
            return []
        counts = Counter(self.fates.values())
        bad = counts[Outcome.FAILED] + counts[Outcome.REFUSED]
        result = Result.UNDELIVERED if counts[Outcome.LOST] else Result.FAILED if bad else Result.OK
        dropped = counts[Outcome.LATE] + counts[Outcome.EXPIRED]
        return [(result, self.matched, counts[Outcome.OK] + counts[Outcome.FAILED], dropped)]


class ModelTests(ExchangeCase):
    @given(published, wanted, st.lists(steps, max_size=20))
    @settings(max_examples=100, deadline=None)
    def test_oneDone(self, runs: list[tuple[int, str, Mode, Level]], patterns: list[list[str]], orders: list[Step]) -> None:
        """Whoever confirms what in whatever order, or leaves: each event gets exactly one Done, with the right counts."""
        self.setUp()
        subscribers = {f"n{number}": self.join(f"n{number}", *some) for number, some in enumerate(patterns)}
        wishes = {f"n{number}": some for number, some in enumerate(patterns)}
        events: dict[int, Told] = {}

        def note(out: Out) -> None:
            for name, numbers in out.events:
                for sequence, _payload in numbers:
                    self.assertNotIn(name, events[sequence].fates)
                    events[sequence].fates[name] = None
            for name, done in out.done:
                self.assertEqual(name, "pub")
                for first, last in done.ranges:
                    for sequence in range(first, last + 1):
                        events[sequence].done.append((done.result, done.matched, done.delivered, done.dropped))

        def takeAway(name: str) -> None:
            """Mode one moves while there is anybody else; the rest is lost."""
            for told in events.values():
                if told.fates.get(name, Outcome.OK) is None:
                    others = [one for one in subscribers if any(matches(wish, told.event) for wish in wishes[one])]
                    if told.mode is Mode.ONE and told.level is not Level.ACCEPTED and others:
                        del told.fates[name]
                    else:
                        told.fates[name] = Outcome.LOST

        def check() -> None:
            for sequence, told in events.items():
                self.assertEqual(told.done, told.expected, (sequence, told))

        first = 1
        for size, event, mode, level in runs:
            for sequence in range(first, first + size):
                events[sequence] = Told(event, mode, level)
            note(self.publish(makeRun(first, size, event, mode, level=level)))
            for sequence in range(first, first + size):
                told = events[sequence]
                told.matched = len(told.fates)
                self.assertTrue(mode is Mode.ALL or told.matched <= 1)
            first += size
        check()
        for step in orders + [Step(number, [], None) for number in range(4)]:
            name = f"n{step.subscriber}"
            subscriber: Session | None = subscribers.get(name)
            if subscriber is None:
                continue
            if step.outcome is None:
                del subscribers[name]
                takeAway(name)
                note(self.leave(subscriber))
            else:
                self.exchange.confirm(subscriber, Confirm(self.publisher.stream, step.ranges, step.outcome), self.now)
                for low, high in step.ranges:
                    for sequence in range(low, high + 1):
                        if sequence in events and events[sequence].fates.get(name, Outcome.OK) is None:
                            events[sequence].fates[name] = step.outcome
                note(self.carryOut())
            check()
        self.assertEqual(self.exchange.underWay, 0)
