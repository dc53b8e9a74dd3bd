"""One link of a dispatcher's to one of its nodes."""

from __future__ import annotations

from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime

from nodeset.core.batch import Beat
from nodeset.core.heartbeat import INTERVAL
from nodeset.core.link import Link
from nodeset.core.session import Session
from nodeset.core.writer import BatchWriter
from nodeset.errors import NodeSetError

__all__ = ["Line", "pingSome"]

#: Nodes are pinged in so many groups, one a second: a crowd that answers all at once would seem slow.
_GROUPS = round(INTERVAL)

#: How much of a newly measured round trip goes into the smoothed one.
_SHARE = 1 / 8


class Hearing(Protocol):
    """Who hears what comes over lines."""

    def received(self, line: Line, batch: bytes) -> None:
        """A batch came."""

    def lost(self, line: Line, reason: NodeSetError) -> None:
        """The link is lost."""


@attrs.define(eq=False)
class Line:
    """One link of one session: the receiver of what the node sends, the writer of what goes to it.

    It is pinged when it is the turn of its `group`, of which there are a few; `pinged` is the number of the ping that is not
    answered, or 0.
    """

    dispatcher: Hearing
    session: Session
    link: Link
    writer: BatchWriter
    group: int = 0
    open: bool = True
    pinged: int = 0
    pinged_at: float = 0.0

    def batchReceived(self, batch: bytes) -> None:
        """See `Receiver`."""
        if self.open:
            self.dispatcher.received(self, batch)

    def linkLost(self, reason: NodeSetError) -> None:
        """See `Receiver`."""
        if self.open:
            self.dispatcher.lost(self, reason)

    def ping(self, number: int, now: float) -> None:
        """Our heartbeat. It leaves at once, since we measure how long the answer takes."""
        self.pinged, self.pinged_at = number, now
        self.writer.write(Beat(number))
        self.writer.flush()

    def ponged(self, number: int, now: float) -> float | None:
        """The answer to a ping, if it is the one to the last; returns how long it took, in seconds."""
        if number != self.pinged:
            return None
        took, session, self.pinged = now - self.pinged_at, self.session, 0
        session.latency = took if session.latency is None else session.latency + _SHARE * (took - session.latency)
        return took


def pingSome(lines: list[Line], second: int, clock: IReactorTime) -> None:
    """Ping those of `lines` whose turn it is, each by its own time."""
    for line in lines:
        if line.group % _GROUPS == second % _GROUPS:
            line.ping(second, clock.seconds())
