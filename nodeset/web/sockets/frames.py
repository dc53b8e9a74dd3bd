"""The frames of `nodeset.v1`, each a JSON object in one text message of a WebSocket.

`->` goes from the client to the bridge, `<-` comes back. `?` marks what may be left out; an `id` is a string of 1 to 64
characters that the client chooses, and names what is answered:

    <- welcome     protocol, name, anonymous, linked, max_message, max_subscriptions, max_credit, ping
    -> sub         id, pattern, last_id?              subscribe; `last_id` is of the last event that one had
    <- subscribed  id, pattern, last_id               come back with this one if nothing else was heard
    -> unsub       id                                 the id of the `sub`
    <- unsubscribed  id, reason                       why the bridge ended it, empty when one was asked to
    -> credit      n                                  so many events more may come
    -> ack         n                                  so many events were dealt with: their credit is given anew
    <- event       sub, id, event, at, message | base64
    <- gap         sub, id, reason                    events before the next one may be missing
    -> pub         id?, event, message | base64, confirm?, delivery?, ttl?, retain?, key?
    <- receipt     id, matched, delivered, dropped    for a `pub` with an id
    -> req         id, node, method, args?, kwargs?, timeout?, idempotent?      call a method
    <- result      id, value
    <- item        id, value                          of a method that streams, on credit like an event
    <- end         id                                 its last item was sent
    -> cancel      id                                 nobody waits for this call any more
    <- cancelled   id
    -> ping        id?                                for browsers, that have no other
    <- pong        id
    <- link        linked, reason                     the link to the dispatcher was lost, or is back
    <- error       id, status, title, detail, ...     a problem of RFC 9457: what `id` asked for was not done

Nothing is sent on credit at first: events wait until some is granted. A frame that is no JSON ends the connection, one that
cannot be understood or done is answered with an error, by which nothing else is concerned.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

__all__ = [
    "MAX_CREDIT",
    "MAX_ID",
    "SUBPROTOCOL",
    "Ack",
    "BadFrame",
    "Cancel",
    "Cancelled",
    "ClientFrame",
    "Credit",
    "End",
    "Error",
    "Event",
    "Gap",
    "Item",
    "LinkFrame",
    "NoFrame",
    "Ping",
    "Pong",
    "Pub",
    "Receipt",
    "Req",
    "Result",
    "ServerFrame",
    "Sub",
    "Subscribed",
    "Unsub",
    "Unsubscribed",
    "Welcome",
    "read",
    "splice",
    "write",
]

SUBPROTOCOL: Final = "nodeset.v1"
MAX_ID: Final = 64
#: Events that may be granted and not yet sent.
MAX_CREDIT: Final = 1_000_000

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
#: Of an address: 255 bytes for each of node, host, event.
Address = Annotated[str, Meta(min_length=1, max_length=1024)]
Name = Annotated[str, Meta(min_length=1, max_length=1024)]
EventId = Annotated[str, Meta(max_length=128)]
Count = Annotated[int, Meta(ge=1, le=MAX_CREDIT)]
Seconds = Annotated[float, Meta(gt=0, le=1e9)]


class NoFrame(Exception):
    """The text is no JSON."""


class BadFrame(Exception):
    """It is JSON, but no frame that a client can send; `id` is what it is named by, if that can be read."""

    def __init__(self, detail: str, id: str | None) -> None:
        super().__init__(detail)
        self.detail, self.id = detail, id


class _FromClient(msgspec.Struct, tag_field="op", forbid_unknown_fields=True, gc=False):
    """What the frames of a client have in common: a field that the protocol does not know is a mistake."""


class _FromServer(msgspec.Struct, tag_field="op", gc=False):
    """What the frames of the bridge have in common: clients ignore fields that they do not know."""


class Sub(_FromClient, tag="sub"):
    """Subscribe to `pattern`; with `last_id` from the event after that one on, as far as they are still there."""

    id: Id
    pattern: Address
    last_id: EventId | None = None


class Unsub(_FromClient, tag="unsub"):
    """End the subscription `id`."""

    id: Id


class Credit(_FromClient, tag="credit"):
    """Let `n` events more be sent."""

    n: Count


class Ack(_FromClient, tag="ack"):
    """Give the credit of `n` events anew that were sent and are dealt with."""

    n: Count


class Pub(_FromClient, tag="pub"):
    """Publish `message`, a JSON object, or the bytes that `base64` has; without an `id` only a failure is told."""

    event: Address
    id: Id | None = None
    message: Raw | UnsetType = UNSET
    base64: str | UnsetType = UNSET
    confirm: Literal["accepted", "delivered", "handled"] = "delivered"
    delivery: Literal["all", "one"] = "all"
    ttl: Seconds | None = None
    retain: bool = False
    key: Annotated[str, Meta(min_length=1, max_length=128)] | None = None


class Req(_FromClient, tag="req"):
    """Call `method` of `node`, which may be `name@host`; `timeout` is in seconds."""

    id: Id
    node: Address
    method: Name
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    timeout: Seconds | None = None
    idempotent: bool = False


class Cancel(_FromClient, tag="cancel"):
    """Wait for the call `id` no longer."""

    id: Id


class Ping(_FromClient, tag="ping"):
    """Say that you are there."""

    id: Id | None = None


ClientFrame = Sub | Unsub | Credit | Ack | Pub | Req | Cancel | Ping


class Welcome(_FromServer, tag="welcome"):
    """The first frame: on whose behalf the connection acts, what the bounds are. `ping` is in seconds."""

    protocol: str
    name: str
    anonymous: bool
    linked: bool
    max_message: int
    max_subscriptions: int
    max_credit: int
    ping: float


class Subscribed(_FromServer, tag="subscribed"):
    """The subscription `id` is in force; `last_id` is its place before anything else is heard."""

    id: Id
    pattern: str
    last_id: str


class Unsubscribed(_FromServer, tag="unsubscribed"):
    """The subscription `id` is over, no event of it follows; with a `reason` the bridge, or its dispatcher, ended it."""

    id: Id
    reason: str


class Event(_FromServer, tag="event"):
    """One event for the subscription `sub`; `id` is for `last_id`, `at` when the bridge had it, in Unix time."""

    sub: Id
    id: str
    event: str
    at: float
    message: dict[str, Any] | UnsetType = UNSET
    base64: str | UnsetType = UNSET


class Gap(_FromServer, tag="gap"):
    """Events of the subscription `sub` may be missing before the next one; `id` is for `last_id`."""

    sub: Id
    id: str
    reason: str


class Receipt(_FromServer, tag="receipt"):
    """What became of the event that `id` published, as far as `confirm` wanted to know."""

    id: Id
    matched: int
    delivered: int
    dropped: int


class Result(_FromServer, tag="result"):
    """What the method returned."""

    id: Id
    value: Any


class Item(_FromServer, tag="item"):
    """One value of a method that returns many."""

    id: Id
    value: Any


class End(_FromServer, tag="end"):
    """The method returned its last item."""

    id: Id


class Cancelled(_FromServer, tag="cancelled"):
    """The call `id` is waited for no longer; its method was told."""

    id: Id


class Pong(_FromServer, tag="pong"):
    """The answer to a ping."""

    id: Id | None


class LinkFrame(_FromServer, tag="link"):
    """Whether there is a dispatcher; `reason` says why not."""

    linked: bool
    reason: str


class Error(_FromServer, tag="error", omit_defaults=True):
    """A problem of RFC 9457: `id` is of the frame that it answers, None when that has none that can be read."""

    id: str | None
    status: int
    title: str
    detail: str
    retry_after: float | UnsetType = UNSET
    receipt: dict[str, int] | UnsetType = UNSET


ServerFrame = (
    Welcome | Subscribed | Unsubscribed | Event | Gap | Receipt | Result | Item | End | Cancelled | Pong | LinkFrame | Error
)


class _Named(msgspec.Struct, gc=False):
    """A frame of which nothing but its id counts."""

    id: Any = None


_decoder: Final[msgspec.json.Decoder[ClientFrame]] = msgspec.json.Decoder(ClientFrame)
_named: Final = msgspec.json.Decoder(_Named)
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def read(text: str) -> ClientFrame:
    """The frame that a client sent. Raises `NoFrame` for what is no JSON, `BadFrame` for what is none of its frames."""
    try:
        return _decoder.decode(text)
    except (msgspec.ValidationError, RecursionError) as error:
        detail = "it is nested too deep" if isinstance(error, RecursionError) else _explain(error)
        raise BadFrame(f"this is no frame of {SUBPROTOCOL}: {detail}", _readId(text)) from None
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise NoFrame(f"a frame must be one JSON object: {_explain(error)}") from None


def _readId(text: str) -> str | None:
    try:
        id = _named.decode(text).id
    except (msgspec.ValidationError, RecursionError):
        return None
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise NoFrame(f"a frame must be one JSON object: {_explain(error)}") from None
    return id if isinstance(id, str) and 0 < len(id) <= MAX_ID else None


def _explain(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def write(frame: ServerFrame) -> str:
    """The text of a frame of the bridge. Raises `TypeError` or `ValueError` for a value that JSON has not."""
    return _encoder.encode(frame).decode()


def splice(op: str, sub: str, data: bytes) -> str:
    """The text of an `event` or `gap`, of the JSON object that tells the rest of it, which is taken as it is."""
    return f'{{"op":"{op}","sub":{_encoder.encode(sub).decode()},{data[1:].decode()}'
