"""The life of one program, from start to start, as a state machine.

STOPPED --start--> STARTING --up, ready--> RUNNING --ended--> EXITED --restart--> BACKOFF --pause over--> STARTING
                      |  ended, not ready     |                  |
                      +--> BACKOFF or FATAL   |                  +--> (too often) FATAL
                      |                       |
                      +---stop, unhealthy-----+--> STOPPING --all gone--> STOPPED (or on, as after an end of its own)

It is told what happens, and says what to do: nothing here starts or signals anything, or looks at a clock.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

import attrs

from nodeset.processes.program import Program
from nodeset.processes.signals import exitWords, signalNumber
from nodeset.processes.states import OVER, State
from nodeset.processes.watching.backoff import Backoff, Verdict

__all__ = ["CHANGES", "Action", "Changed", "Life", "Signal", "Spawn"]

#: Seconds that the rest of a process group has to follow its leader before it is told to.
_REST: Final = 0.1
#: Seconds between two KILLs.
_AGAIN: Final = 1.0

#: From which state it may go to which (N-30 to N-34). UNKNOWN is for those who watch from afar (N-35).
CHANGES: Final[Mapping[State, frozenset[State]]] = {
    State.STOPPED: frozenset({State.STARTING, State.WAITING}),
    State.WAITING: frozenset({State.STARTING, State.STOPPED, State.WAITING}),
    State.STARTING: frozenset({State.RUNNING, State.BACKOFF, State.STOPPING, State.EXITED, State.FATAL}),
    State.RUNNING: frozenset({State.EXITED, State.STOPPING}),
    State.BACKOFF: frozenset({State.STARTING, State.STOPPED, State.FATAL}),
    State.STOPPING: frozenset({State.STOPPING, State.STOPPED, State.EXITED, State.BACKOFF, State.FATAL}),
    State.EXITED: frozenset({State.STARTING, State.WAITING, State.BACKOFF, State.FATAL}),
    State.FATAL: frozenset({State.STARTING, State.WAITING}),
    State.UNKNOWN: frozenset(),
}


@attrs.frozen
class Spawn:
    """Start it; tell `spawned` or `failed` what became of that."""


@attrs.frozen
class Signal:
    """Send this signal to the process, or, if `whole`, to whatever there is of it and its group."""

    number: int
    whole: bool


@attrs.frozen
class Changed:
    """Its state is another one, or, for STOPPING and WAITING, the reason of that is."""

    old: State
    new: State
    reason: str


Action = Spawn | Signal | Changed


class _Child(Enum):
    NONE = 0
    #: Asked for by Spawn, not there yet.
    CALLED = 1
    ALIVE = 2
    #: It ended, others of its group have not.
    LEFT = 3


class _After(Enum):
    """What follows the end of the child."""

    #: What the restart policy says.
    POLICY = 0
    #: It had to be stopped, as it failed.
    FAILURE = 1
    #: Nothing, as somebody wanted it stopped.
    REST = 2
    #: A new start, as somebody wanted it restarted.
    START = 3


@attrs.define(eq=False)
class Life:
    """What a program does just now, and what is to be done next.

    Each input takes the seconds of a clock and gives the actions to carry out, in their order. After each, `wake_at` says when
    `wake` is due, None for never. A clock that is set back does no harm: what had 5 s to go still has. What comes too late for
    the state is passed over, so no caller needs to ask first.

    :param program: may be replaced by one with the same command while it runs.
    :param chance: gives a number from 0 up to 1, such as random.random.
    :ivar reason: why it is in this state, in words; empty if that is plain.
    :ivar code: with which exit code, or by which signal (negative), it ended last; None since it was started.
    :ivar restarts: how often it was started again by itself.
    """

    program: Program
    chance: Callable[[], float]
    state: State = attrs.field(default=State.STOPPED, init=False)
    reason: str = attrs.field(default="", init=False)
    code: int | None = attrs.field(default=None, init=False)
    wake_at: float | None = attrs.field(default=None, init=False)
    restarts: int = attrs.field(default=0, init=False)
    _child: _Child = attrs.field(default=_Child.NONE, init=False)
    _after: _After = attrs.field(default=_After.POLICY, init=False)
    _backoff: Backoff = attrs.field(init=False)
    _now: float = attrs.field(default=0.0, init=False)
    _spawned_at: float = attrs.field(default=0.0, init=False)
    _running_at: float | None = attrs.field(default=None, init=False)
    _ended_at: float = attrs.field(default=0.0, init=False)
    _kill_at: float | None = attrs.field(default=None, init=False)
    _killed: bool = attrs.field(default=False, init=False)
    _ready: bool = attrs.field(default=False, init=False)
    _empty: bool = attrs.field(default=False, init=False)
    _actions: list[Action] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._backoff = Backoff(self.chance)

    @property
    def over(self) -> bool:
        """Whether nothing of it runs, nor will by itself."""
        return self.state in OVER

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self._child is _Child.ALIVE

    @property
    def completed(self) -> bool:
        """Whether it ended by itself, to stay so, with one of its `exit_codes`."""
        return self.state is State.EXITED and self.code in self.program.exit_codes

    # Wishes.

    def start(self, now: float) -> tuple[Action, ...]:
        """Somebody wants it to run: nothing that failed before counts. While it is being stopped, it is started after that."""
        self._tell(now)
        if self.state in (State.STARTING, State.RUNNING, State.STOPPING):
            if self._child is _Child.LEFT or self.state is State.STOPPING:
                self._after = _After.START
        else:
            self._backoff.forget()
            self._begin()
        return self._take()

    def stop(self, now: float) -> tuple[Action, ...]:
        """Somebody wants it to end, which leads to STOPPED, unless it is EXITED or FATAL: there it stays, with the reason."""
        self._tell(now)
        if self.state in (State.WAITING, State.BACKOFF):
            self._change(State.STOPPED, "")
            self.wake_at = None
        elif self.state is State.STOPPING:
            self._after = _After.REST
        elif not self.over:
            self._end("", _After.REST)
        return self._take()

    def restart(self, now: float) -> tuple[Action, ...]:
        """Somebody wants it to end, then to run; what rests is just started."""
        return *self.stop(now), *self.start(now)

    def hold(self, now: float, reason: str) -> tuple[Action, ...]:
        """It shall be started, but must wait for something (`reason`): WAITING, until `start` or `stop`."""
        self._tell(now)
        if (self.over or self.state is State.WAITING) and (self.state, self.reason) != (State.WAITING, reason):
            self._change(State.WAITING, reason)
        return self._take()

    # What happens.

    def spawned(self, now: float) -> tuple[Action, ...]:
        """The process is there."""
        self._tell(now)
        if self._child is _Child.CALLED:
            self._child, self._spawned_at = _Child.ALIVE, self._now
            if self.state is State.STOPPING:
                self._ask(whole=False)
            else:
                self._lookUp()
        return self._take()

    def failed(self, now: float, reason: str, *, again: bool = False) -> tuple[Action, ...]:
        """It could not be started: FATAL, or, if another attempt may do (`again`), a failure like an early end."""
        self._tell(now)
        if self._child is _Child.CALLED:
            self._child = _Child.NONE
            if self.state is State.STOPPING:
                self._rest(reason)
            elif again and self.program.restart != "never":
                self._pause(self._backoff.judgeEnd(self.program, reason, self._now))
            else:
                self._change(State.FATAL, reason)
        return self._take()

    def ready(self, now: float) -> tuple[Action, ...]:
        """Its readiness showed."""
        self._tell(now)
        if self.state is State.STARTING and self._child in (_Child.CALLED, _Child.ALIVE):
            self._ready = True
            if self._child is _Child.ALIVE:
                self._lookUp()
        return self._take()

    def unhealthy(self, now: float, reason: str) -> tuple[Action, ...]:
        """It was found not well: it is stopped, then started again if it is to be."""
        self._tell(now)
        if self.state in (State.STARTING, State.RUNNING) and self._child is _Child.ALIVE:
            self._end(reason, _After.FAILURE)
        return self._take()

    def ended(self, now: float, code: int) -> tuple[Action, ...]:
        """The process ended with this exit code, or by this signal (negative)."""
        self._tell(now)
        if self._child is _Child.ALIVE:
            self._child, self.code, self._ended_at = _Child.LEFT, code, self._now
            if self._empty:
                self._conclude()
            else:
                rest = self._now + _REST
                self.wake_at = rest if self._kill_at is None else min(rest, self._kill_at)
        return self._take()

    def emptied(self, now: float) -> tuple[Action, ...]:
        """Nothing is left of its process group; only now is it told to have ended, or is started again."""
        self._tell(now)
        if self._child is _Child.LEFT:
            self._conclude()
        elif self._child is _Child.ALIVE:
            self._empty = True
        return self._take()

    def wake(self, now: float) -> tuple[Action, ...]:
        """The time `wake_at` has come; does nothing before that."""
        self._tell(now)
        if self.wake_at is None or now < self.wake_at:
            return ()
        if self.state is State.BACKOFF:
            self.restarts += 1
            self._begin()
        elif self.state is State.STOPPING:
            self._press()
        elif self._child is _Child.LEFT:
            self._change(State.STOPPING, f"{self._words()}, but some that it started are still there")
            self._ask(whole=True)
        else:
            self._lookUp()
        return self._take()

    # What follows.

    def _tell(self, now: float) -> None:
        if now < self._now:
            # Set back: what is to come is as far away as it was.
            by = now - self._now
            self._spawned_at, self._ended_at = self._spawned_at + by, self._ended_at + by
            self._running_at = None if self._running_at is None else self._running_at + by
            self._kill_at = None if self._kill_at is None else self._kill_at + by
            self.wake_at = None if self.wake_at is None else self.wake_at + by
            self._backoff.shift(by)
        self._now = now

    def _take(self) -> tuple[Action, ...]:
        actions, self._actions = tuple(self._actions), []
        return actions

    def _change(self, new: State, reason: str) -> None:
        if new not in CHANGES[self.state]:
            raise AssertionError(f"{self.program.name}: {self.state.name} does not lead to {new.name}")
        self._actions.append(Changed(self.state, new, reason))
        self.state, self.reason = new, reason

    def _begin(self) -> None:
        self._change(State.STARTING, "")
        self._child, self._after, self.code, self.wake_at = _Child.CALLED, _After.POLICY, None, None
        self._running_at, self._kill_at = None, None
        self._ready = self._empty = self._killed = False
        self._actions.append(Spawn())

    def _lookUp(self) -> None:
        """Look whether it is up, for the probe's sake as well; if it is not in time, end it."""
        program, up_at = self.program, self._spawned_at + self.program.start_seconds
        if program.ready is not None and not self._ready:
            late_at = self._spawned_at + max(program.start_timeout, program.start_seconds)
            if self._now >= late_at:
                self._end(f"not ready after {late_at - self._spawned_at:g} s", _After.FAILURE)
            else:
                self.wake_at = late_at
        elif self._now >= up_at:
            self.wake_at, self._running_at = None, self._now
            self._backoff.ran()
            self._change(State.RUNNING, "")
        else:
            self.wake_at = up_at

    def _end(self, reason: str, after: _After) -> None:
        self._after = after
        self._change(State.STOPPING, reason)
        self.wake_at = None
        if self._child is not _Child.CALLED:
            self._ask(whole=self._child is _Child.LEFT)

    def _ask(self, whole: bool) -> None:
        self._actions.append(Signal(signalNumber(self.program.stop_signal), whole))
        self.wake_at = self._kill_at = self._now + self.program.stop_timeout

    def _press(self) -> None:
        if self._kill_at is None or self._now < self._kill_at:
            # The process obeyed, some of its group did not hear of it.
            self._actions.append(Signal(signalNumber(self.program.stop_signal), whole=True))
            self.wake_at = self._kill_at
            return
        if not self._killed:
            self._killed = True
            late = f"{self.program.stop_signal} did not end it within {self.program.stop_timeout:g} s, killed"
            self._change(State.STOPPING, f"{self.reason}; {late}" if self.reason else late)
        # What it starts meanwhile must go as well.
        self._actions.append(Signal(int(signal.SIGKILL), whole=True))
        self.wake_at = self._kill_at = self._now + _AGAIN

    def _words(self) -> str:
        return "" if self.code is None else exitWords(self.code)

    def _conclude(self) -> None:
        self._child, self.wake_at, self._kill_at = _Child.NONE, None, None
        program, words = self.program, self._words()
        if self._after in (_After.REST, _After.START):
            self._rest(words)
        elif self._after is _After.FAILURE:
            reason = self.reason
            if program.restart == "never":
                self._change(State.FATAL, reason)
            else:
                self._recover(reason)
        elif program.restart == "never" or (program.restart == "on-failure" and self.code in program.exit_codes):
            self._change(State.EXITED, words)
        else:
            self._recover(words)

    def _rest(self, reason: str) -> None:
        # Who wants it started after it ended by itself does not need it STOPPED before.
        self._change(State.STOPPED if self.state is State.STOPPING else State.EXITED, reason)
        self.wake_at = None
        if self._after is _After.START:
            self._backoff.forget()
            self._begin()

    def _recover(self, why: str) -> None:
        if self._running_at is None:
            self._pause(self._backoff.judgeEnd(self.program, why, self._now))
            return
        ran = self._ended_at - self._running_at
        self._change(State.EXITED, why)
        if self._after is _After.POLICY and self.code in self.program.exit_codes:
            self._pause(self._backoff.judgeDone(self.program, why))
        else:
            self._pause(self._backoff.judgeCrash(self.program, why, self._now, ran))

    def _pause(self, verdict: Verdict) -> None:
        if verdict.pause is None:
            self._change(State.FATAL, verdict.reason)
        else:
            self._change(State.BACKOFF, f"{verdict.reason}; again in {verdict.pause:.2g} s")
            self.wake_at = self._now + verdict.pause
