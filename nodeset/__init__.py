"""Services that publish to each other through a stateless dispatcher, over TLS from the first run.

::

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
    from nodeset.core.calls.expose import expose as expose
    from nodeset.core.calls.replies import Reply as Reply
    from nodeset.core.collection import NodeCollection as NodeCollection
    from nodeset.core.dispatcher import EventDispatcher as EventDispatcher
    from nodeset.core.message import Attribute as Attribute
    from nodeset.core.message import NodeMessage as NodeMessage
    from nodeset.core.message import RawMessage as RawMessage
    from nodeset.core.node import Node as Node
    from nodeset.core.presence.asking import NodeInfo as NodeInfo
    from nodeset.core.presence.standing import NodePresence as NodePresence
    from nodeset.core.stream import StreamNode as StreamNode
    from nodeset.core.utils import catch as catch
    from nodeset.errors import BadArguments as BadArguments
    from nodeset.errors import BadGrant as BadGrant
    from nodeset.errors import BadMessage as BadMessage
    from nodeset.errors import Busy as Busy
    from nodeset.errors import GrantRefused as GrantRefused
    from nodeset.errors import HandlerFailed as HandlerFailed
    from nodeset.errors import InvalidAddressing as InvalidAddressing
    from nodeset.errors import LinkLost as LinkLost
    from nodeset.errors import LocalError as LocalError
    from nodeset.errors import MessageTooLarge as MessageTooLarge
    from nodeset.errors import NodeSetError as NodeSetError
    from nodeset.errors import NotRunning as NotRunning
    from nodeset.errors import OutcomeUnknown as OutcomeUnknown
    from nodeset.errors import Overloaded as Overloaded
    from nodeset.errors import ProtocolError as ProtocolError
    from nodeset.errors import Receipt as Receipt
    from nodeset.errors import Refused as Refused
    from nodeset.errors import RemoteError as RemoteError
    from nodeset.errors import TimedOut as TimedOut
    from nodeset.errors import Undelivered as Undelivered
    from nodeset.errors import UnknownField as UnknownField
    from nodeset.errors import UnknownMethod as UnknownMethod
    from nodeset.errors import UnknownNode as UnknownNode
    from nodeset.shell.node import ShellNode as ShellNode
    from nodeset.web.legacy.node import WebBridgeNode as WebBridgeNode
    from nodeset.web.legacy.site import NodeSetSite as NodeSetSite

__all__ = [
    "Attribute",
    "BadArguments",
    "BadGrant",
    "BadMessage",
    "Busy",
    "EventDispatcher",
    "GrantRefused",
    "HandlerFailed",
    "InvalidAddressing",
    "LinkLost",
    "LocalError",
    "MessageTooLarge",
    "Node",
    "NodeCollection",
    "NodeInfo",
    "NodeMessage",
    "NodePresence",
    "NodeSetError",
    "NodeSetSite",
    "NotRunning",
    "OutcomeUnknown",
    "Overloaded",
    "ProtocolError",
    "RawMessage",
    "Receipt",
    "Refused",
    "RemoteError",
    "Reply",
    "ShellNode",
    "StreamNode",
    "TimedOut",
    "Undelivered",
    "UnknownField",
    "UnknownMethod",
    "UnknownNode",
    "WebBridgeNode",
    "__version__",
    "catch",
    "expose",
]

_HOMES = {
    "Attribute": "nodeset.core.message",
    "BadArguments": "nodeset.errors",
    "BadGrant": "nodeset.errors",
    "BadMessage": "nodeset.errors",
    "Busy": "nodeset.errors",
    "EventDispatcher": "nodeset.core.dispatcher",
    "GrantRefused": "nodeset.errors",
    "HandlerFailed": "nodeset.errors",
    "InvalidAddressing": "nodeset.errors",
    "LinkLost": "nodeset.errors",
    "LocalError": "nodeset.errors",
    "MessageTooLarge": "nodeset.errors",
    "Node": "nodeset.core.node",
    "NodeCollection": "nodeset.core.collection",
    "NodeInfo": "nodeset.core.presence.asking",
    "NodeMessage": "nodeset.core.message",
    "NodePresence": "nodeset.core.presence.standing",
    "NodeSetError": "nodeset.errors",
    "NodeSetSite": "nodeset.web.legacy.site",
    "NotRunning": "nodeset.errors",
    "OutcomeUnknown": "nodeset.errors",
    "Overloaded": "nodeset.errors",
    "ProtocolError": "nodeset.errors",
    "RawMessage": "nodeset.core.message",
    "Receipt": "nodeset.errors",
    "Refused": "nodeset.errors",
    "RemoteError": "nodeset.errors",
    "Reply": "nodeset.core.calls.replies",
    "ShellNode": "nodeset.shell.node",
    "StreamNode": "nodeset.core.stream",
    "TimedOut": "nodeset.errors",
    "Undelivered": "nodeset.errors",
    "UnknownField": "nodeset.errors",
    "UnknownMethod": "nodeset.errors",
    "UnknownNode": "nodeset.errors",
    "WebBridgeNode": "nodeset.web.legacy.node",
    "catch": "nodeset.core.utils",
    "expose": "nodeset.core.calls.expose",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'nodeset' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
