"""A node as a process: it publishes `shop.ticked`, prints what it hears of `shop.*`, adds numbers for who calls it."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

import nodeset
from nodeset.core import utils


class Ticked(nodeset.NodeMessage):
    """So many times by now."""

    number: int


class Shop(nodeset.Node):
    """Its counter goes up while it is linked."""

    number = 0

    def onEvent(self, event: str, msg: Any) -> None:
        print(json.dumps({"event": event, "fields": msg.fields()}), flush=True)

    @nodeset.expose
    def add(self, one: int, other: int) -> int:
        return one + other

    @nodeset.expose
    def refuse(self) -> None:
        raise ValueError("<b>not today</b>")

    def tick(self) -> None:
        self.number += 1
        # It is not an error that there is no dispatcher: the tests restart it.
        self.publish("shop.ticked", Ticked, number=self.number).addErrback(lambda failure: None)


def main() -> None:
    """Run until SIGTERM."""
    reactor: Any = installed
    utils.setDefaultOptions()
    shop = Shop(name="shop")
    tills = [nodeset.Node(name="till") for _ in range(2)]

    async def open_() -> None:
        await shop.start()
        await shop.subscribe("shop.opened")
        for till in tills:
            await till.start()
            await till.subscribe("shop.closed")
        print("ready", flush=True)
        LoopingCall(shop.tick).start(0.25)

    Deferred.fromCoroutine(open_()).addErrback(lambda failure: print("error", failure.getErrorMessage(), flush=True))
    for each in (shop, *tills):
        each.startService()
        reactor.addSystemEventTrigger("before", "shutdown", each.stopService)
    reactor.run()


if __name__ == "__main__":
    main()
