"""The frames that a link carries, packed into batches.

A batch is one msgpack array of frames, each an array that begins with its kind. `->` goes from a node to its dispatcher,
`<-` comes back:

    <-> [0, stream, low, mode, again, event, first, level, lengths, headers, payloads]   a run of events
    <-> [1, batches]                              that many batches of events were taken in, send as many more
    ->  [2, stream, ranges, outcome, reason]      what became of events that came from `stream`
    <-  [3, ranges, result, matched, delivered, dropped, reason]   what became of events that the node published
    ->  [4, pattern, own, policy, events, bytes]  subscribe; `own` asks for the node's own events too, then the queue's limits
    ->  [5, pattern]                              unsubscribe
    <-  [6, pattern, active, refused]             answer to both
    <-> [7]                                       heartbeat
    <-> [8, reason]                               goodbye: a dispatcher that drains, a node that leaves for good

A run shares all but the sequence numbers (`first`, `first + 1`, ...), the lengths and the payloads, which lie end to end.
Toward the dispatcher `stream` is empty: the link says whose it is. `low` is the lowest sequence number that its publisher
had not had confirmed when it sent the run. Headers are a msgpack map that the dispatcher passes on unread.

`open(hello)` comes before any batch, on a call of its own: see `nodeset.core.hello`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Annotated, Any, Final

import msgspec

from nodeset.errors import MessageTooLarge, ProtocolError

__all__ = [
    "FEATURES",
    "MAX_BATCH",
    "MAX_EVENT",
    "MAX_EVENTS",
    "MAX_FRAMES",
    "MAX_HEADERS",
    "MAX_HELLO",
    "MAX_QUEUED",
    "MAX_QUEUED_BYTES",
    "MAX_RANGES",
    "MAX_REASON",
    "MAX_SEQUENCE",
    "MAX_SUBSCRIPTIONS",
    "NO_HEADERS",
    "RAW_HEADERS",
    "RESERVED_HEADERS",
    "TARGET",
    "VERSION",
    "WINDOW",
    "Beat",
    "Bye",
    "Confirm",
    "Done",
    "Events",
    "Frame",
    "Held",
    "Level",
    "Mode",
    "Outcome",
    "Policy",
    "Result",
    "Sub",
    "Subbed",
    "Took",
    "Unsub",
    "pack",
    "unpack",
    "unpackHeaders",
]

#: The protocol's version; version N speaks N - 1 as well.
VERSION: Final = 1
#: Feature names are agreed on in `open`: what both sides know is used, the rest is ignored.
FEATURES: Final = frozenset({"events", "beat", "bye", "held"})

#: One event, encoded, as well as all payloads of one run. NATS and most brokers draw the line at the same megabyte.
MAX_EVENT: Final = 1024 * 1024
#: One batch. Twice an event, so that a full event and its frame always fit.
MAX_BATCH: Final = 2 * MAX_EVENT
#: Bytes after which a batch is closed, so that the other side can begin. Measured: with a quarter of it publishMany does
#: a fifth fewer events/s, events of mixed sizes come through at two thirds of the rate.
TARGET: Final = 256 * 1024
#: All headers of a run.
MAX_HEADERS: Final = 8 * 1024
#: Events in one run, frames in one batch: what two megabytes of empty ones would cost is bounded by the count.
MAX_EVENTS: Final = 16_384
MAX_FRAMES: Final = 4_096
#: Batches of events that may be under way to a peer that has not taken them in.
WINDOW: Final = 4
#: Events, bytes of their payloads, that a dispatcher queues for one subscription (D7).
MAX_QUEUED: Final = 10_000
MAX_QUEUED_BYTES: Final = 8 * 1024 * 1024
#: A hello: room for a few thousand subscriptions.
MAX_HELLO: Final = 1024 * 1024
#: Subscriptions of one node: each costs a dispatcher about 1 KiB, and all are told anew over every link.
MAX_SUBSCRIPTIONS: Final = 10_000
#: Ranges in one confirm or its answer.
MAX_RANGES: Final = MAX_EVENTS
#: Characters of a reason.
MAX_REASON: Final = 1000
#: The highest sequence number, since numbers have 64 bits at most.
MAX_SEQUENCE: Final = 2**63 - 1
#: Keys of the header map that mean something or will; a receiver ignores those that it does not know.
RESERVED_HEADERS: Final = (
    "id",
    "time",  # wall clock of the publisher, for people
    "ttl",  # milliseconds
    "content_type",
    "schema",
    "schema_version",
    "traceparent",
    "dedup",
    "correlation",
    "hops",
    "realm",
    "grant",
    "retries",
)
#: An absent header map, which is msgpack's nil.
_NIL: Final = b"\xc0"
NO_HEADERS: Final = msgspec.Raw(_NIL)
#: The headers of events whose payload is bytes as they are, not JSON.
RAW_HEADERS: Final = msgspec.Raw(msgspec.msgpack.encode({"content_type": "raw"}))

Natural = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQUENCE)]
Name = Annotated[str, msgspec.Meta(max_length=800)]
Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON)]
StreamId = Annotated[str, msgspec.Meta(max_length=64)]
#: Sequence numbers from the first to the second, both included.
Ranges = Annotated[list[tuple[Natural, Natural]], msgspec.Meta(max_length=MAX_RANGES)]


class Mode(IntEnum):
    """Who gets an event: every match, or exactly one of them."""

    ALL = 0
    ONE = 1


class Level(IntEnum):
    """How far an event must have come before its publisher is told so."""

    ACCEPTED = 0
    DELIVERED = 1
    HANDLED = 2


class Outcome(IntEnum):
    """What became of an event at one subscriber."""

    OK = 0
    FAILED = 1
    LATE = 2
    REFUSED = 3
    #: Never on the wire: nobody is left to answer.
    LOST = 4


class Result(IntEnum):
    """What became of an event at all of them."""

    OK = 0
    UNDELIVERED = 1
    FAILED = 2


class Policy(IntEnum):
    """What becomes of events for a subscription whose queue is full."""

    BLOCK = 0
    DROP_OLDEST = 1
    DROP_NEWEST = 2


class Events(msgspec.Struct, array_like=True, tag=0, gc=False):
    """A run of events: everything but the sequence number and the payload is shared."""

    stream: StreamId
    low: Natural
    mode: Mode
    again: bool
    event: Name
    first: Natural
    level: Level
    lengths: Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=MAX_EVENT)]], msgspec.Meta(max_length=MAX_EVENTS)]
    headers: msgspec.Raw
    payloads: bytes

    @property
    def last(self) -> int:
        """The sequence number of the last event in the run."""
        return self.first + len(self.lengths) - 1

    @property
    def weight(self) -> int:
        """At least the bytes that the run takes when packed: a character takes four at most, all else has its marker."""
        return 64 + len(self.payloads) + 5 * len(self.lengths) + 4 * len(self.event) + len(self.headers)

    def cut(self, index: int, offset: int, most: int) -> list[bytes]:
        """The payloads of at most so many events, the first of them that with this index, at this offset."""
        payloads, found = self.payloads, []
        for length in self.lengths[index : index + most]:
            found.append(payloads[offset : offset + length])
            offset += length
        return found

    def part(self, first: int, last: int) -> Events:
        """The events `first` to `last` of this run as a run of their own."""
        if first == self.first and last == self.last:
            return self
        begin, end = first - self.first, last - self.first + 1
        lengths = self.lengths[begin:end]
        offset = sum(self.lengths[:begin])
        return Events(
            self.stream,
            self.low,
            self.mode,
            self.again,
            self.event,
            first,
            self.level,
            lengths,
            self.headers,
            self.payloads[offset : offset + sum(lengths)],
        )


class Took(msgspec.Struct, array_like=True, tag=1, gc=False):
    """Credit for batches of events that were taken in."""

    batches: Natural


class Confirm(msgspec.Struct, array_like=True, tag=2):
    """A subscriber's answer to events of one stream."""

    stream: StreamId
    ranges: Ranges
    outcome: Outcome
    reason: Reason = ""


class Done(msgspec.Struct, array_like=True, tag=3):
    """The dispatcher's answer to a publisher."""

    ranges: Ranges
    result: Result
    matched: Natural
    delivered: Natural
    dropped: Natural
    reason: Reason = ""


class Sub(msgspec.Struct, array_like=True, tag=4):
    """Subscribe to a pattern, with what becomes of events that the node does not take in fast enough."""

    pattern: Name
    own: bool = True
    policy: Policy = Policy.BLOCK
    max_events: Annotated[int, msgspec.Meta(ge=1, le=MAX_QUEUED)] = MAX_QUEUED
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_QUEUED_BYTES)] = MAX_QUEUED_BYTES


class Unsub(msgspec.Struct, array_like=True, tag=5):
    """Unsubscribe from a pattern."""

    pattern: Name


class Subbed(msgspec.Struct, array_like=True, tag=6):
    """A subscription is active from here on, or is not; `refused` says why it was not granted."""

    pattern: Name
    active: bool
    refused: Reason = ""


class Beat(msgspec.Struct, array_like=True, tag=7):
    """I am alive."""


class Bye(msgspec.Struct, array_like=True, tag=8):
    """I am leaving: send me no more events."""

    reason: Reason = ""


class Held(msgspec.Struct, array_like=True, tag=9):
    """Mode-`one` events that I hold, begun (or over) and not begun: what my `Hello` had no room for, said right after it."""

    stream: StreamId
    begun: Ranges
    unbegun: Ranges


Frame = Events | Took | Confirm | Done | Sub | Unsub | Subbed | Beat | Bye | Held


_pack = msgspec.msgpack.Encoder().encode
_frames = msgspec.msgpack.Decoder(list[Frame])
_headers = msgspec.msgpack.Decoder(dict[str, Any] | None)


def pack(frames: Iterable[Frame]) -> bytes:
    """One batch of `frames`, in their order. Raises `MessageTooLarge` for more than `MAX_BATCH` bytes."""
    batch = _pack(list(frames))
    if len(batch) > MAX_BATCH:
        raise MessageTooLarge(f"a batch of {len(batch)} bytes is over the limit of {MAX_BATCH}")
    return batch


def unpack(batch: bytes) -> Sequence[Frame]:
    """The frames of `batch`, each checked by itself. Raises `ProtocolError` for anything that is not one, as a whole."""
    if len(batch) > MAX_BATCH:
        raise ProtocolError(f"a batch of {len(batch)} bytes is over the limit of {MAX_BATCH}")
    _countFrames(batch)
    try:
        frames: list[Frame] = _frames.decode(batch)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"this is not a batch of frames: {error}") from None
    for frame in frames:
        if type(frame) is Events:
            _checkRun(frame)
        elif type(frame) is Confirm or type(frame) is Done:
            _checkRanges(frame.ranges)
    return frames


def _countFrames(batch: bytes) -> None:
    """Look at the array's header, so that a hostile count costs nothing: msgspec would build them all first."""
    kind = batch[0] if batch else 0
    if 0x90 <= kind <= 0x9F:
        return
    if kind == 0xDC:
        count = int.from_bytes(batch[1:3], "big")
    elif kind == 0xDD:
        count = int.from_bytes(batch[1:5], "big")
    else:
        raise ProtocolError("this is not a batch of frames: it is no array")
    if count > MAX_FRAMES:
        raise ProtocolError(f"a batch of {count} frames is over the limit of {MAX_FRAMES}")


def _checkRun(run: Events) -> None:
    if not run.lengths:
        raise ProtocolError(f"a run of {_short(run.event)} holds no event")
    if run.last > MAX_SEQUENCE:
        raise ProtocolError(f"a run of {_short(run.event)} ends at {run.last}, over the highest number {MAX_SEQUENCE}")
    if len(run.payloads) > MAX_EVENT:
        raise ProtocolError(f"a run of {_short(run.event)} holds {len(run.payloads)} bytes, over the limit of {MAX_EVENT}")
    if sum(run.lengths) != len(run.payloads):
        raise ProtocolError(
            f"a run of {_short(run.event)} announces {sum(run.lengths)} bytes of payload but holds {len(run.payloads)}"
        )
    headers = bytes(run.headers)
    if headers == _NIL:
        run.headers = NO_HEADERS
    elif len(headers) > MAX_HEADERS:
        raise ProtocolError(f"the headers of a run of {_short(run.event)} are over the limit of {MAX_HEADERS} bytes")


def _short(event: str) -> str:
    """For an error that travels on as a reason: nobody has checked this name yet, and escaped it may be ten times as long."""
    shown = repr(event)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _checkRanges(ranges: list[tuple[int, int]]) -> None:
    for first, last in ranges:
        if first > last:
            raise ProtocolError(f"a range goes backwards, from {first} to {last}")


def unpackHeaders(headers: msgspec.Raw) -> dict[str, Any]:
    """The header map of a run, empty when there is none. Raises `ProtocolError`."""
    try:
        return _headers.decode(headers) or {}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"these are no headers: {error}") from None
