"""What was answered to requests that named themselves by a key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Final, Generic, TypeVar

import attrs

__all__ = ["MAX_ANSWERS", "MAX_BYTES", "MEMORY", "Different", "Memory", "fingerprint"]

#: Seconds for which an answer is remembered.
MEMORY: Final = 600.0
#: Answers that are remembered, and their bytes with those of their keys: of one agent, then of all.
MAX_ANSWERS, ALL_ANSWERS = 10_000, 50_000
MAX_BYTES, ALL_BYTES = 4 * 1024 * 1024, 32 * 1024 * 1024
#: What an answer takes beside its body, roughly.
_EACH: Final = 400

A = TypeVar("A")
Name = tuple[str, str]


class Different(Exception):
    """The key was used for another request."""


def fingerprint(*parts: bytes) -> bytes:
    """By which two requests are known as the same; no two lists of parts that differ have the same."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


@attrs.define(eq=False)
class _Entry(Generic[A]):
    """One request: `answer` is None as long as it runs, then `waiting` tells who else wants it."""

    mark: bytes
    answer: A | None = None
    size: int = 0
    until: float = 0.0
    waiting: list[Callable[[A | None], None]] = attrs.field(factory=list)


@attrs.define(eq=False)
class _Share:
    """What one agent has of the memory: its names in the order of its answers."""

    names: OrderedDict[str, None] = attrs.field(factory=OrderedDict)
    size: int = 0


class Memory(Generic[A]):
    """Answers by agent and key; times are seconds of a monotonic clock.

    What runs is bounded by the connections that it came over, what is remembered by count, bytes and age: the oldest of an
    agent that has too much goes first, then the oldest of all.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[Name, _Entry[A]] = OrderedDict()
        self._running: dict[Name, _Entry[A]] = {}
        self._shares: dict[str, _Share] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._entries) + len(self._running)

    def recall(self, agent: str, key: str, mark: bytes, now: float) -> A | None:
        """The answer that this request was given before; None when none is remembered. Raises `Different`."""
        self._forgetOld(now)
        entry = self._entries.get((agent, key))
        if entry is None:
            return None
        self._check(entry, mark)
        return entry.answer

    def join(self, agent: str, key: str, mark: bytes, told: Callable[[A | None], None]) -> bool:
        """Whether this request runs already: then `told` is called with its answer, None when that is not final.

        Raises `Different`.
        """
        entry = self._running.get((agent, key))
        if entry is None:
            return False
        self._check(entry, mark)
        entry.waiting.append(told)
        return True

    @staticmethod
    def _check(entry: _Entry[A], mark: bytes) -> None:
        if entry.mark != mark:
            raise Different

    def begin(self, agent: str, key: str, mark: bytes) -> None:
        """This request runs from now on; `end` must follow."""
        self._running[agent, key] = _Entry(mark)

    def end(self, agent: str, key: str, answer: A | None, size: int, now: float) -> None:
        """It was answered; None is for what is not final and so forgotten. `size` is of the answer, in bytes."""
        entry = self._running.pop((agent, key))
        if answer is not None:
            entry.answer, entry.until = answer, now + MEMORY
            entry.size = _EACH + 2 * len(key) + size
            if entry.size <= MAX_BYTES:
                self._keep(agent, key, entry)
        waiting, entry.waiting = entry.waiting, []
        for told in waiting:
            told(answer)

    def _keep(self, agent: str, key: str, entry: _Entry[A]) -> None:
        self._entries[agent, key] = entry
        share = self._shares.setdefault(agent, _Share())
        share.names[key] = None
        share.size += entry.size
        self._size += entry.size
        while len(share.names) > MAX_ANSWERS or share.size > MAX_BYTES:
            self._forget((agent, next(iter(share.names))))
        while len(self._entries) > ALL_ANSWERS or self._size > ALL_BYTES:
            self._forget(next(iter(self._entries)))

    def _forgetOld(self, now: float) -> None:
        while self._entries:
            name, entry = next(iter(self._entries.items()))
            if now < entry.until:
                return
            self._forget(name)

    def _forget(self, name: Name) -> None:
        entry = self._entries.pop(name)
        agent, key = name
        share = self._shares[agent]
        del share.names[key]
        share.size -= entry.size
        self._size -= entry.size
        if not share.names:
            del self._shares[agent]
