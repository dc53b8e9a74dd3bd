"""A site as its users meet it: asking, waiting, what is said when something is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

import nodeset
from nodeset.errors import Refused, UnknownMethod, UnknownNode
from nodeset.testing import Site
from tests.sites import Boom, Order, Shop


class Desk(Shop):
    """Answers calls, streams them too; its handler may raise."""

    @nodeset.catch("orders.bad", Order)
    def spoil(self, msg: Order) -> None:
        raise Boom("it is spoilt")

    @nodeset.expose
    def count(self) -> int:
        return len(self.orders)

    @nodeset.expose
    async def numbers(self, upto: int) -> AsyncIterator[int]:
        for number in range(upto):
            yield number


class Recorder(nodeset.StreamNode):
    """Takes streams."""

    taken = b""

    def onStream(self, name: str, data: Any) -> int:
        self.taken += data
        return len(self.taken)


class AskingTests(SynchronousTestCase):
    """The verbs of a site."""

    def setUp(self) -> None:
        self.site = Site.forTest(self)
        self.desk = self.site.node(Desk, name="desk")

    def test_publish(self) -> None:
        """`publish` returns the receipt, or raises what the publisher would be told."""
        self.assertEqual(self.site.publish("orders.created", Order, id=7), (1, 1, 0))
        self.assertEqual(self.site.publish("nobody.hears"), (0, 0, 0))
        self.assertEqual(self.desk.orders, [7])
        self.assertRaises(Refused, self.site.publish, "nodeset.secret", id=1)
        self.assertRaises(nodeset.UnknownField, self.site.publish, "orders.created", Order, colour="red")

    def test_call(self) -> None:
        """`call` returns the result, by name or by the method itself; raises what the caller would be told."""
        self.assertEqual(self.site.call("desk", "count"), 0)
        self.assertEqual(self.site.call("desk", Desk.count), 0)
        self.assertRaises(UnknownMethod, self.site.call, "desk", "nothing")
        self.assertRaises(UnknownNode, self.site.call, "nobody", "count")

        async def read() -> list[int]:
            return [number async for number in await self.site.me.call("desk", Desk.numbers, 3)]

        self.assertEqual(self.site.wait(read()), [0, 1, 2])

    def test_listen(self) -> None:
        """A listener keeps what it hears, of any class or of the one that the test wants, each once, by any of its patterns."""
        loose = self.site.listen("orders.*", "orders.created")
        strict = self.site.listen("orders.>", "prices.soup", msgClass=Order)
        self.site.publish("orders.created", Order, id=1)
        self.site.publish("prices.soup", Order, id=2, note="cheap")
        self.assertEqual((loose.events, [msg.id for msg in loose.heard]), (["orders.created"], [1]))
        self.assertEqual(strict.heard, [Order(id=1), Order(id=2, note="cheap")])
        self.assertEqual(strict.events, ["orders.created", "prices.soup"])
        self.assertFalse(strict.heard[0].meta.again)
        strict.clear()
        self.assertEqual((strict.heard, strict.events), ([], []))

    def test_listenRefused(self) -> None:
        """What the dispatcher refuses is told, as is what is no pattern."""
        furl = self.site.grant(subscribe=["orders.*"])
        self.assertRaises(Refused, self.site.listen, "prices.soup", grant=furl)
        self.site.listen("orders.created", grant=furl)
        self.assertRaises(nodeset.NodeSetError, self.site.listen, "orders..created")

    def test_listenWithoutDispatcher(self) -> None:
        """Without a dispatcher a listener hears as soon as there is one."""
        self.site.killDispatcher()
        ears = self.site.listen("orders.*", msgClass=Order)
        self.site.startDispatcher()
        self.site.advance(3.0)
        self.site.publish("orders.created", Order, id=1)
        self.assertEqual(ears.heard, [Order(id=1)])

    def test_streams(self) -> None:
        """Stream nodes stream, directly, and through the dispatcher where they cannot."""
        for walled in (False, True):
            taker = self.site.node(Recorder, name="taker", tub=f"taker{walled}")
            pusher = self.site.node(nodeset.StreamNode, tub=f"pusher{walled}")
            if walled:
                self.site.wire.walled.update({"takerTrue", "pusherTrue"})
            self.site.wait(taker.subscribe("video"))
            stream = self.site.wait(pusher.stream("video"))
            self.assertEqual([peer.direct for peer in stream.peers], [not walled])
            self.assertEqual(self.site.wait(stream.push(b"frame")), 5)
            self.site.wait(stream.close())
            self.site.wait(taker.stopService())

    def test_collections(self) -> None:
        """A collection links its members by one transport; the site stops each once, in whichever order they were made."""
        for first in (True, False):
            members = [] if first else [self.site.node(Desk, name="member", start=False)]
            house = self.site.node(nodeset.NodeCollection, name="house", start=False)
            members = members or [self.site.node(Desk, name="member", start=False)]
            house.adapt(members[0])
            house.startService()
            self.site.wait(house.start())
            self.assertEqual(self.site.call("member", "count"), 0)
            self.site.wait(house.stopService())

    def test_wall(self) -> None:
        """An hour of the site is an hour for grants too."""
        guest = self.site.node(nodeset.Node, grant=self.site.grant(publish=["orders.*"], expires=60))
        self.assertEqual(self.site.wait(guest.publish("orders.created", Order, id=1)).delivered, 1)
        self.site.advance(62.0)
        self.assertRaises(nodeset.NodeSetError, self.site.wait, guest.publish("orders.created", Order, id=1))


class WaitingTests(SynchronousTestCase):
    """What does not come is told as such."""

    def setUp(self) -> None:
        self.site = Site.forTest(self)
        self.desk = self.site.node(Desk, name="desk")

    def _message(self, call: Any, *args: Any, **options: Any) -> str:
        text = str(self.assertRaises(AssertionError, call, *args, **options))
        self.assertNotIn("\n", text)
        return text

    def test_exactTime(self) -> None:
        """`wait` and `until` return at the very time at which it happens; so does each call in between."""
        times: list[float] = []
        done: Deferred[str] = Deferred()
        for when in (0.3, 0.123, 7.0):
            self.site.clock.callLater(when, lambda: times.append(self.site.clock.seconds()))
        self.site.clock.callLater(1.234, done.callback, "here")
        self.assertEqual((self.site.wait(done), self.site.clock.seconds()), ("here", 1.234))
        self.assertEqual(self.site.until(lambda: times[2:]), [7.0])
        self.assertEqual(times, [0.123, 0.3, 7.0])

    def test_deferred(self) -> None:
        """The message names a receipt as such, or what the test says; and who is there."""
        self.site.cutOff(self.desk)
        self.site.killDispatcher()
        sent = self.site.me.publish("orders.created", Order, id=1, timeout=None)
        text = self._message(self.site.wait, sent, timeout=2)
        self.assertEqual(
            text,
            "nothing came within 2 s of the site's time from the receipt of a publish(); "
            "the dispatcher is not running, desk is cut off, me is not linked",
        )
        self.assertIn("from a Deferred; ", self._message(self.site.wait, Deferred(), timeout=1))
        self.assertIn("from the bell; ", self._message(self.site.wait, Deferred(), timeout=1, what="the bell"))
        self.site.startDispatcher()

    def test_coroutine(self) -> None:
        """A coroutine is told by its name, with the innermost line at which it hangs."""

        async def inner() -> None:
            await Deferred()

        async def outer() -> None:
            await inner()

        text = self._message(self.site.wait, outer())
        self.assertRegex(
            text, r"from .*outer\(\), which is at test_testing_site.py:\d+: await Deferred\(\); the dispatcher runs"
        )

    def test_until(self) -> None:
        """A condition is told as it was written, or by its name, or by what the test says."""
        self.site.freeze(self.desk)
        text = self._message(self.site.until, lambda: self.desk.orders == [1])
        self.assertIn("still not so after 120 s of the site's time: text = self._message(self.site.until, lambda: ", text)
        self.assertIn("the dispatcher runs, desk is frozen", text)
        self.assertIn("WaitingTests.never; ", self._message(self.site.until, self.never, timeout=1))
        self.assertIn(": soup; ", self._message(self.site.until, self.never, timeout=1, what="soup"))
        self.assertIn("the lambda at", self._message(self.site.until, eval("lambda: 0"), timeout=1))

    def never(self) -> bool:
        return False

    def test_logged(self) -> None:
        """What a handler raised meanwhile is said too, since it is why nothing came, as a rule."""
        self.site.publish("orders.bad", Order, id=1)
        text = self._message(self.site.until, self.never, timeout=1)
        self.assertIn("logged meanwhile: desk.spoil failed at orders.bad: Boom: it is spoilt", text)
        self.assertEqual([failure.type for failure in self.site.flushErrors(Boom)], [Boom])
        self.assertEqual(self.flushLoggedErrors(), [])


class EndTests(SynchronousTestCase):
    """What must be in order when a test is over."""

    def test_context(self) -> None:
        """`with Site()` stops everything; what is raised inside comes out, with what was logged beside it."""
        with Site() as site:
            desk = site.node(Desk, name="desk")
        self.assertFalse(desk.running)

        def fails() -> None:
            with Site() as site:
                site.node(Desk, name="desk")
                site.publish("orders.bad", Order, id=1)
                raise LookupError("this one")

        error = self.assertRaises(LookupError, fails)
        self.assertEqual(error.__notes__, ["logged meanwhile: desk.spoil failed at orders.bad: Boom: it is spoilt"])
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    def test_timers(self) -> None:
        """A timer that is left fails the test: it is named, with its node."""
        site = Site()
        desk = site.node(Desk, name="desk")
        left = desk.clock.callLater(50, desk.count)
        text = str(self.assertRaises(AssertionError, site.stop))
        self.assertIn("cancel them in stopService: desk: Desk.count, due in", text)
        left.cancel()
        site.clock.callLater(50, desk.count)
        self.assertIn("1 of the test's own", str(self.assertRaises(AssertionError, site.stop)))

    def test_faultsEnd(self) -> None:
        """Whatever a test has left broken, the site stops, with nothing left on the clock."""
        for break_it in ("lose", "cutOff", "freeze", "kill", "starve"):
            with Site() as site:
                desk = site.node(Desk, name="desk")
                site.delay(0.7)
                site.delay(0.3, desk)
                getattr(site, break_it)(desk)
                site.me.publish("orders.created", Order, id=1).addErrback(lambda failure: None)
                site.slow(1.0, site.me)
                assert site.dispatcher is not None
                site.freeze(site.dispatcher)
            self.assertEqual(site.clock.getDelayedCalls(), [], break_it)

    def test_stopping(self) -> None:
        """A node that the test is stopping already is waited for, one that it has not started is left alone."""
        with Site() as site:
            site.node(Desk, start=False)
            site.node(Desk).stopService()

    def test_observers(self) -> None:
        """A site that is over watches the log no longer."""
        with Site() as site:
            pass
        Logger().failure("after it", Failure(Boom("too late")))
        self.assertEqual(site.state(), "the dispatcher is not running")
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)
