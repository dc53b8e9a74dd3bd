"""When a program that ended is started again, if ever."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from nodeset.processes.program import Program

__all__ = ["Backoff", "Verdict", "pauseOf"]

#: Doublings after which every pause is at its longest.
_STEEPEST = 40


@attrs.frozen
class Verdict:
    """What becomes of it: started again after `pause` seconds, or given up if that is None; `reason` says why."""

    pause: float | None
    reason: str


def pauseOf(program: Program, step: int, chance: Callable[[], float]) -> float:
    """Seconds before start number `step` (from 1) in a row: doubling up to `backoff_max`, less a share at random.

    Only ever less, so that the longest pause stays the longest.
    """
    longest = min(program.backoff * 2.0 ** min(step - 1, _STEEPEST), program.backoff_max)
    return longest * (1.0 - program.backoff_jitter * chance())


@attrs.define(eq=False)
class Backoff:
    """Count how often a program ended, and judge. Times are seconds of the caller's clock; `shift` says that it was set.

    :param chance: gives a number from 0 up to 1, such as random.random.
    :ivar failures: ends while STARTING since it was RUNNING.
    """

    chance: Callable[[], float]
    failures: int = attrs.field(default=0, init=False)
    _step: int = attrs.field(default=0, init=False)
    _ends: list[float] = attrs.field(factory=list, init=False)

    def forget(self) -> None:
        """Somebody started it by hand: nothing that was counts against it."""
        self.failures = self._step = 0
        self._ends.clear()

    def shift(self, seconds: float) -> None:
        """The clock was set by so many seconds."""
        self._ends = [each + seconds for each in self._ends]

    def ran(self) -> None:
        """It is RUNNING: the failures before that are forgiven, not the pauses."""
        self.failures = 0

    def judgeEnd(self, program: Program, why: str, now: float) -> Verdict:
        """It could not be started, or ended while STARTING; `why` says how."""
        self.failures += 1
        if self.failures > program.retries:
            starts = f"{self.failures} starts in a row" if self.failures > 1 else "its start"
            return Verdict(None, f"{why}; gave up, as {starts} failed")
        return self._judge(program, why, now)

    def judgeCrash(self, program: Program, why: str, now: float, ran: float) -> Verdict:
        """It ended after it had been RUNNING for `ran` seconds, as it should not have.

        A run as long as the longest pause shows that it can do without these, so they begin anew.
        """
        if ran >= program.backoff_max:
            self._step = 0
        return self._judge(program, why, now)

    def judgeDone(self, program: Program, why: str) -> Verdict:
        """It ended as it may, but is to run always: no crash, yet not at once, lest it spin."""
        self._step = 0
        return Verdict(pauseOf(program, 1, self.chance), why)

    def _judge(self, program: Program, why: str, now: float) -> Verdict:
        if program.crash_limit:
            self._ends.append(now)
            while self._ends[0] <= now - program.crash_window:
                del self._ends[0]
            if len(self._ends) >= program.crash_limit:
                many = f"{program.crash_limit} exits in {program.crash_window:g} s"
                return Verdict(None, f"crash loop: {many} (the last: {why})")
        self._step += 1
        return Verdict(pauseOf(program, self._step, self.chance), why)
