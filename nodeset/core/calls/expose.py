"""The methods of a node that others may call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, TypeVar, overload

import attrs

from nodeset.core.calls.signature import Signature, compileSignature
from nodeset.core.limits import MAX_METHODS
from nodeset.core.message import show
from nodeset.errors import BadArguments, BadMessage

__all__ = ["Exposed", "expose", "exposedAs", "exposes"]

F = TypeVar("F", bound=Callable[..., Any])

#: The attribute of a function that `expose` marks.
_MARK = "_nodeset_exposed"
#: The attribute of a class that keeps what it exposes.
_KNOWN = "_nodeset_exposes"
#: Names that begin so belong to NodeSet itself.
_OURS = "nodeset."
#: Bytes of all the names together: they are told each time that a link is opened.
_MOST_BYTES = 64 * 1024


@attrs.frozen
class _Mark:
    name: str
    traceback: bool


@attrs.frozen(eq=False)
class Exposed:
    """One method of a class that may be called as `name`; `method` is the attribute, `signature` what it takes."""

    name: str
    method: str
    signature: Signature
    traceback: bool = False


@overload
def expose(function: F, /) -> F: ...


@overload
def expose(name: str = "", /, *, traceback: bool = False) -> Callable[[F], F]: ...


def expose(name: Any = "", /, *, traceback: bool = False) -> Any:
    """Decorates a method of a Node that others may call::

        class Calc(Node):
            @expose
            def add(self, a: int, b: int) -> int: ...

            @expose("stats.mean", traceback=True)
            async def mean(self, values: list[float]) -> float: ...

    It may be plain, return a Deferred, be `async def`; what it returns must be what JSON has, or what its return annotation
    says that has a form in JSON. When it returns an iterator, or is a generator, sync or async, the items go as a stream.

    :param name: what it is called by, else its own name.
    :param traceback: whether those that call it are told the traceback of what it raises; else they get the name of the
        exception's class with its message.
    :raise BadMessage: for a name that is none.

    Arguments of annotated parameters are checked and converted before it is called; others come as JSON has them. A method
    that overrides an exposed one is exposed alike; None in its place ends that.
    """
    if callable(name):
        return expose()(name)
    if not isinstance(name, str) or len(name) > 255 or not (name.isprintable() and " " not in name):
        raise BadMessage(f"@expose({show(name)}): give the name of a method, printable and at most 255 characters")

    def mark(function: F) -> F:
        called = name or getattr(function, "__name__", "")
        if not called or called.startswith(_OURS) or called == "<lambda>":
            raise BadMessage(f"@expose cannot call a method {show(called)}: give it another name by @expose(name)")
        setattr(getattr(function, "__func__", function), _MARK, _Mark(called, bool(traceback)))
        return function

    return mark


def exposes(cls: type) -> dict[str, Exposed]:
    """What a class exposes, by the name it is called by: of its bases first, in the order in which it is written.

    Raises `BadMessage` for two methods of one name, or for more than a node may have.
    """
    known: dict[str, Exposed] | None = vars(cls).get(_KNOWN)
    if known is not None:
        return known
    marks: dict[str, _Mark] = {}
    for base in reversed(cls.__mro__):
        for method, value in vars(base).items():
            mark = getattr(getattr(value, "__func__", value), _MARK, None)
            if isinstance(mark, _Mark):
                marks[method] = mark
            elif value is None:
                marks.pop(method, None)
    found: dict[str, Exposed] = {}
    for method, mark in marks.items():
        if mark.name in found:
            raise BadMessage(f"{cls.__name__} exposes two methods as {mark.name!r}: {found[mark.name].method}, {method}")
        found[mark.name] = Exposed(mark.name, method, _signatureOf(cls, method, mark.name), mark.traceback)
    if len(found) > MAX_METHODS:
        raise BadMessage(f"{cls.__name__} exposes {len(found)} methods: a node may have {MAX_METHODS}")
    size = sum(len(name.encode()) for name in found)
    if size > _MOST_BYTES:
        raise BadMessage(
            f"the methods that {cls.__name__} exposes have names of {size} bytes, over {_MOST_BYTES}: shorten them"
        )
    setattr(cls, _KNOWN, found)
    return found


def _signatureOf(cls: type, method: str, name: str) -> Signature:
    function = inspect.getattr_static(cls, method)
    bound = not isinstance(function, staticmethod)
    function = getattr(function, "__func__", function)
    if not callable(function):
        raise BadMessage(f"{cls.__name__}.{method} cannot be exposed: it is a {type(function).__name__}, no method")
    return compileSignature(function, f"{cls.__name__}.{name}", bound)


def exposedAs(method: Callable[..., Any]) -> Exposed:
    """What a caller knows of the exposed `method`, given as `Calc.add`. Raises `BadArguments` when it is not exposed."""
    function = getattr(method, "__func__", method)
    exposed = _find(function) if isinstance(function, Hashable) else None
    if exposed is None:
        raise BadArguments(f"{show(method)} is not exposed: decorate it with @expose, or name the method by a str")
    return exposed


@lru_cache(maxsize=1024)
def _find(function: Callable[..., Any]) -> Exposed | None:
    """What `function` is exposed as: by its own mark, or as the override of one that has a mark in the class that it is in."""
    name = getattr(function, "__name__", "")
    owner: Any = inspect.getmodule(function)
    for part in getattr(function, "__qualname__", "").split(".")[:-1]:
        owner = vars(owner).get(part) if hasattr(owner, "__dict__") else None
    found = vars(owner).get(name) if isinstance(owner, type) else None
    mark = getattr(function, _MARK, None)
    if isinstance(mark, _Mark):
        bound = not isinstance(found, staticmethod)
        return Exposed(
            mark.name, name, compileSignature(function, getattr(function, "__qualname__", name), bound), mark.traceback
        )
    if isinstance(owner, type) and getattr(found, "__func__", found) is function:
        return next((one for one in exposes(owner).values() if one.method == name), None)
    return None
