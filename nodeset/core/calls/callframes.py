"""The frames of calls, as they travel in the batches of a link.

`->` goes from a node to its dispatcher, `<-` comes back; toward the dispatcher `caller` and `by` are empty in what the caller
itself sends, since the link says whose it is:

    <-> [10, caller, id, low, target, method, timeout, mode, again, headers, payload, by]   call a method
    <-> [11, caller, id, ending, payload, callee]     how the call ended, or that a stream of items begins
    <-> [12, caller, id]                              nobody waits for this call any more
    <-  [13, id, callees]                             who was called, for a call of all nodes of a name
    <-> [14, caller, ranges]                          what became of these calls? said after a link was lost
    <-> [15, caller, id, first, payloads]             items of a stream, from the one numbered `first` on
    <-> [16, caller, id, count]                       so many more items may come

A call is named for ever by its caller's stream id with its own: answers find their way back through any start of the
dispatcher. `low` is the lowest id for which the caller still waits, so that nobody keeps older answers. `timeout` is what
is left of the caller's patience in milliseconds, less at each hop, 0 for ever. The payload of a call is `[args, kwargs]` in
JSON, that of a `VALUE` or an item one JSON value, that of an `ERROR` `[type, message, traceback]` in JSON, that of other
endings a line of text in UTF-8 that says why.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

import msgspec

from nodeset.core.limits import MAX_BATCH, MAX_RANGES, Name, Natural, Ranges, Stamp, StreamId

__all__ = ["MAX_CALLEES", "MAX_ITEMS", "Answer", "Ask", "Asked", "Call", "Cancel", "Ending", "Item", "More"]

#: Nodes that one call of all nodes of a name may reach.
MAX_CALLEES: Final = MAX_RANGES
#: Items of a stream in one frame.
MAX_ITEMS: Final = 1024

Payload = Annotated[bytes, msgspec.Meta(max_length=MAX_BATCH)]


class Ending(IntEnum):
    """How a call ended; all from `NO_NODE` on are said by who has not called the method, or cannot know."""

    #: The method returned this.
    VALUE = 0
    #: The method raised this.
    ERROR = 1
    #: The method returned an iterator: items follow, then another ending.
    STREAM = 2
    #: The stream is over.
    END = 3
    NO_NODE = 4
    NO_METHOD = 5
    BAD_ARGUMENTS = 6
    #: The caller's grant does not cover it.
    REFUSED = 7
    #: Who could answer has no room for one more call.
    BUSY = 8
    TIMED_OUT = 9
    CANCELLED = 10
    #: Who was called is gone: it may have been run, or not.
    LOST = 11
    #: Nobody knows of this call: it may have been run before the dispatcher started anew, or not.
    UNKNOWN = 12


class Call(msgspec.Struct, array_like=True, tag=10, gc=False):
    """Call `method` of one node named `target`, or of all of them (`mode` 0 is all, 1 one: as for events).

    `target` is a node's name, or `name@host`; empty means the dispatcher itself. `again` says that it may have been
    sent before, so that who has it shall not run it twice.
    """

    caller: StreamId
    id: Natural
    low: Natural
    target: Name
    method: Name
    timeout: Natural
    mode: Annotated[int, msgspec.Meta(ge=0, le=1)]
    again: bool
    headers: msgspec.Raw
    payload: Payload
    by: Stamp = ""


class Answer(msgspec.Struct, array_like=True, tag=11, gc=False):
    """How a call ended; `callee` is the stream id of who says so, stamped by the dispatcher."""

    caller: StreamId
    id: Natural
    ending: Ending
    payload: Payload = b""
    callee: StreamId = ""


class Cancel(msgspec.Struct, array_like=True, tag=12, gc=False):
    """Nobody waits for this call any more."""

    caller: StreamId
    id: Natural


class Asked(msgspec.Struct, array_like=True, tag=13):
    """Who was called: the stream id, name, host of each."""

    id: Natural
    callees: Annotated[list[tuple[StreamId, Name, Name]], msgspec.Meta(max_length=MAX_CALLEES)]


class Ask(msgspec.Struct, array_like=True, tag=14):
    """What became of these calls?"""

    caller: StreamId
    ranges: Ranges


class Item(msgspec.Struct, array_like=True, tag=15, gc=False):
    """Items of a stream that a call returned."""

    caller: StreamId
    id: Natural
    first: Natural
    payloads: Annotated[list[Payload], msgspec.Meta(max_length=MAX_ITEMS)]


class More(msgspec.Struct, array_like=True, tag=16, gc=False):
    """So many more items may come."""

    caller: StreamId
    id: Natural
    count: Natural
