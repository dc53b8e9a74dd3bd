"""A shell as the options of a service ask for it."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

import nodeset
from nodeset.cli.keyfiles import HOST_KEY, KEYS, KeyFile, loadHostKey, takeSocket
from nodeset.cli.listen import Listening, probe, readListen
from nodeset.core.node import Node
from nodeset.errors import BadSettings
from nodeset.settings import Settings
from nodeset.transport.rendezvous import prepareDirectory, stateDirectory

if TYPE_CHECKING:
    from nodeset.cli.service import Daemon
    from nodeset.shell.server import Door, ShellServer
    from nodeset.shell.shell import Shell

__all__ = ["SSH_PORT", "addManhole", "makeServer", "readPlaces", "socketEndpoint"]

#: Where `nodeset-shell` listens for SSH.
SSH_PORT: Final = 10331
_FORMS: Final = f"write PORT, ADDRESS:PORT, unix or unix:PATH, such as {SSH_PORT},unix"
#: What means something in the endpoints of Twisted's.
_SPECIAL: Final = re.compile(r"[\\:=]")
_PORT: Final = re.compile(r"[0-9]{1,5}")


@attrs.frozen
class Places:
    """Where a shell is to be had: over SSH at each of `ssh`, at the socket of each path of `sockets`."""

    ssh: tuple[Listening, ...]
    sockets: tuple[Path, ...]


def readPlaces(text: str, option: str, default_socket: Path) -> Places:
    """What `--manhole`, or the `--listen` of nodeset-shell, says. BadSettings names the part that cannot be.

    >>> readPlaces("10331,unix", "--manhole", Path("/run/x.sock")).ssh[0].endpoint
    'tcp:10331:interface=127.0.0.1'
    """
    ssh, sockets = [], []
    for part in (part.strip() for part in text.split(",")):
        kind, _colon, path = part.partition(":")
        if kind == "unix":
            sockets.append(Path(path).expanduser().absolute() if path else default_socket)
            continue
        try:
            found = readListen(f"localhost:{part}" if _PORT.fullmatch(part) else part, advertises=False)
        except BadSettings:
            found = None
        if found is None or found.address is None:
            raise BadSettings(f"{option} {part[:80]!r} is no place for a shell on this machine: {_FORMS}")
        ssh.append(found)
    return Places(tuple(ssh), tuple(sockets))


def makeServer(
    name: str,
    option: str,
    text: str,
    found: Settings,
    names: Mapping[str, Any],
    reactor: Any,
    status: Callable[[], str] = lambda: "",
) -> ShellServer:
    """The service of a shell at these places. BadSettings, StateUnusable or PortTaken for what cannot be."""
    try:
        from nodeset.shell import ssh
        from nodeset.shell.keys import readHostKey
        from nodeset.shell.local import LocalEntrance
        from nodeset.shell.server import Door, ShellServer
        from nodeset.shell.shell import Shell
    except ImportError as error:
        why = f"{error.name} cannot be imported"
        raise BadSettings(f"{option} needs the extra 'shell' ({why}): pip install 'nodeset[shell]'") from None
    directory = stateDirectory(os.environ, found.state_dir).absolute()
    places = readPlaces(text, option, directory / f"{name}.sock")
    prepareDirectory(directory)
    shell = Shell(name, names, reactor, status)
    doors: list[Door] = []
    if places.ssh:
        keys = Path(found.authorized_keys).expanduser().absolute() if found.authorized_keys else directory / KEYS
        key_file = KeyFile(keys)
        key_file.read()
        host_key = readHostKey(loadHostKey(directory / HOST_KEY))
        entrance = ssh.SshEntrance(shell, host_key, key_file.read)
        for listening in places.ssh:
            probe(listening, option)
            _warn(shell, listening)
            host, port = listening.address or ("", 0)
            doors.append(Door(listening.endpoint, f"SSH port {host or '*'}:{port}", entrance))
    for path in places.sockets:
        doors.append(Door(socketEndpoint(path), f"the socket {path}", LocalEntrance(shell), takeSocket(path)))
    return ShellServer(shell, doors, reactor)


def socketEndpoint(path: Path) -> str:
    """The endpoint of a socket for this user alone, whatever is in its path.

    >>> socketEndpoint(Path("/run/a:b=c.sock"))
    'unix:/run/a\\\\:b\\\\=c.sock:mode=600:lockfile=0'
    """
    return f"unix:{_SPECIAL.sub(_escape, str(path))}:mode=600:lockfile=0"


def _escape(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def _warn(shell: Shell, listening: Listening) -> None:
    host = (listening.address or ("", 0))[0]
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host.lower() == "localhost"
    if not is_local:
        shell.log.warn(
            "the shell is offered to other machines, on {host}: whoever holds a key can do there whatever this process can",
            host=host or "every address",
        )


def addManhole(daemon: Daemon, name: str, found: Settings, reactor: Any) -> None:
    """Give the service the shell that `--manhole` asks for."""
    names = {"nodeset": nodeset, "service": daemon, **daemon.names}
    nodes = [service for service in daemon if isinstance(service, Node)]
    if nodes:
        names["node"] = nodes[0]
    makeServer(name, "--manhole", str(found.manhole), found, names, reactor).setServiceParent(daemon)
