"""The settings of `nodeset-open`."""

from __future__ import annotations

import os

import attrs

from nodeset import settings
from nodeset.cli.opening.words import Call
from nodeset.errors import NodeSetError, NotThere
from nodeset.settings import Settings
from nodeset.settings.processes import DEFAULT_ENDPOINT
from nodeset.settings.schema import OPEN
from nodeset.transport.default import findCenter
from nodeset.transport.furl import Furl
from nodeset.transport.rendezvous import FurlSource

__all__ = ["check", "settle", "sourceFor"]


def settle(call: Call) -> Settings:
    """What was chosen, with the environment, with the file. BadSettings for what cannot be."""
    return settings.load(os.environ, call.chosen, OPEN)


def check(found: Settings) -> Settings:
    """The same, if there can be a center where they say. BadFurl, BadSettings."""
    findCenter(found, os.environ, DEFAULT_ENDPOINT)
    return found


@attrs.frozen
class _Nowhere:
    """No center can be there, for a reason that is not the program's."""

    reason: str
    warning: str | None = None

    def read(self) -> Furl:
        raise NotThere(self.reason)

    def describe(self) -> str:
        return "nowhere"


def sourceFor(found: Settings) -> FurlSource:
    """Where the address of the center comes from. It is too late for errors: where none can be, nobody is there."""
    try:
        return findCenter(found, os.environ, DEFAULT_ENDPOINT)
    except (NodeSetError, OSError) as error:
        return _Nowhere(str(error))
