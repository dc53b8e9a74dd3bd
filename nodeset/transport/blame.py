"""Whose fault it is: the error of ours that one of Foolscap's, or of a socket's, stands for."""

from __future__ import annotations

import errno
from typing import Any

from foolscap.ipb import DeadReferenceError
from foolscap.tokens import BananaError, NegotiationError, RemoteException, RemoteNegotiationError, Violation
from twisted.internet.defer import CancelledError
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectError, ConnectionClosed, ConnectionRefusedError, DNSLookupError
from twisted.python.failure import Failure

from nodeset.errors import GrantRefused, LinkLost, NodeSetError, ProtocolError, Refused, WrongIdentity

__all__ = ["errorOf"]


def errorOf(
    failure: Failure, what: str, unknown: str = "the dispatcher does not know this FURL; take the one that it wrote last"
) -> NodeSetError:
    """The error of ours that `failure`, of Foolscap's or of a socket's, stands for.

    `what` says what was tried, `unknown` what it means when a name is not known over there.
    """
    error = failure.value
    if isinstance(error, NodeSetError):
        return error
    if isinstance(error, RemoteException):
        return _remoteError(error.failure, what, unknown)
    if isinstance(error, ConnectError) and error.osError in (errno.EACCES, errno.EPERM):
        return LinkLost(f"{what}: this user may not connect there: be the one who listens")
    if isinstance(error, (ConnectionRefusedError, DNSLookupError, ConnectError)):
        return LinkLost(f"{what}: nobody answers there ({failure.type.__name__ if failure.type else 'error'})")
    if isinstance(error, (DeadReferenceError, ConnectionClosed, CancelledError, DeferredTimeout)):
        return LinkLost(f"{what}: the connection was lost or took too long")
    text = str(error).replace("\n", " ")[:200]
    if isinstance(error, (NegotiationError, RemoteNegotiationError, BananaError)):
        if "unknown TubID" in text or "wrong Tub" in text or "TubID mismatch" in text or "500 Internal" in text:
            return WrongIdentity(f"{what}: tub identity mismatch, whoever answers there is not the one that the FURL names")
        return LinkLost(f"{what}: {text}")
    if isinstance(error, Violation):
        return ProtocolError(f"{what}: {text}")
    return LinkLost(f"{what}: {type(error).__name__}: {text}")


def _remoteError(copied: Any, what: str, unknown: str) -> NodeSetError:
    # Foolscap makes a class up that bears the name of the one that was raised there.
    name, text = getattr(copied.type, "__name__", ""), str(copied.value).replace("\n", " ")[:200]
    if name == "KeyError":
        return Refused(f"{what}: {unknown}")
    if name == "GrantRefused":
        return GrantRefused(f"{what}: {text}")
    if name in ("Refused", "ProtocolError", "Violation"):
        return Refused(f"{what}: {text}")
    # It is stopping, or something broke over there that may be mended: no reason not to ask again.
    return LinkLost(f"{what}: {text}")
