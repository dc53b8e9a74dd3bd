"""How a node calls its handlers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import codec
from nodeset.core.batch import NO_HEADERS, RAW_HEADERS
from nodeset.core.handlers import Handlers, Refusal
from nodeset.core.inbox import Delivery
from nodeset.core.message import NodeMessage, RawMessage
from nodeset.core.utils import catch, catches


def _wrapped(wrap: Any, inner: Any, msg: Any) -> Any:
    return wrap(inner)


class Order(NodeMessage):
    """A message."""

    id: int = 0


class Other(NodeMessage):
    """A message of another class, which has the same field."""

    id: int = 0
    more: str = "more"


class Boom(Exception):
    """What a handler of these tests raises."""


class Awaitable:
    """Can be awaited, is neither a Deferred nor a coroutine."""

    def __init__(self, deferred: Deferred[Any]) -> None:
        self._deferred = deferred

    def __await__(self) -> Any:
        return (yield from self._deferred.__await__())


class Owner:
    """Stands for a node: it has a name, and notes its calls."""

    name = "shop"

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.result: Any = None


class HandlersCase(SynchronousTestCase):
    """Handlers by a clock, which must be empty at the end."""

    def setUp(self) -> None:
        self.clock = Clock()

    def make(self, owner: Owner, on_event: Callable[[str, NodeMessage], Any] | None = None) -> Handlers:
        """The handlers of `owner`, with a patience of 5 s."""
        return Handlers(owner, catches(type(owner)), on_event, self.clock, 5.0)

    def single(self, act: Callable[[Any], Any]) -> tuple[Owner, Handlers]:
        """An owner with one method, which does this with its message."""

        class One(Owner):
            @catch("orders.created", Order)
            def keep(self, msg: Order) -> Any:
                self.calls.append(("keep", msg))
                return act(msg)

        owner = One()
        return owner, self.make(owner)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])


def delivery(payload: bytes = b'{"id":7}', event: str = "orders.created", headers: msgspec.Raw = NO_HEADERS) -> Delivery:
    """An event on its way to the handlers."""
    return Delivery(event, "s" * 20, 3, True, headers, "tub/grant", payload)


class CallTests(HandlersCase):
    """Who is called, with what."""

    def test_single(self) -> None:
        """A method that returns nothing is called with a message of its class, and all is well at once."""
        owner, handlers = self.single(lambda msg: None)
        self.assertIsNone(handlers.deliver(delivery()))
        ((_name, msg),) = owner.calls
        self.assertEqual((type(msg), msg.id), (Order, 7))

    def test_meta(self) -> None:
        """The message tells how it came: its address, its place in its publisher's stream, whether it was sent again."""
        owner, handlers = self.single(lambda msg: None)
        handlers.deliver(delivery(event="shop@localhost/orders.created"))
        meta = owner.calls[0][1].meta
        self.assertEqual(
            (meta.event, meta.stream, meta.sequence, meta.again), ("shop@localhost/orders.created", "s" * 20, 3, True)
        )
        self.assertEqual(meta.headers, {})

    def test_value(self) -> None:
        """What a handler returns means nothing unless it can be awaited."""
        for value in (7, "text", False, [], object()):
            _owner, handlers = self.single(lambda msg, value=value: value)  # type: ignore[misc]  # bound now, not late
            self.assertIsNone(handlers.deliver(delivery()))

    def test_several(self) -> None:
        """onEvent comes first, then all methods in the order written; each class is decoded once, onEvent sees the first."""

        class Many(Owner):
            @catch("orders.*", Order)
            def first(self, msg: Order) -> None:
                self.calls.append(("first", msg))

            @catch("orders.created", Other)
            def second(self, msg: Other) -> None:
                self.calls.append(("second", msg))

            @catch(">", Order)
            def third(self, msg: Order) -> None:
                self.calls.append(("third", msg))

        owner = Many()
        handlers = self.make(owner, lambda event, msg: owner.calls.append((event, msg)))
        decoded: list[object] = []
        decode = codec.decode

        def counted(payload: Any, msg_class: Any = None, raw: bool = False) -> Any:
            decoded.append(msg_class)
            return decode(payload, msg_class, raw)

        self.patch(codec, "decode", counted)
        self.assertIsNone(handlers.deliver(delivery()))
        self.assertEqual([name for name, _msg in owner.calls], ["orders.created", "first", "second", "third"])
        self.assertEqual([type(msg) for _name, msg in owner.calls], [Order, Order, Other, Order])
        self.assertEqual(decoded, [Order, Other])
        owner.calls.clear()
        self.assertIsNone(handlers.deliver(delivery(event="refunds.paid")))
        self.assertEqual([name for name, _msg in owner.calls], ["refunds.paid", "third"])

    def test_nobody(self) -> None:
        """An event for which there is only onEvent, or nothing at all, is handled."""
        owner = Owner()
        self.assertIsNone(self.make(owner).deliver(delivery()))
        self.assertIsNone(self.make(owner, lambda event, msg: owner.calls.append((event, msg.fields()))).deliver(delivery()))
        self.assertEqual(owner.calls, [("orders.created", {"id": 7})])

    def test_manyNames(self) -> None:
        """However many names come by, each finds its handlers."""
        owner = Owner()
        handlers = self.make(owner, lambda event, msg: owner.calls.append((event, msg.id)))
        for number in range(3000):
            handlers.deliver(delivery(event=f"orders.n{number}"))
        self.assertEqual(owner.calls, [(f"orders.n{number}", 7) for number in range(3000)])
        self.assertLessEqual(len(handlers._plans), 1024)


class FailureTests(HandlersCase):
    """What goes wrong in a handler ends here."""

    def test_raises(self) -> None:
        """A method that raises, or exits, gives one line with node, method and kind of error; the log has the traceback."""
        for error in (Boom("a secret"), SystemExit(1)):

            def act(msg: Any, error: BaseException = error) -> None:
                raise error

            _owner, handlers = self.single(act)
            result = handlers.deliver(delivery())
            self.assertEqual(result, f"shop.keep raised {type(error).__name__}")
            self.assertNotIsInstance(result, Refusal)
            self.assertEqual(len(self.flushLoggedErrors(type(error))), 1)

    def test_interrupted(self) -> None:
        """A KeyboardInterrupt is for the process, not for the handler."""

        def act(msg: Any) -> None:
            raise KeyboardInterrupt

        _owner, handlers = self.single(act)
        self.assertRaises(KeyboardInterrupt, handlers.deliver, delivery())

    def test_othersGoOn(self) -> None:
        """One method that fails stops no other one; the first failure is the one that is told."""

        class Many(Owner):
            @catch("orders.created")
            def first(self, msg: NodeMessage) -> None:
                self.calls.append(("first", msg))
                raise Boom("one")

            @catch("orders.created")
            def second(self, msg: NodeMessage) -> Deferred[None]:
                self.calls.append(("second", msg))
                return Deferred()

            @catch("orders.created")
            def third(self, msg: NodeMessage) -> None:
                self.calls.append(("third", msg))
                raise ValueError("two")

        owner = Many()
        result = self.make(owner).deliver(delivery())
        assert isinstance(result, Deferred)
        self.assertEqual([name for name, _msg in owner.calls], ["first", "second", "third"])
        self.assertNoResult(result)
        self.clock.advance(5.0)
        self.assertEqual(self.successResultOf(result), "shop.first raised Boom")
        self.assertEqual(len(self.flushLoggedErrors(Boom, ValueError, DeferredTimeout)), 3)

    def test_refusal(self) -> None:
        """What cannot be decoded for a method, or has headers that are none, is refused: no method is called."""
        owner, handlers = self.single(lambda msg: None)
        both = self.make(owner, lambda event, msg: owner.calls.append((event, msg)))
        poison = [delivery(payload) for payload in (b"", b"{", b"[]", b'{"id":"text"}', b'{"id":NaN}', b"[" * 5000, b"\xff")]
        poison.append(delivery(headers=RAW_HEADERS))
        poison += [delivery(headers=msgspec.Raw(msgspec.msgpack.encode(bad))) for bad in ([1], True, {1: 2})]
        for bad in poison:
            for refusing in (handlers, both):
                result = refusing.deliver(bad)
                self.assertIsInstance(result, Refusal, bad)
                assert isinstance(result, str)
                self.assertTrue(result.startswith("shop refuses it: "), result)
                self.assertNotIn("\n", result)
        self.assertEqual((owner.calls, self.flushLoggedErrors()), ([], []))

    def test_refusedByOne(self) -> None:
        """When one of several classes does not fit, none is called: an event is handled by all of them or by none."""

        class Many(Owner):
            @catch("orders.created")
            def any(self, msg: NodeMessage) -> None:
                self.calls.append(("any", msg))

            @catch("orders.created", Order)
            def typed(self, msg: Order) -> None:
                self.calls.append(("typed", msg))

        owner = Many()
        self.assertIsInstance(self.make(owner).deliver(delivery(b'{"id":"text"}')), Refusal)
        self.assertEqual(owner.calls, [])

    def test_raw(self) -> None:
        """Raw bytes reach a method that wants them; unknown headers are of no matter."""
        got: list[bytes] = []

        class Eater(Owner):
            @catch("raw", RawMessage)
            def eat(self, msg: RawMessage) -> None:
                got.append(msg.data)

        headers = msgspec.Raw(msgspec.msgpack.encode({"content_type": "raw", "unknown": [1]}))
        self.assertIsNone(self.make(Eater()).deliver(delivery(b"\xff\x00", "raw", headers)))
        self.assertEqual(got, [b"\xff\x00"])


class WaitTests(HandlersCase):
    """Handlers that take their time."""

    def results(self) -> list[Callable[[Deferred[Any]], Any]]:
        """All that can be awaited, each around the same Deferred."""

        async def coroutine(deferred: Deferred[Any]) -> Any:
            return await deferred

        return [lambda deferred: deferred, coroutine, Awaitable]

    def test_ends(self) -> None:
        """A Deferred, a coroutine, anything that can be awaited is waited for; then all is well, or its failure is told."""
        for wrap in self.results():
            for failing in (False, True):
                inner: Deferred[Any] = Deferred()
                _owner, handlers = self.single(partial(_wrapped, wrap, inner))
                result = handlers.deliver(delivery())
                assert isinstance(result, Deferred)
                self.clock.advance(4.0)
                self.assertNoResult(result)
                inner.errback(Boom("no")) if failing else inner.callback("whatever")
                self.assertEqual(self.successResultOf(result), "shop.keep raised Boom" if failing else None)
                self.assertEqual(len(self.flushLoggedErrors(Boom)), failing)
                self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_patience(self) -> None:
        """After our patience it is cancelled and reported once, whether or not it heeds that; its late end means nothing."""
        for wrap in self.results():
            cancelled: list[object] = []
            inner: Deferred[Any] = Deferred(cancelled.append)
            _owner, handlers = self.single(partial(_wrapped, wrap, inner))
            result = handlers.deliver(delivery())
            assert isinstance(result, Deferred)
            self.clock.advance(4.99)
            self.assertNoResult(result)
            self.clock.advance(0.02)
            self.assertEqual(self.successResultOf(result), "shop.keep raised TimeoutError")
            self.assertEqual(len(cancelled), 1)
            self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_stubborn(self) -> None:
        """A coroutine that will not be cancelled is waited for no longer than another."""

        async def stubborn() -> None:
            while True:
                try:
                    await Deferred()
                    return
                except CancelledError:
                    pass

        _owner, handlers = self.single(lambda msg: stubborn())
        result = handlers.deliver(delivery())
        assert isinstance(result, Deferred)
        self.clock.advance(5.1)
        self.assertEqual(self.successResultOf(result), "shop.keep raised TimeoutError")
        self.assertEqual(len(self.flushLoggedErrors(DeferredTimeout)), 1)

    def test_atOnce(self) -> None:
        """What has ended already when it is returned leaves no timer behind."""

        async def quick() -> None:
            return None

        _owner, handlers = self.single(lambda msg: quick())
        result = handlers.deliver(delivery())
        assert isinstance(result, Deferred)
        self.assertIsNone(self.successResultOf(result))

    def test_stop(self) -> None:
        """After `stop` nobody is hurried any more: no timer is left, what still works comes to its own end."""
        inner: Deferred[None] = Deferred()
        _owner, handlers = self.single(lambda msg: inner)
        result = handlers.deliver(delivery())
        assert isinstance(result, Deferred)
        handlers.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(60.0)
        self.assertNoResult(result)
        inner.callback(None)
        self.assertIsNone(self.successResultOf(result))
