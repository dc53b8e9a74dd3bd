"""The sub-command `nodeset dispatcher`, as --help lists it."""

from __future__ import annotations

from nodeset.cli.people.service import Service

__all__ = ["dispatcher"]

dispatcher = Service("dispatcher", "nodeset.cli.dispatch", "Route events between nodes.")
