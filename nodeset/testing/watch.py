"""What was logged as an error while a test ran."""

from __future__ import annotations

import sys
from typing import Any

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["ErrorWatch"]

__tracebackhide__ = True  # pytest shows the line of the test instead

#: Errors that are kept, lines of a traceback that are shown.
_MOST = 100
_LINES = 12


def _trial() -> Any:
    """What trial itself notes errors with, while a test of trial's runs: then they are trial's business."""
    observer = getattr(sys.modules.get("twisted.trial._synctest"), "_logObserver", None)
    return observer if getattr(observer, "_added", 0) else None


@implementer(ILogObserver)
class ErrorWatch:
    """Notes each failure that is logged, as trial does, for those who run without trial."""

    def __init__(self) -> None:
        self._errors: list[tuple[str, Failure]] = []
        self._more = 0
        self._watching = False

    def start(self) -> None:
        """Note what is logged from now on."""
        if not self._watching:
            self._watching = True
            globalLogPublisher.addObserver(self)

    def stop(self) -> None:
        """Note no more."""
        if self._watching:
            self._watching = False
            globalLogPublisher.removeObserver(self)

    def __call__(self, event: LogEvent) -> None:
        """See `ILogObserver`."""
        failure = event.get("log_failure")
        if failure is None:
            return
        if len(self._errors) < _MOST:
            self._errors.append((formatEvent(event), failure))
        else:
            self._more += 1

    def flush(self, *kinds: type[BaseException]) -> list[Failure]:
        """What was logged since the last time, or that of it whose exceptions are of these kinds; it counts as looked at."""
        found = [failure for _text, failure in self._errors if not kinds or failure.check(*kinds)]
        self._errors = [(text, failure) for text, failure in self._errors if failure not in found]
        trial = _trial()
        if trial is not None:
            theirs: list[Failure] = trial.flushErrors(*kinds)
            return found if self._watching else theirs
        return found

    def summary(self) -> str:
        """The errors that nobody looked at, each in a line; empty when there is none."""
        return "; ".join(f"{text}: {_brief(failure)}" for text, failure in self._errors)

    def note(self, error: BaseException) -> None:
        """Add them to an error that fails the test anyway."""
        if logged := self.summary():
            error.add_note(f"logged meanwhile: {logged}")
            self._errors, self._more = [], 0

    def check(self) -> None:
        """Raises AssertionError for errors that nobody looked at, with their tracebacks; trial does so itself."""
        errors, self._errors = self._errors, []
        if not errors or _trial() is not None:
            return
        count = len(errors) + self._more
        what = "1 error was" if count == 1 else f"{count} errors were"
        shown = "\n".join(f"{text}:\n{_traceback(failure)}" for text, failure in errors[:3])
        advice = f"mend it, or say site.flushErrors({_kind(errors[0][1])}) when it is meant"
        raise AssertionError(f"{what} logged that nobody looked at: {advice}\n{shown}")


def _kind(failure: Failure) -> str:
    return getattr(failure.type, "__name__", "Exception")


def _brief(failure: Failure) -> str:
    lines = failure.getErrorMessage().splitlines()
    return f"{_kind(failure)}: {lines[0]:.200}" if lines else _kind(failure)


def _traceback(failure: Failure) -> str:
    lines = failure.getTraceback(elideFrameworkCode=True).rstrip().splitlines()
    return "\n".join(lines if len(lines) <= 2 * _LINES else [*lines[:_LINES], "  ...", *lines[-_LINES:]])
