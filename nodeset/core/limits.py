"""The limits of the wire, with the types that keep them: what both ends check before they believe anything."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

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
    "OBSERVER",
    "RESERVED_HEADERS",
    "TARGET",
    "VERSION",
    "WINDOW",
    "Name",
    "Natural",
    "Ranges",
    "Reason",
    "Stamp",
    "StreamId",
]

#: The protocol's version; version N speaks N - 1 as well.
VERSION: Final = 1
#: Feature names are agreed on in `open`: what both sides know is used, the rest is ignored.
FEATURES: Final = frozenset({"events", "beat", "bye", "held", "calls", "retained", "presence"})
#: Said by a node that only looks on.
OBSERVER: Final = "observer"

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
#: Methods that one node may expose, events whose last value it may keep.
MAX_METHODS: Final = 1_000
MAX_RETAINED: Final = 10_000
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
    "retained",  # which of its publisher's retained values this is
)

Natural = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQUENCE)]
Name = Annotated[str, msgspec.Meta(max_length=800)]
Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON)]
StreamId = Annotated[str, msgspec.Meta(max_length=64)]
#: Sequence numbers from the first to the second, both included.
Ranges = Annotated[list[tuple[Natural, Natural]], msgspec.Meta(max_length=MAX_RANGES)]
#: Who published or called: a TubID, a slash, the id of a grant.
Stamp = Annotated[str, msgspec.Meta(max_length=128)]
#: An absent header map, which is msgpack's nil.
NO_HEADERS: Final = msgspec.Raw(b"\xc0")
