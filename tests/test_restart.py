"""A dispatcher that is killed, with real processes and sockets."""

from __future__ import annotations

import random
import socket
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

from nodeset.core.node import Node
from nodeset.errors import Receipt
from nodeset.transport.rendezvous import find
from nodeset.transport.tub import TubTransport
from tests.children import Child
from tests.sites import Order, Shop
from tests.test_contract import until

reactor: Any = _reactor


def freePort() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RestartTests(TestCase):
    """kill -9 of the dispatcher, then another one on the same FURL."""

    timeout = 60

    def test_fiveKills(self) -> Deferred[None]:
        """Killed five times at random moments under a publisher that never pauses: everything is confirmed as delivered;
        nothing confirmed was lost, shown twice or out of order."""
        return Deferred.fromCoroutine(self._kills(5))

    async def _dispatcher(self, home: Path, port: int) -> Child:
        child = Child("tests.children", str(home), str(port))
        self.addCleanup(child.kill)
        self.assertEqual(await child.said, "listening", child.output)
        return child

    def _node(self, kind: type[Any], home: Path) -> Any:
        source = find(str(home / "localhost_5333_test.furl"), environ={}, state_directory=home)
        node = kind(name="nodeAbc", transport=TubTransport(source, reactor))
        self.addCleanup(node.stopService)
        node.startService()
        return node

    async def _kills(self, times: int) -> None:
        home, port = Path(self.mktemp()).absolute(), freePort()
        shops, publisher = [self._node(Shop, home), self._node(Shop, home)], self._node(Node, home)
        child = await self._dispatcher(home, port)
        for shop in shops:
            await shop.start()
        receipts: list[Deferred[Any]] = []

        def publish() -> None:
            # In bursts of many sizes, so that a kill finds events at every point of their way.
            for _ in range(random.randint(1, 40)):
                receipts.append(publisher.publish("orders.created", Order, id=len(receipts)))

        publishing = LoopingCall(publish)
        self.addCleanup(lambda: publishing.stop() if publishing.running else None)
        failing = publishing.start(0.01)
        failing.addErrback(lambda failure: self.fail(failure.getTraceback()))
        shown = 0
        for _ in range(times):
            # In the rush of what waited for the restart, or when that is over.
            moment = random.randint(shown + 1, len(receipts) + 800)
            await until(lambda moment=moment: len(shops[0].orders) >= moment)  # type: ignore[misc]  # bound now, not late
            await child.kill()
            child = await self._dispatcher(home, port)
            listening, shown = time.monotonic(), len(shops[0].orders)
            await until(lambda shown=shown: len(shops[0].orders) > shown, 10.0)  # type: ignore[misc]  # the same
            # Its pause is 2 s, and nobody pauses over 1 s before dialling.
            self.assertLess(time.monotonic() - listening, 5.0)
        publishing.stop()
        self.assertEqual({await receipt for receipt in receipts}, {Receipt(2, 2, 0)})
        for shop in shops:
            self.assertEqual(shop.orders, list(range(len(receipts))))
