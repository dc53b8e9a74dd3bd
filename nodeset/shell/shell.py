"""What the sessions of one shell share."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from nodeset.version import __version__

__all__ = ["MOST_SESSIONS", "Session", "Shell"]

#: Sessions at a time; a shell is for people.
MOST_SESSIONS: Final = 8
#: Seconds without a key pressed after which a session is closed.
IDLE: Final = 1800.0


@attrs.define(eq=False)
class Session:
    """Somebody who is in: `who`, in words for the log; the names of that session; how to throw it out."""

    who: str
    namespace: dict[str, Any]
    close: Callable[[str], None]


def _call(function: Callable[..., object], *args: object) -> None:
    function(*args)


class Shell:
    """The names at hand, who is in.

    :param title: what this is the shell of, such as `nodeset-dispatcher`.
    :param names: what each session knows from the beginning.
    :param status: a line on how things are, for the banner.
    """

    log = Logger()

    def __init__(
        self,
        title: str,
        names: Mapping[str, Any],
        clock: IReactorTime,
        status: Callable[[], str] = lambda: "",
        idle: float = IDLE,
    ) -> None:
        self.title, self.clock, self.status, self.idle = title, clock, status, idle
        self.namespace: dict[str, Any] = dict(names)
        self.sessions: list[Session] = []
        #: Has something called in the thread of the reactor; a clock without threads calls it at once.
        self.callFromThread: Callable[..., object] = getattr(clock, "callFromThread", _call)
        #: How many were turned away, by reason.
        self.refused = {"full": 0}

    def put(self, name: str, value: object) -> None:
        """See `Names`."""
        self.namespace[name] = value
        for session in self.sessions:
            session.namespace[name] = value

    def drop(self, name: str) -> None:
        """See `Names`."""
        for namespace in (self.namespace, *(session.namespace for session in self.sessions)):
            namespace.pop(name, None)

    @property
    def full(self) -> bool:
        """Whether there is no room for one more session."""
        return len(self.sessions) >= MOST_SESSIONS

    def enter(self, who: str, close: Callable[[str], None]) -> Session | None:
        """One more session; None when there are too many.

        :param close: called with the reason, in words, when the shell closes.
        """
        if self.full:
            self.refused["full"] += 1
            self.log.warn("{who} is turned away: {count} sessions are open already", who=who, count=len(self.sessions))
            return None
        session = Session(who, {"__name__": "__shell__", "__builtins__": __builtins__, **self.namespace}, close)
        self.sessions.append(session)
        self.log.info("{who} has logged in", who=who)
        return session

    def leave(self, session: Session) -> None:
        """It is over; again is fine."""
        if session in self.sessions:
            self.sessions.remove(session)
            self.log.info("{who} has logged out", who=session.who)

    def closeAll(self, why: str) -> None:
        """Throw everybody out."""
        for session in list(self.sessions):
            session.close(why)
            self.leave(session)

    def banner(self) -> str:
        """What greets a session: what this is, what is at hand, what to try."""
        python = f"Python {platform.python_version()} on {sys.platform}"
        lines = [f"{self.title}, NodeSet {__version__}, {python}.", "What you type runs inside the service."]
        if status := self.status():
            lines.append(status)
        lines.append(f"At hand: {', '.join(self.namespace)}.")
        if "node" in self.namespace:
            lines.append("Try: await node.nodes()    help(node.call)")
        elif "dispatcher" in self.namespace:
            lines.append("Try: dispatcher.getStats()    help(dispatcher)")
        lines.append("Ctrl-C interrupts an await, Ctrl-D leaves.")
        return "\n".join(lines) + "\n"
