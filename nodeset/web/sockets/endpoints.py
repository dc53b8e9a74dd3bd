"""The addresses of the WebSocket, with that of what describes it."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Final

from nodeset.web.bridge import Bridge
from nodeset.web.inquiry import Inquiry, Reply
from nodeset.web.routes import Routes
from nodeset.web.sockets.service import Sockets

__all__ = ["install", "readDocument"]

_TYPE: Final = b"application/json"


@lru_cache(maxsize=1)
def readDocument() -> bytes:
    """asyncapi.json, as it lies beside this module."""
    return files("nodeset.web.sockets").joinpath("asyncapi.json").read_bytes()


async def _describe(inquiry: Inquiry) -> Reply:
    return Reply(200, readDocument(), _TYPE, ((b"Cache-Control", b"max-age=300"),))


def install(routes: Routes, bridge: Bridge) -> None:
    """Serve WebSockets as long as `bridge` runs."""
    sockets = Sockets(bridge)
    sockets.setServiceParent(bridge)
    routes.add("GET", "/v1/ws", sockets.enter, "socket")
    routes.add("GET", "/asyncapi.json", _describe, "asyncapi", "open")
