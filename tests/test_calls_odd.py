"""Calls of methods, and with values, that do what hardly anybody does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset import Node, expose
from nodeset.core import batch
from nodeset.core.batch import NO_HEADERS
from nodeset.core.calls.caller import Caller
from nodeset.core.calls.callframes import Ask, Asked, Cancel
from nodeset.errors import BadArguments, LocalError, OutcomeUnknown, ProtocolError, RemoteError
from nodeset.transport.memory import MemoryLink
from tests.sites import SiteCase


@dataclass
class Even:
    """Can only be made of an even number; says so by an error of its own."""

    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise LookupError(f"{self.number} is odd")


class NoIterator:
    """Pretends to have items."""

    def __aiter__(self) -> Any:
        raise RuntimeError("no items today")


class Odd(Node):
    """Exposes methods that nobody should write."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.held: list[Deferred[Any]] = []
        self.cancelled = 0
        self.later: list[Any] = []

    @expose
    def halve(self, even: Even) -> int:
        return even.number // 2

    @expose
    def echo(self, value: Any) -> Any:
        return value

    @expose
    def stubborn(self) -> Deferred[Any]:
        def refuse(deferred: Deferred[Any]) -> None:
            raise RuntimeError("never")

        return Deferred(refuse)

    @expose
    def hold(self) -> Deferred[Any]:
        def note(deferred: Deferred[Any]) -> None:
            self.cancelled += 1

        self.held.append(Deferred(note))
        return self.held[-1]

    @expose
    async def begin(self) -> str:
        self.go: Deferred[None] = Deferred()
        self.work = Deferred.fromCoroutine(self._work()).addBoth(self.later.append)
        return "begun"

    async def _work(self) -> Any:
        await self.go
        return await self.call(self.name, "echo", "still here")


class _Even(Node):
    """How somebody else describes `Odd`."""

    @expose
    def echo(self, value: Any) -> Even:
        raise NotImplementedError


class OddTests(SiteCase):
    """`odd` is called by `caller`."""

    def setUp(self) -> None:
        super().setUp()
        self.odd = self.site.node(Odd, name="odd")
        self.caller = self.site.node(Node, name="caller", tub="caller")

    def test_conversionRaises(self) -> None:
        """A class that raises what it likes when one of it is made fails its own call: the others of the batch are run."""
        good = self.caller.call("odd", "halve", {"number": 4})
        bad = self.caller.call("odd", "halve", {"number": 3})
        after = self.caller.call("odd", "halve", {"number": 8})
        self.assertIn("3 is odd", str(self.failing(BadArguments, bad)))
        self.assertEqual([self.site.wait(good), self.site.wait(after)], [2, 4])

    def test_resultConversionRaises(self) -> None:
        """So it does where the caller's annotation makes one of it: the caller is told, never left waiting."""
        self.assertIn("3 is odd", str(self.failing(ProtocolError, self.caller.call("odd", _Even.echo, {"number": 3}))))
        everybody = self.site.wait(self.caller.call("odd", _Even.echo, {"number": 3}, mode="all"))
        self.assertIsInstance(everybody[0].error, ProtocolError)

    def test_cancellerRaises(self) -> None:
        """A method whose Deferred cannot be cancelled is given up with all others that are due."""
        calls = [self.caller.call("odd", method, timeout=1) for method in ("stubborn", "hold", "stubborn")]
        for call in calls:
            call.addErrback(lambda failure: None)
        self.site.advance(2)
        self.assertEqual([call.called for call in calls], [True] * 3)
        self.assertEqual(self.odd.cancelled, 1)
        waits = self.caller.call("odd", "stubborn", timeout=None)
        waits.addErrback(lambda failure: None)
        self.site.advance(0.1)
        waits.cancel()
        self.site.advance(0.1)
        self.assertEqual(self.site.wait(self.caller.call("odd", "echo", 1)), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 3)

    def test_iteratorFailsLater(self) -> None:
        """A Deferred that fires with an iterator that is none fails the call."""
        call = self.caller.call("odd", "hold", timeout=None)
        self.site.advance(0.1)
        self.odd.held[0].callback(NoIterator())
        self.assertIn("no items today", str(self.failing(RemoteError, call)))
        self.flushLoggedErrors(RuntimeError)

    def test_outlives(self) -> None:
        """What a method began and left running is not bound by the time of the call that was answered long ago."""
        self.assertEqual(self.site.wait(self.caller.call("odd", "begin", timeout=1)), "begun")
        self.site.advance(5)
        self.odd.go.callback(None)
        self.site.advance(0.1)
        self.assertEqual(self.odd.later, ["still here"])

    def test_namesThatAreNone(self) -> None:
        """A method that is no name is refused at once, before anything else can suffer for it."""
        names: list[Any] = ["\ud800", "a\nb", ["echo"], {}, None, b"echo"]
        for method in names:
            with self.assertRaises(BadArguments):
                self.caller.call("odd", method, 1)
        self.assertEqual(self.site.wait(self.caller.call("odd", "echo", 1)), 1)

    def test_timesThatAreNone(self) -> None:
        """A time-out that no clock can tell is refused at once: it costs the calls beside it nothing."""
        for timeout in (1e308, 10**400, 1e10, float("nan"), 0):
            self.assertRaises(LocalError, self.caller.call, "odd", "echo", 1, timeout=timeout)
        self.assertEqual(self.site.wait(self.caller.call("odd", "echo", 1, timeout=1e9)), 1)

    def test_cancelledWithoutLink(self) -> None:
        """Who cancels while the link is lost cancels the method as well, once the link is back."""
        call = self.caller.call("odd", "hold", timeout=None)
        call.addErrback(lambda failure: None)
        self.site.advance(0.1)
        self.site.wire.cut("caller")
        self.site.flush()
        call.cancel()
        self.assertEqual(self.odd.cancelled, 0)
        self.site.advance(2)
        self.assertEqual(self.odd.cancelled, 1)

    def test_whoWasCalledIsLost(self) -> None:
        """A call of all nodes of a name gets its answers, though the link was lost with the word of who was called."""
        self.site.node(Odd, name="odd")
        lost = self._loseWith(Asked)
        replies = self.site.wait(self.caller.call("odd", "echo", 7, mode="all", timeout=5))
        self.assertEqual([reply.value for reply in replies], [7, 7])
        self.assertEqual(len(lost), 1)

    def _loseWith(self, kind: type, times: int = 1, attribute: str = "id") -> list[bytes]:
        """Lose so many links, each with the first batch that says something of this kind that has this; returns those."""
        carry = self.site.wire.carry
        lost: list[bytes] = []

        def lose(end: MemoryLink, told: bytes) -> None:
            if len(lost) < times and any(type(frame) is kind and getattr(frame, attribute) for frame in batch.unpack(told)):
                lost.append(told)
                end.abort()
            else:
                carry(end, told)

        self.patch(self.site.wire, "carry", lose)
        return lost

    def test_cancelIsLost(self) -> None:
        """The word that nobody waits any more is said again when it is lost with a link, be it the caller's or the callee's."""
        call = self.caller.call("odd", "hold", timeout=None)
        call.addErrback(lambda failure: None)
        self.site.advance(0.1)
        for_others = self._loseWith(Cancel, times=2)
        call.cancel()
        self.site.advance(5)
        self.assertEqual((len(for_others), self.odd.cancelled), (2, 1))
        assert self.site.dispatcher is not None
        self.assertEqual(self.site.dispatcher.exchange.calls.underWay, 0)

    def test_cancelledForWhoWasAway(self) -> None:
        """Who was given up, be it by a dispatcher that is gone since, learns that he does not know, not that he cancelled."""
        call = self.caller.call("odd", "hold", timeout=None)
        again = self.caller.call("odd", "hold", timeout=None, idempotent=True)
        self.site.advance(0.1)
        self.site.wire.acceptor = None  # nobody can come back
        self.site.wire.cut("caller")
        self.site.advance(3)
        self.assertEqual(self.odd.cancelled, 2)
        self.site.killDispatcher()
        self.site.startDispatcher()
        self.assertIn("was cancelled when the link", str(self.failing(OutcomeUnknown, call)))
        self.site.advance(1)
        self.odd.held[2].callback("the second time")
        self.assertEqual(self.site.wait(again), "the second time")

    def test_askingIsLost(self) -> None:
        """A restarted dispatcher asks again when the link of whom it asked for an answer was lost: no caller waits for ever."""
        call = self.caller.call("odd", "hold", timeout=None)
        self.site.advance(0.1)
        self.site.killDispatcher()
        self.site.advance(0.1)
        self.odd.held[0].callback("done meanwhile")
        lost = self._loseWith(Ask, attribute="caller")  # the dispatcher's: the caller's own names none
        self.site.startDispatcher()
        self.assertEqual(self.site.wait(call), "done meanwhile")
        self.assertEqual(len(lost), 1)


class _StrictClock(Clock):
    """As strict as a reactor."""

    def callLater(self, delay: float, callable: Any, *args: Any, **kwargs: Any) -> Any:
        assert delay >= 0
        return super().callLater(delay, callable, *args, **kwargs)


class FlushTests(SynchronousTestCase):
    """A node that stops waits for its calls."""

    def test_noTimeLeft(self) -> None:
        """When nothing is left of the time to stop, it goes on at once."""
        clock = _StrictClock()
        caller = Caller("node", clock, lambda: None, lambda frame: None, Counter())
        caller.call("a", "b", b"", 1, None, False, None, NO_HEADERS).addErrback(lambda failure: None)
        flushed = caller.flush(-0.001, clock)
        clock.advance(0)
        self.assertTrue(flushed.called)
        caller.stop()
