"""What is said when a link is opened."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import MAX_EVENTS, MAX_HELLO, MAX_RANGES, Held, Keep, Mode, Policy, Sub
from nodeset.core.hello import Hello, Opened, fitted, packHello, packOpened, unpackHello, unpackOpened
from nodeset.core.inbox import Inbox
from nodeset.errors import MessageTooLarge, ProtocolError
from tests.exchanges import makeRun
from tests.frames import Mutation, encode, mutations, naturals, ranges, survives, texts

subs = st.builds(Sub, texts, st.booleans(), st.sampled_from(Policy), st.integers(1, 99), st.integers(1, 99))


def _good() -> dict[str, Any]:
    return {"stream": "s" * 16, "name": "n", "host": "h"}


class HelloTests(SynchronousTestCase):
    @given(naturals, texts, st.lists(subs, max_size=3), st.lists(st.tuples(texts, ranges, ranges), max_size=3))
    @settings(max_examples=50, deadline=None)
    def test_roundTrip(self, number: int, text: str, wanted: list[Sub], holds: list[tuple[str, Any, Any]]) -> None:
        """A hello with its answer arrive as they were sent: subscriptions with their limits, events that are held."""
        hello = Hello("s" * 16, text, "h", 1, number, ["x"], wanted, holds, "boot", "software")
        self.assertEqual(unpackHello(packHello(hello)), hello)
        opened = Opened("boot", 1, True, ["events"], number, number, [("ev", text)], "software")
        self.assertEqual(unpackOpened(packOpened(opened)), opened)

    def test_unknownKeys(self) -> None:
        """A hello or an answer of a later version, with keys that we do not know, is accepted."""
        later = _good() | {"mood": ["good", {"very": 1}], "low": 1, "high": 9}
        hello = unpackHello(encode(later))
        self.assertEqual((hello.name, hello.low, hello.high, hello.features), ("n", 1, 9, []))
        self.assertEqual((hello.subscriptions, hello.holds, hello.boot), ([], [], ""))
        answer = unpackOpened(encode({"boot": "b", "version": 1, "mood": None}))
        self.assertEqual((answer.boot, answer.known, answer.refused), ("b", False, []))

    def test_fitted(self) -> None:
        """What a hello has no room for is left out of it, to be said later: nothing of it is lost, nothing said twice."""
        small = Hello(**_good(), subscriptions=[Sub("ev")], holds=[("s", [(1, 2)], [])])
        self.assertEqual(fitted(small), (packHello(small), []))
        wanted = [Sub(f"{number}.{'x' * 100}") for number in range(5_000)]
        apart = [(number, number) for number in range(1, 2 * MAX_RANGES, 2)]
        holds: list[tuple[str, Any, Any]] = [(f"stream{number}", apart, apart) for number in range(20)]
        kept = [f"{number}.{'y' * 300}" for number in range(5_000)]
        packed, rest = fitted(Hello(**_good(), subscriptions=wanted, holds=holds, retained=kept))
        hello = unpackHello(packed)
        held = [(one.stream, one.begun, one.unbegun) for one in rest if isinstance(one, Held)]
        self.assertEqual(hello.holds + held, holds)
        self.assertEqual(hello.retained + [one.event for one in rest if isinstance(one, Keep) and one.rest], kept)
        packed, rest = fitted(Hello(**_good(), retained=kept))
        self.assertEqual(unpackHello(packed).retained + [one.event for one in rest if isinstance(one, Keep)], kept)
        self.assertTrue(rest)
        self.assertTrue(hello.holds)
        self.assertEqual(hello.subscriptions, wanted)
        with self.assertRaises(MessageTooLarge):
            fitted(Hello(**_good(), subscriptions=wanted * 3, holds=holds))

    def test_refused(self) -> None:
        """A hello without its fields, with a stream id that one could guess, too large, or no bytes, is refused."""
        good = _good()
        self.assertTrue(survives(unpackHello, encode(good)))
        for change in (
            {"stream": "s" * 15},
            {"stream": "s" * 65},
            {"stream": b"s" * 16},
            {"name": None},
            {"name": "n" * 801},
            {"low": -1},
            {"subscriptions": [["ev"]]},
            {"subscriptions": ["ev"]},
            {"subscriptions": [[4, "ev", 1]]},
            {"subscriptions": [[4, "ev", True, 9]]},
            {"subscriptions": [[4, "ev", True, 0, 0]]},
            {"subscriptions": [[5, "ev"]]},
            {"subscriptions": {"ev": True}},
            {"holds": [["s", []]]},
            {"holds": [["s" * 65, [], []]]},
            {"holds": [["s", [[1, -1]], []]]},
            {"holds": [["s", [[1]], []]]},
            {"holds": [["s", [], [[1, 2**63]]]]},
            {"holds": [["s", [[1, 1]] * (MAX_RANGES + 1), []]]},
            {"features": [1]},
            {"boot": "b" * 65},
            {"software": "s" * 801},
        ):
            self.assertFalse(survives(unpackHello, encode(good | change)), change)
        for key in good:
            self.assertFalse(survives(unpackHello, encode({k: v for k, v in good.items() if k != key})), key)
        for nothing in (b"", b"\xc0", encode(list(good)), encode(good)[:-1], encode(good) + b"\x00"):
            self.assertFalse(survives(unpackHello, nothing), nothing)
            self.assertFalse(survives(unpackOpened, nothing), nothing)
        text: Any = "text"
        self.assertFalse(survives(unpackHello, text))
        self.assertFalse(survives(unpackHello, encode(good | {"more": b"x" * MAX_HELLO})))

    def test_tooMany(self) -> None:
        """Who subscribes to more than a hello can say is told so, with the figures."""
        many = Hello("s" * 16, "n", "h", subscriptions=[Sub("e" * 250 + str(number)) for number in range(5000)])
        error = self.assertRaises(MessageTooLarge, packHello, many)
        self.assertIn("5000 subscriptions", str(error))

    def test_manyHolds(self) -> None:
        """A worker that holds every other event of many, as one slow one may cause, can still open a link."""
        box = Inbox(max_events=10**6)
        for first in range(1, 4 * MAX_EVENTS, 2):
            box.offer([makeRun(first, stream="publisher", mode=Mode.ONE)], 0.0)
        hello = unpackHello(packHello(Hello("s" * 16, "n", "h", holds=box.holds())))
        self.assertGreater(len(hello.holds), 1)
        spans = [span for _stream, begun, unbegun in hello.holds for span in (*begun, *unbegun)]
        held = [number for first, last in spans for number in range(first, last + 1)]
        self.assertEqual(held, list(range(1, 4 * MAX_EVENTS, 2)))


class HostileTests(SynchronousTestCase):
    @given(mutations)
    @settings(max_examples=100, deadline=None)
    def test_mutated(self, mutated: list[Mutation]) -> None:
        """Cut, changed or lengthened anywhere, a hello or its answer is read or refused with a ProtocolError, nothing else."""
        held = [("s", [(1, 2)], [(3, 3)])]
        hello = packHello(Hello("s" * 16, "n", "h", features=["events"], subscriptions=[Sub("ev")], holds=held))
        opened = packOpened(Opened("boot", 1, features=["events"], refused=[("ev", "why")]))
        for mutation in mutated:
            hello, opened = mutation(hello), mutation(opened)
        survives(unpackHello, hello)
        survives(unpackOpened, opened)

    @given(st.binary(max_size=60))
    @settings(max_examples=100, deadline=None)
    def test_anyBytes(self, data: bytes) -> None:
        """Whatever bytes come, they are taken or refused with a ProtocolError."""
        for read in (unpackHello, unpackOpened):
            survives(read, data)

    def test_counts(self) -> None:
        """A count of two thousand million without the items, arrays a million deep: refused, at no cost."""
        keys = [(unpackHello, key) for key in (b"subscriptions", b"features", b"holds")]
        for read, key in [*keys, (unpackOpened, b"refused")]:
            before = b"\x81" + bytes([0xA0 + len(key)]) + key
            for bomb in (b"\xdd\xff\xff\xff\xff", b"\xdf\x7f\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\x91" * 900_000):
                self.assertFalse(survives(read, before + bomb))
                self.assertFalse(survives(read, before + bomb + b"\xc0"))

    def test_secrets(self) -> None:
        """A refusal says nothing of what was in the hello: it is somebody's."""
        spoilt = encode(_good() | {"stream": "top secret stream id", "low": -1})
        error = self.assertRaises(ProtocolError, unpackHello, spoilt)
        self.assertNotIn("secret", str(error))
