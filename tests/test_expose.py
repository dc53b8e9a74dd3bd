"""What a class exposes, what its methods take."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.calls.expose import expose, exposedAs, exposes
from nodeset.core.calls.parcel import packArguments, packValue, unpackArguments
from nodeset.errors import BadArguments, BadMessage, ProtocolError


class Colour(enum.Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: int
    y: int = 0


@dataclasses.dataclass
class Line:
    begin: Point
    name: str = ""


class Base:
    @expose
    def first(self, a: int) -> int:
        return a

    @expose("second.name")
    def second(self) -> None:
        """Nothing."""

    @expose(traceback=True)
    def third(self) -> None:
        """Nothing."""


class Derived(Base):
    def first(self, a: int, b: int = 2) -> int:
        return a + b

    third = None  # type: ignore[assignment]  # the point of the test

    @expose
    @staticmethod
    def fourth(a: int) -> int:
        return a

    @expose
    def typed(
        self,
        raw: bytes,
        when: datetime.datetime,
        price: Decimal,
        mark: UUID,
        colour: Colour,
        line: Line,
        *rest: int,
        maybe: str | None = None,
        **more: float,
    ) -> list[Line]:
        return [line]


class ExposeTests(SynchronousTestCase):
    def test_listing(self) -> None:
        """Exposed methods are inherited; an override is exposed alike, with its own signature; None ends that."""
        self.assertEqual(list(exposes(Base)), ["first", "second.name", "third"])
        self.assertEqual([one.traceback for one in exposes(Base).values()], [False, False, True])
        self.assertEqual(list(exposes(Derived)), ["first", "second.name", "fourth", "typed"])
        self.assertEqual(exposes(Derived)["first"].signature.names, ("a", "b"))
        self.assertEqual(exposes(Derived)["fourth"].signature.names, ("a",))

    def test_refused(self) -> None:
        """What cannot be exposed is refused when it is written, or when its class is first used, and says why."""
        names: list[Any] = ["a b", "x" * 256, "nodeset.mine", 7, "a\nb"]
        for name in names:
            with self.assertRaises(BadMessage):
                expose(name)(lambda self: None)
        with self.assertRaises(BadMessage):
            expose(lambda self: None)

        class Twice:
            @expose("same")
            def one(self) -> None:
                """Nothing."""

            @expose("same")
            def other(self) -> None:
                """Nothing."""

        class Strange:
            @expose
            def call(self, function: Callable[[], None]) -> None:
                """Nothing."""

        for cls, words in ((Twice, "two methods as 'same'"), (Strange, "the parameter function is annotated with")):
            with self.assertRaisesRegex(BadMessage, words):
                exposes(cls)

    def test_itself(self) -> None:
        """A method given as itself is known by its name and its signature, bound or not, static or not."""
        self.assertEqual(exposedAs(Base.second).name, "second.name")
        self.assertEqual(exposedAs(Base().first).signature.names, ("a",))
        self.assertEqual(exposedAs(Derived.fourth).signature.names, ("a",))
        self.assertEqual(exposedAs(Derived.first).signature.names, ("a", "b"))
        with self.assertRaises(BadArguments):
            exposedAs(ExposeTests.test_itself)

    def test_typed(self) -> None:
        """Annotated arguments arrive as what they were, through their forms in JSON."""
        signature = exposes(Derived)["typed"].signature
        line = Line(Point(1, 2), "n")
        when, mark = datetime.datetime(2026, 1, 2, 3, 4, 5), UUID(int=7)
        args = (b"\x00\xff", when, Decimal("1.50"), mark, Colour.RED, line, 1, 2)
        given = signature.bind(args, {"maybe": "m", "z": 0.5})
        back = signature.bind(*unpackArguments(packArguments(*given)))
        self.assertEqual(back, (list(args), {"maybe": "m", "z": 0.5}))
        packed = packValue([line], "it")
        self.assertEqual(signature.checkResult(msgspec.json.decode(packed)), [line])
        with self.assertRaises(ProtocolError):
            signature.checkResult([{"begin": 3}])

    def test_named(self) -> None:
        """An error names the parameter and what is wrong with it."""
        signature = exposes(Derived)["typed"].signature
        good: list[Any] = [b"", datetime.datetime(2026, 1, 1), Decimal(1), UUID(int=1), "red", {"begin": {"x": 1}}]
        for index, value, words in (
            (0, 3, "raw: Expected `bytes`"),
            (1, "noon", "when: Invalid"),
            (2, [], "price: Expected"),
            (4, "blue", "colour: Invalid enum value"),
            (5, {"begin": {"x": "1"}}, r"line: Expected `int`, got `str` at .begin.x"),
        ):
            with self.assertRaisesRegex(BadArguments, words):
                signature.bind([*good[:index], value, *good[index + 1 :]], {})
        with self.assertRaisesRegex(BadArguments, "rest: Expected `int`"):
            signature.bind([*good, "x"], {})
        with self.assertRaisesRegex(BadArguments, "other: Expected `float`"):
            signature.bind(good, {"other": "x"})
        with self.assertRaisesRegex(BadArguments, "missing a required argument: 'line'"):
            signature.bind(good[:5], {})
        with self.assertRaisesRegex(BadArguments, "unexpected keyword argument 'b'"):
            exposes(Base)["first"].signature.bind([1], {"b": 2})

    @settings(max_examples=300, deadline=None)
    @given(
        st.sampled_from(["plain", "optional", "only"]),
        st.lists(st.sampled_from([1, "two"]), max_size=4),
        st.dictionaries(st.sampled_from("abcd"), st.sampled_from([1, "two"])),
    )
    def test_asPythonDoes(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        """However arguments are given, by place or by name, a method gets what Python would give it, or is not called."""

        class Methods:
            @expose
            def plain(self, a: int, b: Any, c: int) -> Any:
                return a, b, c

            @expose
            def optional(self, a: Any, b: int = 5, c: Any = 6) -> Any:
                return a, b, c

            @expose
            def only(self, a: int, /, b: Any = 5) -> Any:
                return a, b

        ints = {"plain": "ac", "optional": "b", "only": "a"}[name]
        method, signature = getattr(Methods(), name), exposes(Methods)[name].signature
        try:
            wanted = inspect.signature(method).bind(*args, **kwargs)
            good = all(type(value) is int for one, value in wanted.arguments.items() if one in ints)
        except TypeError:
            good = False
        if good:
            bound, named = signature.bind(args, kwargs)
            self.assertEqual(method(*bound, **named), method(*args, **kwargs))
        else:
            self.assertRaises(BadArguments, signature.bind, args, kwargs)

    def test_returned(self) -> None:
        """What a method returns is read off its annotation, through Deferreds, coroutines, iterators."""

        class Various:
            @expose
            async def slow(self) -> int:
                return 1

            @expose
            def deferred(self) -> Deferred[Point]:
                return Deferred()

            @expose
            def items(self) -> Iterator[Point]:
                yield Point(1)

            @expose
            async def later(self) -> AsyncIterator[int]:
                yield 1

            @expose
            def either(self) -> int | Deferred[int]:
                return 1

            @expose
            def unknown(self) -> Any:
                return 1

        found = {name: (one.signature.result, one.signature.item) for name, one in exposes(Various).items()}
        expected = {
            "slow": (int, None),
            "deferred": (Point, None),
            "items": (None, Point),
            "later": (None, int),
            "either": (None, None),
            "unknown": (None, None),
        }
        self.assertEqual(found, expected)
