"""Nodes that dial all places of a FURL at once."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import SynchronousTestCase

from nodeset.testing import Recorder
from nodeset.transport.broker import ReplacingNegotiation
from nodeset.transport.certificate import createCertificate, tubId
from nodeset.transport.furl import parsePlace
from nodeset.transport.rendezvous import claim, find
from nodeset.transport.tub import TubAcceptor, TubTransport
from tests.test_contract import Taker
from tests.test_tub import TubCase, played

reactor: Any = _reactor


class PlacesTests(TubCase):
    """A FURL with three places."""

    @played
    async def test_first(self) -> None:
        """The first attempt links, whichever of the two Tubs decides between the connections."""
        held = claim(self.home, parsePlace("pbu://localhost:5333/test"))
        hints = [f"tcp:127.0.0.{number}:0" for number in range(1, 4)]
        acceptor = TubAcceptor(cast(Any, Taker(Recorder())), held, "tcp:0", hints, reactor)
        self.addCleanup(acceptor.stopService)
        acceptor.startService()
        await acceptor.listening
        source = find(str(self.file), environ={}, state_directory=self.home)
        wanted = {True, False}
        while wanted:
            identity = self.home / "node.pem"
            identity.write_bytes(createCertificate())
            is_lower = tubId(identity.read_bytes()) < held.tub_id
            if is_lower in wanted:
                wanted.remove(is_lower)
                transport = TubTransport(source, reactor, identity=identity)
                await transport.startTransport()
                self.addCleanup(transport.stopTransport)
                _link, answer = await transport.dial(b"hello", Recorder())
                self.assertEqual(answer, b"answer to hello")
                await transport.stopTransport()


class ReplacingTests(SynchronousTestCase):
    """Which of two connections of one Tub stays."""

    def replaces(self, age: float, run: str = "a run", **more: bool) -> bool:
        """Whether a new connection takes the place of one that is so old."""
        state = {"disconnected": False, "connectionAbandoned": False, **more}
        existing: Any = SimpleNamespace(current_slave_IR="a run", made=time.monotonic() - age, **state)
        return ReplacingNegotiation().compareOfferAndExisting({"my-incarnation": run}, existing, None)

    def test_parallel(self) -> None:
        """Of connections that are made at one time the first one stays."""
        self.assertFalse(self.replaces(0.0))
        self.assertFalse(self.replaces(1.0))

    def test_dead(self) -> None:
        """One that is older may be dead without anybody knowing; one that is known to be over, or another run's, is."""
        self.assertTrue(self.replaces(3.0))
        self.assertTrue(self.replaces(0.0, run="another run"))
        self.assertTrue(self.replaces(0.0, disconnected=True))
        self.assertTrue(self.replaces(0.0, connectionAbandoned=True))
