"""Payloads that somebody else has written."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import codec
from nodeset.core.message import RawMessage
from nodeset.core.node import Node
from nodeset.errors import BadMessage, InvalidAddressing, LocalError, MessageTooLarge, NodeSetError
from nodeset.testing import Site

#: A payload with a part of what is said of it; nothing for one that is right.
SAID: list[tuple[bytes, str]] = [
    (b"{}", ""),
    (b' \r\n{"a": [1, {"b": null}]}\n', ""),
    (b'{"a":-9223372036854775808,"b":9223372036854775807}', ""),
    (b'{"a":"\\ud83d\\ude00"}', ""),
    (b'{"a":' + b"[" * 31 + b"]" * 31 + b"}", ""),
    (b'{"a":"' + b"[" * 99 + b'"}', ""),
    (b"", "it is empty"),
    (b"{", "it ends too soon"),
    (b'{"a":1}x', "trailing characters at line 1, column 9"),
    ('{"ä": 1,\n "ää": }'.encode(), "invalid character at line 2, column 8"),
    (b'{"a":NaN}', "invalid character at line 1, column 6"),
    (b'{"a":Infinity}', "invalid character at line 1, column 6"),
    (b'{"a":1e999}', "out of range"),
    (b"[1]", "Expected `object`, got `array`"),
    (b"null", "Expected `object`, got `null`"),
    (b'{"a":"\xff"}', "no UTF-8 at line 1, column 7"),
    (b'{"a":"\\ud800"}', "half a character"),
    (b"\xef\xbb\xbf{}", "invalid character at line 1, column 1"),
    (b'{"a":9223372036854775808}', "a is an int beyond 64 bits"),
    (b'{"a":{"b":[1,99999999999999999999]}}', "a.b[1] is an int beyond 64 bits"),
    (b'{"__a":1}', "no field can be named '__a'"),
    (b'{"\\u005f_a":1}', "no field can be named '__a'"),
    (b'{"_delivery_mode":"one"}', "say it beside the message"),
    (b'{"\\u005fdelivery_mode":"one"}', "say it beside the message"),
    (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", "nested deeper than 32"),
    (b'{"a":' * 100_000, "nested deeper than 32"),
]


def complaint(payload: bytes) -> str:
    """What is said of a payload."""
    try:
        codec.checkPayload(payload)
    except BadMessage as error:
        return str(error)
    return ""


class CheckTests(SynchronousTestCase):
    def test_said(self) -> None:
        """What is wrong with a payload is said in one line, with the place."""
        for payload, said in SAID:
            found = complaint(payload)
            self.assertIn(said, found, payload[:40])
            self.assertEqual((bool(found), "\n" in found, len(found) < 200), (bool(said), False, True), payload[:40])

    def test_size(self) -> None:
        """A payload of 1 MiB passes, one byte more does not."""
        frame = len(b'{"a":""}')
        codec.checkPayload(b'{"a":"%s"}' % (b"x" * (codec.MAX_EVENT - frame)))
        self.assertRaises(MessageTooLarge, codec.checkPayload, b'{"a":"%s"}' % (b"x" * (codec.MAX_EVENT - frame + 1)))

    @settings(max_examples=200, deadline=None)
    @given(
        st.one_of(
            st.binary(max_size=60),
            st.text('{}[]":,\\u05fd_a1e-. ', max_size=30).map(str.encode),
            st.text('{}[]":,\\u05fd_a1e-. ', max_size=30).map(lambda text: b'{"a":%s}' % text.encode()),
        )
    )
    def test_asReceivers(self, payload: bytes) -> None:
        """What passes can be read by whoever gets it, what does not pass cannot."""
        try:
            codec.decode(payload)
            readable = True
        except NodeSetError:
            readable = False
        found = complaint(payload)
        if "_delivery_mode" not in found:
            self.assertEqual(not found, readable, found)


class PublishTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.site = Site.forTest(self)
        self.node = self.site.node(Node, name="publisher")

    def publish(self, payload: bytes, **options: Any) -> Any:
        return self.site.wait(self.node.publishPayload("orders.created", payload, **options))

    def test_asItIs(self) -> None:
        """A payload goes its way byte for byte; receivers have its fields as of any other message."""
        heard, raw = self.site.listen("orders.*"), self.site.listen("orders.*", msgClass=RawMessage)
        self.assertEqual(self.publish(b'{ "id" : 1 }', level="handled"), (2, 2, 0))
        self.assertEqual(heard.heard[0].fields(), {"id": 1})
        self.assertEqual(raw.heard[0].data, b'{ "id" : 1 }')
        self.assertEqual(heard.heard[0].meta.headers, {})

    def test_options(self) -> None:
        """Mode, id, life, retention are those of any publish."""
        heard = [self.site.listen("orders.*") for _ in range(2)]
        self.assertEqual(self.publish(b'{"id":1}', mode="one"), (1, 1, 0))
        self.assertEqual(sum(len(one.heard) for one in heard), 1)
        for _ in range(2):
            self.assertEqual(self.publish(b'{"id":2}', dedup="two"), (2, 2, 0))
        self.assertEqual(sum(len(one.heard) for one in heard), 3)
        self.publish(b'{"id":3}', retain=True, ttl=60)
        late = self.site.listen("orders.created")
        self.site.advance(0.2)
        self.assertEqual([message.fields() for message in late.heard], [{"id": 3}])

    def test_refused(self) -> None:
        """What is wrong is said at once, nothing is sent."""
        for payload, options, error in (
            (b"[]", {}, BadMessage),
            (b"{}", {"mode": "some"}, LocalError),
            (b"{}", {"level": "durable"}, LocalError),
            (b"{}", {"ttl": -1.0}, LocalError),
            (b"{}", {"dedup": ""}, LocalError),
            (b"{}", {"retain": True, "mode": "one"}, LocalError),
        ):
            self.assertRaises(error, self.node.publishPayload, "orders.created", payload, **options)
        self.assertRaises(InvalidAddressing, self.node.publishPayload, "orders.*", b"{}")
