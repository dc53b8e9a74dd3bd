"""How much a run of the world held at most, against what its limits allow (I6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

from nodeset.core.batch import WINDOW
from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.peer import Peer

__all__ = ["Limits", "Peaks"]

#: Events in one batch of the world at most.
_BATCH = 4


@attrs.frozen
class Limits:
    """The limits that a world was given, in events: of a subscription's queue, of an inbox, of an outbox."""

    queue: int
    inbox: int
    outbox: int


@attrs.define
class Peaks:
    """The most of everything that was seen; `sample` looks.

    `unconfirmed` and `span` (from the lowest to the newest) are an outbox's; `inbox`, `parked` (batches) and `seen` (spans of
    numbers of one publisher) a receiver's; `queue` (events of one subscription), `arrived` (batches of one publisher), `takers`
    (spans of one publisher) and `astray` (pending events that are in no queue) the dispatcher's.
    """

    limits: Limits
    highest: Counter[str] = attrs.field(factory=Counter, init=False)

    def sample(self, peers: Iterable[Peer], dispatcher: EventDispatcher | None) -> None:
        """Look now."""
        for peer in peers:
            self._samplePeer(peer)
        if dispatcher is not None:
            self._sampleDispatcher(dispatcher)

    def _note(self, what: str, amount: int) -> None:
        if amount > self.highest[what]:
            self.highest[what] = amount

    def _samplePeer(self, peer: Peer) -> None:
        outbox, inbox = peer.publisher._outbox, peer._inbox
        self._note("unconfirmed", outbox._count)
        self._note("span", outbox._sequence + 1 - outbox.low)
        self._note("inbox", len(inbox) + inbox.running)
        self._note("parked", len(inbox._parked))
        for stream in inbox._streams.values():
            self._note("seen", len(stream.seen))

    def _sampleDispatcher(self, dispatcher: EventDispatcher) -> None:
        exchange = dispatcher.exchange
        held: set[tuple[str, str, int]] = set()
        for session in exchange.answers.sessions.values():
            self._note("arrived", len(session.arrived))
            for quota in session.quotas.values():
                self._note("queue", quota.events)
            runs = [queued.run for queued in session._queue if queued.run is not None]
            runs += [run for line in session._sent.values() for run, _quota in line]
            held |= {(session.stream, run.stream, number) for run in runs for number in range(run.first, run.last + 1)}
        astray = 0
        for name, pieces in exchange.answers.pending._streams.items():
            for piece in pieces:
                for number in range(piece.first, piece.last + 1):
                    astray += any((receiver, name, number) not in held for receiver in piece.waiting)
        self._note("astray", astray)
        for told in exchange._takers._streams.values():
            self._note("takers", len(told.takers))

    def excesses(self) -> list[str]:
        """What was over its limit, in words."""
        limits = self.limits
        bounds = {
            "unconfirmed": limits.outbox,
            "span": limits.outbox,
            "inbox": max(limits.inbox, _BATCH),
            "parked": WINDOW,
            "seen": limits.outbox,
            # What was sent comes back to the queue with a link: its window, what the inbox held. One batch may overshoot.
            "queue": limits.queue + WINDOW * _BATCH + limits.inbox + 2 * _BATCH,
            "arrived": WINDOW,
            "takers": 2 * limits.outbox,
            "astray": 0,
        }
        return [
            f"{what} came to {self.highest[what]}, over {most}" for what, most in bounds.items() if self.highest[what] > most
        ]
