"""Nodes with a dispatcher over real Tubs, in one process."""

from __future__ import annotations

import errno
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import attrs
from foolscap.api import Tub
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import LoopingCall
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase

from nodeset.cli.node import chooseEndpoints
from nodeset.core import batch as wire
from nodeset.core.batch import NO_HEADERS, Events, Level, Mode
from nodeset.core.collection import NodeCollection
from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.hello import Hello, packHello
from nodeset.core.node import Node
from nodeset.core.utils import catch
from nodeset.errors import BadFurl, NodeSetError, PortTaken, Receipt, Refused, StateUnusable, WrongIdentity
from nodeset.settings import Settings
from nodeset.transport import tub
from nodeset.transport.certificate import createCertificate, tubId
from nodeset.transport.clock import MonotonicClock
from nodeset.transport.faces import LinkFace
from nodeset.transport.furl import Furl, newName, parse, parsePlace
from nodeset.transport.rendezvous import claim, find
from nodeset.transport.tub import TubAcceptor, TubTransport
from tests.sites import Order, Quiet, Shop
from tests.test_contract import until
from tests.test_restart import freePort

reactor: Any = _reactor
N = TypeVar("N", bound=Node)


class TubCase(TestCase):
    """Real Tubs, all of them stopped at the end."""

    timeout = 30

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.file = self.home / "localhost_5333_test.furl"

    async def acceptor(self, port: int = 0, home: Path | None = None) -> TubAcceptor:
        """A dispatcher that listens on loopback."""
        acceptor = self._acceptor(port, home)
        acceptor.startService()
        await acceptor.listening
        return acceptor

    def _acceptor(self, port: int, home: Path | None = None) -> TubAcceptor:
        held = claim(home or self.home, parsePlace("pbu://localhost:5333/test"))
        self.addCleanup(held.release)
        endpoint, hints = f"tcp:{port}:interface=127.0.0.1", [f"tcp:127.0.0.1:{port}"]
        acceptor = TubAcceptor(EventDispatcher(MonotonicClock(reactor), fresh=held.fresh), held, endpoint, hints, reactor)
        self.addCleanup(acceptor.stopService)
        return acceptor

    def node(self, kind: type[N], identity: Path | None = None, file: Path | None = None, **options: Any) -> N:
        """A node that runs, of the FURL file."""
        source = find(str(file or self.file), environ={}, state_directory=self.home)
        node = kind(transport=TubTransport(source, reactor, identity=identity), **options)
        self.addCleanup(node.stopService)
        node.startService()
        return node

    def stranger(self) -> Any:
        """A stock Tub."""
        tub = Tub(certData=createCertificate())
        tub.startService()
        self.addCleanup(tub.stopService)
        return tub

    async def fails(self, error: type[NodeSetError], deferred: Deferred[Any]) -> NodeSetError:
        """What it fails with, in one line, without a secret."""
        raised = await self.assertFailure(deferred, error)
        self.assertNotIn("\n", str(raised))
        return raised  # type: ignore[no-any-return]  # trial has no types here

    def count(self, acceptor: TubAcceptor) -> list[object]:
        """Grows by one with each connection."""
        listener, seen = acceptor._listener, []
        build = listener.buildProtocol

        def counted(address: object) -> Any:
            seen.append(address)
            return build(address)

        self.patch(listener, "buildProtocol", counted)
        return seen

    def attempts(self, node: Node) -> list[object]:
        """Grows by one with each attempt to link."""
        transport: Any = node._transport
        dial, seen = transport.dial, []

        def counted(hello: bytes, receiver: object) -> Any:
            seen.append(receiver)
            return dial(hello, receiver)

        self.patch(transport, "dial", counted)
        return seen


def played(coroutine_test: Any) -> Any:
    """A test written as a coroutine."""

    def test(self: TubCase) -> Deferred[None]:
        scenario: Coroutine[Deferred[Any], Any, None] = coroutine_test(self)
        return Deferred.fromCoroutine(scenario)

    test.__doc__, test.__name__ = coroutine_test.__doc__, coroutine_test.__name__
    return test


class TubTests(TubCase):
    """`nodeset.transport.tub`."""

    @played
    async def test_roundTrip(self) -> None:
        """Events go both ways between nodes in their own Tubs, at every level, in order."""
        await self.acceptor()
        shop, publisher = self.node(Shop, name="nodeAbc"), self.node(Node, name="nodeAbc")
        self.assertIs(await shop.start(), shop)
        await publisher.start()
        self.assertEqual(await publisher.publish("orders.created", Order, id=0), Receipt(1, 1, 0))
        receipts = [publisher.publish("orders.created", Order, id=number, level="handled") for number in range(1, 500)]
        self.assertEqual({await receipt for receipt in receipts}, {Receipt(1, 1, 0)})
        self.assertEqual(shop.orders, list(range(500)))
        await publisher.subscribe("back")
        self.assertEqual(await shop.publish("back"), Receipt(1, 1, 0))

    @played
    async def test_wrongCertificate(self) -> None:
        """Another dispatcher behind the port is WrongIdentity, told once, and not dialled again at every attempt."""
        acceptor = await self.acceptor()
        real = parse(self.file.read_text().strip())
        wrong = self.home / "wrong.furl"
        wrong.write_text(str(Furl(tubId(createCertificate()), real.hints, real.name)))
        connections = self.count(acceptor)
        node = self.node(Node, file=wrong)
        error = await self.fails(WrongIdentity, node.start())
        self.assertNotIn(real.name, str(error))
        attempts = self.attempts(node)
        await until(lambda: len(attempts) >= 3)
        self.assertEqual(len(connections), 1)

    @played
    async def test_unknownName(self) -> None:
        """A FURL with a name that the dispatcher does not know is Refused; the right one in its place is taken at once."""
        acceptor = await self.acceptor()
        real = parse(self.file.read_text().strip())
        stale = self.home / "stale.furl"
        stale.write_text(str(Furl(real.tub_id, real.hints, newName())))
        connections = self.count(acceptor)
        node = self.node(Node, file=stale)
        self.assertIn("does not know this FURL", str(await self.fails(Refused, node.start())))
        attempts = self.attempts(node)
        await until(lambda: len(attempts) >= 3)
        self.assertEqual(len(connections), 1)
        stale.write_text(str(real))
        self.assertIs(await node.start(), node)

    @played
    async def test_portTaken(self) -> None:
        """A port that is taken is PortTaken, raised by startService; the dispatcher can be stopped afterwards."""
        acceptor = await self.acceptor()
        port = await self._portOf()
        second = self._acceptor(port, self.home / "second")
        error = self.assertRaises(PortTaken, second.startService)
        self.assertIn(str(port), str(error))
        await second.stopService()
        await self.node(Node).start()
        self.assertTrue(acceptor.running)

    @played
    async def test_defaultListen(self) -> None:
        """A port that was free when a node looked, and is taken when it listens: a default gives way, the user's own fails."""
        with socket.socket() as other:
            # Bound by one that allows others, until it listens.
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", 0))
            port = int(other.getsockname()[1])
            chosen = Settings(listen=f"localhost:{port}")
            default = self._listening(chosen)
            own = self._listening(attrs.evolve(chosen, given=frozenset({"listen"})))
            other.listen()
            with capturedLogs() as logged:
                await default.startTransport()
            ports = [event["port"] for event in logged if "listening on port" in str(event["log_format"])]
            self.assertEqual(len(ports), 1)
            self.assertNotEqual(ports, [port])
            error = await self.fails(PortTaken, own.startTransport())
            self.assertIn(f"cannot listen on tcp:{port}:interface=127.0.0.1: ", str(error))

    @played
    async def test_boundTogether(self) -> None:
        """Two that bind one port at the same moment, of whom the other listens first: a default gives way then as well."""
        made: list[str] = []

        class Late:
            """Where bind() goes well, listen() does not; so Twisted leaves the error as it is."""

            def listen(self, factory: object) -> Deferred[object]:
                return fail(OSError(errno.EADDRINUSE, "Address already in use"))

        def parsed(description: str, reactor: object) -> object:
            made.append(description)
            return Late() if len(made) == 1 else serverFromString(reactor, description)

        self.patch(tub, "_parse", parsed)
        default = self._listening(Settings())
        with capturedLogs() as logged:
            await default.startTransport()
        self.assertEqual(len([event for event in logged if "listening on port" in str(event["log_format"])]), 1)
        self.assertEqual(len(made), 2)

    def _listening(self, found: Settings) -> TubTransport:
        """A transport that listens where `nodeset-node` with these settings would."""
        source = find(str(self.file), environ={}, state_directory=self.home)
        transport = TubTransport(source, reactor, chooseEndpoints(reactor, found))
        self.addCleanup(transport.stopTransport)
        return transport

    async def _portOf(self) -> int:
        return int(parse(self.file.read_text().strip()).hints[0].rpartition(":")[2])

    @played
    async def test_restart(self) -> None:
        """The FURL survives a restart, and nodes come back to it by themselves."""
        acceptor = await self.acceptor()
        shop, publisher = self.node(Shop), self.node(Node)
        await shop.start()
        text, port = self.file.read_text(), await self._portOf()
        await acceptor.stopService()
        self.assertEqual(self.file.read_text(), text)
        again = await self.acceptor(port)
        self.assertEqual(self.file.read_text(), text)
        await until(lambda: again.dispatcher.getStats()["nodes"] == 2)
        self.assertEqual(await publisher.publish("orders.created", Order, id=1), Receipt(1, 1, 0))

    @played
    async def test_dialWhileStopping(self) -> None:
        """Who dials a dispatcher that is stopping is not refused: it tries again and finds the next one at once."""
        acceptor = await self.acceptor()
        await self.node(Node).start()
        self.patch(acceptor.dispatcher, "_draining", True)
        late = self.node(Node)
        attempts = self.attempts(late)
        await until(lambda: len(attempts) >= 2)
        self.patch(acceptor.dispatcher, "_draining", False)
        self.assertIs(await late.start(), late)

    @played
    async def test_fileLater(self) -> None:
        """A node that is started before its dispatcher ever was waits for the FURL file, then links."""
        node = self.node(Node)
        receipt = node.publish("a")
        attempts = self.attempts(node)
        await until(lambda: len(attempts) >= 2)
        self.home.mkdir(mode=0o700, exist_ok=True)
        await self.acceptor()
        self.assertIs(await node.start(), node)
        self.assertEqual(await receipt, Receipt(0, 0, 0))

    @played
    async def test_hugeFile(self) -> None:
        """A FURL file of 1 MiB is BadFurl in one short line; the node keeps trying until there is a good one."""
        self.home.mkdir(mode=0o700)
        bad = self.home / "bad.furl"
        bad.write_text("pb://" + "x" * (1 << 20))
        node = self.node(Node, file=bad)
        error = await self.fails(BadFurl, node.start())
        self.assertLess(len(str(error)), 500)
        await self.acceptor()
        bad.write_text(self.file.read_text())
        self.assertIs(await node.start(), node)

    @played
    async def test_strangersLimit(self) -> None:
        """Who has named no reference is cut off at 8 KiB; who has may send a batch of 2 MiB."""
        await self.acceptor()
        shop = self.node(Shop)
        await shop.start()
        furl = self.file.read_text().strip()
        place = furl.rpartition("/")[0]
        await self.assertFailure(self.stranger().getReference(f"{place}/{'x' * 9000}"), Exception)
        opening = await self.stranger().getReference(furl)
        hello = packHello(Hello(stream="s" * 20, name="stock", host="localhost"))
        link, _answer = await opening.callRemote("open", LinkFace(), hello)
        size = wire.MAX_EVENT - 200
        payload = b'{"note":"' + b"x" * (size - 11) + b'"}'
        values: dict[str, Any] = {"stream": "", "low": 1, "mode": Mode.ALL, "again": False, "level": Level.ACCEPTED}
        values |= {"event": "orders.created", "lengths": [size], "headers": NO_HEADERS, "payloads": payload}
        batch = wire.pack([Events(first=1, **values), Events(first=2, **values)])
        self.assertGreater(len(batch), 2 * 1024 * 1024 - 1000)
        await link.callRemote("batch", batch)
        await until(lambda: len(shop.orders) == 2)

    @played
    async def test_noTraceback(self) -> None:
        """What a peer is told of an error here has its text, no traceback and no path of a file."""
        await self.acceptor()
        opening = await self.stranger().getReference(self.file.read_text().strip())
        failure: list[Any] = []
        await opening.callRemote("open", LinkFace(), b"\xff garbage").addErrback(failure.append)
        copied = failure[0]  # a stock Tub hands over Foolscap's copy of the failure
        self.assertIn("hello", str(copied.value))
        told = f"{copied.getTraceback()} {copied.value} {copied.type}"
        self.assertNotIn(".py", told)
        self.assertNotIn("File", told)

    @played
    async def test_oneIdentity(self) -> None:
        """Two nodes cannot share one identity file: the second fails with StateUnusable, the first keeps its link."""
        await self.acceptor()
        identity = self.home / "node.pem"
        first = self.node(Shop, identity=identity)
        await first.start()
        second = self.node(Node, identity=identity)
        await self.fails(StateUnusable, second.start())
        await second.stopService()
        self.assertEqual(await self.node(Node).publish("orders.created", Order, id=1), Receipt(1, 1, 0))
        await first.stopService()
        await self.node(Node, identity=identity).start()

    @played
    async def test_collection(self) -> None:
        """Members of a collection share one connection, which one that stops does not take along."""
        acceptor = await self.acceptor()
        connections = self.count(acceptor)
        collection = self.node(NodeCollection, name="all")
        one, two = Shop(name="one"), Shop(name="two")
        adapters = [collection.adapt(one), collection.adapt(two)]
        await collection.start()
        self.assertEqual(len(connections), 1)
        self.assertEqual(await adapters[0].publish("orders.created", Order, id=1), Receipt(1, 1, 0))
        await one.stopService()
        await until(lambda: acceptor.dispatcher.getStats()["nodes"] == 2)
        self.assertEqual(await collection.publish("orders.created", Order, id=2), Receipt(1, 1, 0))
        self.assertEqual((two.orders, len(connections)), ([1, 2], 1))

    @played
    async def test_stopTellsAll(self) -> None:
        """A dispatcher that stops has answered all that it was asked; nodes are linked again when the next one listens."""
        acceptor = await self.acceptor()
        quiet, publisher = self.node(Quiet), self.node(Node)
        await quiet.subscribe("a")
        await publisher.start()
        receipts = [publisher.publish("a") for _ in range(100)]
        await until(lambda: len(quiet.heard) > 0)
        await acceptor.stopService()
        answered = [receipt for receipt in receipts if receipt.called]
        self.assertEqual(len(answered), len(receipts))
        self.assertEqual({await receipt for receipt in receipts}, {Receipt(1, 1, 0)})

    @played
    async def test_stopRightAfterPublish(self) -> None:
        """A node that stops right after it published loses nothing: all is delivered and confirmed before it has stopped."""
        await self.acceptor()
        shop, publisher = self.node(Shop), self.node(Node)
        await shop.start()
        await publisher.start()
        receipts = [publisher.publish("orders.created", Order, id=number, note="x" * 500) for number in range(1000)]
        await publisher.stopService()
        self.assertTrue(all(receipt.called for receipt in receipts))
        self.assertEqual({await receipt for receipt in receipts}, {Receipt(1, 1, 0)})
        self.assertEqual(shop.orders, list(range(1000)))

    @played
    async def test_stopInHandler(self) -> None:
        """So it is when a handler publishes and stops its node, or a node stops as soon as it has started."""
        await self.acceptor()
        answers: list[Any] = []

        class Last(Node):
            @catch("last", Order)
            def work(self, msg: Order) -> Any:
                answers.extend(self.publish("orders.created", Order, id=number) for number in range(100))
                return self.stopService()

        shop, last, publisher = self.node(Shop), self.node(Last), self.node(Node)
        for node in (shop, last, publisher):
            await node.start()
        self.assertEqual(await publisher.publish("last", Order), Receipt(1, 1, 0))
        self.assertEqual({await answer for answer in answers}, {Receipt(1, 1, 0)})
        self.assertEqual(shop.orders, list(range(100)))
        brief: Node = await self.node(Node).start()
        answer = brief.publish("orders.created", Order, id=100)
        await brief.stopService()
        self.assertEqual((await answer, shop.orders[-1]), (Receipt(1, 1, 0), 100))

    @played
    async def test_subscriberStops(self) -> None:
        """A subscriber that stops under load has handled all that was given to it: nobody is told that it got lost."""
        await self.acceptor()
        shop, other, publisher = self.node(Shop), self.node(Shop), self.node(Node)
        for node in (shop, other, publisher):
            await node.start()
        receipts = [publisher.publish("orders.created", Order, id=number) for number in range(3000)]
        await until(lambda: len(shop.orders) > 100)
        await shop.stopService()
        results = [await receipt for receipt in receipts]
        self.assertTrue(all(receipt.delivered == receipt.matched for receipt in results))
        self.assertEqual(shop.orders, list(range(sum(receipt.matched == 2 for receipt in results))))
        self.assertEqual(other.orders, list(range(3000)))

    @played
    async def test_stopUnderLoad(self) -> None:
        """A dispatcher that stops under load loses nothing: the nodes go on with the next one on its FURL."""
        port = freePort()
        acceptor = await self.acceptor(port)
        shop, publisher = self.node(Shop), self.node(Node)
        await shop.start()
        await publisher.start()
        receipts: list[Any] = []

        def publish() -> None:
            for _ in range(20):
                receipts.append(publisher.publish("orders.created", Order, id=len(receipts)))

        publishing = LoopingCall(publish)
        self.addCleanup(lambda: publishing.stop() if publishing.running else None)
        publishing.start(0.01).addErrback(lambda failure: self.fail(failure.getTraceback()))
        await until(lambda: len(shop.orders) > 200)
        await acceptor.stopService()
        acceptor = await self.acceptor(port)
        shown = len(shop.orders)
        await until(lambda: len(shop.orders) > shown + 200)
        publishing.stop()
        self.assertEqual({await receipt for receipt in receipts}, {Receipt(1, 1, 0)})
        self.assertEqual(shop.orders, list(range(len(receipts))))
