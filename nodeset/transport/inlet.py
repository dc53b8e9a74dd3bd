"""Bytes that come over a TLS connection, without the questions that have no answer.

Twisted asks TLS for more until TLS says that there is no more, then whether it has something to send, and is told by an
exception each time. When a single record came and was read there can be neither, and that is what a batch is when it is quiet.
The records of a large one are handed on past two layers that have nothing to add, until TLS says that there is no more; what is
left of a record is read with the next. All else, such as a connection that is ending, goes Twisted's way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL

__all__ = ["Inlet"]

#: A record of data as TLS 1.2 and 1.3 write it: type, version, then two bytes of length.
_DATA = b"\x17\x03\x03"
_HEADER = 5
#: The most that a record holds.
_RECORD = 16 * 1024
#: What to ask a socket for at once, after it had less than all of that, after it had all.
_FEW, _MANY = 64 * 1024, 256 * 1024


class Inlet:
    """The way in of one connection that speaks TLS.

    :param deliver: takes what came, decrypted.
    """

    __slots__ = ("_connection", "_decrypted", "_deliver", "_feed", "_stock", "_tls")

    def __init__(self, connection: Any, deliver: Callable[[bytes], object]) -> None:
        self._connection, self._deliver = connection, deliver
        self._tls: Any = connection.protocol
        handle = connection.getHandle()
        self._feed, self._decrypted = handle.bio_write, handle.recv
        self._stock: Callable[[bytes], object] = self._tls.dataReceived
        self._tls.dataReceived = self._received

    def close(self) -> None:
        """Let go of the connection."""
        self._tls.__dict__.pop("dataReceived", None)

    def _received(self, data: bytes) -> None:
        """What the socket had."""
        tls, size = self._tls, len(data)
        if size >= _FEW:
            self._connection.bufferSize = _MANY
        elif self._connection.bufferSize != _FEW:
            self._connection.bufferSize = _FEW
        if tls._appSendBuffer or tls._aborted or tls._lostTLSConnection or not tls._handshakeDone:
            self._stock(data)
            return
        self._feed(data)
        if size > _HEADER and data.startswith(_DATA) and size == _HEADER + (data[3] << 8 | data[4]):
            try:
                plain = self._decrypted(_RECORD)
            except SSL.Error:
                tls._flushReceiveBIO()  # Twisted meets the same again
            else:
                self._deliver(plain)
            return
        while not tls._aborted and not tls._lostTLSConnection:
            try:
                plain = self._decrypted(_RECORD)
            except SSL.WantReadError:
                tls._flushSendBIO()  # TLS may have an answer of its own to what came
                return
            except SSL.Error:
                tls._flushReceiveBIO()  # here as well
                return
            self._deliver(plain)
