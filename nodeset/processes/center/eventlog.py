"""Lines that are to be written, kept while they cannot be."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from nodeset.processes.center.ledger import SLOTS, Ledger
from nodeset.processes.center.lines import lossLine
from nodeset.processes.center.logfile import Sink

__all__ = ["EventLog"]

#: Bytes of lines that are kept while they cannot be written, what each counts beside its length.
_KEPT = 16 * 1024 * 1024
_EACH = 128


class _Waiting(NamedTuple):
    """A line, or what is left of one whose beginning is written, with the event that it stands for."""

    line: bytes
    key: str = ""
    seq: int = 0
    begins: bool = True


class EventLog:
    """Writes each line when it is put, or keeps it until it can be written: nobody is told of that but the log of the service.

    What goes beyond `kept` is lost; a line says so in its place. What is written is noted in the ledger, so that the next
    process knows, even if this one is killed while it writes.

    :param name: of the center, for such a line.
    :param kept: bytes.
    :ivar lost: lines that were lost, `lost_bytes` of them.
    """

    log = Logger()

    def __init__(self, sink: Sink, ledger: Ledger, name: str, clock: IReactorTime, kept: int = _KEPT) -> None:
        self._sink, self._ledger, self._name, self._clock, self._kept = sink, ledger, name, clock, kept
        self._waiting: deque[_Waiting] = deque()
        #: The newest number of each key that waits.
        self._ahead: dict[str, int] = {}
        self.waiting_bytes = 0
        self.lines = self.lost = self.lost_bytes = 0
        self._why = ""
        #: Lines that were lost behind those that wait, bytes of them.
        self._gap = self._gap_bytes = 0
        self._timer: IDelayedCall | None = None

    def last(self, key: str) -> int:
        """See `Memory`: the newest event of this key that is written, or waits for that, or was lost."""
        return (self._ahead and self._ahead.get(key)) or self._ledger.last(key)

    def put(self, line: bytes, key: str = "", seq: int = 0) -> None:
        """Write the line of the event `seq` of this key, behind all that wait; it may be empty. Never raises."""
        if line:
            self.lines += 1
        if self._waiting and not self._drain():
            self._keep(line, key, seq)
            return
        written = self._write(line, key, seq)
        if written < len(line):
            self._keep(line[written:], key, seq, begins=not written)

    def _write(self, line: bytes, key: str, seq: int, begins: bool = True) -> int:
        try:
            written = 0
            if line:
                place = self._sink.prepare(len(line), begins)
                if place is not None and seq:
                    self._ledger.intend(key, seq, *place)
                written = self._sink.write(line)
            if seq and written == len(line) and seq > self._ledger.last(key):
                self._ledger.note(key, seq)
            return written
        except OSError as error:
            why = error.strerror or type(error).__name__
            if why != self._why:
                self._why = why
                self.log.error("events cannot be logged: {reason}; {size} bytes of them are kept", reason=why, size=self._kept)
            return 0

    def _keep(self, line: bytes, key: str, seq: int, begins: bool = True) -> None:
        if seq and (key in self._ahead or len(self._ahead) < SLOTS):
            self._ahead[key] = max(seq, self.last(key))
        room = self._kept - self.waiting_bytes
        # When its beginning stands there already, its end is never lost.
        if begins and len(line) + _EACH > room:
            if line:
                self._gap += 1
                self._gap_bytes += len(line)
                self.lost += 1
                self.lost_bytes += len(line)
        else:
            self._closeGap()
            self._wait(_Waiting(line, key, seq, begins))
        if self._timer is None:
            self._timer = self._clock.callLater(self._sink.pause, self._retry)

    def _wait(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self.waiting_bytes += len(waiting.line) + _EACH

    def _closeGap(self) -> None:
        if self._gap:
            why = self._why or "nobody read them"
            self._wait(_Waiting(lossLine(self._name, self._gap, self._gap_bytes, why)))
            self._gap = self._gap_bytes = 0

    def _retry(self) -> None:
        self._timer = None
        if not self._drain():
            self._timer = self._clock.callLater(self._sink.pause, self._retry)

    def _drain(self) -> bool:
        """Write what waits; whether nothing does any more."""
        while True:
            while self._waiting:
                line, key, seq, begins = self._waiting[0]
                written = self._write(line, key, seq, begins)
                self.waiting_bytes -= written
                if written < len(line):
                    self._waiting[0] = _Waiting(line[written:], key, seq, begins and not written)
                    return False
                self._waiting.popleft()
                self.waiting_bytes -= _EACH
            if not self._gap:
                break
            self._closeGap()
        for key, seq in self._ahead.items():  # what was lost is marked by now
            if seq > self._ledger.last(key):
                self._ledger.note(key, seq)
        self._ahead.clear()
        if self._why:
            self.log.warn("events are logged again, {count} lines are lost altogether", count=self.lost)
            self._why = ""
        return True

    def reopen(self) -> None:
        """Write to the file that has the name now: somebody may have moved the one that is open."""
        try:
            self._sink.reopen()
        except OSError as error:
            self.log.error("the log of events is not opened anew: {reason}", reason=error.strerror or str(error))
        self._drain()

    def close(self) -> None:
        """Write what waits, if that is possible now, then no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._drain():
            self.log.error(
                "{count} lines are lost: they could not be written: {reason}",
                count=sum(bool(each.line) for each in self._waiting) + self._gap,
                reason=self._why or "nobody read them",
            )
        self._sink.close()
