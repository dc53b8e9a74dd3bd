"""The addresses at which figures are: `/v1/figures`, `/v1/nodes`, `/v1/health`, `/v1/ready`, `/metrics`."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from nodeset.core.figures.weight import weigh
from nodeset.core.presence.listing import MAX_PAGE
from nodeset.version import __version__
from nodeset.web.figures.busiest import infoOf, readPage
from nodeset.web.figures.stream import FiguresStream
from nodeset.web.figures.watch import withoutNodes
from nodeset.web.inquiry import Inquiry, Reply
from nodeset.web.problem import Problem
from nodeset.web.routes import Routes

if TYPE_CHECKING:
    from nodeset.web.bridge import Bridge
    from nodeset.web.site import BridgeRequest

__all__ = ["install", "isNear"]

#: Seconds that the dispatcher has for a page of nodes.
_TIMEOUT: Final = 10.0
#: Characters of a name that is asked for.
_LONGEST: Final = 255
#: What a proxy adds: who comes through one is not of this machine, whatever its address says.
_FORWARDED: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


def install(routes: Routes, bridge: Bridge) -> None:
    """Serve the figures of `bridge`."""
    desk = _Desk(bridge)
    routes.add("GET", "/v1/figures", desk.figures, "figures")
    routes.add("GET", "/v1/nodes", desk.nodes, "nodes")
    routes.add("GET", "/v1/health", desk.health, "health", "open")
    routes.add("GET", "/v1/ready", desk.ready, "ready", "open")
    routes.add("GET", "/metrics", desk.metrics, "metrics", "open")  # it asks for credentials itself


def isNear(request: BridgeRequest) -> bool:
    """Whether it was made on this machine, by no proxy."""
    try:
        near = ip_address(request.address.partition("%")[0]).is_loopback
    except ValueError:
        near = False
    return near and not any(request.requestHeaders.hasHeader(name) for name in _FORWARDED)


class _Desk:
    """Answers what is asked about figures."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge, self._began = bridge, bridge.clock.seconds()
        self._exposition: Any = None
        bridge.tolls.gauges |= {
            "agents": lambda: getattr(bridge.access, "agents", 0),
            "feeds": lambda: len(bridge.hub),
            "ring_bytes": lambda: bridge.hub.size,
            "linked": lambda: float(bridge.node.is_linked),
            "uptime_seconds": self._uptime,
        }

    def _uptime(self) -> float:
        return round(self._bridge.clock.seconds() - self._began, 3)

    # -- the dispatcher's figures

    async def figures(self, inquiry: Inquiry) -> Reply | None:
        """How the dispatcher is and was; with `Accept: text/event-stream` each new sample, for as long as the client reads."""
        rights, figures = inquiry.agent.rights, self._bridge.figures
        _allow(rights.mayCall("", "stats"), "stats")
        whole = not rights.mayCall("", "nodes")
        if "text/event-stream" in (inquiry.header("accept") or "").lower() and inquiry.request.method == b"GET":
            self._stream(inquiry, whole)
            return None
        figures.attend()
        now = figures.now if whole else withoutNodes(figures.now)
        return Reply.json({"interval": figures.interval, "history": list(figures.history), "now": now})

    def _stream(self, inquiry: Inquiry, whole: bool) -> None:
        if self._bridge.draining:
            raise Problem(503, "the bridge is stopping: come back", retry_after=1)
        FiguresStream(inquiry.request, self._bridge, inquiry.agent, self._bridge.figures, whole).begin()

    async def nodes(self, inquiry: Inquiry) -> Reply:
        """One page of the nodes that are there, asked for by the agent's own node."""
        agent = inquiry.agent
        _allow(agent.rights.mayCall("", "nodes"), "nodes")
        after, name = _one(inquiry, "after"), _one(inquiry, "name")
        limit = _limit(_one(inquiry, "limit", str(MAX_PAGE)))
        if not agent.node.is_linked:
            raise Problem(503, "there is no link to the dispatcher: try again", retry_after=1)
        timeout = min(_TIMEOUT, self._bridge.limits.request_timeout)
        page = readPage(await agent.node.call("", "nodes", after, name, timeout=timeout, idempotent=True))
        shown, following = page.nodes[:limit], page.next
        if len(page.nodes) > limit:
            following = shown[-1].stream
        return Reply.json({"nodes": [infoOf(each) for each in shown], "next": following or None})

    # -- the bridge itself

    async def health(self, inquiry: Inquiry) -> Reply:
        """That the process serves."""
        return Reply.json({"status": "ok", "version": __version__, "uptime": self._uptime()})

    async def ready(self, inquiry: Inquiry) -> Reply:
        """Whether the bridge can do its work."""
        bridge = self._bridge
        if bridge.draining:
            raise Problem(503, "the bridge is stopping", retry_after=1)
        if not bridge.node.is_linked:
            # Where the dispatcher is, and what is wrong with it, is nothing for strangers.
            why = f": {bridge.node.trouble}" if bridge.node.trouble and isNear(inquiry.request) else ""
            raise Problem(503, f"the bridge is not linked to its dispatcher{why}", retry_after=1)
        return Reply.json({"status": "ready"})

    async def metrics(self, inquiry: Inquiry) -> Reply:
        """The figures of the bridge for Prometheus."""
        if not isNear(inquiry.request):
            agent = await self._bridge.access.identify(inquiry.request, inquiry.body)
            if agent.is_anonymous:
                raise Problem(
                    401,
                    "the metrics are for this machine, or for who shows credentials: send Authorization: Bearer",
                    headers=[(b"WWW-Authenticate", b"Bearer")],
                )
        exposition = self._expose()
        return Reply(200, exposition.text(), exposition.content_type)

    def _expose(self) -> Any:
        if self._exposition is None:
            try:
                from nodeset.web.figures.exposition import Exposition
            except ImportError:
                raise Problem(
                    501, "the metrics need the package prometheus-client: pip install 'nodeset[metrics]' where the bridge runs"
                ) from None
            bridge = self._bridge
            if weigh().rss is not None:  # without psutil nobody can tell
                bridge.tolls.gauges["resident_memory_bytes"] = lambda: weigh().rss or 0
            self._exposition = Exposition(bridge.tolls, bridge.counters, bridge.clock.seconds)
        return self._exposition


def _allow(why_not: str, method: str) -> None:
    if why_not:
        raise Problem(403, f"{why_not}: show a grant with --call nodeset/{method}")


def _one(inquiry: Inquiry, name: str, default: str = "") -> str:
    """The parameter of this name, or what stands for it."""
    values = inquiry.query.get(name, [default])
    if len(values) > 1 or len(values[0]) > _LONGEST:
        raise Problem(400, f"{name} is wanted once, of {_LONGEST} characters at most")
    return values[0]


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_PAGE):
        raise Problem(400, f"limit must be a number from 1 to {MAX_PAGE}, not {text[:20]!r}")
    return int(text)
