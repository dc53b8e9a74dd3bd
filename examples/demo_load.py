"""The load of a demo that stays up: python -m examples.demo_load [archive].

A shop in one process: orders are created, paid, packed by one of three workers; a till calls the stock; sensors come in bursts.
With `archive` a node that gets what they measure, yet stands still now and then, so that its queue at the dispatcher grows,
then its oldest events are dropped. Tells on stdout `ready`.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater

import nodeset
from examples.demo_subscriber import say
from nodeset.core import message, utils
from nodeset.core.collection import NodeCollection
from nodeset.errors import NodeSetError

#: Seconds from tick to tick of those that publish; for a wave of orders; for sensors to speak up, then to be quiet.
TICK, WAVE, BURST = 0.05, 60.0, 15.0
#: Orders a second on the average; readings a second in a burst, between two.
ORDERS, LOUD, QUIET = 40.0, 120.0, 10.0
#: Seconds from one time that the archive stands still to the next, for which it does.
EVERY, STILL = 6.0, 2.0
ITEMS = ("tea", "soup", "bread", "cake")


class Order(message.NodeMessage):
    """What was ordered."""

    number: int
    item: str
    price: float = 0.0


class Paid(Order):
    """An order to be packed, by one of those who pack."""

    _delivery_mode = "one"


class Measured(message.NodeMessage):
    """What a sensor measured."""

    value: float


class Member(nodeset.Node):
    """A node that works at every tick, once it is linked."""

    def __init__(self, **about: Any) -> None:
        super().__init__(**about)
        self.failed = 0

    def every(self, seconds: float, work: Callable[[], object]) -> None:
        """Do it that often, as long as the node runs."""
        loop = LoopingCall(lambda: work() if self.running else None)
        loop.clock = self.clock
        loop.start(seconds, now=False)

    def tell(self, event: str, kind: type[message.NodeMessage], **fields: Any) -> None:
        """Publish, without waiting for the receipt, or for room."""
        self.publish(event, kind, wait=False, timeout=30.0, **fields).addErrback(self._missed)

    def _missed(self, failure: Any) -> None:
        failure.trap(NodeSetError)
        self.failed += 1

    def rest(self, seconds: float) -> Deferred[None]:
        """As long as work takes."""
        return deferLater(self.clock, seconds, lambda: None)


class Shop(Member):
    """Takes orders, now more, now fewer."""

    number, _due = 0, 0.0

    def begin(self) -> None:
        """Open."""
        self.every(TICK, self.sell)

    def sell(self) -> None:
        """The orders of one tick."""
        self._due += TICK * ORDERS / 2 * (1 + 0.6 * math.sin(self.clock.seconds() * 2 * math.pi / WAVE))
        while self._due >= 1:
            self._due -= 1
            self.number += 1
            self.tell("orders.created", Order, number=self.number, item=random.choice(ITEMS), price=random.randint(2, 40) / 2)


class Billing(Member):
    """Has each order paid."""

    @utils.catch("orders.created", Order)
    def bill(self, msg: Order) -> None:
        """It is paid."""
        self.tell("orders.paid", Paid, number=msg.number, item=msg.item, price=msg.price)


class Packer(Member):
    """Packs its share of what was paid."""

    @utils.catch("orders.paid", Paid)
    async def pack(self, msg: Paid) -> None:
        """Takes a moment."""
        await self.rest(random.uniform(0.002, 0.02))
        self.tell("orders.packed", Order, number=msg.number, item=msg.item, price=msg.price)


class Stock(Member):
    """Knows what is left; can be asked."""

    def __init__(self, **about: Any) -> None:
        super().__init__(**about)
        self._left = dict.fromkeys(ITEMS, 1000)

    @nodeset.expose
    def left(self, item: str) -> int:
        """How many of an item are left."""
        if item not in self._left:
            raise LookupError(f"there is no {item}")
        return self._left[item]

    @nodeset.expose
    async def take(self, item: str, count: int = 1) -> int:
        """Take some out, which takes a moment; what is short is bought. Returns how many are left."""
        await self.rest(random.uniform(0.001, 0.01))
        self._left[item] = (self._left[item] - count) % 1000
        return self._left[item]


class Till(Member):
    """Asks the stock."""

    def begin(self) -> None:
        """Open."""
        self.every(TICK * 2, self.take)

    def take(self) -> None:
        """One call."""
        self.call("stock", "take", random.choice(ITEMS), timeout=5.0).addErrback(self._missed)


class Sensor(Member):
    """Measures, in bursts."""

    _due = 0.0

    def begin(self) -> None:
        """Switch on."""
        self.every(TICK, self.measure)

    def measure(self) -> None:
        """The readings of one tick."""
        now = self.clock.seconds()
        self._due += TICK * (LOUD if now % (2 * BURST) < BURST else QUIET)
        while self._due >= 1:
            self._due -= 1
            place = random.choice(("gate", "hall", "cellar"))
            self.tell(f"sensors.{place}", Measured, value=round(20 + 3 * math.sin(now / 40) + random.random(), 2))


class Display(Member):
    """Shows what is measured, at once."""

    @utils.catch("sensors.*", Measured)
    def show(self, msg: Measured) -> None:
        """Shown."""


class Archive(Member):
    """Writes down what is measured, to a disk that makes it stand still; it misses the oldest of what it cannot follow."""

    autosubscribe = False

    def begin(self) -> None:
        """Begin to write."""
        told = self.subscribe("sensors.*", policy="drop_oldest", max_events=200)
        told.addErrback(lambda failure: say(f"error {failure.getErrorMessage()}"))
        self.every(EVERY, lambda: time.sleep(STILL))  # what no node should do: nothing else happens in its process meanwhile

    @utils.catch("sensors.*", Measured)
    def write(self, msg: Measured) -> None:
        """Written."""


def shop() -> list[Member]:
    """All members; some bear the same name."""
    members: list[Member] = [Shop(name="shop"), Shop(name="shop"), Billing(name="billing")]
    members += [Packer(name="packer") for _ in range(3)]
    members += [Stock(name="stock"), Till(name="till"), Sensor(name="sensor"), Display(name="display")]
    return members


async def run(members: list[Member]) -> None:
    """Begin once all are linked."""
    for member in members:
        await member.start()
    for member in members:
        begin = getattr(member, "begin", None)
        if begin is not None:
            begin()
    say("ready")


def main() -> None:
    """Run until SIGTERM."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    utils.setDefaultOptions()
    if "archive" in sys.argv[1:]:
        members: list[Member] = [Archive(name="archive")]
        service: nodeset.Node = members[0]
    else:
        service, members = NodeCollection(name="demo"), shop()
        for member in members:
            service.adapt(member)
    Deferred.fromCoroutine(run(members)).addErrback(lambda failure: say(f"error {failure.getErrorMessage()}"))
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()


if __name__ == "__main__":
    main()
