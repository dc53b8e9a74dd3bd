"""The newest event of each program, in a block of memory that may be a file's."""

from __future__ import annotations

import hashlib
import mmap
import struct
from typing import Final

__all__ = ["SIZE", "SLOTS", "Ledger"]

#: Programs that are remembered.
SLOTS: Final = 16_384
_MAGIC: Final = b"nodeset center 1"
_SLOT: Final = struct.Struct("<16sQ")
_NUMBER: Final = struct.Struct("<Q")
_EMPTY: Final = b"\0" * 16
_MOST: Final = 2**64 - 1
#: Bytes of the block.
SIZE: Final = len(_MAGIC) + SLOTS * _SLOT.size


class Ledger:
    """Keeps `Memory` in a block of `SIZE` bytes, each number at a place of its own.

    A process that is killed leaves in a mapped file all that it had noted. What is no ledger is made an empty one. When all
    places are taken, the one of the program that was silent for longest is taken again.
    """

    def __init__(self, block: bytearray | mmap.mmap) -> None:
        self._block = block
        #: The places by key, in the order in which they were noted; those of an earlier process by digest.
        self._places: dict[str | bytes, int] = {}
        if block[: len(_MAGIC)] != _MAGIC:
            block[:] = _MAGIC + bytes(SIZE - len(_MAGIC))
        self._free: list[int] = []
        for place in range(len(_MAGIC), SIZE, _SLOT.size):
            digest, _seq = _SLOT.unpack_from(block, place)
            if digest == _EMPTY:
                self._free.append(place)
            else:
                self._places[digest] = place
        self._free.reverse()

    def last(self, key: str) -> int:
        """See `Memory`."""
        place = self._places.get(key)
        if place is None:
            digest = _digest(key)
            place = self._places.pop(digest, None)
            if place is None:
                return 0
            self._places[key] = place
        seq: int = _NUMBER.unpack_from(self._block, place + 16)[0]
        return seq

    def note(self, key: str, seq: int) -> None:
        """See `Memory`."""
        place = self._places.pop(key, None)
        if place is not None:
            _NUMBER.pack_into(self._block, place + 16, min(seq, _MOST))
        else:
            digest = _digest(key)
            place = self._places.pop(digest, None)
            if place is None:
                place = self._free.pop() if self._free else self._places.pop(next(iter(self._places)))
            _SLOT.pack_into(self._block, place, digest, min(seq, _MOST))
        self._places[key] = place


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=16).digest()
