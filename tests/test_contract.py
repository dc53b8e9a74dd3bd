"""The contract of links, kept by every transport and able to tell a bad one."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock, LoopingCall, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from nodeset.core.grants.rights import MEMBER, Rights
from nodeset.core.link import Link, Receiver
from nodeset.errors import NodeSetError
from nodeset.testing import LinkContract, LinkPair, Recorder
from nodeset.transport.furl import parsePlace
from nodeset.transport.memory import MemoryTransport, MemoryWire
from nodeset.transport.rendezvous import claim, find
from nodeset.transport.tub import TubAcceptor, TubTransport

reactor: Any = _reactor


class Taker:
    """An acceptor, to stand where a dispatcher would: it takes every link and writes down what comes."""

    def __init__(self, far: Recorder) -> None:
        self.far = far

    def opening(self, peer: str, hello: bytes, link: Link, rights: Rights = MEMBER) -> tuple[Receiver, bytes]:
        self.far.link = link
        return self.far, b"answer to " + hello

    def honour(self, authority: object) -> Taker:
        """As the dispatcher has it, for `TubAcceptor`."""
        return self

    def observe(self, observer: object) -> None:
        """The same."""

    def startService(self) -> None:
        """As the dispatcher has it, for `TubAcceptor`."""

    def stopService(self) -> Deferred[None]:
        return succeed(None)


def memoryPair(near: Recorder, far: Recorder) -> LinkPair:
    """A pair over a memory wire whose clock is turned by whoever waits."""
    clock = Clock()
    transport = MemoryTransport(MemoryWire(clock, Taker(far)), "tub1")
    transport.startTransport()
    opened: list[tuple[Link, bytes]] = []
    transport.dial(b"hello", near).addCallback(opened.append)
    clock.advance(0)
    near.link = opened[0][0]

    def settle() -> Deferred[None]:
        while clock.getDelayedCalls():
            clock.advance(0)
        return succeed(None)

    def until(condition: Callable[[], bool]) -> Deferred[None]:
        settle()
        return succeed(None) if condition() else fail(AssertionError("all has come to rest and it is not so"))

    return LinkPair(near, far, until, settle)


def until(condition: Callable[[], bool], timeout: float = 5.0) -> Deferred[None]:
    """Fires when `condition()` is true, looking often; fails after `timeout` seconds."""
    met: Deferred[None] = Deferred()

    def look() -> None:
        if condition() and not met.called:
            met.callback(None)

    looking = LoopingCall(look)
    looking.start(0.002).addErrback(lambda failure: None if met.called else met.errback(failure))

    def over(result: Any) -> Any:
        if looking.running:
            looking.stop()
        return result

    return met.addTimeout(timeout, reactor).addBoth(over)


class MemoryContractTests(LinkContract, TestCase):
    """The contract on memory."""

    def makePair(self) -> Deferred[LinkPair]:
        return succeed(memoryPair(Recorder(), Recorder()))


class TubContractTests(LinkContract, TestCase):
    """The contract on Foolscap over loopback."""

    timeout = 30

    def makePair(self) -> Deferred[LinkPair]:
        return Deferred.fromCoroutine(self._makePair())

    async def _makePair(self) -> LinkPair:
        near, far = Recorder(), Recorder()
        home = Path(self.mktemp()).absolute()
        held = claim(home, parsePlace("pbu://localhost:5333/contract"))
        acceptor = TubAcceptor(cast(Any, Taker(far)), held, "tcp:0:interface=127.0.0.1", ["tcp:127.0.0.1:0"], reactor)
        acceptor.startService()
        self.addCleanup(acceptor.stopService)
        transport = TubTransport(find(str(held.member_file), environ={}, state_directory=home), reactor)
        await transport.startTransport()
        self.addCleanup(transport.stopTransport)
        near.link, answer = await transport.dial(b"hello", near)
        self.assertEqual(answer, b"answer to hello")

        def settle() -> Deferred[None]:
            # What was sent travels within this process; a time without an arrival is all that can be asked of a socket.
            return deferLater(reactor, 0.02, lambda: None)

        return LinkPair(near, far, until, settle)


class _Bad:
    """A link between a sender and the real one, which does not keep the contract."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._count = 0

    @property
    def peer(self) -> str:
        return self._link.peer

    def send(self, batch: bytes) -> None:
        self._link.send(batch)

    def close(self) -> None:
        self._link.close()

    def abort(self) -> None:
        self._link.abort()


class Dropping(_Bad):
    """Loses one batch, goes on."""

    def send(self, batch: bytes) -> None:
        self._count += 1
        if self._count != 7:
            super().send(batch)


class Reordering(_Bad):
    """Sends the seventh batch after the eighth."""

    _held = b""

    def send(self, batch: bytes) -> None:
        self._count += 1
        if self._count == 7:
            self._held = batch
            return
        super().send(batch)
        if self._count == 8:
            super().send(self._held)


class Hasty(_Bad):
    """Closes without waiting for what was sent."""

    def close(self) -> None:
        self._link.abort()


class Hiding(Recorder):
    """A side that is never told of a loss."""

    def linkLost(self, reason: NodeSetError) -> None:
        pass


def _runContract(bend: Callable[[], LinkPair]) -> unittest.TestResult:
    class Contract(LinkContract, TestCase):
        def makePair(self) -> Deferred[LinkPair]:
            return succeed(bend())

    result = unittest.TestResult()
    for name in unittest.TestLoader().getTestCaseNames(Contract):
        Contract(name).run(result)
    return result


class BadLinkTests(SynchronousTestCase):
    """The suite finds a transport that breaks its promises."""

    def _failing(self, bend: Callable[[], LinkPair]) -> set[str]:
        result = _runContract(bend)
        self.assertGreaterEqual(result.testsRun, 5)
        return {cast(Any, case)._testMethodName for case, _text in [*result.failures, *result.errors]}

    def _bent(self, kind: Callable[[Link], _Bad]) -> LinkPair:
        pair = memoryPair(Recorder(), Recorder())
        assert pair.near.link is not None
        pair.near.link = kind(pair.near.link)
        return pair

    def test_good(self) -> None:
        """The same way of running it finds nothing wrong with the memory link as it is."""
        self.assertEqual(self._failing(lambda: memoryPair(Recorder(), Recorder())), set())

    def test_dropsABatch(self) -> None:
        """A link that drops a batch in the middle fails."""
        self.assertLessEqual({"test_order", "test_close"}, self._failing(lambda: self._bent(Dropping)))

    def test_reorders(self) -> None:
        """A link that lets one batch overtake another fails."""
        self.assertLessEqual({"test_order", "test_close"}, self._failing(lambda: self._bent(Reordering)))

    def test_closesHastily(self) -> None:
        """A link that closes before what was sent has arrived fails, in this alone."""
        self.assertEqual(self._failing(lambda: self._bent(Hasty)), {"test_close"})

    def test_hidesALoss(self) -> None:
        """A link that does not tell a side of the loss fails, whichever side it is."""
        for near, far in ((Hiding, Recorder), (Recorder, Hiding)):
            failing = self._failing(lambda near=near, far=far: memoryPair(near(), far()))  # type: ignore[misc]  # late binding
            self.assertLessEqual({"test_abort", "test_close", "test_lossIsAtTheEnd", "test_refusedBatch"}, failing)
