"""Services that publish to each other through a stateless dispatcher, over TLS from the first run.

    import nodeset

    class Order(nodeset.NodeMessage):
        id: int
        note: str = ""

    class Shop(nodeset.Node):
        @nodeset.catch("orders.created")
        async def keep(self, msg: Order) -> None: ...

What stands here is all that most programs need; it is imported when first used, so that `import nodeset` installs no reactor.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nodeset.version import __version__

if TYPE_CHECKING:
    from nodeset.core.asking import NodeInfo as NodeInfo
    from nodeset.core.collection import NodeCollection as NodeCollection
    from nodeset.core.dispatcher import EventDispatcher as EventDispatcher
    from nodeset.core.message import Attribute as Attribute
    from nodeset.core.message import NodeMessage as NodeMessage
    from nodeset.core.message import RawMessage as RawMessage
    from nodeset.core.node import Node as Node
    from nodeset.core.standing import NodePresence as NodePresence
    from nodeset.core.utils import catch as catch
    from nodeset.errors import NodeSetError as NodeSetError
    from nodeset.errors import Receipt as Receipt

__all__ = [
    "Attribute",
    "EventDispatcher",
    "Node",
    "NodeCollection",
    "NodeInfo",
    "NodeMessage",
    "NodePresence",
    "NodeSetError",
    "RawMessage",
    "Receipt",
    "__version__",
    "catch",
]

_HOMES = {
    "Attribute": "nodeset.core.message",
    "EventDispatcher": "nodeset.core.dispatcher",
    "Node": "nodeset.core.node",
    "NodeCollection": "nodeset.core.collection",
    "NodeInfo": "nodeset.core.asking",
    "NodeMessage": "nodeset.core.message",
    "NodePresence": "nodeset.core.standing",
    "NodeSetError": "nodeset.errors",
    "RawMessage": "nodeset.core.message",
    "Receipt": "nodeset.errors",
    "catch": "nodeset.core.utils",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'nodeset' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
