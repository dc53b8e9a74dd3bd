"""Which grants were revoked.

    nodeset revocations 1
    <id> <root> <expires or never> <checksum>          one line for each; `root` is the id of the first link of the chain

The only thing beside keys that a dispatcher has on disk. It ends with the grant: what has expired needs no revocation.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from nodeset.errors import Refused, StateUnusable

__all__ = ["HEADER", "MAX_OF_ONE", "MAX_REVOKED", "Revocation", "Revocations", "readLines"]

HEADER: Final = "nodeset revocations 1"
#: Revocations that are kept at a time; those of them that concern what one grant of the owner's has become.
MAX_REVOKED: Final = 100_000
MAX_OF_ONE: Final = 1_000

_LINE: Final = re.compile(r"([0-9a-f]{24}) ([0-9a-f]{24}|-) ([0-9]{1,16}|never) ([0-9a-f]{8})")


@attrs.frozen
class Revocation:
    """This grant is worth nothing, nor what derives from it, until it `expires` (in Unix time; None is never).

    `root` is the id of the owner's grant that it came from, empty when nobody said.
    """

    id: str
    root: str
    expires: int | None

    def line(self) -> str:
        """As it stands in the file."""
        text = f"{self.id} {self.root or '-'} {'never' if self.expires is None else self.expires}"
        return f"{text} {zlib.crc32(text.encode()):08x}"


def readLines(text: str, notes: list[str]) -> list[Revocation]:
    """The revocations in the text of a file. Raises `StateUnusable` for one that is damaged.

    What is cut off at the very end was never said to be revoked: it is passed over, with a note.
    """
    lines = text.split("\n")
    if lines[0] != HEADER:
        raise StateUnusable(f"line 1 is not {HEADER!r}: bring the file back; without it revoked grants would count again")
    found = []
    for number, line in enumerate(lines[1:], 2):
        match = _LINE.fullmatch(line)
        if match is None or zlib.crc32(line[:-9].encode()) != int(match[4], 16):
            if number == len(lines):
                if line:
                    notes.append(f"line {number} is cut off, as by a crash before it was answered: it is passed over")
                continue
            raise StateUnusable(f"line {number} is damaged: bring the file back, or take the line out if you must")
        expires = None if match[3] == "never" else int(match[3])
        found.append(Revocation(match[1], "" if match[2] == "-" else match[2], expires))
    return found


class Revocations:
    """The revocations that count, in memory.

    :param keep: called with one more before it counts; raises `StateUnusable` when it cannot be kept.
    :param rewrite: called with all that are left, when some have expired and room was needed.
    """

    def __init__(
        self,
        known: Iterable[Revocation] = (),
        keep: Callable[[Revocation], None] = lambda revocation: None,
        rewrite: Callable[[list[Revocation]], None] = lambda revocations: None,
    ) -> None:
        self._keep, self._rewrite = keep, rewrite
        self._known: dict[str, Revocation] = {}
        self._roots: Counter[str] = Counter()
        for revocation in known:
            self._note(revocation)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, grant: str) -> bool:
        return grant in self._known

    def add(self, revocation: Revocation, owner: bool, now: float) -> None:
        """Note it. Raises `Refused` when there are too many, `StateUnusable` when it cannot be kept.

        :param owner: whether an owner says so: all others share what there is room for with those of the same root.
        :param now: Unix time.
        """
        if revocation.id in self._known:
            return
        if len(self._known) >= MAX_REVOKED or self._roots[revocation.root] >= MAX_OF_ONE:
            self._prune(now)
        if len(self._known) >= MAX_REVOKED:
            raise Refused(f"{MAX_REVOKED} grants are revoked already: revoke the one that they came from, give it an expiry")
        if not owner and self._roots[revocation.root] >= MAX_OF_ONE:
            raise Refused(f"{MAX_OF_ONE} grants of this root are revoked already: have the owner revoke the root itself")
        self._keep(revocation)
        self._note(revocation)

    def _note(self, revocation: Revocation) -> None:
        self._known[revocation.id] = revocation
        self._roots[revocation.root] += 1

    def _prune(self, now: float) -> None:
        left = [one for one in self._known.values() if one.expires is None or one.expires > now]
        if len(left) < len(self._known):
            self._rewrite(left)
            self._known.clear()
            self._roots.clear()
            for revocation in left:
                self._note(revocation)
