"""A plain Twisted TLS socket from one process to the other: TLS 1.3, an EC P-256 certificate, a push producer."""

from __future__ import annotations

from typing import Any

from benchmarks.chunks import CHUNKS
from benchmarks.desk import Desk
from benchmarks.peers import Place, Server, load

TITLE = "plain Twisted TLS socket"
SETTINGS = "no broker; transport.write in resumeProducing of a push producer"
#: Chunks of 64 KiB a second.
PACE = 20_000
DEBIAN = ("", "")
PYTHON: tuple[str, ...] = ()


def server(place: Place) -> Server:
    """None: the subscriber listens."""
    return Server([])


def serveHere(place: Place) -> None:
    """Not used: there is no broker."""


def _reactor() -> Any:
    return load("twisted.internet.reactor")


def _options(**given: Any) -> Any:
    ssl = load("twisted.internet.ssl")
    return ssl.CertificateOptions(raiseMinimumTo=ssl.TLSVersion.TLSv1_3, **given)


def publisher(desk: Desk, place: Place) -> None:
    """One connection, which writes as much as its transport wants."""
    from twisted.internet.protocol import ClientFactory, Protocol

    class Sender(Protocol):
        """Writes chunks until all are written."""

        sent, paused = 0, True
        wire: Any

        def connectionMade(self) -> None:
            """Wait for go."""
            self.wire = self.transport
            desk.ready()
            load("twisted.internet.threads").deferToThread(desk.wait).addCallback(
                lambda _: self.wire.registerProducer(self, True)
            ).addCallback(lambda _: self.resumeProducing())

        def resumeProducing(self) -> None:
            """Write until told to pause."""
            self.paused = False
            while not self.paused and self.sent < desk.work.count:
                self.wire.write(CHUNKS[self.sent % len(CHUNKS)])
                self.sent += 1
                if self.sent == desk.work.count:
                    self.wire.unregisterProducer()
                    desk.done(None)

        def pauseProducing(self) -> None:
            """Write no more."""
            self.paused = True

        def stopProducing(self) -> None:
            """The connection is gone."""

    reactor = _reactor()
    reactor.connectSSL("127.0.0.1", place.port, ClientFactory.forProtocol(Sender), _options())
    reactor.run()


def subscriber(desk: Desk, place: Place) -> None:
    """Listens for one connection."""
    from twisted.internet.protocol import Factory, Protocol

    take = desk.taker(0)

    class Receiver(Protocol):
        """Hands over what comes."""

        def dataReceived(self, data: bytes) -> None:
            """Some bytes."""
            take(data)

    pem = load("nodeset.transport.certificate").createCertificate()
    given = load("twisted.internet.ssl").PrivateCertificate.loadPEM(pem)
    options = _options(privateKey=given.privateKey.original, certificate=given.original)
    _reactor().listenSSL(place.port, Factory.forProtocol(Receiver), options, interface="127.0.0.1")
    desk.ready()
    _reactor().run()
