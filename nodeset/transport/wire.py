"""The connections whose bytes we may pass on ourselves, past the queues of Twisted's TLS."""

from __future__ import annotations

from functools import cache
from typing import Any

from twisted.internet.tcp import Connection
from twisted.logger import Logger

__all__ = ["isOurs"]

_log = Logger()

#: What Twisted keeps about a connection, about its TLS, about what it gathers: all that we look at.
_CONNECTION = ("socket", "connected", "dataBuffer", "bufferSize", "_tempDataBuffer", "_writeDisconnected", "_aborting")
_TLS = ("_aggregator", "_appSendBuffer", "_aborted", "_handshakeDone", "_lostTLSConnection", "_producer", "disconnecting")
_CALLED = ("transport", "dataReceived", "_flushSendBIO", "_flushReceiveBIO")
_AGGREGATOR = ("_buffer", "flush")


def isOurs(connection: object) -> bool:
    """Whether this is TLS over a socket in the way that we know it; of a Twisted that keeps it in another, says so once."""
    if not isinstance(connection, Connection) or not connection.TLS:
        return False
    tls: Any = connection.protocol
    missing = [name for name in _CONNECTION if not hasattr(connection, name)]
    missing += [name for name in (*_TLS, *_CALLED) if not hasattr(tls, name)]
    missing += [name for name in _AGGREGATOR if not hasattr(getattr(tls, "_aggregator", None), name)]
    if missing:
        _say(", ".join(missing))
    return not missing


@cache
def _say(names: str) -> None:
    _log.warn("this Twisted is not the one we know, batches wait for its turns: it has no {names}", names=names)
