"""The events of a program: `process.NAME.KIND`."""

from __future__ import annotations

from typing import Final, Literal

from nodeset.core.message import NodeMessage
from nodeset.processes.program import checkName

__all__ = [
    "CENTERS",
    "EVERYTHING",
    "KINDS",
    "CenterHere",
    "Kind",
    "ProcessEvent",
    "ProcessOutput",
    "ProcessReturn",
    "ProcessSignal",
    "ProcessStart",
    "ProcessState",
    "ProcessStats",
    "centerName",
    "nameOf",
]

Kind = Literal["start", "out", "err", "state", "stats", "return", "signal"]
KINDS: Final[tuple[Kind, ...]] = ("start", "out", "err", "state", "stats", "return", "signal")
#: All events of all programs.
EVERYTHING: Final = "process.>"
#: All centers, which say by a retained event that they are here.
CENTERS: Final = "center.*.here"


def nameOf(program: str, kind: Kind) -> str:
    """The event of this kind for the program of this name. BadProgram for a name that cannot be one."""
    return f"process.{checkName(program)}.{kind}"


def centerName(center: str) -> str:
    """The event by which the center of this name says that it is here. BadProgram for a name that cannot be one."""
    return f"center.{checkName(center)}.here"


class CenterHere(NodeMessage):
    """A center is here: `session` is new at each of its starts."""

    name: str
    session: str


class ProcessEvent(NodeMessage):
    """What all events of programs have.

    `uuid` is that of one watched program for as long as its watcher lives, over its restarts. `seq` counts all events of this
    uuid, from 1, so that a receiver sees what is missing or comes twice.
    """

    uuid: str
    seq: int = 0


class ProcessStart(ProcessEvent):
    """It was started."""

    pid: int


class ProcessOutput(ProcessEvent):
    """It wrote this, to stdout (`out`) or stderr (`err`); `dropped` bytes were lost just before."""

    data: bytes
    dropped: int = 0


class ProcessReturn(ProcessEvent):
    """It ended with this exit code."""

    pid: int
    code: int


class ProcessSignal(ProcessEvent):
    """It was ended by a signal: `code` is its number, negative."""

    pid: int
    code: int


class ProcessState(ProcessEvent):
    """Its state changed, or a center asked. Times are in seconds, `started` is of the wall clock, 0 for never.

    `center` is the name of the center that its watcher heard of last, empty for none; `host` is where it runs. `interval` is
    the time in which the next `state` or `stats` can be expected at the latest, 0 for none.
    """

    name: str
    state: int
    state_name: str
    reason: str = ""
    pid: int | None = None
    return_code: int | None = None
    started: float = 0.0
    uptime: float = 0.0
    restarts: int = 0
    cmdline: list[str] = []
    host: str = ""
    center: str = ""
    interval: float = 0.0


class ProcessStats(ProcessState):
    """Its state with its figures, as psutil has them; what this system does not tell is None. Sizes are in bytes.

    `children` are the processes of its group beside itself; `guardian_rss` is what the guardian weighs that runs it.
    """

    ping_time: float = 0.0
    create_time: float | None = None
    cpu_percent: float | None = None
    cpu_user: float | None = None
    cpu_system: float | None = None
    ionice_class: int | None = None
    ionice_value: int | None = None
    memory_rss: int | None = None
    memory_vms: int | None = None
    memory_percent: float | None = None
    num_threads: int | None = None
    uid_real: int | None = None
    uid_effective: int | None = None
    uid_saved: int | None = None
    gid_real: int | None = None
    gid_effective: int | None = None
    gid_saved: int | None = None
    is_running: bool | None = None
    process_name: str | None = None
    nice: int | None = None
    ppid: int | None = None
    status: str | None = None
    terminal: str | None = None
    username: str | None = None
