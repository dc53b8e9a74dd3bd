"""The sub-command `nodeset node`, as --help lists it."""

from __future__ import annotations

from nodeset.cli.people.service import Service

__all__ = ["node"]

node = Service("node", "nodeset.cli.node", "Be a node that shows events, or publishes one, as a service does.")
