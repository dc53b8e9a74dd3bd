"""What of a child is told on the bus, by the arguments that say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import attrs

from nodeset.processes.program import checkName

if TYPE_CHECKING:
    from nodeset.core.node import Node

__all__ = ["Sends", "sendsOf"]

#: What the original had beside these, which make sense of a center or a restart alone.
_ELSEWHERE: Final = {
    "nrv_endpoint": "pass node=, which knows its dispatcher",
    "nrv_recv_in": "write to stdin",
    "nrv_restart_retries": "a Popen is one run: use nodeset-processes for restarts",
    "nrv_autorestart": "a Popen is one run: use nodeset-processes for restarts",
    "nrv_startsecs": "a Popen is one run: use nodeset-processes for restarts",
    "nrv_exitcodes": "a Popen is one run: use nodeset-processes for restarts",
    "nrv_poll_interval": "nothing is polled",
    "nrv_ping_interval": "use nodeset-processes or nodeset-open for figures",
    "nrv_wait_to_die": "call terminate, then wait with a timeout, then kill",
    "nrv_ssh_server": "the original's was never made",
}


@attrs.frozen
class Sends:
    """What is told: `identity` is one part of the events' names, `linger` the seconds in which the last may be taken."""

    identity: str
    out: bool
    err: bool
    linger: float


def sendsOf(node: Node | None, identity: str | None, seed: Mapping[str, Any]) -> Sends:
    """What the arguments mean, those of the original included.

    Raises `TypeError` for an argument that means nothing here, `BadProgram` for a name that cannot be one.
    """
    for name in seed:
        if name in _ELSEWHERE:
            raise TypeError(f"{name} is not supported: {_ELSEWHERE[name]}")
        if name not in ("nrv_identity", "nrv_send_out", "nrv_send_err", "nrv_send_all", "nrv_linger"):
            raise TypeError(f"Popen() got an unexpected keyword argument {name!r}")
    if node is not None:
        from nodeset.core.node import Node  # Whoever has none need not load it.

        if not isinstance(node, Node):
            raise TypeError(f"node is a Node, which publishes what becomes of the child, not {node!r:.80}")
    if node is None and (seed or identity is not None):
        raise TypeError(f"{next(iter(seed), 'identity')} is about events: pass node= too, which publishes them")
    everything = seed.get("nrv_send_all", not {"nrv_send_out", "nrv_send_err"} & set(seed))
    return Sends(
        checkName(identity or seed.get("nrv_identity") or uuid4().hex),
        node is not None and bool(everything or seed.get("nrv_send_out")),
        node is not None and bool(everything or seed.get("nrv_send_err")),
        float(seed.get("nrv_linger", 1.0)),
    )
