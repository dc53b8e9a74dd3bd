"""Gives somebody an address that can do just what he needs: python examples/capabilities/owner.py OWNER_FILE GUEST_FILE

OWNER_FILE is the one that the dispatcher wrote, `localhost_5333_dispatcher.owner.furl` in its state directory, so this runs as
the user whom the dispatcher belongs to. What is written to GUEST_FILE is for another user, or another machine: `guest.py` shows
what can be done with it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet.task import react

import nodeset


async def main(reactor: Any, owner_file: str, guest_file: str) -> None:
    """Grant, write it down."""
    owner = nodeset.Node(name="owner", dispatcher_url=owner_file)
    owner.startService()
    await owner.start()
    furl = await owner.grant(publish=["orders.*"], call=["kitchen/price"], rate=100, expires=3600)
    path = Path(guest_file)
    path.touch(mode=0o600)
    path.write_text(f"{furl}\n")
    print(f"wrote {path.name}: it publishes orders.*, calls kitchen/price, for an hour")
    await owner.stopService()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("say: owner.py OWNER_FILE GUEST_FILE")
    react(main, sys.argv[1:])
