"""Direct connections between the Tubs of two nodes, over real sockets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from foolscap.api import Tub
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from nodeset.errors import LinkLost, NodeSetError, Refused, WrongIdentity
from nodeset.testing import Recorder
from nodeset.transport import direct
from nodeset.transport.certificate import createCertificate
from nodeset.transport.furl import parse
from nodeset.transport.guard import TokenGuard
from nodeset.transport.rendezvous import find
from nodeset.transport.tub import TubTransport
from tests.test_contract import until

reactor: Any = _reactor


class DirectCase(TestCase):
    """Transports of nodes, without a dispatcher."""

    timeout = 30

    async def transport(self, listens: bool = True) -> TubTransport:
        """One that runs."""
        source = find(self.mktemp(), environ={}, state_directory=Path(self.mktemp()))
        transport = TubTransport(source, reactor, ("tcp:0:interface=127.0.0.1",) if listens else (), None, "localhost")
        await transport.startTransport()
        self.addCleanup(transport.stopTransport)
        return transport

    async def pair(self) -> tuple[Any, Any]:
        """The meetings of two."""
        return (await self.transport()).meeting, (await self.transport()).meeting

    async def link(self, dialler: Any, taker: Any) -> tuple[Recorder, Recorder]:
        """A link between them, its two ends' recorders."""
        near, far = Recorder(), Recorder()
        offer = taker.offer(dialler.tub_id, far)
        near.link = await dialler.meet(offer.furl, taker.tub_id, near)
        far.link = await offer.taken
        return near, far


class MeetingTests(DirectCase):
    """Meeting."""

    def play(self, scenario: Callable[[], Any]) -> Deferred[None]:
        return Deferred.fromCoroutine(scenario())

    def test_meet(self) -> Deferred[None]:
        """Batches go both ways, by a FURL that leads to the port that was got, with 160 random bits in its name."""

        async def scenario() -> None:
            one, other = await self.pair()
            near, far = await self.link(one, other)
            assert near.link is not None and far.link is not None
            near.link.send(b"to")
            far.link.send(b"fro")
            await until(lambda: bool(near.batches and far.batches))
            self.assertEqual((near.batches, far.batches), ([b"fro"], [b"to"]))
            offer = other.offer(one.tub_id, Recorder())
            offer.taken.addErrback(lambda failure: None)
            furl = parse(offer.furl)
            self.assertEqual((furl.tub_id, len(furl.name)), (other.tub_id, 32))
            self.assertNotIn(":0", furl.hints[0])

        return self.play(scenario)

    def test_large(self) -> Deferred[None]:
        """Both sides of an introduced connection may send batches, though neither is a dispatcher."""

        async def scenario() -> None:
            near, far = await self.link(*await self.pair())
            assert near.link is not None and far.link is not None
            for link in (near.link, far.link):
                link.send(bytes(1_500_000))
            await until(lambda: bool(near.batches and far.batches))
            self.assertEqual((len(near.batches[0]), len(far.batches[0])), (1_500_000, 1_500_000))

        return self.play(scenario)

    def test_shared(self) -> Deferred[None]:
        """Two links between the same nodes share a connection; closing one leaves the other alone, late frames harm nobody."""

        async def scenario() -> None:
            one, other = await self.pair()
            first, second = await self.link(one, other), await self.link(other, one)
            self.assertEqual((len(one._tub.brokers), len(other._tub.brokers)), (1, 1))
            assert first[0].link is not None and first[1].link is not None and second[0].link is not None
            first[0].link.send(b"last")
            first[0].link.close()
            await until(lambda: bool(first[1].batches and first[0].losses))
            for _ in range(50):
                first[1].link.send(bytes(100_000))
            second[0].link.send(b"alive")
            await until(lambda: bool(second[1].batches))
            self.assertEqual((first[0].batches, second[1].losses, second[0].losses), ([], [], []))

        return self.play(scenario)

    def test_hangsUp(self) -> Deferred[None]:
        """The connection is closed a while after its last link; the next link makes a new one."""
        self.patch(direct, "_LINGER", 0.05)

        async def scenario() -> None:
            one, other = await self.pair()
            near, far = await self.link(one, other)
            assert near.link is not None and far.link is not None
            near.link.close()
            far.link.close()
            await until(lambda: not one._tub.brokers and not other._tub.brokers)
            near, far = await self.link(one, other)
            assert near.link is not None
            near.link.send(b"again")
            await until(lambda: bool(far.batches))

        return self.play(scenario)

    def test_dies(self) -> Deferred[None]:
        """When one side stops, or cuts the link, the other is told, once."""

        async def scenario() -> None:
            one, other = await self.pair()
            near, far = await self.link(one, other)
            assert near.link is not None
            near.link.abort()
            await until(lambda: bool(near.losses and far.losses))
            self.assertEqual((len(near.losses), len(far.losses)), (1, 1))
            self.assertIsInstance(far.losses[0], LinkLost)

        return self.play(scenario)

    def test_usedUp(self) -> Deferred[None]:
        """An offer lets in one, once; the name means nothing afterwards, and nothing before it is withdrawn."""

        async def scenario() -> None:
            one, other = await self.pair()
            offer = other.offer(one.tub_id, Recorder())
            await one.meet(offer.furl, other.tub_id, Recorder())
            await self.refused(Refused, one.meet(offer.furl, other.tub_id, Recorder()))
            gone = other.offer(one.tub_id, Recorder())
            gone.withdraw()
            await self.refused(LinkLost, gone.taken)
            await self.refused(Refused, one.meet(gone.furl, other.tub_id, Recorder()))

        return self.play(scenario)

    async def refused(self, kind: type[NodeSetError], deferred: Deferred[Any]) -> None:
        error = await self.assertFailure(deferred, kind)
        self.assertNotIn("\n", str(error))

    def test_wrongDialler(self) -> Deferred[None]:
        """Another Tub than the one that was introduced is refused, though it knows the FURL; the right one still comes in."""

        async def scenario() -> None:
            one, other = await self.pair()
            third: Any = (await self.transport(listens=False)).meeting
            offer = other.offer(one.tub_id, Recorder())
            await self.refused(Refused, third.meet(offer.furl, other.tub_id, Recorder()))
            await one.meet(offer.furl, other.tub_id, Recorder())

        return self.play(scenario)

    def test_leadsElsewhere(self) -> Deferred[None]:
        """A FURL of another Tub is not dialled; one whose place another Tub answers at fails as well."""

        async def scenario() -> None:
            one, other = await self.pair()
            third: Any = (await self.transport()).meeting
            offer = other.offer(one.tub_id, Recorder())
            offer.taken.addErrback(lambda failure: None)
            await self.refused(WrongIdentity, one.meet(offer.furl, third.tub_id, Recorder()))
            self.assertFalse(one._tub.brokers or one._tub.tubConnectors)
            moved = offer.furl.replace(f":{other._port}/", f":{third._port}/")
            await self.refused(NodeSetError, one.meet(moved, other.tub_id, Recorder()))

        return self.play(scenario)

    def test_unreachable(self) -> Deferred[None]:
        """An address where nobody listens fails soon, one that never answers after a bounded time; bad ones at once."""
        self.patch(direct, "ATTEMPT", 0.3)

        async def scenario() -> None:
            one, other = await self.pair()
            offer = other.offer(one.tub_id, Recorder())
            offer.taken.addErrback(lambda failure: None)
            silent = Silent.listen(self)
            for port in (1, silent):
                furl = offer.furl.replace(f":{other._port}/", f":{port}/")
                await self.refused(LinkLost, one.meet(furl, other.tub_id, Recorder()))
            for bad in ("", "pb://", "x" * 9000, offer.furl.replace("@", "@" + "tcp:127.0.0.1:1," * 5)):
                await self.refused(NodeSetError, one.meet(bad, other.tub_id, Recorder()))

        return self.play(scenario)

    def test_self(self) -> Deferred[None]:
        """Nodes that share a Tub meet within the process, whether or not it listens."""

        async def scenario() -> None:
            for listens in (True, False):
                meeting: Any = (await self.transport(listens)).meeting
                await self.talk(*await self.link(meeting, meeting))

        return self.play(scenario)

    async def talk(self, near: Recorder, far: Recorder) -> None:
        assert near.link is not None
        near.link.send(b"here")
        await until(lambda: bool(far.batches))
        near.link.close()
        await until(lambda: bool(near.losses and far.losses))

    def test_nowhere(self) -> Deferred[None]:
        """A node that listens nowhere offers nothing to others."""

        async def scenario() -> None:
            meeting: Any = (await self.transport(listens=False)).meeting
            self.assertIsNone(meeting.offer("a" * 32, Recorder()))

        return self.play(scenario)


class StrangerTests(DirectCase):
    """Who was not introduced."""

    def test_limits(self) -> Deferred[None]:
        """A stranger at a node's port may send 8 KiB at a time, names nothing, and is cut off soon."""
        from nodeset.transport import broker

        self.patch(broker, "PROOF_TIMEOUT", 0.2)

        async def scenario() -> None:
            meeting: Any = (await self.transport()).meeting
            offer = meeting.offer("a" * 32, Recorder())
            offer.taken.addErrback(lambda failure: None)
            tub = Tub(certData=createCertificate())
            tub.startService()
            self.addCleanup(tub.stopService)
            place = offer.furl.rpartition("/")[0]
            failed = await self.assertFailure(tub.getReference(f"{place}/{'b' * 32}"), Exception)
            self.assertIsNotNone(failed)
            guard: TokenGuard = next(iter(meeting._tub.brokers.values())).guard
            self.assertEqual(guard.limit, broker.STRANGER_LIMIT)
            await until(lambda: not meeting._tub.brokers)

        return Deferred.fromCoroutine(scenario())


class Silent:
    """A port that takes connections, and says nothing."""

    @staticmethod
    def listen(case: TestCase) -> int:
        from twisted.internet.protocol import Factory, Protocol

        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        case.addCleanup(port.stopListening)
        return int(port.getHost().port)
