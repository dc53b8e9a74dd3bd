"""The gate of a bridge as its settings want it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nodeset.errors import BadSettings, StateUnusable
from nodeset.settings import Settings
from nodeset.settings.schema import dashed
from nodeset.web.access.agents import Doorway
from nodeset.web.access.gate import Gate, Policy
from nodeset.web.access.hosts import Hosts, isLoopback
from nodeset.web.access.keyfile import KeyFile
from nodeset.web.access.nonces import Nonces
from nodeset.web.access.origins import Origins
from nodeset.web.access.signers import Signers
from nodeset.web.access.slots import SlotFiles
from nodeset.web.bridge import Bridge

__all__ = ["isOpen", "openGate"]

#: Where nonces are kept, in the state directory.
_NONCES: Final = "web_nonces"


@contextmanager
def _naming(found: Settings, name: str) -> Iterator[None]:
    try:
        yield
    except (BadSettings, StateUnusable) as error:
        raise type(error)(f"{found.origins.get(name) or f'--{dashed(name)}'}: {error}") from None


def isOpen(found: Settings, interface: str) -> bool:
    """Whether who shows no credentials may act as the bridge itself, which listens on `interface`."""
    if found.keys is not None or found.anonymous == "refuse":
        return False
    return found.anonymous == "allow" or isLoopback(interface)


def openGate(bridge: Bridge, found: Settings, interface: str, directory: Path, doorway: Doorway | None) -> Gate:
    """Put a gate before `bridge`, which starts and stops with it.

    :param interface: the address that is listened on; empty for all of them, or where nobody can tell.
    :param directory: the state directory.
    :raise BadSettings: for what cannot be, or a file of keys that says what it must not.
    :raise StateUnusable: when the keys cannot be read or are not private, or the memory of what was signed cannot be kept.
    """
    with _naming(found, "allowed_origins"):
        origins = Origins(found.allowed_origins)
    with _naming(found, "allowed_hosts"):
        hosts = Hosts(interface, found.allowed_hosts)
    signers = None
    if found.keys is not None:
        with _naming(found, "keys"):
            keys = KeyFile(Path(found.keys))
        files = SlotFiles(directory / _NONCES, bridge.wall())
        signers = Signers(keys, Nonces(files, bridge.wall()), files)
    gate = Gate(bridge, Policy(origins, hosts, signers, isOpen(found, interface)), doorway)
    bridge.access = gate
    gate.setServiceParent(bridge)
    return gate
