"""A bridge with all its parts, ready to be listened for."""

from __future__ import annotations

from nodeset.web import api, figures
from nodeset.web.bridge import Bridge
from nodeset.web.door import Door
from nodeset.web.legacy import install as installLegacy
from nodeset.web.routes import Routes
from nodeset.web.site import BridgeSite

__all__ = ["assemble"]


def assemble(bridge: Bridge) -> BridgeSite:
    """The site that serves all that `bridge` offers."""
    routes = Routes()
    api.install(routes, bridge)
    installLegacy(routes, bridge)
    return BridgeSite(Door(bridge, routes), lambda: bridge.limits, bridge.clock, bridge.counters)
    door = Door(bridge, routes)
    figures.install(routes, bridge)
    door.observers.append(bridge.tolls.took)
    return BridgeSite(door, lambda: bridge.limits, bridge.clock, bridge.counters)
