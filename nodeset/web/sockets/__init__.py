"""WebSockets: publishing, subscribing, calling over one connection."""

from nodeset.web.sockets.endpoints import install

__all__ = ["install"]
