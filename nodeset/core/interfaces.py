"""The zope Interfaces by which parts of NodeSet are found, adapted or verified."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from nodeset.errors import Receipt

__all__ = [
    "IEventDispatcher",
    "IEventURI",
    "IMessageBuilder",
    "INode",
    "INodeCollection",
    "INodeHeartBeat",
    "IRouteEntry",
    "IStreamNode",
]


class IEventURI(Interface):
    """An address taken apart."""

    raw = Attribute("The address as it was written, text.")
    eventName = Attribute("The event's name, or a pattern.")
    nodeName = Attribute("The label of the nodes that are meant; `*` is any.")
    hostName = Attribute("The host that is meant; `localhost` is the dispatcher one is connected to.")


class IRouteEntry(Interface):
    """One subscription in a routing table."""

    peer = Attribute("Whose it is: anything hashable that names a link's owner.")
    pattern = Attribute("The event name or pattern subscribed to.")
    nodeName = Attribute("The label of the node that holds it.")
    hostName = Attribute("The host of the node that holds it.")
    own = Attribute("Whether the peer wants the events that it publishes itself.")

    def accepts(uri: Any, site: str) -> bool:
        """Whether the node and host parts of `uri` mean this entry at the dispatcher named `site`."""


class IMessageBuilder(Interface):
    """Makes messages of a class from keyword arguments."""

    def createMessage(klass: Any, **fields: Any) -> Any:
        """A message of `klass` (None: any fields) with `fields` set. Raises `UnknownField`, a KeyError."""


class INodeHeartBeat(Interface):
    """Remembers when each peer was last heard."""

    def heard(peer: Hashable, now: float) -> None:
        """`peer` was heard at `now`, in seconds of a monotonic clock."""

    def forget(peer: Hashable) -> None:
        """`peer` is gone: ask no more about it."""

    def suspects(now: float) -> list[Hashable]:
        """The peers that missed two beats: mode `one` passes them over."""

    def silent(now: float) -> list[Hashable]:
        """The peers to drop, unheard for longer than our patience."""


class INode(IService):
    """A peer that publishes, subscribes, and is called with the events that it subscribed to."""

    name = Attribute("The node's label; others may bear the same.")
    host = Attribute("The host name by which addresses may mean this node.")

    def start() -> Deferred[Any]:
        """A Deferred that fires once, with the node, when it first is linked to its dispatcher."""

    def publish(event_uri: str, msgClass: Any = None, **fields: Any) -> Deferred[Receipt]:
        """Publish a message of `msgClass` with `fields`; a Deferred of a `Receipt`."""

    def publishMessage(event_uri: str, msg: Any) -> Deferred[Receipt]:
        """Publish a message that exists; a Deferred of a `Receipt`."""

    def publishMany(event_uri: str, msgClass: Any, items: Any) -> Deferred[Receipt]:
        """Publish a message for the fields in each of `items`; one Deferred of a `Receipt` with the sums."""

    def forget(event_uri: str) -> bool:
        """Keep the last value of an event no longer; returns whether one was kept."""

    def call(target: str, method: Any, /, *args: Any, **keywords: Any) -> Deferred[Any]:
        """Call an exposed method of the node named `target`; a Deferred of what it returns."""

    def nodes(name: str = "") -> Deferred[list[Any]]:
        """All nodes that are linked to the dispatcher, or those of one name; a Deferred of a list of `NodeInfo`."""

    def subscribe(name: str) -> Deferred[bool]:
        """Subscribe to an event name or pattern; a Deferred of True, once the dispatcher says so."""

    def unsubscribe(name: str) -> Deferred[bool]:
        """Undo `subscribe`; a Deferred of False when there was no such subscription, else of True."""

    def issubscribed(name: str) -> bool:
        """Whether `name` is subscribed to, whether or not a dispatcher is there."""

    def getSubscriptions() -> list[str]:
        """The names and patterns subscribed to, in order."""

    def grant(
        *,
        publish: Any = None,
        subscribe: Any = None,
        call: Any = None,
        answer: Any = None,
        rate: Any = None,
        expires: Any = None,
        tub: Any = None,
    ) -> Deferred[str]:
        """Make a FURL that can do just this, no more than the node's own; a Deferred of its text."""

    def revoke(furl_or_id: str) -> Deferred[bool]:
        """Make a grant worthless, with all that derives from it; a Deferred of False when it was so before."""

    def onEvent(event: str, msg: Any) -> object:
        """Called with every event that comes, before the `@catch` methods; `event` is the text it was published under."""


class IStreamNode(INode):
    """A node that pushes chunks to other nodes, past the dispatcher, and takes theirs."""

    streamClass = Attribute("The class of what `stream` makes.")
    formatterClass = Attribute("The class that makes bytes of the chunks that are pushed.")

    def stream(name: str, *, formatter: Any = None, patience: Any = None) -> Deferred[Any]:
        """A Deferred of a `Stream` to the stream nodes that subscribe to `name`."""

    def onStream(name: str, data: Any) -> object:
        """Called with each chunk; the pusher gets what it returns."""

    def onStreamEnd(name: str, source: Any, error: Any) -> object:
        """Called when a stream ends: properly if `error` is None."""


class INodeCollection(Interface):
    """Nodes that share one Tub, so one port and one connection."""

    def adapt(node: Any) -> Any:
        """Make `node` a member; returns its adapter, which has the node's verbs."""

    def getMembers() -> list[Any]:
        """The nodes that were adapted, in order."""


class IEventDispatcher(IService):
    """Routes events between the peers that opened a link to it."""

    def getStats() -> dict[str, int]:
        """Counters by name: at least `subs` (subscriptions held) with `pubs` (deliveries made)."""

    def drain() -> Deferred[None]:
        """Take no new events; a Deferred that fires when what is under way is done, or the time for it is over."""
