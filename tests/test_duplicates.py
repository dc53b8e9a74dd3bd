"""Events that were published twice, by what their headers say."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import duplicates
from nodeset.core.batch import NO_HEADERS, RAW_HEADERS, Mode, Outcome, unpackHeaders
from nodeset.core.duplicates import Duplicates
from nodeset.core.headers import dedupOf, makeHeaders, retainedOf, traceparentOf, withTrace
from nodeset.core.inbox import Inbox, makeDelivery
from nodeset.core.message import RawMessage
from nodeset.core.node import Node
from nodeset.core.screen import Screen
from nodeset.core.utils import catch
from nodeset.errors import HandlerFailed
from tests.exchanges import makeRun
from tests.frames import encode
from tests.sites import Boom, Order, RetainedCase, Shop

_anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text(max_size=3), st.floats()),
    lambda inner: st.lists(inner, max_size=3),
)


class HeaderTests(SynchronousTestCase):
    """What goes with the payloads."""

    def test_usual(self) -> None:
        """Events without anything special share their headers, or the absence of any, so that their runs are not looked at."""
        self.assertIs(makeHeaders(False), NO_HEADERS)
        self.assertIs(makeHeaders(True), RAW_HEADERS)

    @given(st.booleans(), st.one_of(st.none(), st.text()), st.integers(0, 9), st.booleans(), st.one_of(st.none(), st.text()))
    def test_roundTrip(self, raw: bool, dedup: str | None, retained: int, handed: bool, trace: str | None) -> None:
        """What is put in comes out again, whether or not it is part of a trace."""
        packed = makeHeaders(raw, dedup, retained, handed)
        headers = unpackHeaders(packed if trace is None else withTrace(packed, trace))
        self.assertEqual((dedupOf(headers), traceparentOf(headers)), (dedup, trace))
        self.assertEqual(retainedOf(headers), (retained, handed and retained > 0))
        self.assertEqual(headers.get("content_type"), "raw" if raw else None)

    @given(_anything)
    def test_nonsense(self, value: Any) -> None:
        """What is not as it should be counts as absent, and troubles nobody."""
        headers = {"dedup": value, "retained": value, "traceparent": value}
        number, _handed = retainedOf(headers)
        self.assertTrue(type(number) is int and number >= 0)
        self.assertTrue(dedupOf(headers) in (None, value) and traceparentOf(headers) in (None, value))
        Duplicates().isNew("s", "ev", headers, 0.0)


class MemoryTests(SynchronousTestCase):
    """`Duplicates` is bounded, in number and time."""

    def test_ids(self) -> None:
        """An id is known for two minutes; of too many the oldest is forgotten."""
        seen = Duplicates()
        self.assertEqual(
            [seen.isNew("s", event, {"dedup": "a"}, 0.0) for event in ("ev", "n@/ev", "other", "ev")],
            [True, False, True, False],
        )
        self.assertFalse(seen.isNew("t", "ev", {"dedup": "a"}, duplicates.MEMORY - 1))
        self.assertTrue(seen.isNew("s", "ev", {"dedup": "a"}, duplicates.MEMORY))
        for number in range(duplicates.MAX_IDS):
            seen.isNew("s", "ev", {"dedup": str(number)}, duplicates.MEMORY)
        self.assertEqual(len(seen), duplicates.MAX_IDS)
        self.assertTrue(seen.isNew("s", "ev", {"dedup": "a"}, duplicates.MEMORY))
        self.assertEqual(len(seen), duplicates.MAX_IDS)

    def test_longIds(self) -> None:
        """An id that is longer than any publisher of ours may give takes no room: such an event is always new."""
        seen = Duplicates()
        self.assertEqual([seen.isNew("s", "ev", {"dedup": "x" * 129}, 0.0) for _ in range(2)], [True, True])
        self.assertEqual(len(seen), 0)

    def test_values(self) -> None:
        """Of the values that one publisher kept only a higher number is new; of too many the longest unseen is forgotten."""
        seen = Duplicates()
        found = [
            seen.isNew(stream, "ev", {"retained": number}, 0.0)
            for stream, number in (("s", 2), ("s", 1), ("s", [2, True]), ("s", 3), ("t", 1))
        ]
        self.assertEqual(found, [True, False, False, True, True])
        for number in range(duplicates.MAX_VALUES):
            seen.isNew("s", f"ev{number}", {"retained": 1}, 0.0)
            seen.isNew("s", "ev", {"retained": 1}, 0.0)
        self.assertEqual(len(seen), duplicates.MAX_VALUES)
        self.assertFalse(seen.isNew("s", "ev", {"retained": 3}, 0.0))
        self.assertTrue(seen.isNew("t", "ev", {"retained": 1}, 0.0))

    def test_oneByOne(self) -> None:
        """Of a run whose events all bear one id, which no publisher of ours sends, the first is shown."""
        inbox = Inbox()
        counters: Counter[str] = Counter()
        screen = Screen(inbox, counters)
        run = makeRun(1, 3, headers=makeHeaders(False, "x"), stream="s")
        inbox.offer([run], 0.0)
        more = screen.look("s", run, 0.0, lambda: True)
        assert more is not None
        self.assertFalse(more())
        inbox.passed("s", 1, 1)
        self.assertIsNone(screen.look("s", run, 0.0, lambda: True))
        self.assertEqual((counters, inbox.head()), ({"duplicate": 2}, None))
        (answer,) = inbox.answers()
        self.assertEqual((answer.ranges, answer.outcome), ([(1, 3)], Outcome.OK))

    def test_hostile(self) -> None:
        """Headers that are none are for the handlers to refuse, once each; nothing breaks before."""
        inbox = Inbox()
        screen = Screen(inbox, Counter())
        for headers in (encode([1]), b"\xc1", encode({1: 2})):
            run = makeRun(1, 1, headers=type(NO_HEADERS)(headers), stream="s", mode=Mode.ALL)
            self.assertIsNotNone(screen.look("s", run, 0.0, lambda: True))
            screen.failed(makeDelivery(run, "s", 0, b""))


class Shaky(Node):
    """Its handler fails when it is told to, and takes its time when it is told to."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.orders: list[int] = []
        self.fails = False
        self.waits: Deferred[None] | None = None

    @catch("orders.created", Order)
    def keep(self, msg: Order) -> Any:
        self.orders.append(msg.id)
        if self.fails:
            raise Boom()
        return self.waits


class DedupTests(RetainedCase):
    """`publish(..., dedup=)`."""

    def test_twice(self) -> None:
        """The second one with an id is not shown, and answered as if it were; whoever publishes it, as whatever."""
        shop, other = self.site.node(Shop), self.site.node(Node)
        for node, number in ((self.pub, 1), (self.pub, 2), (other, 3)):
            self.assertEqual(self.publishes(node, number, dedup="one"), (1, 1, 0))
        self.site.wait(self.pub.publishMessage("orders.created", Order(id=4), dedup="one"))
        self.publishes(self.pub, 5, dedup="two")
        self.publishes(self.pub, 6)
        self.assertEqual((shop.orders, self.count(shop, "duplicate")), ([1, 5, 6], 3))
        self.site.advance(duplicates.MEMORY + 1)
        self.publishes(self.pub, 7, dedup="one")
        self.assertEqual(shop.orders, [1, 5, 6, 7])

    def test_raw(self) -> None:
        """Bytes as they are may bear an id."""
        node = self.subscriber("raw")
        for _ in range(2):
            self.site.wait(self.pub.publishMessage("raw", RawMessage(b"\x00"), dedup="one"))
        ((_event, msg),) = node.heard
        self.assertEqual((msg.data, msg.meta.headers), (b"\x00", {"content_type": "raw", "dedup": "one"}))

    def test_many(self) -> None:
        """Events published at once, each with an id, are told apart."""
        shop = self.site.node(Shop)
        published = [self.pub.publish("orders.created", Order, id=number, dedup=str(number % 5)) for number in range(50)]
        self.assertEqual({self.site.wait(each) for each in published}, {(1, 1, 0)})
        self.assertEqual(shop.orders, [0, 1, 2, 3, 4])

    def test_failed(self) -> None:
        """When the handler of the first one failed, the second one is a new try."""
        node = self.site.node(Shaky)
        node.fails = True
        self.failing(HandlerFailed, self.pub.publish("orders.created", Order, id=1, dedup="one", level="handled"))
        self.flushLoggedErrors(Boom)
        node.fails, node.waits = False, Deferred()
        second = self.pub.publish("orders.created", Order, id=2, dedup="one", level="handled")
        self.site.advance(0.1)
        node.waits.errback(Boom())
        self.failing(HandlerFailed, second)
        self.flushLoggedErrors(Boom)
        node.waits = None
        self.publishes(self.pub, 3, dedup="one")
        self.publishes(self.pub, 4, dedup="one")
        self.assertEqual(node.orders, [1, 2, 3])

    def test_retained(self) -> None:
        """A value may bear an id and be retained; newcomers are handed it."""
        shop = self.site.node(Shop)
        for number in (1, 2):
            self.keeps(number, dedup="one", ttl=60)
        self.assertEqual(shop.orders, [1])
        self.assertEqual(self.heard(self.subscriber("orders.>")), [("orders.created", 2, True)])

    def test_terms(self) -> None:
        """Ids fill no memory of the publisher: what is remembered of calls stays as it was."""
        from nodeset.core.shortcuts import _findTerms

        self.publishes(self.pub, 0)
        before = _findTerms.cache_info().currsize
        for number in range(100):
            self.publishes(self.pub, number, dedup=str(number))
        self.assertLessEqual(_findTerms.cache_info().currsize, before)
