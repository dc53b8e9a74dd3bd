"""The transport that a node gets when nobody chose one: a Tub, a dispatcher found on disk or by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from nodeset.errors import BadFurl, BadSettings
from nodeset.settings import Settings
from nodeset.settings.processes import DEFAULT_ENDPOINT
from nodeset.transport.endpoint import endpointOf
from nodeset.transport.rendezvous import FurlSource, advising, find, sourceOf, stateDirectory
from nodeset.transport.tub import TubTransport

__all__ = ["findCenter", "findSource", "makeTransport"]

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


def findCenter(settings: Settings, environ: Mapping[str, str], default: str | None = None) -> FurlSource:
    """Where these settings say that the center of watchers is: by `furl`, by `endpoint`, else by `dispatcher_url`.

    An option `dispatcher_url` comes before what the environment or a file say of the others; `default` is the endpoint that
    counts while nobody says anything. Raises `BadFurl` or `BadSettings`, which names who said it.
    """
    said = [name for name in ("furl", "endpoint") if not settings.isDefault(name)]
    if "dispatcher_url" in settings.given:
        said = [name for name in said if name in settings.given]
    nobody = settings.isDefault("dispatcher_url") and not environ.get("NODESET_DISPATCHER")
    if not said and (default is None or not nobody):
        found = findSource(settings, environ)
        return advising(found, ", or name a center by --endpoint") if nobody else found
    endpoint = settings.endpoint if "endpoint" in said else None
    furl = settings.furl if "furl" in said else None
    try:
        where = endpointOf(endpoint or default or DEFAULT_ENDPOINT)
        return sourceOf(where, environ, stateDirectory(environ, settings.state_dir), furl)
    except (BadFurl, BadSettings) as error:
        origin = settings.origins.get(said[0], "") if said else ""
        raise type(error)(f"{origin}: {error}" if origin else str(error)) from None


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
