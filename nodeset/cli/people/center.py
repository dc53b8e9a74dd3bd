"""The sub-command `nodeset center`, as --help lists it."""

from __future__ import annotations

from nodeset.cli.people.service import Service

__all__ = ["center"]

center = Service("center", "nodeset.cli.center", "Log what watched processes do.")
