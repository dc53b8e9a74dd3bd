"""The frames that a link carries, packed into batches.

A batch is one msgpack array of frames, each an array that begins with its kind. `->` goes from a node to its dispatcher,
`<-` comes back:

    <-> [0, stream, low, mode, again, event, first, level, lengths, headers, payloads, ttl, to, by]   a run of events
    <-> [1, batches, calls]                       so many batches of events, of calls, were taken in: send as many more
    ->  [2, stream, ranges, outcome, reason]      what became of events that came from `stream`
    <-  [3, ranges, result, matched, delivered, dropped, reason]   what became of events that the node published
    ->  [4, pattern, own, policy, events, bytes]  subscribe; `own` asks for the node's own events too, then the queue's limits
    ->  [5, pattern]                              unsubscribe
    <-  [6, pattern, active, refused]             answer to both
    <-> [7, ping, pong]                           heartbeat; who gets a ping says it back as pong at once
    <-> [8, reason]                               goodbye: a dispatcher that drains, a node that leaves for good
    ->  [17, event, kept, rest]                   the last value of this event is kept for newcomers, or no longer
    <-> [18, pattern, to]                         hand what is kept of this pattern to the node with that stream; said back when
                                                  that is in the node's outbox

Calls are frames as well, 10 to 16: see `nodeset.core.calls.callframes`.

A run shares all but the sequence numbers (`first`, `first + 1`, ...), the lengths and the payloads, which lie end to end.
Toward the dispatcher `stream` is empty: the link says whose it is. `low` is the lowest sequence number that its publisher
had not had confirmed when it sent the run. Headers are a msgpack map that the dispatcher passes on unread. `ttl` is how many
milliseconds are left until nobody wants the run any more, 0 for ever: who holds it subtracts the time that it did. `to`
is the one node that shall get it, if it still subscribes to it; empty means all that match. `by` is who published it, its
TubID with the id of its grant, stamped by the dispatcher.

`open(hello)` comes before any batch, on a call of its own: see `nodeset.core.hello`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec

from nodeset.core.calls.callframes import Answer, Ask, Asked, Call, Cancel, Item, More
from nodeset.core.kinds import Level, Mode, Outcome, Policy, Result
from nodeset.core.limits import (
    FEATURES,
    MAX_BATCH,
    MAX_EVENT,
    MAX_EVENTS,
    MAX_FRAMES,
    MAX_HEADERS,
    MAX_HELLO,
    MAX_METHODS,
    MAX_QUEUED,
    MAX_QUEUED_BYTES,
    MAX_RANGES,
    MAX_REASON,
    MAX_RETAINED,
    MAX_SEQUENCE,
    MAX_SUBSCRIPTIONS,
    NO_HEADERS,
    RESERVED_HEADERS,
    TARGET,
    VERSION,
    WINDOW,
    Name,
    Natural,
    Ranges,
    Reason,
    Stamp,
    StreamId,
)
from nodeset.errors import MessageTooLarge, ProtocolError

__all__ = [
    "FEATURES",
    "MAX_BATCH",
    "MAX_EVENT",
    "MAX_EVENTS",
    "MAX_FRAMES",
    "MAX_HEADERS",
    "MAX_HELLO",
    "MAX_METHODS",
    "MAX_QUEUED",
    "MAX_QUEUED_BYTES",
    "MAX_RANGES",
    "MAX_REASON",
    "MAX_RETAINED",
    "MAX_SEQUENCE",
    "MAX_SUBSCRIPTIONS",
    "NO_HEADERS",
    "RAW_HEADERS",
    "RESERVED_HEADERS",
    "TARGET",
    "VERSION",
    "WINDOW",
    "Answer",
    "Ask",
    "Asked",
    "Beat",
    "Bye",
    "Call",
    "CallFrame",
    "Cancel",
    "Confirm",
    "Done",
    "Events",
    "Frame",
    "Held",
    "Item",
    "Keep",
    "Level",
    "Mode",
    "More",
    "Name",
    "Natural",
    "Outcome",
    "Policy",
    "Ranges",
    "Result",
    "StreamId",
    "Sub",
    "Subbed",
    "Took",
    "Unsub",
    "Want",
    "pack",
    "unpack",
    "unpackHeaders",
]

_NIL: Final = bytes(NO_HEADERS)
#: The headers of events whose payload is bytes as they are, not JSON.
RAW_HEADERS: Final = msgspec.Raw(msgspec.msgpack.encode({"content_type": "raw"}))


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
    ttl: Natural = 0
    to: StreamId = ""
    by: Stamp = ""

    @property
    def last(self) -> int:
        """The sequence number of the last event in the run."""
        return self.first + len(self.lengths) - 1

    @property
    def weight(self) -> int:
        """At least the bytes that the run takes when packed: a character takes four at most, all else has its marker."""
        return 256 + len(self.payloads) + 5 * len(self.lengths) + 4 * len(self.event) + len(self.headers)

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
            self.ttl,
            self.to,
            self.by,
        )


class Took(msgspec.Struct, array_like=True, tag=1, gc=False):
    """Credit for batches of events that were taken in, for batches of calls."""

    batches: Natural
    calls: Natural = 0


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
    """I am alive; `ping` is a number to be said back as `pong` at once, 0 for none."""

    ping: Natural = 0
    pong: Natural = 0


class Bye(msgspec.Struct, array_like=True, tag=8):
    """I am leaving: send me no more events."""

    reason: Reason = ""


class Held(msgspec.Struct, array_like=True, tag=9):
    """Mode-`one` events that I hold, begun (or over) and not begun: what my `Hello` had no room for, said right after it."""

    stream: StreamId
    begun: Ranges
    unbegun: Ranges


class Keep(msgspec.Struct, array_like=True, tag=17):
    """I keep the last value of this event for newcomers, or no longer; `rest` says that my `Hello` had no room for it."""

    event: Name
    kept: bool = True
    rest: bool = False


class Want(msgspec.Struct, array_like=True, tag=18):
    """Somebody new subscribes to `pattern`: hand the last values that you keep to that node. Said back: I have done so."""

    pattern: Name
    to: StreamId


CallFrame = Call | Answer | Cancel | Asked | Ask | Item | More
Frame = Events | Took | Confirm | Done | Sub | Unsub | Subbed | Beat | Bye | Held | Keep | Want | CallFrame


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
        elif type(frame) is Confirm or type(frame) is Done or type(frame) is Ask:
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
