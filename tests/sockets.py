"""A client of `/v1/ws` that speaks by wsproto over a connection in memory."""

from __future__ import annotations

from typing import Any

import msgspec
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from tests.webs import WebSite

__all__ = ["SocketClient"]


class SocketClient:
    """One WebSocket to the bridge of `site`.

    :ivar frames: what came and was not taken by `next`.
    :ivar closed: code and reason of the close that came, None before.
    :ivar rejected: the status by which the handshake was refused.
    """

    def __init__(
        self,
        site: WebSite,
        path: str = "/v1/ws",
        protocols: tuple[str, ...] = ("nodeset.v1",),
        headers: tuple[tuple[bytes, bytes], ...] = (),
        answers_pings: bool = True,
    ) -> None:
        self._web, self._answers_pings = site, answers_pings
        self.client = site.client()
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._read = 0
        self.frames: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.rejected: int | None = None
        self.pings = self.pongs = 0
        self.protocol: str | None = None
        self.client.send(
            self._ws.send(
                Request(host="localhost:8080", target=path, subprotocols=list(protocols), extra_headers=list(headers))
            )
        )
        self.read()

    @property
    def producer(self) -> Any:
        """Who is told when the connection is full, or no longer: the bridge's side."""
        return self.client.wire.producer

    def read(self) -> None:
        """Take in what the bridge has written."""
        data = self.client.received[self._read :]
        self._read += len(data)
        if data and self._ws.state is not ConnectionState.CLOSED:
            self._ws.receive_data(data)
        for event in self._ws.events():
            self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, TextMessage):
            assert event.message_finished, "the bridge sends whole messages"
            self.frames.append(msgspec.json.decode(event.data))
        elif isinstance(event, CloseConnection):
            self.closed = int(event.code), event.reason or ""
            if self._ws.state is ConnectionState.REMOTE_CLOSING:
                self.client.send(self._ws.send(event.response()))
        elif isinstance(event, Ping):
            self.pings += 1
            if self._answers_pings:
                self.client.send(self._ws.send(event.response()))
        elif isinstance(event, Pong):
            self.pongs += 1
        elif isinstance(event, AcceptConnection):
            self.protocol = event.subprotocol
        elif isinstance(event, RejectConnection):
            self.rejected = event.status_code

    def send(self, event: Event) -> None:
        """One event of wsproto."""
        self.client.send(self._ws.send(event))
        self.read()

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self.client.send(data)
        self.read()

    def text(self, text: str) -> None:
        """One message of text."""
        self.send(TextMessage(text))

    def say(self, op: str, **fields: Any) -> None:
        """One frame."""
        self.text(msgspec.json.encode({"op": op, **fields}).decode())

    def next(self, op: str, **fields: Any) -> dict[str, Any]:
        """The next frame of this kind with these fields, once it is there; others stay."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            self.read()
            for frame in self.frames:
                if frame["op"] == op and all(frame.get(name) == value for name, value in fields.items()):
                    found.append(frame)
                    return True
            return False

        self._web.site.until(look, what=f"a frame {op} {fields}, not only {self.frames} {self.closed}")
        self.frames.remove(found[0])
        return found[0]

    def ended(self) -> tuple[int, str]:
        """Code and reason of the close, once it is there."""

        def look() -> bool:
            self.read()
            return self.closed is not None

        self._web.site.until(look, what="a close")
        assert self.closed is not None
        return self.closed

    def leave(self, clean: bool = False) -> None:
        """Hang up without a word."""
        self.client.leave(clean)
