"""A bar on the terminal for work that takes its time."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from nodeset.cli.shown import hasColours

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

__all__ = ["Progress"]

#: Seconds of work before there is a bar.
_PATIENCE: Final = 0.5


class Progress:
    """A bar on stderr, if that is a terminal; it is gone when the work is done.

    :param what: is being done.
    :param total: of how much, None if that cannot be known.
    :param unit: of `total`: `bytes`, or something else that is counted.
    """

    def __init__(self, what: str, total: float | None, unit: str) -> None:
        import sys

        self._what, self._total, self._unit = what, total, unit
        self._bar: Bar | None = None
        self._task: Any = None
        self._due = time.monotonic() + _PATIENCE if hasColours(sys.stderr, {}) else float("inf")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: float) -> None:
        """So much is done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif time.monotonic() >= self._due:
            self._begin(done)

    def _begin(self, done: float) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        amount = DownloadColumn() if self._unit == "bytes" else MofNCompleteColumn()
        columns = TextColumn("{task.description}", markup=False), BarColumn(None), amount, TimeRemainingColumn(compact=True)
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(self._what, total=self._total, completed=int(done))
        self._bar.start()
