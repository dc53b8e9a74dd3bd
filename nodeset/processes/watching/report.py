"""What a watcher says of its program, in the order in which others should hear it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from nodeset.processes.events import ProcessReturn, ProcessSignal, ProcessStart, ProcessState, ProcessStats
from nodeset.processes.states import State
from nodeset.processes.watching.life import Changed

if TYPE_CHECKING:
    from nodeset.processes.output.shipping import Shipping

__all__ = ["Report"]

#: Changes that are no news to a person; the others are one line of the log each.
_QUIET: Final = frozenset({State.STARTING, State.STOPPING, State.STOPPED})


class Report:
    """The events of one program but for its output, with a line of the log for each change worth one.

    The end of a run is told after all that it wrote, what follows from that end after it.
    """

    log = Logger()

    def __init__(self, shipping: Shipping) -> None:
        self._shipping = shipping
        self._held: list[ProcessState] | None = None

    def started(self, pid: int) -> None:
        """A run began."""
        self._shipping.put("start", ProcessStart(uuid=self._shipping.uuid, pid=pid))

    def holdBack(self) -> None:
        """The run ended, what it wrote is still on its way: changes wait for `ended`, but for STOPPING."""
        self._held = []

    def ended(self, pid: int, code: int) -> None:
        """The run ended with this code, or by this signal (negative); all that it wrote is told."""
        if code >= 0:
            self._shipping.put("return", ProcessReturn(uuid=self._shipping.uuid, pid=pid, code=code))
        else:
            self._shipping.put("signal", ProcessSignal(uuid=self._shipping.uuid, pid=pid, code=code))
        held, self._held = self._held or [], None
        for message in held:
            self._shipping.put("state", message)

    def changed(self, change: Changed, row: dict[str, Any]) -> None:
        """Its state is another one. `row` is what else there is to say; its life may be ahead of this change."""
        new, reason = change.new, change.reason
        level = self.log.debug if new in _QUIET else self.log.error if new is State.FATAL else self.log.info
        words = f"{new.name}: {reason}" if reason else new.name
        level("{program} is {words}", program=row["name"], words=words, state=new.name, pid=row["pid"])
        message = ProcessState(**row | {"state": int(new), "state_name": new.name, "reason": reason})
        if self._held is None or new is State.STOPPING:
            self._shipping.put("state", message)
        else:
            self._held.append(message)

    def tell(self, row: dict[str, Any]) -> None:
        """The whole state, for who has just come."""
        if self._held is None:  # else it is told soon anyway
            self._shipping.put("state", ProcessState(**row))

    def weighed(self, row: dict[str, Any], found: dict[str, Any]) -> None:
        """Its figures."""
        if self._held is None:
            self._shipping.put("stats", ProcessStats(**row, ping_time=time.time(), **found))
