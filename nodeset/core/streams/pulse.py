"""The heartbeat of streams, by which each end finds out when the other is not there any more."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from nodeset.core.heartbeat import INTERVAL, Heartbeat
from nodeset.errors import LinkLost, NodeSetError

__all__ = ["Beating", "Pulse"]


class Beating(Hashable, Protocol):
    """One end of a stream."""

    heard: float
    open: bool

    def beat(self) -> None:
        """Say that we are here."""

    def cut(self, reason: NodeSetError) -> None:
        """The other end is gone."""


class Pulse:
    """Beats for those that were added while they are open; it beats while there are any."""

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._heartbeat = Heartbeat()
        self._ends: list[Beating] = []
        self._last = 0.0
        self._loop = LoopingCall(self._beat)
        self._loop.clock = clock

    def add(self, end: Beating) -> None:
        """Beat for this one as well."""
        self._ends.append(end)
        self._heartbeat.heard(end, self._clock.seconds())
        if not self._loop.running:
            self._last = self._clock.seconds()
            self._heartbeat.looked(self._last)
            self._loop.start(INTERVAL, now=False).addErrback(lambda failure: self.log.failure("the pulse stopped", failure))

    def remove(self, end: Beating) -> None:
        """Beat no more for this one."""
        if end in self._ends:
            self._ends.remove(end)
            self._heartbeat.forget(end)
        if not self._ends and self._loop.running:
            self._loop.stop()

    def _beat(self) -> None:
        now = self._clock.seconds()
        for end in self._ends:
            if end.heard >= self._last:
                self._heartbeat.heard(end, end.heard)
            end.beat()
        self._last = now
        self._heartbeat.looked(now)
        silent = set(self._heartbeat.silent(now))
        for end in [end for end in self._ends if end in silent]:
            end.cut(LinkLost("it fell silent"))
