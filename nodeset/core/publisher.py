"""Published events, each with the Deferred that tells what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from nodeset.core.batch import NO_HEADERS, TARGET, WINDOW, Done, Events, Level, Mode, Result
from nodeset.core.outbox import Entry, Outbox
from nodeset.errors import HandlerFailed, NodeSetError, NotRunning, OutcomeUnknown, Overloaded, Receipt, Undelivered

__all__ = ["GIVE_UP", "Publisher", "Tally"]

#: Seconds without a link after which what was sent fails with `OutcomeUnknown` (D6).
GIVE_UP = 600.0


class Tally:
    """Stands for the Deferreds of many events: fires one when all of them have been answered."""

    called = False

    def __init__(self, count: int) -> None:
        self.deferred: Deferred[Receipt] = Deferred()
        self._waiting = count
        self._matched = self._delivered = self._dropped = 0
        self._error: NodeSetError | None = None
        if not count:
            self.deferred.callback(Receipt(0, 0, 0))

    def callback(self, receipt: Receipt) -> None:
        """One was confirmed."""
        self._matched += receipt[0]
        self._delivered += receipt[1]
        self._dropped += receipt[2]
        self._one()

    def errback(self, error: NodeSetError) -> None:
        """One has failed."""
        self._error = self._error or error
        self._one()

    def _one(self) -> None:
        self._waiting -= 1
        if not self._waiting and not self.deferred.called:
            if self._error is not None:
                self.deferred.errback(self._error)
            else:
                self.deferred.callback(Receipt(self._matched, self._delivered, self._dropped))


class Publisher:
    """Owns an outbox, with the clock by which its entries expire.

    :param poke: called when there is something to `take`.
    """

    def __init__(self, outbox: Outbox, clock: IReactorTime, poke: Callable[[], None], counters: Counter[str]) -> None:
        self._outbox, self._clock, self._poke, self._counters = outbox, clock, poke, counters
        self._seconds = clock.seconds
        self._credit = 0
        self._poked = False
        self._expires = float("inf")
        self._expiring: IDelayedCall | None = None
        self._givingUp: IDelayedCall | None = None
        self._flushing: list[Deferred[None]] = []

    def publish(
        self,
        event: str,
        payload: bytes,
        mode: Mode,
        level: Level,
        timeout: float | None,
        wait: bool,
        headers: msgspec.Raw = NO_HEADERS,
    ) -> Deferred[Receipt]:
        """Put one event into the outbox; fires and fails as `Node.publish` says. The arguments have been checked."""
        token: Deferred[Receipt] = Deferred()
        deadline = None if timeout is None else self._seconds() + timeout
        try:
            self._outbox.add(Entry(event, mode, level, payload, token, timeout, deadline, headers), wait)
        except Overloaded as error:
            self._counters["overloaded"] += 1
            return fail(error)
        if not self._poked:
            self._poked = True
            self._poke()
        if deadline is not None and deadline < self._expires:
            self._expireAt(deadline)
        return token

    def publishMany(
        self, event: str, payloads: list[tuple[bytes, Mode]], level: Level, timeout: float | None, wait: bool
    ) -> Deferred[Receipt]:
        """Put many events into the outbox; fires and fails as `Node.publishMany` says."""
        tally = Tally(len(payloads))
        deadline = None if timeout is None else self._clock.seconds() + timeout
        for payload, mode in payloads:
            entry = Entry(event, mode, level, payload, tally, timeout, deadline)
            try:
                self._outbox.add(entry, wait)
            except Overloaded as error:
                self._counters["overloaded"] += 1
                tally.errback(error)
        self._poke()
        if deadline is not None and deadline < self._expires:
            self._expireAt(deadline)
        return tally.deferred

    def take(self) -> list[Events]:
        """The runs of the next batch, empty when there is nothing to send or no credit; they count as sent from here on."""
        self._poked = False
        if self._credit <= 0:
            return []
        runs = self._outbox.take(TARGET)
        if runs:
            self._credit -= 1
        return runs

    def took(self, batches: int) -> None:
        """The dispatcher has routed batches: it takes as many more."""
        self._credit = min(WINDOW, self._credit + batches)
        self._changed()

    def linkOpened(self) -> None:
        """Everything that is not confirmed goes out, in order, whether or not it was sent before."""
        self._credit = WINDOW
        self._poked = False
        self._outbox.rewind()
        if self._givingUp is not None:
            self._givingUp.cancel()
            self._givingUp = None
        self._changed()

    def done(self, frame: Done) -> None:
        """The dispatcher says what became of events."""
        receipt = Receipt(frame.matched, frame.delivered, frame.dropped)
        for entry in self._outbox.done(frame.ranges):
            if frame.result is Result.OK:
                self._resolve(entry, receipt)
            elif frame.result is Result.FAILED:
                self._resolve(entry, HandlerFailed(f"a handler of {entry.event!r} failed: {frame.reason}", receipt))
            else:
                missing = frame.matched - frame.delivered - frame.dropped
                reached = f"{entry.event!r} did not reach {missing} of the {frame.matched} that match"
                self._resolve(entry, Undelivered(f"{reached}: {frame.reason}", receipt))
        self._changed()

    def linkLost(self) -> None:
        """Everything waits for the next link; what was sent already, not for ever."""
        self._credit = 0
        self._poked = False
        if self._givingUp is None:
            self._givingUp = self._clock.callLater(GIVE_UP, self._giveUp)

    def _giveUp(self) -> None:
        self._givingUp = None
        for entry in self._outbox.giveUpSent():
            self._counters["outcome_unknown"] += 1
            error = f"no dispatcher was there for {GIVE_UP:g} s after {entry.event!r} was sent: it may or may not have arrived"
            self._resolve(entry, OutcomeUnknown(error))
        self._changed()

    def stop(self) -> None:
        """Everything that is not answered by now fails."""
        for entry in self._outbox.clear():
            error = OutcomeUnknown if entry.sequence else NotRunning
            self._resolve(entry, error(f"the node stopped before {entry.event!r} was confirmed"))
        self._expireAt(None)
        if self._givingUp is not None:
            self._givingUp.cancel()
            self._givingUp = None
        self._changed()

    def flush(self, timeout: float) -> Deferred[None]:
        """Fires when everything published is answered, at the latest after `timeout` seconds."""
        if not len(self._outbox):
            return succeed(None)
        flushed: Deferred[None] = Deferred()
        self._flushing.append(flushed)
        return flushed.addTimeout(timeout, self._clock, onTimeoutCancel=lambda result, seconds: None)

    def _changed(self) -> None:
        if self._outbox.unsent:
            self._poke()
        if self._flushing and not len(self._outbox):
            flushing, self._flushing = self._flushing, []
            for flushed in flushing:
                if not flushed.called:
                    flushed.callback(None)

    def _expireAt(self, deadline: float | None) -> None:
        if self._expiring is not None and self._expiring.active():
            self._expiring.cancel()
        self._expiring = None
        self._expires = float("inf") if deadline is None else deadline
        if deadline is not None:
            self._expiring = self._clock.callLater(max(0.0, deadline - self._clock.seconds()), self._expire)

    def _expire(self) -> None:
        self._expiring = None
        for entry in self._outbox.expire(self._clock.seconds()):
            self._counters["timed_out"] += 1
            what = "had no answer" if entry.sequence else "found no room to be sent"
            self._resolve(entry, OutcomeUnknown(f"{entry.event!r} {what} within {entry.timeout:g} s; it is not sent again"))
        self._expireAt(self._outbox.nextDeadline())
        self._changed()

    @staticmethod
    def _resolve(entry: Entry, result: Receipt | NodeSetError) -> None:
        token = entry.token
        assert isinstance(token, (Deferred, Tally))
        if token.called:
            return  # its owner cancelled it
        if isinstance(result, NodeSetError):
            token.errback(result)
        else:
            token.callback(result)
