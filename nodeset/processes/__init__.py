"""Programs that are watched: run unchanged while their state, output, figures appear on the bus."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subprocess import DEVNULL as DEVNULL
    from subprocess import PIPE as PIPE
    from subprocess import STDOUT as STDOUT
    from subprocess import CalledProcessError as CalledProcessError
    from subprocess import CompletedProcess as CompletedProcess
    from subprocess import SubprocessError as SubprocessError
    from subprocess import TimeoutExpired as TimeoutExpired

    from nodeset.processes.popen.process import Popen as Popen
    from nodeset.processes.popen.runs import call as call
    from nodeset.processes.popen.runs import check_call as check_call
    from nodeset.processes.popen.runs import check_output as check_output
    from nodeset.processes.popen.runs import getoutput as getoutput
    from nodeset.processes.popen.runs import getstatusoutput as getstatusoutput
    from nodeset.processes.popen.runs import run as run
    from nodeset.processes.starting.wardens import stopWarden as stopWarden

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "CalledProcessError",
    "CompletedProcess",
    "Popen",
    "SubprocessError",
    "TimeoutExpired",
    "call",
    "check_call",
    "check_output",
    "getoutput",
    "getstatusoutput",
    "run",
    "stopWarden",
]

_HOMES = {"Popen": "nodeset.processes.popen.process", "stopWarden": "nodeset.processes.starting.wardens"}
_RUNS = ("call", "check_call", "check_output", "getoutput", "getstatusoutput", "run")
_HOMES |= dict.fromkeys(_RUNS, "nodeset.processes.popen.runs")


def __getattr__(name: str) -> Any:
    """What `subprocess` has by the same name, imported when it is first used: the guardian's supervisors need none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES.get(name, "subprocess")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
