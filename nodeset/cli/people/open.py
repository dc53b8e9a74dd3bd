"""The sub-command `nodeset open`, as --help lists it."""

from __future__ import annotations

from nodeset.cli.people.service import Service

__all__ = ["open"]

open = Service("open", "nodeset.cli.open", "Run a command, watched.")
