"""A dispatcher that is known by several addresses, over real Tubs."""

from __future__ import annotations

from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.node import Node
from nodeset.transport.clock import MonotonicClock
from nodeset.transport.furl import parsePlace
from nodeset.transport.rendezvous import claim
from nodeset.transport.tub import TubAcceptor
from tests.test_tub import TubCase, played, reactor


class HintTests(TubCase):
    @played
    async def test_severalAddresses(self) -> None:
        """A node that reaches its dispatcher by two addresses at once is linked by the first attempt, each time."""
        held = claim(self.home, parsePlace("pbu://localhost:5333/test"))
        hints = ["tcp:127.0.0.1:0", "tcp:127.0.0.2:0"]
        dispatcher = EventDispatcher(MonotonicClock(reactor), fresh=held.fresh)
        acceptor = TubAcceptor(dispatcher, held, "tcp:0:interface=0.0.0.0", hints, reactor)
        self.addCleanup(acceptor.stopService)
        acceptor.startService()
        await acceptor.listening
        for number in range(12):
            node = self.node(Node, name=f"n{number}")
            attempts = self.attempts(node)
            await node.start()
            await node.subscribe("still.here")
            self.assertEqual(len(attempts), 0, "it took another attempt")
            await node.stopService()
