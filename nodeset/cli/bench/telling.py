"""Telling of measurements: how far they are, what came of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final, Protocol

import attrs
import msgspec

from nodeset.cli.bench.works import Result
from nodeset.cli.table import printTable
from nodeset.cli.top.words import took

__all__ = ["BarTeller", "JsonTeller", "LineTeller", "Teller", "describe"]


class Teller(Protocol):
    """Who tells."""

    def begin(self, title: str) -> None:
        """A work begins."""

    def at(self, share: float) -> None:
        """So much of it is done, from 0 to 1."""

    def end(self, result: Result) -> None:
        """It has ended."""

    def close(self) -> None:
        """There is no more."""

    def sum(self, results: Sequence[Result]) -> None:
        """All together."""


def describe(result: Result) -> str:
    """A result in a line.

    >>> describe(Result("call", "calls", "calls/s", 1234.5, 0.0005, 0.002, 2469, 2.0, ""))
    'calls: 1,234 calls/s, p50 0.50ms, p99 2.00ms; 2,469 in 2.0 s, each its own answer'
    """
    delays = f", p50 {took(result.p50)}, p99 {took(result.p99)}" if result.p50 is not None else ""
    counted = f"{result.events:,} in {result.seconds:.1f} s, {result.verdict()}"
    return f"{result.title}: {result.value:,.0f} {result.unit}{delays}; {counted}"


_HEAD: Final = ("work", "rate", "unit", "p50", "p99", "events", "checked")
_RIGHT: Final = ("rate", "p50", "p99", "events")


def _cells(result: Result) -> tuple[str, ...]:
    delays = took(result.p50), took(result.p99)
    return result.title, f"{result.value:,.0f}", result.unit, *delays, f"{result.events:,}", result.verdict()


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


class JsonTeller:
    """A JSON object for each result, a line each."""

    def begin(self, title: str) -> None:
        """See `Teller`."""

    def at(self, share: float) -> None:
        """See `Teller`."""

    def end(self, result: Result) -> None:
        """See `Teller`."""
        _write(msgspec.json.encode(attrs.asdict(result)).decode() + "\n")

    def close(self) -> None:
        """See `Teller`."""

    def sum(self, results: Sequence[Result]) -> None:
        """See `Teller`."""


class LineTeller(JsonTeller):
    """A line for each result, then a table."""

    def end(self, result: Result) -> None:
        """See `Teller`."""
        _write(describe(result) + "\n")

    def sum(self, results: Sequence[Result]) -> None:
        """See `Teller`."""
        printTable(_HEAD, [_cells(each) for each in results], right=_RIGHT)
        sys.stdout.flush()


class BarTeller(LineTeller):
    """A bar on a terminal, then the table.

    :param total: how many works there are.
    """

    def __init__(self, total: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), auto_refresh=False, transient=True
        )
        self._task: Any = self._progress.add_task("processes start", total=total)
        self._done = 0
        self._progress.start()

    def begin(self, title: str) -> None:
        """See `Teller`."""
        self._progress.update(self._task, description=title, refresh=True)

    def at(self, share: float) -> None:
        """See `Teller`."""
        self._progress.update(self._task, completed=self._done + min(1.0, share), refresh=True)

    def end(self, result: Result) -> None:
        """See `Teller`."""
        self._done += 1
        self._progress.update(self._task, completed=self._done, refresh=True)

    def close(self) -> None:
        """See `Teller`."""
        self._progress.stop()
