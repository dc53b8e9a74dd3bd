"""A dispatcher in a process of its own, for tests that kill it.

python -m tests.children HOME PORT      prints "listening" when nodes may come
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol

from nodeset.core.dispatcher import EventDispatcher
from nodeset.transport.clock import MonotonicClock
from nodeset.transport.furl import parsePlace
from nodeset.transport.rendezvous import claim
from nodeset.transport.tub import TubAcceptor

ROOT = Path(__file__).resolve().parent.parent
reactor: Any = _reactor


class Child(ProcessProtocol):
    """A child process of Python; `said` fires with its first line, `ended` when it is no more."""

    def __init__(self, *arguments: str) -> None:
        self.output = b""
        self.said: Deferred[str] = Deferred()
        self.ended: Deferred[None] = Deferred()
        command = [sys.executable, "-m", *arguments]
        self._process = reactor.spawnProcess(self, sys.executable, command, env=None, path=str(ROOT))

    def outReceived(self, data: bytes) -> None:
        """Keep what it says."""
        self.output += data
        if b"\n" in self.output and not self.said.called:
            self.said.callback(self.output.partition(b"\n")[0].decode())

    def errReceived(self, data: bytes) -> None:
        """Keep its complaints as well."""
        self.output += data

    def processEnded(self, reason: Any) -> None:
        """It is no more."""
        if not self.said.called:
            self.said.errback(AssertionError(f"the child ended without a word: {self.output.decode(errors='replace')}"))
        self.ended.callback(None)

    def signal(self, number: int) -> None:
        """Send it this signal."""
        self._process.signalProcess(number)

    def kill(self) -> Deferred[None]:
        """kill -9; fires when it is no more."""
        try:
            self._process.signalProcess(signal.SIGKILL)
        except ProcessExitedAlready:
            pass
        gone: Deferred[None] = Deferred()

        def pass_on(result: None) -> None:
            gone.callback(None)

        self.ended.addCallback(pass_on)
        return gone


def serve(home: str, port: str) -> None:
    """Be a dispatcher until killed."""
    held = claim(Path(home), parsePlace("pbu://localhost:5333/test"))
    dispatcher = EventDispatcher(MonotonicClock(reactor), fresh=held.fresh)
    acceptor = TubAcceptor(dispatcher, held, f"tcp:{port}:interface=127.0.0.1", [f"tcp:127.0.0.1:{port}"], reactor)
    acceptor.startService()
    acceptor.listening.addCallback(lambda number: print("listening", flush=True))
    reactor.run()


if __name__ == "__main__":
    serve(*sys.argv[1:])
