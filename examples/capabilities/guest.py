"""Uses an address that was given: python examples/capabilities/guest.py GUEST_FILE

Everything that was not granted is refused, at once, with the reason. The guest hands a smaller grant on, asking nobody.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.task import react

import nodeset


async def attempt(what: str, deferred: Any) -> None:
    """Say what came of it."""
    try:
        print(f"{what}: {await deferred}")
    except nodeset.NodeSetError as error:
        print(f"{what}: {type(error).__name__}")


async def main(reactor: Any, guest_file: str) -> None:
    """Try this and that."""
    guest = nodeset.Node(name="guest", dispatcher_url=guest_file)
    guest.startService()
    await guest.start()
    await attempt("publish orders.created", guest.publish("orders.created", dish="soup"))
    await attempt("publish prices.soup", guest.publish("prices.soup", price=1))
    await attempt("subscribe to orders.>", guest.subscribe("orders.>"))

    # For a friend of the guest: less than the guest has, made without asking anybody.
    smaller = await guest.grant(publish=["orders.created"], rate=1, expires=600)
    friend = nodeset.Node(name="friend", dispatcher_url=smaller)
    friend.startService()
    await friend.start()
    await attempt("the friend publishes orders.created", friend.publish("orders.created", dish="tea"))
    await attempt("the friend publishes orders.paid", friend.publish("orders.paid", dish="tea"))
    await guest.revoke(smaller)
    await friend.stopService()
    late = nodeset.Node(name="late", dispatcher_url=smaller)
    late.startService()
    await attempt("the friend comes back", late.start())
    await late.stopService()
    await guest.stopService()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("say: guest.py GUEST_FILE")
    react(main, sys.argv[1:])
