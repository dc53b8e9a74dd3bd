"""What Linux tells of processes: processor time, memory."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

__all__ = ["Usage", "describeMachine", "parseStat", "parseStatus", "sessionUsage"]

_PROC: Final = Path("/proc")
_TICK: Final = os.sysconf("SC_CLK_TCK")


@attrs.frozen
class Usage:
    """What the processes of one session have used: processor seconds, MiB resident now, MiB resident at the peak."""

    cpu: float
    resident: float
    peak: float


def parseStat(text: str) -> tuple[int, int]:
    """The session and the ticks of user and system time in a line of /proc/PID/stat.

    >>> parseStat("7 (a ) b) S 1 2 3 0 0 0 0 0 0 0 40 2 0 0")
    (3, 42)
    """
    # The program's name stands in brackets and may hold brackets and blanks.
    fields = text.rpartition(")")[2].split()
    return int(fields[3]), int(fields[11]) + int(fields[12])


def parseStatus(text: str) -> tuple[float, float]:
    """MiB resident, now and at the peak, in a /proc/PID/status; zeros for a process that has ended.

    >>> parseStatus("VmHWM:\\t    4096 kB\\nVmRSS:\\t    2048 kB\\n")
    (2.0, 4.0)
    """
    found = {"VmRSS": 0.0, "VmHWM": 0.0}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name in found:
            found[name] = int(value.split()[0]) / 1024
    return found["VmRSS"], found["VmHWM"]


def sessionUsage(session: int) -> Usage:
    """The usage of all processes whose session is `session`: what we started as one command, its children included."""
    cpu, resident, peak = 0, 0.0, 0.0
    for path, ticks in _members(session):
        try:
            now, most = parseStatus((path / "status").read_text())
        except OSError:
            continue
        cpu, resident, peak = cpu + ticks, resident + now, peak + most
    return Usage(cpu / _TICK, resident, peak)


def _members(session: int) -> Iterator[tuple[Path, int]]:
    for path in _PROC.iterdir():
        if path.name.isdigit():
            try:
                its_session, ticks = parseStat((path / "stat").read_text())
            except OSError:
                continue  # it has ended meanwhile
            if its_session == session:
                yield path, ticks


def describeMachine() -> str:
    """Processor, cores, memory, system, Python; no name of the machine."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in (_PROC / "cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = int((_PROC / "meminfo").read_text().split()[1]) / 2**20
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {model}, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}"
