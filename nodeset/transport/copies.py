"""Message copies, the form in which plain Foolscap peers exchange messages."""

from __future__ import annotations

from typing import Any, Final

from foolscap.api import Copyable, RemoteCopy, Violation
from foolscap.constraint import Any as Anything
from foolscap.remoteinterface import RemoteInterfaceConstraint
from foolscap.slicers.dict import DictConstraint
from foolscap.slicers.unicode import UnicodeConstraint
from foolscap.tokens import OPEN, STRING, VOCAB

from nodeset.core import codec
from nodeset.errors import BadMessage, MessageTooLarge

__all__ = [
    "MAX_VALUES",
    "TYPE_NAME",
    "MessageConstraint",
    "MessageCopy",
    "NodeConstraint",
    "TextConstraint",
    "makeCopy",
    "readFields",
    "readText",
]

#: What the type of message copies has been called on the wire since the original (R-A45).
TYPE_NAME: Final = "node-message-0xdeadbeaf"
#: Values in one message copy, those inside others included. Foolscap takes some 10 us for each, in one go.
MAX_VALUES: Final = 10_000
#: Fields of one message copy, and characters of the name of one.
_MAX_FIELDS: Final = 1000
_MODE: Final = "_delivery_mode"


class MessageCopy(Copyable, RemoteCopy):
    """A message on the wire: its `fields` by name, `_delivery_mode` among them. What came is unchecked: see `readFields`."""

    typeToCopy = copytype = TYPE_NAME
    # A message that holds itself would need a Deferred in the place of a value.
    nonCyclic = True

    def __init__(self, fields: dict[str, Any] | None = None) -> None:
        self.fields: dict[str, Any] = {} if fields is None else fields

    def getStateToCopy(self) -> dict[str, Any]:
        """What Foolscap sends."""
        return self.fields

    def setCopyableState(self, state: dict[str, Any]) -> None:
        """What Foolscap received. It never raises: Foolscap would log a traceback for what is the peer's fault."""
        self.fields = state


class TextConstraint(UnicodeConstraint):
    """Text of at most `limit` characters, or the bytes that a peer on Python 2 sends in its place."""

    name = "text"
    strictTaster = False  # a wrong type costs the call, not the connection

    def __init__(self, limit: int) -> None:
        super().__init__(maxLength=limit)
        self.taster = {STRING: limit, VOCAB: None, OPEN: None}

    def checkObject(self, obj: object, inbound: bool) -> None:
        """Raises Violation, which does not repeat what was sent."""
        if not isinstance(obj, (str, bytes)):
            raise Violation(f"this is a {type(obj).__name__} and must be text")
        if len(obj) > self.maxLength:
            raise Violation(f"this text is {len(obj)} long, over the limit of {self.maxLength}")


class NodeConstraint(RemoteInterfaceConstraint):
    """A Referenceable of the peer's own, of any interface or none."""

    opentypes = [("my-reference",)]

    def __init__(self) -> None:
        super().__init__(None)

    def checkObject(self, obj: Any, inbound: bool) -> None:
        """Raises Violation, which does not repeat what was sent: Foolscap's own would show a whole FURL."""
        try:
            usable = obj.tracker.clid > 0  # below zero it is a bound method, which has no `event`
        except AttributeError:
            usable = False
        if not usable:
            raise Violation(f"a node must be a Referenceable of the caller's, not a {type(obj).__name__}")


class MessageConstraint(DictConstraint):  # Foolscap's own dictionaries accept no other class
    """A message copy or a dictionary; `readFields` looks at what is inside."""

    name = "message"
    opentypes = [("copyable", TYPE_NAME), ("dict",)]

    def __init__(self) -> None:
        super().__init__(Anything(), Anything(), _MAX_FIELDS)

    def checkObject(self, obj: object, inbound: bool) -> None:
        """Raises Violation."""
        if not isinstance(obj, (MessageCopy, dict)):
            raise Violation(f"a message must be a copy of type {TYPE_NAME} or a dictionary, not a {type(obj).__name__}")


def readText(value: object, what: str) -> str:
    """The text that a peer sent as `what`, decoded when it is bytes. Raises BadMessage."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadMessage(f"{what} is bytes that are not UTF-8 at {error.start}; send text") from None
    if not isinstance(value, str):
        raise BadMessage(f"{what} is a {type(value).__name__}; send text")
    return value


def readFields(msg: object) -> dict[str, Any]:
    """The fields that a peer sent, a message copy or a dictionary, as JSON can carry them; texts on their own are decoded.

    Raises BadMessage or MessageTooLarge. What is left for `codec` to refuse are values of other types.
    """
    fields = msg.fields if isinstance(msg, MessageCopy) else msg
    if not isinstance(fields, dict):
        raise BadMessage(f"a message is a copy or a dictionary, not a {type(fields).__name__}")
    if len(fields) > _MAX_FIELDS:
        raise MessageTooLarge(f"a message of {len(fields)} fields is over the limit of {_MAX_FIELDS}; nest them, or send parts")
    read: dict[str, Any] = _Reader().read(fields, 0)
    return read


class _Reader:
    """Counts while it copies: on this wire one list may stand in many places, so that few bytes may mean a lot."""

    def __init__(self) -> None:
        self._values = self._characters = 0

    def read(self, value: Any, depth: int) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise MessageTooLarge(f"a message of more than {MAX_VALUES} values is over the limit; send it in parts")
        if isinstance(value, (str, bytes)):
            text = readText(value, "a value")
            self._characters += len(text)
            if self._characters > codec.MAX_EVENT:
                raise MessageTooLarge(f"an event is over the limit of {codec.MAX_EVENT} bytes; send it in parts")
            return text
        if not isinstance(value, (list, tuple, dict)):
            return value
        if depth >= codec.MAX_DEPTH:
            raise BadMessage(f"a value is nested deeper than {codec.MAX_DEPTH}, the message included; flatten it")
        if not isinstance(value, dict):
            return [self.read(item, depth + 1) for item in value]
        read: dict[str, Any] = {}
        for key, item in value.items():
            name = self.read(readText(key, "a key"), depth)
            if name in read:
                raise BadMessage("a key comes twice, as text and as bytes; send text")
            read[name] = self.read(item, depth + 1)
        return read


def makeCopy(payload: bytes, mode: str, raw: bool) -> MessageCopy:
    """The copy of an event for a plain peer; raw bytes go as the field `data`. Raises BadMessage or MessageTooLarge."""
    fields = codec.decode(payload, raw=raw).fields()
    # Back the same way: what the peer could not send, it is not sent.
    copied = fields if raw else readFields(fields)
    return MessageCopy({**copied, _MODE: mode})
