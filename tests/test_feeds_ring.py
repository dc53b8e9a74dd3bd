"""What is kept for clients that come back, how events are written for them."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.web.feeds.formats import Batch, Scribe, batches, syntaxOf
from nodeset.web.feeds.latest import Latest
from nodeset.web.feeds.ring import EXPIRED, OTHER_EPOCH, UNKNOWN, Bounds, Ring, readId

EPOCH = "0a1b2c3d4e"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def ringOf(sizes: list[int], **bounds: Any) -> Ring:
    """A ring that took events of so many bytes of payload, one a second."""
    ring, scribe = Ring(EPOCH, Bounds(**bounds)), Scribe(EPOCH)
    for number, size in enumerate(sizes, 1):
        ring.add(scribe.event(number, float(number), "e", 0.0, b"1" * (size + 1)))
    return ring


class RingTests(SynchronousTestCase):
    @given(st.lists(st.integers(0, 300), max_size=40), st.integers(1, 20), st.integers(100, 4000), st.integers(0, 50))
    def test_resume(self, sizes: list[int], most: int, size: int, seen: int) -> None:
        """Who comes back gets all events behind the one that it saw, in order, or is told that some are missing."""
        ring = ringOf(sizes, events=most, size=size)
        entries, gap = ring.resume(ring.idOf(seen))
        numbers = [entry.number for entry in entries]
        if seen > len(sizes):
            self.assertEqual(gap, UNKNOWN)
        elif not gap:
            self.assertEqual(numbers, list(range(seen + 1, len(sizes) + 1)))
        else:
            self.assertEqual(gap, EXPIRED)
            self.assertGreater(ring.first, seen + 1)
            self.assertEqual(numbers, list(range(ring.first, len(sizes) + 1)))

    @given(st.lists(st.integers(0, 300), max_size=40), st.integers(1, 20), st.integers(100, 4000), st.floats(0, 50))
    def test_bounds(self, sizes: list[int], most: int, size: int, now: float) -> None:
        """No more is kept than the bounds say, by number, bytes, age; the count of bytes is right."""
        ring = ringOf(sizes, events=most, size=size, age=10.0)
        ring.trim(now)
        kept = ring.after(0)
        self.assertLessEqual(len(kept), most)
        self.assertLessEqual(ring.size, size)
        self.assertEqual(ring.size, sum(entry.size for entry in kept))
        self.assertTrue(all(entry.at >= now - 10.0 for entry in kept))
        ring.shrink(size // 2)
        self.assertLessEqual(ring.size, size // 2)
        self.assertEqual(ring.last, len(sizes))

    def test_others(self) -> None:
        """An id of another epoch is a gap, behind which comes all that is kept; so is one that is none."""
        ring = ringOf([1, 1])
        self.assertEqual([ring.resume("ffff-1")[1], len(ring.resume("ffff-1")[0])], [OTHER_EPOCH, 2])
        for text in (
            "",
            "x",
            EPOCH,
            f"{EPOCH}-",
            f"{EPOCH}--1",
            f"{EPOCH}-01",
            f"{EPOCH}-9" + "9" * 4000,
            f"{EPOCH}-1\n",
            "-1",
        ):
            self.assertEqual((text, ring.resume(text)[1]), (text, UNKNOWN))

    @given(st.text())
    def test_garbage(self, text: str) -> None:
        """Whatever a client sends as an id is an id or none, never an error."""
        found = readId(text)
        self.assertTrue(found is None or f"{found[0]}-{found[1]}" == text)


class FormatTests(SynchronousTestCase):
    @given(JSON, st.booleans(), st.text(min_size=1).filter(str.isprintable))
    def test_json(self, value: Any, indented: bool, event: str) -> None:
        """JSON comes as what it is, in one line, in each form the same, whatever is in it."""
        payload = msgspec.json.format(msgspec.json.encode(value), indent=2 if indented else 0)
        entry = Scribe(EPOCH).event(17, 0.0, event, 1.5, payload)
        expected = {"id": f"{EPOCH}-17", "event": event, "at": 1.5, "message": msgspec.json.decode(payload)}
        self.assertEqual(msgspec.json.decode(entry.json), expected)
        self.assertEqual(entry.line, entry.json + b"\n")
        self.assertEqual(entry.sse, b"id: %b-17\ndata: %b\n\n" % (EPOCH.encode(), entry.json))
        self.assertFalse({13, 10} & set(entry.json))
        self.assertEqual(entry.id, f"{EPOCH}-17")

    @given(st.binary(), st.booleans())
    def test_bytes(self, payload: bytes, raw: bool) -> None:
        """Bytes that are no JSON, or are said to be raw, come as base64; no bytes can end their event or begin another."""
        entry = Scribe(EPOCH).event(1, 0.0, "e", 0.0, payload, raw)
        self.assertEqual(entry.sse.count(b"\n"), 3)
        self.assertNotIn(b"\r", entry.sse)
        told = msgspec.json.decode(entry.json)
        if raw or syntaxOf(payload) is None:
            self.assertEqual(base64.b64decode(told["base64"]), payload)
        else:
            self.assertEqual(told["message"], msgspec.json.decode(payload))

    def test_odd(self) -> None:
        """What looks like JSON but is none does not pass as it: half of it, text that is no UTF-8, too deep a nest."""
        for payload in (b"", b'{"a":1', b'"\xff"', b'{"a":1}x', b"NaN", b"[" * 5000 + b"]" * 5000, b'"\n"', b"\xef\xbb\xbf{}"):
            self.assertIsNone(syntaxOf(payload), payload[:20])
        self.assertEqual(syntaxOf(b'{\r\n "a": [1,\n2]}'), b'{"a":[1,2]}')

    def test_gap(self) -> None:
        """A gap has an id of its own, so that who comes back with it does not hear of it again."""
        entry = Scribe(EPOCH).gap(3, 0.0, "link")
        ident = f"{EPOCH}-3"
        self.assertEqual(entry.sse.decode(), f'id: {ident}\nevent: nodeset.gap\ndata: {{"reason":"link","id":"{ident}"}}\n\n')
        self.assertEqual(msgspec.json.decode(entry.line), {"gap": {"reason": "link", "id": f"{EPOCH}-3"}})

    @given(st.lists(st.integers(0, 200), max_size=20), st.integers(50, 500))
    def test_batches(self, sizes: list[int], most: int) -> None:
        """A long turn is several batches, of no more bytes than they may have but for a single event, nothing lost."""
        entries = ringOf(sizes).after(0)
        parts = list(batches(entries, most))
        self.assertTrue(all(part.size <= most or len(part) == 1 for part in parts))
        self.assertEqual(b"".join(part.sse for part in parts), Batch(tuple(entries)).sse)


class LatestTests(SynchronousTestCase):
    def test_newest(self) -> None:
        """The newest value of each event is known, in the order in which they came, up to a number of the feed."""
        latest, scribe = Latest(Bounds(events=2)), Scribe(EPOCH)
        for number, event in enumerate(["a", "b", "a"], 1):
            latest.put(event, scribe.event(number, 0.0, event, 0.0, b"1"))
        self.assertEqual([entry.number for entry in latest.upTo(9)], [2, 3])
        self.assertEqual([entry.number for entry in latest.upTo(2)], [2])
        latest.put("c", scribe.event(4, 0.0, "c", 0.0, b"1"))
        self.assertEqual([entry.number for entry in latest.upTo(9)], [3, 4])
        latest.clear()
        self.assertEqual((len(latest), latest.size), (0, 0))
