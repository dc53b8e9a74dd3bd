"""The events of a node's inbox, given to its handlers for a while at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from nodeset.core.batch import NO_HEADERS, Events, Frame, Level, Outcome, Took
from nodeset.core.handlers import Refusal
from nodeset.core.inbox import Delivery, Inbox
from nodeset.core.screen import Screen
from nodeset.core.stretch import DeliverRun, Result

__all__ = ["Shift"]

#: How long handlers may work in one go, in seconds, before the reactor gets a turn.
_SLICE = 0.01


class Shift:
    """Takes events out of `inbox`, answers for them; works while it is `open`.

    :param deliver: called with the events; see `DeliverRun`.
    :param write: takes the frames that answer.
    """

    def __init__(
        self, inbox: Inbox, screen: Screen, deliver: DeliverRun, clock: IReactorTime, write: Callable[[Frame], None]
    ) -> None:
        self._inbox, self._screen, self._deliver, self._clock, self._write = inbox, screen, deliver, clock, write
        self.open = False
        self._working: IDelayedCall | None = None
        self._busy = False
        self._until = 0.0

    @property
    def busy(self) -> bool:
        """Whether a handler is being called just now."""
        return self._busy

    def stop(self) -> None:
        """Call no handler any more."""
        self.open = False
        if self._working is not None:
            self._working.cancel()
            self._working = None

    def took(self, batches: int) -> None:
        """So many batches have found room: say so."""
        if batches:
            self._write(Took(batches))

    def work(self) -> None:
        """Give events to the handlers for a while, then let the reactor breathe."""
        if self._working is not None or self._busy or not self.open:
            return
        self._busy = True
        self._until = self._clock.seconds() + _SLICE
        try:
            while (head := self._inbox.head()) is not None:
                self._handle(*head)
                if not self._inTime():
                    break
        finally:
            self._busy = False
        for confirm in self._inbox.answers():
            self._write(confirm)
        self.took(self._inbox.unpark(self._clock.seconds()))
        if self.open and self._inbox.waiting:
            self._working = self._clock.callLater(0, self._resume)

    def _inTime(self) -> bool:
        """Whether more events may go to the handlers now."""
        return self.open and self._clock.seconds() <= self._until

    def _handle(self, stream: str, run: Events, index: int, offset: int) -> None:
        """Give the events of `run` from `index` on to handlers, until one takes its time."""
        more: Callable[[], bool] = self._inTime
        if run.ttl or run.headers is not NO_HEADERS:
            wanted = self._screen.look(stream, run, self._clock.seconds(), more)
            if wanted is None:
                return
            more = wanted
        stretch = self._deliver(run, stream, index, offset, more)
        if stretch.reached > index:
            self._inbox.passed(stream, stretch.reached - index, stretch.offset - offset)
        if stretch.delivery is not None:
            self._inbox.begin(stretch.delivery)
            self._settle(stretch.result, stretch.delivery)

    def _resume(self) -> None:
        self._working = None
        self.work()

    def _finished(self, reason: str | None, delivery: Delivery) -> None:
        self._settle(reason, delivery)
        Context().run(self.work)  # what comes next is no part of the trace that this event was part of

    def _settle(self, result: Result, delivery: Delivery) -> None:
        if isinstance(result, Deferred):
            if delivery.level is not Level.HANDLED:
                self._inbox.answer(delivery, Outcome.OK)
            result.addCallback(self._finished, delivery)
            return
        if result and delivery.packed_headers is not NO_HEADERS:
            self._screen.failed(delivery)
        if isinstance(result, Refusal):
            self._inbox.answer(delivery, Outcome.REFUSED, result[:500])
        elif result and delivery.level is Level.HANDLED:
            self._inbox.answer(delivery, Outcome.FAILED, result[:500])
        else:
            self._inbox.answer(delivery, Outcome.OK)
        self._inbox.finished(delivery)
