"""The processes of a measurement, as whoever started them sees them."""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol

from nodeset.cli.bench.lines import read
from nodeset.cli.options import oneLine
from nodeset.cli.outcome import Exit, GaveUp
from nodeset.cli.shown import printable

__all__ = ["Hand", "PythonPlace", "hire"]

#: Bytes of a line of theirs.
_LONGEST: Final = 1_000_000
#: Seconds to be up, which is what Python takes to import us.
_PATIENCE: Final = 30.0
#: What it means that a word does not come.
_LATE: Final = {
    "up": "the processes of this measurement did not start",
    "ready": "the nodes of this measurement were not all linked and subscribed",
    "done": "not everything that was sent was confirmed",
    "full": "not everything that was confirmed arrived",
    "tally": "the nodes of this measurement did not leave",
}


class Hand(ProcessProtocol):
    """One process, which is asked by words and answers by words.

    :param told: called with each number that tells how far it is.
    """

    def __init__(self, clock: IReactorTime, told: Callable[[], None]) -> None:
        self._clock, self._told = clock, told
        self._rest = b""
        self._said: dict[str, Any] = {}
        self._waiting: dict[str, Deferred[Any]] = {}
        self._last: deque[str] = deque(maxlen=3)
        self._gone = ""
        self._refused = False
        #: How far it is.
        self.at = 0

    def tell(self, word: str, *values: Any) -> None:
        """Say a word to it; who has gone hears nothing."""
        if self.transport is not None and not self._gone:
            line = " ".join([word, *map(json.dumps, values)])
            self.transport.write(f"{line}\n".encode())

    def hear(self, word: str, patience: float = _PATIENCE) -> Deferred[Any]:
        """Fires with what it says with this word. Fails with `GaveUp` when it ends before, or says nothing for so long."""
        waiting: Deferred[Any] = Deferred()
        if word in self._said:
            waiting.callback(self._said.pop(word))
            return waiting
        if self._gone:
            waiting.errback(self._error())
            return waiting
        self._waiting[word] = waiting
        alarm = self._clock.callLater(patience, self._tooLate, word, patience)

        def over(result: Any) -> Any:
            if alarm.active():
                alarm.cancel()
            self._waiting.pop(word, None)
            return result

        return waiting.addBoth(over)

    def _tooLate(self, word: str, patience: float) -> None:
        self._waiting.pop(word).errback(
            GaveUp(f"{_LATE.get(word, f'no {word!r} was heard')} within {patience:g} s", Exit.NO_ANSWER)
        )

    def outReceived(self, data: bytes) -> None:
        """See `ProcessProtocol`."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace"))
        if len(self._rest) > _LONGEST:
            self._gone = "it talks nonsense"
            self.end()

    def _take(self, line: str) -> None:
        try:
            word, value = read(line)
        except ValueError:
            self._last.append(line[:200])
            return
        if word == "at":
            self.at = value
            self._told()
        elif word == "failed":
            self._gone, self._refused = value["reason"], value["refused"]
            self._fail()
        elif word in self._waiting:
            self._waiting.pop(word).callback(value)
        else:
            self._said[word] = value

    def errReceived(self, data: bytes) -> None:
        """Keep its last words."""
        self._last.extend(line[:200] for line in data.decode("utf-8", "replace").splitlines() if line.strip())

    def processEnded(self, reason: object) -> None:
        """It is no more."""
        self._gone = self._gone or f"a process of ours ended: {' / '.join(self._last) or 'it said nothing'}"
        self._fail()

    def _error(self) -> GaveUp:
        return GaveUp(printable(oneLine(self._gone)), Exit.REFUSED if self._refused else Exit.FAILED)

    def _fail(self) -> None:
        for waiting in list(self._waiting.values()):
            waiting.errback(self._error())

    def end(self) -> None:
        """End it, whatever it does."""
        if self.transport is not None:
            self.transport.loseConnection()
            try:
                self.transport.signalProcess("KILL")
            except ProcessExitedAlready:
                pass


class PythonPlace:
    """How a module of ours is run by a process of its own: with the modules that we have, none of the current directory."""

    def __init__(self, module: str) -> None:
        import nodeset

        assert nodeset.__file__ is not None
        home = str(Path(nodeset.__file__).resolve().parent.parent)
        others = os.environ.get("PYTHONPATH", "")
        self.command = [sys.executable, "-P", "-m", module]
        self.environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [home, others]))}


async def hire(reactor: Any, dispatcher: str | None, count: int, told: Callable[[], None]) -> list[Hand]:
    """So many processes that can be asked.

    :param dispatcher: which one is meant, as --dispatcher has it; they hear it by their stdin.
    """
    clock: IReactorTime = reactor
    spawner: IReactorProcess = reactor
    place = PythonPlace("nodeset.cli.bench.worker")
    hands = [Hand(clock, told) for _ in range(count)]
    try:
        for hand in hands:
            spawner.spawnProcess(hand, sys.executable, place.command, env=place.environ)
            hand.tell("where", {"dispatcher": dispatcher})
        for hand in hands:
            await hand.hear("up")
    except BaseException:
        for hand in hands:
            hand.end()
        raise
    return hands
