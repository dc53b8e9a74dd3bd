"""What programs without NodeSet publish, call."""

from nodeset.web.api.endpoints import install

__all__ = ["install"]
