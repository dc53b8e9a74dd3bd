"""The settings of `nodeset-open`."""

from __future__ import annotations

import os

from nodeset import settings
from nodeset.cli.opening.words import Call
from nodeset.settings import Settings
from nodeset.settings.processes import DEFAULT_ENDPOINT
from nodeset.settings.schema import OPEN
from nodeset.transport.default import findCenter

__all__ = ["settle"]


def settle(call: Call) -> Settings:
    """What was chosen, with the environment, with the file. BadFurl or BadSettings for what cannot be."""
    found = settings.load(os.environ, call.chosen, OPEN)
    findCenter(found, os.environ, DEFAULT_ENDPOINT)
    return found
