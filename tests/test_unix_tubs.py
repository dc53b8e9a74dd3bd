"""Tubs on unix sockets: dispatchers, their nodes, those who come after one that was killed."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from nodeset.cli.listen import readListen
from nodeset.cli.options import oneLine
from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.node import Node
from nodeset.errors import LinkLost, PortTaken, Receipt, Refused
from nodeset.testing import LinkContract, LinkPair, Recorder
from nodeset.transport.clock import MonotonicClock
from nodeset.transport.endpoint import endpointOf, hintOf
from nodeset.transport.fastpath import FastBroker
from nodeset.transport.furl import Furl, newName, parse, redact
from nodeset.transport.rendezvous import claim, claimOf, sourceOf
from nodeset.transport.tub import TubAcceptor, TubTransport
from nodeset.transport.wire import isOurs
from tests.sites import Order, Shop
from tests.test_contract import Taker, until
from tests.test_tub import played

reactor: Any = _reactor


class SocketTubCase(TestCase):
    """Tubs that meet at `nerve.sock`."""

    timeout = 30

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir(parents=True)
        self.path = self.base / "nerve.sock"

    def make(self, dispatcher: Any, home: str = "state") -> TubAcceptor:
        """An acceptor that does not listen yet."""
        listening = readListen(f"ipc://{self.path}")
        held = claim(self.base / home, listening.place)
        self.addCleanup(held.release)
        acceptor = TubAcceptor(dispatcher, held, listening.endpoint, listening.hints, reactor)
        self.addCleanup(acceptor.stopService)
        return acceptor

    async def acceptor(self, dispatcher: Any = None, home: str = "state") -> TubAcceptor:
        """One that listens."""
        acceptor = self.make(dispatcher or EventDispatcher(MonotonicClock(reactor)), home)
        acceptor.startService()
        await acceptor.listening
        return acceptor

    async def transport(self) -> TubTransport:
        """How a node comes here."""
        source = sourceOf(endpointOf(f"ipc://{self.path}"), {}, self.base / "state")
        transport = TubTransport(source, reactor)
        await transport.startTransport()
        self.addCleanup(transport.stopTransport)
        return transport

    def node(self, kind: type[Any] = Node, endpoints: tuple[str, ...] = (), **options: Any) -> Any:
        """A node that runs."""
        source = sourceOf(endpointOf(f"ipc://{self.path}"), {}, self.base / "state")
        node = kind(transport=TubTransport(source, reactor, endpoints), **options)
        self.addCleanup(node.stopService)
        node.startService()
        return node


class SocketContractTests(LinkContract, SocketTubCase):
    """The contract on Foolscap over a socket."""

    def makePair(self) -> Deferred[LinkPair]:
        return Deferred.fromCoroutine(self._makePair())

    async def _makePair(self) -> LinkPair:
        near, far = Recorder(), Recorder()
        self.setUp()  # some of the contract needs two of them
        await self.acceptor(Taker(far))
        near.link, _answer = await (await self.transport()).dial(b"hello", near)
        return LinkPair(near, far, until, lambda: deferLater(reactor, 0.02, lambda: None))


class SocketTests(SocketTubCase):
    """`nodeset.transport.unixsocket`."""

    @played
    async def test_events(self) -> None:
        """Events go both ways, on the fast path, through a socket that is its user's alone, which goes at the end."""
        acceptor = await self.acceptor()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        shop, publisher = self.node(Shop, name="shop"), self.node(name="publisher")
        await shop.start()
        await publisher.start()
        receipts = [publisher.publish("orders.created", Order, id=number, level="handled") for number in range(100)]
        self.assertEqual({await receipt for receipt in receipts}, {Receipt(1, 1, 0)})
        self.assertEqual(shop.orders, list(range(100)))
        brokers = [*acceptor._tub.brokers.values(), *shop._transport._tub.brokers.values()]
        self.assertEqual(len(brokers), 3)
        for broker in brokers:
            self.assertIsInstance(broker, FastBroker)
            self.assertIsNotNone(broker._inlet)
            self.assertTrue(isOurs(broker.transport))
        self.assertTrue(publisher._transport.furl().startswith(f"pb://{acceptor._claim.tub_id}@{hintOf(str(self.path))}/"))
        await acceptor.stopService()
        self.assertEqual([each.name for each in self.base.iterdir()], ["state"])

    @played
    async def test_streams(self) -> None:
        """Nodes that came by a socket are introduced to each other at an address of this machine."""
        await self.acceptor()
        node = self.node(endpoints=("tcp:0",))
        await node.start()
        meeting = node._transport.meeting
        offer = meeting.offer("a" * 32, Recorder())
        offer.taken.addErrback(lambda failure: failure.trap(LinkLost))
        self.assertEqual(parse(offer.furl).hints, (f"tcp:127.0.0.1:{meeting._port}",))

    @played
    async def test_no_introduction_by_path(self) -> None:
        """A node that names a path of ours for us to connect to is refused."""
        one, other = await self.transport(), await self.transport()
        assert one.meeting is not None and other.meeting is not None
        furl = str(Furl(other.meeting.tub_id, [hintOf(str(self.path))], newName()))
        error = await self.assertFailure(one.meeting.meet(furl, other.meeting.tub_id, Recorder()), Refused)
        self.assertIn("not for others to choose", str(error))

    @played
    async def test_two(self) -> None:
        """A second dispatcher at one socket is refused in one line, whatever its state directory; the first stays."""
        await self.acceptor()
        second = self.make(EventDispatcher(MonotonicClock(reactor)), "other")
        line = str(self.assertRaises(PortTaken, second.startService))
        self.assertIn("somebody listens on", line)
        self.assertNotIn("\n", line)
        await second.stopService()
        await self.node().start()
        self.assertTrue(self.path.exists())

    @played
    async def test_stolen(self) -> None:
        """A dispatcher whose socket somebody has replaced leaves theirs alone when it stops."""
        acceptor = await self.acceptor()
        self.path.unlink()
        self.path.write_text("theirs")
        await acceptor.stopService()
        self.assertEqual(self.path.read_text(), "theirs")

    @played
    async def test_nobody(self) -> None:
        """A socket that is gone, is dead, or is not for us: nobody answers, in one line, soon."""
        held = claimOf(endpointOf(f"ipc://{self.path}"), self.base / "state")
        held.publish([hintOf(str(self.path))])
        held.release()
        transport = await self.transport()
        error = await self.assertFailure(transport.dial(b"hello", Recorder()), LinkLost)
        self.assertIn("nobody answers there", str(error))
        self.assertIn(f"ipc://{self.path}", str(error))
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(os.path.relpath(self.path))
            await self.assertFailure(transport.dial(b"hello", Recorder()), LinkLost)
        self.path.unlink()
        self.path.symlink_to("/")
        await self.assertFailure(transport.dial(b"hello", Recorder()), LinkLost)

    @played
    async def test_long(self) -> None:
        """A socket with a path too long for the kernel serves as well, is replaced as well, and no descriptor is left."""
        self.path = self.base / ("d" * 120) / "nerve.sock"
        self.path.parent.mkdir()
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as dead:
                here = os.open(self.path.parent, os.O_RDONLY)
                dead.bind(f"/proc/self/fd/{here}/nerve.sock")
                os.close(here)
            acceptor = await self.acceptor()
            node = self.node()
            await node.start()
            self.assertEqual(await node.publish("x"), Receipt(0, 0, 0))
            self.assertEqual([each for each in Path("/proc/self/fd").iterdir() if _leadsTo(each, self.path.parent)], [])
            await node.stopService()
            await acceptor.stopService()
            self.assertFalse(self.path.exists())

    @played
    async def test_shown(self) -> None:
        """The address of a socket, made safe to show, stays as it is wherever it is shown."""
        shown = redact(Furl("a" * 32, [hintOf("/run/a b~ü-.sock")], newName()))
        self.assertEqual(oneLine(f"cannot link to {shown}"), f"cannot link to {shown}")

    @played
    async def test_restart(self) -> None:
        """After a restart the FURL is the same one: nodes come back by themselves."""
        first = await self.acceptor()
        node = self.node()
        await node.start()
        before = node._transport.furl()
        await first.stopService()
        await self.acceptor()
        self.assertEqual(await node.publish("x"), Receipt(0, 0, 0))
        self.assertEqual(node._transport.furl(), before)
        self.assertEqual(parse(before).hints, (hintOf(str(self.path)),))


def _leadsTo(descriptor: Path, path: Path) -> bool:
    try:
        return descriptor.readlink() == path
    except OSError:
        return False
