"""The calls that a node has made, each until it is answered."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime

from nodeset.core.address import isMeant
from nodeset.core.batch import MAX_RANGES, NO_HEADERS, Frame
from nodeset.core.calls.callframes import Answer, Ask, Asked, Call, Cancel, Ending, Item, More
from nodeset.core.calls.expose import Exposed
from nodeset.core.calls.gather import Gather
from nodeset.core.calls.items import Inflow, Items, Wait
from nodeset.core.calls.parcel import unpackValue
from nodeset.core.calls.punctual import Punctual
from nodeset.core.calls.replies import errorOf
from nodeset.core.calls.within import within
from nodeset.core.ranges import addTo, split
from nodeset.errors import NodeSetError, NotRunning, OutcomeUnknown, Overloaded, Refused, TimedOut

__all__ = ["MAX_CALLS", "MAX_CALL_BYTES", "Caller"]

#: Calls that wait for an answer, bytes of their arguments.
MAX_CALLS: Final = 100_000
MAX_CALL_BYTES: Final = 64 * 1024 * 1024
#: Calls given up of which it is said again when a link was lost.
_MOST_CANCELS = 10_000
#: How often an idempotent call is made again at most.
_MOST_TRIES = 10


class Pending(msgspec.Struct, eq=False):
    """One call that is not answered. `left` is 0 when it is.

    After a restart of the dispatcher nodes say which calls they have; `claimers` are the streams of those that bear the name
    that was called, and nobody else is believed.
    """

    id: int
    target: str
    method: str
    payload: bytes
    mode: int
    idempotent: bool
    deadline: float | None
    timeout: float | None
    exposed: Exposed | None
    headers: msgspec.Raw
    context: Context | None
    deferred: Deferred[Any]
    gather: Gather | None = None
    inflow: Inflow | None = None
    sent: bool = False
    again: bool = False
    asking: bool = False
    claimers: frozenset[str] = frozenset()
    tries: int = 1
    left: int = 1

    @property
    def what(self) -> str:
        """How errors name it."""
        return f"{self.method} of {self.target or 'the dispatcher'}"


class Caller:
    """Makes calls.

    :param wake: called when there is a call to `draw`.
    :param send: takes a frame that needs no credit.
    """

    def __init__(
        self, name: str, clock: IReactorTime, wake: Callable[[], None], send: Callable[[Frame], None], counters: Counter[str]
    ) -> None:
        self._name, self._seconds, self._wake, self._send, self._counters = name, clock.seconds, wake, send, counters
        self._pending: dict[int, Pending] = {}
        self._unsent: deque[Pending] = deque()
        self._bytes = self._husks = 0
        self._last = 0
        self._low = 1
        self._refused = ""
        #: The last ones given up: over a link that is lost nobody may have heard of them.
        self._cancels: deque[int] = deque(maxlen=_MOST_CANCELS)
        self._deadlines: Punctual[Pending] = Punctual(clock, self._expire)
        self._waits: Punctual[Wait] = Punctual(clock, self._expireWait)
        self._flushing: list[Deferred[None]] = []

    def __len__(self) -> int:
        return len(self._pending)

    # -- calling

    def call(
        self,
        target: str,
        method: str,
        payload: bytes,
        mode: int,
        timeout: float | None,
        idempotent: bool,
        exposed: Exposed | None,
        headers: msgspec.Raw = NO_HEADERS,
    ) -> Deferred[Any]:
        """Make a call; fires and fails as `Node.call` says. The arguments have been checked."""
        pending = self._pending
        if len(pending) >= MAX_CALLS or (self._bytes and self._bytes + len(payload) > MAX_CALL_BYTES):
            self._counters["calls_overloaded"] += 1
            waits = f"{len(pending)} calls with {self._bytes} bytes of arguments wait for their answers"
            return fail(Overloaded(f"{self._name} cannot call {method}: {waits}"))
        if self._refused:
            return fail(Refused(f"{method} of {target} cannot be called: {self._refused}"))
        now = self._seconds()
        deadline = None if timeout is None else now + timeout
        outer = within.get()
        context = None
        if outer is not None:
            context = copy_context()
            if outer.deadline is not None and not outer.over and (deadline is None or outer.deadline < deadline):
                deadline, timeout = outer.deadline, max(0.0, outer.deadline - now)
                if deadline <= now:
                    return fail(TimedOut(f"{method} of {target} is not called: the call that it is part of had its time"))
        self._last = number = self._last + 1
        one = Pending(number, target, method, payload, mode, idempotent, deadline, timeout, exposed, headers, context, _NOBODY)
        deferred: Deferred[Any] = Deferred(partial(self._cancelled, one))
        one.deferred = deferred
        pending[number] = one
        self._bytes += len(payload)
        self._unsent.append(one)
        if deadline is not None:
            self._deadlines.add(one, len(pending))
        self._wake()
        return deferred

    def draw(self) -> Call | None:
        """The next call to send; it counts as sent from here on."""
        while self._unsent:
            one = self._unsent.popleft()
            if one.left and not one.sent:
                break
            self._husks -= 1
        else:
            return None
        one.sent = True
        low, pending = self._low, self._pending
        while low not in pending:
            low += 1
        self._low = low
        left = 0 if one.deadline is None else max(1, round(1000 * (one.deadline - self._seconds())))
        return Call("", one.id, low, one.target, one.method, left, one.mode, one.again, one.headers, one.payload)

    # -- answers

    def answered(self, answer: Answer) -> None:
        """An answer came."""
        one = self._pending.get(answer.id)
        if one is None:
            return  # we gave it up
        if answer.callee and one.gather is None and one.mode != 0 and answer.callee not in one.claimers:
            return
        one.asking = False
        ending = answer.ending
        if one.inflow is not None:
            self._over(one)
            one.inflow.ended(None if ending is Ending.END else errorOf(answer, one.what))
        elif one.mode == 0 and one.target:
            self._gather(one, answer)
        elif ending is Ending.VALUE:
            self._over(one)
            try:
                value = unpackValue(answer.payload)
                if one.exposed is not None:
                    value = one.exposed.signature.checkResult(value)
            except NodeSetError as error:
                self._fire(one, one.deferred.errback, error)
            else:
                self._fire(one, one.deferred.callback, value)
        elif ending is Ending.STREAM:
            self._begin(one)
        elif (ending is Ending.LOST or ending is Ending.UNKNOWN) and self._again(one):
            pass
        else:
            self._over(one)
            self._fire(one, one.deferred.errback, errorOf(answer, one.what))

    def asked(self, asked: Asked) -> None:
        """These nodes were called, for a call of all of a name."""
        one = self._pending.get(asked.id)
        if one is None:
            return
        if one.mode != 0:
            one.claimers = frozenset(stream for stream, node, _host in asked.callees if isMeant(one.target, stream, node))
            if one.asking and not one.claimers:
                nobody = Answer(
                    "", one.id, Ending.UNKNOWN, b"no node of this name knows of it since the dispatcher was started anew"
                )
                self.answered(nobody)
            return
        if one.gather is None and one.asking:
            # Whom the earlier dispatcher had called beside these nobody knows any more.
            self._over(one)
            unknown = OutcomeUnknown(f"{one.what} may or may not have run: the dispatcher was started anew")
            self._fire(one, one.deferred.errback, unknown)
            return
        if one.gather is None:
            one.gather = Gather(asked.callees)
        else:
            one.gather.miss({callee[0] for callee in asked.callees}, one.what)
        one.asking = False
        self._look(one)

    def _gather(self, one: Pending, answer: Answer) -> None:
        if one.gather is not None and answer.callee:
            one.gather.answered(answer, one.what, one.exposed)
        elif one.gather is not None:
            one.gather.miss(set(), one.what)
        elif answer.ending is Ending.UNKNOWN and self._again(one):
            return
        else:
            self._over(one)
            self._fire(one, one.deferred.errback, errorOf(answer, one.what))
            return
        self._look(one)

    def _look(self, one: Pending) -> None:
        if one.gather is not None and one.gather.done:
            self._over(one)
            self._fire(one, one.deferred.callback, one.gather.replies())

    def _again(self, one: Pending) -> bool:
        """Make an idempotent call once more, under a new number, since the old one is spoken for."""
        if not one.idempotent or one.tries >= _MOST_TRIES:
            return False
        del self._pending[one.id]
        self._last = one.id = self._last + 1
        self._pending[one.id] = one
        one.tries += 1
        one.sent = one.again = False
        self._unsent.append(one)
        self._counters["calls_repeated"] += 1
        self._wake()
        return True

    def _over(self, one: Pending) -> None:
        """Nothing more comes for this call."""
        one.left = 0
        if self._pending.pop(one.id, None) is not None:
            self._bytes -= len(one.payload)
        if not one.sent:
            self._husks += 1
            if self._husks > 64 and 2 * self._husks > len(self._unsent):
                self._unsent = deque(each for each in self._unsent if each.left)
                self._husks = 0
        if self._flushing and not self._pending:
            flushing, self._flushing = self._flushing, []
            for flushed in flushing:
                if not flushed.called:
                    flushed.callback(None)

    @staticmethod
    def _fire(one: Pending, fire: Callable[[Any], None], result: Any) -> None:
        """Tell who called, in the context in which it did."""
        if one.deferred.called:
            return
        if one.context is None:
            fire(result)
        else:
            one.context.run(fire, result)

    # -- giving up

    def _cancelled(self, one: Pending, deferred: Deferred[Any]) -> None:
        """Who called cancels its Deferred."""
        self._giveUp(one)

    def _giveUp(self, one: Pending) -> None:
        if one.left:
            self._over(one)
            if one.sent:
                self._cancels.append(one.id)
                self._send(Cancel("", one.id))

    def _expire(self, one: Pending) -> None:
        if one.inflow is not None:
            return  # it has begun to answer: each item has a time of its own
        self._counters["calls_timed_out"] += 1
        sent, gather = one.sent, one.gather
        self._giveUp(one)
        timeout = one.timeout or 0.0
        if gather is not None:
            gather.giveUp(TimedOut, f"{one.what} had no answer within {timeout:g} s")
            self._fire(one, one.deferred.callback, gather.replies())
            return
        what = "had no answer" if sent else "was not sent, for want of a dispatcher or of room,"
        self._fire(one, one.deferred.errback, TimedOut(f"{one.what} {what} within {timeout:g} s"))

    # -- streams

    def _begin(self, one: Pending) -> None:
        read = unpackValue if one.exposed is None else _reader(one.exposed)
        number = one.id
        one.inflow = Inflow(
            one.what,
            read,
            lambda count: self._send(More("", number, count)),
            lambda: self._giveUp(one),
            partial(self._await, one.timeout),
        )
        self._fire(one, one.deferred.callback, Items(one.inflow))

    def _await(self, timeout: float | None, inflow: Inflow) -> Wait:
        wait = Wait(inflow, None if timeout is None else self._seconds() + timeout)
        self._waits.add(wait, len(self._pending))
        return wait

    def _expireWait(self, wait: Wait) -> None:
        self._counters["calls_timed_out"] += 1
        wait.inflow.abandon(TimedOut(f"the next item of {wait.inflow.what} did not come in time"))

    def came(self, item: Item) -> None:
        """Items of a stream came."""
        one = self._pending.get(item.id)
        if one is not None and one.inflow is not None:
            one.inflow.came(item)

    # -- links

    def refuse(self, reason: str) -> None:
        """No call can be made over the link that is open: what is called fails with `Refused`, until there is another."""
        self._refused = reason
        for one in list(self._pending.values()):
            self._over(one)
            self._fire(one, one.deferred.errback, Refused(f"{one.what} cannot be called: {reason}"))

    def linkOpened(self, known: bool, back: list[Call]) -> None:
        """A link is open; `back` was sent before, has perhaps not arrived, and may be sent again when we are `known`."""
        self._refused = ""
        asking: list[tuple[int, int]] = []
        if known:
            for call in reversed(back):
                one = self._pending.get(call.id)
                if one is not None and one.inflow is None:
                    one.sent, one.again = False, True
                    self._unsent.appendleft(one)
            for number in self._cancels:
                self._send(Cancel("", number))
        for one in self._pending.values():
            if one.sent and (one.asking or not known):
                one.asking = True
                addTo(asking, one.id, one.id)
        for ranges in split(asking, MAX_RANGES):
            self._send(Ask("", ranges))

    def linkLost(self) -> None:
        """The link is lost: streams with it."""
        for one in [one for one in self._pending.values() if one.inflow is not None]:
            self._over(one)
            if one.inflow is not None:
                one.inflow.ended(OutcomeUnknown(f"a link was lost while {one.what} was streaming"))

    def flush(self, timeout: float, clock: IReactorTime) -> Deferred[None]:
        """Fires when every call is answered, after `timeout` seconds at the latest."""
        flushed: Deferred[None] = Deferred()
        if not self._pending:
            flushed.callback(None)
            return flushed
        self._flushing.append(flushed)
        return flushed.addTimeout(max(0.0, timeout), clock, onTimeoutCancel=lambda result, seconds: None)

    def stop(self) -> None:
        """Everything that is not answered by now fails."""
        self._deadlines.stop()
        for one in list(self._pending.values()):
            self._over(one)
            error = OutcomeUnknown if one.sent else NotRunning
            stopped = error(f"{self._name} stopped before {one.what} was answered")
            if one.inflow is not None:
                one.inflow.ended(stopped)
            else:
                self._fire(one, one.deferred.errback, stopped)
        self._waits.stop()


#: Stands for the Deferred of a call until that is made.
_NOBODY: Deferred[Any] = Deferred()


def _reader(exposed: Exposed) -> Callable[[bytes], Any]:
    return lambda payload: exposed.signature.checkItem(unpackValue(payload))
