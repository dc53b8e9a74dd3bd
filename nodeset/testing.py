"""The test kit: real nodes with a real dispatcher over an in-memory wire, by a clock that the test turns.

    from twisted.trial.unittest import SynchronousTestCase
    from nodeset.testing import Site

    class OrderTests(SynchronousTestCase):
        def test_confirmed(self) -> None:
            site = Site()
            shop = site.node(Shop, name="shop")        # started, linked
            receipt = site.wait(shop.publish("orders.created", Order, id=1))
            self.assertEqual(receipt.delivered, 1)

Nothing in it is a stand-in: codec, batches, outbox, exchange, heartbeat are those that run in production, only the bytes travel
through memory. `LinkContract` is the suite that every transport passes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.grants.authority import Authority
from nodeset.core.grants.chain import KEY_SIZE, Caveat
from nodeset.core.grants.revocations import Revocations
from nodeset.core.grants.rights import memberCaveat
from nodeset.core.link import Link
from nodeset.core.node import Node
from nodeset.errors import NodeSetError
from nodeset.transport.memory import MemoryTransport, MemoryWire

__all__ = ["LinkContract", "LinkPair", "Recorder", "Site"]

N = TypeVar("N", bound=Node)


#: Calls that may follow each other without time passing; the largest burst of a sane test is far below.
_MOST_CALLS = 100_000
#: Unix time when a site is made.
_EPOCH: Final = 1_700_000_000
_PLACE: Final = "memory://site/"


class _BoundedClock(Clock):
    """A Clock that does not turn for ever: Twisted's own hangs when each call makes another one for the same moment."""

    def advance(self, amount: float) -> None:
        """Let `amount` seconds pass. Raises AssertionError for what never comes to an end."""
        self.rightNow += amount
        for _ in range(_MOST_CALLS):
            self._sortCalls()
            if not self.calls or self.calls[0].getTime() > self.seconds():
                return
            call = self.calls.pop(0)
            call.called = 1
            call.func(*call.args, **call.kw)
        raise AssertionError("something goes on for ever without time passing")


class Site:
    """One dispatcher with its nodes, in this process, in one thread, in the test's own time.

    :param start: whether the dispatcher runs from the beginning.
    :param options: for `EventDispatcher`.
    :ivar clock: a `twisted.internet.task.Clock`; turn it by `advance`.
    :ivar dispatcher: the `EventDispatcher` that runs now, or None.
    :ivar wire: the `MemoryWire`, for cutting links.
    :ivar member: the FURL that nodes get unless they are given another, as from the rendezvous file.
    :ivar owner: the FURL that may mint grants and revoke them, as from `owner.furl`.
    """

    def __init__(self, start: bool = True, **options: Any) -> None:
        self.clock: Clock = _BoundedClock()
        self.wire = MemoryWire(self.clock)
        self.dispatcher: EventDispatcher | None = None
        self.nodes: list[Node] = []
        self._options = options
        self._started = False
        self._tubs = 0
        self._key = secrets.token_bytes(KEY_SIZE)
        self._revocations = Revocations()
        self.authority = self._authority()
        self.member = _PLACE + self.authority.mint(memberCaveat(secrets.token_bytes(8)))
        self.owner = _PLACE + self.authority.mint(Caveat(secrets.token_bytes(8), answer=["*"], owner=True))
        if start:
            self.startDispatcher()

    def startDispatcher(self) -> EventDispatcher:
        """Start a dispatcher, which knows nothing of an earlier one; after a first it waits 2 s for the nodes to come back."""
        self.authority = self.wire.authority = self._authority()
        self.dispatcher = EventDispatcher(self.clock, fresh=not self._started, **{"authority": self.authority, **self._options})
        self._started = True
        self.dispatcher.startService()
        self.wire.acceptor = self.dispatcher
        return self.dispatcher

    def wall(self) -> float:
        """Unix time, as the site's clock has it."""
        return _EPOCH + self.clock.seconds()

    def _authority(self) -> Authority:
        """As a dispatcher has it that starts: the key and the revocations are what is on disk."""
        return Authority(self._key, self.wall, self.clock.seconds, self._revocations)

    def killDispatcher(self) -> None:
        """Let the dispatcher die as by kill -9: everything that it knew or had on the way is gone."""
        dispatcher, self.dispatcher = self.dispatcher, None
        self.wire.acceptor = None
        if dispatcher is not None:
            dispatcher.die()
        self.wire.cut()

    def transport(self, tub: str = "", grant: str = "") -> MemoryTransport:
        """A transport of its own, with a TubID of its own unless `tub` names one, that shows the FURL `grant`, a member's
        unless that is given.
        """
        self._tubs += 1
        return MemoryTransport(self.wire, tub or f"tub{self._tubs}", grant or self.member)

    def node(self, kind: type[N], *args: Any, start: bool = True, tub: str = "", grant: str = "", **options: Any) -> N:
        """Make a node of the class `kind` on this wire; with `start`, start it and let it link.

        :param grant: the FURL that it shows, as `Node.grant` makes them; a member's without one.
        """
        node = kind(*args, transport=self.transport(tub, grant), clock=self.clock, **options)
        node._wall = self.wall  # an hour is an hour of the site's clock
        self.nodes.append(node)
        if start:
            node.startService()
            self.flush()
        return node

    def flush(self) -> None:
        """Let everything happen that takes no time."""
        self.clock.advance(0)

    def advance(self, seconds: float, step: float = 0.05) -> None:
        """Let `seconds` pass, in steps, everything happening at its time."""
        self.flush()
        end = self.clock.seconds() + seconds
        while (rest := end - self.clock.seconds()) > 1e-9:
            self.clock.advance(min(step, rest))
            self.flush()

    def wait(self, deferred: Deferred[Any], timeout: float = 120.0) -> Any:
        """The result of `deferred`, letting time pass until it is there; raises what it failed with."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        end = self.clock.seconds() + timeout
        self.flush()
        while not results:
            if self.clock.seconds() >= end:
                raise AssertionError(f"nothing came within {timeout} s")
            self.advance(0.05)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def stop(self) -> None:
        """Stop all nodes, then the dispatcher; afterwards nothing may be left on the clock."""
        for node in self.nodes:
            self.wait(node.stopService())
        if self.dispatcher is not None:
            self.wait(self.dispatcher.stopService())
        self.advance(2 * self.wire.delay)


class Recorder:
    """A `Receiver` that writes down what it hears."""

    def __init__(self) -> None:
        self.batches: list[bytes] = []
        self.losses: list[NodeSetError] = []
        self.link: Link | None = None
        self.after_loss = 0

    def batchReceived(self, batch: bytes) -> None:
        """Note it."""
        self.batches.append(batch)
        self.after_loss += bool(self.losses)

    def linkLost(self, reason: NodeSetError) -> None:
        """Note it."""
        self.losses.append(reason)


class LinkPair:
    """Two ends of one link, as a transport under test provides them.

    :param near: hears what comes to the side that dialled, with its `link`.
    :param far: the same for the acceptor's side.
    :param until: `until(condition)` returns a Deferred that fires when `condition()` is true, fails after a bounded time.
    :param settle: returns a Deferred that fires when what is on the way has arrived or never will.

    The recorders' `link` must be set.
    """

    def __init__(
        self,
        near: Recorder,
        far: Recorder,
        until: Callable[[Callable[[], bool]], Deferred[None]],
        settle: Callable[[], Deferred[None]],
    ) -> None:
        self.near, self.far, self.until, self.settle = near, far, until, settle


def _hears(recorder: Recorder, count: int) -> Callable[[], bool]:
    return lambda: len(recorder.batches) >= count


def _bothLost(pair: LinkPair) -> Callable[[], bool]:
    return lambda: bool(pair.near.losses and pair.far.losses)


class LinkContract:
    """The promises of `nodeset.core.link`, for every transport.

    Mix it into a `trial` TestCase that has `makePair() -> Deferred[LinkPair]`.
    """

    makePair: Callable[[], Deferred[LinkPair]]
    assertEqual: Any  # the TestCase has them
    assertTrue: Any

    def _both(self, pair: LinkPair) -> list[tuple[Link, Recorder]]:
        assert pair.near.link is not None and pair.far.link is not None
        return [(pair.near.link, pair.far), (pair.far.link, pair.near)]

    def _play(self, coroutine: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(coroutine)

    def test_order(self) -> Deferred[None]:
        """Batches arrive whole, in the order sent, each once, in both directions, none before `send` has returned."""

        async def scenario() -> None:
            pair = await self.makePair()
            for link, recorder in self._both(pair):
                sent = [b"%d." % number + b"x" * (number * 37 % 900) for number in range(200)]
                for batch in sent:
                    link.send(batch)
                self.assertEqual(recorder.batches, [], "batchReceived must not be called from within send")
                await pair.until(_hears(recorder, len(sent)))
                await pair.settle()
                self.assertEqual(recorder.batches, sent)

        return self._play(scenario())

    def test_large(self) -> Deferred[None]:
        """A batch of the largest size arrives whole."""

        async def scenario() -> None:
            from nodeset.core.batch import MAX_BATCH

            pair = await self.makePair()
            for link, recorder in self._both(pair):
                large = bytes(range(256)) * (MAX_BATCH // 256)
                link.send(large)
                await pair.until(_hears(recorder, 1))
                self.assertEqual(recorder.batches, [large])

        return self._play(scenario())

    def test_abort(self) -> Deferred[None]:
        """`abort` tells both sides, each once, not from within; afterwards nothing arrives, sending does nothing."""

        async def scenario() -> None:
            for side in (0, 1):
                pair = await self.makePair()
                ends = self._both(pair)
                ends[side][0].abort()
                self.assertEqual((pair.near.losses, pair.far.losses), ([], []), "linkLost must not be called from abort")
                ends[side][0].abort()
                await pair.until(_bothLost(pair))
                for link, _recorder in ends:
                    link.send(b"too late")
                await pair.settle()
                self.assertEqual((len(pair.near.losses), len(pair.far.losses)), (1, 1))
                self.assertEqual((pair.near.batches, pair.far.batches), ([], []))

        return self._play(scenario())

    def test_close(self) -> Deferred[None]:
        """What was sent before `close` arrives, all of it; then both sides are told, each once, not from within `close`."""

        async def scenario() -> None:
            for side in (0, 1):
                pair = await self.makePair()
                link, recorder = self._both(pair)[side]
                sent = [b"%d." % number + b"x" * (number * 997 % 60_000) for number in range(40)]
                for batch in sent:
                    link.send(batch)
                link.close()
                self.assertEqual((pair.near.losses, pair.far.losses), ([], []), "linkLost must not be called from close")
                link.close()
                await pair.until(_bothLost(pair))
                await pair.settle()
                self.assertEqual(recorder.batches, sent)
                self.assertEqual((len(pair.near.losses), len(pair.far.losses), recorder.after_loss), (1, 1, 0))

        return self._play(scenario())

    def test_lossIsAtTheEnd(self) -> Deferred[None]:
        """Of what was sent before the link was lost a beginning arrives, without a gap; the loss is told."""

        async def scenario() -> None:
            pair = await self.makePair()
            ends = self._both(pair)
            sent = [b"%d" % number for number in range(50)]
            for batch in sent:
                ends[0][0].send(batch)
            ends[1][0].abort()
            await pair.until(_bothLost(pair))
            await pair.settle()
            self.assertEqual(pair.far.batches, sent[: len(pair.far.batches)])
            self.assertEqual(pair.far.after_loss, 0)
            self.assertTrue(all(isinstance(reason, NodeSetError) for reason in pair.near.losses + pair.far.losses))

        return self._play(scenario())

    def test_refusedBatch(self) -> Deferred[None]:
        """A receiver that raises a `NodeSetError` costs the peer that link, which both sides are told."""

        async def scenario() -> None:
            pair = await self.makePair()
            ends = self._both(pair)

            def refuse(batch: bytes) -> None:
                raise NodeSetError("not this one")

            pair.far.batchReceived = refuse  # type: ignore[method-assign]  # the point of the test
            ends[0][0].send(b"refuse me")
            await pair.until(_bothLost(pair))
            await pair.settle()
            self.assertEqual((len(pair.near.losses), len(pair.far.losses)), (1, 1))

        return self._play(scenario())
