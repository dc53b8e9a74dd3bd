"""Many programs at once, each after those that it depends on."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from nodeset.processes.program import Program
from nodeset.processes.programs.differences import compare
from nodeset.processes.programs.order import Course
from nodeset.processes.states import OVER, State
from nodeset.processes.watching.watcher import Watcher

__all__ = ["BEAT", "Supervisor", "inWords"]

#: Seconds between two tellings of the state of a program that has no process whose figures come.
BEAT = 10.0

#: Programs that are started, or stopped, in one turn of the reactor.
_MOVED_AT_ONCE = 10
#: Programs whose state is told in one turn, seconds between two such turns, seconds before the first.
_TOLD_AT_ONCE = 20
_TELLING_PAUSE = 0.02
_TELLING_DELAY = 0.1
#: Seconds that a program has beside its `stop_timeout` to be gone, before those that it depends on are stopped regardless.
_PATIENCE = 5.0
#: Seconds without a link after which nobody is waited for any more who might take the last events.
_UNLINKED = 1.0
#: Seconds in which the events of programs that were taken out of the file must be taken.
_FAREWELL = 2.0
#: Seconds after which is said what has become of all, though some are still starting.
_SUMMARY = 10.0
#: The states in the order in which they are listed.
_LISTED = (
    State.RUNNING,
    State.STARTING,
    State.BACKOFF,
    State.WAITING,
    State.STOPPING,
    State.EXITED,
    State.STOPPED,
    State.FATAL,
)


def inWords(states: Iterable[State]) -> str:
    """So many programs in which states: `12 programs, 11 running, 1 fatal`."""
    counts = Counter(states)
    total = counts.total()
    return ", ".join(
        [f"{total} program{'' if total == 1 else 's'}"]
        + [f"{counts[state]} {state.name.lower()}" for state in _LISTED if counts[state]]
    )


class Supervisor(Service):
    """Starts programs in the order of their dependencies, stops them in reverse.

    What cannot be started hurts nobody but those that depend on it: they stay WAITING, with the reason.

    :param make: makes the watcher of a program.
    :param linger: seconds without progress in which the last events must be taken when it stops.
    :ivar watchers: by name, in the order in which they start.
    :ivar left: when it has stopped, the programs that could not be ended.
    """

    log = Logger()

    def __init__(self, make: Callable[[Program], Watcher], clock: IReactorTime, linger: float = 1.0) -> None:
        self._make, self._clock, self.linger = make, clock, linger
        self.watchers: dict[str, Watcher] = {}
        self.left: list[str] = []
        self._programs: Mapping[str, Program] = {}
        self._course = Course.of(())
        #: Who shall run but waits for its turn, or for others.
        self._wanted: set[str] = set()
        self._queue: deque[str] = deque()
        self._queued: set[str] = set()
        self._moving: IDelayedCall | None = None
        #: Those whose old description is being stopped; a new one may wait for that.
        self._retiring: dict[str, tuple[Watcher, Deferred[None]]] = {}
        self._untold: dict[str, None] = {}
        self._telling: IDelayedCall | None = None
        self._beating: IDelayedCall | None = None
        self._center, self._announced = "", set[str]()
        self._stopped: Deferred[None] | None = None
        self._asked: set[str] = set()
        self._parted = self._lost = False
        self._losing: IDelayedCall | None = None
        self._summary: IDelayedCall | None = None

    # -- life

    def apply(self, programs: Mapping[str, Program], course: Course) -> str:
        """Run these from now on: what has changed is restarted, or told of it, what is gone is stopped; returns that in words.

        To be called before the service starts as well, which starts those that start by themselves.
        """
        changes = compare(self._programs, programs)
        self._programs, self._course = programs, course
        for name in (*changes.removed, *changes.restarted):
            self._retire(name)
        for name in changes.adjusted:
            if name in self.watchers:
                self.watchers[name].adopt(programs[name])
        for name in (*changes.added, *changes.restarted):
            self._introduce(name)
        self.watchers = {name: self.watchers[name] for name in course.start_order if name in self.watchers}
        # Dependencies may be others now.
        self._want(name for name in course.start_order if name in self._wanted)
        kinds = ("added", "removed", "restarted", "adjusted")
        parts = [f"{kind} {', '.join(getattr(changes, kind))}" for kind in kinds if getattr(changes, kind)]
        return "; ".join(parts) or "nothing changed"

    def startService(self) -> None:
        """Start the programs that start by themselves, a few in each turn of the reactor."""
        Service.startService(self)
        self._summary = self._clock.callLater(_SUMMARY, self._summarize)
        self._want(name for name in self._course.start_order if self._programs[name].autostart)

    def stopService(self) -> Deferred[None]:
        """Stop all, each after those that depend on it. Fires when nothing is left of them, or no more can be done about it,
        and when their last events are taken, or nobody takes them.
        """
        Service.stopService(self)
        if self._stopped is None:
            self._stopped = Deferred()
            self._wanted.clear()
            self._queue.clear()
            self._queued.clear()
            for call in (self._telling, self._moving, self._summary, self._beating):
                self._cancel(call)
            self._move()
        done: Deferred[None] = Deferred()
        self._stopped.chainDeferred(done)
        return done

    def kill(self) -> None:
        """No more patience: while it stops, KILL what is left, in no order."""
        for name, watcher in self.watchers.items():
            if not watcher.is_settled:
                self._stopOne(name)
                watcher.kill()
        for watcher, _ in self._retiring.values():
            watcher.kill()

    # -- one program

    def start(self, name: str) -> None:
        """Start this program as soon as what it depends on is there. KeyError for one that is not known."""
        self._programs[name]
        self._want([name])

    def stop(self, name: str) -> Deferred[None]:
        """Stop this program, whoever depends on it; see `Watcher.stop`. KeyError for one that is not known."""
        self._wanted.discard(name)
        return self.watchers[name].stop()

    def _introduce(self, name: str) -> None:
        if name in self._retiring or name in self.watchers:
            return  # as soon as the old one is gone
        program = self._programs[name]
        watcher = self.watchers[name] = self._make(program)
        watcher.onChange(lambda old, new: self._changed(name, watcher, new))
        if self.running and program.autostart:
            self._want([name])

    def _retire(self, name: str) -> None:
        self._wanted.discard(name)
        watcher = self.watchers.pop(name, None)
        if watcher is None:
            return
        gone: Deferred[None] = Deferred()
        self._retiring[name] = watcher, gone

        def left(result: object) -> None:
            del self._retiring[name]
            if name in self._programs and not self._isStopping():
                self._introduce(name)
                self.watchers = {each: self.watchers[each] for each in self._course.start_order if each in self.watchers}
            gone.callback(None)

        watcher.stop().addCallback(lambda none: watcher.leave(_FAREWELL)).addBoth(left)

    # -- starting

    def _want(self, names: Iterable[str]) -> None:
        for name in names:
            self._wanted.add(name)
            if name not in self._queued:
                self._queued.add(name)
                self._queue.append(name)
        self._plan()

    def _plan(self) -> None:
        if self.running and self._queue and (self._moving is None or not self._moving.active()):
            self._moving = self._clock.callLater(0, self._startSome)

    def _startSome(self) -> None:
        for _ in range(min(_MOVED_AT_ONCE, len(self._queue))):
            name = self._queue.popleft()
            self._queued.discard(name)
            self._startOne(name)
        self._plan()
        self._maybeSummarize()

    def _startOne(self, name: str) -> None:
        watcher = self.watchers.get(name)
        if watcher is None or name not in self._wanted:
            return
        lack = self._course.lackOf(name, self.watchers)
        if not lack:
            self._wanted.discard(name)
            watcher.start()
        elif watcher.state is State.WAITING or watcher.state in OVER:
            watcher.hold(lack)

    def _changed(self, name: str, watcher: Watcher, new: State) -> None:
        """Whoever waits for this one is looked at again."""
        if self.watchers.get(name) is not watcher:
            return
        if self._isStopping():
            return
        self._want(each for each in self._course.neededBy(name) if each in self._wanted)
        self._maybeSummarize()

    def _maybeSummarize(self) -> None:
        if self._queue or self._summary is None:
            return
        states = {watcher.state for watcher in self.watchers.values()}
        if State.STARTING not in states and not {State.WAITING, State.BACKOFF} <= states:
            self._summarize()

    def _summarize(self) -> None:
        """Say it once: what was started has come to something, or takes long."""
        self._cancel(self._summary)
        self._summary = None
        self.log.info("{summary}", summary=inWords(watcher.state for watcher in self.watchers.values()))

    # -- stopping

    def _isStopping(self) -> bool:
        return self._stopped is not None

    def _move(self) -> None:
        """Stop those that nobody needs any more, a few in each turn of the reactor."""
        live = {name for name, watcher in self.watchers.items() if not watcher.is_settled and name not in self.left}
        unasked = live - self._asked
        free = [name for name in reversed(self.watchers) if name in unasked and self._course.mayStop(name, live)]
        for name in free[:_MOVED_AT_ONCE]:
            self._stopOne(name)
        if len(free) > _MOVED_AT_ONCE:
            self._moveSoon()
        elif not free and not live:
            self._farewell()

    def _moveSoon(self) -> None:
        if self._moving is None or not self._moving.active():
            self._moving = self._clock.callLater(0, self._move)

    def _stopOne(self, name: str) -> None:
        if name in self._asked:
            return
        self._asked.add(name)
        watcher = self.watchers[name]
        late = self._clock.callLater(watcher.program.stop_timeout + _PATIENCE, self._late, name)

        def gone(result: object) -> None:
            self._cancel(late)
            self._moveSoon()

        watcher.stop().addBoth(gone)

    def _late(self, name: str) -> None:
        watcher = self.watchers[name]
        self.log.error(
            "{program} (pid {pid}) cannot be ended: {reason}",
            program=name,
            pid=watcher.pid,
            reason=watcher.reason or "no answer",
        )
        self.left.append(name)
        self._moveSoon()

    def _farewell(self) -> None:
        stopped = self._stopped
        if stopped is None or self._parted:
            return
        self._parted = True
        linger = 0.0 if self._lost else self.linger
        leaving: list[Deferred[Any]] = [watcher.leave(linger) for watcher in self.watchers.values()]
        for watcher, gone in self._retiring.values():
            patience = watcher.program.stop_timeout + _PATIENCE + _FAREWELL
            leaving.append(gone.addTimeout(patience, self._clock).addErrback(lambda failure: None))

        def left(results: object) -> None:
            self._cancel(self._losing)
            stopped.callback(None)

        DeferredList(leaving).addCallback(left)

    def _giveUp(self) -> None:
        """Nobody is linked, nor has been for a while: who took the last events has most often ended as we do."""
        self._lost = True
        self.log.info("the link is lost: nobody is waited for to take the last events")
        if self._parted:
            for watcher in self.watchers.values():
                watcher.leave(0.0)

    def _cancel(self, call: IDelayedCall | None) -> None:
        if call is not None and call.active():
            call.cancel()

    # -- telling

    def tellAll(self, center: str = "") -> None:
        """Publish the whole state of each, a few at a time; for a center that has just come also what nobody has taken."""
        self._cancel(self._losing)
        self._lost = False
        if self._isStopping():
            return
        if center:
            self._center = center
            self._announced = set(self.watchers)
            for watcher in self.watchers.values():
                watcher.shipping.regroup()
        self._cancel(self._beating)
        self._beating = self._clock.callLater(BEAT, self._beat)
        self._tellSoon(self.watchers)

    def rest(self) -> None:
        """There is nobody who could be told anything, until `tellAll`; when it stops, that is not waited for much longer."""
        self._cancel(self._beating)
        if self._stopped is not None and not self._stopped.called:
            self._losing = self._clock.callLater(_UNLINKED, self._giveUp)

    def _beat(self) -> None:
        """Who hears no more of a program takes it for lost, so those that wait are told of now and then."""
        self._beating = self._clock.callLater(BEAT, self._beat)
        self._tellSoon(name for name, watcher in self.watchers.items() if watcher.state in (State.BACKOFF, State.WAITING))

    def _tellSoon(self, names: Iterable[str]) -> None:
        self._untold |= dict.fromkeys(names)
        if self._untold and (self._telling is None or not self._telling.active()):
            # A link that opens most often brings a center with it: both are told at once.
            self._telling = self._clock.callLater(_TELLING_DELAY, self._tellSome)

    def _tellSome(self) -> None:
        for name in list(self._untold)[:_TOLD_AT_ONCE]:
            del self._untold[name]
            watcher = self.watchers.get(name)
            if watcher is None:
                continue
            if name in self._announced:
                self._announced.discard(name)
                watcher.centerHere(self._center)
            else:
                watcher.tell()
        if self._untold:
            self._telling = self._clock.callLater(_TELLING_PAUSE, self._tellSome)

    def rows(self) -> list[dict[str, Any]]:
        """See `Watcher.row`, of each program."""
        return [watcher.row() for watcher in self.watchers.values()]

    def figures(self) -> dict[str, int]:
        """How many programs are in which state, by its name in small letters; in all `programs`."""
        counts = Counter(watcher.state for watcher in self.watchers.values())
        return {"programs": len(self.watchers)} | {state.name.lower(): counts[state] for state in _LISTED}
