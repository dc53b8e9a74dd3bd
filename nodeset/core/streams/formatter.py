"""What the chunks of a stream are to those at its ends: values, of which a formatter makes bytes.

Only the name travels, never code: both ends must know it. A class of your own is registered once in each process::

    @registerFormatter
    class Points(Formatter):
        name = "points"

        def encode(self, data: list[float]) -> bytes: ...
        def decode(self, data: bytes) -> list[float]: ...
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, TypeVar

import msgspec

from nodeset.core import values
from nodeset.errors import BadMessage, LocalError

__all__ = ["Formatter", "JsonFormatter", "TextFormatter", "findFormatter", "registerFormatter"]

#: A name as it travels.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Formatter:
    """Chunks are bytes, as they are. Subclass it for other kinds, with a `name` of their own."""

    #: By what the other end finds its own class for these chunks.
    name: ClassVar[str] = "raw"

    def encode(self, data: Any) -> bytes:
        """The bytes that travel for `data`. Raise `BadMessage` for what cannot be sent."""
        if isinstance(data, bytes):
            return data
        if isinstance(data, bytearray | memoryview):
            return bytes(data)
        kind = type(data).__name__
        raise BadMessage(f"a raw stream carries bytes, not {kind}: set formatterClass, to JsonFormatter for example")

    def decode(self, data: bytes) -> Any:
        """What `onStream` is called with. Whatever it raises is told to who pushed."""
        return data


class TextFormatter(Formatter):
    """Chunks are text."""

    name = "text"

    def encode(self, data: Any) -> bytes:
        """UTF-8."""
        if not isinstance(data, str):
            raise BadMessage(f"a text stream carries str, not {type(data).__name__}")
        try:
            return data.encode()
        except UnicodeEncodeError:
            raise BadMessage("a chunk has a lone surrogate, which UTF-8 cannot carry: send a whole text") from None

    def decode(self, data: bytes) -> str:
        """The text."""
        return data.decode()


class JsonFormatter(Formatter):
    """Chunks are what JSON has: None, bool, numbers, str, lists, dictionaries whose keys are str."""

    name = "json"

    def encode(self, data: Any) -> bytes:
        """One JSON value."""
        return writeJson(data, "a chunk")

    def decode(self, data: bytes) -> Any:
        """The value."""
        return msgspec.json.decode(data)


def writeJson(value: Any, what: str) -> bytes:
    """`value` as JSON that is read as the same again; `BadMessage` says what of `what` is not."""
    try:
        packed = values.write(value)
        back = msgspec.json.decode(packed)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        _search(value, what)
        raise BadMessage(f"{what} cannot be written as JSON: {str(error)[:200]}") from None
    if back != value:
        try:
            values.compare(value, back, what)
        except RecursionError:
            raise BadMessage(f"{what} is nested too deep for JSON") from None
    return packed


def _search(value: Any, what: str) -> None:
    try:
        values.search(value, what, 1)
    except RecursionError:
        raise BadMessage(f"{what} is nested too deep for JSON") from None


F = TypeVar("F", bound=type[Formatter])

_registered: dict[str, type[Formatter]] = {each.name: each for each in (Formatter, TextFormatter, JsonFormatter)}


def registerFormatter(kind: F) -> F:
    """Let streams of others be read by `kind` from now on, under its name; returns it, so that it decorates.

    Raises `LocalError` for a name that no formatter can have, or that another class has.
    """
    checkFormatter(kind)
    known = _registered.setdefault(kind.name, kind)
    if known is not kind and (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise LocalError(f"the formatter name {kind.name!r} is taken by {known.__qualname__}: choose another")
    _registered[kind.name] = kind
    return kind


def checkFormatter(kind: type[Formatter]) -> None:
    """Raise `LocalError` for what is no formatter class with a name."""
    if not (isinstance(kind, type) and issubclass(kind, Formatter)):
        raise LocalError(f"a formatter is a subclass of Formatter, not {kind!r:.60}")
    if not isinstance(kind.name, str) or _NAME.fullmatch(kind.name) is None:
        raise LocalError(f"{kind.name!r:.80} cannot name a formatter: 1 to 64 letters, digits, '.', '_', '-'")
    if kind.name == Formatter.name and kind is not Formatter:
        raise LocalError(f"{kind.__qualname__} needs a `name` of its own: {Formatter.name!r} means bytes as they are")


def findFormatter(name: str) -> type[Formatter] | None:
    """The class that was registered under this name."""
    return _registered.get(name)
