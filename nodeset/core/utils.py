"""The seed's shortcuts for who writes a node."""

from __future__ import annotations

import inspect
import os
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from nodeset import settings
from nodeset.core.address import checkPattern
from nodeset.core.message import NodeMessage
from nodeset.core.voice import speakUp
from nodeset.errors import BadMessage

__all__ = ["Caught", "catch", "catches", "setDefaultOptions"]

F = TypeVar("F", bound=Callable[..., Any])

_MARKS = "_nodeset_caught"


@attrs.frozen
class Caught:
    """One `@catch` of a class: `method` wants each `event` (or pattern) as a message of `msgClass`, or of
    whatever class for None.
    """

    event: str
    method: str
    msgClass: type[NodeMessage] | None = None


def catch(event: str, msgClass: type[NodeMessage] | None = None) -> Callable[[F], F]:
    """Mark a method of a Node as one that handles an event, or each event that a pattern stands for.

    Without `msgClass`, the annotation of its first argument is used if it names a NodeMessage. May be stacked. Raises
    `InvalidAddressing` for a bad name, BadMessage for a class that is no NodeMessage, where it is written::

        class Shop(node.Node):
            @utils.catch("orders.*")
            @utils.catch("refunds.>")
            async def keep(self, msg: Order) -> None: ...
    """
    checkPattern(event)
    if msgClass is not None and not (isinstance(msgClass, type) and issubclass(msgClass, NodeMessage)):
        raise BadMessage(f"@catch({event!r}) was given {msgClass!r:.60} as its message class: give a subclass of NodeMessage")

    def mark(function: F) -> F:
        # Decorators are applied from below; a new tuple, since functools.wraps would share a list.
        setattr(function, _MARKS, ((event, msgClass), *getattr(function, _MARKS, ())))
        return function

    return mark


def catches(cls: type) -> list[Caught]:
    """What a class catches: base classes first, then in the order in which it is written.

    A method that overrides a marked one takes over its marks, unless it has marks of its own; None in its place ends them.
    """
    marks: dict[str, tuple[tuple[str, type[NodeMessage] | None], ...]] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            own = getattr(value, _MARKS, ())
            if own:
                marks[name] = own
            elif value is None:
                marks.pop(name, None)
    return [
        Caught(event, method, given if given is not None else _annotated(cls, method))
        for method, pairs in marks.items()
        for event, given in pairs
    ]


def _annotated(cls: type, name: str) -> type[NodeMessage] | None:
    """The message class that the first argument after `self` is annotated with, if it is one."""
    function = inspect.getattr_static(cls, name)
    bound = not isinstance(function, staticmethod)
    function = getattr(function, "__func__", function)
    try:
        arguments = list(inspect.signature(function).parameters)[1 if bound else 0 :]
        found = typing.get_type_hints(function).get(arguments[0]) if arguments else None
    except Exception:
        return None  # a name that is there for type checkers only, or no function at all: then it stays untyped
    return found if isinstance(found, type) and issubclass(found, NodeMessage) else None


def setDefaultOptions() -> None:
    """Take the defaults with the environment for the settings of this process, as before any node is made.

    A program that begins no logging sees its warnings on stderr from when the reactor runs, such as why it waits.

    >>> setDefaultOptions()
    """
    settings.use(settings.load(os.environ, {}))
    speakUp()
