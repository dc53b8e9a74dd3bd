"""What /proc tells of a supervisor with its programs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import attrs

__all__ = ["Used", "findMarked", "isRunning", "listIds", "measureUse", "readWords"]

_PROC: Final = Path("/proc")
_TICK: Final = os.sysconf("SC_CLK_TCK")


@attrs.frozen
class Used:
    """What some processes have used so far, together: seconds of processor time, their own, that of the children they have
    waited for; MiB now: resident, their share of what is shared; MiB resident at the peak.
    """

    cpu: float
    children: float
    resident: float
    share: float
    peak: float


def findMarked(mark: str, variable: str) -> list[int]:
    """The ids of all processes, zombies apart, whose environment has this variable with this value."""
    wanted = f"{variable}={mark}".encode()
    return [pid for pid in listIds() if wanted in _read(pid, "environ").split(b"\0")]


def readWords(pid: int) -> list[str]:
    """The argv of a process, empty for one that is gone."""
    return [word.decode("utf-8", "replace") for word in _read(pid, "cmdline").split(b"\0")[:-1]]


def isRunning(pid: int) -> bool:
    """Whether it is there, no zombie."""
    stat = _read(pid, "stat").rpartition(b")")[2].split()
    return bool(stat) and stat[0] not in (b"Z", b"X")


def measureUse(pids: Iterable[int]) -> Used:
    """Of these processes; those that are gone count for nothing."""
    own = children = 0
    resident = share = peak = 0
    for pid in pids:
        fields = _read(pid, "stat").rpartition(b")")[2].split()
        if not fields:
            continue
        own += int(fields[11]) + int(fields[12])
        children += int(fields[13]) + int(fields[14])
        status, rollup = _table(pid, "status"), _table(pid, "smaps_rollup")
        resident += status.get("VmRSS", 0)
        peak += status.get("VmHWM", 0)
        share += rollup.get("Pss", 0)
    return Used(own / _TICK, children / _TICK, resident / 1024, share / 1024, peak / 1024)


def listIds() -> set[int]:
    """The ids of all processes."""
    return {int(path.name) for path in _PROC.iterdir() if path.name.isdigit()}


def _read(pid: int, name: str) -> bytes:
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""  # it has ended meanwhile, or is somebody else's


def _table(pid: int, name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in _read(pid, name).decode("ascii", "replace").splitlines():
        key, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB":
            found[key] = int(words[0])
    return found
