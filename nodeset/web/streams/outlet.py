"""The way out of one stream: at once while the client keeps up, within bounds when it does not.

What is written goes to the socket in the same turn, past the buffers of Twisted's, which would send it in the next one with two
system calls more that tell nobody anything. What the socket does not take is Twisted's matter, up to the 64 KiB at which it
asks for a pause; the rest waits here as batches, whose bytes all clients share, until Twisted asks for more.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.tcp import Connection
from zope.interface import implementer

from nodeset.web.feeds.formats import Batch
from nodeset.web.streams.forms import Form
from nodeset.web.streams.framing import framed

__all__ = ["Outlet"]


@implementer(IPushProducer)
class Outlet:
    """The way out of one connection, which takes what twisted.web's would as well.

    :param transport: of the connection.
    :param chunked: whether what is written has to be a chunk of HTTP/1.1.
    :param max_events: how many may wait, `max_bytes` of them, beside what a client that comes back has to hear first.
    :ivar is_full: whether the connection takes no more for now.
    """

    __slots__ = (
        "_chunked",
        "_direct",
        "_form",
        "_key",
        "_left",
        "_max_bytes",
        "_max_events",
        "_transport",
        "_waiting",
        "_waiting_bytes",
        "_waiting_events",
        "is_full",
    )

    def __init__(self, transport: Any, form: Form, chunked: bool, max_events: int, max_bytes: int) -> None:
        self._transport, self._form, self._chunked = transport, form, chunked
        self._key = f"{form.name}/{chunked:d}"
        self._direct = isinstance(transport, Connection) and not getattr(transport, "TLS", False)
        self._max_events, self._max_bytes = max_events, max_bytes
        self._waiting: deque[tuple[Batch | bytes, bool]] = deque()
        self._waiting_events = self._waiting_bytes = 0
        self.is_full = False
        self._left = -1

    def write(self, batch: Batch) -> str:
        """Send it, or let it wait; '' for done, else of what too much would wait: `events`, `bytes`."""
        if not self.is_full:
            self._send(self._written(batch))
            return ""
        if self._waiting_events + len(batch.entries) > self._max_events:
            return "events"
        if self._waiting_bytes + batch.size > self._max_bytes:
            return "bytes"
        self._waiting.append((batch, True))
        self._waiting_events += len(batch.entries)
        self._waiting_bytes += batch.size
        return ""

    def begin(self, batch: Batch) -> None:
        """Send it, or let it wait beside the bounds: it is what a client that comes back has to hear first."""
        if self.is_full:
            self._waiting.append((batch, False))
        else:
            self._send(self._written(batch))

    def say(self, data: bytes) -> None:
        """Send a few words, in their order."""
        if self.is_full:
            self._waiting.append((data, False))
        elif data:
            self._send(framed(data) if self._chunked else data)

    def part(self, data: bytes) -> None:
        """Send the last words, in place of all that waits."""
        self.clear()
        self._transport.write(framed(data) if self._chunked else data)

    def hasMoved(self) -> bool:
        """Whether the client took anything since this was asked the last time, while it was full."""
        transport, before = self._transport, self._left
        # Of TLS nobody knows how much is left: there all that was on its way has to leave in that time.
        self._left = len(transport.dataBuffer) - transport.offset + transport._tempDataLen if self._direct else 0
        return self._left != before

    def clear(self) -> int:
        """Let nothing wait any more; returns how many events did."""
        dropped = self._waiting_events
        self._waiting.clear()
        self._waiting_events = self._waiting_bytes = 0
        return dropped

    def _written(self, batch: Batch) -> bytes:
        data = batch.kept.get(self._key)
        if data is None:
            data = self._form.of(batch)
            if self._chunked:
                data = framed(data)
            batch.kept[self._key] = data
        return data

    def _send(self, data: bytes) -> None:
        transport = self._transport
        if (
            self._direct
            and not transport.dataBuffer
            and not transport._tempDataBuffer
            and transport.connected
            and not transport.disconnecting
            and not transport._aborting
        ):
            try:
                sent = transport.socket.send(data)
            except OSError:  # it is full, or broken, which Twisted finds out in a turn of its own
                sent = 0
            if sent == len(data):
                return
            if sent:
                data = data[sent:]
        transport.write(data)

    # -- as the transport wants it

    def pauseProducing(self) -> None:
        """There is no room."""
        self.is_full = True

    def resumeProducing(self) -> None:
        """There is room again."""
        self.is_full = False
        self._left = -1
        waiting = self._waiting
        while waiting and not self.is_full:
            what, counts = waiting.popleft()
            if isinstance(what, bytes):
                self.say(what)
                continue
            if counts:
                self._waiting_events -= len(what.entries)
                self._waiting_bytes -= what.size
            self._send(self._written(what))

    def stopProducing(self) -> None:
        """The client has gone, which its request hears as well."""
