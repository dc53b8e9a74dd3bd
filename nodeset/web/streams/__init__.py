"""Events over HTTP, for as long as a client reads."""

from nodeset.web.streams.endpoints import install

__all__ = ["install"]
