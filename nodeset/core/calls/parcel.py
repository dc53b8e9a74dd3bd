"""The values of calls as JSON: arguments, what a method returned or raised, the items of a stream.

What JSON lacks but msgspec writes (bytes, dates, Decimal, UUID, Enum, Struct, dataclass) travels in its JSON form: an
annotation on the other side makes the same of it again, without one it stays text, a number or a dict.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, Final, NoReturn

import msgspec

from nodeset.core import message
from nodeset.core.limits import MAX_EVENT
from nodeset.core.values import INT_LIMIT, MAX_DEPTH, TOO_DEEP, place
from nodeset.errors import BadArguments, BadMessage, MessageTooLarge, ProtocolError, RemoteError

__all__ = ["packArguments", "packError", "packValue", "unpackArguments", "unpackError", "unpackValue"]

#: What JSON carries as it is, in the fewest words.
_PLAIN: Final = frozenset({str, bool, type(None)})
#: What arrives as it was where the other side's annotation says so, else as text.
_TYPED: Final = (bytes, bytearray, datetime.date, datetime.time, datetime.timedelta, uuid.UUID, Enum)
_LONG_NUMBER: Final = b"0" * 19  # no shorter one can leave 64 bits
_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
#: Characters of an error's message, of its traceback.
_MOST_MESSAGE, _MOST_TRACEBACK = 4_000, 16_000

_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder().decode
_readArguments = msgspec.json.Decoder(tuple[list[Any], dict[str, Any]]).decode
_readError = msgspec.json.Decoder(tuple[str, str, str]).decode


def packArguments(args: Sequence[Any], kwargs: Mapping[str, Any], names: Sequence[str] = ()) -> bytes:
    """`[args, kwargs]` in JSON; `names` are those of the first arguments, as far as they are known.

    Raises `BadArguments` for a value that cannot be sent, which it names, `MessageTooLarge` for more than 1 MiB.
    """
    try:
        payload = _write((args, kwargs))
        if not (all(map(_isPlain, args)) and all(map(_isPlain, kwargs.values()))):
            back = _readArguments(payload)
            if back[0] != list(args) or back[1] != kwargs or _isDoubtful(payload):
                _checkArguments(args, kwargs, names)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        if isinstance(error, BadArguments):
            raise
        _checkArguments(args, kwargs, names)
        raise BadArguments(f"these arguments cannot be sent: {message.show(str(error))}") from None
    if len(payload) > MAX_EVENT:
        raise MessageTooLarge(f"arguments of {len(payload)} bytes are over the limit of {MAX_EVENT}; send them in parts")
    return payload


def packValue(value: Any, what: str) -> bytes:
    """`value` in JSON; `what` names it in errors.

    Raises `BadMessage` for a value that cannot be sent, `MessageTooLarge` for more than 1 MiB.
    """
    try:
        payload = _write(value)
        if not _isPlain(value) and (_isDoubtful(payload) or _read(payload) != value):
            _check(value, what, 1)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        if isinstance(error, BadMessage):
            raise
        _check(value, what, 1)
        raise BadMessage(f"{what} cannot be sent: {message.show(str(error))}") from None
    if len(payload) > MAX_EVENT:
        raise MessageTooLarge(f"{what} of {len(payload)} bytes is over the limit of {MAX_EVENT}; return an iterator of parts")
    return payload


def _isPlain(value: Any) -> bool:
    kind = type(value)
    return kind in _PLAIN or (kind is int and -INT_LIMIT <= value < INT_LIMIT) or (kind is float and math.isfinite(value))


def _isDoubtful(payload: bytes) -> bool:
    """Whether it may be too deep, or hold a number that is too long."""
    return payload.count(b"[") + payload.count(b"{") > MAX_DEPTH or _LONG_NUMBER in payload.translate(_DIGITS)


def _checkArguments(args: Sequence[Any], kwargs: Mapping[str, Any], names: Sequence[str]) -> None:
    for index, value in enumerate(args):
        _checkArgument(value, names[index] if index < len(names) else f"argument {index + 1}")
    for name, value in kwargs.items():
        if type(name) is not str:
            raise BadArguments(f"the keyword {message.show(name)} is no str")
        _checkArgument(name, "a keyword")
        _checkArgument(value, place("", name))


def _checkArgument(value: Any, path: str) -> None:
    try:
        _check(value, path, 3)
    except BadMessage as error:
        raise BadArguments(str(error)) from None


def _check(value: Any, path: str, depth: int) -> None:
    """Raise `BadMessage` for the first value in here that cannot be sent; `depth` brackets are open with its own."""
    kind = type(value)
    if kind in _PLAIN:
        if kind is str:
            try:
                value.encode()
            except UnicodeEncodeError:
                _refuse(path, "has a lone surrogate, which UTF-8 cannot carry; send a whole text, or bytes")
    elif isinstance(value, int) and not isinstance(value, Enum):
        if not -INT_LIMIT <= value < INT_LIMIT:
            _refuse(path, "is an int beyond 64 bits; send it as a str")
    elif isinstance(value, float | Decimal):
        if not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
            _refuse(path, f"is {value}, which JSON cannot carry; send None or a number")
    elif isinstance(value, (str, *_TYPED)):
        pass
    else:
        if depth > MAX_DEPTH:
            _refuse(path, f"is {TOO_DEEP.replace('message', 'call')}")
        for where, item in _inside(value, path):
            _check(item, where, depth + 1)


def _inside(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                _refuse(path, f"has the key {message.show(key)} of the type {type(key).__name__}; use keys that are str")
            _check(str(key), f"a key of {path}", 0)
        return [(place(path, key), item) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    if isinstance(value, type) or not _canWrite(value):
        _refuse(path, f"is of the type {type(value).__name__}, which cannot be sent; send a str, number, list or dict")
    if isinstance(value, set | frozenset):
        return [(f"an item of {path}", item) for item in value]
    names = [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
    names += getattr(value, "__struct_fields__", ())
    names += (field.name for field in getattr(value, "__attrs_attrs__", ()))
    return [(place(path, name), getattr(value, name, None)) for name in names]


def _canWrite(value: Any) -> bool:
    try:
        _write(value)
    except RecursionError:
        return True  # what it is made of will be refused
    except (TypeError, ValueError, OverflowError):
        # A container is judged by what is in it.
        return dataclasses.is_dataclass(value) or isinstance(value, msgspec.Struct | set | frozenset)
    return True


def _refuse(path: str, reason: str) -> NoReturn:
    raise BadMessage(f"{path if len(path) <= 200 else path[:199] + '…'} {reason}")


def unpackArguments(payload: bytes) -> tuple[list[Any], dict[str, Any]]:
    """What `packArguments` packed. Raises `BadArguments` for anything else."""
    try:
        if len(payload) > MAX_EVENT:
            raise BadArguments(f"arguments of {len(payload)} bytes are over the limit of {MAX_EVENT}")
        args, kwargs = _readArguments(payload)
        if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH and _depth((args, kwargs)) > MAX_DEPTH:
            raise BadArguments(f"these arguments are {TOO_DEEP.replace('message', 'call')}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadArguments(f"these are no arguments: {message.show(str(error))}") from None
    return args, kwargs


def _depth(value: Any) -> int:
    """Brackets that are open at once in here; one too many is as good as any more."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        inside: list[Any] = []
        for one in level:
            if isinstance(one, list | tuple):
                inside.extend(one)
            elif isinstance(one, dict):
                inside.extend(one.values())
        depth += any(isinstance(one, list | tuple | dict) for one in level)
        level = inside
    return depth


def unpackValue(payload: bytes) -> Any:
    """What `packValue` packed. Raises `ProtocolError` for anything else."""
    try:
        return _read(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"the answer cannot be read: {message.show(str(error))}") from None


def packError(kind: str, text: str, traceback: str = "") -> bytes:
    """What a method raised: the name of the exception's class, its message, a traceback if that may be known."""
    said = tuple(part.encode("utf-8", "replace").decode() for part in (kind[:200], text, traceback[-_MOST_TRACEBACK:]))
    text = said[1] if len(said[1]) <= _MOST_MESSAGE else f"{said[1][: _MOST_MESSAGE - 1]}…"
    return _write((said[0], text, said[2]))


def unpackError(payload: bytes) -> RemoteError:
    """The error in `payload`; a `RemoteError` that says so when there is none in it."""
    try:
        kind, text, traceback = _readError(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return RemoteError("it failed, and its error cannot be read")
    return RemoteError(text, kind, traceback)
