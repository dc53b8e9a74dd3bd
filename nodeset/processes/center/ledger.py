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
#: The place of a program, the number of its event, the file with the size that it has once the event's line is written.
_INTENT: Final = struct.Struct("<QQQQ")
_START: Final = len(_MAGIC) + _INTENT.size
_SLOT: Final = struct.Struct("<16sQ")
_NUMBER: Final = struct.Struct("<Q")
_EMPTY: Final = b"\0" * 16
_MOST: Final = 2**64 - 1
#: Bytes of the block.
SIZE: Final = _START + SLOTS * _SLOT.size


class Ledger:
    """Keeps in a block of `SIZE` bytes how far the events of each program have come, each at a place of its own.

    A process that is killed leaves in a mapped file all that it had noted. What is no ledger is made an empty one. When all
    places are taken, the one of the program that was silent for longest is taken again.

    To write a line, then to note it, are two steps: who is killed in between has told by `intend` what he was about to write,
    so that `settle` can find out whether it was.
    """

    def __init__(self, block: bytearray | mmap.mmap) -> None:
        self._block = block
        #: The places by key, in the order in which they were noted; those of an earlier process by digest.
        self._places: dict[str | bytes, int] = {}
        if block[: len(_MAGIC)] != _MAGIC:
            block[:] = _MAGIC + bytes(SIZE - len(_MAGIC))
        self._free: list[int] = []
        for place in range(_START, SIZE, _SLOT.size):
            digest, _seq = _SLOT.unpack_from(block, place)
            if digest == _EMPTY:
                self._free.append(place)
            else:
                self._places[digest] = place
        self._free.reverse()

    def last(self, key: str) -> int:
        """The number of the newest event of this key, 0 for none."""
        place = self._find(key)
        seq: int = 0 if place is None else _NUMBER.unpack_from(self._block, place + 16)[0]
        return seq

    def note(self, key: str, seq: int) -> None:
        """`seq` is the newest one."""
        place = self._places.pop(key, None) or self._take(key)
        _NUMBER.pack_into(self._block, place + 16, min(seq, _MOST))
        self._places[key] = place

    def intend(self, key: str, seq: int, file: int, end: int) -> None:
        """The line of this event is about to be written: this file, by its number, will have `end` bytes then."""
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = self._take(key)
        _INTENT.pack_into(self._block, len(_MAGIC), place, min(seq, _MOST), file, end)

    def settle(self, file: int, size: int) -> bool:
        """This is the file now, its last line whole: note what was written and not noted; whether there was such an event."""
        place, seq, intended, end = _INTENT.unpack_from(self._block, len(_MAGIC))
        is_place = _START <= place <= SIZE - _SLOT.size and not (place - _START) % _SLOT.size
        if not is_place or (file, size >= end) != (intended, True):
            return False
        was: int = _NUMBER.unpack_from(self._block, place + 16)[0]
        if was >= seq:
            return False
        _NUMBER.pack_into(self._block, place + 16, seq)
        return True

    def _find(self, key: str) -> int | None:
        place = self._places.get(key)
        if place is None:
            place = self._places.pop(_digest(key), None)
            if place is not None:
                self._places[key] = place
        return place

    def _take(self, key: str) -> int:
        """A place for a key that has none in this process yet."""
        digest = _digest(key)
        place = self._places.pop(digest, None)
        if place is None:
            place = self._free.pop() if self._free else self._places.pop(next(iter(self._places)))
            _SLOT.pack_into(self._block, place, digest, 0)
        return place


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=16).digest()
