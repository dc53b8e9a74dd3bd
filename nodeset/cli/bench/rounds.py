"""A caller at full speed: so many calls under way at all times, every answer checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from nodeset.cli.bench.event import NOTE, TEXT, Event
from nodeset.cli.bench.sample import Sample

__all__ = ["Rounds", "answerTo"]


def answerTo(request: Any) -> Event:
    """What the method of every system returns: the five fields, the number one higher, so that no echo is taken for it."""
    return Event(request.number + 1, request.text, request.stamp, request.source, request.note)


class Asked(Protocol):
    """What is asked: so many calls, so many of them under way."""

    @property
    def count(self) -> int:
        """How many."""

    @property
    def window(self) -> int:
        """How many at a time."""


class Rounds:
    """Asks `count` times, the next time when an answer has come, with `window` calls under way.

    Systems whose clients take callbacks give `ask` and hand every answer to `take`; where a coroutine waits for each answer,
    `window` of them ask for `draw` and tell `note`.

    :param ask: sends one request.
    :param over: called once: when all have been answered, or one has failed.
    """

    def __init__(
        self,
        work: Asked,
        ask: Callable[[Event], object],
        over: Callable[[], object] = lambda: None,
        note: str = NOTE,
        source: int = 0,
    ) -> None:
        self._note, self._source = note, source
        self._count, self._window, self._ask, self._over = work.count, work.window, ask, over
        self._asked = 0
        self._waiting = dict[int, float]()
        self.answered = 0
        self.wrong = ""
        self._latencies = Sample()

    def begin(self) -> None:
        """Put as many calls under way as the window holds."""
        for _ in range(self._window):
            self._next()

    def draw(self) -> Event | None:
        """The next request, None when all have been asked or one has failed."""
        number = self._asked
        if number >= self._count or self.wrong:
            return None
        self._asked = number + 1
        self._waiting[number] = stamp = time.monotonic()
        return Event(number, TEXT, stamp, self._source, self._note)

    def note(self, answer: Any) -> None:
        """An answer has come."""
        stamp = self._waiting.pop(answer.number - 1, None)
        wanted = (TEXT, stamp, self._source, self._note)
        if stamp is None or (answer.text, answer.stamp, answer.source, answer.note) != wanted:
            self.fail(f"a wrong answer: {answer!r:.200}")
            return
        self._latencies.add(time.monotonic() - stamp)
        self.answered += 1
        if self.answered == self._count:
            self._over()

    def take(self, answer: Any) -> None:
        """An answer has come: ask the next."""
        self.note(answer)
        self._next()

    def finish(self) -> None:
        """Ask no more: it is over when what was asked is answered."""
        if self._asked < self._count:
            self._count = self._asked
            if self.answered == self._count and not self.wrong:
                self._over()

    def fail(self, why: object) -> None:
        """A call has failed: nothing more is asked."""
        if not self.wrong:
            self.wrong = str(why) or "a call failed"
            self._over()

    def _next(self) -> None:
        request = self.draw()
        if request is not None:
            self._ask(request)

    def figures(self) -> dict[str, float]:
        """The latencies of the round trips in microseconds."""
        return self._latencies.figures()
