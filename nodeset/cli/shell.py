"""The command `nodeset-shell`, which has a Python shell with a node in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.python.usage import UsageError

import nodeset
from nodeset.cli.manhole import SSH_PORT, makeServer
from nodeset.cli.options import CommonOptions, twistdOptions
from nodeset.cli.service import Daemon, naming, prepare
from nodeset.settings import Settings

__all__ = ["Options", "main", "makeService"]

_NAME = "nodeset-shell"
_LISTEN = f"localhost:{SSH_PORT},unix"


class Options(CommonOptions):
    """The options of `nodeset-shell`."""

    synopsis = "Usage: nodeset-shell [options]"
    longdesc = (
        "A Python shell with a node in it, over SSH for who has a key, for its own user by 'nodeset shell'. Whoever gets in "
        "can do whatever this process can. Without -n it becomes a daemon."
    )
    example = (
        f"  cp ~/.ssh/id_ed25519.pub ~/.local/state/nodeset/shell_keys && nodeset-shell -n &\n"
        f"  ssh -p {SSH_PORT} localhost\n"
        "  nodeset-shell -n --listen unix & nodeset shell\n"
    )

    is_shell = True

    optParameters = [
        [
            "dispatcher-url",
            None,
            None,
            "Where the dispatcher is: pbu://host:port/ref, a file with its FURL (@FILE, file:PATH), or the FURL itself, "
            "which every user of this machine can then see [default: $NODESET_DISPATCHER, or pbu://localhost:5333/dispatcher]",
        ],
        [
            "listen",
            None,
            None,
            "Where the shell is to be had, with commas: over SSH on PORT of 127.0.0.1 or ADDRESS:PORT, by a socket of this "
            f"machine on unix or unix:PATH [default: {_LISTEN}]",
        ],
        ["identity", None, None, "The file with this node's certificate, made if missing [default: a fresh one each time]"],
        ["name", None, None, "The label in addresses that means this node [default: shell]"],
        ["host", None, None, "The host name in addresses that means this node [default: localhost]"],
    ]

    def isShown(self, option: str) -> bool:
        """See `CommonOptions`; --manhole is what this is."""
        return option != "manhole" and super().isShown(option)

    def postOptions(self) -> None:
        """Refuse a shell within the shell."""
        super().postOptions()
        if self["manhole"] is not None:
            raise UsageError("--manhole means nothing here, where all is a shell: say by --listen where it is to be had")


def makeService(options: Options) -> Daemon:
    """The shell with these options. What is wrong with them ends the process, with one line on stderr."""
    is_script = twistdOptions(options) is options

    def build(found: Settings, twistd: Mapping[str, Any], reactor: Any) -> Daemon:
        return _build(found, twistd, reactor, is_script)

    return prepare(_NAME, options, build)


def _build(found: Settings, twistd: Mapping[str, Any], reactor: Any, is_script: bool) -> Daemon:
    from nodeset.shell.node import ShellNode
    from nodeset.transport.rendezvous import find, lockIdentity, stateDirectory
    from nodeset.transport.tub import TubTransport

    directory = stateDirectory(os.environ, found.state_dir)
    source = find(
        None,
        found.dispatcher_url,
        option_is_default="dispatcher_url" not in found.given,
        environ=os.environ,
        state_directory=directory,
    )
    identity = Path(found.identity).expanduser().absolute() if found.identity else None
    if identity is not None:
        # A look only: the transport takes it for good, once we are the process that keeps it.
        with naming(found, "identity"):
            lockIdentity(identity)[1]()

    def transportTo(url: str) -> TubTransport:
        there = find(url, environ=os.environ, state_directory=directory)
        return TubTransport(there, reactor, (), identity, found.host)

    node = ShellNode(
        name=found.name or "shell",
        host=found.host,
        settings=found,
        transport=TubTransport(source, reactor, (), identity, found.host),
        transports=transportTo,
        clock=reactor,
    )

    def status() -> str:
        return f"The node {node.name} is {'linked to' if node.linked else 'looking for'} its dispatcher ({node.whither()})."

    daemon = Daemon(_NAME, found, twistd, reactor, is_script)
    if source.warning:
        daemon.log.warn("{warning}", warning=source.warning)
    names = {"nodeset": nodeset, "service": daemon}
    text = _LISTEN if found.listensByDefault() else found.listen
    server = makeServer(_NAME, "--listen", text, found, names, reactor, status)
    node.setShell(server.shell)
    node.setServiceParent(daemon)
    server.setServiceParent(daemon)
    return daemon


def main() -> None:
    """Run as a console script."""
    from nodeset.cli.runner import run

    run(_NAME, Options, makeService)
