"""Batches from somebody who means harm."""

from __future__ import annotations

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import (
    MAX_SEQUENCE,
    Confirm,
    Done,
    Events,
    Frame,
    pack,
    unpack,
)
from tests.frames import Mutation, frames, lookInHeaders, mutations, survives

#: Every place where a count is read, with what comes before the count.
_COUNTED = {
    "frames": (unpack, b"", b""),
    "frame": (unpack, b"\x91", b"\x07"),
    "lengths": (unpack, b"\x91\x9b\x00\xa0\x00\x00\xc2\xa1e\x01\x01", b""),
    "headers": (unpack, b"\x91\x9b\x00\xa0\x00\x00\xc2\xa1e\x01\x01\x91\x00", b""),
    "ranges": (unpack, b"\x91\x95\x02\xa1s", b""),
    "done": (unpack, b"\x91\x96\x03", b""),
    "one range": (unpack, b"\x91\x95\x02\xa1s\x91", b"\x01\x01"),
    "appended": (unpack, b"\x91\x92\x07", b""),
    "header": (lookInHeaders, b"\x81\xa1a", b""),
}


class HostileTests(SynchronousTestCase):
    def test_counts(self) -> None:
        """A count of two thousand million without the items is refused, and nothing is allocated for it."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for what, (read, before, after) in _COUNTED.items():
            for marker in (b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"):
                for count in (b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x00\x0f\xff\xff"):
                    tracemalloc.reset_peak()
                    began = tracemalloc.get_traced_memory()[0]
                    self.assertFalse(survives(read, before + marker + count + after), what)
                    self.assertLess(tracemalloc.get_traced_memory()[1] - began, 100_000, what)

    def test_nesting(self) -> None:
        """Arrays and maps a million deep, wherever they may stand, are refused and crash nobody."""
        deep = 1_000_000
        for read, before, _after in _COUNTED.values():
            for level in (b"\x91", b"\x81\xa1a", b"\x81"):
                bomb = before + level * (deep // len(level))
                self.assertFalse(survives(read, bomb))
                self.assertFalse(survives(read, bomb + b"\xc0"))

    def test_emptyThings(self) -> None:
        """No bytes, or no array, is no batch; a batch of no frames is one."""
        for spoilt in (b"", b"\xc0", b"\x80", b"\x07", b"\xdc", b"\xdd\x00", b"\xdc\x00", b"\x90\x90", b"\x91"):
            self.assertFalse(survives(unpack, spoilt), spoilt)
        for empty in (b"\x90", b"\xdc\x00\x00", b"\xdd\x00\x00\x00\x00"):
            self.assertEqual(unpack(empty), [])

    @given(st.lists(frames, min_size=1, max_size=4), mutations)
    @settings(max_examples=150, deadline=None)
    def test_mutatedBatches(self, sent: list[Frame], mutated: list[Mutation]) -> None:
        """A batch that was cut, changed or lengthened anywhere is read or refused with a ProtocolError, nothing else."""
        packed = pack(sent)
        for mutation in mutated:
            packed = mutation(packed)
        if survives(unpack, packed):
            for frame in unpack(packed):
                if isinstance(frame, Events):
                    self.assertEqual(sum(frame.lengths), len(frame.payloads))
                    self.assertLessEqual(frame.last, MAX_SEQUENCE)
                    survives(lookInHeaders, bytes(frame.headers))
                elif isinstance(frame, (Confirm, Done)):
                    self.assertTrue(all(first <= last for first, last in frame.ranges))
                pack([frame])  # whatever is let in can be passed on

    @given(st.binary(max_size=60))
    @settings(max_examples=100, deadline=None)
    def test_anyBytes(self, data: bytes) -> None:
        """Whatever bytes come, every reader takes them or refuses them with a ProtocolError."""
        for read in (unpack, lookInHeaders):
            survives(read, data)
        survives(unpack, b"\x91" + data)
        survives(unpack, b"\x91\x9b\x00" + data)
