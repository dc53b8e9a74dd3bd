"""The frames that a link carries, packed into batches.

A batch is one msgpack array of frames, each an array that begins with its kind. `->` goes from a node to its dispatcher,
`<-` comes back:

    <-> [0, stream, low, mode, again, event, first, level, lengths, headers, payloads]   a run of events
    <-> [1, batches]                              that many batches of events were taken in: credit
    ->  [2, stream, ranges, outcome, reason]      what became of events that came from `stream`
    <-  [3, ranges, result, matched, delivered, dropped, reason]   what became of events that the node published
    ->  [4, pattern, own]                         subscribe; `own` asks for the node's own events too
    ->  [5, pattern]                              unsubscribe
    <-  [6, pattern, active, refused]             answer to both
    <-> [7]                                       heartbeat
    <-> [8, reason]                               goodbye: a dispatcher that drains, a node that leaves for good

A run shares all but the sequence numbers (`first`, `first + 1`, ...), the lengths and the payloads, which lie end to end.
Toward the dispatcher `stream` is empty: the link says whose it is. `low` is the lowest sequence number that its publisher
had not had confirmed when it sent the run. Headers are a msgpack map that the dispatcher passes on unread.

`open(hello)` comes before any batch, on a call of its own, and is answered by an `Opened`.
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
    "MAX_RANGES",
    "MAX_REASON",
    "MAX_SEQUENCE",
    "NO_HEADERS",
    "RAW_HEADERS",
    "RESERVED_HEADERS",
    "VERSION",
    "Beat",
    "Bye",
    "Confirm",
    "Done",
    "Events",
    "Frame",
    "Hello",
    "Level",
    "Mode",
    "Opened",
    "Outcome",
    "Result",
    "Sub",
    "Subbed",
    "Took",
    "Unsub",
    "pack",
    "packHello",
    "packOpened",
    "unpack",
    "unpackHeaders",
    "unpackHello",
    "unpackOpened",
]

#: The protocol's version; version N speaks N - 1 as well.
VERSION: Final = 1
#: Feature names are agreed on in `open`: what both sides know is used, the rest is ignored.
FEATURES: Final = frozenset({"events", "beat", "bye"})

#: One event, encoded, as well as all payloads of one run. NATS and most brokers draw the line at the same megabyte.
MAX_EVENT: Final = 1024 * 1024
#: One batch. Twice an event, so that a full event and its frame always fit.
MAX_BATCH: Final = 2 * MAX_EVENT
#: All headers of a run.
MAX_HEADERS: Final = 8 * 1024
#: Events in one run, frames in one batch: what two megabytes of empty ones would cost is bounded by the count.
MAX_EVENTS: Final = 16_384
MAX_FRAMES: Final = 4_096
#: A hello: room for a few thousand subscriptions.
MAX_HELLO: Final = 1024 * 1024
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
NO_HEADERS: Final = msgspec.Raw(b"\xc0")
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


class Result(IntEnum):
    """What became of an event at all of them."""

    OK = 0
    UNDELIVERED = 1
    FAILED = 2


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
    """Subscribe to a pattern."""

    pattern: Name
    own: bool = True


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


Frame = Events | Took | Confirm | Done | Sub | Unsub | Subbed | Beat | Bye


class Hello(msgspec.Struct, omit_defaults=True):
    """What a node says when it opens a link: who it is, what it speaks, all that it subscribes to."""

    stream: Annotated[str, msgspec.Meta(min_length=16, max_length=64)]
    name: Name
    host: Name
    low: Natural = VERSION
    high: Natural = VERSION
    features: list[Name] = msgspec.field(default_factory=list)
    subscriptions: list[tuple[Name, bool]] = msgspec.field(default_factory=list)
    boot: Annotated[str, msgspec.Meta(max_length=64)] = ""
    software: Name = ""


class Opened(msgspec.Struct, omit_defaults=True):
    """The dispatcher's answer: its start, the version that it picked, its limits, subscriptions that it refused."""

    boot: str
    version: int
    known: bool = False
    features: list[str] = msgspec.field(default_factory=list)
    max_event: int = MAX_EVENT
    max_batch: int = MAX_BATCH
    refused: list[tuple[str, str]] = msgspec.field(default_factory=list)
    software: str = ""


_pack = msgspec.msgpack.Encoder().encode
_frames = msgspec.msgpack.Decoder(list[Frame])
_headers = msgspec.msgpack.Decoder(dict[str, Any] | None)
_hello = msgspec.msgpack.Decoder(Hello)
_opened = msgspec.msgpack.Decoder(Opened)


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
    if len(run.headers) > MAX_HEADERS:
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


def packHello(hello: Hello) -> bytes:
    """`hello` as bytes. Raises `MessageTooLarge` when it subscribes to more than `MAX_HELLO` bytes can say."""
    packed = _pack(hello)
    if len(packed) > MAX_HELLO:
        raise MessageTooLarge(f"{len(hello.subscriptions)} subscriptions need {len(packed)} bytes, over {MAX_HELLO}")
    return packed


def unpackHello(packed: bytes) -> Hello:
    """The `Hello` in `packed`; keys that we do not know are ignored. Raises `ProtocolError`."""
    hello: Hello = _one(_hello, packed, "hello")
    return hello


def packOpened(opened: Opened) -> bytes:
    """`opened` as bytes."""
    return _pack(opened)


def unpackOpened(packed: bytes) -> Opened:
    """The `Opened` in `packed`. Raises `ProtocolError`."""
    opened: Opened = _one(_opened, packed, "answer to open")
    return opened


def _one(decoder: Any, packed: bytes, what: str) -> Any:
    if not isinstance(packed, bytes) or len(packed) > MAX_HELLO:
        raise ProtocolError(f"this {what} is no bytes, or over {MAX_HELLO} of them")
    try:
        return decoder.decode(packed)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"this is not a {what}: {error}") from None
