"""Bytes that leave over a TLS connection in the turn in which they are written.

Twisted gathers what is written until the next turn of the reactor, encrypts it, waits in another one for the socket to be
writable, and sends: two turns with three system calls that tell nobody anything, since a socket at rest takes what one gives
it. `Outlet.write` encrypts and sends at once. What is not as quiet as that goes Twisted's way: a connection that is closing,
what the socket does not take, what is written behind that. A socket that fails is left to Twisted as well, which meets the
failure in a turn of its own, so that nobody is ever told of a loss from within a write.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL

__all__ = ["Outlet"]

#: What is encrypted before it is sent. OpenSSL's buffer grows by copying: 256 KiB take 228 us at once, 51 us in four parts.
_AT_ONCE = 64 * 1024
#: The most that TLS puts into a record; what a record takes beside that, generously.
_RECORD, _AROUND = 16 * 1024, 64
_MOST = _AT_ONCE + _RECORD + _AROUND * (3 + _AT_ONCE // _RECORD)


class Outlet:
    """The way out of one connection that speaks TLS, beside Twisted's own: what is written by either leaves in order."""

    __slots__ = ("_connection", "_encrypt", "_encrypted", "_tls")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._tls = connection.protocol
        handle = connection.getHandle()
        self._encrypt, self._encrypted = handle.send, handle.bio_read

    def write(self, data: bytes) -> None:
        """Send `data`, as much of it as the socket takes at once; when the connection is over it is dropped."""
        connection, tls = self._connection, self._tls
        if not self._isOpen():
            connection.write(data)
            return
        if tls._aggregator._buffer:
            tls._aggregator.flush()  # what was written before us
        if tls._appSendBuffer:
            connection.write(data)  # TLS waits for the peer
            return
        done = taken = 0
        parts: list[bytes] = []
        try:
            if len(data) <= _RECORD:
                done = self._encrypt(data)
            else:
                whole = memoryview(data)
                while done < len(data):
                    done += self._encrypt(whole[done : done + _RECORD])
                    if done - taken >= _AT_ONCE:
                        parts.append(self._encrypted(_MOST))
                        taken = done
        except SSL.Error:
            pass  # Twisted meets the same when it tries the rest, and knows what to do
        if done:
            self._send(parts, done - taken)
        if done < len(data):
            connection.write(data[done:])

    def _isOpen(self) -> bool:
        connection, tls = self._connection, self._tls
        return (
            connection.connected
            and tls._handshakeDone
            and not tls.disconnecting
            and not tls._lostTLSConnection
            and tls._producer is None
            and not connection._aborting
            and not connection._writeDisconnected
        )

    def _send(self, parts: list[bytes], size: int) -> None:
        """Give the socket `parts`, then what the last `size` bytes became."""
        connection, tls = self._connection, self._tls
        most = size + _AROUND * (2 + size // _RECORD) if size else _MOST
        if size:
            parts.append(self._encrypted(most))
        data = b"".join(parts)
        sent = 0
        if not connection.dataBuffer and not connection._tempDataBuffer:
            try:
                sent = connection.socket.send(data)
            except OSError:
                pass  # it is full, or broken
        if sent < len(data):
            tls.transport.write(data[sent:] if sent else data)
        if len(parts[-1]) == most:
            tls._flushSendBIO()  # TLS had something of its own to say
