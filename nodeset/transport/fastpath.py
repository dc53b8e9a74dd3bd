"""The Banana of one call, `batch(bytes)`, without Foolscap's slicers.

    OPEN n, VOCAB call, INT 0, INT clid, STRING "batch", OPEN n+1, VOCAB arguments, INT 1, STRING data, CLOSE n+1, CLOSE n

A stock peer cannot tell: these are the bytes that its own Foolscap would write, which `isUsable` verifies before the first Tub
is made. What is not exactly such a call, or comes while Foolscap is in the middle of something, goes the stock way, in order.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from foolscap.broker import Broker
from foolscap.referenceable import RemoteReference, RemoteReferenceTracker
from foolscap.vocab import INITIAL_VOCAB_TABLES
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.core.batch import MAX_BATCH
from nodeset.transport.broker import BoundedBroker
from nodeset.transport.faces import LinkFace
from nodeset.transport.inlet import Inlet
from nodeset.transport.outlet import Outlet
from nodeset.transport.wire import isOurs

__all__ = ["FastBroker", "brokerClass", "isUsable"]

_log = Logger()

_INT, _STRING, _VOCAB, _OPEN, _CLOSE = 0x81, 0x82, 0x87, 0x88, 0x89
#: The table of words that both sides start with; Foolscap has had no other since 2008.
_VOCABULARY = 1
_NUMBER = rb"([\x00-\x7f]{1,5})"


def _digits(number: int) -> bytes:
    """A number in base 128, lowest digit first."""
    if number < 0x80:
        return _SMALL[number]
    written = bytearray()
    while number:
        written.append(number & 0x7F)
        number >>= 7
    return bytes(written)


def _value(digits: bytes) -> int:
    """The number that such digits stand for."""
    number = 0
    for digit in reversed(digits):
        number = number << 7 | digit
    return number


_SMALL = [bytes((number,)) for number in range(0x80)]
_WORDS = {word: number for number, word in enumerate(INITIAL_VOCAB_TABLES[_VOCABULARY])}
#: Foolscap writes such a word as its number, wherever it stands.
_LONGEST_WORD = max(map(len, _WORDS))
#: What stands between the numbers of a call, each of which follows its digits.
_CALL = bytes((_OPEN, *_digits(_WORDS[b"call"]), _VOCAB, 0, _INT))
_NAME = bytes((_INT, 5, _STRING)) + b"batch"
_ARGUMENTS = bytes((_OPEN, *_digits(_WORDS[b"arguments"]), _VOCAB, 1, _INT))
_DATA, _END = bytes((_STRING,)), bytes((_CLOSE,))
#: What a call begins with: the digits of its OPEN, of the clid, of the inner OPEN, of the length. A stranger's zeros go on for
#: ever, ours have five digits at most.
_HEAD = re.compile(_NUMBER.join((b"", *map(re.escape, (_CALL, _NAME, _ARGUMENTS, _DATA)))), re.DOTALL)


def _written(opened: int, clid: int, data: bytes) -> bytes:
    """The call as bytes; `opened` is the number of its OPEN."""
    outer, inner = _digits(opened), _digits(opened + 1)
    length = _digits(len(data))
    return b"".join((outer, _CALL, _digits(clid), _NAME, inner, _ARGUMENTS, length, _DATA, data, inner, _END, outer, _END))


def _head(chunk: bytes, at: int) -> tuple[int, int, int, bytes] | None:
    """What begins at `at`: the clid, where the data begins, its length, how the frame must end; None if it is no such call.

    Half a head counts as none: the stock way is patient.
    """
    head = _HEAD.match(chunk, at)
    if head is None:
        return None
    outer, clid, inner, digits = head.groups()
    length = _value(digits)
    if length > MAX_BATCH:
        return None
    return _value(clid), head.end(), length, inner + _END + outer + _END


class FastBroker(BoundedBroker):
    """A broker that writes and reads batches by itself, while Foolscap is at rest."""

    def initReceive(self) -> None:
        """Prepare to receive."""
        super().initReceive()
        self._parts: list[bytes] = []
        self._missing = 0
        self._inlet: Inlet | None = None

    def connectionMade(self) -> None:
        """Take over: the connection speaks TLS by now."""
        base: Any = super()
        base.connectionMade()
        self._write: Callable[[bytes], object] = self.transport.write
        if isOurs(self.transport):
            self._inlet = Inlet(self.transport, self.dataReceived)
            self._write = Outlet(self.transport).write

    def connectionLost(self, why: Failure) -> None:
        """Let go: who keeps a reference to the peer for long shall not keep its TLS."""
        if self._inlet is not None:
            self._inlet.close()
            self._inlet = None
            self._write = self.transport.write
        base: Any = super()
        base.connectionLost(why)

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
        self._write(_written(opened, clid, data))
        return True

    # -- in

    def dataReceived(self, chunk: bytes) -> None:
        """Look first, then receive; a whole batch that is short enough has been looked at when its head was read."""
        at = 0
        while self.guard.atRest and self._atRest() and not self._missing and not self.connectionAbandoned:
            head = _head(chunk, at)
            if head is None:
                break
            clid, begin, length, close = head
            end = begin + length
            face = self._face(clid)
            if face is None or length > self.guard.limit or not chunk.startswith(close, end):
                break
            self.objectCounter += 2
            face.remote_batch(chunk[begin:end])
            at = end + len(close)
            if at == len(chunk):
                return
        super().dataReceived(chunk[at:] if at else chunk)

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


class _Paper:
    """A transport that keeps what is written; Twisted's own one for tests would load doctest, pdb with all that they need."""

    def __init__(self) -> None:
        self.write = (written := list[bytes]()).append
        self.written = written


def _broker() -> Any:
    broker: Any = Broker(None, {"initial-vocab-table-index": _VOCABULARY})
    broker.makeConnection(_Paper())
    return broker


def _stock(clid: int, data: bytes) -> bytes:
    """What Foolscap itself writes for such a call."""
    broker = _broker()
    RemoteReference(RemoteReferenceTracker(broker, clid, None, None)).callRemoteOnly("batch", data)
    return b"".join(broker.transport.written)
