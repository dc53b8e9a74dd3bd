"""Messages from the JSON that HTTP clients send, back again."""

from __future__ import annotations

from typing import Any, Final

import simplejson

from nodeset.core import codec
from nodeset.core.message import MessageBuilder, NodeMessage, RawMessage, buildMessage
from nodeset.errors import BadMessage, MessageTooLarge

__all__ = ["Lines", "WebMessageBuilder", "readMessage"]

#: What ends an event on the wire of the original.
_END: Final = b"\r\n"


class WebMessageBuilder(MessageBuilder):
    """Makes messages of a JSON text, as the original's did."""

    @staticmethod
    def createMessage(klass: type[NodeMessage] | None = None, /, json: str | None = None, **kw: Any) -> NodeMessage:
        """A message of `klass`, or of any fields for None, with the members of the JSON object `json`, known to it or not.

        `_delivery_mode` among them is the mode. Without `json`, as `MessageBuilder.createMessage`.

        :raise BadMessage: for what is no JSON object, is too deep, has a wrong value.
        :raise MessageTooLarge: for what is larger than an event may be.
        """
        if json is None:
            return MessageBuilder.createMessage(klass, **kw)
        if len(json) > codec.MAX_EVENT:
            raise MessageTooLarge(f"the message has {len(json)} characters, more than {codec.MAX_EVENT}: send less")
        try:
            found = simplejson.loads(json, allow_nan=False)
        except (ValueError, RecursionError) as error:
            why = " ".join(str(error).split())[:100] if isinstance(error, ValueError) else "it is nested too deeply"
            raise BadMessage(f'the message is no JSON ({why}): send a JSON object, such as {{"id": 1}}') from None
        if not isinstance(found, dict):
            raise BadMessage(
                f'the message is a JSON {_KINDS.get(type(found), "number")}: send a JSON object, such as {{"id": 1}}'
            )
        mode = found.pop("_delivery_mode", None)
        msg = MessageBuilder.createMessage(None, **found) if klass is None else buildMessage(klass, found, received=True)
        if mode is not None:
            msg._delivery_mode = mode
        codec.encode(msg)  # what cannot be sent is told now
        return msg


_KINDS: Final[dict[type, str]] = {list: "array", str: "string", bool: "boolean", type(None): "null"}


def readMessage(msg: RawMessage) -> NodeMessage:
    """What a bridge's node got as bytes, as a message with its fields; bytes that are no JSON stay a `RawMessage`.

    Raises `BadMessage` for a payload that its publisher calls JSON although it is none.
    """
    meta = msg.meta
    if meta is not None and meta.headers.get("content_type") == "raw":
        return msg
    read = codec.decode(msg.data)
    if meta is not None:
        read.meta = meta
    return read


class Lines:
    """The line of an event, made once for all subscribers: `toJson()` with CR LF behind it."""

    def __init__(self) -> None:
        self._last: RawMessage | None = None
        self._line = b""

    def of(self, msg: RawMessage) -> bytes:
        """The line. Raises `BadMessage`."""
        if self._last is not msg:
            self._line = readMessage(msg).toJson().encode() + _END
            self._last = msg
        return self._line
