"""The command `nodeset-shell`, which has a Python shell with a node in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import nodeset
from nodeset.cli.identity import findIdentity
from nodeset.cli.manhole import SSH_PORT, makeServer
from nodeset.cli.options import CommonOptions, parametersOf, twistdOptions
from nodeset.cli.service import Daemon, prepare
from nodeset.settings import Settings
from nodeset.settings.schema import SHELL

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

    service = SHELL
    optParameters = parametersOf(SHELL)


def makeService(options: Options) -> Daemon:
    """The shell with these options. What is wrong with them ends the process, with one line on stderr."""
    is_script = twistdOptions(options) is options

    def build(found: Settings, twistd: Mapping[str, Any], reactor: Any) -> Daemon:
        return _build(found, twistd, reactor, is_script)

    return prepare(_NAME, options, build)


def _build(found: Settings, twistd: Mapping[str, Any], reactor: Any, is_script: bool) -> Daemon:
    from nodeset.shell.node import ShellNode
    from nodeset.transport.default import findSource
    from nodeset.transport.rendezvous import find, stateDirectory
    from nodeset.transport.tub import TubTransport

    directory = stateDirectory(os.environ, found.state_dir)
    source = findSource(found, os.environ)
    identity = findIdentity(found)

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
    daemon.reload.takers.append(node.adjust)
    return daemon


def main() -> None:
    """Run as a console script."""
    from nodeset.cli.runner import run

    run(_NAME, Options, makeService)
