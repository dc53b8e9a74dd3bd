"""One program, run through its life."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.core.waker import Waker
from nodeset.errors import CannotStart
from nodeset.processes.probing.checkup import Checkup
from nodeset.processes.program import Program
from nodeset.processes.starting.launch import isPassing, orderOf
from nodeset.processes.states import OVER, State
from nodeset.processes.watching.life import Action, Changed, Life, Signal, Spawn
from nodeset.processes.watching.report import Report

if TYPE_CHECKING:
    from nodeset.processes.output.shipping import Shipping
    from nodeset.processes.output.stdio import Stdio, Stream
    from nodeset.processes.probing.probes import Probes
    from nodeset.processes.starting.child import Child
    from nodeset.processes.starting.spawning import Order
    from nodeset.processes.starting.warden import Warden
    from nodeset.processes.watching.sampling import Sampling, Weighing

__all__ = ["Watcher"]

#: Seconds that somebody outside of its group, who holds its output, has after the program's end.
_GRACE = 0.5
#: Seconds that the group of a program has beside its `stop_timeout`, after which nobody waits for more of its output.
_PATIENCE = 5.0
#: In these a process is there, whose figures come at each interval.
_THERE = frozenset({State.STARTING, State.RUNNING, State.STOPPING})


class Watcher:
    """Starts a program, reads what it writes, publishes what it does, starts it again as its `restart` says.

    All methods return at once. What it publishes goes by `shipping`, whose `uuid` is the watcher's.

    :param program: may be replaced by one that is to be run in the same way, by `adopt`.
    :param warden: spawns it.
    :param stdio: its files, opened anew for each run.
    :param probes: needed for a program with `ready` or `alive`.
    :param figures: needed for its `stats`.
    :param order: how it is started, if not as `orderOf` says.
    :param chance: for the jitter of pauses; gives numbers from 0 up to 1.
    :param host: where it runs, as its events say.
    :param beat: seconds in which who made us calls `tell` while it waits, 0 for never; as its events say.
    :ivar uuid: that of its events, as long as this watcher lives.
    :ivar center: the name of the center that was heard of last.
    """

    log = Logger()

    def __init__(
        self,
        program: Program,
        *,
        warden: Warden,
        stdio: Stdio,
        shipping: Shipping,
        clock: IReactorTime,
        probes: Probes | None = None,
        figures: Sampling | None = None,
        order: Callable[[Program], Order] = orderOf,
        chance: Callable[[], float] = random.random,
        host: str = "",
        beat: float = 0.0,
    ) -> None:
        self.program = program
        self._warden, self._stdio, self.shipping, self._clock = warden, stdio, shipping, clock
        self._figures, self._orderOf, self._host, self._beat = figures, order, host, beat
        now = clock.seconds
        self._checkup = Checkup(
            probes,
            lambda: self._carryOut(self._life.ready(now())),
            lambda reason: self._carryOut(self._life.unhealthy(now(), reason)),
        )
        self._life = Life(program, chance)
        self.uuid = shipping.uuid
        self.center = ""
        self._child: Child | None = None
        #: The code of the last run, None while it runs.
        self.return_code: int | None = None
        self._pid: int | None = None
        self._started_at = self._started = 0.0
        #: Its last run is over, what it wrote has not come to its end.
        self._closing = False
        self._report = Report(shipping)
        self._spawn_waits = self._spawning = False
        self._weighing: Weighing | None = None
        self._alarm = Waker(clock, lambda: self._carryOut(self._life.wake(now())))
        self._patience = Waker(clock, lambda: stdio.finish(_GRACE))
        # Short lists: a deque takes 0.7 KiB even while it is empty, of each program.
        self._actions: list[Action] = []
        self._acting = False
        self._final_takers: list[Callable[[int | None], object]] = []
        self._change_takers: list[Callable[[State, State], object]] = []
        self._final_due = False
        self._stopping: list[Deferred[None]] = []
        stdio.onData(self._wrote)
        shipping.onRoom(self._flow)

    # -- what it is told

    def start(self) -> None:
        """Run it, whatever failed before. While it stops, it is started after that."""
        self._carryOut(self._life.start(self._clock.seconds()))

    def stop(self) -> Deferred[None]:
        """End it: its stop signal, then, `stop_timeout` later, KILL for all its group.

        Fires as soon as nothing of its group is left; at once if nothing is there. Not before KILL worked: who cannot wait for
        that gives it a time-out.
        """
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        self._carryOut(self._life.stop(self._clock.seconds()))
        self._settle()
        return stopped

    def restart(self) -> None:
        """End it as `stop` does, then start it again; what rests is just started."""
        self._carryOut(self._life.restart(self._clock.seconds()))

    def hold(self, reason: str) -> None:
        """It shall be started, but has to wait: WAITING, for this reason, until `start` or `stop`."""
        self._carryOut(self._life.hold(self._clock.seconds(), reason))

    def kill(self) -> None:
        """KILL for all that there is of it, now: for who has no time for `stop`, which should have been called before."""
        if self._child is not None:
            self._send(self._child.signalTree, signal.SIGKILL)

    def signal(self, number: int) -> Deferred[bool]:
        """Send it a signal; fires with False when nothing runs."""
        return succeed(False) if self._child is None else maybeDeferred(self._child.signal, number)

    def adopt(self, program: Program) -> None:
        """Go by these policies from now on; the command of what runs, its limits and the like cannot change any more."""
        old, self.program, self._life.program = self.program, program, program
        self.shipping.adopt(program)
        if self._weighing is not None and old.stats_interval != program.stats_interval:
            self._weigh()
        if self.state is State.RUNNING and old.alive != program.alive:
            self._checkup.watchHealth(program)

    def onFinal(self, call: Callable[[int | None], object]) -> None:
        """Call this each time when it is over for good: with the code of the last run, None if it never ran.

        Its last event has been handed to `shipping` then.
        """
        self._final_takers.append(call)

    def onChange(self, call: Callable[[State, State], object]) -> None:
        """Call this with the old and the new state at each change."""
        self._change_takers.append(call)

    def leave(self, timeout: float) -> Deferred[bool]:
        """After `stop`: wait for its events to be taken, then publish no more. See `Shipping.drained`."""

        def gone(drained: bool) -> bool:
            self.shipping.stop()
            return drained

        return self.shipping.drained(timeout).addCallback(gone)

    # -- what it tells

    @property
    def state(self) -> State:
        """What it does just now."""
        return self._life.state

    @property
    def reason(self) -> str:
        """Why, in words; empty if that is plain."""
        return self._life.reason

    @property
    def pid(self) -> int | None:
        """That of the run under way; None while there is none."""
        return self._pid

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self._life.alive

    @property
    def completed(self) -> bool:
        """Whether it ended by itself with one of its `exit_codes`, to stay so."""
        return self._life.completed

    @property
    def is_settled(self) -> bool:
        """Whether nothing of it is there, nor will be by itself, and all its events are handed on."""
        return self.state in OVER and not (self._closing or self._spawning)

    def row(self) -> dict[str, Any]:
        """The fields of `ProcessState` as they are now, `uuid` among them."""
        there = self._pid is not None
        state = self.state
        return {
            "uuid": self.uuid,
            "name": self.program.name,
            "state": int(state),
            "state_name": state.name,
            "reason": self.reason,
            "pid": self._pid,
            "return_code": self.return_code,
            "started": self._started,
            "uptime": max(0.0, self._clock.seconds() - self._started_at) if there else 0.0,
            "restarts": self._life.restarts,
            "cmdline": list(self.program.command),
            "host": self._host,
            "center": self.center,
            "interval": self._interval(),
        }

    def _interval(self) -> float:
        if self.state in _THERE:
            return 0.0 if self._figures is None else self.program.stats_interval
        return 0.0 if self.state in OVER else self._beat

    def tell(self) -> None:
        """Publish its whole state, for who has just come."""
        self._report.tell(self.row())

    def centerHere(self, name: str) -> None:
        """A center of this name is here: what nobody has taken is sent again, then the whole state."""
        self.center = name
        self.shipping.announced()
        self.tell()

    # -- what its life asks for

    def _carryOut(self, actions: tuple[Action, ...]) -> None:
        self._actions.extend(actions)
        if self._acting:
            return  # whoever is at it goes on with these
        self._acting = True
        try:
            while self._actions:
                self._act(self._actions.pop(0))
        finally:
            self._acting = False
        self._alarm.stop() if self._life.wake_at is None else self._alarm.set(self._life.wake_at)

    def _act(self, action: Action) -> None:
        if isinstance(action, Changed):
            self._changed(action)
        elif isinstance(action, Spawn):
            self._spawn()
        elif isinstance(action, Signal) and self._child is not None:
            # The group has the stop signal; only KILL goes to who left it, as that is the last word.
            whole = self._child.signalTree if action.number == signal.SIGKILL else self._child.signalGroup
            self._send(whole if action.whole else self._child.signal, action.number)

    def _send(self, send: Callable[[int], Any], number: int) -> None:
        maybeDeferred(send, number).addErrback(self._notSent, number)

    def _notSent(self, failure: Failure, number: int) -> None:
        said = "{program}: signal {number} was not sent: {reason}"
        self.log.warn(said, program=self.program.name, number=number, reason=failure.getErrorMessage())

    # -- a run

    def _spawn(self) -> None:
        if self._closing:
            self._spawn_waits = True
            return
        self._spawning = True
        self.return_code = None
        spawned = maybeDeferred(lambda: self._warden.spawn(self._orderOf(self.program), self._stdio.open()))
        spawned.addCallbacks(self._spawned, self._notSpawned).addErrback(self._stumbled)

    def _stumbled(self, failure: Failure) -> None:
        self.log.failure("{program}: its watcher failed", failure, program=self.program.name)

    def _notSpawned(self, failure: Failure) -> None:
        self._spawning = False
        self._stdio.abandon()
        if not failure.check(CannotStart, OSError):
            self._stumbled(failure)
        reason = failure.getErrorMessage() or type(failure.value).__name__
        self._carryOut(self._life.failed(self._clock.seconds(), reason, again=isPassing(failure)))
        self._settle()

    def _spawned(self, child: Child) -> None:
        self._spawning = False
        self._child, self._pid = child, child.pid
        self._started, self._started_at = time.time(), self._clock.seconds()
        self._report.started(child.pid)
        self._stdio.spawned()
        self._checkup.awaitReady(self.program)
        self._weigh()
        self._carryOut(self._life.spawned(self._clock.seconds()))
        child.onEnded(lambda code: self._ended(child, code))
        child.onEmptied(lambda *anything: self._emptied(child))

    def _ended(self, child: Child, code: int) -> None:
        if child is not self._child:
            return
        self._checkup.stop()
        if self._weighing is not None:
            self._weighing.stop()
            self._weighing = None
        self.return_code, self._closing = code, True
        self._report.holdBack()
        # Its group may hold its output, and is ended by `life`.
        self._patience.set(self._clock.seconds() + self.program.stop_timeout + _PATIENCE)
        self._stdio.closed.addCallback(self._closed, child, code)
        self._carryOut(self._life.ended(self._clock.seconds(), code))

    def _emptied(self, child: Child) -> None:
        if child is not self._child:
            return
        self._stdio.finish(_GRACE)
        self._carryOut(self._life.emptied(self._clock.seconds()))

    def _closed(self, result: object, child: Child, code: int) -> None:
        self._patience.stop()
        self._report.ended(child.pid, code)
        self._closing = False
        if self._spawn_waits:
            self._spawn_waits = False
            if self.state is State.STARTING:
                self._spawn()
            else:
                self._carryOut(self._life.failed(self._clock.seconds(), ""))
        self._settle()

    def _wrote(self, stream: Stream, data: bytes) -> None:
        self.shipping.put(stream, data)
        self._checkup.feed(stream, data)
        if self.shipping.full:
            self._flow()

    def _flow(self) -> None:
        move = self._stdio.pause if self.shipping.full else self._stdio.resume
        move("out")
        move("err")

    def _weigh(self) -> None:
        if self._weighing is not None:
            self._weighing.stop()
        if self._figures is not None and self._pid is not None:
            self._weighing = self._figures.watch(self._pid, self.program.stats_interval, self._weighed)

    def _weighed(self, found: dict[str, Any]) -> None:
        if self._pid is not None:
            self._report.weighed(self.row(), found)

    # -- its states

    def _changed(self, change: Changed) -> None:
        new = change.new
        if new not in (State.RUNNING, State.STARTING):
            answer = self._checkup.stop()
            if answer and change.reason and self.reason == change.reason and change.old is State.STARTING:
                # Only the probe knows why it is not ready; what follows from that has the same reason.
                change = Changed(change.old, new, f"{change.reason}: {answer}")
                self._life.reason = change.reason
        if new not in _THERE:
            self._child = self._pid = None
        self._final_due = new in OVER
        self._report.changed(change, self.row())
        if new is State.RUNNING:
            self._checkup.watchHealth(self.program)
        for call in self._change_takers:
            self._tellTaker(call, change.old, new)
        self._settle()

    def _settle(self) -> None:
        if not self.is_settled:
            return
        if self._final_due:
            self._final_due = False
            for call in self._final_takers:
                self._tellTaker(call, self.return_code)
        stopping, self._stopping = self._stopping, []
        for stopped in stopping:
            stopped.callback(None)

    def _tellTaker(self, call: Callable[..., object], *what: object) -> None:
        try:
            call(*what)
        except Exception:
            self.log.failure("{program}: what became of it was not taken", program=self.program.name)
