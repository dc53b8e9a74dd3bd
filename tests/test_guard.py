"""What a peer may announce before we listen to it."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

from foolscap import banana, storage
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import ProtocolError
from nodeset.transport.guard import LONGEST_ERROR, LONGEST_HEADER, LONGEST_NUMBER, TokenGuard

# Foolscap has no annotations.
BANANA: Any = banana
STORAGE: Any = storage

LIMIT = 100
INT, STRING, NEG, FLOAT, LONGINT, LONGNEG, VOCAB = b"\x81", b"\x82", b"\x83", b"\x84", b"\x85", b"\x86", b"\x87"
OPEN, CLOSE, ABORT, ERROR, PING, PONG = b"\x88", b"\x89", b"\x8a", b"\x8d", b"\x8e", b"\x8f"


def number(value: int, width: int = 0) -> bytes:
    """A header, little end first, padded to `width` bytes."""
    out = bytearray()
    while value:
        out.append(value & 0x7F)
        value >>= 7
    return bytes(out).ljust(width, b"\0")


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """The stream in chunks, cut at these places."""
    edges = [0, *sorted({place % (len(stream) + 1) for place in places}), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def sized(kind: bytes, longest: int) -> st.SearchStrategy[bytes]:
    bodies = st.one_of(st.binary(max_size=longest), st.just(bytes([0x8C]) * longest))
    return st.builds(
        lambda body, width: number(len(body), width) + kind + body, bodies, st.sampled_from([0, 3, LONGEST_HEADER])
    )


BARE = st.builds(
    lambda header, kind: header + kind,
    st.binary(max_size=LONGEST_HEADER).map(lambda raw: bytes(byte & 0x7F for byte in raw)),
    st.sampled_from([INT, NEG, VOCAB, ABORT, PING, PONG]),
)
TOKEN = st.one_of(
    BARE,
    sized(STRING, LIMIT),
    sized(ERROR, LIMIT),
    sized(LONGINT, LONGEST_NUMBER),
    sized(LONGNEG, LONGEST_NUMBER),
    st.floats().map(lambda value: FLOAT + struct.pack("!d", value)),
)
TREE = st.recursive(
    TOKEN,
    lambda inner: st.lists(inner, max_size=4).map(lambda parts: b"\x01" + OPEN + b"".join(parts) + b"\x01" + CLOSE),
    max_leaves=10,
)
STREAM = st.lists(TREE, max_size=6).map(b"".join)
BAD = st.sampled_from(
    [
        number(LIMIT + 1) + STRING,
        number(1 << 40) + STRING,
        b"\x7f" * LONGEST_HEADER + STRING,
        number(LIMIT + 1) + ERROR,
        number(LONGEST_NUMBER + 1) + LONGINT,
        number(LONGEST_NUMBER + 1) + LONGNEG,
        b"\0" * (LONGEST_HEADER + 1),
        b"\x80",
        b"\x8b",
        b"\x05\x8c",
        b"\xff",
        CLOSE,
        OPEN * 65,
    ]
)
CUTS = st.lists(st.integers(min_value=0, max_value=5000), max_size=12)


class GuardTests(SynchronousTestCase):
    """`TokenGuard` stands before Foolscap."""

    def refusal(self, guard: TokenGuard, *chunks: bytes) -> str:
        for chunk in chunks[:-1]:
            guard.feed(chunk)
        return str(self.assertRaises(ProtocolError, guard.feed, chunks[-1]))

    @settings(max_examples=100, deadline=None)
    @given(STREAM, CUTS)
    def test_validPasses(self, stream: bytes, places: list[int]) -> None:
        """What keeps to the limits passes, wherever the network cuts it."""
        guard = TokenGuard(LIMIT)
        for chunk in cut(stream, places):
            guard.feed(chunk)
        self.refusal(guard, b"\xff")  # it has not lost its place

    @settings(max_examples=100, deadline=None)
    @given(STREAM, BAD, CUTS)
    def test_badHeader(self, stream: bytes, bad: bytes, places: list[int]) -> None:
        """One bad header is found with its last byte, before any of its body, wherever the network cuts it."""
        guard = TokenGuard(LIMIT)
        for chunk in cut(stream + bad[:-1], places):
            guard.feed(chunk)
        self.refusal(guard, bad[-1:])

    @settings(max_examples=100, deadline=None)
    @given(STREAM, BAD, STREAM, CUTS)
    def test_badWithRest(self, before: bytes, bad: bytes, after: bytes, places: list[int]) -> None:
        """A bad header is found in whatever chunk it ends in, with good tokens around it."""
        guard = TokenGuard(LIMIT)
        end = len(before) + len(bad)
        seen = 0
        for chunk in cut(before + bad + after, places):
            seen += len(chunk)
            if seen >= end:
                self.refusal(guard, chunk)
                return
            guard.feed(chunk)
        self.fail("the bad header was let through")

    def test_staysShut(self) -> None:
        """After one refusal everything is refused, with the same words."""
        guard = TokenGuard(LIMIT)
        first = self.refusal(guard, number(5000) + STRING)
        self.assertEqual(self.refusal(guard, b""), first)
        self.assertEqual(self.refusal(guard, b"\x01" + INT), first)

    def test_oneLine(self) -> None:
        """The refusal names the size and the limit in one line; an absurd size is not written out."""
        line = self.refusal(TokenGuard(8192), number(100_000_000) + STRING)
        self.assertIn("100000000", line)
        self.assertIn("8192", line)
        absurd = self.refusal(TokenGuard(8192), b"\x7f" * LONGEST_HEADER + STRING)
        self.assertLess(len(absurd), 120)
        self.assertNotIn("\n", line + absurd)

    def test_limitMoves(self) -> None:
        """The limit can be raised when the link is open; it counts from the next header on."""
        guard = TokenGuard(10)
        guard.feed(number(10) + STRING + b"12345")
        guard.limit = 20
        guard.feed(b"67890" + number(20) + STRING + b"x" * 20)
        guard.limit = 10
        self.refusal(guard, number(11) + STRING)

    def test_atTheLimits(self) -> None:
        """Exactly the limit passes: string, error text, number, header, depth."""
        guard = TokenGuard(1 << 21, depth=3)
        guard.feed(number(1 << 21) + STRING + bytes(1 << 21))
        guard.feed(number(LONGEST_ERROR) + ERROR + bytes(LONGEST_ERROR))
        guard.feed(number(16) + LONGINT + bytes(16))
        guard.feed(b"\x7f" * LONGEST_HEADER + INT)
        guard.feed(OPEN * 3 + CLOSE * 3 + OPEN * 3)
        self.assertIn("deeper than 3", self.refusal(guard, OPEN))

    def test_errorText(self) -> None:
        """An error text is limited to Foolscap's 1000 bytes, whatever the limit for strings."""
        self.refusal(TokenGuard(1 << 21), number(LONGEST_ERROR + 1) + ERROR)

    def test_bodiesAreNotTokens(self) -> None:
        """Bytes inside a string or a float are never taken for tokens."""
        guard = TokenGuard(1000)
        guard.feed(number(300) + STRING + b"\xff" * 300 + FLOAT + b"\xff" * 8)
        self.refusal(guard, b"\xff")

    def test_storage(self) -> None:
        """What Foolscap's own serializer writes passes, cut into single bytes."""
        thing = {"a": [1, -5, 2**40, -(2**60), 1.5, None, True], "b": ("x" * 90, b"\xff" * 100, {1, 2})}
        stream: bytes = self.successResultOf(STORAGE.serialize(thing))
        guard = TokenGuard(LIMIT)
        for index in range(len(stream)):
            guard.feed(stream[index : index + 1])
        self.assertEqual(self.successResultOf(STORAGE.unserialize(stream)), thing)

    def test_realConnection(self) -> None:
        """What a Banana says on a connection passes: calls, aborted objects, pings; then its error text."""
        peer = BANANA.Banana()
        transport = StringTransport()
        peer.makeConnection(transport)
        peer.send(["orders.created", [b"payload" * 10] * 5])
        self.failureResultOf(peer.send([1, [object()], 2]))  # cannot be sent: ABORT and CLOSE in mid-stream
        peer.send({"after": 2**63})
        for word in (peer.sendPING, peer.sendPONG):
            word(5)
        peer.sendError("no more")
        stream = transport.value()
        self.assertIn(ABORT, stream)
        for size in (1, 2, 7, 64, len(stream)):
            guard = TokenGuard(LIMIT)
            for start in range(0, len(stream), size):
                guard.feed(stream[start : start + size])
            self.assertEqual(self.refusal(guard, CLOSE), "the peer sent a CLOSE without its OPEN")

    def test_realOversize(self) -> None:
        """A long string or a long number that a real Banana sends is refused while its body is still on the way."""
        for thing, announced in (([b"x" * 101], number(101) + STRING), ([1 << 200], number(26) + LONGINT)):
            stream: bytes = self.successResultOf(STORAGE.serialize(thing))
            end = stream.index(announced) + len(announced)
            guard = TokenGuard(LIMIT)
            guard.feed(stream[: end - 1])
            self.refusal(guard, stream[end - 1 : end])

    def test_realDepth(self) -> None:
        """Lists nested a thousand deep are refused at the 65th."""
        guard = TokenGuard(LIMIT)
        stream = b"".join(b"\x01" + OPEN + b"\x04" + STRING + b"list" for _ in range(1000))
        self.assertIn("deeper than 64", self.refusal(guard, stream))
