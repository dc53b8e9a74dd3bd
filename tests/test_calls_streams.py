"""Streams of items that calls return."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

from twisted.internet.defer import Deferred

from nodeset import Node, expose
from nodeset.core.calls.callframes import Item
from nodeset.core.calls.items import ITEMS_AHEAD, Items
from nodeset.errors import OutcomeUnknown, ProtocolError, RemoteError, TimedOut
from tests.sites import Boom, SiteCase


class Source(Node):
    """Streams; notes how far it got, how it ended."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.made = 0
        self.ends: list[str] = []

    def _pause(self, seconds: float) -> Deferred[None]:
        done: Deferred[None] = Deferred(lambda cancelled: timer.cancel())
        timer = self._findClock().callLater(seconds, done.callback, None)
        return done

    @expose
    async def count(self, upto: int, pause: float = 0.0) -> AsyncIterator[int]:
        try:
            for number in range(upto):
                if pause:
                    await self._pause(pause)
                self.made += 1
                yield number
        finally:
            self.ends.append("ended")

    @expose
    def plain(self, upto: int) -> Iterator[int]:
        try:
            for number in range(upto):
                self.made += 1
                yield number
        finally:
            self.ends.append("ended")

    @expose
    async def later(self, upto: int) -> Any:
        await self._pause(0.1)
        return self.plain(upto)

    @expose
    def large(self, upto: int, size: int) -> Iterator[str]:
        for _ in range(upto):
            self.made += 1
            yield "x" * size

    @expose
    def broken(self) -> Iterator[int]:
        yield 1
        raise Boom("after one")

    @expose
    def strange(self) -> Iterator[Any]:
        yield 1
        yield object()


class StreamTests(SiteCase):
    def setUp(self) -> None:
        super().setUp()
        self.source = self.site.node(Source, name="source")
        self.me = self.site.node(Node, name="me")

    def opens(self, *args: Any, **options: Any) -> Any:
        """The items of a call."""
        return self.site.wait(self.me.call("source", *args, **options))

    def reads(self, items: Any, most: int = 1 << 30) -> list[Any]:
        """At most so many items."""

        async def read() -> list[Any]:
            found: list[Any] = []
            while len(found) < most:
                try:
                    found.append(await anext(items))
                except StopAsyncIteration:
                    break
            return found

        found: list[Any] = self.site.wait(Deferred.fromCoroutine(read()))
        return found

    def test_whole(self) -> None:
        """Whatever the method returns as an iterator comes item by item, in order, to its end."""
        for method, arguments in (("count", (1000,)), ("count", (30, 0.2)), ("plain", (1000,)), ("later", (500,))):
            self.assertEqual(self.reads(self.opens(method, *arguments)), list(range(arguments[0])))
        self.assertEqual(self.reads(self.opens("plain", 0)), [])
        self.assertEqual(self.source.ends, ["ended"] * 5)
        self.assertEqual(self.reads(self.opens(Source.count, 3)), [0, 1, 2])

    def test_asyncFor(self) -> None:
        """`async for` reads them."""

        async def total() -> int:
            return sum([number async for number in await self.me.call("source", "count", 200)])

        self.assertEqual(self.site.wait(Deferred.fromCoroutine(total())), 19_900)

    def test_backPressure(self) -> None:
        """Whoever does not read holds the producer: 64 items ahead at most, or 256 KiB."""
        items = self.opens("plain", 10_000)
        self.site.advance(10)
        self.assertEqual(self.source.made, ITEMS_AHEAD)
        self.reads(items, 100)
        self.assertLessEqual(self.source.made, 100 + ITEMS_AHEAD)
        self.source.made = 0
        large = self.opens("large", 1000, 100_000)
        self.site.advance(10)
        self.assertEqual(self.source.made, 3)
        self.assertEqual(len(self.reads(large)), 1000)

    def test_huge(self) -> None:
        """A stream passes what no single answer could; one item may have 1 MiB and no more."""
        self.assertEqual(sum(map(len, self.reads(self.opens("large", 8, 1_000_000)))), 8_000_000)
        error = self.failing(RemoteError, Deferred.fromCoroutine(self._drain(self.opens("large", 1, 1 << 20))))
        self.assertEqual(error.type, "MessageTooLarge")
        self.flushLoggedErrors()

    async def _drain(self, items: Any) -> None:
        async for _ in items:
            pass

    def test_fails(self) -> None:
        """What the iterator raises comes after the items before it; so does an item that cannot be sent."""
        for method, kind, logged in (("broken", "Boom", Boom), ("strange", "BadMessage", ValueError)):
            items = self.opens(method)
            self.assertEqual(self.reads(items, 1), [1])
            error = self.failing(RemoteError, Deferred.fromCoroutine(anext(items)))
            self.assertEqual(error.type, kind)
            self.assertEqual(len(self.flushLoggedErrors(logged)), 1)
            self.assertEqual(self.reads(items), [])

    def test_closed(self) -> None:
        """One that is closed, or that nobody has any more, ends at its source."""
        items = self.opens("plain", 10_000)
        self.reads(items, 10)
        self.site.wait(Deferred.fromCoroutine(items.aclose()))
        self.site.flush()
        self.assertEqual(self.source.ends, ["ended"])
        self.assertEqual(self.reads(items), [])
        forgotten = self.opens("count", 10_000, 0.1)
        self.reads(forgotten, 10)
        del forgotten
        gc.collect()
        self.site.advance(0.3)
        self.assertEqual(self.source.ends, ["ended"] * 2)
        assert self.me._peer is not None
        self.assertEqual(len(self.me._peer.phone.caller), 0)

    def test_slow(self) -> None:
        """The call's time bounds the wait for each item, not the whole; nor how long the reader takes."""
        self.assertEqual(len(self.reads(self.opens("count", 10, 0.8, timeout=1))), 10)
        items = self.opens("plain", 100, timeout=1)
        self.reads(items, 5)
        self.site.advance(10)
        self.assertEqual(len(self.reads(items)), 95)
        late = self.opens("count", 10, 2.0, timeout=1)
        self.failing(TimedOut, Deferred.fromCoroutine(anext(late)))
        self.site.flush()
        self.assertEqual(self.source.ends[-1], "ended")

    def test_lost(self) -> None:
        """A stream does not outlive a link of its: its reader is told, its source ends."""
        for tub in ("tub1", "tub2"):
            self.source.ends.clear()
            items = self.opens("plain", 10_000)
            self.reads(items, 10)
            self.site.wire.cut(tub)
            self.failing(OutcomeUnknown, Deferred.fromCoroutine(self._drain(items)))
            self.site.advance(1)
            self.assertEqual(self.source.ends, ["ended"], tub)
        items = self.opens("plain", 10_000)
        self.site.killDispatcher()
        self.site.flush()
        self.failing(OutcomeUnknown, Deferred.fromCoroutine(self._drain(items)))
        self.site.startDispatcher()
        self.assertEqual(self.reads(self.opens("plain", 5)), list(range(5)))

    def test_readerDies(self) -> None:
        """When the reader is gone its stream ends at the source."""
        items = self.opens("plain", 10_000)
        self.reads(items, 10)
        assert self.me._peer is not None
        self.me._peer._running = False
        self.site.wire.cut("tub2")
        self.site.advance(3)
        self.assertEqual(self.source.ends, ["ended"])

    def test_all(self) -> None:
        """A call of all nodes gathers values, no streams."""
        replies = self.opens("plain", 5, mode="all")
        self.assertIsInstance(replies[0].error, RemoteError)
        self.assertIn("call one node", str(replies[0].error))

    def test_unasked(self) -> None:
        """A source that sends more than was asked for, or leaves items out, ends its own stream."""
        for first, count, error in ((64, 200, ProtocolError), (70, 1, OutcomeUnknown)):
            items = self.opens("plain", 10_000)
            assert self.source._peer is not None and self.me._peer is not None
            caller = self.me._peer.phone.caller
            item = Item(self.me._peer.stream, caller._last, first, [b"1"] * count)
            self.source._peer.phone._put(item)
            self.site.flush()
            self.failing(error, Deferred.fromCoroutine(self._drain(items)))

    def test_two(self) -> None:
        """One reads a stream at a time: a second reader is told so."""
        items: Items = self.opens("count", 10, 1.0)
        first = Deferred.fromCoroutine(anext(items))
        with self.assertRaises(RuntimeError):
            self.site.wait(Deferred.fromCoroutine(anext(items)))
        self.assertEqual(self.site.wait(first), 0)
        self.site.wait(Deferred.fromCoroutine(items.aclose()))
