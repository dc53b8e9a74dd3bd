"""Where log events go.

`2026-11-22T20:15:03+0000 [INFO] [nodeset.core.dispatcher.EventDispatcher] listening on port 5333 ...`
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatTime,
)
from twisted.python.logfile import DailyLogFile
from zope.interface import implementer

from nodeset.errors import BadSettings, StateUnusable
from nodeset.transport.furl import redact

__all__ = ["DEFAULT_FILE", "LineObserver", "formatLine", "makeObserver", "withLevel"]

#: The log of a daemon that was not told otherwise, in its rundir.
DEFAULT_FILE = "nodeset-core.log"

_LEVELS = {
    "debug": LogLevel.debug,
    "info": LogLevel.info,
    # Twisted has no level between info with warn; what is at least a notice is at least a warning.
    "notice": LogLevel.warn,
    "warn": LogLevel.warn,
    "crit": LogLevel.critical,
}
_FURL = re.compile(r"pb://[^\s'\"<>]*")
#: What `redact` made of one: nothing of its name is left.
_REDACTED = re.compile(r"pb://(?:[a-z2-7]{4}…@[A-Za-z0-9.:,\[\]-]*/)?…[,.;:)\]]*")


def _hide(found: re.Match[str]) -> str:
    return found[0] if _REDACTED.fullmatch(found[0]) else redact(found[0])


def formatLine(event: LogEvent) -> str | None:
    """The event as a line, further lines (of a traceback) indented; None if there is nothing to say. Shows no FURL whole."""
    text = eventAsText(event, includeTraceback=True, includeTimestamp=False, includeSystem=False)
    if not text:
        return None
    level: Any = event.get("log_level")
    name = level.name.upper() if level is not None else "INFO"
    space = event.get("log_namespace") or event.get("log_system") or "-"
    shown = _FURL.sub(_hide, text).rstrip("\n").replace("\n", "\n\t")
    return f"{formatTime(event.get('log_time'))} [{name}] [{space}] {shown}\n"


class _Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


class _DailyFile(DailyLogFile):
    """A file per day, which comes back after a rotation that failed half way."""

    def revive(self) -> None:
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


def withLevel(observer: ILogObserver, level: str) -> ILogObserver:
    """The observer, for events of this level or above."""
    return FilteringLogObserver(observer, [LogLevelFilterPredicate(defaultLogLevel=_LEVELS[level])])


def makeObserver(twistd: Mapping[str, Any], level: str) -> ILogObserver | None:
    """Where these options of twistd's want the log; None when twistd's own `--syslog` or `--logger` is wanted.

    BadSettings or StateUnusable in one line if it cannot be.
    """
    if twistd.get("syslog") or twistd.get("logger"):
        return None
    in_front = bool(twistd.get("nodaemon") or twistd.get("debug"))
    name = twistd.get("logfile")
    if name == "-" and not in_front:
        raise BadSettings("--logfile - is for a service in the foreground: add -n, or name a file")
    if name == "-" or (not name and in_front):
        # Unbuffered, so that nothing is left to fail at exit; by number, since twistd puts another object in sys.stdout.
        return withLevel(LineObserver(open(sys.__stdout__.fileno() if sys.__stdout__ else 1, "wb", 0, closefd=False)), level)
    path = Path(str(name)) if name else Path(str(twistd.get("rundir") or ".")) / DEFAULT_FILE
    try:
        return withLevel(LineObserver(_DailyFile.fromFullPath(str(path.absolute()), defaultMode=None)), level)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise StateUnusable(f"the log {str(path)[:200]!r} cannot be written ({why}): choose another --logfile") from None
