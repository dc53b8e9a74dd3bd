"""A bridge with all its parts, ready to be listened for."""

from __future__ import annotations

from nodeset.web import access, api, figures, legacy
from nodeset.web.bridge import Bridge
from nodeset.web.door import Door
from nodeset.web.routes import Routes
from nodeset.web.site import BridgeSite

__all__ = ["assemble"]


def assemble(bridge: Bridge) -> BridgeSite:
    """The site that serves all that `bridge` offers."""
    routes = Routes()
    door = Door(bridge, routes)
    api.install(routes, bridge)
    figures.install(routes, bridge)
    legacy.install(routes, bridge)
    for part in (access, api, figures, legacy):
        part.install(routes, bridge)
    door = Door(bridge, routes)
    door.observers.append(bridge.tolls.took)
    return BridgeSite(door, lambda: bridge.limits, bridge.clock, bridge.counters)
