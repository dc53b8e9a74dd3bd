"""What an event carries."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import re
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final, TypeVar, dataclass_transform

import attrs
import msgspec
import simplejson
from zope.interface import implementer

from nodeset.core.interfaces import IMessageBuilder
from nodeset.core.likeness import Likeness, bare
from nodeset.core.meta import Meta
from nodeset.errors import BadMessage, MissingField, UnknownField

__all__ = ["MODES", "Attribute", "MessageBuilder", "Meta", "NodeMessage", "RawMessage"]

MODES: Final = ("all", "one")  # every match gets the event, or exactly one

M = TypeVar("M", bound="NodeMessage")

_FURL = re.compile(r"pb://[^\s'\"]*")
_INTERNAL = frozenset({"_shape", "_generic", "_values", "_unread", "_NodeMessage__origin"})
_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_readUnknown = msgspec.json.Decoder(dict[str, Any]).decode


@attrs.define(eq=False)
class Shape:
    """A message class, compiled: its declared fields in order; `built` if an `__init__` of its own adds more."""

    declared: tuple[str, ...]
    names: frozenset[str]
    factories: dict[str, Callable[[], Any]]
    taken: frozenset[str]  # what no other field can be named
    built: bool
    plan: Any = None  # the codec's; it is kept here so that it is collected with the class


_construction = threading.local()  # .stack: the messages whose `__init__` runs in this thread, innermost last


def show(value: object) -> str:
    """At most 60 characters of the value's repr, without the secret of a FURL."""
    text = _FURL.sub("pb://…", repr(value))
    return text if len(text) <= 60 else text[:59] + "…"


def checkName(name: object) -> None:
    """Raises BadMessage for what cannot be the name of a field."""
    if not isinstance(name, str):
        raise BadMessage(f"the field name {show(name)} is of the type {type(name).__name__}; use a str")
    if name.startswith("__"):
        raise BadMessage(f"no field can be named {show(name)}: two leading underscores are Python's own; rename it")


def checkMode(mode: object, cls: type) -> str:
    """The delivery mode itself; raises BadMessage if it is none."""
    if mode not in MODES:
        raise BadMessage(f"{cls.__name__}._delivery_mode is {show(mode)}; it must be 'all' or 'one'")
    return str(mode)


def explain(error: Exception, cls: type) -> str:
    """One line for what msgspec found wrong: the field's path with the reason, never the value."""
    reason, _, path = " ".join(str(error).split()).partition(" - at `$")
    reason = _FURL.sub("pb://…", re.sub(r"^(Invalid .*?value) '.*'", r"\1", reason))[:200]
    reason = reason.replace("Object missing required field", "this required field is missing:")
    return f"{cls.__name__}{path.rstrip('`')}: {reason}"


def unknownField(cls: type, names: Iterable[object], fields: list[str]) -> UnknownField:
    """The error for the first of `names` that is not in `fields`; raises BadMessage if that one can be no name at all."""
    name = next(name for name in names if name not in fields)
    checkName(name)
    return UnknownField(f"{cls.__name__} has no field {show(name)}; its fields: {', '.join(fields[:20]) or 'none'}")


def convertFields(cls: type[M], fields: Mapping[str, Any], str_keys: bool = False) -> M:
    """A message with the declared fields of `cls`, validated; other keys are ignored. Raises BadMessage."""
    try:
        return msgspec.convert(fields, cls, str_keys=str_keys)
    except (ValueError, TypeError, AttributeError, NameError, RecursionError) as error:
        if any(isinstance(value, Attribute) for value in fields.values()):
            return convertFields(cls, {name: bare(value) for name, value in fields.items()}, str_keys)
        raise BadMessage(explain(error, cls)) from None


def buildMessage(cls: type[M], fields: Mapping[str, Any], received: bool = False) -> M:
    """The message of `cls` with these fields, validated. Raises UnknownField or BadMessage; `received` keeps the unknown."""
    shape = cls._shape
    if fields.keys() <= shape.names and not shape.built:
        return convertFields(cls, fields)
    rest = {name: bare(value) for name, value in fields.items() if name not in shape.names}
    rest.pop("_delivery_mode", None)
    msg = _construct(cls, (), {}) if shape.built else cls.__new__(cls)
    values = msg._readRest()
    if cls._generic or received:
        for name in rest:
            checkName(name)
    elif not rest.keys() <= values.keys():
        raise unknownField(cls, rest, [*shape.declared, *values])
    values.update(rest)
    if "_delivery_mode" in fields and not received:
        msg._delivery_mode = fields["_delivery_mode"]
    return _settle(msg, fields, received)


def _construct(cls: type[M], args: tuple[Any, ...], fields: dict[str, Any]) -> M:
    """A message after the `__init__` of its class, in which `Attribute(...)` adds to it."""
    kind: Any = cls
    msg: M = kind.__new__(kind)
    msg.__dict__.update((name, factory()) for name, factory in cls._shape.factories.items())
    stack = _construction.__dict__.setdefault("stack", [])
    stack.append(msg)
    try:
        kind.__init__(msg, *args, **fields)
    finally:
        stack.pop()
    return msg


def _settle(msg: M, given: Mapping[str, Any], received: bool = False) -> M:
    """The same message with these declared fields too, all validated at once."""
    if msg._shape.declared:
        msg.__dict__.update(convertFields(type(msg), msg.__dict__ | dict(given), received).__dict__)
    return msg


class MessageType(type):
    """The type of message classes, which compiles each class once."""

    _shape: Shape
    _generic: bool

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> MessageType:
        cls = super().__new__(mcs, name, bases, namespace, **options)
        root = not any(isinstance(base, MessageType) for base in bases)
        annotations = {} if root else {k: v for k, v in inspect.get_annotations(cls).items() if k[:1] != "_"}
        for field, annotation in annotations.items():
            if re.match(r"(\w+\.)?ClassVar\b", str(annotation)):
                continue
            if hasattr(NodeMessage, field):
                raise BadMessage(f"the field {name}.{field} would hide NodeMessage.{field}; rename it")
            if field in namespace:
                setattr(cls, field, _freshDefault(namespace[field]))
        cls.__annotations__ = annotations
        kind: Any = dataclasses.dataclass(kw_only=True, init=False, eq=False, repr=False)(cls)
        made = {field.name: field.default_factory for field in dataclasses.fields(kind)}
        factories = {field: factory for field, factory in made.items() if factory is not dataclasses.MISSING}
        built = not root and kind.__init__ is not NodeMessage.__init__
        cls._shape = Shape(tuple(made), frozenset(made), factories, frozenset(dir(cls)) - made.keys() | _INTERNAL, built)
        checkMode(kind._delivery_mode, cls)
        return cls

    def __call__(cls, /, *args: Any, **fields: Any) -> Any:
        kind: Any = cls
        if cls._shape.built:
            return _settle(_construct(kind, args, fields), {})
        if args:
            raise TypeError(f"{cls.__name__} takes its fields by keyword")
        return buildMessage(kind, fields)


def _freshDefault(default: Any) -> Any:
    """The default as a dataclass wants it; one that can change is copied for each message."""
    if isinstance(default, dataclasses.Field) or (isinstance(default, Hashable) and not isinstance(default, tuple)):
        return default
    if not default and type(default).__name__ in ("list", "dict", "set"):
        return dataclasses.field(default_factory=type(default))
    return dataclasses.field(default_factory=functools.partial(copy.deepcopy, default))


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(dataclasses.field,))
class NodeMessage(metaclass=MessageType):
    """What an event carries: fields, declared on the class or added by `Attribute` in its `__init__`.

    A declared field is its plain value; a look at any other gives an `Attribute`. Setting one changes what goes on the
    wire. A name that the message lacks raises MissingField when looked at, UnknownField when set. `_delivery_mode`
    ('all' or 'one', on a class or a message) tells who gets it. `meta` is None until the message has been received.
    """

    # Whence it came, in a place of its own: among the fields it would double the room that most of them take.
    __slots__ = ("__dict__", "__origin", "__weakref__")

    _shape: ClassVar[Shape]
    _generic: ClassVar[bool] = False  # whether any field may be set
    _delivery_mode: str = "all"

    def __init__(self, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(self, name, value)

    @property
    def meta(self) -> Meta | None:
        """How it came; None until it has been received."""
        try:
            origin = _getOrigin(self)
        except AttributeError:
            return None
        if isinstance(origin, tuple):
            run, sequence = origin
            origin = Meta(run.event, run.stream, sequence, run.again, run.packed_headers, run.by)
            setOrigin(self, origin)
        return origin

    @meta.setter
    def meta(self, meta: Meta) -> None:
        setOrigin(self, meta)

    def fields(self) -> dict[str, Any]:
        """The plain values by name, declared ones first; received fields that the class does not know come last."""
        kind, own = type(self), self.__dict__
        return {n: getattr(self, n) for n in kind._shape.declared if n in own or hasattr(kind, n)} | self._readRest()

    def toJson(self) -> str:
        """The fields as a JSON object, without those whose names start with `_`. Raises BadMessage, for NaN as well."""
        visible = {name: value for name, value in self.fields().items() if name[:1] != "_"}
        lines = (f"{simplejson.dumps(name)}: {_dump(type(self), name, value)}" for name, value in visible.items())
        return "{" + ", ".join(lines) + "}"

    def fromJson(self, text: str) -> None:
        """Set each field of a JSON object, also what the class does not know. Raises BadMessage, then nothing changed."""
        try:
            found = simplejson.loads(text, allow_nan=False)
        except (ValueError, TypeError, RecursionError) as error:
            raise BadMessage(f"{type(self).__name__} cannot be read from this text: {show(str(error))}") from None
        if not isinstance(found, dict):
            raise BadMessage(f"{type(self).__name__} is read from a JSON object, and this is a {type(found).__name__}")
        found.pop("_delivery_mode", None)
        for name in found:
            checkName(name)
        names = self._shape.names
        _settle(self, {name: value for name, value in found.items() if name in names}, received=True)
        self._readRest().update((name, value) for name, value in found.items() if name not in names)

    def _readRest(self) -> dict[str, Any]:
        """The fields that are not declared; what came with them unread is decoded by the first who asks."""
        values: dict[str, Any] = self.__dict__.setdefault("_values", {})
        payload = self.__dict__.pop("_unread", None)
        if payload is not None:
            for name, value in _readUnknown(payload).items():
                if name not in self._shape.names and name != "_delivery_mode":
                    values.setdefault(name, value)
        return values

    def __getattr__(self, name: str) -> Any:
        # Python found nothing. msgspec asks here too, once for each absent field with a fresh default.
        if name[:2] != "__" and name not in self._shape.names:
            values = self._readRest()
            if name in values:
                return Attribute._look(name, values[name])
        raise MissingField(f"{type(self).__name__} has no {name!r:.60}; see its fields()")

    def __setattr__(self, name: str, value: Any) -> None:
        cls = type(self)
        if name in cls._shape.names:
            self.__dict__[name] = bare(value)
        elif name == "_delivery_mode":
            self.__dict__[name] = checkMode(bare(value), cls)
        elif name == "_NodeMessage__origin" or isinstance(getattr(cls, name, None), property):
            object.__setattr__(self, name, value)
        elif name in cls._shape.taken and (name[:1] != "_" or name[:2] == "__" or name in _INTERNAL):
            raise BadMessage(f"{cls.__name__}.{name} is not a field, so it cannot be set; name the field otherwise")
        elif name in self._readRest() or (cls._generic and name not in cls._shape.taken):
            checkName(name)
            self._readRest()[name] = bare(value)
        elif name[:1] == "_":
            self.__dict__[name] = value  # private to the class: no field
        else:
            raise unknownField(cls, [name], list(self.fields()))

    def __copy__(self: M) -> M:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__, _values=dict(self._readRest()))
        if (meta := self.meta) is not None:
            setOrigin(twin, meta)
        return twin

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeMessage) and type(self) is type(other) and self.fields() == other.fields()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={show(value)}' for name, value in self.fields().items())})"


class _Message(NodeMessage):
    """A message with any fields, for those who name no class."""

    _generic = True


class RawMessage(NodeMessage):
    """Bytes that pass as they are."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data

    @property
    def data(self) -> bytes:
        """The payload itself."""
        data: bytes = self._readRest()["data"]
        return data

    @data.setter
    def data(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise BadMessage(f"{type(self).__name__}.data must be bytes, and this is of the type {type(data).__name__}")
        self._readRest()["data"] = data


#: A message before its `__init__`, for `setFields`: the two make one in a tenth of the time that its class takes.
makeBlank: Callable[[type[NodeMessage]], NodeMessage] = object.__new__
#: Sets all fields of a blank message, which have been validated.
setFields: Callable[[NodeMessage, dict[str, Any]], None] = NodeMessage.__dict__["__dict__"].__set__
#: Says how a message came: its `meta`, or the `meta` of the first one of its run with its own sequence number.
setOrigin: Callable[[NodeMessage, Meta | tuple[Meta, int]], None] = NodeMessage.__dict__["_NodeMessage__origin"].__set__
_getOrigin: Callable[[NodeMessage], Meta | tuple[Meta, int]] = NodeMessage.__dict__["_NodeMessage__origin"].__get__


@implementer(IMessageBuilder)
class MessageBuilder:
    """Makes messages of a class that is known only when the program runs."""

    @staticmethod
    def createMessage(klass: type[NodeMessage] | None = None, /, **kw: Any) -> NodeMessage:
        """A message of `klass`, or of any fields for None. Raises UnknownField, or BadMessage for a wrong value."""
        return buildMessage(_Message if klass is None else klass, kw)


class Attribute(Likeness):
    """A field of a message with its default; made in a message's `__init__`, it becomes a field of that message.

    It compares, counts, prints as its value does, which `getValue()` gives plain. A default that can change is copied.
    """

    __slots__ = ("name",)

    def __init__(self, name: str, default: Any = None) -> None:
        checkName(name)
        self.name = name
        self._value = value = bare(default)
        stack: list[NodeMessage] = _construction.__dict__.get("stack", [])
        if not stack:
            return
        msg, shape = stack[-1], stack[-1]._shape
        if type(value) not in _SCALARS:
            value = copy.deepcopy(value)
        if name in shape.names or name == "_delivery_mode":
            setattr(msg, name, value)
        elif name in shape.taken:
            raise BadMessage(f"the field {show(name)} would hide {type(msg).__name__}.{name}; rename it")
        else:
            msg._readRest()[name] = value

    @classmethod
    def _look(cls, name: str, value: Any) -> Attribute:
        self = cls.__new__(cls)
        self.name, self._value = name, value
        return self


def _dump(cls: type, name: str, value: Any) -> str:
    try:
        return simplejson.dumps(
            value, default=_simplify, encoding=None, allow_nan=False, use_decimal=False, namedtuple_as_object=False
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise BadMessage(f"{cls.__name__}.{name:.60} cannot be written as JSON: {show(str(error))}") from None


def _simplify(value: Any) -> Any:
    if not isinstance(value, Decimal):
        return msgspec.to_builtins(value)
    if value.is_finite():
        return simplejson.RawJSON(str(value))
    raise ValueError(f"{value} is not finite")
