"""The sub-command `nodeset monitor`, as --help lists it."""

from __future__ import annotations

from nodeset.cli.people.service import Service

__all__ = ["monitor"]

monitor = Service("monitor", "nodeset.cli.monitor", "Watch a dispatcher, show its figures to people and to Prometheus.")
