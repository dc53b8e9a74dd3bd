"""A node's end of calls: what it says of them over its links."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from nodeset.core.batch import Frame, Took
from nodeset.core.calls.callee import Callee
from nodeset.core.calls.caller import Caller
from nodeset.core.calls.callframes import Answer, Ask, Asked, Call, Cancel, Ending, Item, More
from nodeset.core.calls.expose import Exposed
from nodeset.core.calls.lane import Lane, LaneFrame
from nodeset.core.writer import BatchWriter
from nodeset.errors import ProtocolError

__all__ = ["Phone"]

#: How long methods may work in one go, in seconds, before the reactor gets a turn.
_SLICE = 0.01
#: Calls, or answers, with which somebody else may begin while we make more of them: fewer cost more than they gain.
_ENOUGH = 48


class Phone:
    """Owns a lane, a `Caller`, a `Callee`.

    :param owner: the node, with a `name`.
    """

    def __init__(self, owner: Any, exposed: dict[str, Exposed], clock: IReactorTime) -> None:
        self._clock = clock
        self.counters: Counter[str] = Counter()
        self._writer: BatchWriter | None = None
        self._poked = False
        self._gathered = 0
        self._working: IDelayedCall | None = None
        self._until = 0.0
        self._busy = self._stopped = False
        self.caller = Caller(owner.name, clock, self._gather, self._send, self.counters)
        self.callee = Callee(owner, exposed, clock, self._put, self.counters)
        self._leaving = False
        self._lane = Lane(self._draw)

    def sendBy(self, writer: BatchWriter) -> None:
        """Send by this writer, which asks `take` for batches."""
        self._writer = writer

    def _send(self, frame: Frame) -> None:
        assert self._writer is not None
        self._writer.write(frame)

    def _put(self, frame: Answer | Item) -> None:
        self._lane.put(frame)
        self._gather()

    def _gather(self) -> None:
        """One more waits: all leave at the end of the turn, as soon as there are enough at once."""
        self._poke()
        self._gathered += 1
        if self._gathered >= _ENOUGH and self._lane.credit and self._writer is not None:
            self._writer.flush()

    def _poke(self) -> None:
        if not self._poked and self._writer is not None:
            self._poked = True
            self._writer.poke()

    def take(self, leaving: bool) -> tuple[list[LaneFrame], int]:
        """The calls, answers, items of the next batch with what they weigh; no calls to a dispatcher that is `leaving`."""
        self._poked = False
        self._gathered = 0
        self._leaving = leaving
        return self._lane.take()

    def _draw(self) -> Call | None:
        return None if self._leaving else self.caller.draw()

    # -- what comes

    def arrived(self, frames: list[LaneFrame], now: float) -> None:
        """A batch of calls, answers, items came."""
        # First: then it goes along with what is answered, or called next.
        self._send(Took(0, 1))
        caller, callee = self.caller, self.callee
        for frame in frames:
            if type(frame) is Answer:
                caller.answered(frame)
            elif type(frame) is Call:
                callee.call(frame, now)
            elif type(frame) is Item:
                caller.came(frame)
        self.work()

    def received(self, frame: Frame) -> None:
        """What else is said of calls. Raises `ProtocolError` for what is not."""
        match frame:
            case Took():
                self._lane.took(frame.calls)
                self._poke()
            case Asked():
                self.caller.asked(frame)
            case Cancel():
                self.callee.cancel(frame)
            case Ask():
                self.callee.ask(frame)
            case More():
                self.callee.more(frame)
            case _:
                raise ProtocolError(f"a dispatcher does not send {type(frame).__name__}")

    def work(self) -> None:
        """Run calls for a while, then let the reactor breathe."""
        if self._busy or self._working is not None or self._stopped or not self.callee.busy:
            return
        self._busy = True
        self._until = self._clock.seconds() + _SLICE
        try:
            self.callee.work(self._inTime)
        finally:
            self._busy = False
        if self.callee.busy and not self._stopped:
            self._working = self._clock.callLater(0, self._resume)

    def _inTime(self) -> bool:
        return not self._stopped and self._clock.seconds() <= self._until

    def _resume(self) -> None:
        self._working = None
        self.work()

    # -- links

    def linkOpened(self, known: bool, restarted: bool) -> None:
        """A link is open: to who knows us, or does not; to a dispatcher that was `restarted` since the last one."""
        sent = self._lane.opened()
        calls = [frame for frame in sent if type(frame) is Call]
        if known:
            answers = [frame for frame in sent if type(frame) is Answer and frame.ending is not Ending.STREAM]
            self._lane.back(answers)
        else:
            # Answers that are wanted are asked for.
            self._lane.clear()
            if not restarted:
                self.callee.forgetAll()
                self._lane.clear()
        self.caller.linkOpened(known, calls)
        self._poked = False
        self._poke()

    def unspoken(self) -> None:
        """A link is open to a dispatcher that knows nothing of calls."""
        self.caller.refuse("the dispatcher is of a version without calls: update it")

    def refuse(self, why: str) -> None:
        """Nobody lets us in: what was called fails, what is called does so too, until there is a link."""
        self.caller.refuse(why)

    def linkLost(self) -> None:
        """The link is lost."""
        self._lane.closed()
        self._lane.dropStreams()
        self._poked = False
        self.caller.linkLost()
        self.callee.linkLost()

    def flush(self, timeout: float) -> Deferred[None]:
        """Fires when every call that was made is answered, after `timeout` seconds at the latest."""
        return self.caller.flush(timeout, self._clock)

    def stop(self) -> None:
        """Everything ends: what was called fails, what runs is cancelled."""
        self._stopped = True
        if self._working is not None:
            self._working.cancel()
            self._working = None
        self.callee.stop()
        self.caller.stop()
