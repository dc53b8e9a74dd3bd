"""What is to be known of a program before it can be run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

import attrs

from nodeset.errors import BadProgram

__all__ = ["Death", "Dependency", "Output", "Probe", "Program", "Restart", "Until", "checkName"]

Restart = Literal["never", "on-failure", "always"]
Output = Literal["slow", "drop"]
Death = Literal["kill", "keep"]
Until = Literal["started", "ready", "completed"]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def checkName(name: object) -> str:
    """The name of a program, which is one part of its events' names. BadProgram for what cannot be one."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    shown = repr(name)[:70]
    raise BadProgram(f"{shown} cannot name a program: use 1 to 64 of the letters A-Z and a-z, digits, '_', '-'")


@attrs.frozen
class Dependency:
    """Another program that must have come so far: `started` is RUNNING or past its start, `ready` is RUNNING with its
    readiness shown, `completed` is EXITED with an expected code.
    """

    name: str
    until: Until = "ready"


@attrs.frozen
class Probe:
    """How to find out whether a program is ready, or still well.

    :ivar kind: `log` looks for the regular expression `value` in its output, `tcp` connects to HOST:PORT, `http` wants a
        2xx of a URL, `command` runs a command (argv) that must end with 0.
    :ivar interval: seconds between two attempts; `timeout` of one; `delay` before the first.
    :ivar failures: so many in a row count as not well.
    """

    kind: Literal["log", "tcp", "http", "command"]
    value: str | tuple[str, ...]
    interval: float = 1.0
    timeout: float = 5.0
    failures: int = 3
    delay: float = 0.0


@attrs.frozen(kw_only=True)
class Program:
    """A program, checked as far as that needs no look at this machine. Times are in seconds, sizes in bytes.

    :ivar name: one part of its events' names.
    :ivar command: argv.
    :ivar executable: what is run if that is not `command[0]`.
    :ivar env: added to the environment of who runs it, or alone with `clear_env`.
    :ivar numprocs: so many are run, as NAME-1 and so on if there is more than one.
    :ivar restart: when it is started again after it ended by itself: never, on-failure (a code that is not one of
        `exit_codes`, a signal), always.
    :ivar start_seconds: so long it must be up to count as RUNNING; with `ready`, so long and ready.
    :ivar start_timeout: so long it may take to become ready.
    :ivar retries: so many more attempts after one that failed while STARTING; if all fail it is FATAL.
    :ivar backoff: the first pause before it is started again; it doubles up to `backoff_max`, less a share of up to
        `backoff_jitter` at random.
    :ivar crash_limit: so many ends within `crash_window` make it FATAL; 0 for no limit.
    :ivar stop_signal: the name of the signal that asks it to stop, `stop_timeout` later it is killed with all its group.
    :ivar on_supervisor_death: what becomes of it if its supervisor is killed.
    :ivar nofile: the limit of open files; `memory` of its address space.
    :ivar output: what a flood of output that the bus cannot take leads to: `slow` slows the program down, at most for
        `stall_timeout` while nothing moves; then, and always with `drop`, what `buffer_bytes` cannot hold is dropped, marked.
    :ivar log: a file for what it writes, of at most `log_bytes`, with `log_files` older ones.
    :ivar stats_interval: between two `stats` events, 0 for none.
    """

    name: str = attrs.field(converter=checkName)
    command: tuple[str, ...]
    executable: str | None = None
    cwd: str | None = None
    env: Mapping[str, str] = attrs.field(factory=dict)
    clear_env: bool = False
    user: str | None = None
    group: str | None = None
    umask: int | None = None
    numprocs: int = 1
    autostart: bool = True
    restart: Restart = "on-failure"
    exit_codes: tuple[int, ...] = (0,)
    start_seconds: float = 1.0
    start_timeout: float = 60.0
    retries: int = 3
    backoff: float = 1.0
    backoff_max: float = 60.0
    backoff_jitter: float = 0.2
    crash_limit: int = 10
    crash_window: float = 300.0
    stop_signal: str = "TERM"
    stop_timeout: float = 10.0
    on_supervisor_death: Death = "kill"
    depends_on: tuple[Dependency, ...] = ()
    ready: Probe | None = None
    alive: Probe | None = None
    nofile: int | None = None
    memory: int | None = None
    output: Output = "slow"
    buffer_bytes: int = 8 * 1024 * 1024
    stall_timeout: float = 10.0
    log: str | None = None
    log_bytes: int = 50 * 1024 * 1024
    log_files: int = 5
    stats_interval: float = 10.0
