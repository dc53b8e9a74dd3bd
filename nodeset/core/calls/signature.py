"""What a method takes, what it returns: compiled once from how it is written."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
)
from typing import Any, Final

import attrs
import msgspec
from twisted.internet.defer import Deferred

from nodeset.core import message
from nodeset.errors import BadArguments, BadMessage, ProtocolError

__all__ = ["Signature", "compileSignature"]

#: Types of which a value of exactly the type needs no look.
_EXACT: Final = frozenset({str, int, float, bool})
_ITERATORS: Final = (AsyncGenerator, AsyncIterator, AsyncIterable, Generator, Iterator)
_LATER: Final = (Awaitable, Coroutine, Deferred)
_EMPTY: Final = inspect.Parameter.empty


@attrs.frozen(eq=False)
class Signature:
    """How one method is called.

    `kinds` has the annotation of each positional parameter, None where there is none; `required` of them must be given.
    `simple` says that it has no parameters but these, `places` where those stand that may be given by name. `result` is what it
    returns, `item` what it streams, None where nobody said.
    """

    name: str
    signature: inspect.Signature
    names: tuple[str, ...]
    kinds: tuple[Any, ...]
    places: dict[str, int]
    annotations: dict[str, Any]
    required: int
    simple: bool
    result: Any
    item: Any

    def bind(self, args: list[Any] | tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments, bound, with those that are annotated converted.

        Raises `BadArguments`, which names the parameter and what is wrong with it.
        """
        if self.simple and not kwargs and self.required <= len(args) <= len(self.kinds):
            return [
                value if kind is None or type(value) is kind else self._convert(value, kind, self.names[index])
                for index, (value, kind) in enumerate(zip(args, self.kinds, strict=False))
            ], {}
        if self.simple and (fit := self._bindNamed(args, kwargs)) is not None:
            return fit
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise BadArguments(f"{self.name}: {error}; it is {self.name}{self._shown()}") from None
        for name, value in bound.arguments.items():
            kind = self.annotations.get(name)
            if kind is None:
                continue
            how = self.signature.parameters[name].kind
            if how is inspect.Parameter.VAR_POSITIONAL:
                bound.arguments[name] = tuple(self._convert(one, kind, name) for one in value)
            elif how is inspect.Parameter.VAR_KEYWORD:
                bound.arguments[name] = {key: self._convert(one, kind, key) for key, one in value.items()}
            else:
                bound.arguments[name] = self._convert(value, kind, name)
        return list(bound.args), dict(bound.kwargs)

    def _bindNamed(
        self, args: list[Any] | tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]] | None:
        """The same in a fifth of the time that inspect takes; None for what does not fit, of which inspect can tell more."""
        given, kinds, names, places = len(args), self.kinds, self.names, self.places
        if given > len(names) or not kwargs.keys() <= places.keys():
            return None
        if given and any(places[name] < given for name in kwargs):
            return None
        # As many as there are names, no name twice: then none is missing either.
        if given + len(kwargs) != len(names) and not set(names[given : self.required]) <= kwargs.keys():
            return None
        bound = {}
        for name, value in kwargs.items():
            kind = kinds[places[name]]
            bound[name] = value if kind is None or type(value) is kind else self._convert(value, kind, name)
        return [
            value if kind is None or type(value) is kind else self._convert(value, kind, name)
            for value, kind, name in zip(args, kinds, names, strict=False)
        ], bound

    def _convert(self, value: Any, kind: Any, name: str) -> Any:
        if type(value) is kind and kind in _EXACT:
            return value
        try:
            return msgspec.convert(value, kind)
        except Exception as error:  # a class of the user's may raise anything when one of it is made
            raise BadArguments(f"{self.name}: {name}: {_explain(error)}") from None

    def _shown(self) -> str:
        shown = str(self.signature)
        return shown if len(shown) <= 200 else f"{shown[:199]}…"

    def checkResult(self, value: Any) -> Any:
        """`value` as the return annotation has it, for who called the method. Raises `ProtocolError`."""
        return self._checkReturned(value, self.result, "returned")

    def checkItem(self, value: Any) -> Any:
        """The same for one item of a stream."""
        return self._checkReturned(value, self.item, "streamed")

    def _checkReturned(self, value: Any, kind: Any, what: str) -> Any:
        if kind is None or type(value) is kind:
            return value
        try:
            return msgspec.convert(value, kind)
        except Exception as error:
            raise ProtocolError(f"{self.name} {what} what its annotation does not say: {_explain(error)}") from None


def _explain(error: Exception) -> str:
    reason, _, path = " ".join(str(error).split()).partition(" - at `$")
    return f"{reason[:200]} at {path.rstrip('`')}" if path else reason[:200]


def compileSignature(function: Callable[..., Any], name: str, bound: bool) -> Signature:
    """The `Signature` of `function`, which is called `name`; `bound` says that its first parameter is the node.

    Raises `BadMessage` for a parameter annotated with what cannot be sent.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise BadMessage(f"{name} cannot be exposed: {message.show(str(error))}") from None
    parameters = list(signature.parameters.values())[1 if bound else 0 :]
    signature = signature.replace(parameters=parameters)
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception:
        hints = {}  # a name that is there for type checkers only: then it stays as it comes
    annotations = {}
    for parameter in parameters:
        kind = hints.get(parameter.name, _EMPTY)
        if kind is not _EMPTY and kind is not Any:
            annotations[parameter.name] = _checkKind(kind, f"{name}: the parameter {parameter.name}")
    plain = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    result, item = _returned(hints.get("return", _EMPTY), name)
    return Signature(
        name,
        signature,
        tuple(one.name for one in plain),
        tuple(annotations.get(one.name) for one in plain),
        {one.name: index for index, one in enumerate(plain) if one.kind is one.POSITIONAL_OR_KEYWORD},
        annotations,
        sum(one.default is _EMPTY for one in plain),
        len(plain) == len(parameters),
        result,
        item,
    )


def _checkKind(kind: Any, what: str) -> Any:
    if kind is None:
        kind = type(None)
    try:
        found = msgspec.inspect.type_info(kind)
    except (TypeError, ValueError, NameError):
        found = None
    if found is None or isinstance(found, msgspec.inspect.CustomType | msgspec.inspect.RawType | msgspec.inspect.ExtType):
        raise BadMessage(f"{what} is annotated with {message.show(kind)}, which cannot be sent; use what JSON has, a dataclass")
    return kind


def _returned(kind: Any, name: str) -> tuple[Any, Any]:
    """What an annotation says that a method returns, what it says that it streams."""
    origin, inside = typing.get_origin(kind) or kind, typing.get_args(kind)
    if isinstance(origin, type) and issubclass(origin, _LATER):
        # Of a coroutine it is the last one that is returned.
        return _returned(inside[-1], name) if inside else (None, None)
    if isinstance(origin, type) and issubclass(origin, _ITERATORS):
        item = inside[0] if inside else Any
        return None, None if item is Any or isinstance(item, typing.TypeVar) else _checkKind(item, f"{name}: what it streams")
    if origin in (typing.Union, types.UnionType) and any(_isLater(one) for one in inside):
        return None, None  # the value or a Deferred of it: it stays as it comes
    if kind is _EMPTY or kind is Any or kind is object or kind is typing.NoReturn or isinstance(kind, typing.TypeVar):
        return None, None
    return _checkKind(kind, f"{name}: what it returns"), None


def _isLater(kind: Any) -> bool:
    origin = typing.get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, _LATER)
