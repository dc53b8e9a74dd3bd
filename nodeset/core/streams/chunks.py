"""The frames of a stream, as they travel in the batches of a link between two nodes.

    -> WRITE, PUSH    number, a chunk, or a piece of a large one; PUSH asks for the result of taking it
    <- TOOK           all chunks up to this number were taken: there is room again
    <- RESULT         number, JSON: the chunk was taken, with this result
    <- FAILED         number, text: the chunk was taken, with this error
    -> HEARD          all results up to this number were heard
    -> END            nothing follows
    <- END            all was taken; or, unasked and with a reason, no more is
    <-> BEAT          somebody is here

A frame is a kind, a number, the size of the whole chunk, the size of what follows here, then that. It is 17 bytes with the
data behind it, not a msgpack array, so that a chunk is copied once at each end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from nodeset.errors import ProtocolError

__all__ = ["MAX_CHUNK", "OVERHEAD", "PIECE", "Kind", "pack", "pieces", "unpack"]

#: Bytes of one chunk, encoded.
MAX_CHUNK: Final = 16 * 1024 * 1024
#: Bytes of a chunk that travel at a time.
PIECE: Final = 256 * 1024
#: What a chunk counts beside its bytes: empty ones cost as well.
OVERHEAD: Final = 64

_HEAD = struct.Struct("<BQII")


class Kind(IntEnum):
    """What a frame says."""

    WRITE = 1
    PUSH = 2
    TOOK = 3
    RESULT = 4
    FAILED = 5
    HEARD = 6
    END = 7
    BEAT = 8


_KINDS: Final = {int(kind): kind for kind in Kind}
_CHUNKS: Final = frozenset({Kind.WRITE, Kind.PUSH})


def pack(kind: Kind, number: int = 0, body: bytes = b"") -> bytes:
    """One frame that is no part of a larger one."""
    size = len(body)
    return _HEAD.pack(kind, number, size, size) + body


def pieces(kind: Kind, number: int, chunk: bytes) -> Iterator[bytes]:
    """The frames of a chunk, each to be sent by itself."""
    whole = len(chunk)
    if whole <= PIECE:
        yield _HEAD.pack(kind, number, whole, whole) + chunk
        return
    for begin in range(0, whole, PIECE):
        piece = chunk[begin : begin + PIECE]
        yield _HEAD.pack(kind, number, whole, len(piece)) + piece


def unpack(batch: bytes) -> Iterator[tuple[Kind, int, int, bytes]]:
    """Kind, number, size of the whole, body of each frame. Raises `ProtocolError` at the first that is none.

    Sizes are checked before anybody keeps anything: a whole is `MAX_CHUNK` at most, only chunks come in pieces.
    """
    at, end = 0, len(batch)
    while at < end:
        try:
            code, number, whole, size = _HEAD.unpack_from(batch, at)
        except struct.error:
            raise ProtocolError("a frame of a stream is cut off") from None
        kind = _KINDS.get(code)
        at += _HEAD.size
        if kind is None:
            raise ProtocolError(f"{code} is no frame of a stream")
        if whole > MAX_CHUNK:
            raise ProtocolError(f"a chunk of {whole} bytes, the limit is {MAX_CHUNK}: push less at once")
        if size > end - at:
            raise ProtocolError("a frame of a stream is cut off")
        if size > whole or (size < whole and (kind not in _CHUNKS or not size)):
            raise ProtocolError(f"{size} of {whole} bytes cannot be a frame of a stream")
        yield kind, number, whole, batch[at : at + size]
        at += size
