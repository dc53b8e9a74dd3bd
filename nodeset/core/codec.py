"""Messages to payload bytes, back again."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn, get_type_hints

import attrs
import msgspec
from msgspec import inspect

from nodeset.core.message import (
    MODES,
    Attribute,
    NodeMessage,
    RawMessage,
    _Message,
    buildMessage,
    checkMode,
    checkName,
    convertFields,
    explain,
    show,
)
from nodeset.errors import BadMessage, MessageTooLarge

__all__ = ["MAX_DEPTH", "MAX_EVENT", "decode", "deliveryMode", "encode", "encodeFields"]

MAX_DEPTH: Final = 32
"""Brackets of a payload open at once, its own included. Data of people is flat; recursion in a peer's parser is not free,
968 levels cut every subscriber off (measured with Foolscap's), and 32 leaves every known parser room."""

MAX_EVENT: Final = 1 << 20
"""Bytes of one encoded event. A batch is at most 2 MiB, so that one event never fills it alone; NATS stops at 1 MiB too."""

_SCALARS: Final = frozenset({type(None), bool, int, float, str})
_INT_LIMIT: Final = 1 << 63
_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER: Final = b"0" * 19  # no shorter one can leave 64 bits
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKET: Final = bytes(set(range(256)) - set(b"[]{}"))
_ODD_ESCAPE: Final = re.compile(rb"\\u(?:005|[dD])")  # of an underscore, of half a character
_TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH}, the message included; flatten it"
_readObject: Final = msgspec.json.Decoder(dict[str, Any]).decode
_FIRM: Final = (
    *(inspect.NoneType, inspect.BoolType, inspect.IntType, inspect.FloatType, inspect.StrType, inspect.BytesType),
    *(inspect.DateTimeType, inspect.DateType, inspect.TimeType, inspect.TimeDeltaType, inspect.UUIDType),
    *(inspect.EnumType, inspect.LiteralType),
)


def _unwrap(value: Any) -> Any:
    if isinstance(value, Attribute):
        return value.getValue()
    raise TypeError(f"a value of the type {type(value).__name__} cannot be sent")


_write: Final = msgspec.json.Encoder(enc_hook=_unwrap).encode


@attrs.define(eq=False)
class Plan:
    """How messages of one class are read, checked, written."""

    read: Callable[[bytes], Any]
    loose: tuple[str, ...]  # the declared fields in which msgspec may send a value that arrives as another
    direct: bool  # a message is nothing but its declared fields


def encode(msg: NodeMessage) -> bytes:
    """The payload of this message. Raises BadMessage, which names the value that cannot be sent, or MessageTooLarge."""
    cls = type(msg)
    if isinstance(msg, RawMessage):
        return _checkSize(msg.data)
    plan: Plan = cls._shape.plan or _compile(cls)
    # What was assigned since is validated now.
    typed = convertFields(cls, msg.__dict__) if cls._shape.names else msg
    rest = msg._readRest()
    if not rest:
        return _encodeDeclared(plan, typed, msg)
    fields = msg.fields()
    if plan.loose:
        _encodeDeclared(plan, typed, fields)
    return _encodeAny(fields, rest)


def encodeFields(msg_class: type[NodeMessage] | None, fields: Mapping[str, Any]) -> tuple[bytes, str]:
    """Payload, delivery mode of a message of this class with these fields: as `createMessage` then `encode`, but quick.

    `_delivery_mode` among the fields is the mode. None stands for a message of any fields. Raises UnknownField for a
    field that the class does not have, BadMessage for a value that cannot be sent, MessageTooLarge.
    """
    cls = _Message if msg_class is None else msg_class
    shape = cls._shape
    plan: Plan = shape.plan or _compile(cls)
    mode = cls._delivery_mode
    if plan.direct and fields.keys() <= shape.names and mode in MODES:
        try:
            msg = msgspec.convert(fields, cls)
        except (ValueError, TypeError, RecursionError):
            msg = convertFields(cls, fields)
        return _encodeDeclared(plan, msg, msg), mode
    if cls is _Message and "_delivery_mode" not in fields and mode in MODES:
        return _encodeAny(fields if type(fields) is dict else dict(fields), fields), mode
    msg = buildMessage(cls, fields)
    mode = deliveryMode(msg)
    return encode(msg), mode


def deliveryMode(msg: NodeMessage) -> str:
    """Who gets this message: 'all' or 'one'. Raises BadMessage if its `_delivery_mode` is neither."""
    return checkMode(msg._delivery_mode, type(msg))


def decode(payload: bytes, msg_class: type[NodeMessage] | None = None, raw: bool = False) -> NodeMessage:
    """The message in a payload from the wire, of this class, else of any fields. Raises BadMessage or MessageTooLarge.

    Fields that the class does not know are kept; those that did not come take its defaults. `raw` says that the payload
    is no JSON, so that only RawMessage can take it.
    """
    cls = msg_class or (RawMessage if raw else _Message)
    _checkSize(payload)
    if issubclass(cls, RawMessage):
        return cls(payload)
    if raw:
        raise BadMessage(f"{cls.__name__} cannot be read from raw bytes; catch this event with RawMessage")
    try:
        return _decodeObject(payload, cls)
    except msgspec.MsgspecError as error:
        reason = explain(error, cls)
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start}"
    raise BadMessage(f"a payload of {len(payload)} bytes cannot be read: {reason}")


def _decodeObject(payload: bytes, cls: type[NodeMessage]) -> NodeMessage:
    shape = cls._shape
    plan: Plan = shape.plan or _compile(cls)
    if not payload.isascii():
        payload.decode()  # msgspec does not look into what it skips
    if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH:
        _checkNesting(payload)
    doubtful = b'"__' in payload or _LONG_NUMBER in payload.translate(_DIGITS)
    if doubtful or (b"\\u" in payload and _ODD_ESCAPE.search(payload)):
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
        return buildMessage(cls, fields, received=True)
    except BadMessage:
        raise
    except Exception as error:
        # The __init__ of the class ran, without arguments.
        raise BadMessage(f"{cls.__name__}() failed with {type(error).__name__}; it must work without arguments") from error


def _encodeDeclared(plan: Plan, typed: NodeMessage, holder: NodeMessage | Mapping[str, Any]) -> bytes:
    """The payload of `holder`, if its declared fields arrive as the values that `typed` has."""
    payload = _pack(holder)
    if plan.loose:
        try:
            back = plan.read(payload)
        except msgspec.MsgspecError as error:
            raise BadMessage(explain(error, type(typed))) from None
        for name in plan.loose:
            _compare(getattr(typed, name), getattr(back, name), name)
    return payload


def _encodeAny(fields: Mapping[str, Any], untyped: Mapping[str, Any]) -> bytes:
    """The payload of `fields`, if the `untyped` of them arrive as they are."""
    compared = []
    for name, value in untyped.items():
        if type(name) is not str:
            checkName(name)
        if type(value) not in _SCALARS:
            compared.append(name)
    payload = _pack(fields)
    if compared:
        back = _readObject(payload)
        for name in compared:
            _compare(untyped[name], back[name], _place("", name))
    return payload


def _pack(holder: NodeMessage | Mapping[str, Any]) -> bytes:
    try:
        payload = _write(holder)
    except (TypeError, ValueError, RecursionError) as error:
        _checkValues(holder)
        raise BadMessage(f"this message cannot be sent: {show(str(error))}") from None
    nulls = payload.count(b"null")
    if nulls:
        # NaN became one of them, unless each is a None.
        values = holder.fields().values() if isinstance(holder, NodeMessage) else holder.values()
        nulls -= list(values).count(None)
    if nulls or b'"__' in payload or _LONG_NUMBER in payload.translate(_DIGITS):
        _checkValues(holder)
    if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH:
        _checkValues(holder)
        _checkNesting(payload)
    return _checkSize(payload)


def _checkSize(payload: bytes) -> bytes:
    if len(payload) > MAX_EVENT:
        raise MessageTooLarge(f"an event of {len(payload)} bytes is over the limit of {MAX_EVENT}; send it in parts")
    return payload


def _checkNesting(payload: bytes) -> None:
    depth = 0
    for bracket in _STRING.sub(b"", payload).translate(None, _NO_BRACKET):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise BadMessage(f"a payload of {len(payload)} bytes is {_TOO_DEEP}")


def _checkValues(holder: NodeMessage | Mapping[str, Any]) -> None:
    """Refuse by name what has no place in a payload, whatever is declared."""
    for name, value in (holder.fields() if isinstance(holder, NodeMessage) else holder).items():
        checkName(name)
        _search(name, "the name of a field", 1)
        _search(value, _place("", name), 1)


def _search(value: Any, path: str, depth: int) -> None:
    """Raise for the first value in here that msgspec cannot write, or should not have written."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            _refuse(path, "has a lone surrogate, which UTF-8 cannot carry; send a whole text, or bytes")
    if value is None or isinstance(value, bool):
        return
    if type(value) is int:
        if not -_INT_LIMIT <= value < _INT_LIMIT:
            _refuse(path, "is an int beyond 64 bits; send it as a str")
    elif isinstance(value, float) or (isinstance(value, Decimal) and not value.is_finite()):
        if isinstance(value, Decimal) or not math.isfinite(value):
            _refuse(path, f"is {value}, which JSON cannot carry; send None or a number")
    elif isinstance(value, Attribute):
        _search(value.getValue(), path, depth)
    elif depth >= MAX_DEPTH and isinstance(value, dict | list | tuple):
        _refuse(path, f"is {_TOO_DEEP}")
    elif isinstance(value, dict):
        for key, item in value.items():
            _search(key, f"a key of {path}", depth)
            _search(item, _place(path, key), depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            _search(item, f"{path}[{index}]", depth + 1)
    elif parts := _partsOf(value):
        for name in parts:
            _search(getattr(value, name, None), _place(path, name), depth + 1)
    else:
        try:
            _write(value)
        except TypeError:
            _refuseType(path, value)


def _compare(sent: Any, back: Any, path: str) -> None:
    """Raise for the first value that would arrive as another; that a tuple becomes a list is no matter."""
    if sent == back:
        return
    if isinstance(sent, list | tuple) and isinstance(back, list | tuple) and len(sent) == len(back):
        for index, (one, other) in enumerate(zip(sent, back, strict=True)):
            _compare(one, other, f"{path}[{index}]")
    elif isinstance(sent, dict) and isinstance(back, dict):
        for key, value in sent.items():
            if key not in back:
                _refuse(path, f"has the key {show(key)} of the type {type(key).__name__}; use keys that are str")
            _compare(value, back[key], _place(path, key))
    elif type(sent) is type(back) and _partsOf(sent):
        for name in _partsOf(sent):
            _compare(getattr(sent, name, None), getattr(back, name, None), _place(path, name))
    else:
        _search(sent, path, 1)
        _refuseType(path, sent)


def _place(path: str, key: object) -> str:
    if isinstance(key, str) and key.isidentifier() and len(key) <= 60:
        return f"{path}.{key}" if path else key
    return f"{path}[{show(key)}]"


def _refuse(path: str, reason: str) -> NoReturn:
    raise BadMessage(f"{path if len(path) <= 200 else path[:199] + '…'} {reason}")


def _refuseType(path: str, value: Any) -> NoReturn:
    reason = "which only a field declared so can carry; send a str, number, list or dict"
    _refuse(path, f"is of the type {type(value).__name__}, {reason}")


def _partsOf(value: Any) -> list[str]:
    """The fields of a dataclass, of an attrs class, of a msgspec.Struct; nothing for any other."""
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    return [*getattr(value, "__struct_fields__", ()), *(field.name for field in getattr(value, "__attrs_attrs__", ()))]


def _compile(cls: type[NodeMessage]) -> Plan:
    """The class's plan, made once. Raises BadMessage for a type that cannot be sent, or a default of a wrong type."""
    shape = cls._shape
    try:
        kind = inspect.type_info(cls)
        assert isinstance(kind, inspect.DataclassType)
        read = msgspec.json.Decoder(cls).decode
        types = get_type_hints(cls, include_extras=True)
        for field in kind.fields:
            default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            if default is not msgspec.NODEFAULT:
                msgspec.convert(default, types[field.name])
        loose = tuple(field.name for field in kind.fields if not _isFirm(field.type))
    except (TypeError, NameError, ValueError) as error:
        raise BadMessage(f"{explain(error, cls)} (in the declaration of its fields)") from None
    shape.plan = plan = Plan(read, loose, not shape.built and (bool(shape.names) or not cls._generic))
    return plan


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
    return isinstance(kind, _FIRM)
