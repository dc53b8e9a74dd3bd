"""The answers that a node has given, for those that ask again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from nodeset.core.calls.callframes import Answer, Ending
from nodeset.core.ranges import merged

__all__ = ["MAX_ANSWERS", "MAX_ANSWER_BYTES", "Recollection"]

#: Answers that are kept: more than a dispatcher sends calls before it hears that the first of them came. Bytes of the larger.
MAX_ANSWERS: Final = 10_000
MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
#: What is not worth the search.
_SMALL = 256
#: Callers whose low mark is known.
_MOST_CALLERS = 10_000

Key = tuple[str, int]


class Recollection:
    """Answers by the stream id of the caller with its call's id, as long as somebody may ask, within bounds.

    Of the oldest large ones only the fact is kept: who asks learns that the outcome is lost.
    """

    def __init__(self) -> None:
        self._answers: dict[Key, Answer] = {}
        self._order: deque[Key] = deque()
        self._large: deque[Key] = deque()
        self._bytes = 0
        self._lows: dict[str, int] = {}

    def heard(self, caller: str, low: int) -> None:
        """`caller` waits for no call below `low`."""
        if len(self._lows) >= _MOST_CALLERS and caller not in self._lows:
            self._lows.clear()
        self._lows[caller] = low

    def low(self, caller: str) -> int:
        """The lowest call that `caller` waits for, as far as we know."""
        return self._lows.get(caller, 0)

    def keep(self, key: Key, answer: Answer) -> None:
        """Remember what was answered."""
        if key in self._answers:
            self._answers[key] = answer
            return
        self._answers[key] = answer
        order = self._order
        order.append(key)
        if len(answer.payload) > _SMALL:
            self._large.append(key)
            self._bytes += len(answer.payload)
            while self._bytes > MAX_ANSWER_BYTES:
                self._shrink(self._large.popleft())
        while order and (len(order) > MAX_ANSWERS or order[0][1] < self._lows.get(order[0][0], 0)):
            self._forget(order.popleft())

    def _shrink(self, key: Key) -> None:
        answer = self._answers.get(key)
        if answer is not None:
            self._bytes -= len(answer.payload)
            self._answers[key] = Answer(*key, Ending.LOST, b"its answer is not kept any more")

    def _forget(self, key: Key) -> None:
        answer = self._answers.pop(key)
        if len(answer.payload) > _SMALL:
            self._bytes -= len(answer.payload)
        if self._large and self._large[0] == key:
            self._large.popleft()

    def find(self, key: Key) -> Answer | None:
        """What was answered, if that is known still."""
        return self._answers.get(key)

    def holds(self, more: Iterable[Key]) -> list[tuple[str, list[tuple[int, int]]]]:
        """All that is known, with `more`: each caller's stream, ranges of ids."""
        numbers: dict[str, list[tuple[int, int]]] = {}
        for caller, number in (*self._answers, *more):
            numbers.setdefault(caller, []).append((number, number))
        return [(caller, merged(ranges)) for caller, ranges in numbers.items()]

    def clear(self) -> None:
        """Forget everything."""
        self._answers.clear()
        self._order.clear()
        self._large.clear()
        self._bytes = 0
