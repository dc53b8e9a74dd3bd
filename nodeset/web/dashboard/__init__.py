"""The page that is opened first: what a system is doing, live."""

from __future__ import annotations

from nodeset.web.dashboard.pages import install

__all__ = ["install"]
