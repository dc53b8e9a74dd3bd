"""Events in a row, until they are confirmed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import NO_HEADERS, RAW_HEADERS, TARGET, Events, Level, Mode
from nodeset.core.blocks import EACH, GRAIN, Block, Terms, begin, makeRuns

TERMS = Terms("ev", timeout=60.0)


def make(first: int, *payloads: bytes, terms: Terms = TERMS, sent: bool = False) -> Block:
    """A block whose tokens are the sequence numbers."""
    tokens: list[Any] = list(range(first, first + len(payloads)))
    block = begin(terms, first, list(payloads), tokens, sum(map(len, payloads)), 60.0, TARGET)
    block.sent = sent
    return block


class BlockTests(SynchronousTestCase):
    def test_new(self) -> None:
        """A block knows its numbers, its size, how much more fits in, until when that may be."""
        block = make(7, b"one", b"", b"three")
        self.assertEqual((block.last, block.left, block.size, block.room), (9, 3, 8, TARGET - 8 - 3 * EACH))
        self.assertEqual((block.deadline, block.until, block.firstLeft()), (60.0, 60.0 + GRAIN, 7))
        self.assertEqual(begin(TERMS, 1, [b"x"], [1], 1, None).until, float("inf"))

    def test_release(self) -> None:
        """What is over is handed back once, in order, with its bytes; its payload is let go."""
        block = make(1, b"a", b"bb", b"ccc", b"dddd")
        self.assertEqual(block.release(2, 3), ([2, 3], 5))
        self.assertEqual((block.left, block.size, block.payloads), (2, 5, [b"a", b"", b"", b"dddd"]))
        self.assertEqual(block.release(3, 99), ([4], 4))
        self.assertEqual(block.release(2, 4), ([], 0))
        self.assertEqual((block.firstLeft(), block.release(0, 1)), (1, ([1], 1)))
        self.assertEqual((block.left, block.size, block.tokens, block.payloads), (0, 0, [], []))
        self.assertEqual(block.release(1, 4), ([], 0))

    def test_releaseAll(self) -> None:
        """All at once is the same."""
        for first, last in ((1, 2), (0, 99)):
            block = make(1, b"a", b"bb")
            self.assertEqual(block.release(first, last), ([1, 2], 3))
            self.assertEqual((block.left, block.size, block.tokens, block.payloads), (0, 0, [], []))

    def test_elsewhere(self) -> None:
        """Numbers that are not in it change nothing."""
        block = make(5, b"a", b"b")
        for first, last in ((1, 4), (7, 9), (6, 5)):
            self.assertEqual(block.release(first, last), ([], 0))
        self.assertEqual((block.left, block.payloads), (2, [b"a", b"b"]))

    @given(st.lists(st.binary(max_size=4), min_size=1, max_size=8), st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6))))
    def test_naive(self, payloads: list[bytes], ranges: list[tuple[int, int]]) -> None:
        """Whatever is released in whatever order: what is left, its bytes, its parts are those of a dictionary."""
        block = make(3, *payloads)
        left = dict(enumerate(payloads, 3))
        for first, length in ranges:
            over = [number for number in left if first <= number <= first + length]
            size = sum(len(left.pop(number)) for number in over)
            self.assertEqual(block.release(first, first + length), (over, size))
            self.assertEqual((block.left, block.size), (len(left), sum(map(len, left.values()))))
            if left:
                self.assertEqual(block.firstLeft(), min(left))
                self.assertEqual(dict(self._flat(block)), left)

    def _flat(self, block: Block) -> list[tuple[int, bytes]]:
        return [(first + index, payload) for first, part in block.parts() for index, payload in enumerate(part)]

    def test_weight(self) -> None:
        """Packed, it is never heavier than it says."""
        block = make(1, b"", b"x" * 300, terms=Terms("\U0001f600" * 200, headers=RAW_HEADERS))
        (run,) = makeRuns([block], 1)
        self.assertLessEqual(len(run.payloads) + 3 * 2 + 4 * 200 + len(RAW_HEADERS), block.weight)


class RunTests(SynchronousTestCase):
    def test_run(self) -> None:
        """A block leaves as one run, with all that its terms say."""
        terms = Terms("jobs", Mode.ONE, Level.HANDLED, None, RAW_HEADERS)
        block = make(5, b"one", b"two", terms=terms, sent=True)
        self.assertEqual(
            makeRuns([block], 2), [Events("", 2, Mode.ONE, True, "jobs", 5, Level.HANDLED, [3, 3], RAW_HEADERS, b"onetwo")]
        )

    def test_together(self) -> None:
        """Blocks that follow each other under the same terms leave as one run; they stay what they are."""
        blocks = make(1, b"a"), make(2, b"b", b"c"), make(4, b"d")
        (run,) = makeRuns(blocks, 1)
        self.assertEqual((run.first, run.lengths, run.payloads, run.headers), (1, [1, 1, 1, 1], b"abcd", NO_HEADERS))
        self.assertEqual([len(block.payloads) for block in blocks], [1, 2, 1])

    def test_apart(self) -> None:
        """Another gap, other terms, sent or not, or the size of a batch end a run."""
        large = b"x" * (TARGET // 2)
        for blocks in (
            (make(1, b"a"), make(3, b"b")),
            (make(1, b"a"), make(2, b"b", terms=Terms("other"))),
            (make(1, b"a", sent=True), make(2, b"b")),
            (make(1, large), make(2, large)),
            (make(1, *[b""] * (TARGET // EACH)), make(TARGET // EACH + 1, b"")),
        ):
            self.assertEqual([run.first for run in makeRuns(blocks, 1)], [block.first for block in blocks])

    def test_gaps(self) -> None:
        """What is over is left out: no run goes over it, nor over the end of a block that has lost its last."""
        blocks = make(1, b"a", b"b", b"c", b"d"), make(5, b"e", b"f")
        for number in (2, 4):
            blocks[0].release(number, number)
        blocks[1].release(6, 6)
        runs = makeRuns(blocks, 1)
        self.assertEqual(
            [(run.first, run.payloads, run.lengths) for run in runs], [(1, b"a", [1]), (3, b"c", [1]), (5, b"e", [1])]
        )
        blocks[0].release(1, 3)
        self.assertEqual([run.first for run in makeRuns(blocks, 1)], [5])

    def test_nothing(self) -> None:
        """Nothing makes nothing."""
        self.assertEqual(makeRuns([], 1), [])
