"""A bridge with all its parts, ready to be listened for."""

from __future__ import annotations

from nodeset.web import access, api, dashboard, figures, legacy, sockets, streams
from nodeset.web.bridge import Bridge
from nodeset.web.door import Door
from nodeset.web.legacy.files import Files
from nodeset.web.routes import Routes
from nodeset.web.site import BridgeSite

__all__ = ["assemble"]


def assemble(bridge: Bridge, files: Files | None = None) -> BridgeSite:
    """The site that serves all that `bridge` offers, with files at the addresses that are left."""
    routes = Routes()
    for part in (access, api, dashboard, figures, legacy, sockets, streams):
        part.install(routes, bridge)
    door = Door(bridge, routes)
    door.observers.append(bridge.tolls.took)
    if files is not None:
        return files.openSite(door, bridge)
    return BridgeSite(door, lambda: bridge.limits, bridge.clock, bridge.counters)
