"""Many payloads at once are read as each of them by itself."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import datetime
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import codec
from nodeset.core.message import NodeMessage, setOrigin
from nodeset.core.meta import Meta
from nodeset.errors import BadMessage


class Order(NodeMessage):
    id: int
    text: str = ""
    price: float | None = None
    when: datetime | None = None


class Listed(NodeMessage):
    items: list[int]


ODD = [
    b"",
    b" ",
    b"{}{}",
    b"null",
    b'{"id":1',
    b'1,"text":"x"}',
    b'{"id":1}{"id":2}',
    b'{"id":1}\n{"id":2}',
    b'{"id":1,"other":2}',
    b'{"id":1,"__class__":2}',
    b'{"id":"1"}',
    b'{"id":9223372036854775808}',
    b'{"id":1,"price":1e999}',
    b'{"id":1,"text":"\\ud800"}',
    b'{"id":1,"text":"\\udc00x"}',
    b'{"id":1,"text":"\xff"}',
    b'{"id":1,"_delivery_mode":"one"}',
]
GOOD = [
    b'{"id":1}',
    b' {"id" : 1 } ',
    b'{"id":1,"id":2}',
    b'{"\\u0069d":3}',
    b'{"id":1,"text":"\\ud83d\\ude00 \\u005f_ \\"\\\\u005f \\n"}',
    b'{"id":1,"when":"2026-11-22T20:00:00"}',
]


def payloadOf(number: int, text: str) -> bytes:
    return json.dumps({"id": number, "text": text}, ensure_ascii=number % 2 == 0).encode()


PAYLOADS = st.one_of(
    st.builds(payloadOf, st.integers(-99, 99), st.text(st.characters(exclude_categories=["Cs"]), max_size=9)),
    st.sampled_from(GOOD),
    st.sampled_from(ODD),
    st.binary(max_size=9),
)


def readLong(payload: bytes) -> dict[str, Any] | None:
    """What the way without short cuts makes of it."""
    try:
        return codec._decodeObject(payload, Order).fields()
    except (BadMessage, msgspec.MsgspecError, UnicodeDecodeError):
        return None


class ManyTests(SynchronousTestCase):
    def setUp(self) -> None:
        # The class is known from its first message on.
        codec.decode(b'{"id":0}', Order)

    @settings(max_examples=150, deadline=None)
    @given(st.lists(PAYLOADS, max_size=5))
    def test_sameAsOneByOne(self, payloads: list[bytes]) -> None:
        """They are the messages that each payload makes by itself; if one is refused, or has more in it, none is made."""
        alone = [readLong(payload) for payload in payloads]
        messages = codec.decodeMany(payloads, Order)
        if messages is None:
            unusual = [fields is None or not fields.keys() <= Order._shape.names for fields in alone]
            self.assertTrue(any(unusual) or any(b"_delivery_mode" in payload for payload in payloads))
        else:
            self.assertEqual([msg.fields() for msg in messages], alone)
            self.assertEqual({type(msg) for msg in messages} - {Order}, set())

    def test_good(self) -> None:
        """What is merely written in an odd way is read at once."""
        messages = codec.decodeMany(GOOD, Order)
        assert messages is not None
        self.assertEqual([msg.fields() for msg in messages], [readLong(payload) for payload in GOOD])

    def test_odd(self) -> None:
        """One that is wrong, or has fields that the class does not know, leaves all to be read one by one."""
        for payload in ODD:
            self.assertIsNone(codec.decodeMany([GOOD[0], payload], Order), payload)

    def test_otherClasses(self) -> None:
        """A class that takes more than its declared fields to make, or is not known yet, is left to be read one by one."""

        class Unmet(NodeMessage):
            id: int

        codec.decode(b'{"items":[1]}', Listed)
        self.assertIsNone(codec.decodeMany([b'{"items":[1]}'], Listed))
        self.assertIsNone(codec.decodeMany([b'{"id":1}'], Unmet))

    def test_apart(self) -> None:
        """Messages made together have nothing in common."""
        messages = codec.decodeMany([b'{"id":1}', b'{"id":1}'], Order)
        assert messages is not None
        one, other = messages
        one.id = 2
        self.assertEqual((one.id, other.id), (2, 1))
        self.assertIsNone(one.meta)


class OriginTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.first = Meta("orders.created", "stream", 7, True)
        self.msg = Order(id=1)
        setOrigin(self.msg, (self.first, 9))

    def test_meta(self) -> None:
        """A message of a run has a meta of its own, the same one at each look."""
        self.assertEqual(self.msg.meta, Meta("orders.created", "stream", 9, True))
        self.assertIs(self.msg.meta, self.msg.meta)

    def test_copies(self) -> None:
        """A copy came as its original did, however it is copied."""
        for made in (copy.copy(self.msg), copy.deepcopy(self.msg), pickle.loads(pickle.dumps(self.msg))):
            self.assertEqual((made, made.meta), (self.msg, Meta("orders.created", "stream", 9, True)))
        self.assertIsNone(copy.deepcopy(Order(id=1)).meta)

    def test_ownNames(self) -> None:
        """What a class of one's own keeps under whatever private name says nothing of whence it came."""
        self.msg._origin = "mine"
        self.assertEqual((self.msg._origin, self.msg.meta), ("mine", Meta("orders.created", "stream", 9, True)))

    def test_noField(self) -> None:
        """Whence it came is no field: it is not sent, nor can a field bear its name."""
        self.assertEqual(self.msg.fields(), {"id": 1, "text": "", "price": None, "when": None})
        self.assertEqual(codec.encode(self.msg), codec.encode(Order(id=1)))
        self.assertRaises(BadMessage, type(NodeMessage), "Wrong", (NodeMessage,), {"__annotations__": {"meta": int}})
