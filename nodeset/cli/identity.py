"""The certificate by which the node of a service is known, when it keeps one."""

from __future__ import annotations

from pathlib import Path

from nodeset.cli.service import naming
from nodeset.settings import Settings

__all__ = ["findIdentity"]


def findIdentity(found: Settings) -> Path | None:
    """The file of `--identity`, which a daemon finds from wherever it goes; None if there is to be a fresh one.

    BadSettings or StateUnusable, which name the option, for a file that cannot be used, or that another node holds.
    """
    from nodeset.transport.rendezvous import lockIdentity

    if not found.identity:
        return None
    identity = Path(found.identity).expanduser().absolute()
    # A look only: the transport takes it for good, once we are the process that keeps it.
    with naming(found, "identity"):
        lockIdentity(identity)[1]()
    return identity
