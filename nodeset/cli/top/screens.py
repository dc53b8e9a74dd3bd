"""Where frames are shown: on a terminal, as plain lines, as JSON."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from nodeset.cli.shown import printable
from nodeset.cli.top.keys import Keyboard
from nodeset.cli.top.rates import Frame, Row
from nodeset.cli.top.table import View, arrange
from nodeset.core.figures.rates import Quantile

__all__ = ["JsonScreen", "PlainScreen", "Screen", "TerminalScreen", "asMapping"]

_STYLES: Final = {"": "", "bold": "bold", "dim": "dim", "good": "green", "warn": "yellow", "bad": "bold red"}
#: Lines of a frame where nobody says how many there are room for.
_MANY: Final = 10_000


class Screen(Protocol):
    """Where frames go; `patient` is whether the first one, which has no rates, is kept back."""

    patient: bool

    def draw(self, frame: Frame | None, history: Sequence[float], view: View) -> None:
        """Show this instead of what was shown before."""

    def close(self) -> None:
        """Leave everything as it was."""


class PlainScreen:
    """Frames as lines, one after the other, without anything that only a terminal understands.

    :param width: of a line.
    """

    patient = True

    def __init__(self, width: int) -> None:
        self._width, self._begun = width, False

    def draw(self, frame: Frame | None, history: Sequence[float], view: View) -> None:
        """See `Screen`."""
        lines = ["".join(text for text, _style in line).rstrip() for line in arrange(frame, (), view, self._width, _MANY)]
        _write(("\n" if self._begun else "") + "".join(f"{line}\n" for line in lines))
        self._begun = True

    def close(self) -> None:
        """See `Screen`."""


class JsonScreen:
    """Frames as JSON objects, one a line.

    :param wall: Unix time.
    """

    patient = True

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall

    def draw(self, frame: Frame | None, history: Sequence[float], view: View) -> None:
        """See `Screen`."""
        told = {"time": round(self._wall(), 3), "linked": not view.trouble}
        if view.trouble:
            _writeJson({**told, "trouble": view.trouble})
        elif frame is not None:
            _writeJson({**told, **asMapping(frame, view)})

    def close(self) -> None:
        """See `Screen`."""


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _writeJson(told: dict[str, Any]) -> None:
    _write(printable(msgspec.json.encode(told).decode()) + "\n")


def asMapping(frame: Frame, view: View) -> dict[str, Any]:
    """What --json tells of a frame: rates per second, times in seconds, None for what is not known."""
    found = frame.figures
    return {
        "site": found.site,
        "version": found.version,
        "boot": found.boot,
        "uptime": found.uptime or None,
        "interval": frame.seconds,
        "events_in": frame.published,
        "events_out": frame.delivered,
        "bytes_in": frame.bytes_in,
        "bytes_out": frame.bytes_out,
        "calls": frame.calls,
        "pending": frame.pending,
        "rss": found.rss,
        "lag": found.lag,
        "p50": _seconds(frame.p50),
        "p99": _seconds(frame.p99),
        "dropped": frame.dropped,
        "drops": frame.drops,
        "nodes": [_rowAsMapping(row) for row in view.order.apply(frame.rows)],
    }


def _seconds(value: Quantile | None) -> float | None:
    return value.seconds if value is not None else None


def _rowAsMapping(row: Row) -> dict[str, Any]:
    node = row.node
    return {
        "name": node.name,
        "stream": node.stream,
        "state": node.state,
        "latency": node.latency,
        "published": row.published,
        "delivered": row.delivered,
        "queued_events": node.queued_events,
        "queued_bytes": node.queued_bytes,
        "calls_running": node.calls_running,
        "dropped": node.dropped,
    }


class TerminalScreen:
    """The whole of a terminal, until closed.

    :param pressed: called with each key, where there is a keyboard.
    """

    patient = False

    def __init__(self, reactor: Any, pressed: Callable[[str], None]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False)
        self._live = Live(console=self._console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._last: tuple[Frame | None, Sequence[float], View] | None = None
        self._live.start()
        self._keyboard = Keyboard(reactor, sys.stdin.fileno(), pressed) if sys.stdin.isatty() else None
        wanted = {signal.SIGWINCH: self._again, signal.SIGTSTP: self._suspend}
        # The reactor does it: a signal may come in the middle of a frame.
        self._signals = {
            number: signal.signal(number, lambda number, frame: reactor.callFromThread(wanted[signal.Signals(number)]))
            for number in wanted
        }

    def draw(self, frame: Frame | None, history: Sequence[float], view: View) -> None:
        """See `Screen`."""
        from rich.text import Text

        self._last = (frame, history, view)
        width, height = self._console.size
        text = Text(no_wrap=True, overflow="crop", end="")
        for index, line in enumerate(arrange(frame, history, view, width, height)):
            text.append("\n" if index else "")
            for part, style in line:
                text.append(part, _STYLES[style])
        self._live.update(text, refresh=True)

    def _again(self) -> None:
        if self._last is not None and self._live.is_started:
            self.draw(*self._last)

    def _suspend(self) -> None:
        """Ctrl-Z: the shell gets its terminal as it was, we get it back with `fg`."""
        if self._live.is_started:
            self._leave()
            os.kill(os.getpid(), signal.SIGSTOP)
            self._live.start()
            if self._keyboard is not None:
                self._keyboard.open()
            self._again()

    def _leave(self) -> None:
        self._live.stop()
        if self._keyboard is not None:
            self._keyboard.close()

    def close(self) -> None:
        """See `Screen`."""
        if self._live.is_started:
            for number, before in self._signals.items():
                signal.signal(number, before)
            self._leave()
