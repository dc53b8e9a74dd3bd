"""Messages to payload bytes, back again."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Callable, Mapping
from itertools import repeat
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import attrs
import msgspec
from msgspec import inspect
from msgspec.structs import asdict

from nodeset.core import message
from nodeset.core.likeness import bare
from nodeset.core.message import MODES, Attribute, NodeMessage, RawMessage, _Message, makeBlank, setFields
from nodeset.core.syntax import explainSyntax
from nodeset.core.values import INT_LIMIT, MAX_DEPTH, TOO_DEEP, compare, place, search, write
from nodeset.errors import BadMessage, MessageTooLarge

__all__ = [
    "MAX_DEPTH",
    "MAX_EVENT",
    "checkPayload",
    "decode",
    "decodeMany",
    "deliveryMode",
    "encode",
    "encodeFields",
    "express",
    "write",
]

MAX_EVENT: Final = 1 << 20
"""Bytes of one encoded event. A batch is at most 2 MiB, so that one event never fills it alone; NATS stops at 1 MiB too."""

_SCALARS: Final = frozenset({type(None), bool, int, float, str})
_DIGITS: Final = bytes.maketrans(b"123456789+E", b"0000000000e")
_LONG_NUMBER: Final = b"0" * 19  # no shorter one can leave 64 bits
_LARGE_NUMBER: Final = b"0e000"  # no other shape can leave the floats
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKET: Final = bytes(set(range(256)) - set(b"[]{}"))
_ODD_ESCAPE: Final = re.compile(rb"\\u(?:005|[dD])")  # of an underscore, of half a character
_readObject: Final = msgspec.json.Decoder(dict[str, Any]).decode
_SIMPLE: Final = (inspect.NoneType | inspect.BoolType | inspect.StrType | inspect.BytesType | inspect.UUIDType) | (
    inspect.DateTimeType | inspect.DateType | inspect.TimeType | inspect.TimeDeltaType
)


@attrs.define(eq=False)
class Plan:
    """How messages of one class are read, checked, written."""

    wire: type[msgspec.Struct]  # the declared fields once more, as msgspec checks, writes them in a quarter of the time
    read: Callable[[bytes], Any]
    express: type[msgspec.Struct] | None  # what the fields of a class of flat types are converted to, none of them unknown
    quick: Callable[[bytes], msgspec.Struct] | None  # reads a flat payload as such a one
    reread: Callable[[bytes], Any]  # into `wire`
    loose: tuple[str, ...]  # the declared fields in which msgspec may send a value that arrives as another
    flat: bool  # the types alone keep out every value that JSON cannot carry
    direct: bool  # a message is nothing but its declared fields


def encode(msg: NodeMessage) -> bytes:
    """The payload of this message. Raises BadMessage, which names the value that cannot be sent, or MessageTooLarge."""
    cls = type(msg)
    if isinstance(msg, RawMessage):
        return _checkSize(RawMessage(msg.data).data)
    plan: Plan = cls._shape.plan or _compile(cls)
    typed = _validate(plan, cls, msg.__dict__)  # also what was assigned since
    rest = msg._readRest()
    if not rest:
        return _encodeDeclared(plan, typed, cls)
    if plan.loose:
        _encodeDeclared(plan, typed, cls)
    return _encodeAny(_fieldsOf(typed) | rest, rest)


def encodeFields(msg_class: type[NodeMessage] | None, fields: Mapping[str, Any]) -> tuple[bytes, str]:
    """Payload, delivery mode of a message of this class with these fields: as `createMessage` then `encode`, but quick.

    `_delivery_mode` among the fields is the mode. None stands for a message of any fields. Raises UnknownField for a
    field that the class does not have, BadMessage for a value that cannot be sent, MessageTooLarge.
    """
    if msg_class is not None and (known := msg_class._shape.plan) is not None and known.express is not None:
        try:
            payload = write(msgspec.convert(fields, known.express))
        except (ValueError, TypeError, AttributeError, RecursionError):
            pass  # whatever is wrong, or only unusual, the long way finds out
        else:
            if len(payload) <= MAX_EVENT and msg_class._delivery_mode in MODES:
                return payload, msg_class._delivery_mode
    cls = _Message if msg_class is None else msg_class
    shape = cls._shape
    plan: Plan = shape.plan or _compile(cls)
    mode: str = cls._delivery_mode
    given = fields
    if "_delivery_mode" in fields:
        given = dict(fields)
        mode = given.pop("_delivery_mode")
    if mode in MODES:
        if plan.direct and given.keys() <= shape.names:
            return _encodeDeclared(plan, _validate(plan, cls, given), cls), mode
        if cls is _Message:
            return _encodeAny(given if type(given) is dict else dict(given), given), mode
    msg = message.buildMessage(cls, fields)
    mode = deliveryMode(msg)
    return encode(msg), mode


def express(msg_class: type[NodeMessage]) -> type[msgspec.Struct] | None:
    """What msgspec can convert the fields of a message of this class to, which `write` makes its payload of.

    What it takes is right, except that the payload may be larger than `MAX_EVENT`; the rest is for `encodeFields` to judge.
    None for a class that takes more than that to check, or is not compiled yet.
    """
    plan: Plan | None = msg_class._shape.plan
    return None if plan is None else plan.express


def deliveryMode(msg: NodeMessage) -> str:
    """Who gets this message: 'all' or 'one'. Raises BadMessage if its `_delivery_mode` is neither."""
    return message.checkMode(msg._delivery_mode, type(msg))


def decode(payload: bytes, msg_class: type[NodeMessage] | None = None, raw: bool = False) -> NodeMessage:
    """The message in a payload from the wire, of this class, else of any fields. Raises BadMessage or MessageTooLarge.

    Fields that the class does not know are kept; those that did not come take its defaults. `raw` says that the payload
    is no JSON, so that only RawMessage can take it.
    """
    if msg_class is not None and not raw and (plan := msg_class._shape.plan) is not None and plan.quick is not None:
        flat = _decodeFlat(payload, msg_class, plan.quick)
        if flat is not None:
            return flat
    cls = msg_class or (RawMessage if raw else _Message)
    _checkSize(payload)
    if issubclass(cls, RawMessage):
        return cls(payload)
    if raw:
        raise BadMessage(f"{cls.__name__} cannot be read from raw bytes; catch this event with RawMessage")
    try:
        return _decodeObject(payload, cls)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadMessage(f"a payload of {len(payload)} bytes cannot be read: {message.explain(error, cls)}") from None


def decodeMany(payloads: list[bytes], msg_class: type[NodeMessage]) -> list[NodeMessage] | None:
    """The messages in these payloads, made all at once; None when they are to be decoded one by one.

    That is when one is not as usual or plainly wrong, or the class takes more than its declared fields to make. What each costs
    by itself is spent in C, in half the time.
    """
    plan: Plan | None = msg_class._shape.plan
    if plan is None or plan.quick is None:
        return None
    try:
        fields = list(map(asdict, map(plan.quick, payloads)))
    except (ValueError, RecursionError):
        return None
    messages = list(map(makeBlank, repeat(msg_class, len(payloads))))
    deque(map(setFields, messages, fields), 0)
    return messages


def checkPayload(payload: bytes) -> None:
    """Raise BadMessage or MessageTooLarge for what is no JSON of a message of any fields, as `encodeFields` would make it.

    A mode among the fields is refused: it stands nowhere in a payload.
    """
    _checkSize(payload)
    try:
        fields = _readObject(payload)
        if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH:
            _checkNesting(payload)
    except RecursionError:
        raise BadMessage(f"a payload of {len(payload)} bytes is {TOO_DEEP}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadMessage(f"this is no JSON object: {explainSyntax(error, payload)}") from None
    if _isDoubtful(payload) or payload.find(b"\\u005") >= 0:
        _checkValues(fields)
    if "_delivery_mode" in fields:
        raise BadMessage("_delivery_mode is no field of a payload: say it beside the message")


def _decodeFlat(payload: bytes, cls: type[NodeMessage], read: Callable[[bytes], msgspec.Struct]) -> NodeMessage | None:
    """The usual case made quick: nothing but declared fields; None when it is another one.

    The types of the class refuse what JSON cannot carry, msgspec half a character; fields that the class does not know are left
    to the long way.
    """
    if len(payload) > MAX_EVENT:
        return None
    try:
        fields = asdict(read(payload))
    except (ValueError, RecursionError):
        return None
    msg = makeBlank(cls)
    setFields(msg, fields)
    return msg


def _decodeObject(payload: bytes, cls: type[NodeMessage]) -> NodeMessage:
    shape = cls._shape
    plan: Plan = shape.plan or _compile(cls)
    if not payload.isascii():
        payload.decode()  # msgspec does not look into what it skips
    if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH:
        _checkNesting(payload)
    # `find` takes half the time of `in`.
    if _isDoubtful(payload) or (payload.find(b"\\u") >= 0 and _ODD_ESCAPE.search(payload)):
        _checkValues(_readObject(payload))
    if plan.direct and shape.names:
        msg: NodeMessage = plan.read(payload)
        msg.__dict__["_unread"] = payload
        return msg
    fields = _readObject(payload)
    fields.pop("_delivery_mode", None)
    if cls is _Message:
        msg = cls.__new__(cls)
        msg.__dict__["_values"] = fields
        return msg
    try:
        return message.buildMessage(cls, fields, received=True)
    except BadMessage:
        raise
    except Exception as error:
        # The __init__ of the class ran, without arguments.
        raise BadMessage(f"{cls.__name__}() failed with {type(error).__name__}; it must work without arguments") from error


def _validate(plan: Plan, cls: type[NodeMessage], fields: Mapping[str, Any]) -> msgspec.Struct:
    try:
        return msgspec.convert(fields, plan.wire)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        if any(isinstance(value, Attribute) for value in fields.values()):
            return _validate(plan, cls, {name: bare(value) for name, value in fields.items()})
        if isinstance(error, RecursionError) or "=" in str(error):
            # Too deep, or out of range: our own search says it better.
            _checkValues({name: fields[name] for name in cls._shape.declared if name in fields})
        raise BadMessage(message.explain(error, cls)) from None


def _encodeDeclared(plan: Plan, typed: msgspec.Struct, cls: type[NodeMessage]) -> bytes:
    """The payload of the declared fields, if they arrive as they are."""
    if plan.flat:
        try:
            return _checkSize(write(typed))
        except UnicodeEncodeError:
            _checkValues(_fieldsOf(typed))
    payload = _pack(typed)
    if plan.loose:
        try:
            back = plan.reread(payload)
        except msgspec.MsgspecError as error:
            raise BadMessage(message.explain(error, cls)) from None
        for name in plan.loose:
            compare(getattr(typed, name), getattr(back, name), name)
    return payload


def _encodeAny(fields: Mapping[str, Any], untyped: Mapping[str, Any]) -> bytes:
    """The payload of `fields`, if the `untyped` of them arrive as they are."""
    compared = []
    for name, value in untyped.items():
        if type(name) is not str:
            message.checkName(name)
        if type(value) not in _SCALARS:
            compared.append(name)
    payload = _pack(fields)
    if compared:
        back = _readObject(payload)
        for name in compared:
            compare(untyped[name], back[name], place("", name))
    return payload


def _fieldsOf(holder: msgspec.Struct | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(holder, msgspec.Struct):
        return {name: getattr(holder, name) for name in holder.__struct_fields__}
    return dict(holder)


def _pack(holder: msgspec.Struct | Mapping[str, Any]) -> bytes:
    try:
        payload = write(holder)
    except (TypeError, ValueError, RecursionError) as error:
        _checkValues(_fieldsOf(holder))
        raise BadMessage(f"this message cannot be sent: {message.show(str(error))}") from None
    nulls = payload.count(b"null")
    if nulls:
        # NaN became one of them, unless each is a None.
        nulls -= list(_fieldsOf(holder).values()).count(None)
    if nulls or _isDoubtful(payload):
        _checkValues(_fieldsOf(holder))
    if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH:
        _checkValues(_fieldsOf(holder))
        _checkNesting(payload)
    return _checkSize(payload)


def _checkSize(payload: bytes) -> bytes:
    if len(payload) > MAX_EVENT:
        raise MessageTooLarge(f"an event of {len(payload)} bytes is over the limit of {MAX_EVENT}; send it in parts")
    return payload


def _isDoubtful(payload: bytes) -> bool:
    numbers = payload.translate(_DIGITS)
    return payload.find(b'"__') >= 0 or numbers.find(_LONG_NUMBER) >= 0 or numbers.find(_LARGE_NUMBER) >= 0


def _checkNesting(payload: bytes) -> None:
    depth = 0
    for bracket in _STRING.sub(b"", payload).translate(None, _NO_BRACKET):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise BadMessage(f"a payload of {len(payload)} bytes is {TOO_DEEP}")


def _checkValues(fields: Mapping[str, Any]) -> None:
    """Refuse by name what has no place in a payload, whatever is declared."""
    for name, value in fields.items():
        message.checkName(name)
        search(name, "the name of a field", 1)
        search(value, place("", name), 1)


def _compile(cls: type[NodeMessage]) -> Plan:
    """The class's plan, made once. Raises BadMessage for a type that cannot be sent, or a default of a wrong type."""
    shape = cls._shape
    entries: list[tuple[str, Any, Any]] = []
    at = cls.__name__
    try:
        types = get_type_hints(cls, include_extras=True)
        for name in shape.declared:
            at, kind = f"{cls.__name__}.{name}", _tighten(types[name])
            factory = shape.factories.get(name)
            default = factory() if factory else getattr(cls, name, msgspec.NODEFAULT)
            if default is not msgspec.NODEFAULT:
                msgspec.convert(default, kind)
            entries.append((name, kind, msgspec.field(default_factory=factory) if factory else default))
        at = cls.__name__
        wire = msgspec.defstruct(cls.__name__, entries, kw_only=True)
        read, reread = msgspec.json.Decoder(cls).decode, msgspec.json.Decoder(wire).decode
        info: Any = inspect.type_info(wire)
        loose = tuple(field.name for field in info.fields if not _isFirm(field.type))
    except (TypeError, NameError, ValueError) as error:
        raise BadMessage(f"{at} is declared with what cannot be sent: {message.show(str(error))}") from None
    flat = all(_isFlat(field.type) for field in info.fields)
    direct = not shape.built and not hasattr(cls, "__post_init__") and (bool(shape.names) or not cls._generic)
    express: type[msgspec.Struct] | None = None
    quick = None
    if flat and direct and not shape.factories:
        # It holds nothing that could hold it: no work for the garbage collector.
        express = msgspec.defstruct(cls.__name__, entries, kw_only=True, forbid_unknown_fields=True, gc=False)
        quick = msgspec.json.Decoder(express).decode
    shape.plan = plan = Plan(wire, read, express, quick, reread, loose, flat, direct)
    return plan


def _tighten(kind: Any) -> Any:
    """The same type without the numbers that JSON cannot carry."""
    if kind is int:
        return Annotated[int, msgspec.Meta(ge=-INT_LIMIT, le=INT_LIMIT - 1)]
    if kind is float:
        return Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
    if get_origin(kind) in (Union, UnionType):
        return Union[tuple(_tighten(one) for one in get_args(kind))]  # noqa: UP007  (made from a tuple)
    return kind


def _isFlat(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return all(_isFlat(one) for one in kind.types)
    return isinstance(kind, _SIMPLE) or (isinstance(kind, inspect.IntType | inspect.FloatType) and kind.le is not None)


def _isFirm(kind: inspect.Type) -> bool:
    """Whether a value that msgspec took for this type arrives as it is."""
    if isinstance(kind, inspect.CollectionType):
        return _isFirm(kind.item_type)
    if isinstance(kind, inspect.TupleType):
        return all(_isFirm(item_type) for item_type in kind.item_types)
    if isinstance(kind, inspect.DictType):
        return _isFirm(kind.key_type) and _isFirm(kind.value_type)
    if isinstance(kind, inspect.UnionType):
        return all(_isFirm(one) for one in kind.types)
    if isinstance(kind, inspect.CustomType | inspect.RawType | inspect.ExtType):
        raise TypeError("one type is not known to JSON; declare a str, or a dataclass")
    return isinstance(kind, _SIMPLE | inspect.IntType | inspect.FloatType | inspect.EnumType | inspect.LiteralType)
