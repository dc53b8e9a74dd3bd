"""Where log events go.

`2026-11-22T20:15:03+0000 [INFO] [nodeset.core.dispatcher.EventDispatcher] listening on port 5333 ...`
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from twisted.logger import (
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
    eventAsText,
    formatTime,
)
from twisted.python.logfile import DailyLogFile
from zope.interface import implementer, provider

from nodeset.cli.shown import printable
from nodeset.errors import BadSettings, StateUnusable
from nodeset.transport.furl import redact

__all__ = ["LineObserver", "Log", "formatLine", "harmless", "isInFront", "isLogChosen", "makeObserver", "withLevel"]

_LEVELS = {
    "debug": LogLevel.debug,
    "info": LogLevel.info,
    # Twisted has no level between info with warn; what is at least a notice is at least a warning.
    "notice": LogLevel.warn,
    "warn": LogLevel.warn,
    "crit": LogLevel.critical,
}
#: Who tells at level info what only matters to who looks for a mistake: "Starting factory", "(TCP Port 5333 Closed)".
_CHATTERERS = ("log_legacy", "twisted.", "foolscap.")
_FURL = re.compile(r"pb://[^\s'\"<>]*")
#: What `redact` made of one: nothing of its name is left.
_REDACTED = re.compile(r"pb://(?:[a-z2-7]{4}…@[A-Za-z0-9.:,\[\]-]*/)?…[,.;:)\]]*")


def _hide(found: re.Match[str]) -> str:
    return found[0] if _REDACTED.fullmatch(found[0]) else redact(found[0])


def harmless(text: str) -> str:
    """Lines of whatever origin without a FURL's secret, with nothing in them that a terminal would obey."""
    return printable(_FURL.sub(_hide, text), "\n\t")


def formatLine(event: LogEvent) -> str | None:
    """The event as a line, further lines (of a traceback) indented; None if there is nothing to say. Shows no FURL whole."""
    text = eventAsText(event, includeTraceback=True, includeTimestamp=False, includeSystem=False)
    if not text:
        return None
    level: Any = event.get("log_level")
    name = level.name.upper() if level is not None else "INFO"
    space = event.get("log_namespace") or event.get("log_system") or "-"
    shown = harmless(text).rstrip("\n").replace("\n", "\n\t")
    return f"{formatTime(event.get('log_time'))} [{name}] [{space}] {shown}\n"


class _Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


class _DailyFile(DailyLogFile):
    """A file per day, which comes back after a rotation that failed half way.

    Opened to append: whoever else writes to it loses nothing.
    """

    def _openFile(self) -> None:
        self.closed = False
        self._file = open(self.path, "ab", 0)  # noqa: SIM115, PTH123  # kept open; the path is Twisted's, a str
        self.lastDate = self.toDate(os.stat(self.path).st_mtime)  # noqa: PTH116

    def shouldRotate(self) -> bool:
        """A device must never be renamed: as root we would take /dev/null from all, at midnight."""
        is_due: Any = super().shouldRotate
        return bool(is_due()) and stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)

    def revive(self) -> None:
        """Open it if it is closed."""
        file = getattr(self, "_file", None)
        if file is None or file.closed:
            self._openFile()


@implementer(ILogObserver)
class LineObserver:
    """Writes events to a file as lines. A write that fails drops its line; how many is said when writing works again."""

    def __init__(self, sink: _Sink) -> None:
        self._sink = sink
        self.dropped = 0

    def __call__(self, event: LogEvent) -> None:
        line = formatLine(event)
        if line is None:
            return
        if self.dropped:
            lost = f"{self.dropped} lines were lost: the log could not be written"
            line = f"{formatTime(event.get('log_time'))} [WARN] [{__name__}] {lost}\n{line}"
        try:
            if isinstance(self._sink, _DailyFile):
                self._sink.revive()
            self._sink.write(line.encode("utf-8", "backslashreplace"))
        except Exception:
            # Nobody can be told: telling would be logging.
            self.dropped += 1
        else:
            self.dropped = 0

    def reopen(self) -> None:
        """Let the next line go to the file that has the name by then: somebody may have moved the one that is open."""
        if isinstance(self._sink, _DailyFile):
            self._sink.close()


@provider(ILogFilterPredicate)
def _withoutChatter(event: LogEvent) -> Any:
    is_chatter = event.get("log_level") is LogLevel.info and str(event.get("log_namespace")).startswith(_CHATTERERS)
    return PredicateResult.no if is_chatter else PredicateResult.maybe


def withLevel(observer: ILogObserver, level: str) -> ILogObserver:
    """The observer, for events of this level or above; what Twisted and Foolscap tell of themselves counts as debug."""
    predicates: list[Any] = [LogLevelFilterPredicate(defaultLogLevel=_LEVELS[level])]
    return FilteringLogObserver(observer, predicates if level == "debug" else [*predicates, _withoutChatter])


@implementer(ILogObserver)
class Log:
    """The log of a service, whose level may change."""

    def __init__(self, lines: LineObserver, level: str) -> None:
        self._lines = lines
        self.setLevel(level)

    def setLevel(self, level: str) -> None:
        """Log what is of this level or above from now on."""
        self._observer = withLevel(self._lines, level)

    def reopen(self) -> None:
        """See `LineObserver`."""
        self._lines.reopen()

    def __call__(self, event: LogEvent) -> None:
        self._observer(event)


def isInFront(twistd: Mapping[str, Any]) -> bool:
    """Whether these options of twistd's keep the service on its terminal, instead of making a daemon of it."""
    return bool(twistd.get("nodaemon") or twistd.get("debug"))


def isLogChosen(twistd: Mapping[str, Any]) -> bool:
    """Whether these options of twistd's say where the log goes."""
    return bool(twistd.get("logfile") or twistd.get("syslog") or twistd.get("logger"))


def makeObserver(twistd: Mapping[str, Any], level: str, name: str, prints: bool = False) -> Log | None:
    """Where these options of twistd's want the log; None when twistd's own `--syslog` or `--logger` is wanted.

    A daemon that was not told otherwise logs to `name`.log in its rundir; in the foreground the log goes to stdout, to stderr
    for a service that `prints` its data there. BadSettings or StateUnusable in one line if it cannot be.
    """
    if twistd.get("syslog") or twistd.get("logger"):
        return None
    in_front = isInFront(twistd)
    chosen = twistd.get("logfile")
    if chosen == "-" and not in_front:
        raise BadSettings("--logfile - is for a service in the foreground: add -n, or name a file")
    if chosen == "-" or (not chosen and in_front):
        # Unbuffered, so that nothing is left to fail at exit; by number, since twistd puts another object in sys.stdout.
        stream, number = (sys.__stderr__, 2) if prints and not chosen else (sys.__stdout__, 1)
        return Log(LineObserver(open(stream.fileno() if stream else number, "wb", 0, closefd=False)), level)
    path = Path(str(chosen)) if chosen else Path(str(twistd.get("rundir") or ".")) / f"{name}.log"
    try:
        return Log(LineObserver(_DailyFile.fromFullPath(str(path.absolute()), defaultMode=None)), level)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise StateUnusable(f"the log {str(path)[:200]!r} cannot be written ({why}): choose another --logfile") from None
