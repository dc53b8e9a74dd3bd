"""On whose behalf a request acts."""

from nodeset.web.access.endpoints import install

__all__ = ["install"]
