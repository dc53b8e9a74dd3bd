"""What a value must be to arrive, through JSON, as it was.

msgspec writes what JSON cannot carry in silence (NaN becomes null, `{1: 2}` becomes `{"1": 2}`), names nothing when it
refuses: here a value is searched for what is wrong with it, so that the error can name the place.
"""

from __future__ import annotations

import dataclasses
import math
from decimal import Decimal
from typing import Any, Final, NoReturn

import msgspec

from nodeset.core import message
from nodeset.core.message import Attribute
from nodeset.errors import BadMessage

__all__ = ["INT_LIMIT", "MAX_DEPTH", "TOO_DEEP", "compare", "place", "search", "write"]

MAX_DEPTH: Final = 32
"""Brackets of a payload open at once, its own included. Data of people is flat; recursion in a peer's parser is not free,
968 levels cut every subscriber off (measured with Foolscap's), and 32 leaves every known parser room."""

INT_LIMIT: Final = 1 << 63
TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH}, the message included; flatten it"


def _unwrap(value: Any) -> Any:
    if isinstance(value, Attribute):
        return value.getValue()
    raise TypeError(f"a value of the type {type(value).__name__} cannot be sent")


#: A value as JSON; an Attribute as what is in it.
write: Final = msgspec.json.Encoder(enc_hook=_unwrap).encode


def search(value: Any, path: str, depth: int) -> None:
    """Raise for the first value in here that msgspec cannot write, or should not have written."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            _refuse(path, "has a lone surrogate, which UTF-8 cannot carry; send a whole text, or bytes")
    elif isinstance(value, int):
        if not -INT_LIMIT <= value < INT_LIMIT:
            _refuse(path, "is an int beyond 64 bits; send it as a str")
    elif isinstance(value, float | Decimal):
        if not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
            _refuse(path, f"is {value}, which JSON cannot carry; send None or a number")
    elif isinstance(value, Attribute):
        search(value.getValue(), path, depth)
    elif (inside := _inside(value, path)) is not None:
        if depth >= MAX_DEPTH:
            _refuse(path, f"is {TOO_DEEP}")
        for where, item in inside:
            search(item, where, depth + 1)
    elif not _canWrite(value):
        _refuseType(path, value)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) and not _canWrite({key: None}):
                _refuseKey(path, key)


def _inside(value: Any, path: str) -> list[tuple[str, Any]] | None:
    """What this value holds, each with its path; None if it is no container."""
    if isinstance(value, dict):
        keys = [(f"a key of {path}", key) for key in value if isinstance(key, str)]
        return keys + [(place(path, key), item) for key, item in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    names = [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
    names += getattr(value, "__struct_fields__", ())
    names += (field.name for field in getattr(value, "__attrs_attrs__", ()))
    return [(place(path, name), getattr(value, name, None)) for name in names] or None


def _canWrite(value: Any) -> bool:
    try:
        write(value)
    except TypeError:
        return False
    return True


def compare(sent: Any, back: Any, path: str) -> None:
    """Raise for the first value that would arrive as another; that a tuple becomes a list is no matter."""
    if sent == back:
        return
    if isinstance(sent, dict) and isinstance(back, dict):
        for key, value in sent.items():
            if key not in back:
                _refuseKey(path, key)
            compare(value, back[key], place(path, key))
        return
    inside, arrived = _inside(sent, path), _inside(back, path)
    alike = type(sent) is type(back) or (isinstance(sent, tuple) and isinstance(back, list))
    if alike and inside and arrived and not isinstance(sent, set | frozenset):
        for (where, one), (_, other) in zip(inside, arrived, strict=True):
            compare(one, other, where)
        return
    search(sent, path, 1)
    _refuseType(path, sent)


def place(path: str, key: object) -> str:
    """The path of what `key` names in what `path` names."""
    if isinstance(key, str) and key.isidentifier() and len(key) <= 60:
        return f"{path}.{key}" if path else key
    return f"{path}[{message.show(key)}]"


def _refuse(path: str, reason: str) -> NoReturn:
    raise BadMessage(f"{path if len(path) <= 200 else path[:199] + '…'} {reason}")


def _refuseKey(path: str, key: object) -> NoReturn:
    _refuse(path, f"has the key {message.show(key)} of the type {type(key).__name__}; use keys that are str")


def _refuseType(path: str, value: Any) -> NoReturn:
    reason = "which only a field declared so can carry; send a str, number, list or dict"
    _refuse(path, f"is of the type {type(value).__name__}, {reason}")
