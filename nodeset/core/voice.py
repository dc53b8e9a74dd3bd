"""Shows a program's warnings while nobody has begun logging.

Before logging begins Twisted keeps what is logged to itself, save for what is critical, which it puts on stderr. A program that
never begins would wait for its dispatcher without a word.
"""

from __future__ import annotations

import re
import sys

from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText, globalLogBeginner, globalLogPublisher
from zope.interface import implementer

__all__ = ["speakUp"]

#: As many as Twisted itself keeps before logging begins.
_MOST_HELD = 200
#: The rest of a FURL, unless it is one that was made safe to show already.
_FURL = re.compile(r"pb://(?![a-z2-7]{4}…@)\S*")


def _hasBegun() -> bool:
    # Nothing public tells. Should Twisted drop the attribute, we keep silent.
    return getattr(globalLogBeginner, "_temporaryObserver", None) is None


@implementer(ILogObserver)
class _Voice:
    """Writes warnings with errors to stderr from when the reactor runs, until somebody begins logging."""

    def __init__(self) -> None:
        self._held: list[LogEvent] = []
        self._shown: list[LogEvent] = []
        self._is_waiting = self._speaks = self._is_silent = False

    def __call__(self, event: LogEvent) -> None:
        if self._is_silent:
            return
        # Who begins logging is first given once more what was logged so far, and so are we.
        if _hasBegun() or any(event is each for each in self._shown):
            self._fallSilent()
        elif event.get("log_level") in (LogLevel.warn, LogLevel.error):  # what is critical, Twisted shows
            if self._speaks:
                self._show(event)
            else:
                self._held = [*self._held[1 - _MOST_HELD :], event]
                self._awaitReactor()

    def _awaitReactor(self) -> None:
        # Looked up, never imported: which reactor it is to be is the program's choice.
        reactor = sys.modules.get("twisted.internet.reactor")
        if not self._is_waiting and reactor is not None:
            self._is_waiting = True
            reactor.callWhenRunning(self._speak)

    def _speak(self) -> None:
        if _hasBegun():
            self._fallSilent()
            return
        self._speaks = True
        held, self._held = self._held, []
        for event in held:
            self._show(event)

    def _show(self, event: LogEvent) -> None:
        self._shown = [*self._shown[1 - _MOST_HELD :], event]
        level = "error" if event.get("log_level") is LogLevel.error else "warning"
        text = _FURL.sub("pb://…", eventAsText(event, includeTraceback=True, includeTimestamp=False, includeSystem=False))
        try:
            sys.stderr.write(f"[{level}] {text}\n")
        except (AttributeError, OSError, ValueError):
            pass  # no stderr, or a closed one: nobody can be told

    def _fallSilent(self) -> None:
        # Not removed: who leaves while an event goes round makes Twisted pass over the next observer.
        self._held, self._shown, self._is_silent = [], [], True


class _Process:
    voice: _Voice | None = None


def speakUp() -> None:
    """From when the reactor runs, show warnings with errors on stderr, for as long as nobody has begun logging.

    Does nothing when somebody has; asking again is fine. It begins no logging, so that the program may do so at any time.
    """
    if _Process.voice is None and not _hasBegun():
        _Process.voice = _Voice()
        globalLogPublisher.addObserver(_Process.voice)
