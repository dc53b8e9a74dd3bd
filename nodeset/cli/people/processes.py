"""The sub-command `nodeset processes`, as --help lists it."""

from __future__ import annotations

from nodeset.cli.people.service import Service

__all__ = ["processes"]

processes = Service("processes", "nodeset.cli.processes", "Run the programs of a file.")
