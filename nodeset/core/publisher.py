"""Published events, each with the Deferred that tells what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import AlreadyCalledError, Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from nodeset.core.batch import TARGET, WINDOW, Done, Events, Result
from nodeset.core.blocks import Terms
from nodeset.core.confirmation import makeConfirmation
from nodeset.core.outbox import Outbox
from nodeset.errors import (
    GrantRefused,
    HandlerFailed,
    NodeSetError,
    NotRunning,
    OutcomeUnknown,
    Overloaded,
    Receipt,
    Refused,
    Undelivered,
)

__all__ = ["GIVE_UP", "Publisher", "Tally"]

#: Seconds without a link after which what was sent fails with `OutcomeUnknown` (D6).
GIVE_UP = 600.0
#: The answer to what came to the end of its life before it was sent: who matches nobody knows, and one was dropped.
_OUTLIVED = Receipt(0, 0, 1)
#: What became of what expires: admitted, waiting for that.
_EXPIRED = ("had no answer", "found no room to be sent")


class Tally:
    """Stands for the Deferreds of many events: fires one when all of them have been answered."""

    def __init__(self, count: int) -> None:
        self.deferred: Deferred[Receipt] = Deferred()
        self._waiting = count
        self._matched = self._delivered = self._dropped = 0
        self._error: NodeSetError | None = None
        if not count:
            self.deferred.callback(Receipt(0, 0, 0))

    def callback(self, receipt: Receipt, count: int = 1) -> None:
        """So many were confirmed, each with this receipt."""
        self._matched += receipt[0] * count
        self._delivered += receipt[1] * count
        self._dropped += receipt[2] * count
        self._over(count)

    def errback(self, error: NodeSetError, count: int = 1) -> None:
        """So many have failed."""
        self._error = self._error or error
        self._over(count)

    def _over(self, count: int) -> None:
        self._waiting -= count
        if not self._waiting and not self.deferred.called:
            if self._error is not None:
                self.deferred.errback(self._error)
            else:
                self.deferred.callback(Receipt(self._matched, self._delivered, self._dropped))


class Publisher:
    """Owns an outbox, with the clock by which its entries expire.

    :param poke: called when there is something to `take`: while there is a link, to be taken before the reactor's turn is over.
    """

    def __init__(self, outbox: Outbox, clock: IReactorTime, poke: Callable[[], None], counters: Counter[str]) -> None:
        self._outbox, self._clock, self._poke, self._counters = outbox, clock, poke, counters
        self._seconds, self._join = clock.seconds, outbox.join
        #: Whether `take` comes at the end of every turn in which there is something new.
        self._joins = False
        self._credit = 0
        self._poked = False
        self._expires = float("inf")
        self._expiring: IDelayedCall | None = None
        self._givingUp: IDelayedCall | None = None
        self._flushing: list[Deferred[None]] = []

    def publish(self, terms: Terms, payload: bytes, wait: bool = True) -> Deferred[Receipt]:
        """Put one event into the outbox; fires and fails as `Node.publish` says. The arguments have been checked."""
        token = makeConfirmation()
        if not (self._joins and self._join(terms, payload, token)):
            now = self._seconds()
            self._closeTurn(now)
            deadline = None if terms.timeout is None else now + terms.timeout
            expires = None if terms.ttl is None else now + terms.ttl
            try:
                if self._outbox.add(terms, payload, token, deadline, wait, expires):
                    self._added(deadline, expires)
            except Overloaded as error:
                self._counters["overloaded"] += 1
                return fail(error)
        return token

    def _closeTurn(self, now: float) -> None:
        """What joined in this turn has its deadline from now on."""
        if self._joins:
            self._outbox.close(now)

    def publishMany(self, events: list[tuple[Terms, list[bytes]]], wait: bool = True) -> Deferred[Receipt]:
        """Put many events into the outbox, those under the same terms together; fires and fails as `Node.publishMany` says."""
        tally = Tally(sum(len(payloads) for _terms, payloads in events))
        now = self._seconds()
        self._closeTurn(now)
        for terms, payloads in events:
            deadline = None if terms.timeout is None else now + terms.timeout
            expires = None if terms.ttl is None else now + terms.ttl
            if not self._outbox.addMany(terms, payloads, tally, deadline, expires):
                for payload in payloads:
                    try:
                        self._outbox.add(terms, payload, tally, deadline, wait, expires)
                    except Overloaded as error:
                        self._counters["overloaded"] += 1
                        tally.errback(error)
            self._added(deadline, expires)
        return tally.deferred

    def _added(self, deadline: float | None, expires: float | None) -> None:
        if not self._poked:
            self._poked = True
            self._poke()
        if deadline is not None and deadline < self._expires:
            self._expireAt(deadline)
        if expires is not None and expires < self._expires:
            self._expireAt(expires)

    def take(self) -> list[Events]:
        """The runs of the next batch, empty when there is nothing to send or no credit; they count as sent from here on."""
        self._poked = False
        now = self._seconds()
        self._closeTurn(now)
        if self._credit <= 0:
            return []
        runs = self._outbox.take(TARGET, now)
        if runs:
            self._credit -= 1
        elif self._outbox.outlived:
            self._outlive()
            self._changed()
        return runs

    def took(self, batches: int) -> None:
        """The dispatcher has routed batches: it takes as many more."""
        self._credit = min(WINDOW, self._credit + batches)
        self._changed()

    def linkOpened(self) -> None:
        """Everything that is not confirmed goes out, in order, whether or not it was sent before."""
        self._credit = WINDOW
        self._poked = False
        self._joins = True
        self._outbox.rewind()
        if self._givingUp is not None:
            self._givingUp.cancel()
            self._givingUp = None
        self._changed()

    def linkLeaving(self) -> None:
        """Nothing more is taken before the next link."""
        self._closeTurn(self._seconds())
        self._joins = False

    def done(self, frame: Done) -> None:
        """The dispatcher says what became of events."""
        receipt = Receipt(frame.matched, frame.delivered, frame.dropped)
        for terms, tokens in self._outbox.done(frame.ranges):
            if frame.result is Result.OK:
                self._confirm(tokens, receipt)
            elif frame.result is Result.FAILED:
                self._fail(tokens, HandlerFailed, f"a handler of {terms.event!r} failed: {frame.reason}", receipt)
            elif frame.result is Result.REFUSED:
                self._counters["refused"] += len(tokens)
                self._fail(tokens, Refused, f"{terms.event!r} was refused: {frame.reason}")
            else:
                missing = frame.matched - frame.delivered - frame.dropped
                reached = f"{terms.event!r} did not reach {missing} of the {frame.matched} that match"
                self._fail(tokens, Undelivered, f"{reached}: {frame.reason}", receipt)
        self._changed()

    @staticmethod
    def _confirm(tokens: list[Any], receipt: Receipt) -> None:
        if type(tokens[0]) is Tally and tokens[0] is tokens[-1]:  # its events follow each other
            tokens[0].callback(receipt, len(tokens))
            return
        for token in tokens:
            try:
                token.callback(receipt)  # of one that its owner cancelled Twisted takes no notice
            except AlreadyCalledError:
                pass  # nor do we of one that its owner fired

    @staticmethod
    def _fail(tokens: list[Any], error: type[NodeSetError], *about: object) -> None:
        """Fail them, each with an error of its own, since errors collect tracebacks."""
        if type(tokens[0]) is Tally and tokens[0] is tokens[-1]:
            tokens[0].errback(error(*about), len(tokens))
            return
        for token in tokens:
            if type(token) is Tally or not token.called:  # else its owner cancelled it
                token.errback(error(*about))

    def linkLost(self) -> None:
        """Everything waits for the next link; what was sent already, not for ever."""
        self.linkLeaving()
        self._credit = 0
        self._poked = False
        if self._givingUp is None:
            self._givingUp = self._clock.callLater(GIVE_UP, self._giveUp)

    def _giveUp(self) -> None:
        self._givingUp = None
        for terms, tokens in self._outbox.giveUpSent():
            self._counters["outcome_unknown"] += len(tokens)
            alone = f"no dispatcher was there for {GIVE_UP:g} s after {terms.event!r} was sent"
            self._fail(tokens, OutcomeUnknown, f"{alone}: it may or may not have arrived")
        self._changed()

    def refuse(self, why: str) -> None:
        """The dispatcher lets nobody in under our grant: what waits fails now, since waiting does not help."""
        for terms, tokens in self._outbox.giveUpSent():
            self._counters["outcome_unknown"] += len(tokens)
            self._fail(tokens, OutcomeUnknown, f"{terms.event!r} was sent, it may or may not have arrived: {why}")
        for gone in self._outbox.clear():
            for terms, tokens in gone:
                self._counters["refused"] += len(tokens)
                self._fail(tokens, GrantRefused, f"{terms.event!r} was not sent: {why}")
        self._changed()

    def stop(self) -> None:
        """Everything that is not answered by now fails."""
        for gone, error in zip(self._outbox.clear(), (OutcomeUnknown, NotRunning), strict=True):
            for terms, tokens in gone:
                self._fail(tokens, error, f"the node stopped before {terms.event!r} was confirmed")
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
        now = self._seconds()
        self._closeTurn(now)
        for gone, what in zip(self._outbox.expire(now), _EXPIRED, strict=True):
            for terms, tokens in gone:
                self._counters["timed_out"] += len(tokens)
                expired = f"{terms.event!r} {what} within {terms.timeout:g} s; it is not sent again"
                self._fail(tokens, OutcomeUnknown, expired)
        self._outlive()
        self._expireAt(self._outbox.nextDeadline())
        self._changed()

    def _outlive(self) -> None:
        """What came to the end of its life before it was sent is dropped."""
        for _terms, tokens in self._outbox.takeOutlived():
            self._counters["expired"] += len(tokens)
            self._confirm(tokens, _OUTLIVED)
