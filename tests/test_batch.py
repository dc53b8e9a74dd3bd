"""The frames that a link carries, packed into batches."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import batch
from nodeset.core.batch import (
    MAX_BATCH,
    MAX_EVENT,
    MAX_EVENTS,
    MAX_FRAMES,
    MAX_HEADERS,
    MAX_QUEUED,
    MAX_QUEUED_BYTES,
    MAX_RANGES,
    MAX_REASON,
    MAX_SEQUENCE,
    NO_HEADERS,
    RAW_HEADERS,
    Answer,
    Ask,
    Asked,
    Beat,
    Bye,
    Call,
    Cancel,
    Confirm,
    Done,
    Events,
    Frame,
    Item,
    Keep,
    Level,
    Mode,
    More,
    Outcome,
    Policy,
    Result,
    Sub,
    Subbed,
    Took,
    Unsub,
    Want,
    pack,
    unpack,
    unpackHeaders,
)
from nodeset.core.calls.callframes import Ending
from nodeset.errors import MessageTooLarge, ProtocolError
from tests.frames import encode, frames, lookInHeaders, runs, survives


def _run(**changes: Any) -> Events:
    values: dict[str, Any] = {
        "stream": "", "low": 1, "mode": Mode.ALL, "again": False, "event": "ev", "first": 1, "level": Level.DELIVERED,
        "lengths": [2, 0, 3], "headers": NO_HEADERS, "payloads": b"abcde",
    }  # fmt: skip
    return Events(**(values | changes))


def _plain(frame: Frame) -> list[Any]:
    """`frame` as the list that is on the wire, to be spoilt."""
    plain: list[Any] = msgspec.msgpack.decode(encode(frame))
    return plain


class RoundTripTests(SynchronousTestCase):
    @given(st.lists(frames, max_size=8))
    @settings(max_examples=100, deadline=None)
    def test_frames(self, sent: list[Frame]) -> None:
        """Every frame arrives as it was sent, in order."""
        received = unpack(pack(sent))
        self.assertEqual(received, sent)
        for frame, other in zip(received, sent, strict=True):
            self.assertIs(type(frame), type(other))
            if isinstance(frame, Events) and isinstance(other, Events):
                self.assertEqual(bytes(frame.headers), bytes(other.headers))
                self.assertIs(type(frame.mode), Mode)
                self.assertIs(type(frame.level), Level)

    def test_last(self) -> None:
        """A run knows the number of its last event."""
        self.assertEqual(_run(first=7).last, 9)

    @given(runs(), st.data())
    @settings(max_examples=100, deadline=None)
    def test_part(self, run: Events, data: st.DataObject) -> None:
        """A part of a run is a run of its own: its numbers with their payloads, all else as it was."""
        first = data.draw(st.integers(run.first, run.last))
        last = data.draw(st.integers(first, run.last))
        parts = [
            run.part(begin, end) for begin, end in ((run.first, first - 1), (first, last), (last + 1, run.last)) if begin <= end
        ]
        self.assertEqual(b"".join(part.payloads for part in parts), run.payloads)
        self.assertEqual([length for part in parts for length in part.lengths], run.lengths)
        for part in parts:
            self.assertEqual(sum(part.lengths), len(part.payloads))
            shared = (part.stream, part.low, part.mode, part.again, part.event, part.level, bytes(part.headers))
            self.assertEqual(shared, (run.stream, run.low, run.mode, run.again, run.event, run.level, bytes(run.headers)))
        self.assertEqual((run.part(first, last).first, run.part(first, last).last), (first, last))
        self.assertIs(run.part(run.first, run.last), run)

    @given(runs())
    @settings(max_examples=100, deadline=None)
    def test_weight(self, run: Events) -> None:
        """No run is heavier on the wire than it says, so that batches are cut in time."""
        self.assertLessEqual(len(encode(run)), run.weight + 30)


class FormTests(SynchronousTestCase):
    def test_wire(self) -> None:
        """The bytes are those that the room's docstring promises: kinds and fields never move within a version."""
        sent: list[Frame] = [
            _run(),
            Took(2),
            Confirm("s", [(1, 2)], Outcome.LATE, "why"),
            Done([(1, 2)], Result.FAILED, 3, 2, 1, "why"),
            Sub("ev", False, Policy.DROP_OLDEST, 5, 6),
            Unsub("ev"),
            Subbed("ev", False, "why"),
            Beat(),
            Bye("why"),
            Keep("ev"),
            Want("ev", "s"),
            Call("s", 2, 1, "calc", "add", 500, 1, False, NO_HEADERS, b"[[],{}]", "t/g"),
            Answer("s", 2, Ending.VALUE, b"3", "c"),
            Cancel("s", 2),
            Asked(2, [("c", "calc", "localhost")]),
            Ask("s", [(1, 2)]),
            Item("s", 2, 0, [b"1", b"2"]),
            More("s", 2, 9),
        ]
        self.assertEqual(
            msgspec.msgpack.decode(pack(sent)),
            [
                [0, "", 1, 0, False, "ev", 1, 1, [2, 0, 3], None, b"abcde", 0, "", ""],
                [1, 2, 0],
                [2, "s", [[1, 2]], 2, "why"],
                [3, [[1, 2]], 2, 3, 2, 1, "why"],
                [4, "ev", False, 1, 5, 6],
                [5, "ev"],
                [6, "ev", False, "why"],
                [7, 0, 0],
                [8, "why"],
                [17, "ev", True, False],
                [18, "ev", "s"],
                [10, "s", 2, 1, "calc", "add", 500, 1, False, None, b"[[],{}]", "t/g"],
                [11, "s", 2, 0, b"3", "c"],
                [12, "s", 2],
                [13, 2, [["c", "calc", "localhost"]]],
                [14, "s", [[1, 2]]],
                [15, "s", 2, 0, [b"1", b"2"]],
                [16, "s", 2, 9],
            ],
        )

    def test_longerFrames(self) -> None:
        """Fields that a later version appends to a frame are passed over."""
        self.assertEqual(
            unpack(encode([[7, 0, 0, "more"], [4, "ev", True, 0, 1, 2, {"more": [1]}]])),
            [Beat(), Sub("ev", True, Policy.BLOCK, 1, 2)],
        )

    def test_earlierFrames(self) -> None:
        """A subscription that says nothing of its queue has the usual one."""
        (sub,) = unpack(encode([[4, "ev"]]))
        self.assertEqual(sub, Sub("ev", True, Policy.BLOCK, 10_000, 8 * 1024 * 1024))

    def test_headers(self) -> None:
        """Headers that nobody knows are handed on; none are an empty map."""
        known = {"content_type": "raw", "from_the_future": [1, {"a": None}]}
        self.assertEqual(unpackHeaders(msgspec.Raw(encode(known))), known)
        self.assertEqual(unpackHeaders(NO_HEADERS), {})
        self.assertEqual(unpackHeaders(RAW_HEADERS), {"content_type": "raw"})
        self.assertIn("content_type", batch.RESERVED_HEADERS)


class RefusedTests(SynchronousTestCase):
    def assertRefused(self, frame: Any, *words: str) -> None:
        """A batch with `frame` between two good ones is refused as a whole, in one line that has all `words`."""
        error = self.assertRaises(ProtocolError, unpack, encode([[7], frame, [7]]))
        for word in words:
            self.assertIn(word, str(error))
        self.assertNotIn("\n", str(error))
        self.assertLess(len(str(error)), 300)

    def test_wrongCounts(self) -> None:
        """Lengths that do not add up to the payload, none at all, fields too few: the whole batch is refused."""
        self.assertRefused(_run(lengths=[2, 0, 4]), "'ev'", "6 bytes", "5")
        self.assertRefused(_run(lengths=[2, 0, 2]), "'ev'")
        self.assertRefused(_run(lengths=[MAX_EVENT] * 3), "holds 5")
        self.assertRefused(_run(lengths=[], payloads=b""), "no event")
        for frame in (_run(), Took(1), Confirm("s", [], Outcome.OK), Done([], Result.OK, 1, 1, 0), Unsub("a")):
            required = sum(field.required for field in msgspec.structs.fields(frame))
            self.assertRefused(_plain(frame)[:required], "frames")
        self.assertRefused([4], "frames")

    def test_wrongTypes(self) -> None:
        """Every field of a run that has a value of another type, or below zero, is refused."""
        for index in range(1, 11):
            for value in ({"a": 1}, 1.5, -1, "text", None, [["x"]]):
                spoilt = _plain(_run())
                spoilt[index] = value
                if (index in (1, 5) and value == "text") or index == 9:
                    continue  # these may be any text, any headers
                self.assertRefused(spoilt, "frames")

    def test_unknownKinds(self) -> None:
        """A kind that this version does not know, or no kind at all, is refused."""
        for frame in ([9], [-1], [99, 1], [2**63], ["7"], [None], [], {}, {"7": 7}, 7, None, "x"):
            self.assertRefused(frame, "frames")

    def test_unknownValues(self) -> None:
        """A mode, level, outcome or result that does not exist is refused."""
        for frame, index in (
            (_run(), 3),
            (_run(), 7),
            (Confirm("s", [], Outcome.OK, ""), 3),
            (Sub("ev"), 3),
            (Done([], Result.OK, 1, 1, 0), 2),
        ):
            spoilt = _plain(frame)
            spoilt[index] = 7
            self.assertRefused(spoilt, "frames")

    def test_numbers(self) -> None:
        """No number is over 64 bits with sign: neither a first, nor the last that follows from it."""
        self.assertEqual(unpack(pack([_run(first=MAX_SEQUENCE - 2)]))[0], _run(first=MAX_SEQUENCE - 2))
        self.assertRefused(_run(first=MAX_SEQUENCE - 1), str(MAX_SEQUENCE))
        self.assertRefused([1, 2**63])
        self.assertRefused([2, "s", [[0, 2**63]], 0, ""])

    def test_backwards(self) -> None:
        """A range that goes backwards is refused."""
        self.assertRefused(Confirm("s", [(1, 2), (5, 3)], Outcome.OK), "from 5 to 3")
        self.assertRefused(Done([(5, 3)], Result.OK, 1, 1, 0), "from 5 to 3")

    def test_limits(self) -> None:
        """What just fits is taken, one more is refused: names, reasons, events, runs, headers, ranges, frames."""
        blob = b"x" * MAX_EVENT
        full = {"a": b"x" * (MAX_HEADERS - 6)}
        self.assertEqual(len(encode(full)), MAX_HEADERS)
        fits: list[Frame] = [
            _run(lengths=[MAX_EVENT], payloads=blob),
            _run(lengths=[MAX_EVENT // 2] * 2, payloads=blob),
            _run(lengths=[0] * MAX_EVENTS, payloads=b""),
            _run(headers=msgspec.Raw(encode(full))),
            _run(event="é" * 800, stream="s" * 64),
            Confirm("s", [(n, n) for n in range(MAX_RANGES)], Outcome.OK, "r" * MAX_REASON),
            Sub("p" * 800),
            Bye("r" * MAX_REASON),
        ]
        for frame in fits:
            self.assertEqual(unpack(pack([frame])), [frame])
        over: list[Frame] = [
            _run(lengths=[MAX_EVENT + 1], payloads=blob + b"x"),
            _run(lengths=[MAX_EVENT, 1], payloads=blob + b"x"),
            _run(lengths=[0] * (MAX_EVENTS + 1), payloads=b""),
            _run(headers=msgspec.Raw(encode({"a": b"x" * (MAX_HEADERS - 5)}))),
            _run(event="e" * 801),
            _run(stream="s" * 65),
            Confirm("s", [(n, n) for n in range(MAX_RANGES + 1)], Outcome.OK),
            Done([(n, n) for n in range(MAX_RANGES + 1)], Result.OK, 1, 1, 0),
            Confirm("s", [], Outcome.OK, "r" * (MAX_REASON + 1)),
            Sub("p" * 801),
            Bye("r" * (MAX_REASON + 1)),
        ]
        for frame in over:
            self.assertRefused(frame)
        self.assertEqual(len(unpack(encode([[7]] * MAX_FRAMES))), MAX_FRAMES)
        error = self.assertRaises(ProtocolError, unpack, encode([[7]] * (MAX_FRAMES + 1)))
        self.assertIn(str(MAX_FRAMES), str(error))

    def test_queueLimits(self) -> None:
        """No subscription may have more queued than a dispatcher grants, nor nothing at all."""
        for events, size in ((0, 1), (1, 0), (MAX_QUEUED + 1, 1), (1, MAX_QUEUED_BYTES + 1), (-1, 1)):
            self.assertRefused([4, "ev", True, 0, events, size], "frames")
        self.assertEqual(len(unpack(encode([[4, "ev", True, 0, MAX_QUEUED, MAX_QUEUED_BYTES]]))), 1)

    def test_batchLimit(self) -> None:
        """A batch over 2 MiB is neither sent nor taken."""
        large = [_run(lengths=[MAX_EVENT], payloads=b"x" * MAX_EVENT)] * 2
        error = self.assertRaises(MessageTooLarge, pack, large)
        self.assertIn(str(MAX_BATCH), str(error))
        self.assertRaises(ProtocolError, unpack, encode(large))

    def test_longNames(self) -> None:
        """A name full of characters that print as escapes does not make a long error: it goes to others as a reason."""
        for event in ("\U000e0001" * 800, "x" * 800):
            for run in (
                _run(event=event, lengths=[]),
                _run(event=event, lengths=[1]),
                _run(event=event, first=MAX_SEQUENCE),
                _run(event=event, headers=msgspec.Raw(encode("h" * MAX_HEADERS))),
            ):
                self.assertRefused(run, "...")

    def test_noText(self) -> None:
        """Names that are not UTF-8, lone surrogates among them, are refused."""
        for text in (b"\xff", b"\xed\xa0\x80", b"\xc0\x80"):
            self.assertFalse(survives(unpack, b"\x91\x92\x05\xa3" + text.ljust(3, b"a")))
            self.assertFalse(survives(lookInHeaders, b"\x81\xa3" + text.ljust(3, b"a") + b"\xc0"))
            self.assertFalse(survives(lookInHeaders, b"\x81\xa1a\xa3" + text.ljust(3, b"a")))

    def test_noHeaders(self) -> None:
        """Headers that are no map, have keys that are no text or that cannot be keys, are refused."""
        for spoilt in (
            b"",
            b"\x01",
            b"\x90",
            b"\xa1a",
            b"\x81\x01\x01",
            b"\x81\xa1a\x81\x80\x01",
            b"\x81\xa1a\x81\x91\x80\x01",
        ):
            self.assertFalse(survives(lookInHeaders, spoilt), spoilt)
