"""TLS as our connections use it: one context for a Tub, nothing left of a connection when it is over.

Twisted's and Foolscap's objects hold each other in circles, so a dead connection waits for Python's cyclic collector. That
counts objects, of which a connection has a hundred; it does not see the 100 KiB that OpenSSL keeps for it. Whoever connects
often would fill the memory of a dispatcher before the collector looks, so the circles are cut as soon as a connection is lost.
"""

from __future__ import annotations

from typing import Any

from foolscap.crypto import FoolscapContextFactory
from foolscap.eventual import eventually
from twisted.protocols.tls import BufferingTLSTransport
from twisted.python.failure import Failure

__all__ = ["makeContext", "startTls", "takeApart"]


class _Context(FoolscapContextFactory):
    """Foolscap's context, made once: it would make one for each connection, 0.3 ms and 60 KiB each."""

    _made: Any = None

    def getContext(self) -> Any:
        """The context; whoever has connections from it must not change it any more."""
        if self._made is None:
            self._made = super().getContext()
        return self._made


class _Layer(BufferingTLSTransport):
    """Twisted's TLS layer, but that its errors let go of it: their tracebacks hold it, and hold them."""

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        base: Any = super()
        base._tlsShutdownFinished(reason)
        if reason is not None:
            eventually(reason.cleanFailure)


def makeContext(certificate: Any) -> FoolscapContextFactory:
    """What connections with this certificate share, a Twisted one. No session is ever taken up again: each proves itself."""
    return _Context(privateKey=certificate.privateKey.original, certificate=certificate.original)


def startTls(tub: Any, transport: Any) -> None:
    """Speak TLS over `transport` from now on, with the certificate of `tub`."""
    context = tub.__dict__.get("tls_context")
    if context is None:
        context = tub.tls_context = makeContext(tub.myCertificate)
    transport.startTLS(context)
    if type(transport.protocol) is BufferingTLSTransport:
        # Twisted makes it, and has no place to say of which class.
        transport.protocol.__class__ = _Layer


def takeApart(protocol: Any, reason: Failure) -> None:
    """Soon after this the connection of `protocol`, a negotiation or a broker, can be freed, since `reason` ended it."""
    # Not now: Twisted and Foolscap are in the middle of it.
    eventually(_cut, protocol, reason)


def _cut(protocol: Any, reason: Failure) -> None:
    reason.cleanFailure()
    for name in ("getHandle", "getPeerCertificate"):
        # Methods of the TLS layer, which Twisted hung on the transport below it.
        getattr(protocol.transport, "__dict__", {}).pop(name, None)
    if getattr(protocol, "failureReason", None) is not None:
        protocol.failureReason.cleanFailure()
    for end in (getattr(protocol, "rootSlicer", None), getattr(protocol, "rootUnslicer", None)):
        if end is not None:
            end.protocol = end.broker = None
            end.producingDeferred = None
    for name in ("receiveStack", "inboundDeliveryQueue"):
        if name in protocol.__dict__:
            protocol.__dict__[name] = []
