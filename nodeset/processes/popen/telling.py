"""What becomes of one child, told on the bus."""

from __future__ import annotations

import socket
import time
from uuid import uuid4

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from nodeset.core.node import Node
from nodeset.processes.events import ProcessReturn, ProcessSignal, ProcessStart, ProcessState
from nodeset.processes.output.shipping import Shipping
from nodeset.processes.output.stdio import Stream
from nodeset.processes.popen.readend import ReadEnd
from nodeset.processes.popen.sends import Sends
from nodeset.processes.program import Program
from nodeset.processes.states import State

__all__ = ["Report"]


class Report:
    """Publish the events of one child; what it writes is told before its end, if that is read within `linger` seconds."""

    log = Logger()

    def __init__(self, node: Node, sends: Sends, argv: tuple[str, ...]) -> None:
        self._name, self._linger, self._argv, self._clock = sends.identity, sends.linger, argv, node.clock
        self._uuid = uuid4().hex
        program = Program(name=sends.identity, command=argv, restart="never", stats_interval=0.0)
        self._shipping = Shipping(node, program, self._uuid, node.clock)
        self._pid = 0
        self._code: int | None = None
        self._started = 0.0
        self._followed: set[ReadEnd] = set()
        self._last: IDelayedCall | None = None
        self._is_over = self._is_stopped = False

    def started(self, pid: int) -> None:
        """It runs."""
        self._pid, self._started = pid, time.time()
        self._shipping.put("start", ProcessStart(uuid=self._uuid, pid=pid))
        self._tellState(State.RUNNING, "started")

    def follow(self, stream: Stream, end: ReadEnd, unread: bool) -> None:
        """Publish all that is read of this end; `unread` if nobody else reads it."""
        self._followed.add(end)

        def ended() -> None:
            self._followed.discard(end)
            if self._code is not None and not self._followed:
                self._finish()

        def heard(data: bytes) -> None:
            self._shipping.put(stream, data)
            if self._shipping.full and not self._is_stopped:
                end.pause()

        self._shipping.onRoom(end.resume)
        end.listen(heard, ended, not unread)

    def ended(self, code: int) -> None:
        """It ended, with this `returncode`."""
        self._code = code
        if self._followed:
            self._last = self._clock.callLater(self._linger, self._finish)
        else:
            self._finish()

    def _finish(self) -> None:
        if self._is_over or self._code is None:
            return
        self._is_over = True
        if self._last is not None and self._last.active():
            self._last.cancel()
        if self._code < 0:
            self._shipping.put("signal", ProcessSignal(uuid=self._uuid, pid=self._pid, code=self._code))
        else:
            self._shipping.put("return", ProcessReturn(uuid=self._uuid, pid=self._pid, code=self._code))
        self._tellState(State.EXITED, "ended")
        self._shipping.drained(self._linger).addCallback(self._stop)

    def _stop(self, is_drained: bool) -> None:
        if not is_drained:
            figures = self._shipping.figures()
            self.log.info("{count} events of {name} found nobody, dropped", count=figures["held"], name=self._name)
        self._shipping.stop()
        # Whoever still writes, or reads, is none of ours any more.
        self._is_stopped = True
        for end in self._followed:
            end.resume()

    def _tellState(self, state: State, reason: str) -> None:
        self._shipping.put(
            "state",
            ProcessState(
                uuid=self._uuid,
                name=self._name,
                state=int(state),
                state_name=state.name,
                reason=reason,
                pid=self._pid,
                return_code=self._code,
                started=self._started,
                uptime=time.time() - self._started,
                cmdline=list(self._argv),
                host=socket.gethostname(),
            ),
        )
