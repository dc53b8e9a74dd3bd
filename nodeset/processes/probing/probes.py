"""Asking a program whether it is ready, or still well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, TimeoutError, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.processes.probing.attempts import Attempts
from nodeset.processes.probing.logprobe import LogSearch
from nodeset.processes.program import Probe, Program

__all__ = ["Probes", "Probing", "reasonOf"]

#: Attempts of all programs together that may be under way at a time.
_AT_ONCE = 32
#: Characters of a reason.
_REASON = 200

Attempt = Callable[[], Deferred[Any]]


def reasonOf(failure: Failure) -> str:
    """Why an attempt failed, in one short line."""
    return " ".join(failure.getErrorMessage().split())[:_REASON] or type(failure.value).__name__


def _tooLate(result: object, seconds: float) -> object:
    """An attempt that was cancelled may fail with an error of its own, which tells nobody that it took too long."""
    return Failure(TimeoutError(seconds, "Deferred")) if isinstance(result, Failure) else result


class Probing:
    """One probe of one run of a program: attempts that never overlap, until `stop`.

    `passed` is called after each attempt that succeeded; `failed` with a reason, after as many failures in a row as the probe
    allows, which then are counted anew.

    :param attempt: makes one; its Deferred fires when it succeeded, fails with the reason. None: what `feed` brings decides.
    :ivar reason: why the last attempt failed; empty if it did not.
    """

    log = Logger()

    def __init__(
        self,
        probe: Probe,
        clock: IReactorTime,
        attempt: Attempt | None,
        turns: DeferredSemaphore,
        passed: Callable[[], object],
        failed: Callable[[str], object],
    ) -> None:
        self._probe, self._clock, self._attempt, self._turns = probe, clock, attempt, turns
        self._passed, self._failed = passed, failed
        self._timer: IDelayedCall | None = None
        self._flying: Deferred[Any] | None = None
        self._running = False
        self._searches: dict[str, LogSearch] = {}
        self._failures = 0
        self.reason = ""

    def start(self) -> None:
        """Begin; the first attempt is made after the probe's delay."""
        self._running = True
        if self._attempt is not None:
            self._timer = self._clock.callLater(self._probe.delay, self._wait)
        else:
            self.reason = f"its output does not match {self._probe.value!r:.80} yet"

    def stop(self) -> None:
        """Ask no more; an attempt that is under way is given up."""
        self._running = False
        self._searches.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._flying is not None:
            self._flying.cancel()

    def feed(self, stream: str, data: bytes) -> None:
        """It wrote this; for a probe that reads the output, else nothing happens."""
        if not self._running or self._probe.kind != "log":
            return
        search = self._searches.get(stream)
        if search is None:
            search = self._searches[stream] = LogSearch.of(str(self._probe.value))
        if search.feed(data) is not None:
            self.reason = ""
            self._tell(self._passed)

    def _wait(self) -> None:
        """For a turn; with 500 programs that are started at once not all can be asked at once."""
        self._flying = turn = self._turns.acquire()
        turn.addCallbacks(self._begin, self._notBegun)

    def _notBegun(self, failure: Failure) -> None:
        failure.trap(CancelledError)

    def _begin(self, turns: DeferredSemaphore) -> None:
        assert self._attempt is not None
        began = self._clock.seconds()
        flying = self._flying = maybeDeferred(self._attempt)
        flying.addTimeout(self._probe.timeout, self._clock, _tooLate)
        flying.addBoth(self._end, began)

    def _end(self, result: object, began: float) -> None:
        self._flying = None
        self._turns.release()
        if not self._running:
            return
        pause = max(0.0, began + self._probe.interval - self._clock.seconds())
        self._timer = self._clock.callLater(pause, self._wait)
        if not isinstance(result, Failure):
            self._failures, self.reason = 0, ""
            self._tell(self._passed)
            return
        self._failures += 1
        self.reason = f"no answer within {self._probe.timeout:g} s" if result.check(TimeoutError) else reasonOf(result)
        if self._failures >= self._probe.failures:
            self._failures = 0
            self._tell(lambda: self._failed(self.reason))

    def _tell(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception:
            self.log.failure("what a probe found was not taken")


class Probes:
    """Makes the probes of all programs of this process, which share a limit of attempts at a time.

    :param attempts: how each kind of attempt is made.
    """

    def __init__(self, clock: IReactorTime, attempts: Attempts, at_once: int = _AT_ONCE) -> None:
        self._clock, self._attempts = clock, attempts
        self._turns = DeferredSemaphore(at_once)

    def make(self, program: Program, probe: Probe, passed: Callable[[], object], failed: Callable[[str], object]) -> Probing:
        """A probe of this program; see `Probing`, which `start` starts."""
        attempt = None if probe.kind == "log" else self._attempts.of(program, probe)
        return Probing(probe, self._clock, attempt, self._turns, passed, failed)
