"""A publisher of ours at full speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

__all__ = ["TOGETHER", "Pump"]

#: Calls of one publisher in one reactor turn.
TOGETHER: Final = 1_000


class Pump:
    """Publishes so many events with a call for each, as long as few enough wait for their receipts.

    :param send: publishes the events of these numbers, from the first up to the last, with these callbacks for each receipt.
    :param matches: how many subscribers each must reach.
    :param done: called when all are confirmed.
    :param later: calls a function in so many seconds.
    """

    def __init__(
        self,
        send: Callable[[int, int, Callable[[Any], None], Callable[[Any], None]], None],
        count: int,
        window: int,
        matches: int,
        done: Callable[[], None],
        later: Callable[[float, Callable[[], object]], object],
    ) -> None:
        self._send, self._count, self._window, self._matches = send, count, window, matches
        self._done, self._later = done, later
        self.sent = self.confirmed = 0
        self.wrong: object = ""
        #: What is done when so many are confirmed.
        self._next, self._then = count, done

    def turn(self) -> None:
        """Publish what there is room for, then let the reactor run."""
        self.publishUpTo(self.sent + TOGETHER)
        if self.sent >= self._count:
            self._next, self._then = self._count, self._done
        elif self.sent >= self.confirmed + self._window:
            self._next, self._then = self.sent - self._window // 2, self._wake
        else:
            self._later(0, self.turn)

    def publishUpTo(self, due: int) -> None:
        """Publish until `due` events have been sent, or all, or the window is full."""
        last = min(self._count, due, self.confirmed + self._window)
        if last > self.sent:
            first, self.sent = self.sent, last
            self._send(first, last, self._confirm, self._fail)

    def finish(self) -> None:
        """Publish no more: it is through when what was published is confirmed."""
        if self.sent < self._count:
            self._count = self._next = self.sent
            self._then = self._done
            if self.confirmed == self.sent:
                self._done()

    def _wake(self) -> None:
        self._next, self._then = self._count, self._done
        self._later(0, self.turn)

    def _confirm(self, receipt: Any) -> None:
        if receipt[1] != self._matches:
            self.wrong = self.wrong or receipt
        self.confirmed = confirmed = self.confirmed + 1
        if confirmed == self._next:
            self._then()

    def _fail(self, failure: Any) -> None:
        self.wrong = self.wrong or failure.getErrorMessage()
        self._confirm((0, self._matches, 0))
