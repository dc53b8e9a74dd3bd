"""The addresses of the API."""

from __future__ import annotations

from nodeset.web.api.calls import Calls
from nodeset.web.api.document import serve
from nodeset.web.api.events import Events
from nodeset.web.bridge import Bridge
from nodeset.web.routes import Routes

__all__ = ["install"]


def install(routes: Routes, bridge: Bridge) -> None:
    """Serve events, batches, calls, the description."""
    events, calls = Events(bridge), Calls(bridge)
    routes.add("POST", "/v1/events/{event}", events.publishOne, "publish")
    routes.add("POST", "/v1/events", events.publishMany, "publish_many")
    routes.add("POST", "/v1/calls/{node}/{method}", calls.call, "call")
    routes.add("GET", "/openapi.json", serve, "openapi", "open")
