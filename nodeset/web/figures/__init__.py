"""What the bridge tells of the dispatcher, of its nodes, of itself."""

from nodeset.web.figures.installation import install

__all__ = ["install"]
