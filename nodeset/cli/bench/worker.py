"""A process of a measurement, which `nodeset bench` starts: `python -m nodeset.cli.bench.worker`."""

from __future__ import annotations

import gc
import os
from typing import Any, Final

import msgspec
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, LogEvent, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import provider

from nodeset import settings
from nodeset.cli.bench.lines import listen, say
from nodeset.cli.bench.sides import Side, describe, makeSide
from nodeset.cli.bench.task import Task
from nodeset.cli.service import steady

__all__ = ["main"]

reactor: Any = _reactor

#: Seconds between two words about how far it is.
_EVERY: Final = 0.25
_THRESHOLDS: Final = (50_000, 20, 100)


class _Worker:
    """Does one task after the other."""

    def __init__(self) -> None:
        self._side: Side | None = None
        self._telling = LoopingCall(self._tell)

    def heard(self, word: str, value: Any) -> None:
        """A line has come."""
        Deferred.fromCoroutine(self._do(word, value)).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        assert failure.value is not None
        say("failed", describe(failure.value))

    async def _do(self, word: str, value: Any) -> None:
        match word:
            case "where":
                self._settle(value)
            case "task":
                self._side = makeSide(msgspec.convert(value, Task))
                await self._side.set()
                gc.collect()
                gc.freeze()
                gc.set_threshold(*_THRESHOLDS)
                say("ready")
            case "go":
                assert self._side is not None
                self._telling.start(_EVERY, now=False)
                self._side.go()
            case "expect":
                assert self._side is not None
                self._side.expect(value)
            case "end":
                side, self._side = self._side, None
                if self._telling.running:
                    self._telling.stop()
                assert side is not None
                tally = side.tally()
                await side.clear()
                gc.unfreeze()
                say("tally", tally)

    def _tell(self) -> None:
        if self._side is not None:
            say("at", self._side.progress)

    def _settle(self, where: dict[str, Any]) -> None:
        found = settings.load(os.environ, {"dispatcher_url": where["dispatcher"], "drain_timeout": 2.0}, settings.COMMAND)
        settings.use(found)


@provider(ILogObserver)
def _silently(event: LogEvent) -> None:
    """What goes wrong is told in a line."""


def main() -> None:
    """Until stdin is closed. Ctrl-C is for the process that started this one."""
    # A session of its own, as a service has one: Linux shares the processors out by the session.
    os.setsid()
    steady(reactor)
    globalLogBeginner.beginLoggingTo([_silently], redirectStandardIO=False, discardBuffer=True)
    worker = _Worker()
    listen(lambda word, value: reactor.callFromThread(worker.heard, word, value))
    reactor.callWhenRunning(say, "up")
    reactor.run(installSignalHandlers=False)


if __name__ == "__main__":
    main()
