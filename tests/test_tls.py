"""What is left of connections that are over."""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol

from nodeset.core.node import Node
from nodeset.transport.broker import BoundedBroker, ImpatientNegotiation
from nodeset.transport.furl import parse
from nodeset.transport.tls import _Layer
from tests.test_contract import until
from tests.test_hostile import Wire
from tests.test_tub import TubCase, played

reactor: Any = _reactor


def held() -> int:
    """How many parts of connections there are, dead ones included: the TLS of all, the rest of those of dispatchers."""
    return sum(
        isinstance(one, ImpatientNegotiation | _Layer) or (isinstance(one, BoundedBroker) and hasattr(one.tub, "note"))
        for one in gc.get_objects()
    )


class TlsTests(TubCase):
    """`nodeset.transport.tls`."""

    def setUp(self) -> None:
        super().setUp()
        if gc.isenabled():
            self.addCleanup(gc.enable)
        gc.disable()
        # What earlier tests have left alive may die while we count; nor shall we count it, again and again.
        gc.freeze()
        self.addCleanup(gc.unfreeze)
        self.held = held()

    async def _link(self) -> Node:
        node = self.node(Node)
        await node.start()
        return node

    @played
    async def test_stopped(self) -> None:
        """A node that stops leaves nothing in its dispatcher's memory, without help of Python's cyclic collector."""
        acceptor = await self.acceptor()
        for _ in range(5):
            node = await self._link()
            await node.stopService()
        await until(lambda: held() <= self.held)
        self.assertEqual(acceptor._tub.master_table, {})

    @played
    async def test_aborted(self) -> None:
        """Nor does a connection that is lost without a goodbye, or cut off for what it says."""
        acceptor = await self.acceptor()
        for words in (b"", b"\xff", b"\x00\x88\x04\x82call\x01\x81"):
            node = await self._link()
            transport: Any = node._transport
            (broker,) = transport._tub.brokers.values()
            broker.transport.write(words)
            if words != b"\xff":
                broker.transport.abortConnection()
            await until(partial(getattr, broker, "disconnected"))
            await node.stopService()
        await until(lambda: not acceptor.dispatcher.getStats()["nodes"])
        await until(lambda: held() <= self.held)

    @played
    async def test_stranger(self) -> None:
        """Nor does a stranger that gives up in the middle of negotiating, in the clear or behind TLS."""
        await self.acceptor()
        furl = parse(self.file.read_text().strip())
        hello = f"GET /id/{furl.tub_id} HTTP/1.1\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade\r\n\r\n".encode()
        for words in (b"", b"GET /id/", b"nonsense\r\n\r\n", hello, hello + b"\x16\x03\x01nonsense" * 50):
            endpoint = HostnameEndpoint(reactor, "127.0.0.1", int(furl.hints[0].rpartition(":")[2]))
            wire = await connectProtocol(endpoint, Wire())
            assert wire.transport is not None
            wire.transport.write(words)
            await until(lambda: held() > self.held)
            wire.transport.loseConnection()
            await until(partial(getattr, wire, "closed"))
        await until(lambda: held() <= self.held)

    @played
    async def test_oneContext(self) -> None:
        """All connections of a Tub share one context: OpenSSL's costs more than all else of a connection."""
        acceptor = await self.acceptor()
        for _ in range(3):
            await self._link()
        layers = [one for one in gc.get_objects() if isinstance(one, _Layer) and one.connected]
        contexts = {id(layer._tlsConnection.get_context()) for layer in layers}
        self.assertEqual(len(contexts), 4)  # of three nodes, of their dispatcher
        self.assertTrue(acceptor.running)
