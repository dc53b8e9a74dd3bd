"""The sub-command `nodeset shell`, which connects this terminal to the shell of a service."""

from __future__ import annotations

import click

__all__ = ["shell"]


@click.command()
@click.argument("where", default="")
def shell(where: str) -> None:
    """Get the Python prompt inside a service of this machine.

    WHERE is the name of the service, or the path of its socket; without it, the only one there is. It must run as the same
    user. Ctrl-D leaves; Ctrl-] does so even when the service does not answer.

    \b
    Example:
      nodeset-dispatcher --manhole unix
      nodeset shell dispatcher
    """
    import os

    from nodeset import settings
    from nodeset.cli.attach import attach, findSocket
    from nodeset.cli.visit import end
    from nodeset.transport.rendezvous import stateDirectory

    def work() -> int:
        found = settings.load(os.environ, {}, settings.COMMAND)
        return attach(findSocket(where, stateDirectory(os.environ, found.state_dir)))

    end("shell", work)
