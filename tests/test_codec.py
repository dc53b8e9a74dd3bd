"""What the codec promises to publishers, to subscribers, to those who attack either."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import gc
import json
import uuid
import weakref
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.codec import MAX_DEPTH, MAX_EVENT, decode, deliveryMode, encode, encodeFields
from nodeset.core.message import Attribute, MessageBuilder, NodeMessage, RawMessage, _Message
from nodeset.errors import BadMessage, MessageTooLarge, UnknownField

SECRET = "pb://u5mqaqd2bcuyqnocqzo5y4lvkcxbcvhc@tcp:example.org:5333/qzl3secretsecretsecretsecret"
NAN, INFINITY = float("nan"), float("inf")
THREE: Any = "three"
MESSAGE_TYPE: Any = type(NodeMessage)


class Colour(enum.Enum):
    RED = "red"


class Seed(NodeMessage):
    def __init__(self) -> None:
        NodeMessage.__init__(self)
        Attribute("a")
        Attribute("b", [1])


class Flat(NodeMessage):
    id: int
    note: str = ""
    ratio: float = 0.0
    more: float | None = None
    on: bool = False


class Rich(NodeMessage):
    price: decimal.Decimal = decimal.Decimal("1.50")
    when: datetime.datetime | None = None
    key: uuid.UUID | None = None
    colour: Colour = Colour.RED
    blob: bytes = b""
    pairs: dict[int, tuple[float, str]] = {}
    names: set[str] = set()


@dataclasses.dataclass
class Part:
    size: int = 0
    extra: Any = None


class Loose(NodeMessage):
    any: Any = None
    box: dict[str, Any] = {}
    row: list[Any] = []
    part: Part = Part()
    parts: list[Part] = []
    either: list[Any] | datetime.datetime | None = None


class Tree(NodeMessage):
    name: str = ""
    below: list[Tree] = []


class Mixed(NodeMessage):
    id: int = 1

    def __init__(self) -> None:
        Attribute("free", "x")


class Checked(NodeMessage):
    id: int = 1

    def __post_init__(self) -> None:
        if self.id == 13:
            raise ValueError("13 brings bad luck")
        self.id += 1


class Open(_Message):
    id: int = 1


CLASSES: list[type[NodeMessage] | None] = [None, Seed, Flat, Rich, Loose, Tree, Mixed, Checked, Open]


def nest(depth: int, value: Any = None) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def outcome(do: Callable[[], Any]) -> Any:
    try:
        return do()
    except BadMessage as error:
        return type(error)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.text(max_size=8).filter(lambda name: not name.startswith("__") and name != "_delivery_mode")
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(NAN, INFINITY, 2**63, -(2**63) - 1, "\ud800", {1: 2}, {"a": {3: 4}}, {1, 2}, object, datetime.datetime(2026, 1, 2)),
        *(decimal.Decimal("NaN"), decimal.Decimal("2.5"), uuid.UUID(int=1), b"ab", Colour.RED, Part(1, NAN), Part(2, (1,))),
        *(nest(31), nest(32), nest(968), (1, (2,)), [INFINITY], [b"x"], "YWI=", "red", Attribute("x", 3), {"__x": 1}, "null"),
    ]
)


class TestRefusals(SynchronousTestCase):
    """What a publisher is told at once, by the name of the value."""

    def refused(self, value: Any, place: str, *words: str) -> None:
        """The value is refused in every form of message, with the place named."""
        for klass, field in ((None, "orders"), (Seed, "a"), (Loose, "any"), (Open, "orders"), (Mixed, "free")):
            text = str(self.assertRaises(BadMessage, encodeFields, klass, {field: value}))
            self.assertTrue(text.startswith(place.replace("orders", field) + " "), text)
            self.assertNotIn("\n", text)
            for word in words:
                self.assertIn(word, text)
            msg = MessageBuilder.createMessage(klass, **{field: value})
            self.assertRaises(BadMessage, encode, msg)

    def test_depth(self) -> None:
        """33, 968, 3,000 levels are refused, and so is a list that holds itself; 32 with the message included pass."""
        for depth in (MAX_DEPTH, MAX_DEPTH + 1, 968, 3_000):
            self.refused(nest(depth), "orders" + "[0]" * (MAX_DEPTH - 1), "32")
        loop: list[Any] = []
        loop.append(loop)
        self.refused({"items": loop}, "orders.items" + "[0]" * (MAX_DEPTH - 2), "32")
        self.assertEqual(decode(encodeFields(None, {"a": nest(MAX_DEPTH - 1)})[0]).a, nest(MAX_DEPTH - 1))

    def test_manyBrackets(self) -> None:
        """Breadth is no depth: a thousand lists beside each other pass, brackets in a text as well."""
        values: list[Any] = [[[]] * 1_000, "[{" * 1_000, ['\\"[', '\\\\"', "{"] * 100]
        for value in values:
            self.assertEqual(decode(encodeFields(None, {"a": value})[0]).a, value)

    def test_surrogates(self) -> None:
        """Half a character is refused in a value, a key, a name."""
        self.refused("a\ud800", "orders", "surrogate")
        self.refused({"items": ["ok", "a\udfff"]}, "orders.items[1]", "surrogate")
        self.refused({"a\ud800": 1}, "a key of orders", "surrogate")
        self.assertRaises(BadMessage, encodeFields, None, {"a\ud800": 1})
        for klass in (Flat, Tree):
            field = "note" if klass is Flat else "name"
            self.assertIn(
                field,
                str(
                    self.assertRaises(
                        BadMessage, encodeFields, klass, {"id": 1, field: "\ud800"} if klass is Flat else {field: "\ud800"}
                    )
                ),
            )

    def test_notFinite(self) -> None:
        """NaN, infinity would silently become null, so they are refused."""
        self.refused(NAN, "orders", "nan")
        self.refused([None, {"x": INFINITY}], "orders[1].x", "inf")
        for value in (NAN, INFINITY, -INFINITY):
            for field in ("ratio", "more"):
                self.assertIn(field, str(self.assertRaises(BadMessage, encodeFields, Flat, {"id": 1, field: value})))
            self.assertIn("pairs[3][0]", str(self.assertRaises(BadMessage, encodeFields, Rich, {"pairs": {3: (value, "")}})))
        self.assertIn("price", str(self.assertRaises(BadMessage, encodeFields, Rich, {"price": decimal.Decimal("NaN")})))
        self.assertIn("part.extra", str(self.assertRaises(BadMessage, encodeFields, Loose, {"part": Part(1, NAN)})))

    def test_keys(self) -> None:
        """A dict whose keys are no str is refused, also when only some are none."""
        self.refused({1: 2}, "orders", "key 1", "int")
        self.refused({"a": 1, 2: 3}, "orders", "key 2")
        self.refused([{"a": {None: 1}}], "orders[0].a", "None")
        self.refused({True: 1}, "orders", "True")
        self.refused({(1, 2): 1}, "orders", "tuple")

    def test_bigInts(self) -> None:
        """An int beyond signed 64 bits is refused, one at the limit is not."""
        for value in (2**63, -(2**63) - 1, 10**400):
            self.refused([value], "orders[0]", "64")
            self.assertIn("id", str(self.assertRaises(BadMessage, encodeFields, Flat, {"id": value})))
        for value in (2**63 - 1, -(2**63)):
            self.assertEqual(decode(encodeFields(Flat, {"id": value})[0], Flat).id, value)
            self.assertEqual(decode(encodeFields(None, {"a": [value]})[0]).a, [value])

    def test_types(self) -> None:
        """Where no type is declared, what JSON cannot give back is refused: dates, sets, bytes, objects."""
        for value in (datetime.datetime(2026, 1, 2), {1, 2}, frozenset("a"), object(), b"x", uuid.UUID(int=1)):
            self.refused(value, "orders", type(value).__name__)
            self.refused({"items": [0, 1, 2, value]}, "orders.items[3]", type(value).__name__)
        for value in (decimal.Decimal("1.5"), Colour.RED, Part(), 1j, Flat(id=1), lambda: 1):
            self.refused({"it": value}, "orders.it", type(value).__name__)

    def test_tuples(self) -> None:
        """A tuple is sent as a list, at any depth."""
        msg = decode(encodeFields(None, {"a": (1, (2, {"b": (3,)}))})[0])
        self.assertEqual(msg.a, [1, [2, {"b": [3]}]])
        self.assertEqual(decode(encodeFields(Loose, {"any": (1, (2,))})[0], Loose).fields()["any"], [1, [2]])

    def test_names(self) -> None:
        """A field named `__class__`, or by no str at all, is refused."""
        for name in ("__class__", "__x"):
            self.assertIn(name, str(self.assertRaises(BadMessage, encodeFields, None, {name: 1})))
            self.assertRaises(BadMessage, encodeFields, Seed, {name: 1})
        for fields in ({1: 2}, {None: 2}, {"a": 1, 2: 3}):
            for klass in (None, Seed, Flat, Open):
                self.assertRaises(BadMessage, encodeFields, klass, fields)

    def test_unknownKeywords(self) -> None:
        """An unknown keyword is an UnknownField, a KeyError, that names it with the fields there are."""
        for klass in (Seed, Flat, Rich, Mixed, Checked):
            error = self.assertRaises(UnknownField, encodeFields, klass, {"nota": 1})
            self.assertIsInstance(error, KeyError)
            self.assertIn("nota", str(error))
        self.assertIn("id, note, ratio", str(self.assertRaises(UnknownField, encodeFields, Flat, {"id": 1, "nota": 1})))

    def test_wrongTypes(self) -> None:
        """A declared field takes its type only, whether it was given at first or set later."""
        for klass, field, value in ((Flat, "id", "3"), (Flat, "on", 1), (Rich, "when", "noon"), (Tree, "below", [3])):
            given: dict[str, Any] = {"id": 1} if klass is Flat else {}
            error = self.assertRaises(BadMessage, encodeFields, klass, given | {field: value})
            self.assertIn(f"{klass.__name__}.{field}", str(error))
            msg = MessageBuilder.createMessage(klass, **given)
            setattr(msg, field, value)
            self.assertIn(f"{klass.__name__}.{field}", str(self.assertRaises(BadMessage, encode, msg)))

    def test_missing(self) -> None:
        """A required field that is missing is named."""
        self.assertIn("`id`", str(self.assertRaises(BadMessage, encodeFields, Flat, {})))

    def test_wrongPart(self) -> None:
        """An object inside a message is checked as deep as the message itself."""
        part: Any = Part
        self.assertIn("part", str(self.assertRaises(BadMessage, encodeFields, Loose, {"part": part("x")})))
        self.assertIn(
            "parts[1].extra", str(self.assertRaises(BadMessage, encodeFields, Loose, {"parts": [Part(), Part(1, {2})]}))
        )
        deep = Tree()
        for _ in range(20):
            deep = Tree(below=[deep])
        self.assertIn("32", str(self.assertRaises(BadMessage, encode, deep)))

    def test_size(self) -> None:
        """An event over 1 MiB is refused with its size, one of just 1 MiB is sent, read."""
        fits = "x" * (MAX_EVENT - len('{"a":""}'))
        payload, _ = encodeFields(None, {"a": fits})
        self.assertEqual((len(payload), decode(payload).a), (MAX_EVENT, fits))
        for klass, fields in ((None, {"a": fits + "x"}), (Seed, {"a": fits}), (Flat, {"id": 1, "note": fits})):
            self.assertIn("1048576", str(self.assertRaises(MessageTooLarge, encodeFields, klass, fields)))
        self.assertRaises(MessageTooLarge, encode, RawMessage(b"x" * (MAX_EVENT + 1)))
        self.assertRaises(MessageTooLarge, decode, payload + b" ")
        self.assertRaises(MessageTooLarge, decode, payload + b" ", None, True)

    def test_secrets(self) -> None:
        """No error of a publisher or subscriber shows the secret of a FURL."""
        texts = []
        for klass in (None, Flat, Rich, Loose):
            for value in (SECRET, {SECRET: {1}}, [{SECRET: NAN}], {"x": SECRET + "\ud800"}, SECRET.encode()):
                fields = {"id": value, "colour": value, "any": value, SECRET: {1, 2}}
                for name in fields:
                    texts.append(str(self.assertRaises(BadMessage, encodeFields, klass, {name: fields[name], "nota": {1}})))
        for text in (f'{{"colour": "{SECRET}"}}', f'{{"when": "{SECRET}"}}', f'"{SECRET}"', f'{{"{SECRET}": 1e999}}', SECRET):
            texts.append(str(self.assertRaises(BadMessage, decode, text.encode() + b"\xff", Rich)))
            try:
                decode(text.encode(), Rich)
            except BadMessage as error:
                texts.append(str(error))
        for text in texts:
            self.assertNotIn("secret", text)
            self.assertLess(len(text), 400)


class TestDeclarations(SynchronousTestCase):
    """Mistakes in the class itself, told at the first use."""

    def test_defaults(self) -> None:
        """A default that is not of its type is named."""

        class Wrong(NodeMessage):
            count: int = THREE

        self.assertIn("Wrong.count", str(self.assertRaises(BadMessage, encodeFields, Wrong, {})))
        self.assertRaises(BadMessage, decode, b"{}", Wrong)

    def test_types(self) -> None:
        """A type that cannot be sent, a name that cannot be resolved are errors at the first use."""
        for annotation in (weakref.ref, "Nowhere", list[weakref.ref[Any]], msgspec.Raw):
            klass = MESSAGE_TYPE("Wrong", (NodeMessage,), {"__annotations__": {"it": annotation}})
            self.assertRaises(BadMessage, encodeFields, klass, {"it": 1})
            self.assertRaises(BadMessage, decode, b"{}", klass)

    def test_collected(self) -> None:
        """A class that nobody uses any more is freed, whatever was compiled for it."""

        class Passing(NodeMessage):
            id: int = 1
            box: dict[str, Any] = {}

        decode(encodeFields(Passing, {"id": 3})[0], Passing)
        gone = weakref.ref(Passing)
        del Passing
        gc.collect()
        self.assertIsNone(gone())


class TestRoundTrip(SynchronousTestCase):
    """What was sent is what comes."""

    @given(st.dictionaries(NAMES, PLAIN, max_size=5))
    @settings(max_examples=100, deadline=None)
    def test_anyFields(self, fields: dict[str, Any]) -> None:
        """Any fields that JSON can carry come back equal, the same message, with nothing lost."""
        msg = MessageBuilder.createMessage(None, **fields)
        back = decode(encode(msg))
        self.assertEqual(back, msg)
        self.assertEqual(back.fields(), fields)

    @given(PLAIN)
    @settings(max_examples=100, deadline=None)
    def test_everyForm(self, value: Any) -> None:
        """The same holds for a field of the seed's form, and one declared as Any."""
        for klass, name in ((Seed, "a"), (Loose, "any"), (Mixed, "free")):
            msg = MessageBuilder.createMessage(klass, **{name: value})
            self.assertEqual(decode(encode(msg), klass), msg)

    @given(
        st.builds(
            Rich,
            price=st.decimals(allow_nan=False, allow_infinity=False),
            when=st.none() | st.datetimes(),
            key=st.none() | st.uuids(),
            blob=st.binary(),
            pairs=st.dictionaries(
                st.integers(-(2**63), 2**63 - 1), st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.text())
            ),
            names=st.sets(st.text(max_size=3)),
        )
    )
    @settings(max_examples=50, deadline=None)
    def test_declaredTypes(self, msg: Rich) -> None:
        """Declared types arrive as such: Decimal, dates, UUIDs, Enums, bytes, sets, keys of dicts."""
        self.assertEqual(decode(encode(msg), Rich), msg)

    def test_tree(self) -> None:
        """A class may hold messages of its own kind."""
        tree = Tree(name="a", below=[Tree(name="b"), Tree(name="c", below=[Tree(name="d")])])
        self.assertEqual(decode(encode(tree), Tree), tree)

    def test_unions(self) -> None:
        """Each branch of a union arrives as what it was."""
        for value in (None, datetime.datetime(2026, 1, 2), [1, {"a": None}]):
            self.assertEqual(decode(encodeFields(Loose, {"either": value})[0], Loose).fields()["either"], value)

    def test_textForm(self) -> None:
        """A payload is plain JSON with the fields in order of declaration, in UTF-8."""
        self.assertEqual(encode(Flat(id=1, note="ä")), '{"id":1,"note":"ä","ratio":0.0,"more":null,"on":false}'.encode())
        self.assertEqual(encode(_Message(b=1, a=[None])), b'{"b":1,"a":[null]}')
        self.assertEqual((encode(NodeMessage()), encode(_Message())), (b"{}", b"{}"))

    def test_raw(self) -> None:
        """Raw bytes pass as they are; a class of fields cannot take them."""
        data = b"\x00\xff{not json"
        self.assertEqual(encode(RawMessage(data)), data)
        self.assertEqual(encodeFields(RawMessage, {"data": data}), (data, "all"))
        for msg in (decode(data, None, raw=True), decode(data, RawMessage, raw=True), decode(data, RawMessage)):
            self.assertEqual(msg, RawMessage(data))
        self.assertRaises(BadMessage, decode, data, Flat, True)
        self.assertRaises(BadMessage, encodeFields, RawMessage, {"data": "text"})


class TestEncodeFields(SynchronousTestCase):
    """The short way of `publish`."""

    @given(st.sampled_from(CLASSES), st.data())
    @settings(max_examples=100, deadline=None)
    def test_sameAsTheLongWay(self, klass: type[NodeMessage] | None, data: st.DataObject) -> None:
        """Payload, mode, refusal are those of createMessage followed by encode, whatever the fields."""
        names = ["id", "note", "ratio", "more", "on", "a", "b", "any", "box", "row", "part", "price", "when", "blob", "free"]
        own = [name for name in names if klass is None or hasattr(klass, name) or name in klass._shape.names] or names
        fields = data.draw(st.dictionaries(st.sampled_from(own), PLAIN | ODD | st.integers(0, 9), max_size=3))
        if data.draw(st.integers(0, 4)) == 0:
            fields["_delivery_mode"] = data.draw(st.sampled_from(["one", "all", "direct", None]))
        if klass is Flat and data.draw(st.booleans()):
            fields.setdefault("id", 1)

        def longWay() -> tuple[bytes, str]:
            msg = MessageBuilder.createMessage(klass, **fields)
            return encode(msg), deliveryMode(msg)

        before = repr(fields)
        self.assertEqual(outcome(lambda: encodeFields(klass, fields)), outcome(longWay))
        self.assertEqual(repr(fields), before)

    def test_mode(self) -> None:
        """The mode comes from the fields, else the class or its `__init__`, and is not sent."""

        class One(Flat):
            _delivery_mode = "one"

        class Init(NodeMessage):
            def __init__(self) -> None:
                self._delivery_mode = "one"

        self.assertEqual(encodeFields(One, {"id": 1})[1], "one")
        self.assertEqual(encodeFields(One, {"id": 1, "_delivery_mode": "all"}), (encode(Flat(id=1)), "all"))
        self.assertEqual(encodeFields(Init, {}), (b"{}", "one"))
        self.assertEqual(encodeFields(None, {"a": 1, "_delivery_mode": "one"}), (b'{"a":1}', "one"))
        self.assertRaises(BadMessage, encodeFields, Flat, {"id": 1, "_delivery_mode": "direct"})
        One._delivery_mode = "direct"
        self.assertRaises(BadMessage, encodeFields, One, {"id": 1})

    def test_mappings(self) -> None:
        """The fields may come in any mapping, and stay as they are."""
        for klass in (None, Flat, Checked, Open):
            self.assertEqual(encodeFields(klass, MappingProxyType({"id": 3})), encodeFields(klass, {"id": 3}))

    def test_ownCheck(self) -> None:
        """A class's own `__post_init__` has its say."""
        self.assertEqual(encodeFields(Checked, {"id": 3})[0], b'{"id":4}')
        self.assertIn("bad luck", str(self.assertRaises(BadMessage, encodeFields, Checked, {"id": 13})))

    def test_attributes(self) -> None:
        """A field of another message may be given as a value."""
        got = decode(encodeFields(Seed, {"a": 5})[0])
        self.assertEqual(encodeFields(Flat, {"id": got.a}), encodeFields(Flat, {"id": 5}))
        self.assertEqual(encodeFields(None, {"x": got.a, "y": [got.a]})[0], b'{"x":5,"y":[5]}')
        box = decode(b'{"a":{"k":1}}').a
        self.assertEqual(encodeFields(Loose, {"box": box}), encodeFields(Loose, {"box": {"k": 1}}))
        self.assertRaises(BadMessage, encodeFields, Loose, {"box": got.a})
        self.assertRaises(BadMessage, MessageBuilder.createMessage, Loose, box=got.a)


class TestDecode(SynchronousTestCase):
    """What a subscriber is kept from, what he gets."""

    def test_malformed(self) -> None:
        """What is no JSON object in UTF-8 is refused in one line that does not repeat it."""
        for payload in (
            *(b"", b" ", b"nope", b"[1]", b"3", b"null", b'"x"', b"{", b'{"a":1}x', b'{"a":01}', b"{'a':1}", b'{"a":NaN}'),
            *(b'{"a":"\xff"}', b'{"\xff":1}', b'{"a":"\xed\xa0\x80"}', b"\xef\xbb\xbf{}", b'{"a":"\x01"}', b'{"a":1e999}'),
            *(rb'{"a":"\ud800"}', rb'{"a":"\udc00 etc"}', rb'{"a":"\q"}', b'{"a":Infinity}', b"\x80\x04N."),
        ):
            for klass in (None, Seed, Mixed, Open):
                text = str(self.assertRaises(BadMessage, decode, payload, klass))
                self.assertNotIn("\n", text)
        text = str(self.assertRaises(BadMessage, decode, b'{"a": nope ' + b"x" * 10_000))
        self.assertLess(len(text), 200)

    def test_hidden(self) -> None:
        """What a class does not know is checked as well: UTF-8, characters, ints, depth, names."""
        for hidden in (
            *(b'"x":"\xff"', b'"\xff":1', rb'"x":"\ud800 "', rb'"\ud800 ":1', b'"x":9223372036854775808', b'"__class__":1'),
            *(
                b'"x":' + b"[" * 40 + b"]" * 40,
                rb'"\u005f_class__":1',
                rb'"_\u005Fclass__":1',
                b'"x":{"y":-9223372036854775809}',
            ),
        ):
            for klass in (None, Seed, Flat, Rich, Mixed, Open):
                self.assertRaises(BadMessage, decode, b'{"id":1,' + hidden + b"}", klass)

    def test_depth(self) -> None:
        """32 levels pass, 33 do not, with 968 or 100,000 the answer is as quick; brackets in texts do not count."""
        for depth in (33, 968, 3_000, 100_000):
            for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
                payload = b'{"a":' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"
                for klass in (None, Seed, Flat, Loose):
                    self.assertIn("32", str(self.assertRaises(BadMessage, decode, payload, klass)))
                self.assertRaises(BadMessage, decode, payload[: len(payload) // 2])
        self.assertEqual(decode(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}").a, nest(30, []))
        for text in ("[" * 100, '"[' * 100, "\\[" * 100, '\\"{' * 50):
            self.assertEqual(decode(json.dumps({"a": text}).encode()).a, text)
        self.assertRaises(BadMessage, decode, b'{"a":"' + b'\\"[' * 100_000)

    def test_bigInts(self) -> None:
        """An int beyond 64 bits is refused in a declared field, too; long numbers in texts are nobody's business."""
        self.assertRaises(BadMessage, decode, b'{"id":9223372036854775808}', Flat)
        self.assertRaises(BadMessage, decode, b'{"a":[{"b":' + b"9" * 400 + b"}]}")
        self.assertEqual(decode(b'{"id":9223372036854775807}', Flat).id, 2**63 - 1)
        self.assertEqual(decode(b'{"a":"92233720368547758089"}').a, "92233720368547758089")

    def test_duplicates(self) -> None:
        """Of a key that comes twice, the last counts."""
        for klass in (None, Flat, Open, Mixed):
            self.assertEqual(decode(b'{"id":1,"id":2}', klass).fields()["id"], 2)

    def test_unknownFields(self) -> None:
        """What only the publisher knows is kept, can be looked at, does not disturb."""
        payload = b'{"id":3,"new":{"x":[1]},"_p":2,"toJson":1}'
        for klass in (None, Seed, Flat, Mixed, Open, Checked):
            msg = decode(payload, klass)
            self.assertEqual(msg.id, 4 if klass is Checked else 3)
            self.assertEqual(msg.new["x"], [1])
            self.assertTrue(hasattr(msg, "new") and not hasattr(msg, "newer"))
            self.assertLessEqual({"id", "new", "_p", "toJson"}, msg.fields().keys())
            self.assertEqual(json.loads(msg.toJson())["new"], {"x": [1]})
        self.assertEqual(decode(encode(decode(payload, Flat))).new, {"x": [1]})
        changed = decode(payload, Flat)
        changed.new = 5
        self.assertEqual(changed.fields()["new"], 5)

    def test_missingFields(self) -> None:
        """What the publisher does not know takes the subscriber's default, fresh each time."""
        self.assertEqual(decode(b'{"id":1}', Flat), Flat(id=1))
        self.assertEqual(decode(b'{"a":1}', Seed).b, [1])
        self.assertEqual(decode(b"{}", Mixed), Mixed())
        one, other = decode(b"{}", Tree), decode(b"{}", Tree)
        assert isinstance(one, Tree) and isinstance(other, Tree)
        one.below.append(Tree())
        self.assertEqual(other.below, [])
        self.assertIn("`id`", str(self.assertRaises(BadMessage, decode, b"{}", Flat)))

    def test_retyped(self) -> None:
        """A declared field that comes as another type is refused by name."""
        for klass in (Flat, Mixed, Open):
            self.assertIn(f"{klass.__name__}.id", str(self.assertRaises(BadMessage, decode, b'{"id":"x"}', klass)))

    def test_mode(self) -> None:
        """A payload has no say in the delivery mode."""
        for klass in (None, Seed, Flat, Mixed, Open):
            msg = decode(b'{"id":1,"_delivery_mode":"one"}', klass)
            self.assertEqual(msg._delivery_mode, "all")
            self.assertNotIn("_delivery_mode", msg.fields())

    def test_failingInit(self) -> None:
        """A class that cannot be made without arguments is an error that says so."""

        class Needy(NodeMessage):
            def __init__(self, must: int) -> None:
                Attribute("a", must)

        self.assertIn("without arguments", str(self.assertRaises(BadMessage, decode, b'{"a":1}', Needy)))

    @given(st.sampled_from(CLASSES), st.binary(max_size=40))
    @settings(max_examples=100, deadline=None)
    def test_garbage(self, klass: type[NodeMessage] | None, payload: bytes) -> None:
        """Bytes of any kind give a message or a BadMessage."""
        outcome(lambda: decode(payload, klass).fields())

    @given(st.sampled_from(CLASSES), st.data())
    @settings(max_examples=100, deadline=None)
    def test_damaged(self, klass: type[NodeMessage] | None, data: st.DataObject) -> None:
        """A damaged payload gives a message, all of which can be read, or a BadMessage."""
        names = st.sampled_from(["id", "note", "x", "when", "parts", "below", "price", "any"])
        payload = bytearray(json.dumps(data.draw(st.dictionaries(names, PLAIN, max_size=4))), "ascii")
        for _ in range(data.draw(st.integers(0, 3))):
            place = data.draw(st.integers(0, len(payload)))
            payload[place : place + 1] = data.draw(
                st.sampled_from([b"", b"9" * 19, b'"', b"\\", b"[", b"}", b"1e999", b"\xff", b"\\ud8"])
            )
        msg = outcome(lambda: decode(bytes(payload), klass))
        if isinstance(msg, NodeMessage):
            outcome(msg.toJson)
            repr(msg)
            self.assertEqual(msg, msg)
            self.assertFalse(hasattr(msg, "nowhere"))
            again = outcome(lambda: encode(msg))
            if isinstance(again, bytes) and klass is not Checked:
                self.assertEqual(decode(again, klass), msg)
