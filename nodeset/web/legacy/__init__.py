"""The HTTP of the original: /publish, /subscribe, the site for a program of one's own."""

from nodeset.web.legacy.pages import install

__all__ = ["install"]
