"""Batches and headers, as they are read."""

from __future__ import annotations

import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from nodeset.web.api.batch import MAX_ITEMS, BadBatch, BadItem, readBatch
from nodeset.web.api.wishes import BadWish, CallWishes, PublishWishes, readCallWishes, readKey, readPublishWishes

NOTHING: dict[str, str] = {}
GOOD = b'{"event":"a.b","message": {"x" : 1}}'
BAD = (
    (b"1", "Expected `object`, got `int`"),
    (b"[" * 900 + b"]" * 900, "Expected `object`, got `array`"),
    (b"{}", "missing required field `event`"),
    (b'{"event":1,"message":{}}', "Expected `str`, got `int` at event"),
    (b'{"event":"a","message":{},"delivery":"one"}', "unknown field `delivery`"),
    (b'{"event":"a"}', 'no "message"'),
    (b'{"event":"a","message":{},"base64":""}', '"message" and "base64"'),
    (b'{"event":"a","base64":"no!"}', '"base64" cannot be read'),
    (b'{"event":"a","message":{},"id":7}', "Expected `str | null`, got `int` at id"),
)


class BatchTests(SynchronousTestCase):
    def read(self, body: bytes, lines: bool = False) -> list[object]:
        return [
            str(one) if isinstance(one, BadItem) else (one.event, one.payload, one.raw, one.id)
            for one in readBatch(body, lines)
        ]

    def refused(self, body: bytes, lines: bool = False) -> str:
        return str(self.assertRaises(BadBatch, readBatch, body, lines))

    def test_good(self) -> None:
        """Each event has the bytes that were written for it; base64 is for what is no JSON."""
        items = [GOOD, b' {"event":"c","base64":"AAH/","id":"7"}\n']
        expected = [("a.b", b'{"x" : 1}', False, None), ("c", b"\x00\x01\xff", True, "7")]
        self.assertEqual(self.read(b"[" + b",".join(items) + b"]"), expected)
        self.assertEqual(self.read(b"\r\n".join(items) + b"\n\n", lines=True), expected)

    def test_oneBad(self) -> None:
        """One that is wrong does not stop the others, and it is said why."""
        for text, said in BAD:
            for body, lines in ((b"[%s,%s,%s]" % (GOOD, text, GOOD), False), (b"%s\n%s\n%s" % (GOOD, text, GOOD), True)):
                one, bad, other = self.read(body, lines)
                self.assertEqual(one, ("a.b", b'{"x" : 1}', False, None))
                self.assertEqual(one, other)
                self.assertIn(said, bad)
        self.assertIn("line 1, column 2", str(self.read(GOOD + b"\n{]\n" + GOOD, lines=True)[1]))

    def test_all(self) -> None:
        """What is no batch at all is refused as a whole."""
        self.assertIn("it is empty", self.refused(b""))
        self.assertIn("the batch is empty", self.refused(b"[]"))
        self.assertIn("the batch is empty", self.refused(b"\n \n", lines=True))
        self.assertIn("Expected `array`, got `object`", self.refused(GOOD))
        self.assertIn("line 2, column 1", self.refused(b"[" + GOOD + b",\n}]"))
        self.assertIn("nested too deep", self.refused(b"[" * 100_000))

    def test_count(self) -> None:
        """100 events are a batch, 101 are not, half a million cost nothing."""
        for separator, frame, lines in ((b",", b"[%s]", False), (b"\n", b"%s", True)):
            self.assertEqual(len(readBatch(frame % separator.join([GOOD] * MAX_ITEMS), lines)), MAX_ITEMS)
            self.assertIn("more than 100", self.refused(frame % separator.join([GOOD] * (MAX_ITEMS + 1)), lines))
            many = frame % separator.join([b"1"] * 500_000)
            tracemalloc.start()
            try:
                self.assertIn("more than 100", self.refused(many, lines))
                self.assertLess(tracemalloc.get_traced_memory()[1], 2 * 1024 * 1024)
            finally:
                tracemalloc.stop()
        self.assertIn("more than 100", self.refused(b"\n" * 1_000_000, lines=True))


class WishTests(SynchronousTestCase):
    def test_publish(self) -> None:
        """Headers say how to publish; without any it is the usual way."""
        self.assertEqual(readPublishWishes(NOTHING), PublishWishes("delivered", "all", None, False))
        given = {"nodeset-confirm": "handled", "nodeset-delivery": "one", "nodeset-ttl": "1.5", "nodeset-retain": "true"}
        self.assertEqual(readPublishWishes(given), PublishWishes("handled", "one", 1.5, True))

    def test_wrong(self) -> None:
        """A header with a value that it cannot have is named, with the value."""
        for name, value in (
            ("NodeSet-Confirm", "Delivered"),
            ("NodeSet-Delivery", "some"),
            ("NodeSet-TTL", "0"),
            ("NodeSet-TTL", "-1"),
            ("NodeSet-TTL", "nan"),
            ("NodeSet-TTL", "1e9"),
            ("NodeSet-TTL", "\u0661"),
            ("NodeSet-TTL", "9" * 10),
            ("NodeSet-Retain", "1"),
        ):
            error = self.assertRaises(BadWish, readPublishWishes, {name.lower(): value})
            self.assertEqual(error.status, 400)
            self.assertTrue(str(error).startswith(f"{name} is {value!r}; it must be "), str(error))
        self.assertEqual(self.assertRaises(BadWish, readPublishWishes, {"nodeset-confirm": "durable"}).status, 501)

    def test_call(self) -> None:
        """So do those of a call."""
        self.assertEqual(readCallWishes(NOTHING), CallWishes(None, False))
        given = {"nodeset-timeout": "2", "nodeset-idempotent": "true"}
        self.assertEqual(readCallWishes(given), CallWishes(2.0, True))
        for text in ("soon", "3600.1", "0"):
            self.assertRaises(BadWish, readCallWishes, {"nodeset-timeout": text})

    def test_key(self) -> None:
        """A key is printable ASCII, with quotes around it or without."""
        for text, key in (("a-1", "a-1"), ('"a-1"', "a-1"), ("a b", "a b"), ("x" * 255, "x" * 255)):
            self.assertEqual(readKey({"idempotency-key": text}), key)
        self.assertIs(readKey(NOTHING), None)
        for text in ("", '""', "x" * 256, "a\x00", "ä", " ", "a\tb"):
            self.assertRaises(BadWish, readKey, {"idempotency-key": text})
