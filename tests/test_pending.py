"""Which events that were routed still wait for whose answer."""

from __future__ import annotations

from itertools import pairwise

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import MAX_SEQUENCE, Level, Outcome
from nodeset.core.pending import Pending, Piece

PEERS = ("p", "q", "r")
Story = tuple[str, int, int, int, int, int]


def _story(piece: Piece) -> Story:
    return (piece.reason, piece.matched, piece.delivered, piece.dropped, piece.lost, piece.failed)


@attrs.define
class Naive:
    """The slow and obvious `Pending`: one record for each event."""

    events: dict[tuple[str, int], Piece] = attrs.field(factory=dict)
    done: dict[tuple[str, int], Story] = attrs.field(factory=dict)

    def add(self, stream: str, first: int, last: int, waiting: set[str]) -> None:
        for sequence in range(first, last + 1):
            self.events[stream, sequence] = Piece(sequence, sequence, set(waiting), len(waiting))

    def answer(self, stream: str, first: int, last: int, peer: str, outcome: Outcome, reason: str) -> None:
        for key, event in sorted(self.events.items()):
            if key[0] == stream and first <= key[1] <= last and peer in event.waiting:
                self._note(key, event, peer, outcome, reason)

    def move(self, stream: str, first: int, last: int, old: str, new: str) -> None:
        for key, event in self.events.items():
            if key[0] == stream and first <= key[1] <= last and old in event.waiting:
                event.waiting.remove(old)
                event.waiting.add(new)

    def within(self, stream: str, first: int, last: int, peer: str | None) -> list[int]:
        return sorted(
            key[1]
            for key, event in self.events.items()
            if key[0] == stream and first <= key[1] <= last and (peer is None or peer in event.waiting)
        )

    def _note(self, key: tuple[str, int], event: Piece, peer: str, outcome: Outcome, reason: str) -> None:
        event.waiting.remove(peer)
        event.reason = event.reason or reason
        event.lost += outcome is Outcome.LOST
        event.dropped += outcome in (Outcome.LATE, Outcome.EXPIRED)
        event.failed += outcome in (Outcome.FAILED, Outcome.REFUSED)
        event.delivered += outcome in (Outcome.OK, Outcome.FAILED)
        if not event.waiting:
            self.done[key] = _story(self.events.pop(key))


runs = st.lists(st.tuples(st.integers(1, 8), st.sets(st.sampled_from(PEERS), min_size=1)), min_size=1, max_size=6)
answers = st.tuples(
    st.just("answer"),
    st.sampled_from(("s", "t", "nobody")),
    st.integers(0, 40),
    st.integers(-3, 20),
    st.sampled_from((*PEERS, "stranger")),
    st.sampled_from(Outcome),
    st.sampled_from(("", "why", "because")),
)
moves = st.tuples(
    st.just("move"), st.sampled_from(("s", "t")), st.integers(0, 40), st.integers(-3, 20), *[st.sampled_from(PEERS)] * 2
)
looks = st.tuples(
    st.just("look"), st.sampled_from(("s", "nobody")), st.integers(0, 40), st.integers(-3, 20), st.sampled_from((*PEERS, None))
)
forgets = st.tuples(st.just("forget"), st.sampled_from(("t", "nobody")))


class ModelTests(SynchronousTestCase):
    @given(runs, runs, st.lists(st.one_of(answers, answers, answers, moves, looks, forgets), max_size=25))
    @settings(max_examples=100, deadline=None)
    def test_naive(
        self, one: list[tuple[int, set[str]]], other: list[tuple[int, set[str]]], steps: list[tuple[object, ...]]
    ) -> None:
        """Answers in any order, in pieces, twice, from strangers: each event is done exactly once, with the right counts."""
        pending, naive = Pending(), Naive()
        for stream, made in (("s", one), ("t", other)):
            first = 1
            for length, waiting in made:
                pending.add(stream, Piece(first, first + length - 1, set(waiting), len(waiting)))
                naive.add(stream, first, first + length - 1, waiting)
                first += length + length % 2  # a gap now and then
        done: dict[tuple[str, int], Story] = {}

        def note(stream: str, piece: Piece) -> None:
            self.assertFalse(piece.waiting)
            for sequence in range(piece.first, piece.last + 1):
                self.assertNotIn((stream, sequence), done)
                done[stream, sequence] = _story(piece)

        final: list[tuple[object, ...]] = [
            ("answer", stream, 0, 99, peer, Outcome.LOST, "the end") for stream in "st" for peer in PEERS
        ]
        for step in steps + final:
            match step:
                case ("answer", str(stream), int(first), int(length), str(peer), Outcome() as outcome, str(reason)):
                    for piece in pending.answer(stream, first, first + length, peer, outcome, reason):
                        note(stream, piece)
                    naive.answer(stream, first, first + length, peer, outcome, reason)
                case ("move", str(stream), int(first), int(length), str(old), str(new)):
                    pending.move(stream, first, first + length, old, new)
                    naive.move(stream, first, first + length, old, new)
                case ("look", str(stream), int(first), int(length), (str() | None) as who):
                    found = pending.within(stream, first, first + length, who)
                    expected = naive.within(stream, first, first + length, who)
                    self.assertEqual([n for begin, end in found for n in range(begin, end + 1)], expected)
                    self.assertTrue(all(begin <= end for begin, end in found))
                    self.assertTrue(all(a[1] + 1 < b[0] for a, b in pairwise(found)))
                    if who is not None:
                        self.assertEqual(pending.waits(stream, first, first + length, who), bool(expected))
                case ("forget", str(stream)):
                    pending.forget(stream)
                    naive.events = {key: event for key, event in naive.events.items() if key[0] != stream}
            self.assertEqual(done, naive.done)
            self.assertEqual(len(pending), len(naive.events))
            for pieces in pending._streams.values():
                self.assertTrue(pieces)
                self.assertTrue(all(piece.first <= piece.last for piece in pieces))
                self.assertTrue(all(a.last < b.first for a, b in pairwise(pieces)))
        self.assertEqual(pending._streams, {})


class PendingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pending = Pending()

    def _add(self, first: int, last: int, *waiting: str) -> None:
        self.pending.add("s", Piece(first, last, set(waiting), len(waiting), Level.DELIVERED))

    def _answer(self, first: int, last: int, peer: str, outcome: Outcome = Outcome.OK) -> list[tuple[int, int]]:
        return [(piece.first, piece.last) for piece in self.pending.answer("s", first, last, peer, outcome)]

    def test_whole(self) -> None:
        """A run that is answered as it was routed is one piece from end to end."""
        self._add(1, 1000, "p", "q")
        self.assertEqual(self._answer(1, 1000, "p"), [])
        self.assertEqual(len(self.pending._streams["s"]), 1)
        self.assertEqual(self._answer(1, 1000, "q"), [(1, 1000)])
        self.assertEqual(len(self.pending), 0)

    def test_middle(self) -> None:
        """An answer for some in the middle leaves both sides waiting."""
        self._add(1, 10, "p")
        self.assertEqual(self._answer(4, 6, "p"), [(4, 6)])
        self.assertEqual(self._answer(4, 6, "p"), [])
        self.assertEqual(len(self.pending), 7)
        self.assertEqual(self._answer(1, 10, "p"), [(1, 3), (7, 10)])

    def test_hugeRange(self) -> None:
        """A range far larger than anything there answers what is there, at no more cost."""
        self._add(5, 7, "p")
        self._add(9, 9, "p")
        self.assertEqual(self._answer(0, MAX_SEQUENCE, "stranger"), [])
        self.assertEqual(self._answer(0, MAX_SEQUENCE, "p"), [(5, 7), (9, 9)])
        self.assertEqual(self._answer(0, MAX_SEQUENCE, "p"), [])

    def test_backwards(self) -> None:
        """A range that goes backwards holds no number: no event is split or doubled by it."""
        self._add(1, 10, "p", "q")
        self.assertEqual(self._answer(5, 3, "p"), [])
        self.assertEqual((self.pending.within("s", 5, 3), self.pending.waits("s", 5, 3, "p")), ([], False))
        self.assertEqual([(piece.first, piece.last) for piece in self.pending._streams["s"]], [(1, 10)])
        self.assertEqual(self._answer(1, 10, "p"), [])
        self.assertEqual(self._answer(1, 10, "q"), [(1, 10)])

    def test_outOfOrder(self) -> None:
        """A run with lower numbers than one that waits already finds its place."""
        self._add(11, 20, "p")
        self._add(1, 10, "p")
        self.assertEqual(self._answer(8, 13, "p"), [(8, 10), (11, 13)])

    def test_many(self) -> None:
        """One answer to 50,000 runs takes no longer for each than an answer to one."""
        for first in range(1, 50_001):
            self._add(first, first, "p")
        self.assertEqual(len(self._answer(1, 50_000, "p")), 50_000)
        self.assertEqual(len(self.pending), 0)

    def test_alternating(self) -> None:
        """Whether anything of a long run still waits is seen at the first that does."""
        self._add(1, 10_000, "p")
        for number in range(2, 10_000, 2):
            self._answer(number, number, "p")
            self.assertTrue(self.pending.waits("s", 1, 10_000, "p"))
        self.assertFalse(self.pending.waits("s", 2, 2, "p"))
        self.assertFalse(self.pending.waits("s", 1, 10_000, "stranger"))

    def test_move(self) -> None:
        """What moves waits for the new one from then on, with all that was said so far; the old one's answer is nobody's."""
        self._add(1, 10, "p", "q")
        self._answer(1, 10, "q", Outcome.LATE)
        self.pending.move("s", 4, 6, "p", "r")
        self.assertEqual(self._answer(1, 10, "p"), [(1, 3), (7, 10)])
        (piece,) = self.pending.answer("s", 1, 10, "r", Outcome.OK)
        self.assertEqual((piece.first, piece.last, piece.matched, piece.delivered, piece.dropped), (4, 6, 2, 1, 1))

    def test_firstReason(self) -> None:
        """Of several reasons the first one is told."""
        self._add(1, 1, "p", "q")
        self.pending.answer("s", 1, 1, "p", Outcome.FAILED, "first")
        (piece,) = self.pending.answer("s", 1, 1, "q", Outcome.FAILED, "second")
        self.assertEqual((piece.reason, piece.failed, piece.delivered), ("first", 2, 2))
