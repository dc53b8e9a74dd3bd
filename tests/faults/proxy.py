"""A TCP proxy that can turn into a bad network: `python -m tests.faults.proxy PORT TARGET [BYTES_PER_SECOND]`.

SIGUSR1: nothing goes through any more, neither way, and nobody is told; who connects is let wait as well. With a number of
bytes it becomes slow toward who connected instead. SIGUSR2: who connects from now on is served well; what was dead stays dead.
SIGHUP: who connected is cut off, the target is not told.
"""

from __future__ import annotations

import signal
import socket
import sys
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall

reactor: Any = _reactor


class Side(Protocol):
    """One end of a connection through us."""

    other: Side | None = None
    slow = False

    def __init__(self, proxy: Proxy, outer: bool) -> None:
        self.proxy, self.outer = proxy, outer
        self.early = b""
        self.held = b""

    def connectionMade(self) -> None:
        """Find the other end."""
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        if self.proxy.dead:
            self.pause()
        self.proxy.sides.add(self)
        if self.outer:
            other = self.other = Side(self.proxy, False)
            other.other = self
            endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.proxy.target)
            connectProtocol(endpoint, other).addErrback(lambda failure: transport.abortConnection())
        elif self.other is not None:
            transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            transport.write(self.other.early)

    def dataReceived(self, data: bytes) -> None:
        """Pass it on."""
        if self.slow:
            self.held += data
            if len(self.held) > 16_384:
                self.pause()
        elif self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)
        else:
            self.early += data

    def drip(self, amount: int) -> None:
        """Pass a little of what is held on."""
        if self.held and self.other is not None and self.other.transport is not None:
            self.other.transport.write(self.held[:amount])
            self.held = self.held[amount:]
            if len(self.held) < 8_192:
                transport: Any = self.transport
                transport.resumeProducing()

    def pause(self) -> None:
        """Take nothing in: the kernel fills up, then the sender."""
        transport: Any = self.transport
        if transport is not None:
            transport.pauseProducing()

    def connectionLost(self, reason: Any = None) -> None:
        """One end closes: the other does too, unless we are a black hole."""
        self.proxy.sides.discard(self)
        if self.other is not None and self.other.transport is not None and self not in self.proxy.holes:
            transport: Any = self.other.transport
            transport.loseConnection()


class Proxy(Factory):
    """All connections."""

    def __init__(self, target: int, rate: int) -> None:
        self.target, self.rate = target, rate
        self.dead = False
        self.sides: set[Side] = set()
        self.holes: set[Side] = set()

    def buildProtocol(self, address: object) -> Side:
        """Somebody connects."""
        return Side(self, True)

    def worsen(self) -> None:
        """SIGUSR1."""
        if self.rate:
            for side in self.sides:
                side.slow = not side.outer
            LoopingCall(self.drip).start(0.1)
            return
        self.dead = True
        for side in self.sides:
            self.holes.add(side)
            side.pause()

    def drip(self) -> None:
        """A tenth of a second is over."""
        for side in list(self.sides):
            side.drip(max(1, self.rate // 10))

    def halve(self) -> None:
        """SIGHUP."""
        for side in [side for side in self.sides if side.outer]:
            self.holes.add(side)
            transport: Any = side.transport
            transport.abortConnection()

    def mend(self) -> None:
        """SIGUSR2."""
        self.dead = False


def main() -> None:
    """Serve until killed."""
    port, target, *rate = (int(word) for word in sys.argv[1:])
    proxy = Proxy(target, rate[0] if rate else 0)
    signal.signal(signal.SIGUSR1, lambda number, frame: reactor.callFromThread(proxy.worsen))
    signal.signal(signal.SIGUSR2, lambda number, frame: reactor.callFromThread(proxy.mend))
    signal.signal(signal.SIGHUP, lambda number, frame: reactor.callFromThread(proxy.halve))
    listening = TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(proxy)
    listening.addCallback(lambda there: print("listening", flush=True))
    reactor.run()


if __name__ == "__main__":
    main()
