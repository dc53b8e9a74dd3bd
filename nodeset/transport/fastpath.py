"""The Banana of one call, `batch(bytes)`, without Foolscap's slicers.

    OPEN n, VOCAB call, INT 0, INT clid, STRING "batch", OPEN n+1, VOCAB arguments, INT 1, STRING data, CLOSE n+1, CLOSE n

A stock peer cannot tell: these are the bytes that its own Foolscap would write, which `isUsable` verifies before the first Tub
is made. What is not exactly such a call, or comes while Foolscap is in the middle of something, goes the stock way, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from foolscap.broker import Broker
from foolscap.referenceable import RemoteReference, RemoteReferenceTracker
from foolscap.vocab import INITIAL_VOCAB_TABLES
from twisted.internet.testing import StringTransport
from twisted.logger import Logger

from nodeset.core.batch import MAX_BATCH
from nodeset.transport.broker import BoundedBroker
from nodeset.transport.faces import LinkFace
from nodeset.transport.outlet import makeOutlet

__all__ = ["FastBroker", "brokerClass", "isUsable"]

_log = Logger()

_INT, _STRING, _VOCAB, _OPEN, _CLOSE = 0x81, 0x82, 0x87, 0x88, 0x89
#: The table of words that both sides start with; Foolscap has had no other since 2008.
_VOCABULARY = 1


def _token(kind: int, number: int) -> bytes:
    """A token without a body: its number in base 128, lowest digit first, then its kind."""
    written = bytearray()
    while number or not written:
        written.append(number & 0x7F)
        number >>= 7
    written.append(kind)
    return bytes(written)


def _read(chunk: bytes, at: int, kind: int) -> tuple[int, int]:
    """The number of the token of `kind` at `at`, with where the next one begins: -1 for another kind, or half a token."""
    number = shift = 0
    for index in range(at, min(at + 6, len(chunk))):
        byte = chunk[index]
        if byte >= 0x80:
            return (number, index + 1) if byte == kind and index > at else (0, -1)
        number |= byte << shift
        shift += 7
    return 0, -1


_WORDS = {word: number for number, word in enumerate(INITIAL_VOCAB_TABLES[_VOCABULARY])}
#: Foolscap writes such a word as its number, wherever it stands.
_LONGEST_WORD = max(map(len, _WORDS))
_CALL = _token(_VOCAB, _WORDS[b"call"]) + _token(_INT, 0)
_NAME = _token(_STRING, 5) + b"batch"
_ARGUMENTS = _token(_VOCAB, _WORDS[b"arguments"]) + _token(_INT, 1)


def _written(opened: int, clid: int, data: bytes) -> bytes:
    """The call as bytes; `opened` is the number of its OPEN."""
    inner = opened + 1
    return b"".join(
        (
            _token(_OPEN, opened),
            _CALL,
            _token(_INT, clid),
            _NAME,
            _token(_OPEN, inner),
            _ARGUMENTS,
            _token(_STRING, len(data)),
            data,
            _token(_CLOSE, inner),
            _token(_CLOSE, opened),
        )
    )


def _head(chunk: bytes, at: int) -> tuple[int, int, int, bytes] | None:
    """What begins at `at`: the clid, where the data begins, its length, how the frame must end; None if it is no such call.

    Half a head counts as none: the stock way is patient.
    """
    opened, at = _read(chunk, at, _OPEN)
    if at < 0 or not chunk.startswith(_CALL, at):
        return None
    clid, at = _read(chunk, at + len(_CALL), _INT)
    if at < 0 or not chunk.startswith(_NAME, at):
        return None
    inner, at = _read(chunk, at + len(_NAME), _OPEN)
    if at < 0 or not chunk.startswith(_ARGUMENTS, at):
        return None
    length, at = _read(chunk, at + len(_ARGUMENTS), _STRING)
    if at < 0 or length > MAX_BATCH:
        return None
    return clid, at, length, _token(_CLOSE, inner) + _token(_CLOSE, opened)


class FastBroker(BoundedBroker):
    """A broker that writes and reads batches by itself, while Foolscap is at rest."""

    def initReceive(self) -> None:
        """Prepare to receive."""
        super().initReceive()
        self._parts: list[bytes] = []
        self._missing = 0
        self._write: Callable[[bytes], object] | None = None

    # -- out

    def sendBatch(self, clid: int, data: bytes) -> bool:
        """Write `batch(data)` to the peer's object `clid`; False when Foolscap has something to finish first."""
        root = self.rootSlicer
        if self.disconnected or len(self.slicerStack) != 1 or root.sendQueue or root.producingDeferred is None:
            return False
        if len(data) <= _LONGEST_WORD and data in _WORDS:
            return False
        opened = self.openCount
        self.openCount += 2
        if self._write is None:
            outlet = makeOutlet(self.transport)
            self._write = self.transport.write if outlet is None else outlet.write
        self._write(_written(opened, clid, data))
        return True

    # -- in

    def receive(self, chunk: bytes) -> None:
        """Take in what the guard has let pass."""
        if self._missing:
            self._parts.append(chunk)
            self._missing -= len(chunk)
            if self._missing > 0:
                return
            chunk = b"".join(self._parts)
            self._parts.clear()
            self._missing = 0
        at = 0
        while at < len(chunk) and not self.connectionAbandoned:
            head = _head(chunk, at) if self._atRest() else None
            if head is None:
                super().receive(chunk[at:] if at else chunk)
                return
            clid, begin, length, close = head
            end = begin + length + len(close)
            if end > len(chunk):
                self._parts.append(chunk[at:] if at else chunk)
                self._missing = end - len(chunk)
                return
            face = self._face(clid)
            if face is None or not chunk.startswith(close, begin + length):
                super().receive(chunk[at:] if at else chunk)
                return
            self.objectCounter += 2
            face.remote_batch(chunk[begin : begin + length])
            at = end

    def _atRest(self) -> bool:
        """Whether Foolscap's parser is between two calls, with none waiting that came earlier."""
        return (
            len(self.receiveStack) == 1
            and not self.inOpen
            and not self.discardCount
            and not self.skipBytes
            and not len(self.buffer)
            and not self.inboundDeliveryQueue
            and not self._waiting_for_call_to_be_ready
            and not self.disconnected
        )

    def _face(self, clid: int) -> LinkFace | None:
        tracker = self.myReferenceByCLID.get(clid)
        face = getattr(tracker, "obj", None)
        return face if isinstance(face, LinkFace) else None


@cache
def isUsable() -> bool:
    """Whether the Foolscap that is installed writes a batch as we do; if not, says so once."""
    try:
        problem = "" if _stock(3, b"x" * 300) == _written(0, 3, b"x" * 300) else "it writes calls otherwise"
        wanted = ("receiveStack", "inOpen", "discardCount", "skipBytes", "buffer", "objectCounter", "openCount")
        missing = [name for name in (*wanted, "inboundDeliveryQueue", "slicerStack") if not hasattr(_broker(), name)]
        problem = problem or (f"it has no {', '.join(missing)}" if missing else "")
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        _log.warn("this Foolscap is not the one we know, batches go its slow way: {problem}", problem=problem)
    return not problem


def brokerClass() -> type[BoundedBroker]:
    """The broker for a new Tub: the fast one where it is usable."""
    return FastBroker if isUsable() else BoundedBroker


def _broker() -> Any:
    broker: Any = Broker(None, {"initial-vocab-table-index": _VOCABULARY})
    broker.makeConnection(StringTransport())
    return broker


def _stock(clid: int, data: bytes) -> bytes:
    """What Foolscap itself writes for such a call."""
    broker = _broker()
    RemoteReference(RemoteReferenceTracker(broker, clid, None, None)).callRemoteOnly("batch", data)
    written: bytes = broker.transport.value()
    return written
