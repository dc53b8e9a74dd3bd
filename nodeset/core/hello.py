"""What is said when a link is opened.

    -> open(hello)     who it is, which versions and features it speaks, all that it subscribes to, what it holds
    <- opened          the version and the features that were picked, the dispatcher's limits, what was refused

Both are msgpack maps; keys that one side does not know are ignored, features that one side does not know are not used.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

import msgspec

from nodeset.core.batch import (
    MAX_BATCH,
    MAX_EVENT,
    MAX_HELLO,
    MAX_METHODS,
    MAX_RETAINED,
    VERSION,
    Held,
    Keep,
    Name,
    Natural,
    Ranges,
    StreamId,
    Sub,
)
from nodeset.errors import MessageTooLarge, ProtocolError

__all__ = ["Hello", "Opened", "fitted", "isProved", "packHello", "packOpened", "streamOf", "unpackHello", "unpackOpened"]


class Hello(msgspec.Struct, omit_defaults=True):
    """What a node says when it opens a link: who it is, what it speaks, all that it subscribes to."""

    stream: Annotated[str, msgspec.Meta(min_length=16, max_length=64)]
    name: Name
    host: Name
    low: Natural = VERSION
    high: Natural = VERSION
    features: list[Name] = msgspec.field(default_factory=list)
    subscriptions: list[Sub] = msgspec.field(default_factory=list)
    #: Mode-`one` events that the node holds: stream, ranges begun, ranges not begun.
    holds: list[tuple[StreamId, Ranges, Ranges]] = msgspec.field(default_factory=list)
    boot: Annotated[str, msgspec.Meta(max_length=64)] = ""
    software: Name = ""
    #: The methods that it exposes.
    methods: Annotated[list[Name], msgspec.Meta(max_length=MAX_METHODS)] = msgspec.field(default_factory=list)
    #: Calls that it runs, or has the answer of: the caller's stream, ranges of ids.
    calls: list[tuple[StreamId, Ranges]] = msgspec.field(default_factory=list)
    #: Events whose last value it keeps for newcomers.
    retained: Annotated[list[Name], msgspec.Meta(max_length=MAX_RETAINED)] = msgspec.field(default_factory=list)
    #: What `stream` was made of, see `streamOf`: a secret between the node and its dispatcher.
    proof: Annotated[str, msgspec.Meta(max_length=64)] = ""


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


#: What a stream id begins with that was made by `streamOf`, so that it needs its proof.
_PROVED = "~"


def streamOf(proof: str) -> str:
    """The stream id that only who knows this secret can open a link with.

    Everybody hears the ids of others with their events and calls. Without this a thief who is the first to dial a dispatcher
    that was started anew would get the answers that are due to others, and keep them out.
    """
    digest = hashlib.sha256(b"nodeset stream\0" + proof.encode("utf-8", "replace")).digest()
    return _PROVED + base64.urlsafe_b64encode(digest[:18]).decode("ascii")


def isProved(hello: Hello) -> bool:
    """Whether `hello` may be of the node that its stream id stands for."""
    return not hello.stream.startswith(_PROVED) or hmac.compare_digest(
        streamOf(hello.proof).encode(), hello.stream.encode("utf-8", "replace")
    )


#: Bytes for the name and the length of a list.
_LISTS = 16

T = TypeVar("T")

_pack = msgspec.msgpack.Encoder().encode
_hello = msgspec.msgpack.Decoder(Hello)
_opened = msgspec.msgpack.Decoder(Opened)


def packHello(hello: Hello) -> bytes:
    """`hello` as bytes. Raises `MessageTooLarge` when it says more than `MAX_HELLO` bytes can; `fitted` prevents that."""
    packed = _pack(hello)
    if len(packed) > MAX_HELLO:
        raise MessageTooLarge(f"{len(hello.subscriptions)} subscriptions need {len(packed)} bytes, over {MAX_HELLO}")
    return packed


def fitted(hello: Hello) -> tuple[bytes, list[Held | Keep]]:
    """`hello`, packed, with as much of what it holds and keeps as it has room for; the rest as frames to be sent after it.

    Subscriptions are not cut: whoever is back without one of them would miss what comes before it is asked for. Raises
    `MessageTooLarge` for too many of them.
    """
    packed = _pack(hello)
    if len(packed) <= MAX_HELLO:
        return packed, []
    bare = msgspec.structs.replace(hello, holds=[], retained=[], calls=[])
    # Those that find no room are unknown to a new dispatcher: whoever made them is told so.
    bare.calls = list(_thatFit(hello.calls, MAX_HELLO - len(_pack(bare)) - _LISTS))
    bare.holds = list(_thatFit(hello.holds, MAX_HELLO - len(_pack(bare)) - _LISTS))
    bare.retained = list(_thatFit(hello.retained, MAX_HELLO - len(_pack(bare)) - _LISTS))
    rest: list[Held | Keep] = [Held(*hold) for hold in hello.holds[len(bare.holds) :]]
    rest += [Keep(event, rest=True) for event in hello.retained[len(bare.retained) :]]
    return packHello(bare), rest


def _thatFit(items: list[T], room: int) -> Iterator[T]:
    for item in items:
        room -= len(_pack(item))
        if room < 0:
            return
        yield item


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
