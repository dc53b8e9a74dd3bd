"""Frames gathered into batches, sent once a reactor turn."""

from __future__ import annotations

from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.msgpack import encode
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import (
    MAX_BATCH,
    MAX_EVENT,
    MAX_EVENTS,
    MAX_FRAMES,
    MAX_HEADERS,
    MAX_RANGES,
    MAX_REASON,
    MAX_SEQUENCE,
    NO_HEADERS,
    Beat,
    Bye,
    Confirm,
    Done,
    Events,
    Frame,
    Level,
    Mode,
    Outcome,
    Result,
    Sub,
    Subbed,
    Took,
    Unsub,
    pack,
    unpack,
)
from nodeset.core.writer import TARGET, BatchWriter, _weigh


def _next(events: Any) -> Any:
    return events.pop(0) if events else []


class FakeLink:
    """Keeps the batches it was given."""

    peer = "somebody"

    def __init__(self) -> None:
        self.batches: list[bytes] = []

    def send(self, batch: bytes) -> None:
        """Keep it."""
        self.batches.append(batch)

    def close(self) -> None:
        """Never asked for."""
        raise AssertionError("a writer does not close")

    def abort(self) -> None:
        """Never asked for."""
        raise AssertionError("a writer does not abort")

    @property
    def frames(self) -> list[Frame]:
        """All that came, in order."""
        return [frame for batch in self.batches for frame in unpack(batch)]


def _run(first: int, *sizes: int, event: str = "ev", headers: Raw = NO_HEADERS) -> Events:
    return Events("", 1, Mode.ALL, False, event, first, Level.DELIVERED, list(sizes), headers, b"x" * sum(sizes))


_FULL_HEADERS = Raw(encode({"a": b"x" * (MAX_HEADERS - 6)}))
_NAME, _REASON = "\U0001f600" * 800, "\U0001f600" * MAX_REASON
_FULL = b"x" * MAX_EVENT
_LENGTHS = [64] * MAX_EVENTS
_RANGES = [(MAX_SEQUENCE - 1, MAX_SEQUENCE)] * MAX_RANGES
#: The largest frame of each kind.
_LARGE: list[Frame] = [
    Events("s" * 64, 2**62, Mode.ONE, True, _NAME, 2**62, Level.HANDLED, _LENGTHS, _FULL_HEADERS, _FULL),
    Took(MAX_SEQUENCE),
    Confirm("s" * 64, _RANGES, Outcome.FAILED, _REASON),
    Done(_RANGES, Result.OK, MAX_SEQUENCE, MAX_SEQUENCE, MAX_SEQUENCE, _REASON),
    Sub(_NAME),
    Unsub(_NAME),
    Subbed(_NAME, False, _REASON),
    Beat(),
    Bye(_REASON),
]


class WriterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.link = Clock(), FakeLink()
        self.writer = BatchWriter(self.clock)

    def test_credit(self) -> None:
        """Credit for one batch wakes nobody: it leaves with the next frame, or when it is half of what may be under way."""
        self.writer.attach(self.link)
        self.clock.advance(0)
        self.writer.write(Took(1))
        self.clock.advance(1)
        self.assertEqual(self.link.batches, [])
        self.writer.write(Beat())
        self.clock.advance(0)
        self.assertEqual(self.link.frames, [Took(1), Beat()])
        for _ in range(2):
            self.writer.write(Took(1))
            self.clock.advance(0)
        self.assertEqual(self.link.frames[2:], [Took(2)])

    def test_creditOfALostLink(self) -> None:
        """Credit is forgotten with the link that it was for."""
        self.writer.attach(self.link)
        self.writer.write(Took(1))
        self.writer.detach()
        self.writer.write(Took(1))
        self.writer.attach(self.link)
        self.writer.write(Beat())
        self.clock.advance(0)
        self.assertEqual(self.link.frames, [Beat()])

    def test_oneTurn(self) -> None:
        """What is written in one turn leaves together at its end, in order; the next turn sends only what is new."""
        self.writer.attach(self.link)
        for frame in (Sub("a"), Beat(), Sub("b")):
            self.writer.write(frame)
        self.assertEqual(self.link.batches, [])
        self.clock.advance(0)
        self.assertEqual(len(self.link.batches), 1)
        self.writer.write(Unsub("a"))
        self.clock.advance(0)
        self.assertEqual(self.link.frames, [Sub("a"), Beat(), Sub("b"), Unsub("a")])
        self.assertEqual((len(self.link.batches), self.clock.getDelayedCalls()), (2, []))

    def test_nothing(self) -> None:
        """Nothing to say is no batch."""
        self.writer.attach(self.link)
        self.writer.poke()
        self.clock.advance(0)
        self.writer.flush()
        self.assertEqual(self.link.batches, [])

    def test_flush(self) -> None:
        """Flushed by hand, it sends at once and not again."""
        self.writer.attach(self.link)
        self.writer.write(Bye("over"))
        self.writer.flush()
        self.clock.advance(0)
        self.assertEqual(self.link.frames, [Bye("over")])

    def test_detached(self) -> None:
        """Without a link what is written is dropped; no timer is left."""
        self.writer.write(Beat())
        self.writer.flush()
        self.writer.attach(self.link)
        self.writer.write(Beat())
        self.writer.detach()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.writer.write(Beat())
        self.writer.poke()
        self.writer.flush()
        self.clock.advance(0)
        self.assertEqual(self.link.batches, [])

    def test_newLink(self) -> None:
        """What was written for an earlier link and not sent is not for the new one."""
        self.writer.attach(self.link)
        self.writer.write(Sub("old"))
        new = FakeLink()
        self.writer.attach(new)
        self.writer.write(Sub("new"))
        self.clock.advance(0)
        self.assertEqual((self.link.frames, new.frames), ([], [Sub("new")]))

    def test_source(self) -> None:
        """The source is asked until it has no more, also when nothing was written; its events come after what was."""
        batches = [[_run(1, 5), _run(2, 5)], [_run(3, 5)]]
        writer = BatchWriter(self.clock, lambda: batches.pop(0) if batches else [])
        writer.poke()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        writer.attach(self.link)
        self.clock.advance(0)
        self.assertEqual([len(unpack(batch)) for batch in self.link.batches], [2, 1])
        batches.append([_run(4, 5)])
        writer.write(Beat())
        self.assertEqual(len(batches), 1)
        writer.poke()
        self.clock.advance(0)
        self.assertEqual([unpack(batch) for batch in self.link.batches[2:]], [[Beat(), _run(4, 5)]])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_detachedSource(self) -> None:
        """Without a link the source is not asked: what it gives counts as sent."""

        def source() -> list[Events]:
            raise AssertionError("asked without a link")

        writer = BatchWriter(self.clock, source)
        writer.poke()
        writer.flush()
        writer.attach(self.link)
        writer.detach()
        self.clock.advance(0)

    def test_writingSource(self) -> None:
        """What is written while the source is asked leaves after that, in a batch of its own."""
        writes: list[Frame] = [Sub("later")]

        def source() -> list[Events]:
            if writes:
                writer.write(writes.pop())
            return []

        writer = BatchWriter(self.clock, source)
        writer.attach(self.link)
        writer.write(Beat())
        self.clock.advance(0)
        self.assertEqual([unpack(batch) for batch in self.link.batches], [[Beat()], [Sub("later")]])

    def test_fullBatches(self) -> None:
        """The last frames written share a batch with the first events; were both as large as can be, it can be read."""
        for frames in ([Beat()] * 5000, [Confirm("s" * 64, _RANGES, Outcome.FAILED, _REASON)], [Bye(_REASON)] * 20):
            events = [[_run(1, MAX_EVENT, headers=_FULL_HEADERS)], [_run(number, 0) for number in range(2, 900)]]
            link, clock = FakeLink(), Clock()
            writer = BatchWriter(clock, partial(_next, events))
            writer.attach(link)
            for frame in frames:
                writer.write(frame)
            clock.advance(0)
            self.assertEqual(len(link.frames), len(frames) + 899)

    def test_target(self) -> None:
        """Batches stay near the target, so that the other side begins while we still write; a large event gets its own."""
        self.writer.attach(self.link)
        sizes = [1000] * 800 + [MAX_EVENT] + [1000] * 10
        for first, size in enumerate(sizes, 1):
            self.writer.write(_run(first, size))
        self.clock.advance(0)
        self.assertEqual(
            [frame.first for frame in self.link.frames if isinstance(frame, Events)], list(range(1, len(sizes) + 1))
        )
        large = [batch for batch in self.link.batches if len(batch) > TARGET]
        self.assertEqual(
            [[len(frame.payloads) for frame in unpack(one) if isinstance(frame, Events)] for one in large], [[MAX_EVENT]]
        )
        self.assertEqual(len(self.link.batches), 4 + 1 + 1)

    def test_manyFrames(self) -> None:
        """However many small frames: no batch has more than a receiver accepts."""
        self.writer.attach(self.link)
        for _ in range(MAX_FRAMES + 10):
            self.writer.write(Beat())
        self.clock.advance(0)
        self.assertEqual(len(self.link.frames), MAX_FRAMES + 10)

    def test_weight(self) -> None:
        """No frame is heavier than it was taken for, were it as large as can be; the largest of each kind fits into a batch."""
        for frame in _LARGE:
            packed = pack([frame])
            self.assertEqual(unpack(packed), [frame])
            self.assertLessEqual(len(packed), _weigh(frame) + 100, type(frame).__name__)

    def test_heavy(self) -> None:
        """Hundreds of frames that are heavy by other things than payloads all arrive, none is lost to the batch limit."""
        heavy: list[Frame] = [
            _run(1, 1, headers=_FULL_HEADERS),
            Confirm("s", [], Outcome.FAILED, _REASON),
            Done([(2 * n, 2 * n) for n in range(1000)], Result.OK, 1, 1, 0),
            Sub(_NAME),
            Unsub(_NAME),
            Subbed("ev", False, _REASON),
            Bye(_REASON),
        ]
        for frame in heavy:
            frames = [frame] * (MAX_BATCH // len(encode(frame)) + 100)
            self.assertGreater(len(encode(frames)), MAX_BATCH)
            link = FakeLink()
            self.writer.attach(link)
            for one in frames:
                self.writer.write(one)
            self.clock.advance(0)
            self.assertEqual(link.frames, frames)

    @given(st.lists(st.one_of(st.integers(0, 100_000), st.sampled_from([0, TARGET, MAX_EVENT])), max_size=30))
    @settings(max_examples=30, deadline=None)
    def test_order(self, sizes: list[int]) -> None:
        """Whatever the sizes: everything arrives once, in order, in batches of the target at most, or of a single frame."""
        link = FakeLink()
        self.writer.attach(link)
        for first, size in enumerate(sizes, 1):
            self.writer.write(_run(first, size))
        self.clock.advance(0)
        self.assertEqual([len(frame.payloads) for frame in link.frames if isinstance(frame, Events)], sizes)
        self.assertTrue(all(len(batch) <= TARGET or len(unpack(batch)) == 1 for batch in link.batches))
