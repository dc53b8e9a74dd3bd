"""The promises of a link, as a suite that every transport passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from nodeset.core.link import Link
from nodeset.errors import NodeSetError

__all__ = ["LinkContract", "LinkPair", "Recorder"]


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
