"""Which files belong to an endpoint of this machine."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import socket
from pathlib import Path
from typing import Protocol

import attrs

from nodeset.errors import BadSettings
from nodeset.transport.endpoint import ANY_HOST, Endpoint
from nodeset.transport.furl import DEFAULT_PLACE, Place, parsePlace

__all__ = ["Named", "SocketPlace", "furlFile", "isHere", "placeOf", "socketPath"]

_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")
#: Of the socket's name in the names of its files, for people who look there.
_NAME = 40


class Named(Protocol):
    """What a dispatcher's files are named after."""

    @property
    def stem(self) -> str:
        """What the names of its files start with; no two places share one."""


@attrs.frozen
class SocketPlace:
    """The place of a dispatcher that listens on the socket at this absolute path."""

    path: str

    def __str__(self) -> str:
        return f"ipc://{self.path}"

    @property
    def stem(self) -> str:
        """What the names of its files start with. `Place` has a number in the middle, so the two kinds never share one."""
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:40]
        return f"ipc_{digest}_{_UNSAFE.sub('-', Path(self.path).name)[:_NAME]}"


def socketPath(endpoint: Endpoint, directory: str | None = None) -> str:
    """The absolute path of a socket; symbolic links of the directories on the way are resolved, so that all see the same.

    BadSettings for a relative one in a directory that is gone.
    """
    try:
        path = Path(directory or Path.cwd()) / endpoint.path
    except FileNotFoundError:
        raise BadSettings(f"{endpoint} counts from the current directory, which is gone: write a path from /") from None
    return str(Path(os.path.realpath(path.parent)) / path.name)


def placeOf(endpoint: Endpoint, directory: str | None = None) -> Place | SocketPlace:
    """What the files are named after of the dispatcher that listens at this endpoint of our machine.

    A relative path counts from `directory`, by default the current one. Ports have one place each, whatever the interface.
    BadSettings for another machine's.
    """
    if endpoint.isSocket:
        return SocketPlace(socketPath(endpoint, directory))
    if not isHere(endpoint.host):
        why = f"{endpoint} is not on this machine, so there is no file here that says how to trust it"
        raise BadSettings(f"{why}: copy the file that its center writes with --furl, then give --furl FILE here")
    usual = parsePlace(DEFAULT_PLACE)
    return Place(usual.host, endpoint.port, usual.ref)


def isHere(host: str) -> bool:
    """Whether a host as an endpoint has it is this machine, without asking anybody else."""
    if host in (ANY_HOST, "localhost", socket.gethostname().lower()):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified:
        return True
    try:
        with socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET) as trial:
            trial.bind((host, 0))
    except OSError:
        return False
    return True


def furlFile(state_directory: Path, place: Named) -> Path:
    """The file with the FURL that nodes read."""
    return state_directory.absolute() / f"{place.stem}.furl"
