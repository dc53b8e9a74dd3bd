"""One person's session: a prompt, an interpreter behind it."""

from __future__ import annotations

import rlcompleter
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall

from nodeset.shell.editor import Editor
from nodeset.shell.interpreter import Interpreter
from nodeset.shell.plain import plain
from nodeset.shell.shell import MOST_SESSIONS, Session, Shell

__all__ = ["Prompt", "runOnce"]

#: Characters of output shown of one stretch of work.
_MOST_SHOWN: Final = 200_000
#: Lines that may be typed ahead while one is awaited.
_MOST_AHEAD: Final = 1000
#: Characters of one statement, over all its lines.
_LONGEST_SOURCE: Final = 1_000_000
_MOST_COMPLETIONS: Final = 200


class Prompt(Editor):
    """Asks for lines, runs them, shows what comes of it.

    :param who: in words, for the log.
    """

    def __init__(self, shell: Shell, who: str) -> None:
        super().__init__()
        self._shell, self._who = shell, who
        self._session: Session | None = None
        self._lines: list[str] = []
        self._ahead: deque[str] = deque()
        self._running: Deferred[bool] | None = None
        self._alarm: IDelayedCall | None = None
        self._over = False

    def connectionMade(self) -> None:
        """Let somebody in, or turn him away."""
        super().connectionMade()
        session = self._session = self._shell.enter(self._who, self.throwOut)
        if session is None:
            self.throwOut(f"{MOST_SESSIONS} sessions are open already: close one of them")
            return
        self._interpreter = Interpreter(session.namespace, self._show, self._leave, _MOST_SHOWN, self._shell.callFromThread)
        session.namespace["print"] = self._interpreter.print
        self._alarm = self._shell.clock.callLater(self._shell.idle, self._tooIdle)
        self.show(plain(self._shell.banner(), _MOST_SHOWN))
        self.ask(">>> ")

    def connectionLost(self, reason: object) -> None:
        """It is over: what is awaited is cancelled."""
        self._over, self.asking = True, ""
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        if self._session is not None:
            self._shell.leave(self._session)
        if self._running is not None:
            self._running.cancel()

    def throwOut(self, why: str) -> None:
        """Close the session, saying why."""
        self._over, self.asking = True, ""
        self.terminal.write(f"\n{plain(why, 200)}\n")
        self.terminal.loseConnection()

    def _leave(self) -> None:
        self._over = True
        self.terminal.loseConnection()

    def _tooIdle(self) -> None:
        self.throwOut(f"no key was pressed for {self._shell.idle:g} s: good-bye")

    def touched(self) -> None:
        """See `Editor`."""
        if self._alarm is not None and self._alarm.active():
            self._alarm.reset(self._shell.idle)

    def source(self) -> str:
        """See `Editor`."""
        return "".join(f"{line}\n" for line in self._lines)

    def complete(self, word: str) -> list[str]:
        """See `Editor`."""
        if self._session is None:
            return []
        completer = rlcompleter.Completer(self._session.namespace)
        try:
            found = (completer.complete(word, number) for number in range(_MOST_COMPLETIONS))
            return [each for each in islice(iter(lambda: next(found, None), None), _MOST_COMPLETIONS) if each.isprintable()]
        except Exception:
            return []  # an attribute that raises whatever it likes

    def interrupt(self) -> None:
        """Ctrl-C: give up what is awaited, else what is typed."""
        self._ahead.clear()
        if self._running is not None:
            self._running.cancel()
            return
        self._lines.clear()
        self.forget()
        self.asking = ""
        self.terminal.write("\nKeyboardInterrupt\n")
        self.ask(">>> ")

    def lineReceived(self, line: str) -> None:
        """Run it, after what is run already."""
        if len(self._ahead) >= _MOST_AHEAD:
            self.terminal.write(b"\a")
            return
        self._ahead.append(line)
        self._goOn()

    def _goOn(self) -> None:
        while self._ahead and self._running is None and not self._over:
            self._lines.append(self._ahead.popleft())
            self._run("\n".join(self._lines))
        if self._running is None and not self._over:
            self.ask("... " if self._lines else ">>> ")

    def _run(self, source: str) -> None:
        if len(source) > _LONGEST_SOURCE:
            self._lines.clear()
            self.show(f"this statement has more than {_LONGEST_SOURCE} characters: put it into a module, import that")
            return
        running = self._interpreter.run(source)
        if running is None:
            return
        self._lines.clear()
        if not running.called:
            self._running = running
            running.addBoth(self._done)

    def _done(self, result: Any) -> None:
        self._running = None
        if not self._over:
            self._goOn()

    def _show(self, text: str, unasked: bool) -> None:
        if not self._over:
            self.show(plain(text, _MOST_SHOWN + 200))


def runOnce(shell: Shell, who: str, source: str, show: Callable[[str], object]) -> Deferred[bool] | None:
    """Run one piece of source as a session of its own; None if there is no room for one.

    Fires with whether it went well. Cancel it to interrupt.

    :param show: called with what it says, `plain`.
    """

    def say(text: str, unasked: bool) -> None:
        show(plain(text, _MOST_SHOWN + 200))

    interpreter = Interpreter({}, say, lambda: None, _MOST_SHOWN, shell.callFromThread)
    running: Deferred[bool] | None = None

    def close(why: str) -> None:
        if running is not None:
            running.cancel()

    session = shell.enter(who, close)
    if session is None:
        return None
    interpreter.namespace = session.namespace
    session.namespace["print"] = interpreter.print
    running = interpreter.run(source, "\n" not in source.strip())
    if running is None:
        say("SyntaxError: this is only the beginning of a statement\n", False)
        running = succeed(False)

    def done(result: Any) -> Any:
        shell.leave(session)
        return result

    return running.addBoth(done)
