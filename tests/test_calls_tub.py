"""Calls over real Tubs."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from nodeset.core.collection import NodeCollection
from nodeset.core.node import Node
from nodeset.errors import BadArguments, OutcomeUnknown, RemoteError, UnknownMethod, UnknownNode
from nodeset.transport.rendezvous import find
from nodeset.transport.tub import TubTransport
from tests.sites import Boom
from tests.test_calls import Calc
from tests.test_calls_streams import Source
from tests.test_contract import until
from tests.test_restart import freePort
from tests.test_tub import TubCase, played, reactor


class CallTests(TubCase):
    @played
    async def test_roundTrip(self) -> None:
        """A call crosses two links of TLS and comes back, as do its errors, with many under way at a time."""
        await self.acceptor()
        calc, me = self.node(Calc, name="calc"), self.node(Node, name="me")
        await gatherResults([calc.start(), me.start()])
        self.assertEqual(await me.call("calc", "add", 1, b=2), 3)
        self.assertEqual(await me.call("calc", "pause", 0.01), "rested")
        large = "x" * 1_000_000
        self.assertEqual(await gatherResults([me.call("calc", "echo", large) for _ in range(8)]), [large] * 8)
        self.assertEqual(await gatherResults([me.call("calc", "add", n) for n in range(5_000)]), list(range(1, 5_001)))
        await self.fails(UnknownNode, me.call("nobody", "add", 1))
        await self.fails(UnknownMethod, me.call("calc", "nothing"))
        await self.fails(BadArguments, me.call("calc", "add", "one"))
        error = await self.fails(RemoteError, me.call("calc", "fail"))
        self.assertEqual(str(error), "it went wrong")
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 1)

    @played
    async def test_stream(self) -> None:
        """Far more than one answer may hold comes as a stream."""
        await self.acceptor()
        source, me = self.node(Source, name="source"), self.node(Node, name="me")
        await gatherResults([source.start(), me.start()])
        sizes = [len(item) async for item in await me.call("source", "large", 100, 200_000)]
        self.assertEqual(sizes, [200_000] * 100)

    @played
    async def test_cancelled(self) -> None:
        """Cancelling reaches the callee; a caller that is gone cancels as well."""
        await self.acceptor()
        calc, me = self.node(Calc, name="calc"), self.node(Node, name="me")
        await gatherResults([calc.start(), me.start()])
        waiting = me.call("calc", "hold")
        await until(lambda: bool(calc.held))
        waiting.addErrback(lambda failure: None)
        waiting.cancel()
        await until(lambda: calc.ran == ["cancelled"])
        me.call("calc", "hold").addErrback(lambda failure: failure.trap(OutcomeUnknown))
        await until(lambda: len(calc.held) == 2)
        assert me._peer is not None
        link: Any = me._peer._link
        me._peer.stop()
        link.abort()
        await until(lambda: len(calc.ran) == 2)

    @played
    async def test_restart(self) -> None:
        """What runs while the dispatcher is killed is answered through the next one."""
        port = freePort()
        acceptor = await self.acceptor(port)
        calc, me = self.node(Calc, name="calc"), self.node(Node, name="me")
        await gatherResults([calc.start(), me.start()])
        waiting = me.call("calc", "hold")
        await until(lambda: bool(calc.held))
        self.patch(acceptor.dispatcher, "drain_timeout", 0.1)
        await acceptor.stopService()
        await self.acceptor(port)
        calc.held[0].callback("after all")
        self.assertEqual(await waiting, "after all")

    @played
    async def test_member(self) -> None:
        """Calls reach the member that is meant, and go between members, over their one connection."""
        await self.acceptor()
        source = find(str(self.file), environ={}, state_directory=self.home)
        house = NodeCollection(transport=TubTransport(source, reactor))
        self.addCleanup(house.stopService)
        rooms = [Calc(name=f"room{index}") for index in range(2)]
        adapters = [house.adapt(room) for room in rooms]
        house.startService()
        me = self.node(Node, name="me")
        started: list[Deferred[Any]] = [house.start(), me.start()]
        await gatherResults(started)
        self.assertEqual(await me.call("room1", "add", 1), 2)
        self.assertEqual(await adapters[1].call("room0", "add", 2), 3)
        self.assertEqual([room.ran for room in rooms], [[(2, 1)], [(1, 1)]])
