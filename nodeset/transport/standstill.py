"""A process within this one, which can stand still as by SIGSTOP."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

__all__ = ["ProcessClock"]


@implementer(IReactorTime)
class ProcessClock:
    """The clock of a process, by which all of it goes: its timers, what it reads.

    While the process stands still, what is due waits; when it goes on, all that happens at once, in the order in which it was
    due. `seconds` goes on meanwhile, as the machine's monotonic clock does.

    :param clock: the time of all processes.
    :ivar frozen: whether it stands still until `thaw`.
    :ivar dead: whether it was killed: nothing ever happens in it again.
    :ivar pace: seconds for which it is busy with each batch that it reads, and does nothing else.
    :ivar lag: seconds that a batch takes longer to or from this process than others.
    :ivar parted: why no connection to it can be opened; empty while one can.
    :ivar silenced: whether who tries that nevertheless hears nothing at all, instead of a refusal.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._timers: dict[_Timer, None] = {}
        self._held: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self.frozen = self.dead = False
        self.pace = self.lag = 0.0
        self.parted = ""
        self.silenced = False
        self._busy: IDelayedCall | None = None

    def seconds(self) -> float:
        """See `IReactorTime`."""
        return self._clock.seconds()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object) -> IDelayedCall:
        """See `IReactorTime`."""
        timer = _Timer(self, delay, callable, args, kwargs)
        if not self.dead:
            self._timers[timer] = None
        return timer

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """See `IReactorTime`."""
        return list(self._timers)

    def schedule(self, delay: float, call: Callable[..., object], *args: object) -> IDelayedCall | None:
        """Have `do` do it after so many seconds; a dead process has nothing done."""
        return None if self.dead else self._clock.callLater(delay, self.do, call, *args)

    def forget(self, timer: _Timer) -> None:
        """It has rung, or never will."""
        self._timers.pop(timer, None)

    @property
    def still(self) -> bool:
        """Whether nothing happens in it now."""
        return self.frozen or self.dead or self._busy is not None

    def do(self, call: Callable[..., object], *args: object) -> None:
        """Do it now; when the process stands still, as soon as it goes on, after what was due before."""
        if self.still or self._held:
            if not self.dead:
                self._held.append((call, args))
        else:
            call(*args)

    def work(self) -> None:
        """A batch was read: be busy with it."""
        if self.pace > 0 and not self.still:
            self._busy = self._clock.callLater(self.pace, self._rested)

    def _rested(self) -> None:
        self._busy = None
        self._goOn()

    def freeze(self) -> None:
        """Stand still, as by SIGSTOP."""
        self.frozen = True

    def thaw(self) -> None:
        """Go on, as by SIGCONT."""
        if self.frozen:
            self.frozen = False
            if not self.dead:
                self._clock.callLater(0, self._goOn)

    def _goOn(self) -> None:
        # What becomes due meanwhile waits behind the rest.
        while self._held and not self.still:
            call, args = self._held[0]
            try:
                call(*args)
            except BaseException:
                self._clock.callLater(0, self._goOn)
                raise
            finally:
                if self._held:
                    self._held.popleft()

    def die(self) -> None:
        """Let nothing happen in it any more, as after SIGKILL."""
        self.dead = True
        self._held.clear()
        if self._busy is not None:
            self._busy.cancel()
            self._busy = None
        for timer in self._timers:
            timer.die()
        self._timers.clear()


@implementer(IDelayedCall)
class _Timer:
    """A call that is due in a process at some time."""

    def __init__(
        self,
        process: ProcessClock,
        delay: float,
        call: Callable[..., object],
        args: tuple[object, ...],
        keywords: dict[str, object],
    ) -> None:
        self._process, self._call, self._args, self._keywords = process, call, args, keywords
        self._error: type[AlreadyCalled] | type[AlreadyCancelled] | None = None
        self._schedule(delay)

    def _schedule(self, delay: float) -> None:
        self._time = self._process.seconds() + delay
        mark = self._mark = object()
        self._due = self._process.schedule(delay, self._ring, mark)

    def _unschedule(self) -> None:
        if self._due is not None and self._due.active():
            self._due.cancel()
        self._due = self._mark = None

    def _ring(self, mark: object) -> None:
        if mark is self._mark and self._error is None:
            self._error = AlreadyCalled
            self._process.forget(self)
            self._call(*self._args, **self._keywords)

    def die(self) -> None:
        """Never ring; whoever cancels it may."""
        self._unschedule()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def getTime(self) -> float:
        """See `IDelayedCall`."""
        return self._time

    def cancel(self) -> None:
        """See `IDelayedCall`."""
        self._check()
        self._error = AlreadyCancelled
        self._process.forget(self)
        self._unschedule()

    def delay(self, secondsLater: float) -> None:
        """See `IDelayedCall`."""
        self._check()
        self._unschedule()
        self._schedule(max(0.0, self._time + secondsLater - self._process.seconds()))

    def reset(self, secondsFromNow: float) -> None:
        """See `IDelayedCall`."""
        self._check()
        self._unschedule()
        self._schedule(secondsFromNow)

    def active(self) -> bool:
        """See `IDelayedCall`."""
        return self._error is None

    def __repr__(self) -> str:
        name = getattr(self._call, "__qualname__", None) or repr(self._call)
        return f"{name}, due in {self._time - self._process.seconds():g} s"
