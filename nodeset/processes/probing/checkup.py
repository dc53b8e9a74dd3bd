"""The questions put to one program: is it ready, later, is it still well."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import Logger

from nodeset.processes.program import Probe, Program

if TYPE_CHECKING:
    from nodeset.processes.probing.probes import Probes, Probing

__all__ = ["Checkup"]


class Checkup:
    """Makes the probes of a program when it is their time.

    :param probes: None for who has programs without probes.
    :param ready: called when the readiness of a run showed.
    :param unwell: called with the reason, when a run was found not well.
    """

    log = Logger()

    def __init__(self, probes: Probes | None, ready: Callable[[], object], unwell: Callable[[str], object]) -> None:
        self._probes, self._ready, self._unwell = probes, ready, unwell
        self._probing: Probing | None = None

    def awaitReady(self, program: Program) -> None:
        """A run begins: ask until it is ready."""
        if program.ready is not None:
            self._ask(program, program.ready, self._isReady, lambda reason: None)

    def watchHealth(self, program: Program) -> None:
        """It runs: ask whether it is well, until it is not."""
        self.stop()
        if program.alive is not None:
            self._ask(program, program.alive, lambda: None, self._isUnwell)

    def feed(self, stream: str, data: bytes) -> None:
        """It wrote this."""
        if self._probing is not None:
            self._probing.feed(stream, data)

    def stop(self) -> str:
        """Ask no more; returns why the last attempt failed, empty if it did not."""
        probing, self._probing = self._probing, None
        if probing is None:
            return ""
        probing.stop()
        return probing.reason

    def _ask(self, program: Program, probe: Probe, passed: Callable[[], object], failed: Callable[[str], object]) -> None:
        if self._probes is None:
            self.log.error("{program}: nobody here can make its probes", program=program.name)
            return
        self._probing = self._probes.make(program, probe, passed, failed)
        self._probing.start()

    def _isReady(self) -> None:
        self.stop()
        self._ready()

    def _isUnwell(self, reason: str) -> None:
        self.stop()
        self._unwell(f"not well: {reason}")
