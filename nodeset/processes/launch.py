"""How a program is to be started, in the words of the guardian that starts it."""

from __future__ import annotations

import os

from nodeset.processes.program import Program
from nodeset.processes.warden import Order

__all__ = ["orderOf"]


def orderOf(program: Program, argv: tuple[str, ...] = ()) -> Order:
    """The order for one start of `program`, or for another command that runs as it does, in its directory, as its user."""
    env = None
    if program.clear_env:
        env = dict(program.env)
    elif program.env:
        env = {**os.environ, **program.env}
    return Order(
        argv=argv or program.command,
        executable=None if argv else program.executable,
        cwd=program.cwd,
        env=env,
        user=program.user,
        group=program.group,
        umask=program.umask,
        nofile=program.nofile,
        memory=program.memory,
        kill=program.on_supervisor_death == "kill" or bool(argv),
    )
