"""How many clients read events at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from nodeset.web.problem import Problem

__all__ = ["Places"]


class Places:
    """Room for so many streams, of whatever kind.

    :param most: asked each time anew.
    :ivar taken: how many there are.
    """

    def __init__(self, most: Callable[[], int], counters: Counter[str]) -> None:
        self._most, self._counters = most, counters
        self.taken = 0

    def enter(self) -> None:
        """Take one; it is given back by `leave`. Raises `Problem` (503) when there is none."""
        most = self._most()
        if self.taken >= most:
            self._counters["refused:streams"] += 1
            raise Problem(503, f"{most} streams are open, no more may be (max-streams): come back", retry_after=2)
        self.taken += 1

    def leave(self) -> None:
        """Give one back."""
        self.taken -= 1
