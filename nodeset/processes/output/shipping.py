"""The way of one program's events to whoever takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.core.node import Node
from nodeset.core.settling import REJOIN, SETTLE
from nodeset.errors import HandlerFailed, NodeSetError, OutcomeUnknown, Overloaded, Receipt, Undelivered
from nodeset.processes.events import KINDS, Kind, ProcessEvent, ProcessOutput, nameOf
from nodeset.processes.output.backlog import CHUNK, Backlog, Parcel
from nodeset.processes.program import Program

__all__ = ["HIGH", "WINDOW", "Shipping"]

#: Bytes, parcels under way at a time: the node's outbox cannot drop them any more.
WINDOW: Final = 512 * 1024
_MOST_FLYING: Final = 256
#: Bytes held at which a program is slowed down, if the bus moves; half of it is where that ends.
HIGH: Final = 1024 * 1024
#: Output in an event that may find nobody.
_FEELER: Final = 4096
#: Seconds until the next attempt when nobody takes anything: the first, the longest.
_FIRST_PAUSE: Final = 1.0
_LAST_PAUSE: Final = 15.0
#: Seconds that two times of the same call may differ, as clocks tell them.
_FINE: Final = 0.001
#: Seconds in which a dispatcher that was started anew answers, unless many nodes come back: see `core/settling.py`.
_SETTLING: Final = SETTLE + REJOIN + 1.0
#: Seconds until the next attempt when the node's outbox is full, or its dispatcher is about to leave.
_CROWDED: Final = 0.05


class Shipping:
    """Publishes all events of one uuid in order, and keeps what nobody has taken yet, in `program.buffer_bytes`.

    An event is taken when at least one subscriber was handed it, and none lost it. Kinds that nobody takes wait, while those
    that somebody takes go on; one event at a time tries whether somebody is there: after `announced`, when a link opens, and
    every few seconds. What was sent again
    may come twice to some, with the same `seq`.

    :param uuid: that of all events.
    :param grace: seconds from now in which `full` may be true although nobody has taken anything yet: for who expects a center.
    """

    log = Logger()

    def __init__(self, node: Node, program: Program, uuid: str, clock: IReactorTime, *, grace: float = 0.0) -> None:
        self._node, self.uuid, self._clock = node, uuid, clock
        self._names = {kind: nameOf(program.name, kind) for kind in KINDS}
        self._backlog = Backlog(program.buffer_bytes)
        self.adopt(program)
        self._on_room: list[Callable[[], object]] = []
        self._waiters: dict[Deferred[bool], IDelayedCall] = {}
        #: The kinds that somebody takes, as far as is known; those that a feeler is to try now, the feeler under way.
        self._takers: set[str] = set()
        #: Of these who did take something, since any of them was given back.
        self._proven: set[str] = set()
        self._trying: set[str] = set()
        self._feeler: Parcel | None = None
        #: Whether output was the last that nobody took.
        self._unread = False
        self._next_feeler = 0.0
        self._pause = _FIRST_PAUSE
        #: Until when a flood is slowed down: so long the bus may take to move.
        self._until = clock.seconds() + grace if grace else float("-inf")
        self._moved = clock.seconds()
        self._call: IDelayedCall | None = None
        self._stalling: IDelayedCall | None = None
        self._waits_for_link = self._stopped = False
        #: Whether nothing more is sent until all that is under way is answered.
        self._regroups = False
        self._complained = ""
        self.full = False
        self._taken = self._resent = self._unsendable = 0

    def adopt(self, program: Program) -> None:
        """Go by the bounds of this program from now on; its name counts for nothing."""
        self._slows, self._stall = program.output == "slow", program.stall_timeout
        self._backlog.limit = program.buffer_bytes
        self._window = min(WINDOW, program.buffer_bytes // 2)
        self._high = min(HIGH, program.buffer_bytes // 2)

    # -- in

    def put(self, kind: Kind, what: bytes | ProcessEvent) -> None:
        """Publish what the program wrote to `out` or `err`, or another event, whose `uuid` and `seq` are set here.

        Never waits, never fails: see `full` for who could wait. The order of all `put` is that of the events.
        """
        if self._stopped:
            return
        if not len(self._backlog) and self._takers and self._node.is_linked:
            self._until = max(self._until, self._clock.seconds() + self._stall)
        if isinstance(what, bytes):
            self._backlog.addOutput(kind, what)
        else:
            self._backlog.addEvent(kind, what)
        self._review()
        self._plan()

    def onRoom(self, call: Callable[[], object]) -> None:
        """Call this each time when `full` has become false again."""
        self._on_room.append(call)

    def announced(self) -> None:
        """A center says that it is here: what nobody has taken goes again now, also what it may have missed."""
        self._backlog.remind()
        self.regroup()
        self._next_feeler, self._pause = 0.0, _FIRST_PAUSE
        self._plan()

    def regroup(self) -> None:
        """A center has come: what is under way may be so to the one before it, from which it comes back in some seconds. It
        belongs before all else, so nothing is sent until all of it is answered.
        """
        self._regroups = self._backlog.flying > 0

    def drained(self, timeout: float) -> Deferred[bool]:
        """Fires with True as soon as all is taken, with False after `timeout` seconds in which nothing more was taken.

        A dispatcher that was started anew answers nobody for some seconds, since it waits for its nodes: one that is linked,
        and has an event of ours, is given these, unless `timeout` is 0.
        """
        if not len(self._backlog):
            return succeed(True)
        waiter: Deferred[bool] = Deferred()
        self._linger(waiter, timeout, self._clock.seconds())
        self._plan()
        return waiter

    def _linger(self, waiter: Deferred[bool], timeout: float, since: float) -> None:
        is_asked = timeout > 0 and self._backlog.flying > 0 and self._node.is_linked
        patience = max(timeout, _SETTLING) if is_asked else timeout
        left = max(since, self._moved) + patience - self._clock.seconds()
        if left > 0:
            self._waiters[waiter] = self._clock.callLater(left, self._linger, waiter, timeout, since)
        else:
            self._waiters.pop(waiter, None)
            waiter.callback(False)

    def _tell(self, drained: bool) -> None:
        waiters, self._waiters = self._waiters, {}
        for waiter, call in waiters.items():
            call.cancel()
            waiter.callback(drained)

    def stop(self) -> None:
        """Send nothing more; what is held is lost. Who waits for `drained` is told False."""
        self._stopped = True
        for call in (self._call, self._stalling):
            if call is not None and call.active():
                call.cancel()
        self._tell(False)

    def figures(self) -> dict[str, int]:
        """Counters and levels by name, in events unless they say bytes."""
        backlog = self._backlog
        return {
            "held": len(backlog),
            "held_bytes": backlog.size,
            "under_way": backlog.flying,
            "taken": self._taken,
            "resent": self._resent,
            "unsendable": self._unsendable,
            "dropped_events": backlog.dropped_events,
            "dropped_bytes": backlog.dropped_bytes,
        }

    # -- out

    def _plan(self, delay: float = 0.0) -> None:
        """Send what can be sent, at the end of the turn of the reactor, or when there is a reason."""
        if self._stopped or not self._backlog.waiting:
            return
        if self._backlog.waits(self._takers):
            if not self._hasRoom():
                return  # an answer brings us back
        elif self._feeler is not None or not (self._takers or not self._backlog.flying):
            return  # so does this one
        else:
            delay = max(delay, self._next_feeler - self._clock.seconds())
        when = self._clock.seconds() + delay
        if self._call is not None and self._call.active():
            if self._call.getTime() <= when + _FINE:
                return
            self._call.cancel()
        self._call = self._clock.callLater(max(0.0, delay), self._ship)

    def _hasRoom(self) -> bool:
        return self._backlog.flying < _MOST_FLYING and self._backlog.flying_bytes < self._window

    def _ship(self) -> None:
        self._call = None
        if not self._node.is_linked:
            self._awaitLink()
            return
        if self._node.is_leaving:
            # What is published now would go before what the dispatcher gives back, as nobody is there who takes that.
            self._plan(_CROWDED)
            return
        if self._regroups and self._backlog.flying:
            return  # each answer brings us back
        self._regroups = False
        while self._takers and self._hasRoom():
            parcel = self._backlog.take(CHUNK, self._takers)
            if parcel is None or not self._publish(parcel):
                break
        if self._feeler is None and self._clock.seconds() >= self._next_feeler and (self._takers or not self._backlog.flying):
            self._feel()

    def _feel(self) -> None:
        """Try whether somebody takes what nobody took before, one kind after the other, in the order of the events."""
        self._trying = self._trying or set[str](KINDS) - self._takers
        self._feeler = self._backlog.take(_FEELER, self._trying)
        if self._feeler is None:
            self._trying = set()
        else:
            self._publish(self._feeler)

    def _awaitLink(self) -> None:
        if self._waits_for_link:
            return
        self._waits_for_link = True
        self._node.start().addBoth(self._linkOpened)

    def _linkOpened(self, result: Any) -> None:
        self._waits_for_link = False
        if isinstance(result, Failure):
            # Nobody lets us in, or the node stops: it may be started again.
            self._restLonger()
        else:
            self._next_feeler, self._pause = 0.0, _FIRST_PAUSE
        self._plan()

    def _restLonger(self) -> None:
        self._next_feeler = self._clock.seconds() + self._pause
        self._pause = min(2 * self._pause, _LAST_PAUSE)

    def _publish(self, parcel: Parcel) -> bool:
        """Hand it to the node; returns whether another one may follow."""
        name, event, uuid = self._names[parcel.kind], parcel.event, self.uuid
        crowded = False
        try:
            if event is None:
                data, dropped = parcel.data, parcel.dropped
                told = self._node.publish(
                    name,
                    ProcessOutput,
                    timeout=None,
                    wait=False,
                    uuid=uuid,
                    seq=parcel.seq,
                    data=data,
                    dropped=dropped,
                )
            else:
                event.uuid, event.seq = uuid, parcel.seq
                told = self._node.publishMessage(name, event, timeout=None, wait=False)
        except NodeSetError as error:
            self._complain(f"{name} cannot be sent", error)
            self._unsendable += 1
            self._back(parcel)
            self._backlog.done(parcel)
            self._plan()
            return True
        if told.called:  # nothing but a failure comes so soon
            crowded = True
        told.addCallbacks(self._answered, self._failed, callbackArgs=(parcel,), errbackArgs=(parcel,))
        return not crowded

    def _back(self, parcel: Parcel) -> None:
        if parcel is self._feeler:
            self._feeler = None

    def _answered(self, receipt: Receipt, parcel: Parcel) -> None:
        if receipt.matched:
            self._took(parcel)
        else:
            self._untaken(parcel)

    def _failed(self, failure: Failure, parcel: Parcel) -> None:
        error = failure.value
        if isinstance(error, HandlerFailed):  # it had it: what it made of it is its own
            self._took(parcel)
        elif isinstance(error, Undelivered) and error.receipt.delivered:
            self._back(parcel)
            self._backlog.owe(parcel)
            self._heardOf(parcel)
        elif isinstance(error, Overloaded):
            self._back(parcel)
            self._backlog.putBack(parcel)
            self._plan(_CROWDED)
        else:
            if not isinstance(error, (Undelivered, OutcomeUnknown)):
                self._complain(f"{self._names[parcel.kind]} was not taken", error)
            self._untaken(parcel)

    def _complain(self, what: str, error: object) -> None:
        """Say it once, until another reason comes."""
        kind = type(error).__name__
        if kind != self._complained:
            self._complained = kind
            self.log.warn("{what}: {reason}", what=what, reason=str(error))

    def _took(self, parcel: Parcel) -> None:
        self._taken += 1
        self._complained = ""
        self._proven.add(parcel.kind)
        self._back(parcel)
        self._backlog.done(parcel)
        self._heardOf(parcel)

    def _heardOf(self, parcel: Parcel) -> None:
        """Somebody is there, and the bus moves."""
        now = self._clock.seconds()
        self._moved = now
        if parcel.kind not in self._takers:
            # Who takes what nobody took has most often come for all.
            self._takers, self._trying, self._pause = set(KINDS), set(), _FIRST_PAUSE
        if parcel.event is None:
            self._unread = False
        self._until = max(self._until, now + self._stall)
        self._review()
        self._plan()
        if not len(self._backlog):
            self._tell(True)

    def _untaken(self, parcel: Parcel) -> None:
        self._resent += 1
        self._backlog.putBack(parcel)
        self._unread = self._unread or parcel.event is None
        self._trying.discard(parcel.kind)
        if parcel is self._feeler:
            self._feeler = None
            if not self._backlog.waits(self._trying):
                self._trying = set()
                self._restLonger()
        elif parcel.kind in self._takers and self._next_feeler <= self._clock.seconds():
            self._restLonger()
        if parcel.kind in self._proven:
            # Who took it is gone, most often with all else: what is next in order shows who is there.
            self._takers, self._proven = set(), set()
        self._takers.discard(parcel.kind)
        self._review()
        self._plan()

    # -- flow

    def _review(self) -> None:
        """Whether the program is to be slowed down."""
        now, size = self._clock.seconds(), self._backlog.size
        full = self._slows and not self._unread and now < self._until and size >= (self._high // 2 if self.full else self._high)
        if full and (self._stalling is None or not self._stalling.active()):
            self._stalling = self._clock.callLater(self._until - now, self._stalled)
        if full is self.full:
            return
        self.full = full
        if not full:
            for call in list(self._on_room):
                call()

    def _stalled(self) -> None:
        """So long nothing may have moved; `_until` says whether it has."""
        self._stalling = None
        self._review()
