"""Frames as nodes may send them, bytes as nobody should."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import msgspec
from hypothesis import strategies as st

from nodeset.core.batch import (
    MAX_QUEUED,
    MAX_QUEUED_BYTES,
    MAX_SEQUENCE,
    NO_HEADERS,
    RAW_HEADERS,
    Beat,
    Bye,
    Confirm,
    Done,
    Events,
    Frame,
    Held,
    Level,
    Mode,
    Outcome,
    Policy,
    Result,
    Sub,
    Subbed,
    Took,
    Unsub,
    unpackHeaders,
)
from nodeset.errors import ProtocolError

__all__ = ["Mutation", "encode", "frames", "lookInHeaders", "mutations", "naturals", "ranges", "runs", "survives", "texts"]

encode = msgspec.msgpack.encode
naturals = st.one_of(st.integers(0, 300), st.integers(0, MAX_SEQUENCE))
texts = st.text(st.characters(codec="utf-8"), max_size=30)
ranges = st.lists(st.tuples(naturals, naturals).map(lambda pair: (min(pair), max(pair))), max_size=5)
headers = st.one_of(
    st.sampled_from([NO_HEADERS, RAW_HEADERS]),
    st.dictionaries(texts, st.one_of(st.none(), st.integers(-5, 5), texts), max_size=3).map(lambda d: msgspec.Raw(encode(d))),
)


@st.composite
def runs(draw: st.DrawFn) -> Events:
    """A run of events as a node may send it."""
    payloads = draw(st.lists(st.binary(max_size=20), min_size=1, max_size=6))
    return Events(
        draw(texts),
        draw(naturals),
        draw(st.sampled_from(Mode)),
        draw(st.booleans()),
        draw(texts),
        draw(st.integers(0, MAX_SEQUENCE - 10)),
        draw(st.sampled_from(Level)),
        [len(payload) for payload in payloads],
        draw(headers),
        b"".join(payloads),
    )


frames: st.SearchStrategy[Frame] = st.one_of(
    runs(),
    st.builds(Took, naturals),
    st.builds(Confirm, texts, ranges, st.sampled_from(Outcome), texts),
    st.builds(Done, ranges, st.sampled_from(Result), naturals, naturals, naturals, texts),
    st.builds(Sub, texts, st.booleans(), st.sampled_from(Policy), st.integers(1, MAX_QUEUED), st.integers(1, MAX_QUEUED_BYTES)),
    st.builds(Unsub, texts),
    st.builds(Subbed, texts, st.booleans(), texts),
    st.just(Beat()),
    st.builds(Bye, texts),
    st.builds(Held, texts, ranges, ranges),
)


@attrs.frozen
class Mutation:
    """One way to spoil bytes."""

    kind: str
    place: float
    filling: bytes

    def __call__(self, packed: bytes) -> bytes:
        at = int(self.place * len(packed))
        match self.kind:
            case "cut":
                return packed[:at]
            case "replace":
                return packed[:at] + self.filling + packed[at + len(self.filling) :]
            case "insert":
                return packed[:at] + self.filling + packed[at:]
            case "remove":
                return packed[:at] + packed[at + len(self.filling) :]
            case _:
                return packed + self.filling


#: Bytes that mean something: arrays, maps, strings and numbers of every width, with wild counts behind them.
_MARKERS = [bytes([marker]) + tail for marker in range(0xC0, 0xE0) for tail in (b"", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02")]
mutations = st.lists(
    st.builds(
        Mutation,
        st.sampled_from(["cut", "replace", "insert", "remove", "append"]),
        st.floats(0, 0.999),
        st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from(_MARKERS)),
    ),
    min_size=1,
    max_size=4,
)


def survives(read: Callable[[bytes], object], data: bytes) -> bool:
    """Whether `read` takes `data`; anything but a ProtocolError passes through."""
    try:
        read(data)
    except ProtocolError as error:
        assert "\n" not in str(error) and len(str(error)) < 500
        return False
    return True


def lookInHeaders(packed: bytes) -> object:
    """Headers as they come out of a batch: without a look inside."""
    return unpackHeaders(msgspec.Raw(packed))
