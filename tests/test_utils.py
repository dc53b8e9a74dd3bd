"""The decorator that marks handlers."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset import settings
from nodeset.core.message import NodeMessage
from nodeset.core.utils import Caught, catch, catches, setDefaultOptions
from nodeset.errors import BadMessage, InvalidAddressing

if TYPE_CHECKING:
    from nodeset.core.message import RawMessage as OnlyForTypeCheckers


class Order(NodeMessage):
    number: int = 0


class Base:
    @catch("first")
    def one(self, msg: Any) -> None: ...

    @catch("second", Order)
    @catch("orders.*")
    def two(self, msg: Any) -> None: ...


def named(cls: type) -> list[tuple[str, str]]:
    return [(each.event, each.method) for each in catches(cls)]


class CatchTests(SynchronousTestCase):
    def test_order(self) -> None:
        """A class catches in the order in which it is written, several per method, several methods per event."""

        class Node(Base):
            @catch("first")
            def again(self, msg: Any) -> None: ...

        self.assertEqual(named(Node), [("first", "one"), ("second", "two"), ("orders.*", "two"), ("first", "again")])

    def test_inherited(self) -> None:
        """A method that overrides a handler is the handler, with or without a @catch of its own."""

        class Plain(Base):
            def one(self, msg: Order) -> None: ...

        class Marked(Base):
            @catch("third")
            def one(self, msg: Any) -> None: ...

        off = type("Off", (Base,), {"two": None})
        self.assertEqual(catches(Plain)[0], Caught("first", "one", Order))
        self.assertEqual(named(Marked)[0], ("third", "one"))
        self.assertNotIn("first", [event for event, _ in named(Marked)])
        self.assertEqual(named(off), [("first", "one")])
        self.assertEqual(named(Base)[0], ("first", "one"))

    def test_diamond(self) -> None:
        """With two bases, the one that Python calls is the one that counts, once."""

        class Left(Base):
            @catch("left")
            def one(self, msg: Any) -> None: ...

        class Right(Base):
            @catch("right")
            def one(self, msg: Any) -> None: ...

        class Both(Left, Right):
            pass

        self.assertEqual([event for event, name in named(Both) if name == "one"], ["left"])

    def test_messageClass(self) -> None:
        """The message class is what @catch was given, else what the handler's first argument is annotated with."""

        class Node:
            @catch("a")
            async def annotated(self, msg: Order) -> None: ...

            @catch("b", Order)
            def given(self, msg: Any) -> None: ...

            neither = catch("c")(lambda self, msg: None)

            @catch("d")
            def unknown(self, msg: OnlyForTypeCheckers) -> None: ...

            @catch("e")
            def other(self, msg: int) -> None: ...

            @catch("f")
            @staticmethod
            def loose(msg: Order) -> None: ...

        self.assertEqual([each.msgClass for each in catches(Node)], [Order, Order, None, None, None, Order])

    def test_wrapped(self) -> None:
        """Another decorator around a handler neither hides its mark nor changes that of the handler inside."""

        def loud(function: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(function)
            def wrapper(*args: Any) -> Any:
                return function(*args)

            return wrapper

        @catch("inner")
        def inner(self: Any, msg: Any) -> None: ...

        class Outer:
            method = catch("outer")(loud(inner))

        class Inner:
            method = inner

        self.assertEqual(named(Outer), [("outer", "method"), ("inner", "method")])
        self.assertEqual(named(Inner), [("inner", "method")])

    def test_badNames(self) -> None:
        """A bad event name is refused where it is written."""
        for name in ("", "a//b", "a b", "a..b", "*x", ">.a", "x" * 300, "a\n"):
            self.assertRaises(InvalidAddressing, catch, name)
        self.assertRaises(BadMessage, catch, "a", int)
        self.assertRaises(BadMessage, catch, "a", "Order")

    def test_unchanged(self) -> None:
        """A marked function is the function itself."""

        def function(self: Any, msg: Any) -> int:
            return 3

        self.assertIs(catch("a")(function), function)


class DefaultOptionsTests(SynchronousTestCase):
    def test_reset(self) -> None:
        """The seed's setDefaultOptions() takes the defaults with the environment."""
        self.addCleanup(settings.use, None)
        settings.use(settings.Settings(site="elsewhere", loglevel="crit"))
        self.patch(os, "environ", {"NODESET_SITE": "here"})
        setDefaultOptions()
        self.assertEqual((settings.current().site, settings.current().loglevel), ("here", "info"))
