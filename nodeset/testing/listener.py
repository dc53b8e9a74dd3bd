"""A node that keeps what it hears."""

from __future__ import annotations

from typing import Any

from nodeset.core.message import NodeMessage
from nodeset.core.node import Node
from nodeset.core.utils import catch

__all__ = ["Listener", "listenerFor"]


class Listener(Node):
    """Subscribes to what a test wants to hear; `Site.listen` makes it.

    :ivar heard: the messages, in the order in which they came; `message.meta` says how.
    :ivar events: their names, in the same order.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.heard: list[Any] = []
        self.events: list[str] = []

    def onEvent(self, event: str, msg: NodeMessage) -> object:
        """Keep it."""
        self.heard.append(msg)
        self.events.append(event)
        return None

    def clear(self) -> None:
        """Forget what was heard until now."""
        self.heard.clear()
        self.events.clear()


def listenerFor(patterns: tuple[str, ...], msg_class: type[NodeMessage] | None) -> type[Listener]:
    """A `Listener` whose messages are of this class; without one they have any fields."""
    if msg_class is None:
        return Listener

    def ignore(self: Listener, msg: NodeMessage) -> None:
        """`onEvent` has kept it; what is caught here decides of which class it is."""

    for pattern in patterns:
        ignore = catch(pattern.rpartition("/")[2], msg_class)(ignore)
    return type("Listener", (Listener,), {"ignore": ignore, "autosubscribe": False})
