"""How a program is to be started; what may be wrong with that."""

from __future__ import annotations

import errno as errnos
import os
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from nodeset.errors import CannotStart

__all__ = ["Order", "Scope", "checkOrder", "explain", "messageOf"]

Scope = Literal["session", "group", "shared"]

_MOST_FILES: Final = 240


class Order(NamedTuple):
    """How a program is to be started.

    `argv[0]` is looked for in PATH of the program's own environment if it holds no slash, as is `executable`, which is run
    instead of it. `env` None is the environment of the guardian. `user` and `group` are names or numbers; with the name of a
    user come its groups, unless there are `extra_groups`. `nofile` and `memory` (of address space, in bytes) are limits.
    `scope`: "session" is a session of its own, "group" a process group of its own in ours, "shared" our own process group.
    With `terminal`, file 0 becomes the controlling terminal of its session. Without `kill` it outlives us. `pass_fds` are open
    files of ours, which it gets by the same numbers; `closed` are those of 0, 1, 2 that it does without. `held` are read ends
    for what it writes, which the guardian keeps open, then reads if we are gone but not the program; those of pipes given as 1
    or 2 are held anyway.
    """

    argv: tuple[str, ...]
    executable: str | None = None
    cwd: str | None = None
    env: Mapping[str, str] | None = None
    user: str | int | None = None
    group: str | int | None = None
    extra_groups: tuple[str | int, ...] | None = None
    umask: int | None = None
    nofile: int | None = None
    memory: int | None = None
    scope: Scope = "session"
    terminal: bool = False
    kill: bool = True
    pass_fds: tuple[int, ...] = ()
    closed: tuple[int, ...] = ()
    held: tuple[int, ...] = ()


def messageOf(order: Order) -> dict[str, Any]:
    """What the guardian is told of it."""
    message = order._asdict()
    del message["held"]
    if order.env is not None:
        message["env"] = dict(order.env)
    return message


def checkOrder(order: Order) -> None:
    """CannotStart for an order that nobody could carry out."""
    if not order.argv or not (order.argv[0] or order.executable):
        raise CannotStart("there is no command: name a program")
    for what, words in (("command", (*order.argv, order.executable or "")), ("cwd", (order.cwd or "",))):
        for word in words:
            if "\0" in word:
                raise CannotStart(f"{_shown(word)} holds a NUL character, which no program can be given", errnos.EINVAL, what)
    for name, value in (order.env or {}).items():
        if not name or "=" in name or "\0" in name + value:
            raise CannotStart(f"{_shown(name)} cannot name an environment variable, or its value holds a NUL character")
    for what, number, most in (
        ("nofile", order.nofile, 1 << 30),
        ("memory", order.memory, 1 << 62),
        ("umask", order.umask, 0o777),
    ):
        if number is not None and not 0 <= number <= most:
            at = "command" if what == "umask" else "limit"
            raise CannotStart(f"{what} {number} is not a number from 0 to {most}", errnos.EINVAL, at)
    if order.terminal and order.scope != "session":
        raise CannotStart(f"a program with a terminal needs a session of its own, not scope {order.scope!r}")
    if len(order.pass_fds) + len(order.held) > _MOST_FILES:
        raise CannotStart(f"{_shown(order.argv[0])} is to get more than {_MOST_FILES} open files: pass on fewer")


def explain(order: Order, step: str, errno: int, text: str = "") -> CannotStart:
    """What to tell of a start that failed at this step."""
    program = order.argv[0] if order.executable is None else order.executable
    shown, reason = _shown(program), os.strerror(errno) if errno > 0 else text or "not found"
    match step, errno:
        case "command", errnos.ENOENT if "/" in program and os.path.exists(_within(order, program)):  # noqa: PTH110
            said = f"{shown} cannot be run: the interpreter that its first line names, or its loader, is missing"
        case "command", errnos.ENOENT if "/" in program:
            said = f"{shown} cannot be run: there is no such file"
        case "command", errnos.ENOENT:
            said = f"{shown} was not found: no directory in PATH has a program of this name"
            if " " in program.strip():
                said += "; are these several words (no quotes around them all), or is it for a shell (sh -c)?"
        case "command", errnos.EACCES if os.path.isdir(_within(order, program)):  # noqa: PTH112
            said = f"{shown} cannot be run: it is a directory"
        case "command", errnos.EACCES:
            said = f"{shown} cannot be run: permission denied; is it an executable file (chmod +x)?"
        case "command", errnos.ENOEXEC:
            said = f"{shown} cannot be run: it is no program for this machine, nor a script that begins with #!"
        case "command", errnos.E2BIG:
            said = f"{shown} cannot be run: its arguments together with its environment are too large"
        case "command", _:
            said = f"{shown} cannot be run: {reason}"
        case "cwd", _:
            said = f"{shown} cannot be started in {_shown(order.cwd or '')}: {reason}"
        case "user", 0:
            said = f"{shown} cannot be started: this machine has no user {order.user!r}, or no group {order.group!r}"
            if order.group is None and order.extra_groups is None:
                said = f"{shown} cannot be started: this machine has no user {order.user!r}"
            elif order.user is None:
                said = f"{shown} cannot be started: this machine has no group {order.group or order.extra_groups!r}"
        case "user", _:
            said = (
                f"{shown} cannot be started as user {order.user!r}, group {order.group!r}: {reason}; only root may change them"
            )
        case "limit", _:
            limits = f"nofile {order.nofile}, memory {order.memory}"
            said = f"{shown} cannot be started with {limits}: {reason}; only root may raise limits"
        case _:
            said = f"{shown} cannot be started: {step}: {reason}"
    return CannotStart(said, max(errno, 0), step if step in ("command", "cwd", "user", "limit") else "guardian")


def _within(order: Order, program: str) -> str:
    return os.path.join(order.cwd or "", program)  # noqa: PTH118


def _shown(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= 200 else f"{shown[:197]}..."
