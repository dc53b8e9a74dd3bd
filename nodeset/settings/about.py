"""What there is to know of a setting, beside its value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

__all__ = [
    "CENTER",
    "COMMAND",
    "DAEMONS",
    "DISPATCHER",
    "LASTING",
    "MONITOR",
    "NODE",
    "NODES",
    "OPEN",
    "PROCESSES",
    "SERVICES",
    "SHELL",
    "WEB",
    "About",
    "about",
]

#: Who reads settings, by the name of its table in a file; `nodeset` is the command of that name.
DISPATCHER, NODE, MONITOR, SHELL, WEB, COMMAND = "dispatcher", "node", "monitor", "shell", "web", "nodeset"
CENTER, PROCESSES, OPEN = "center", "processes", "open"
SERVICES: Final = (DISPATCHER, NODE, MONITOR, SHELL, WEB, CENTER, PROCESSES, OPEN, COMMAND)
DAEMONS: Final = (DISPATCHER, NODE, MONITOR, SHELL, WEB, CENTER, PROCESSES)
#: Those that link to a dispatcher.
NODES: Final = (NODE, MONITOR, SHELL, WEB, CENTER, PROCESSES, OPEN, COMMAND)
#: Those of them that run on.
LASTING: Final = (NODE, MONITOR, SHELL, WEB, CENTER, PROCESSES)


@attrs.frozen
class About:
    """What there is to know of a setting.

    :ivar help: what it does, a sentence without its default.
    :ivar services: whose setting it is.
    :ivar default: what stands for it while nobody says, in words; empty is the field's own default.
    :ivar reloads: whether SIGHUP changes it in a service that runs.
    :ivar twistd: whether it is an option of twistd's, which runs the services.
    :ivar filed: whether a file may have it.
    :ivar but: another `help`, another `default` for one service.
    """

    help: str
    services: tuple[str, ...]
    default: str = ""
    reloads: bool = False
    twistd: bool = False
    filed: bool = True
    but: Mapping[str, tuple[str, str]] = attrs.field(factory=dict)

    def helpOf(self, service: str) -> str:
        """What it does in this service."""
        return self.but[service][0] if service in self.but else self.help

    def defaultOf(self, service: str) -> str:
        """What stands for it in this service while nobody says, in words; empty is the field's own default."""
        return self.but[service][1] if service in self.but else self.default


def about(help: str, services: Iterable[str], default: str = "", **more: Any) -> dict[str, About]:
    """The metadata of a field; see `About`."""
    return {"about": About(help, tuple(services), default, **more)}
