"""What the benchmarks of calls and of streams compute, without running any."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.chunks import CHUNK, CHUNKS, Meter
from benchmarks.work import Event, Work
from nodeset.cli.bench.rounds import Rounds, answerTo


class RoundsTests(SynchronousTestCase):
    """A caller at full speed."""

    def setUp(self) -> None:
        self.asked: list[Event] = []
        self.over: list[int] = []

    def makeRounds(self, count: int, window: int) -> Rounds:
        """Rounds whose requests are kept in `asked`."""
        return Rounds(Work("call", count, window=window), self.asked.append, lambda: self.over.append(1))

    def test_window(self) -> None:
        """So many calls are under way at all times: an answer makes room for the next, until all have been asked."""
        rounds = self.makeRounds(5, 3)
        rounds.begin()
        self.assertEqual([each.number for each in self.asked], [0, 1, 2])
        for number, asked in ((1, 4), (0, 5), (2, 5), (4, 5), (3, 5)):
            self.assertEqual(self.over, [])
            rounds.take(answerTo(self.asked[number]))
            self.assertEqual(len(self.asked), asked)
        self.assertEqual((self.over, rounds.answered, rounds.wrong), ([1], 5, ""))

    def test_drawn(self) -> None:
        """Who awaits each answer draws the requests himself; there are no more than were planned."""
        rounds = self.makeRounds(2, 1)
        while (request := rounds.draw()) is not None:
            rounds.note(answerTo(request))
        self.assertEqual((self.over, rounds.answered, self.asked), ([1], 2, []))

    def test_wrongAnswers(self) -> None:
        """An echo, an answer that comes twice, one to a question that nobody asked, one with another text: each ends it."""
        changes: list[dict[str, Any]] = [{"number": 0}, {"number": 8}, {"stamp": 1.0}, {"text": "another"}, {"source": 3}]
        for change in changes:
            self.setUp()
            rounds = self.makeRounds(4, 2)
            rounds.begin()
            rounds.take(replace(answerTo(self.asked[0]), **change))
            self.assertIn("a wrong answer", rounds.wrong)
            self.assertEqual((self.over, len(self.asked)), ([1], 2))
        self.setUp()
        rounds = self.makeRounds(4, 2)
        rounds.begin()
        for _ in range(2):
            rounds.take(answerTo(self.asked[0]))
        self.assertIn("a wrong answer", rounds.wrong)

    def test_failure(self) -> None:
        """A call that fails ends it, once, with the reason; nothing more is asked."""
        rounds = self.makeRounds(4, 2)
        rounds.begin()
        rounds.fail("nobody there")
        rounds.fail("nobody there either")
        rounds.take(answerTo(self.asked[1]))
        self.assertEqual((rounds.wrong, self.over, len(self.asked)), ("nobody there", [1], 2))

    def test_figures(self) -> None:
        """The percentiles of the round trips are told in microseconds."""
        rounds = self.makeRounds(1, 1)
        rounds.begin()
        rounds.take(answerTo(self.asked[0]))
        self.assertEqual(set(rounds.figures()), {"p50", "p99"})
        self.assertTrue(0 < rounds.figures()["p50"] < 60e6)


class MeterTests(SynchronousTestCase):
    """What came of a stream."""

    def fill(self, pieces: list[bytes], count: int) -> str:
        """The complaint about these bytes."""
        self.full: list[int] = []
        meter = Meter(count, lambda: 10.0, lambda: self.full.append(1))
        for piece in pieces:
            meter.take(piece)
        return meter.complain()

    def test_good(self) -> None:
        """Every byte in order is no reason to complain, also once all chunks had their turn."""
        count = len(CHUNKS) + 2
        self.assertEqual(self.fill([CHUNKS[index % len(CHUNKS)] for index in range(count)], count), "")
        self.assertEqual(self.full, [1])
        self.assertIn(f"0 of {CHUNK}", self.fill([], 1))

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.integers(1, 3 * CHUNK - 1), max_size=6, unique=True))
    def test_anyCut(self, cuts: list[int]) -> None:
        """However the bytes are cut on their way, they are the same."""
        whole, edges = b"".join(CHUNKS[:3]), [0, *sorted(cuts), 3 * CHUNK]
        self.assertEqual(self.fill([whole[a:b] for a, b in pairwise(edges)], 3), "")

    def test_wrong(self) -> None:
        """A chunk that is lost, comes twice, changes its place, or has one byte changed is found."""
        one, two, three = CHUNKS[:3]
        other = two[:-1] + bytes([two[-1] ^ 1])
        for pieces in ([one, three], [one, two], [one, two, two, three], [two, one, three], [one, other, three]):
            self.assertNotEqual(self.fill(pieces, 3), "", [piece[:4] for piece in pieces])
