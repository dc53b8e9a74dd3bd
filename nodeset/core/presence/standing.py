"""What is said of who is there: the states of a node, the events that tell of them, what such an event carries."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from nodeset.core.address import matches
from nodeset.core.limits import Name, Natural, Reason, StreamId
from nodeset.core.message import NodeMessage

__all__ = [
    "BEGIN",
    "DOWN",
    "END",
    "EVENTS",
    "PREFIX",
    "SLOW",
    "SNAPSHOT",
    "SUSPECT",
    "UP",
    "NodePresence",
    "Told",
    "packTold",
    "unpackTold",
    "watched",
]

#: The states of a node, best first.
UP: Final = "up"
SLOW: Final = "slow"
SUSPECT: Final = "suspect"
DOWN: Final = "down"

#: What all events of this begin with.
PREFIX: Final = "nodeset.node."
#: The event that tells of a state.
EVENTS: Final = {state: PREFIX + state for state in (UP, SLOW, SUSPECT, DOWN)}
#: What a node is handed when it begins to watch: between `BEGIN` and `END` the present state of all. No handler sees these.
SNAPSHOT: Final = "nodeset.node.snapshot"
BEGIN: Final = "nodeset.node.snapshot.begin"
END: Final = "nodeset.node.snapshot.end"


class Told(msgspec.Struct, omit_defaults=True):
    """A node's state as a dispatcher tells it: whose (`stream` is its start, `tub` its certificate), what it was before, why.

    Of a `slow` node: for which pattern, how many events were queued when it became so, how many were dropped.
    """

    name: Name
    host: Name
    tub: Name
    stream: StreamId
    state: Annotated[str, msgspec.Meta(max_length=16)]
    was: Annotated[str, msgspec.Meta(max_length=16)] = ""
    reason: Reason = ""
    pattern: Name = ""
    queued: Natural = 0
    dropped: Natural = 0


class NodePresence(NodeMessage):
    """What `nodeset.node.up`, `.down`, `.suspect` and `.slow` carry, for handlers that want it typed.

    `state` is one of these four words, `was` the one before, empty for a node that was not known. `stream` names one start of
    a node for ever: two nodes of one name, or one that was started again, differ in it. `reason` is one line for people.
    """

    name: str
    host: str
    tub: str
    stream: str
    state: str
    was: str = ""
    reason: str = ""
    pattern: str = ""
    queued: int = 0
    dropped: int = 0


_pack = msgspec.json.Encoder().encode
_told = msgspec.json.Decoder(Told)


def packTold(told: Told) -> bytes:
    """`told` as the payload of an event; `was` and `reason` are always in it, so that handlers may rely on them."""
    fields = {name: getattr(told, name) for name in ("name", "host", "tub", "stream", "state", "was", "reason")}
    if told.pattern:
        fields.update(pattern=told.pattern, queued=told.queued, dropped=told.dropped)
    return _pack(fields)


def unpackTold(payload: bytes) -> Told | None:
    """What `payload` says; None when it is nothing of the kind."""
    try:
        told: Told = _told.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return told if told.state in EVENTS else None


def watched(pattern: str) -> frozenset[str]:
    """The states of which a subscription to `pattern` wants to hear."""
    if not pattern.startswith("nodeset."):
        return frozenset()
    return frozenset(state for state, event in EVENTS.items() if matches(pattern, event))
