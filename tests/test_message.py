"""What a message promises to those who define, fill, read it."""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import itertools
import json
import pickle
import threading
import uuid
from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import message
from nodeset.core.message import Attribute, MessageBuilder, Meta, NodeMessage, RawMessage, _Message
from nodeset.errors import BadMessage, LocalError, MissingField, UnknownField

SECRET = "pb://u5mqaqd2bcuyqnocqzo5y4lvkcxbcvhc@tcp:example.org:5333/qzl3secretsecretsecretsecret"
_ticks = itertools.count()
_shared = ["first"]


class Simple(NodeMessage):
    def __init__(self) -> None:
        message.NodeMessage.__init__(self)
        message.Attribute("field1")
        Attribute("tags", _shared)
        Attribute("tick", next(_ticks))


class Wider(Simple):
    def __init__(self) -> None:
        Simple.__init__(self)
        Attribute("field2", "more")


class Colour(enum.Enum):
    RED = "red"


class Order(NodeMessage):
    id: int
    note: str = ""
    tags: list[str] = []
    limit: ClassVar[int] = 7
    _cache: dict[str, int] = {}


AnyOrder: Any = Order  # for mistakes that mypy would find


class BigOrder(Order):
    _delivery_mode = "one"
    pages: dict[str, list[int]] = {"cover": [1]}


class Rich(NodeMessage):
    price: decimal.Decimal = decimal.Decimal("1.50")
    when: datetime.datetime | None = None
    key: uuid.UUID | None = None
    colour: Colour = Colour.RED
    blob: bytes = b""
    ratio: float = 0.0


class Mixed(NodeMessage):
    id: int
    note: str = "none"

    def __init__(self, id: int = 1) -> None:
        NodeMessage.__init__(self)
        self.id = id
        Attribute("tick", next(_ticks))


class TestSeedForm(SynchronousTestCase):
    """Fields added by `Attribute` in `__init__`, as the first example of NodeSet does."""

    def test_fields(self) -> None:
        """Each Attribute made in `__init__` is a field of the message, with its default or None."""
        msg = Simple()
        self.assertEqual(list(msg.fields()), ["field1", "tags", "tick"])
        self.assertTrue(msg.field1 == None)  # noqa: E711  (an Attribute compares, it is not None itself)
        self.assertEqual(msg.tags, ["first"])

    def test_values(self) -> None:
        """A field equals the value it was set to, whatever its type, and that value goes on the wire."""
        for value in (3, 2.5, "text", [1], (1, 2), {"a": 1}, None, True):
            msg = Simple()
            msg.field1 = value
            self.assertTrue(msg.field1 == value)
            self.assertFalse(msg.field1 != value)
            self.assertEqual(msg.field1.getValue(), value)
            self.assertEqual(msg.fields()["field1"], value)

    def test_freshDefaults(self) -> None:
        """`__init__` runs for every message, so a default such as a time stamp is fresh."""
        self.assertNotEqual(Simple().tick.getValue(), Simple().tick.getValue())

    def test_unsharedDefaults(self) -> None:
        """Changing a list in one message changes it in no other, nor the default itself."""
        Simple().tags.getValue().append("x")
        self.assertEqual(Simple().tags, ["first"])
        self.assertEqual(_shared, ["first"])

    def test_inherited(self) -> None:
        """A subclass has the fields of its parent before its own."""
        self.assertEqual(list(Wider().fields()), ["field1", "tags", "tick", "field2"])

    def test_standsAlone(self) -> None:
        """Outside a message an Attribute is just a named value."""
        alone = Attribute("x", 5)
        self.assertEqual((alone.name, alone), ("x", 5))

    def test_nested(self) -> None:
        """A message made inside the `__init__` of another does not take the other's fields."""

        class Outer(NodeMessage):
            def __init__(self) -> None:
                Attribute("before")
                Attribute("inner", list(Wider().fields()))
                Attribute("after")

        self.assertEqual(list(Outer().fields()), ["before", "inner", "after"])

    def test_failingInit(self) -> None:
        """An `__init__` that fails leaves nothing behind: the next Attribute stands alone."""

        class Broken(NodeMessage):
            def __init__(self) -> None:
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, Broken)
        before = Simple()
        Attribute("stray", 1)
        self.assertNotIn("stray", before.fields())

    def test_threads(self) -> None:
        """Messages made in two threads at once each get their own fields only."""
        inside, done = threading.Event(), threading.Event()
        made: list[NodeMessage] = []

        class Slow(NodeMessage):
            def __init__(self) -> None:
                inside.set()
                done.wait(10)
                Attribute("slow")

        thread = threading.Thread(target=lambda: made.append(Slow()))
        thread.start()
        inside.wait(10)
        quick = Simple()
        done.set()
        thread.join(10)
        self.assertEqual(list(made[0].fields()), ["slow"])
        self.assertNotIn("slow", quick.fields())

    def test_hidingName(self) -> None:
        """A field cannot be named like a method, since nobody could read it."""

        class Hiding(NodeMessage):
            def __init__(self) -> None:
                Attribute("toJson")

        self.assertIn("rename", str(self.assertRaises(BadMessage, Hiding)))


class TestAttribute(SynchronousTestCase):
    """What can be done with a field as it is."""

    def test_conversions(self) -> None:
        """A field converts, prints, is true or false as its value is."""
        number = Attribute("n", 7)
        self.assertEqual((float(number), int(number), str(number), repr(number), bool(number)), (7.0, 7, "7", "7", True))
        self.assertEqual(
            (f"{Attribute('f', 2.5):.2f}", str(Attribute("s", "ab")), bool(Attribute("e", ""))), ("2.50", "ab", False)
        )

    def test_containers(self) -> None:
        """A field that holds a container is measured, walked, indexed, searched like it."""
        held = Attribute("c", {"a": 1, "b": 2})
        self.assertEqual((len(held), list(held), held["b"], "a" in held, "z" in held), (2, ["a", "b"], 2, True, False))

    def test_arithmetic(self) -> None:
        """A field counts with numbers on either side, and with other fields."""
        six = Attribute("n", 6)
        self.assertEqual((six + 1, 1 + six, six - 1, 10 - six, six * 2, 2 * six), (7, 7, 5, 4, 12, 12))
        self.assertEqual((six / 4, 3 / six, six // 4, 13 // six, six % 4, 13 % six), (1.5, 0.5, 1, 2, 2, 1))
        self.assertEqual((six**2, 2**six, -six, +six, abs(Attribute("m", -2)), six + six), (36, 64, -6, 6, 2, 12))

    def test_order(self) -> None:
        """A field is ordered as its value is."""
        six = Attribute("n", 6)
        self.assertTrue(six < 7 and six <= 6 and six > 5 and six >= 6 and 5 < six < Attribute("m", 7))

    def test_inPlace(self) -> None:
        """`msg.count += 1` works, and the field is the sum."""
        msg = _Message(count=1)
        msg.count += 1
        self.assertEqual(msg.fields(), {"count": 2})

    def test_unhashable(self) -> None:
        """A field is no key of a dict: its value can change."""
        self.assertRaises(TypeError, hash, Attribute("n", 1))

    def test_badNames(self) -> None:
        """A name with two leading underscores, or one that is no str, is refused at once."""
        for name in ("__class__", "__x", 3, None, b"a"):
            self.assertRaises(BadMessage, Attribute, name)

    @given(st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.lists(st.integers())))
    @settings(max_examples=50, deadline=None)
    def test_likeItsValue(self, value: Any) -> None:
        """A field equals, prints, is true as its value does."""
        look = _Message(f=value).f
        self.assertTrue(look == value and str(look) == str(value) and bool(look) == bool(value))


class TestDeclarativeForm(SynchronousTestCase):
    """Fields declared as annotated class attributes."""

    def test_plainValues(self) -> None:
        """A declared field is a plain value of its type, with its default if it was not given."""
        order = Order(id=3)
        self.assertIs(type(order.id), int)
        self.assertEqual(order.fields(), {"id": 3, "note": "", "tags": []})

    def test_missing(self) -> None:
        """A required field that is missing is named."""
        self.assertIn("id", str(self.assertRaises(BadMessage, Order)))

    def test_unknownKeyword(self) -> None:
        """An unknown keyword is named beside the fields there are; it is a KeyError too."""
        error = self.assertRaises(UnknownField, lambda: AnyOrder(id=1, nota="x"))
        self.assertIsInstance(error, KeyError)
        for word in ("nota", "id", "note", "tags"):
            self.assertIn(word, str(error))

    def test_wrongType(self) -> None:
        """A value of another type is refused where the message is made; the error names field with type, not the value."""
        error = self.assertRaises(BadMessage, lambda: AnyOrder(id=SECRET))
        self.assertIn("Order.id", str(error))
        self.assertNotIn("secret", str(error))

    def test_positional(self) -> None:
        """Fields are given by keyword only."""
        self.assertRaises(TypeError, lambda: AnyOrder(3))

    def test_unsharedDefaults(self) -> None:
        """A list or dict as default is a new one for each message, with what the default holds."""
        one, other = BigOrder(id=1), BigOrder(id=2)
        one.tags.append("x")
        one.pages["cover"].append(2)
        self.assertEqual((other.tags, other.pages), ([], {"cover": [1]}))

    def test_inherited(self) -> None:
        """A subclass has the fields of its parent before its own."""
        self.assertEqual(list(BigOrder(id=1).fields()), ["id", "note", "tags", "pages"])

    def test_noFields(self) -> None:
        """ClassVars, names that start with an underscore are no fields."""
        self.assertEqual(Order.limit, 7)
        for name in ("limit", "_cache"):
            self.assertNotIn(name, Order(id=1).fields())
            self.assertRaises(UnknownField, MessageBuilder.createMessage, Order, id=1, **{name: 1})

    def test_converted(self) -> None:
        """Values are converted to the declared type: a date from its text, a float from an int."""
        rich: Any = MessageBuilder.createMessage(
            Rich, when="2026-11-22T20:00:00", colour="red", price="2.5", ratio=2, blob=b"raw", key=str(uuid.UUID(int=1))
        )
        self.assertEqual(rich.when, datetime.datetime(2026, 11, 22, 20))
        self.assertEqual((rich.colour, rich.price, rich.blob), (Colour.RED, decimal.Decimal("2.5"), b"raw"))
        self.assertEqual((type(rich.ratio), rich.key), (float, uuid.UUID(int=1)))

    def test_hidingName(self) -> None:
        """A class whose field would hide a method cannot be defined."""
        for name in ("fields", "toJson", "fromJson", "meta"):
            self.assertRaises(BadMessage, type(NodeMessage), "Hiding", (NodeMessage,), {"__annotations__": {name: int}})

    def test_mixed(self) -> None:
        """A class may declare some fields, add others in `__init__`."""
        msg = Mixed()
        self.assertEqual(list(msg.fields()), ["id", "note", "tick"])
        self.assertEqual((msg.id, msg.note), (1, "none"))
        self.assertNotEqual(msg.tick, Mixed().tick)
        self.assertEqual(Mixed(5).id, 5)
        self.assertRaises(BadMessage, Mixed, "5")


class TestFieldsOfAMessage(SynchronousTestCase):
    """Setting, looking at, comparing fields."""

    def test_missing(self) -> None:
        """A name that is not there is a KeyError, an AttributeError, and no surprise to hasattr or getattr."""
        for msg in (Simple(), Order(id=1), _Message()):
            error = self.assertRaises(MissingField, lambda msg=msg: msg.nothing)
            self.assertIsInstance(error, KeyError)
            self.assertIsInstance(error, AttributeError)
            self.assertIsInstance(error, LocalError)
            self.assertIn("nothing", str(error))
            self.assertFalse(hasattr(msg, "nothing"))
            self.assertEqual(getattr(msg, "nothing", 7), 7)

    def test_copies(self) -> None:
        """A message survives copying, deep copying, pickling; the copies are on their own."""
        for msg in (Simple(), BigOrder(id=1, tags=["a"]), _Message(a=[1]), Mixed(), RawMessage(b"x")):
            for twin in (copy.copy(msg), copy.deepcopy(msg), pickle.loads(pickle.dumps(msg))):
                self.assertEqual(twin, msg)
                self.assertIsNot(twin, msg)
        msg = _Message(a=1)
        twin = copy.copy(msg)
        twin.a = 2
        self.assertEqual(msg.a, 1)

    def test_setUnknown(self) -> None:
        """Setting a name that the class does not have is refused by name; only a generic message makes a field of it."""
        for msg in (Simple(), Order(id=1)):
            self.assertIn("nota", str(self.assertRaises(UnknownField, setattr, msg, "nota", 1)))
        generic = _Message()
        generic.nota = 1
        self.assertEqual(generic.fields(), {"nota": 1})

    def test_setRefused(self) -> None:
        """Methods, Python's own names are never overwritten."""
        for msg in (Simple(), Order(id=1), _Message()):
            for name in ("toJson", "fields", "__class__", "__dict__", "_values"):
                self.assertRaises(BadMessage, setattr, msg, name, 1)

    def test_privateState(self) -> None:
        """What a class keeps for itself under an underscore is no field."""
        order = Order(id=1)
        order._note_to_self = 3
        self.assertEqual(list(order.fields()), ["id", "note", "tags"])
        self.assertEqual(order._note_to_self, 3)

    def test_attributeAsValue(self) -> None:
        """A field of one message can be given to another."""
        source = _Message(n=3)
        self.assertEqual(Order(id=source.n).fields()["id"], 3)
        order = Order(id=1)
        order.id = source.n
        self.assertIs(type(order.id), int)
        self.assertIs(type(_Message(m=source.n).fields()["m"]), int)

    def test_equality(self) -> None:
        """Messages are equal if class, fields are; not otherwise."""
        self.assertEqual(Order(id=1), Order(id=1))
        self.assertNotEqual(Order(id=1), Order(id=2))
        self.assertNotEqual(Order(id=1), BigOrder(id=1))
        self.assertNotEqual(_Message(id=1), {"id": 1})

    def test_repr(self) -> None:
        """A message shows its fields shortly; the secret of a FURL is not shown."""
        self.assertEqual(repr(Order(id=3)), "Order(id=3, note='', tags=[])")
        self.assertLess(len(repr(_Message(a="x" * 5000))), 100)
        shown = repr(_Message(furl=SECRET, more=[{"deep": SECRET}], text="see " + SECRET + " there"))
        self.assertIn("pb://", shown)
        self.assertNotIn("secret", shown)

    def test_meta(self) -> None:
        """A message knows where it came from once it was received; that is no field."""
        msg = _Message(a=1)
        self.assertIsNone(msg.meta)
        msg.meta = Meta("orders.created", sequence=4)
        assert msg.meta is not None
        self.assertEqual(
            (msg.meta.event, msg.meta.sequence, msg.meta.again, dict(msg.meta.headers)), ("orders.created", 4, False, {})
        )
        self.assertEqual(msg.fields(), {"a": 1})


class TestDeliveryMode(SynchronousTestCase):
    """Who gets a message."""

    def test_levels(self) -> None:
        """The mode is 'all', unless the class, the message, or who creates it says 'one'."""
        self.assertEqual((Order(id=1)._delivery_mode, BigOrder(id=1)._delivery_mode), ("all", "one"))
        for klass in (Simple, Order, None):
            created = MessageBuilder.createMessage(klass, **({"id": 1} if klass is Order else {}), _delivery_mode="one")
            self.assertEqual(created._delivery_mode, "one")

    def test_noField(self) -> None:
        """The mode is no field: neither fields nor JSON have it."""
        msg = _Message(a=1)
        msg._delivery_mode = "one"
        self.assertEqual((msg.fields(), json.loads(msg.toJson())), ({"a": 1}, {"a": 1}))

    def test_asAttribute(self) -> None:
        """An Attribute of that name in `__init__` sets the mode."""

        class One(NodeMessage):
            def __init__(self) -> None:
                Attribute("_delivery_mode", "one")

        self.assertEqual((One()._delivery_mode, One().fields()), ("one", {}))

    def test_refused(self) -> None:
        """Any other mode is refused when it is set, on a message or in a class."""
        for mode in ("direct", "", None, 1, ["one"]):
            self.assertRaises(BadMessage, setattr, _Message(), "_delivery_mode", mode)
            self.assertRaises(BadMessage, MessageBuilder.createMessage, None, _delivery_mode=mode)
            self.assertRaises(BadMessage, type(NodeMessage), "Wrong", (NodeMessage,), {"_delivery_mode": mode})


class TestJson(SynchronousTestCase):
    """The public face of a message."""

    def test_order(self) -> None:
        """The JSON has the fields in order of declaration, without those that start with an underscore."""
        self.assertEqual(Order(id=3, note="ä").toJson(), '{"id": 3, "note": "\\u00e4", "tags": []}')
        self.assertEqual(_Message(a=1, _b=2).toJson(), '{"a": 1}')
        self.assertEqual(_Message().toJson(), "{}")

    def test_types(self) -> None:
        """Decimal is a number, dates are ISO 8601, UUIDs text, an Enum its value, bytes base64."""
        rich = Rich(when=datetime.datetime(2026, 11, 22, 20), key=uuid.UUID(int=1), blob=b"ab", ratio=0.5)
        self.assertEqual(
            rich.toJson(),
            '{"price": 1.50, "when": "2026-11-22T20:00:00", "key": "00000000-0000-0000-0000-000000000001", '
            '"colour": "red", "blob": "YWI=", "ratio": 0.5}',
        )
        self.assertEqual(
            json.loads(_Message(deep=[{"at": datetime.date(2026, 1, 2)}]).toJson()), {"deep": [{"at": "2026-01-02"}]}
        )
        self.assertEqual(RawMessage(b"ab").toJson(), '{"data": "YWI="}')

    def test_refused(self) -> None:
        """NaN, infinity, what JSON does not know are refused, and the field is named."""
        for value in (float("nan"), float("inf"), [float("-inf")], decimal.Decimal("NaN"), object(), {"a": {1j}}):
            self.assertIn("bad", str(self.assertRaises(BadMessage, _Message(good=1, bad=value).toJson)))
        loop: list[Any] = []
        loop.append(loop)
        self.assertRaises(BadMessage, _Message(bad=loop).toJson)

    def test_fromJson(self) -> None:
        """Fields are set from JSON, new ones made; declared ones take their types."""
        simple = Simple()
        simple.fromJson('{"field1": [1, 2], "new": "x"}')
        self.assertEqual((simple.field1, simple.new), ([1, 2], "x"))
        rich = Rich()
        rich.fromJson('{"when": "2026-11-22T20:00:00", "blob": "YWI=", "extra": 1, "_delivery_mode": "one"}')
        self.assertEqual((rich.when, rich.blob, rich.extra), (datetime.datetime(2026, 11, 22, 20), b"ab", 1))
        self.assertEqual(rich._delivery_mode, "all")

    def test_fromJsonRefused(self) -> None:
        """What is no JSON object, or has a wrong value, changes nothing."""
        order = Order(id=1)
        texts = ["", "nope", "[1]", "3", '{"id": "x"}', '{"note": NaN}', '{"note": "new", "id": null}', '{"__class__": 1}']
        for text in [*texts, '{"a": ' + "[" * 100_000]:
            self.assertRaises(BadMessage, order.fromJson, text)
            self.assertEqual(order, Order(id=1))

    @given(st.dictionaries(st.text("abcxyz", min_size=1, max_size=3), st.one_of(st.integers(), st.text(), st.none())))
    @settings(max_examples=50, deadline=None)
    def test_roundTrip(self, fields: dict[str, Any]) -> None:
        """What toJson wrote, fromJson reads."""
        msg, back = MessageBuilder.createMessage(None, **fields), _Message()
        back.fromJson(msg.toJson())
        self.assertEqual(back, msg)


class TestMessageBuilder(SynchronousTestCase):
    """Messages of a class known only at run time."""

    def test_create(self) -> None:
        """The message is one of the class, or generic for None, with the fields given over the defaults."""
        simple = MessageBuilder().createMessage(Simple, field1="x")
        self.assertIsInstance(simple, Simple)
        self.assertEqual((simple.field1, simple.tags), ("x", ["first"]))
        self.assertEqual(MessageBuilder.createMessage(Order, id=1, note="n"), Order(id=1, note="n"))
        self.assertEqual(MessageBuilder.createMessage(None, a=1), _Message(a=1))
        self.assertEqual(MessageBuilder.createMessage(Mixed, id=9, tick=0).fields(), {"id": 9, "note": "none", "tick": 0})

    def test_fieldsOfAnyName(self) -> None:
        """Fields may be named as the builder's own arguments are."""
        fields = {"klass": 1, "self": 2, "cls": 3, "kw": 4, "fields": 5, "meta": 6}
        self.assertEqual(MessageBuilder.createMessage(None, **fields).fields(), fields)

    def test_unknown(self) -> None:
        """An unknown keyword is a KeyError that names it."""
        for klass in (Simple, Order, Mixed):
            error = self.assertRaises(KeyError, MessageBuilder.createMessage, klass, id=1, nota=2)
            self.assertIsInstance(error, UnknownField)

    def test_wrongValue(self) -> None:
        """A wrong type is refused for a class with an `__init__` of its own, too."""
        self.assertRaises(BadMessage, MessageBuilder.createMessage, Mixed, id="x")

    def test_raw(self) -> None:
        """A raw message takes bytes, nothing else."""
        raw = RawMessage(b"\x00\xff")
        self.assertEqual(raw.data, b"\x00\xff")
        raw.data = b"new"
        self.assertEqual(raw, RawMessage(b"new"))
        self.assertRaises(BadMessage, RawMessage, "text")
        self.assertRaises(BadMessage, setattr, raw, "data", "text")
