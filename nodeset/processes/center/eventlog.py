"""Lines that are to be written, kept while they cannot be."""

from __future__ import annotations

from collections import deque

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from nodeset.processes.center.lines import lossLine
from nodeset.processes.center.logfile import Sink

__all__ = ["EventLog"]

#: Bytes of lines that are kept while they cannot be written.
_KEPT = 16 * 1024 * 1024


class EventLog:
    """Writes each line when it is put, or keeps it until it can be written: nobody is told of that but the log of the service.

    What goes beyond `kept` is lost; a line says so in its place.

    :param name: of the center, for such a line.
    :param kept: bytes.
    :ivar lost: lines that were lost, `lost_bytes` of them.
    """

    log = Logger()

    def __init__(self, sink: Sink, name: str, clock: IReactorTime, kept: int = _KEPT) -> None:
        self._sink, self._name, self._clock, self._kept = sink, name, clock, kept
        self._waiting: deque[bytes] = deque()
        self.waiting_bytes = 0
        self.lines = self.lost = self.lost_bytes = 0
        self._why = ""
        #: Lines that were lost behind those that wait, bytes of them.
        self._gap = self._gap_bytes = 0
        self._timer: IDelayedCall | None = None

    def put(self, line: bytes) -> None:
        """Write it, behind all that wait. Never raises."""
        self.lines += 1
        if self._waiting and not self._drain():
            self._keep(line)
            return
        written = self._write(line)
        if written < len(line):
            # Its beginning stands there already: its end is never lost.
            self._keep(line[written:], always=written > 0)

    def _write(self, data: bytes) -> int:
        try:
            return self._sink.write(data)
        except OSError as error:
            why = error.strerror or type(error).__name__
            if why != self._why:
                self._why = why
                self.log.error("events cannot be logged: {reason}; {size} bytes of them are kept", reason=why, size=self._kept)
            return 0

    def _keep(self, line: bytes, always: bool = False) -> None:
        room = self._kept - self.waiting_bytes
        if not always and len(line) > room:
            self._gap += 1
            self._gap_bytes += len(line)
            self.lost += 1
            self.lost_bytes += len(line)
        else:
            self._closeGap()
            self._wait(line)
        if self._timer is None:
            self._timer = self._clock.callLater(self._sink.pause, self._retry)

    def _wait(self, line: bytes) -> None:
        self._waiting.append(line)
        self.waiting_bytes += len(line)

    def _closeGap(self) -> None:
        if self._gap:
            why = self._why or "nobody read them"
            self._wait(lossLine(self._name, self._gap, self._gap_bytes, why))
            self._gap = self._gap_bytes = 0

    def _retry(self) -> None:
        self._timer = None
        if not self._drain():
            self._timer = self._clock.callLater(self._sink.pause, self._retry)

    def _drain(self) -> bool:
        """Write what waits; whether nothing does any more."""
        while True:
            while self._waiting:
                line = self._waiting[0]
                written = self._write(line)
                self.waiting_bytes -= written
                if written < len(line):
                    self._waiting[0] = line[written:]
                    return False
                self._waiting.popleft()
            if not self._gap:
                break
            self._closeGap()
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
                "{count} bytes of lines are lost: they could not be written: {reason}",
                count=self.waiting_bytes,
                reason=self._why or "nobody read them",
            )
        self._sink.close()
