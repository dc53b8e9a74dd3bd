"""How a program is to be started, in the words of the guardian that starts it."""

from __future__ import annotations

import errno
import os
import pwd
from typing import Final

from twisted.python.failure import Failure

from nodeset.errors import CannotStart
from nodeset.processes.program import Program
from nodeset.processes.starting.spawning import Order

__all__ = ["isPassing", "orderOf"]

#: What this machine lacks just now, or does just now.
_PASSING: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY, errno.EIO})


def isPassing(failure: Failure) -> bool:
    """Whether another attempt to start a program may do what this one did not, without anybody's help."""
    error = failure.value
    if isinstance(error, CannotStart):
        return error.errno in _PASSING or error.at in ("guardian", "files")
    return isinstance(error, OSError) and error.errno in _PASSING


def orderOf(program: Program, argv: tuple[str, ...] = ()) -> Order:
    """The order for one start of `program`, or for another command that runs as it does, in its directory, as its user."""
    env = None
    if program.clear_env:
        env = dict(program.env)
    elif program.env:
        env = {**os.environ, **program.env}
    user, group, extra_groups = _ownerOf(program)
    return Order(
        argv=argv or program.command,
        executable=None if argv else program.executable,
        cwd=program.cwd,
        env=env,
        user=user,
        group=group,
        extra_groups=extra_groups,
        umask=program.umask,
        nofile=program.nofile,
        memory=program.memory,
        kill=program.on_supervisor_death == "kill" or bool(argv),
    )


def _ownerOf(program: Program) -> tuple[str | int | None, str | int | None, tuple[int, ...] | None]:
    """The user, the group, further groups. Of what we are ourselves no group stays with who is to be another user."""
    user, group = _read(program.user), _read(program.group)
    if not isinstance(user, int):
        return user, group, None
    try:
        return pwd.getpwuid(user).pw_name, group, None
    except KeyError:
        if group is None:
            why = f"user {user} has no account on this machine, so it has no group: give the group as well"
            raise CannotStart(why, 0, "user") from None
        return user, group, None if user == os.geteuid() else ()


def _read(owner: str | None) -> str | int | None:
    return int(owner) if owner is not None and owner.isascii() and owner.isdigit() else owner
