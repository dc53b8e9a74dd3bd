"""A bridge with all its parts, ready to be listened for."""

from __future__ import annotations

from nodeset.web import api
from nodeset.web.bridge import Bridge
from nodeset.web.door import Door
from nodeset.web.routes import Routes
from nodeset.web.site import BridgeSite

__all__ = ["assemble"]


def assemble(bridge: Bridge) -> BridgeSite:
    """The site that serves all that `bridge` offers."""
    routes = Routes()
    api.install(routes, bridge)
    return BridgeSite(Door(bridge, routes), lambda: bridge.limits, bridge.clock, bridge.counters)
