"""A dispatcher that is killed, with real processes and sockets."""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from nodeset.core.node import Node
from nodeset.errors import OutcomeUnknown
from nodeset.transport.rendezvous import find
from nodeset.transport.tub import TubTransport
from tests.children import Child
from tests.test_contract import until
from tests.test_node import Order, Shop

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
        """Killed five times at random moments, each time events flow again by themselves, each shown exactly once."""
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
        shop, publisher = self._node(Shop, home), self._node(Node, home)
        child = await self._dispatcher(home, port)
        listening = time.monotonic()
        await shop.start()
        confirmed: set[int] = set()
        number = 0
        for kill in range(times + 1):
            while True:
                # Until the subscriber is linked again its events have no match; the first one that has, arrives.
                number += 1
                try:
                    receipt = await publisher.publish("orders.created", Order, id=number, timeout=10)
                except OutcomeUnknown:
                    continue
                if receipt.matched:
                    break
            self.assertLess(time.monotonic() - listening, 5.0)
            self.assertEqual(shop.orders.count(number), 1)
            confirmed.add(number)
            if kill == times:
                break
            flying: dict[int, Deferred[Any]] = {}
            moment = len(shop.orders) + random.randint(0, 300)
            for _ in range(500):
                number += 1
                flying[number] = publisher.publish("orders.created", Order, id=number, timeout=10)
            await until(lambda moment=moment: len(shop.orders) >= moment)  # type: ignore[misc]  # bound now, not late
            await child.kill()
            child = await self._dispatcher(home, port)
            listening = time.monotonic()
            for sent, answer in flying.items():
                try:
                    if (await answer).delivered:
                        confirmed.add(sent)
                except OutcomeUnknown:
                    pass
        shown = Counter(shop.orders)
        self.assertEqual([number for number, count in shown.items() if count > 1], [])
        self.assertEqual(confirmed - shown.keys(), set())
        self.assertGreaterEqual(len(confirmed), times + 1)
