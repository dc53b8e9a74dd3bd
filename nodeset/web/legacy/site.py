"""The original's web site for a program of one's own."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from nodeset.core.grants.rights import MEMBER
from nodeset.web.agent import Agent
from nodeset.web.bridge import Bridge
from nodeset.web.door import Door
from nodeset.web.legacy.node import WebBridgeNode
from nodeset.web.legacy.pages import PUBLISH, SUBSCRIBE, Pages
from nodeset.web.legacy.verifying import Verifier, Verifying
from nodeset.web.limits import Limits
from nodeset.web.routes import Routes
from nodeset.web.site import BridgeRequest, BridgeSite

__all__ = ["NodeSetPublish", "NodeSetSite", "NodeSetSubscribe"]


class NodeSetSite(BridgeSite):
    """A site of twisted.web's with /publish and /subscribe on top of what `resource` serves.

    ::

        node = WebBridgeNode(name="web")
        site = NodeSetSite(File("/var/www"), node)
        reactor.listenTCP(8080, site, interface="127.0.0.1")
        node.startService()

    Without a verifier whoever reaches the port may do what the node may. The node is the program's to start and to stop.

    :param limits: how much it takes from whom; the defaults are those of `nodeset-web`.
    :param clock: instead of the node's.
    """

    def __init__(
        self, resource: IResource, node: WebBridgeNode, *, limits: Limits | None = None, clock: IReactorTime | None = None
    ) -> None:
        self._bridge = bridge = Bridge(node, clock or node.clock, limits or Limits(), adopts=False)
        bridge.access = Verifying(self)
        routes = Routes()
        self._pages = Pages(bridge)
        self._pages.addTo(routes)
        door = Door(bridge, routes)
        door.elsewhere = self._pass
        super().__init__(door, lambda: bridge.limits, bridge.clock, bridge.counters)
        self.resource = resource
        self.node = node
        self.verifier: Verifier | None = None

    @property
    def agent(self) -> Agent:
        """On whose behalf requests act: the node's own."""
        return self._bridge.own

    def setNode(self, node: WebBridgeNode) -> None:
        """Use this one from now on; who is subscribed stays so by the one before."""
        self.node = self._bridge.node = node
        self._bridge.own = Agent("anonymous", node, MEMBER, is_anonymous=True)

    def getNode(self) -> WebBridgeNode:
        """The node that publishes, that subscribes."""
        return self.node

    def setVerifier(self, verifier: Verifier | None) -> None:
        """Let in who has a signature that this one finds right, and nobody else; None lets in everybody."""
        self.verifier = verifier

    def getVerifier(self) -> Verifier | None:
        """What `setVerifier` was given."""
        return self.verifier

    def stopFactory(self) -> None:
        """Nobody listens any more: end the answers that would go on for ever, as whole ones."""
        self._pages.end()
        super().stopFactory()

    def _pass(self, request: BridgeRequest) -> bool:
        Request.process(request)
        return True


@implementer(IResource)
class _Page(Resource):
    """A page of the original's as a resource, for `putChild`, or for an .rpy file."""

    isLeaf = True
    path = b""

    def render(self, request: Any) -> int:
        """Let the site's own door answer it, wherever the page hangs. Only a site of ours has one."""
        request.path = self.path
        request.site.entrance.enter(request)
        return NOT_DONE_YET


class NodeSetPublish(_Page):
    """/publish at an address of one's own; the site has to be a `NodeSetSite`, or that of `nodeset-web`."""

    path = PUBLISH.encode()


class NodeSetSubscribe(_Page):
    """/subscribe at an address of one's own; the site has to be a `NodeSetSite`, or that of `nodeset-web`."""

    path = SUBSCRIBE.encode()
