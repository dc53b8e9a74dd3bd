"""What a watcher needs to run a program with pipes, put together."""

from __future__ import annotations

import uuid
from typing import Any

from twisted.logger import Logger

from nodeset.core.node import Node
from nodeset.errors import StateUnusable
from nodeset.processes.output.outlog import OutLog
from nodeset.processes.output.shipping import Shipping
from nodeset.processes.output.stdio import PipeStdio, Stream
from nodeset.processes.probing.probes import Probes
from nodeset.processes.program import Program
from nodeset.processes.starting.warden import Warden
from nodeset.processes.watching.sampling import Sampling
from nodeset.processes.watching.supervisor import BEAT
from nodeset.processes.watching.watcher import Watcher

__all__ = ["Outfitter"]


class _LoggedWatcher(Watcher):
    """One whose program has a log file of its own, if it says so."""

    def __init__(self, program: Program, *, stdio: PipeStdio, **about: Any) -> None:
        super().__init__(program, stdio=stdio, **about)
        self._outlog: OutLog | None = None
        self.openLog()
        stdio.onData(self._keep)

    def openLog(self) -> None:
        """Open it, or anew: somebody may have moved it. What cannot be opened is said; the program runs without."""
        if self._outlog is not None:
            self._outlog.close()
        self._outlog = None
        program = self.program
        if program.log is not None:
            try:
                self._outlog = OutLog(program.log, program.log_bytes, program.log_files)
            except StateUnusable as error:
                self.log.error("{program} runs without its log: {reason}", program=program.name, reason=str(error))

    def adopt(self, program: Program) -> None:
        """See `Watcher`."""
        old = self.program
        super().adopt(program)
        if (old.log, old.log_bytes, old.log_files) != (program.log, program.log_bytes, program.log_files):
            self.openLog()

    def _keep(self, stream: Stream, data: bytes) -> None:
        if self._outlog is not None:
            self._outlog.write(data)


class Outfitter:
    """Makes watchers that share a guardian, a node, limits.

    :param host: where they run, as their events say.
    """

    log = Logger()

    def __init__(self, reactor: Any, node: Node, warden: Warden, probes: Probes, sampling: Sampling, host: str) -> None:
        self._reactor, self._node, self._host = reactor, node, host
        self._parts: dict[str, Any] = {
            "warden": warden,
            "probes": probes,
            "figures": sampling,
            "clock": reactor,
            "host": host,
            "beat": BEAT,
        }

    def make(self, program: Program) -> Watcher:
        """The watcher of this program, with a uuid of its own."""
        shipping = Shipping(self._node, program, uuid.uuid4().hex, self._reactor)
        return _LoggedWatcher(program, stdio=PipeStdio(self._reactor), shipping=shipping, **self._parts)

    @staticmethod
    def reopen(watcher: Watcher) -> None:
        """Open the log of its program anew."""
        if isinstance(watcher, _LoggedWatcher):
            watcher.openLog()
