"""What publishers wrote down against what subscribers did: ok, lost, duplicate, reordered, unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

__all__ = ["Answer", "Got", "Tally", "readAnswers", "readGot", "tally", "tallyAll"]


@attrs.frozen
class Answer:
    """One event as its publisher knows it. `result` is `ok` or the name of an error, empty while there is no answer; times are
    seconds of the machine's monotonic clock, which all its processes share.
    """

    by: str
    number: int
    published: float
    answered: float | None = None
    result: str = ""
    matched: int = 0
    delivered: int = 0
    dropped: int = 0

    @property
    def confirmed(self) -> bool:
        """Whether its publisher was told that everyone has it."""
        return self.result == "ok" and self.dropped == 0 and self.matched > 0


@attrs.frozen
class Got:
    """One call of a handler."""

    by: str
    number: int
    at: float
    published: float


@attrs.define
class Tally:
    """How many events of each kind; sums are tallies of many subscribers.

    `ok` were confirmed and came once, `lost` were confirmed and never came. `unknown` were not confirmed (no answer, an error,
    a drop that the receipt admits), whether they came or not. `duplicate` counts each further time, `reordered` each first time
    that is behind a later event of the same publisher, `stray` what nobody published.
    """

    ok: int = 0
    lost: int = 0
    duplicate: int = 0
    reordered: int = 0
    unknown: int = 0
    stray: int = 0

    def __add__(self, other: Tally) -> Tally:
        mine, theirs = attrs.astuple(self), attrs.astuple(other)
        return Tally(*(a + b for a, b in zip(mine, theirs, strict=True)))

    def __str__(self) -> str:
        stray = f", stray {self.stray}" if self.stray else ""
        wrong = f"lost {self.lost}, duplicate {self.duplicate}, reordered {self.reordered}"
        return f"ok {self.ok}, {wrong}, unknown {self.unknown}{stray}"

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong: what is unknown is not."""
        return not (self.lost or self.duplicate or self.reordered or self.stray)


def tally(answers: Iterable[Answer], got: Sequence[Got], ordered: bool = True) -> Tally:
    """Compare what was published with what one subscriber, which was there all the time, got.

    :param ordered: whether there is a promise of order (mode `all`).

    >>> tally([Answer("p", 1, 0.0, 1.0, "ok", 1, 1)], [Got("p", 1, 0.5, 0.0)])
    Tally(ok=1, lost=0, duplicate=0, reordered=0, unknown=0, stray=0)
    """
    counts = Counter((one.by, one.number) for one in got)
    result = Tally()
    known = set()
    for answer in answers:
        key = (answer.by, answer.number)
        known.add(key)
        if not answer.confirmed:
            result.unknown += 1
        elif counts[key]:
            result.ok += 1
        else:
            result.lost += 1
    result.duplicate = sum(count - 1 for count in counts.values())
    result.stray = sum(count for key, count in counts.items() if key not in known)
    if ordered:
        highest: dict[str, int] = {}
        seen = set()
        for one in got:
            key = (one.by, one.number)
            if key not in seen:
                seen.add(key)
                result.reordered += one.number < highest.get(one.by, one.number)
                highest[one.by] = max(one.number, highest.get(one.by, one.number))
    return result


def tallyAll(answers: Iterable[Answer], ledgers: Iterable[Sequence[Got]]) -> Tally:
    """The sum over several subscribers, each of which should have everything (mode `all`)."""
    kept = list(answers)
    return sum((tally(kept, got) for got in ledgers), Tally())


def _lines(path: Path) -> list[list[str]]:
    """The whole lines of a ledger, in words: whoever is killed may leave half a line at its end."""
    if not path.exists():
        return []
    whole, _newline, _half = path.read_text("ascii").rpartition("\n")
    return [line.split() for line in whole.splitlines()]


def readAnswers(path: Path) -> list[Answer]:
    """A publisher's ledger: `p BY NUMBER TIME` when it published, `r BY NUMBER TIME RESULT MATCHED DELIVERED DROPPED` after."""
    found: dict[tuple[str, int], Answer] = {}
    for kind, *words in _lines(path):
        if kind == "p":
            found[words[0], int(words[1])] = Answer(words[0], int(words[1]), float(words[2]))
        elif kind == "r":
            counts = (int(word) for word in words[4:7])
            one = found[words[0], int(words[1])]
            found[words[0], int(words[1])] = Answer(one.by, one.number, one.published, float(words[2]), words[3], *counts)
    return list(found.values())


def readGot(path: Path, kind: str = "g") -> list[Got]:
    """A subscriber's ledger: `g BY NUMBER TIME PUBLISHED` when the handler was called, `h ...` when it had finished."""
    return [
        Got(by, int(number), float(at), float(was))
        for word, by, number, at, was in (words for words in _lines(path) if words[0] in "gh")
        if word == kind
    ]
