"""The service that a shell is, from the first to the last session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.errors import PortTaken
from nodeset.shell.shell import Shell

__all__ = ["Door", "Entrance", "ShellServer"]


class Entrance(Protocol):
    """A factory of Twisted's whose connections can all be closed."""

    def closeAll(self) -> None:
        """Close every connection."""


@attrs.frozen
class Door:
    """Where an entrance listens: an endpoint of Twisted's; in words, for the log; what frees it in the end."""

    endpoint: str
    shown: str
    entrance: Entrance
    free: Callable[[], object] = lambda: None


class ShellServer(Service):
    """Listens at each of `doors`, for sessions of `shell`."""

    log = Logger()

    def __init__(self, shell: Shell, doors: Sequence[Door], reactor: Any) -> None:
        self.shell, self._doors, self._reactor = shell, tuple(doors), reactor
        self._ports: list[Any] = []

    def startService(self) -> None:
        """Listen. Raises `PortTaken` when that cannot be."""
        for door in self._doors:
            listening: Deferred[Any] = serverFromString(self._reactor, door.endpoint).listen(door.entrance)
            failures: list[Failure] = []
            listening.addCallbacks(self._listens, failures.append, callbackArgs=(door,))
            if failures:
                error = failures[0].value
                why = str(getattr(error, "socketError", error)) if isinstance(error, CannotListenError) else str(error)
                raise PortTaken(f"the shell cannot listen on {door.shown} ({why}): choose another place for it")
        base: Any = super()
        base.startService()

    def _listens(self, port: Any, door: Door) -> None:
        self._ports.append(port)
        number = getattr(port.getHost(), "port", None)
        shown = door.shown if number is None else f"{door.shown.rpartition(':')[0]}:{number}"
        self.log.info("{title}: a shell on {place}", title=self.shell.title, place=shown)

    def stopService(self) -> Deferred[Any]:
        """Throw everybody out, listen no more."""
        base: Any = super()
        base.stopService()
        ports, self._ports = self._ports, []
        self.shell.closeAll("the service stops: good-bye")
        closed: Deferred[Any] = DeferredList([port.stopListening() for port in ports])
        for door in self._doors:
            door.entrance.closeAll()
            door.free()
        return closed
