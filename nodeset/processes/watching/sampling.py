"""What the programs weigh, looked up in a thread that takes no more than its share of the machine."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["Sampling", "Weighing", "threadOf"]

#: What psutil is asked for, in one reading of the files of a process.
_ASKED: Final = (
    "cpu_percent",
    "cpu_times",
    "create_time",
    "gids",
    "ionice",
    "memory_info",
    "memory_percent",
    "name",
    "nice",
    "num_threads",
    "ppid",
    "status",
    "terminal",
    "uids",
    "username",
)
#: What is passed on as it comes.
_PLAIN: Final = (
    "cpu_percent",
    "create_time",
    "memory_percent",
    "nice",
    "num_threads",
    "ppid",
    "status",
    "terminal",
    "username",
)
#: Seconds of CPU time after which a round goes on later, so that the interpreter's lock is never held for long.
_SLICE: Final = 0.02
#: The part of one core that all rounds together may take.
_SHARE: Final = 0.1
#: Seconds after which a process is looked at first, unless its interval is shorter.
_FIRST: Final = 1.0
#: No program is looked at more often than this, in seconds.
_LEAST_INTERVAL: Final = 0.1
#: So many looks that are due no more may wait beside as many as are.
_STALE: Final = 16

Found = dict[str, Any] | Failure | None
InThread = Callable[[Callable[[], Any]], Deferred[Any]]


def threadOf(reactor: Any) -> InThread:
    """Calls made in a thread of this reactor's pool; the Deferred fires with what the call returns, in the reactor's thread."""
    return lambda call: deferToThreadPool(reactor, reactor.getThreadPool(), call)


@attrs.define(eq=False)
class Weighing:
    """One process that is looked at every `interval` seconds, until `stop`."""

    pid: int
    interval: float
    take: Callable[[dict[str, Any]], object]
    stopped: bool = False
    _forget: Callable[[Weighing], object] = lambda weighing: None
    #: psutil's view of the process, which knows it by (pid, create_time); the thread alone touches it.
    _process: Any = None

    def stop(self) -> None:
        """Look at it no more; what the thread is about to say of it is dropped."""
        self.stopped = True
        self._forget(self)

    def weigh(self, psutil: Any) -> dict[str, Any] | None:
        """What it weighs now; None when it is gone, a zombie, or when its pid is another's. Called in the thread."""
        try:
            is_first = self._process is None
            if is_first:
                self._process = psutil.Process(self.pid)
            if not self._process.is_running():
                return None
            found = self._process.as_dict(_ASKED)
            if is_first:
                # psutil says 0.0, since it knows of no look before.
                found["cpu_percent"] = _sinceStart(found, psutil.boot_time())
        except psutil.NoSuchProcess:
            return None
        return None if found["status"] == psutil.STATUS_ZOMBIE else flatten(found)


def _sinceStart(found: dict[str, Any], booted: float) -> float | None:
    """The share of a core that a process had on the average since it was started, in percent; None for an unknown one."""
    times, created = found["cpu_times"], found["create_time"]
    if times is None or created is None:
        return None
    # The wall clock cancels out: as psutil has it, it is known to the second alone.
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - (created - booted)
    return round(100 * (times.user + times.system) / age, 1) if age > 0 else 0.0


def flatten(found: dict[str, Any]) -> dict[str, Any]:
    """The figures of psutil by the names of the fields of `ProcessStats`; None is what this system does not tell."""
    flat = {name: found[name] for name in _PLAIN}
    flat |= {"process_name": found["name"], "is_running": True}
    times, memory, ionice = found["cpu_times"], found["memory_info"], found["ionice"]
    flat |= {"cpu_user": getattr(times, "user", None), "cpu_system": getattr(times, "system", None)}
    flat |= {"memory_rss": getattr(memory, "rss", None), "memory_vms": getattr(memory, "vms", None)}
    flat["ionice_class"] = None if ionice is None else int(ionice.ioclass)
    flat["ionice_value"] = None if ionice is None else int(ionice.value)
    for kind in ("uid", "gid"):
        for which in ("real", "effective", "saved"):
            flat[f"{kind}_{which}"] = getattr(found[f"{kind}s"], which, None)
    return flat


class Sampling:
    """Looks at many processes in turn: each when its interval is over, all together within `share` of one core.

    It rests until `resume`, for figures that nobody can be told are not worth their price. When the share is not enough, each
    is looked at as often as the share allows; `late` counts.

    :param in_thread: makes a call in another thread, one at a time; see `threadOf`.
    :param cpu: seconds of CPU time of the thread that asks; a test has its own.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        in_thread: InThread,
        share: float = _SHARE,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock, self._in_thread, self._share, self._cpu = clock, in_thread, share, cpu
        self._due: list[tuple[float, int, Weighing]] = []
        self._watched: set[Weighing] = set()
        self._numbers = itertools.count()
        self._timer: IDelayedCall | None = None
        self._resumed = self._busy = False
        self._not_before = 0.0
        #: Looks taken, looks that came more than an interval too late, looks that failed.
        self.taken = self.late = self.failed = 0
        #: Seconds of CPU time that all looks took.
        self.spent = 0.0
        try:
            self._psutil: Any = import_module("psutil")
        except ImportError:
            self._psutil = None
            self.log.warn("no figures of programs: they need the extra 'processes': pip install 'nodeset[processes]'")

    def watch(self, pid: int, interval: float, take: Callable[[dict[str, Any]], object]) -> Weighing:
        """Call `take` with the figures of the process `pid` every `interval` seconds while resumed; 0 is never.

        The first come after a second at the latest, as its turn allows.
        """
        weighing = Weighing(pid, max(interval, _LEAST_INTERVAL), take, interval <= 0, self._watched.discard)
        if self._psutil is not None and not weighing.stopped:
            self._watched.add(weighing)
            self._sweep()
            self._push(weighing, self._clock.seconds() + min(weighing.interval, _FIRST))
            self._schedule()
        return weighing

    def _sweep(self) -> None:
        # Programs that end and start again leave what is due no more, which nothing else takes away while we rest.
        if len(self._due) > 2 * len(self._watched) + _STALE:
            self._due = [entry for entry in self._due if not entry[2].stopped]
            heapq.heapify(self._due)

    def resume(self) -> None:
        """Somebody can be told. Doing it twice is fine."""
        self._resumed = True
        self._schedule()

    def pause(self) -> None:
        """Nobody can be told; no process is looked at until `resume`."""
        self._resumed = False
        self._cancel()

    def figures(self) -> dict[str, float]:
        """`taken`, `late`, `failed` looks; `spent` seconds of CPU time; how many are `watched`."""
        found = {"taken": self.taken, "late": self.late, "failed": self.failed, "watched": len(self._watched)}
        return {**found, "spent": self.spent}

    def _push(self, weighing: Weighing, when: float) -> None:
        heapq.heappush(self._due, (when, next(self._numbers), weighing))

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _schedule(self) -> None:
        while self._due and self._due[0][2].stopped:
            heapq.heappop(self._due)
        if not self._resumed or self._busy or not self._due:
            self._cancel()
            return
        when = max(self._due[0][0], self._not_before)
        if self._timer is not None and self._timer.active() and self._timer.getTime() <= when:
            return
        self._cancel()
        self._timer = self._clock.callLater(max(0.0, when - self._clock.seconds()), self._round)

    def _round(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        batch = []
        while self._due and self._due[0][0] <= now:
            when, _, weighing = heapq.heappop(self._due)
            if not weighing.stopped:
                batch.append((when, weighing))
        if not batch:
            self._schedule()
            return
        self._busy = True
        self._in_thread(lambda: self._look([weighing for _, weighing in batch])).addCallbacks(
            self._looked, self._stumbled, callbackArgs=(batch,), errbackArgs=(batch,)
        )

    def _look(self, weighings: list[Weighing]) -> tuple[list[Found], float]:
        """In the thread: the figures of as many of these as fit into a slice, the CPU time that they took."""
        began, found = self._cpu(), list[Found]()
        for weighing in weighings:
            try:
                found.append(None if weighing.stopped else weighing.weigh(self._psutil))
            except Exception:
                found.append(Failure())
            if self._cpu() - began >= _SLICE:
                break
        return found, self._cpu() - began

    def _looked(self, result: tuple[list[Found], float], batch: list[tuple[float, Weighing]]) -> None:
        found, spent = result
        now = self._clock.seconds()
        self._busy = False
        self.spent += spent
        self._not_before = now + spent * (1 / self._share - 1)
        for when, weighing in batch[len(found) :]:
            self._push(weighing, when)
        for (when, weighing), figures in zip(batch, found, strict=False):
            if weighing.stopped:
                continue
            if figures is None:
                weighing.stop()
                continue
            # Late ones are not made up for: that would be twice the work when there is too much of it already.
            self._push(weighing, max(when + weighing.interval, now))
            if isinstance(figures, Failure):
                self._fail(figures)
                continue
            self.taken += 1
            self.late += now - when > weighing.interval
            try:
                weighing.take(figures)
            except Exception:
                self.log.failure("the figures of {pid} were not taken", pid=weighing.pid)
        self._schedule()

    def _stumbled(self, failure: Failure, batch: list[tuple[float, Weighing]]) -> None:
        self._busy = False
        self._fail(failure)
        for _, weighing in batch:
            self._push(weighing, self._clock.seconds() + weighing.interval)
        self._schedule()

    def _fail(self, failure: Failure) -> None:
        self.failed += 1
        if self.failed == 1:
            self.log.failure("figures of programs could not be looked up; more of these are counted alone", failure=failure)
