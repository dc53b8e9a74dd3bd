"""A publisher of ours at full speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

__all__ = ["TOGETHER", "Pump"]

#: Calls of one publisher in one reactor turn.
TOGETHER: Final = 500


class Pump:
    """Publishes so many events with a call for each, as long as few enough wait for their receipts.

    :param send: publishes the event of this number.
    :param matches: how many subscribers each must reach.
    :param done: called when all are confirmed.
    :param later: calls a function in so many seconds.
    """

    def __init__(
        self,
        send: Callable[[int], Any],
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
        self._asleep = False

    def turn(self) -> None:
        """Publish what there is room for, then let the reactor run."""
        self.publishUpTo(self.sent + TOGETHER)
        if self.sent < self._count:
            self._asleep = self.sent >= self.confirmed + self._window
            if not self._asleep:
                self._later(0, self.turn)

    def publishUpTo(self, due: int) -> None:
        """Publish until `due` events have been sent, or all, or the window is full."""
        last = min(self._count, due, self.confirmed + self._window)
        send, confirm, fail = self._send, self._confirm, self._fail
        for number in range(self.sent, last):
            send(number).addCallbacks(confirm, fail)
        self.sent = max(self.sent, last)

    def _confirm(self, receipt: Any) -> None:
        if receipt[1] != self._matches:
            self.wrong = self.wrong or receipt
        self.confirmed += 1
        if self._asleep and self.sent - self.confirmed <= self._window // 2:
            self._asleep = False
            self._later(0, self.turn)
        if self.confirmed == self._count:
            self._done()

    def _fail(self, failure: Any) -> None:
        self.wrong = self.wrong or failure.getErrorMessage()
        self._confirm((0, self._matches, 0))
