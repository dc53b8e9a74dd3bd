"""Bytes or text, in the pieces as they came."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

__all__ = ["Pieces"]

T = TypeVar("T", bytes, str)


class Pieces(Generic[T]):
    """What came of a stream, not yet taken: added at its end in pieces, taken from its start in lines or by length.

    No piece is joined before it is taken nor searched twice, so a line of 50 MB costs as much as 50 MB of short ones.

    :param empty: ``b""`` or ``""``, for what this shall hold.
    :param newline: what ends a line, the newline itself in bytes or text.
    """

    def __init__(self, empty: T, newline: T) -> None:
        self._empty: T = empty
        self._newline: T = newline
        self._pieces: deque[T] = deque()
        #: So much of the first piece is taken.
        self._start = 0
        self._length = 0
        #: So many pieces hold no newline, together so long.
        self._dry = 0
        self._dry_length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, piece: T) -> None:
        """Put this behind the rest."""
        if piece:
            self._pieces.append(piece)
            self._length += len(piece)

    def findLine(self) -> int:
        """The length of the first line with its newline; 0 where no line has ended."""
        while self._dry < len(self._pieces):
            piece = self._pieces[self._dry]
            start = 0 if self._dry else self._start
            found = piece.find(self._newline, start)
            if found >= 0:
                return self._dry_length + found + 1 - start
            self._dry += 1
            self._dry_length += len(piece) - start
        return 0

    def take(self, size: int) -> T:
        """The first `size` of it, or all if it is less."""
        if self._pieces and (end := self._start + size) < len(piece := self._pieces[0]):
            # As most lines are: within the first piece.
            part = piece[self._start : end]
            self._start = end
            self._length -= size
            self._dry = self._dry_length = 0
            return part
        taken: list[T] = []
        left = min(size, self._length)
        self._length -= left
        while left:
            piece = self._pieces[0]
            end = min(len(piece), self._start + left)
            left -= end - self._start
            taken.append(piece if end - self._start == len(piece) else piece[self._start : end])
            if end < len(piece):
                self._start = end
            else:
                self._pieces.popleft()
                self._start = 0
        self._dry = self._dry_length = 0
        return taken[0] if len(taken) == 1 else self._empty.join(taken)
