"""The transport that a node gets when nobody chose one: a Tub, a dispatcher found on disk or by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from nodeset.settings import Settings
from nodeset.transport.rendezvous import FurlSource, find, stateDirectory
from nodeset.transport.tub import TubTransport

__all__ = ["findSource", "makeTransport"]

_log = Logger()


def findSource(settings: Settings, environ: Mapping[str, str], dispatcher_url: str | None = None) -> FurlSource:
    """Where these settings say that the dispatcher is, unless `dispatcher_url` does. Raises `BadFurl` or `BadSettings`."""
    return find(
        dispatcher_url,
        settings.dispatcher_url,
        option_is_default=settings.isDefault("dispatcher_url"),
        option_origin=settings.origins.get("dispatcher_url", ""),
        environ=environ,
        state_directory=stateDirectory(environ, settings.state_dir),
    )


def makeTransport(
    settings: Settings, port: int | None, host: str, dispatcher_url: str | None, environ: Mapping[str, str], reactor: Any
) -> TubTransport:
    """A transport for these; raises `BadFurl` or `BadSettings`."""
    source = findSource(settings, environ, dispatcher_url)
    for warning in (*settings.warnings, *([] if source.warning is None else [source.warning])):
        _log.warn("{warning}", warning=warning)
    endpoints = () if port is None else (f"tcp:{port}" + (":interface=127.0.0.1" if host == "localhost" else ""),)
    identity = None if settings.identity is None else Path(settings.identity)
    return TubTransport(source, reactor, endpoints, identity, host)
