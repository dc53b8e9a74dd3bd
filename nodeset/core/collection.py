"""Nodes that share one Tub, so one port with one connection.

Every member keeps its own name, its own subscriptions, its own session: to the dispatcher they are nodes like any other,
which happen to come from one TubID. What one member publishes reaches the others, like everybody, through the dispatcher, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure
from zope.interface import implementer

from nodeset.core.interfaces import INodeCollection
from nodeset.core.message import NodeMessage
from nodeset.core.node import Node
from nodeset.core.presence.asking import NodeInfo
from nodeset.errors import LocalError, Receipt

__all__ = ["CollectionAdapter", "NodeCollection"]


class CollectionAdapter:
    """A member, as the collection's user sees it: the verbs of the node, which itself is not touched."""

    def __init__(self, node: Node, collection: NodeCollection) -> None:
        self.node, self.collection = node, collection

    def publish(self, event_uri: str, msgClass: type[NodeMessage] | None = None, **fields: Any) -> Deferred[Receipt]:
        """See `Node.publish`."""
        return self.node.publish(event_uri, msgClass, **fields)

    def publishMessage(self, event_uri: str, msg: NodeMessage, **options: Any) -> Deferred[Receipt]:
        """See `Node.publishMessage`."""
        return self.node.publishMessage(event_uri, msg, **options)

    def publishMany(
        self, event_uri: str, msgClass: type[NodeMessage] | None, items: Iterable[Mapping[str, Any]], **options: Any
    ) -> Deferred[Receipt]:
        """See `Node.publishMany`."""
        return self.node.publishMany(event_uri, msgClass, items, **options)

    def forget(self, event_uri: str) -> bool:
        """See `Node.forget`."""
        return self.node.forget(event_uri)

    def call(self, target: str, method: str | Callable[..., Any], /, *args: Any, **keywords: Any) -> Deferred[Any]:
        """See `Node.call`."""
        return self.node.call(target, method, *args, **keywords)

    def nodes(self, name: str = "", **options: Any) -> Deferred[list[NodeInfo]]:
        """See `Node.nodes`."""
        return self.node.nodes(name, **options)

    def subscribe(self, name: str, **options: Any) -> Deferred[bool]:
        """See `Node.subscribe`."""
        return self.node.subscribe(name, **options)

    def unsubscribe(self, name: str) -> Deferred[bool]:
        """See `Node.unsubscribe`."""
        return self.node.unsubscribe(name)

    def grant(self, **what: Any) -> Deferred[str]:
        """See `Node.grant`."""
        return self.node.grant(**what)

    def revoke(self, furl_or_id: str) -> Deferred[bool]:
        """See `Node.revoke`."""
        return self.node.revoke(furl_or_id)


@implementer(INodeCollection)
class NodeCollection(Node):
    """A node whose Tub serves other nodes as well; they start and stop with it.

    The arguments are those of `Node`; `port` is the one port of all.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._adapters: list[CollectionAdapter] = []

    def adapt(self, node: Node) -> CollectionAdapter:
        """Make `node` a member; returns its adapter, the same one when it is a member already.

        Raises `LocalError` when the node runs by itself.
        """
        for adapter in self._adapters:
            if adapter.node is node:
                return adapter
        if node is self or isinstance(node, NodeCollection):
            raise LocalError(f"{node.name} is a collection, which cannot be a member of one")
        if node.running:
            raise LocalError(f"the node {node.name} runs already: put it into a collection before it is started")
        adapter = CollectionAdapter(node, self)
        self._adapters.append(adapter)
        if self.running and not self._stops:
            self._startMember(node)
        return adapter

    def getMembers(self) -> list[Node]:
        """The nodes that were adapted, in order."""
        return [adapter.node for adapter in self._adapters]

    def start(self) -> Deferred[Any]:
        """Fires once, with the collection, when it and every member are linked; fails as `Node.start` does."""
        if self._stops:  # the members start when it does, again
            return super().start().addCallback(lambda linked: self.start())
        nodes = [super().start(), *(node.start() for node in self.getMembers())]

        def linked(results: object) -> NodeCollection:
            return self

        def failed(failure: Failure) -> Failure:
            return Failure(getattr(failure.value, "subFailure", failure).value)

        everyone: Deferred[Any] = DeferredList(nodes, fireOnOneErrback=True, consumeErrors=True)
        return everyone.addCallbacks(linked, failed)

    def _begin(self) -> None:
        """Start the Tub, then the members."""
        super()._begin()
        for node in self.getMembers():
            self._startMember(node)

    def _startMember(self, node: Node) -> None:
        assert self._transport is not None
        node.shareTransport(self._transport)
        node.startService()

    async def _stop(self) -> None:
        await DeferredList([node.stopService() for node in self.getMembers()])
        await super()._stop()
