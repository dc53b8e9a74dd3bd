"""The sub-command `nodeset web`, as --help lists it."""

from __future__ import annotations

from nodeset.cli.people.service import Service

__all__ = ["web"]

web = Service("web", "nodeset.cli.web", "Bridge a dispatcher to HTTP, with a live dashboard.")
