"""Published events, each with the Deferred that tells what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from nodeset.core.batch import NO_HEADERS, Done, Events, Level, Mode, Result
from nodeset.core.outbox import Entry, Outbox
from nodeset.core.writer import TARGET
from nodeset.errors import HandlerFailed, NodeSetError, NotRunning, OutcomeUnknown, Overloaded, Receipt, Undelivered

__all__ = ["Publisher"]


class Publisher:
    """Owns an outbox, with the clock by which its entries expire.

    :param poke: called when there is something to `take`.
    """

    def __init__(self, outbox: Outbox, clock: IReactorTime, poke: Callable[[], None], counters: Counter[str]) -> None:
        self._outbox, self._clock, self._poke, self._counters = outbox, clock, poke, counters
        self._expiring: IDelayedCall | None = None
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
        deadline = None if timeout is None else self._clock.seconds() + timeout
        try:
            self._outbox.add(Entry(event, mode, level, payload, token, timeout, deadline, headers), wait)
        except Overloaded as error:
            self._counters["overloaded"] += 1
            return fail(error)
        self._poke()
        if deadline is not None and (self._expiring is None or deadline < self._expiring.getTime()):
            self._expireAt(deadline)
        return token

    def take(self) -> list[Events]:
        """All that was not sent yet, in runs of about a batch; it counts as sent from here on."""
        runs: list[Events] = []
        while self._outbox.unsent:
            taken = self._outbox.take(TARGET)
            if not taken:
                break
            runs += taken
        return runs

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
        """What was sent and not confirmed has an unknown outcome; what was not sent waits for the next link."""
        for entry in self._outbox.lost():
            self._counters["outcome_unknown"] += 1
            error = f"the link was lost before {entry.event!r} was confirmed: it may or may not have arrived"
            self._resolve(entry, OutcomeUnknown(error))
        self._changed()

    def stop(self) -> None:
        """Everything that is not answered by now fails."""
        for entry in self._outbox.clear():
            error = OutcomeUnknown if entry.sequence else NotRunning
            self._resolve(entry, error(f"the node stopped before {entry.event!r} was confirmed"))
        self._expireAt(None)
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
        assert isinstance(token, Deferred)
        if token.called:
            return  # its owner cancelled it
        if isinstance(result, NodeSetError):
            token.errback(result)
        else:
            token.callback(result)
