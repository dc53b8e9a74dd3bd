"""How a monitor asks a dispatcher: what of, how often, with what room for everybody else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from nodeset.core.calls.callee import FIGURES
from nodeset.core.calls.replies import Reply
from nodeset.core.figures.reading import NodeFigures, Reading, readFigures, readStats
from nodeset.core.node import Node
from nodeset.core.presence.asking import NodeInfo
from nodeset.errors import InvalidAddressing, ProtocolError
from nodeset.monitor.labels import REST, Label, Row, Sight, sighted

__all__ = ["PACE", "askFigures", "askNodes", "askStats"]

#: Seconds from one page of nodes to the next: a page takes the dispatcher a few milliseconds.
PACE: Final = 0.5
#: Nodes of one label that are asked for their own figures.
_MOST: Final = 64
#: Pages after which something is wrong: two hundred nodes each.
_PAGES: Final = 100_000


async def askStats(node: Node, timeout: float) -> Reading:
    """The dispatcher's figures. Raises what `call` fails with; `ProtocolError`."""
    return readStats(await node.call("", "stats", timeout=timeout, idempotent=True))


async def askNodes(node: Node, clock: IReactorTime, timeout: float) -> list[Sight]:
    """All nodes that are there, asked for page by page, slowly. Raises what `call` fails with; `ProtocolError`."""
    found: list[Sight] = []
    after = ""
    for _ in range(_PAGES):
        page = await node.call("", "nodes", after, timeout=timeout, idempotent=True)
        try:
            found += [sighted(info) for info in msgspec.convert(page["nodes"], list[NodeInfo])]
            following = msgspec.convert(page["next"], str)
        except (KeyError, TypeError, msgspec.ValidationError) as error:
            raise ProtocolError(f"the dispatcher's answer about its nodes makes no sense: {error}") from None
        if not following:
            return found
        if following <= after:
            break
        after = following
        await deferLater(clock, PACE, lambda: None)
    raise ProtocolError("the dispatcher's answer about its nodes goes in circles")


async def askFigures(node: Node, rows: Mapping[Label, Row], timeout: float) -> dict[Label, dict[str, NodeFigures]]:
    """What the nodes of these labels tell of themselves, by label, by stream id; of who does not tell, nothing."""
    labels = [label for label, row in rows.items() if label != REST and 0 < row.instances <= _MOST]
    asked: list[tuple[Label, Deferred[Any]]] = []
    for label in labels:
        try:
            answered = node.call("@".join(label), FIGURES, mode="all", timeout=timeout, idempotent=True)
        except InvalidAddressing:
            continue  # a name that was not printable
        # At once, so that what a node may send besides is not kept until the last label has answered.
        asked.append((label, answered.addCallback(_read)))
    results = await DeferredList([deferred for _label, deferred in asked], consumeErrors=True)
    return {label: told for (label, _), (done, told) in zip(asked, results, strict=True) if done}


def _read(replies: Iterable[Reply]) -> dict[str, NodeFigures]:
    read = {reply.stream: readFigures(reply.value) for reply in replies if reply.error is None}
    return {stream: figures for stream, figures in read.items() if figures is not None}
