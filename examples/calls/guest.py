"""Calls the kitchen: python examples/calls/guest.py, beside kitchen.py."""

from __future__ import annotations

from typing import Any

from kitchen import Kitchen
from twisted.internet.task import react

import nodeset


async def main(reactor: Any) -> None:
    """Ask for this and that."""
    guest = nodeset.Node(name="guest")
    guest.startService()
    await guest.start()
    # The method itself says what it takes and gives, so that a mistake is told here, and the price is a Decimal.
    print("two soups:", await guest.call("kitchen", Kitchen.price, "soup", 2))
    # Its name does as well.
    print(await guest.call("kitchen", "cook", "tea", timeout=5))
    async for line in await guest.call("kitchen", Kitchen.menu):
        print("menu:", line)
    for method, arguments in (("price", ["pizza"]), ("price", [7]), ("clean", [])):
        try:
            await guest.call("kitchen", method, *arguments)
        except nodeset.NodeSetError as error:
            print(f"{type(error).__name__}: {error}")
    try:
        await guest.call("kitchen", "cook", "roast", 60.0, timeout=0.5)
    except TimeoutError:
        print("no roast today")
    await guest.stopService()


if __name__ == "__main__":
    react(main)
