"""What a request that asks for a WebSocket must say."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable, Sequence
from typing import Final

from wsproto.connection import Connection, ConnectionType
from wsproto.events import AcceptConnection
from wsproto.extensions import Extension
from wsproto.handshake import H11Handshake
from wsproto.utilities import ProtocolError

__all__ = ["BadHandshake", "shakeHands"]

#: What wsproto is shown: it looks at no other, and stumbles over some.
_READ: Final = frozenset({b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-protocol"})


class BadHandshake(Exception):
    """No WebSocket was asked for, or none that can be given: to be answered with `status`, `headers`."""

    def __init__(self, status: int, detail: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, tuple(headers)


def shakeHands(
    headers: Iterable[tuple[bytes, bytes]], subprotocol: str, extensions: list[Extension]
) -> tuple[Connection, bytes]:
    """The connection with what to write before anything else. Raises `BadHandshake`.

    :param headers: all of the request, names in any case.
    :param subprotocol: the only one that is spoken; a client that offers any must offer it. Many libraries offer none.
    :param extensions: what looks at the frames; none is agreed on with the client, so nothing comes compressed.
    """
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name.lower() in _READ:
            found.setdefault(name.lower(), []).append(value)
    _check(found)
    handshake = H11Handshake(ConnectionType.SERVER)
    lines = [(name, b", ".join(values)) for name, values in found.items()]
    try:
        # Host, path have been judged where all requests are.
        handshake.initiate_upgrade_connection([(b"host", b"localhost"), *lines], b"/")
        offered = [name.strip() for value in found.get(b"sec-websocket-protocol", []) for name in value.split(b",")]
        if offered and subprotocol.encode() not in offered:
            detail = f"Sec-WebSocket-Protocol must offer {subprotocol}, or nothing: new WebSocket(url, {subprotocol!r})"
            raise BadHandshake(400, detail)
        accepted = handshake.send(AcceptConnection(subprotocol=subprotocol if offered else None, extensions=extensions))
    except (ProtocolError, UnicodeError) as error:
        raise BadHandshake(400, f"this is no handshake of a WebSocket: {' '.join(str(error).split())[:200]}") from None
    connection = handshake.connection
    assert connection is not None, "accepted"
    return connection, accepted


def _check(found: dict[bytes, list[bytes]]) -> None:
    # One alone: who judges whose page it is looks at one.
    if [value.strip().lower() for value in found.get(b"upgrade", [])] != [b"websocket"]:
        upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        raise BadHandshake(426, "this is the address of a WebSocket: ask with Upgrade: websocket", upgrade)
    if found.get(b"sec-websocket-version") != [b"13"]:
        raise BadHandshake(426, "Sec-WebSocket-Version must be 13", [("Sec-WebSocket-Version", "13")])
    keys = found.get(b"sec-websocket-key", [])
    try:
        known = len(keys) == 1 and len(b64decode(keys[0], validate=True)) == 16
    except (binascii.Error, ValueError):
        known = False
    if not known:
        raise BadHandshake(400, "Sec-WebSocket-Key must be 16 bytes in base64, once")
