"""The node by which a center hears of programs, by which others ask it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from nodeset.core.calls.expose import expose
from nodeset.core.message import RawMessage
from nodeset.core.node import Node
from nodeset.core.seldom import Seldom
from nodeset.core.utils import catch
from nodeset.errors import NodeSetError, Refused
from nodeset.processes.center.record import Record
from nodeset.processes.events import EVERYTHING, CenterHere, centerName

__all__ = ["CenterNode"]

#: Seconds between two lines about events that are malformed.
_QUIET = 30.0


class CenterNode(Node):
    """Gives every event of a program to its record; answers `ps`; says by a retained event that it is here.

    Watchers that hear `center.NAME.here` send again what nobody took, tell the whole state of their programs.
    """

    def __init__(self, record: Record, **about: Any) -> None:
        super().__init__(**about)
        self._here = centerName(self.name)
        self.record = record
        #: New at each start of this process.
        self.session = secrets.token_hex(8)
        self._seldom = Seldom(_QUIET)
        self._complaint = ""

    @catch(EVERYTHING, RawMessage)
    def hear(self, msg: RawMessage) -> None:
        """Take an event. Whatever is wrong with it is counted, said seldom, of no harm to anybody."""
        meta = msg.meta
        assert meta is not None, "it was received"
        now = self.clock.seconds()
        wrong = self.record.take(meta.event, msg.data, meta.stream, now)
        if wrong:
            unsaid = self._seldom.mayI(now)
            if unsaid is not None:
                more = f" ({unsaid} more were since the last such line)" if unsaid else ""
                self.log.warn("an event is ignored: {reason}", reason=f"{wrong}{more}")

    @expose
    def ps(self, live: bool = False) -> Iterator[dict[str, Any]]:
        """A row for each program, as a stream: with `live`, without those that are over."""
        for row in self.record.table.rows(self.clock.seconds()):
            if not live or row["state_name"] not in ("STOPPED", "EXITED", "FATAL"):
                yield row

    @expose
    def status(self) -> dict[str, Any]:
        """How the center itself is: programs by state, what became of events, what of the log was lost."""
        record = self.record
        return {
            "name": self.name,
            "session": self.session,
            "programs": dict(record.table.counts(self.clock.seconds())),
            "events": dict(record.counters),
            "missing": record.missing,
            "rows_evicted": record.table.evicted,
            "rows_foreign": record.table.foreign,
            "lines": record.log.lines,
            "lines_lost": record.log.lost,
            "bytes_waiting": record.log.waiting_bytes,
        }

    def linkOpened(self) -> None:
        """Say that we are here: to those that are, to those that come."""
        told: Deferred[Any] = self.publish(self._here, CenterHere, retain=True, name=self.name, session=self.session)
        told.addErrback(self._untold)

    def _untold(self, failure: Failure) -> None:
        if failure.check(Refused):
            reason = failure.getErrorMessage()
            if reason != self._complaint:
                self._complaint = reason
                self.log.error("nobody is told that this center is here: {reason}", reason=reason)
        elif not failure.check(NodeSetError):  # a link that is lost is said by others, the next one tells again
            self.log.failure("the center could not say that it is here", failure)
