"""A node whose methods others call: python examples/calls/kitchen.py, beside nodeset-dispatcher -n."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

import nodeset

PRICES = {"soup": Decimal("4.50"), "tea": Decimal("2.20")}


class Kitchen(nodeset.Node):
    """What it exposes can be called by every node that may; nothing else of it can."""

    @nodeset.expose
    def price(self, dish: str, count: int = 1) -> Decimal:
        """What so many of a dish cost. An exception travels to the caller."""
        if dish not in PRICES:
            raise LookupError(f"there is no {dish} on the menu")
        return PRICES[dish] * count

    @nodeset.expose
    async def cook(self, dish: str, seconds: float = 0.1) -> str:
        """Take some time; when nobody waits for the dish any more, this is cancelled."""
        from twisted.internet import reactor as clock

        await deferLater(cast(IReactorTime, clock), seconds)
        return f"a hot {dish}"

    @nodeset.expose
    async def menu(self) -> AsyncIterator[str]:
        """One dish after the other, as fast as the caller takes them."""
        for dish, price in PRICES.items():
            yield f"{dish} at {price}"


def main() -> None:
    """Run until Ctrl-C."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    kitchen = Kitchen(name="kitchen")
    kitchen.start().addCallbacks(lambda node: print("the kitchen is open", flush=True), lambda failure: print(failure.value))
    kitchen.startService()
    reactor.addSystemEventTrigger("before", "shutdown", kitchen.stopService)
    reactor.run()


if __name__ == "__main__":
    main()
