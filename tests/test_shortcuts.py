"""What is known of publish calls that were made before: quicker, else no different."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import codec, shortcuts
from nodeset.core.batch import RAW_HEADERS, TARGET, Level, Mode
from nodeset.core.message import Attribute, NodeMessage, RawMessage
from nodeset.core.node import Node
from nodeset.core.shortcuts import Shortcuts, findTerms
from nodeset.errors import (
    BadMessage,
    InvalidAddressing,
    LocalError,
    MessageTooLarge,
    NotRunning,
    Overloaded,
    Receipt,
    UnknownField,
)
from nodeset.testing import Site


class Order(NodeMessage):
    """What most shops publish."""

    id: int
    text: str = ""


class Named(NodeMessage):
    """Some of its fields bear the names of arguments of publish."""

    id: int
    level: str = "low"
    timeout: float = 1.0
    wait: bool = True


class Timed(NodeMessage):
    """Has a field that is the name of an argument to come."""

    ttl: int = 0
    id: int = 0


class Listed(NodeMessage):
    """Takes more than its types to check."""

    items: list[int] = []


class Fancy(NodeMessage):
    """Older style: a field that is an attribute."""

    id = Attribute("id")


class Case(SynchronousTestCase):
    """Nodes without a dispatcher: what they publish stays in their outbox."""

    def setUp(self) -> None:
        self.site = Site(start=False)
        self.node = self.site.node(Node)
        # Both its class and its arguments are known from now on.
        for _ in range(2):
            self.quiet(self.node.publish("ev", Order, id=1))
        self.taken()

    def quiet(self, published: Deferred[Any]) -> None:
        """Nobody looks at what becomes of it."""
        published.addErrback(lambda failure: None)

    def taken(self, node: Node | None = None) -> list[tuple[str, int, Mode, bytes]]:
        """What was published since: name, how many, mode, payloads."""
        peer = (node or self.node)._peer
        assert peer is not None
        runs = []
        while batch := peer.publisher._outbox.take(TARGET):
            runs += batch
        return [(run.event, len(run.lengths), run.mode, run.payloads) for run in runs]

    def tell(self, node: Node, call: Callable[[Node], Deferred[Any]]) -> tuple[object, ...]:
        """What becomes of this call: what it raises, else what it publishes."""
        try:
            self.quiet(call(node))
        except Exception as error:
            return type(error), str(error), self.taken(node)
        return tuple(self.taken(node))


class RefusalTests(Case):
    def one(self, error: type[Exception] | None, *args: Any, **options: Any) -> None:
        """`publish` ends alike."""
        self.same(lambda node: node.publish(*args, **options), error)

    def many(self, error: type[Exception] | None, *args: Any, **options: Any) -> None:
        """`publishMany` ends alike."""
        self.same(lambda node: node.publishMany(*args, **options), error)

    def same(self, call: Callable[[Node], Deferred[Any]], error: type[Exception] | None) -> None:
        """The call ends alike at a node that knows such calls, at one that never met one."""
        first = self.tell(self.site.node(Node), call)
        self.assertEqual(self.tell(self.node, call), first)
        self.assertEqual(self.tell(self.node, call), first)
        if error is None:
            self.assertNotEqual(first, ())
        else:
            self.assertIs(first[0], error)
            self.assertEqual(first[2], [], "nothing is published")

    def test_remembered(self) -> None:
        """The call that all others here differ from is remembered."""
        self.assertEqual(list(self.node._shortcuts), [("ev", Order)])
        self.one(None, "ev", Order, id=7, text="seven")

    def test_values(self) -> None:
        """Values of wrong types, too large, missing, unknown or with no way into JSON are refused."""
        wrong: list[dict[str, Any]] = [
            {"id": "1"},
            {"id": 1.5},
            {"id": None},
            {"id": True},
            {"id": 1 << 64},
            {},
            {"id": 1, "text": b"bytes"},
            {"id": 1, "text": "\ud800"},
            {"id": [1]},
        ]
        for fields in wrong:
            self.one(BadMessage, "ev", Order, **fields)
            self.many(BadMessage, "ev", Order, [{"id": 1}, fields])
        self.one(UnknownField, "ev", Order, id=1, other=2)
        self.many(UnknownField, "ev", Order, [{"id": 1}, {"id": 2, "other": 2}])

    def test_large(self) -> None:
        """A payload over 1 MiB is refused; one that just fits is not."""
        self.one(MessageTooLarge, "ev", Order, id=1, text="x" * codec.MAX_EVENT)
        items = [{"id": 1}, {"id": 1, "text": "x" * codec.MAX_EVENT}]
        self.many(MessageTooLarge, "ev", Order, items)
        self.one(None, "ev", Order, id=1, text="x" * (codec.MAX_EVENT - len('{"id":1,"text":""}')))

    def test_reserved(self) -> None:
        """A wrong `ttl`, `retain` or `dedup` is refused, whether or not such a field is one of the class."""
        self.quiet(self.node.publish("ev", Timed, id=1))
        self.taken()
        for name, wrong in (("ttl", 0), ("retain", 1), ("dedup", "")):
            self.one(LocalError, "ev", Order, id=1, **{name: wrong})
            self.one(LocalError, "ev", Timed, **{name: wrong})

    def test_optionsAndFields(self) -> None:
        """What bears the name of an argument is the argument, whatever fields the class has, whatever was published before."""
        self.quiet(self.node.publish("ev", Named, id=1))
        self.quiet(self.node.publishMany("ev", Named, [{"id": 1}]))
        self.taken()
        self.one(LocalError, "ev", Named, id=1, level="bogus")
        self.one(LocalError, "ev", Named, id=1, timeout=-1)
        self.one(None, "ev", Named, id=1, wait=False)
        self.many(None, "ev", Named, [{"id": 1, "level": "info", "timeout": 2.0, "wait": False}])
        self.quiet(self.node.publish("ev", Named, id=1, level="handled", timeout=5.0))
        self.assertEqual(self.taken()[0][3], b'{"id":1,"level":"low","timeout":1.0,"wait":true}')

    def test_attribute(self) -> None:
        """An Attribute is its value, as it is on the long way."""
        self.one(None, "ev", Order, id=Attribute("id", 3))
        self.many(None, "ev", Order, [{"id": Attribute("id", 3)}])
        for _ in range(2):
            self.one(None, "ev", Fancy, id=3)

    def test_arguments(self) -> None:
        """An address that is none, a pattern, a class, a level, a time-out that is none are refused, hashable or not."""
        addresses: list[Any] = ["ev.*", ">", "", "a b", "x" * 900, None, 7, ["ev"], {"ev"}]
        for address in addresses:
            self.one(InvalidAddressing, address, Order, id=1)
            self.many(InvalidAddressing, address, Order, [{"id": 1}])
        classes: list[Any] = [int, "Order", Order(id=1), [Order], {}]
        for msg_class in classes:
            self.one(BadMessage, "ev", msg_class, id=1)
            self.many(BadMessage, "ev", msg_class, [{"id": 1}])
        levels: list[Any] = ["sure", None, 1, ["delivered"]]
        for level in levels:
            self.one(LocalError, "ev", Order, level=level, id=1)
            self.many(LocalError, "ev", Order, [{"id": 1}], level=level)
        timeouts: list[Any] = [0, -1, float("inf"), float("nan"), "60", [60]]
        for timeout in timeouts:
            self.one(LocalError, "ev", Order, timeout=timeout, id=1)
            self.many(LocalError, "ev", Order, [{"id": 1}], timeout=timeout)

    def test_equalTimeouts(self) -> None:
        """A time-out that merely equals one that is known is judged by itself."""
        self.quiet(self.node.publish("ev", Order, timeout=60, id=1))
        self.taken()
        alike: list[Any] = [Decimal(60), Fraction(60), 60 + 0j]
        for timeout in alike:
            self.one(LocalError, "ev", Order, timeout=timeout, id=1)
            self.many(LocalError, "ev", Order, [{"id": 1}], timeout=timeout)
        self.one(None, "ev", Order, timeout=60.0, id=1)

    def test_mode(self) -> None:
        """The class's delivery mode counts as it is now; a mode among the fields goes before it, for that event."""
        self.one(None, "ev", Order, id=1, _delivery_mode="one")
        self.one(BadMessage, "ev", Order, id=1, _delivery_mode="some")
        for mode in ("one", "all", "on" + "e"):
            self.patch(Order, "_delivery_mode", mode)
            self.one(None, "ev", Order, id=1)
            self.many(None, "ev", Order, [{"id": 1}, {"id": 2}])
            self.quiet(self.node.publish("ev", Order, id=1))
            self.assertEqual(self.taken()[0][2].name.lower(), mode)
        self.patch(Order, "_delivery_mode", "both")
        self.one(BadMessage, "ev", Order, id=1)
        self.many(BadMessage, "ev", Order, [{"id": 1}])

    def test_items(self) -> None:
        """What is no list of fields is refused; whatever can be read once is read once."""
        wrong: list[Any] = [None, 7, [7], [None], ["id"], [[("id", 1)]], {"id": 1}]
        for items in wrong:
            first, known = ([self._try(node, items) for _ in range(2)] for node in (self.site.node(Node), self.node))
            self.assertEqual(known, first)
            self.assertEqual(self.taken(), [])

    def _try(self, node: Node, items: Any) -> tuple[type[Exception], str]:
        error = self.assertRaises((TypeError, AttributeError, LocalError), node.publishMany, "ev", Order, items)
        return type(error), str(error)

    def test_stopped(self) -> None:
        """A node that stopped refuses what it would else know."""
        self.node.stopService()
        self.site.advance(11.0)
        self.failureResultOf(self.node.publish("ev", Order, id=1), NotRunning)
        self.failureResultOf(self.node.publishMany("ev", Order, [{"id": 1}]), NotRunning)


class ManyTests(Case):
    def test_atAll(self) -> None:
        """An error at any one of many leaves none of them published."""
        for at in (0, 500, 999):
            items: list[dict[str, Any]] = [{"id": number} for number in range(1000)]
            items[at] = {"id": "text"}
            self.assertRaises(BadMessage, self.node.publishMany, "ev", Order, items)
            self.assertRaises(BadMessage, self.node.publishMany, "ev", Order, iter(items))
        self.assertEqual(self.taken(), [])

    def test_generator(self) -> None:
        """A generator is read to its end, once; its own errors are its caller's, with nothing published."""
        self.quiet(self.node.publishMany("ev", Order, ({"id": number} for number in range(3))))
        self.assertEqual(self.taken(), [("ev", 3, Mode.ALL, b'{"id":0,"text":""}{"id":1,"text":""}{"id":2,"text":""}')])

        def broken() -> Any:
            yield {"id": 1}
            raise KeyError("mine")

        self.assertRaises(KeyError, self.node.publishMany, "ev", Order, broken())
        self.assertEqual(self.taken(), [])

    def test_empty(self) -> None:
        """None at all are answered at once, with nothing published, known or not."""
        for node in (self.node, self.site.node(Node)):
            self.assertEqual(self.successResultOf(node.publishMany("ev", Order, [])), Receipt(0, 0, 0))
            self.assertEqual(self.taken(node), [])

    def test_modes(self) -> None:
        """Some to all, some to one: each goes its way, in order, and is not remembered as the way of all."""
        items: list[dict[str, Any]] = [
            {"id": 1},
            {"id": 2, "_delivery_mode": "one"},
            {"id": 3, "_delivery_mode": "one"},
            {"id": 4},
        ]
        for _ in range(2):
            self.quiet(self.node.publishMany("ev", Order, items))
            self.assertEqual(
                [(count, mode) for _, count, mode, _ in self.taken()], [(1, Mode.ALL), (2, Mode.ONE), (1, Mode.ALL)]
            )
        node = self.site.node(Node)
        self.quiet(node.publishMany("ev", Order, items[1:3]))
        self.assertEqual(list(node._shortcuts), [])

    def test_mapping(self) -> None:
        """Any mapping of fields will do, as it does on the long way."""

        class Fields(dict[str, Any]):
            """Somebody's own."""

        self.quiet(self.node.publishMany("ev", Order, [Fields(id=1), {"id": 2}]))
        self.assertEqual(self.taken()[0][1], 2)

    def test_wait(self) -> None:
        """`wait=False` is not forgotten on the short way."""
        items = [{"id": number} for number in range(100_000)]
        self.quiet(self.node.publishMany("ev", Order, items))
        self.failureResultOf(self.node.publishMany("ev", Order, [{"id": 1}], wait=False), Overloaded)
        self.failureResultOf(self.node.publish("ev", Order, wait=False, id=1), Overloaded)
        self.assertNoResult(self.node.publish("ev", Order, id=1).addErrback(lambda failure: None))


class RunTests(Case):
    def test_shared(self) -> None:
        """Events that are published by the long way, the short one, as messages or many at a time share a run."""
        node = self.site.node(Node)
        for _ in range(2):
            self.quiet(node.publish("ev", Order, id=1))
        self.quiet(node.publishMessage("ev", Order(id=1)))
        self.quiet(node.publish("ev", Order, id=Attribute("id", 1)))
        self.quiet(node.publishMany("ev", Order, [{"id": 1}] * 2))
        self.quiet(node.publish("ev", Order, id=1))
        self.quiet(node.publish("ev", None, id=1))
        self.assertEqual([(event, count) for event, count, _, _ in self.taken(node)], [("ev", 8)])

    def test_payload(self) -> None:
        """The payload is the same on either way, defaults included."""
        for fields in ({"id": 1}, {"id": 2, "text": "zwölf"}):
            node = self.site.node(Node)
            for _ in range(2):
                self.quiet(node.publish("ev", Order, **fields))
            ((_, _, _, payloads),) = self.taken(node)
            self.assertEqual(payloads[: len(payloads) // 2], payloads[len(payloads) // 2 :])

    def test_raw(self) -> None:
        """A raw message is none of those that are remembered."""
        for _ in range(2):
            self.quiet(self.node.publishMessage("ev", RawMessage(b"\xff")))
            self.quiet(self.node.publish("ev", Order, id=1))
        self.assertEqual([payloads for _, _, _, payloads in self.taken()], [b"\xff", b'{"id":1,"text":""}'] * 2)


class MemoryTests(SynchronousTestCase):
    def test_bounded(self) -> None:
        """However many calls there are that differ, 1024 are remembered at most."""
        codec.encodeFields(Order, {"id": 1})
        known = Shortcuts()
        for number in range(3000):
            name = f"ev{number}"
            known.learn((name, Order), findTerms(name, "all", "delivered", ..., 60.0), "all")
            self.assertIn((name, Order), known)
            self.assertLessEqual(len(known), 1024)
        self.assertLessEqual(shortcuts._findTerms.cache_info().currsize, 1024)

    def test_notFor(self) -> None:
        """Not remembered are calls without a class, of one that takes more to check, or has a field with a reserved name."""
        known = Shortcuts()
        for msg_class, fields in ((None, {"id": 1}), (Listed, {"items": [1]}), (Timed, {"id": 1})):
            codec.encodeFields(msg_class, fields)
            known.learn(("ev", msg_class), findTerms("ev", "all", "delivered", ..., 60.0), "all")
        self.assertEqual(known, {})

    def test_terms(self) -> None:
        """Terms are found by all that they hold; the usual time-out is that of who asks."""
        terms = findTerms("ev", "one", "handled", ..., 7.0)
        self.assertEqual((terms.event, terms.mode, terms.level, terms.timeout), ("ev", Mode.ONE, Level.HANDLED, 7.0))
        self.assertIs(findTerms("ev", "one", "handled", 7.0, 60.0), terms)
        self.assertIsNone(findTerms("ev", "one", "handled", None, 7.0).timeout)
        self.assertIs(findTerms("ev", "one", "handled", 7.0, 7.0, raw=True).headers, RAW_HEADERS)
