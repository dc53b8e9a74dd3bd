"""Refuse a Banana token on its header."""

from __future__ import annotations

from typing import NoReturn

from nodeset.errors import ProtocolError

__all__ = ["LONGEST_ERROR", "LONGEST_HEADER", "LONGEST_NUMBER", "TokenGuard"]

# The type bytes of foolscap.tokens, repeated because only transport/tub.py may import Foolscap.
_LIST = 0x80
_INT = 0x81
_STRING = 0x82
_NEG = 0x83
_FLOAT = 0x84
_LONGINT = 0x85
_LONGNEG = 0x86
_VOCAB = 0x87
_OPEN = 0x88
_CLOSE = 0x89
_ABORT = 0x8A
_ERROR = 0x8D
_PING = 0x8E
_PONG = 0x8F

_BARE = frozenset({_INT, _NEG, _VOCAB, _ABORT, _PING, _PONG})

# Foolscap's own limits (Banana.handleData, tokens.SIZE_LIMIT): what passes here must not surprise it later.
LONGEST_HEADER = 64
LONGEST_ERROR = 1000
# Our numbers have 64 bits; Foolscap takes time that grows with the square of the length to read a longer one.
LONGEST_NUMBER = 16
# What a token counts beside its body when a whole structure is measured: at least a pointer to what it becomes.
_TOKEN = 8
# Room for all of a structure that is not its one long string, or its many short ones.
_ROOM = 64 * 1024


class TokenGuard:
    """Walk the tokens that a peer sends, without keeping them.

    `limit` is the longest string in bytes, to be changed at any time (it counts from the next header on); a whole structure,
    from the first OPEN to its CLOSE, may take twice that. `depth` is how many OPEN may be open at once. Once a token was
    refused, all that follows is refused with the same words.
    """

    __slots__ = ("_header", "_open", "_refusal", "_shift", "_skip", "_spent", "depth", "limit")

    def __init__(self, limit: int, depth: int = 64) -> None:
        self.limit = limit
        self.depth = depth
        self._open = 0
        self._header = 0
        self._shift = 0
        self._skip = 0
        self._spent = 0
        self._refusal: str | None = None

    @property
    def atRest(self) -> bool:
        """Whether what was fed ends between two structures, with nothing refused."""
        return not (self._open or self._skip or self._shift or self._refusal)

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes, cut anywhere. ProtocolError at the first header that says too much, whether or not
        any of its body has come: give a chunk to Foolscap only after it has passed here.
        """
        if self._refusal is not None:
            raise ProtocolError(self._refusal)
        size = len(chunk)
        position = self._skip
        # Plain local integers: this runs for every byte outside a body.
        header = self._header
        shift = self._shift
        spent = self._spent
        while position < size:
            byte = chunk[position]
            position += 1
            if byte < 0x80:
                header |= byte << shift
                shift += 7
                if shift > 7 * LONGEST_HEADER:
                    self._refuse(f"a token header of more than {LONGEST_HEADER} bytes")
                continue
            if byte == _STRING:
                if header > self.limit:
                    self._refuse(f"a string of {_count(header)} bytes, the limit here is {self.limit}: send less at once")
                position += header
                spent += header
            elif byte == _OPEN:
                if not self._open:
                    spent = 0
                self._open += 1
                if self._open > self.depth:
                    self._refuse(f"structures nested deeper than {self.depth}")
            elif byte == _CLOSE:
                if not self._open:
                    self._refuse("a CLOSE without its OPEN")
                self._open -= 1
            elif byte not in _BARE:
                position += self._measure(byte, header)
            spent += _TOKEN
            if spent > 2 * self.limit + _ROOM and self._open:
                self._refuse(f"a structure of more than {2 * self.limit + _ROOM} bytes: send less at once")
            header = shift = 0
        self._header = header
        self._shift = shift
        self._skip = position - size
        self._spent = spent

    def _measure(self, byte: int, header: int) -> int:
        """The length of the body of a rare token, or refuse it."""
        if byte == _FLOAT:
            return 8
        if byte in (_LONGINT, _LONGNEG):
            if header > LONGEST_NUMBER:
                self._refuse(f"a number of {_count(header)} bytes, the limit is {LONGEST_NUMBER}: keep to 64 bits")
            return header
        if byte == _ERROR:
            longest = min(LONGEST_ERROR, self.limit)
            if header > longest:
                self._refuse(f"an error text of {_count(header)} bytes, the limit is {longest}")
            return header
        if byte == _LIST:
            self._refuse("the LIST token of old Banana, which Foolscap does not read: use Foolscap 0.8 or newer")
        self._refuse(f"an unknown token type 0x{byte:02x}: this is not Foolscap's Banana")

    def _refuse(self, what: str) -> NoReturn:
        self._refusal = f"the peer sent {what}"
        raise ProtocolError(self._refusal)


def _count(number: int) -> str:
    # A header can hold 448 bits; nobody wants to read 135 digits.
    return str(number) if number < 1 << 64 else "over 2**64"
