"""Which of the events that came no handler shall see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from nodeset.core.batch import NO_HEADERS, Events, Outcome, unpackHeaders
from nodeset.core.duplicates import Duplicates
from nodeset.core.inbox import Delivery, Inbox
from nodeset.core.lifetime import isOver
from nodeset.errors import InvalidAddressing, ProtocolError

__all__ = ["Screen"]

_More = Callable[[], bool]


def _never() -> bool:
    return False


class Screen:
    """Stands between an inbox and the handlers; only runs with headers or a time to live need it."""

    def __init__(self, inbox: Inbox, counters: Counter[str]) -> None:
        self._inbox, self._counters = inbox, counters
        self._duplicates = Duplicates()

    def look(self, stream: str, run: Events, now: float, more: _More) -> _More | None:
        """Look at what is left of `run`, the head run of `stream`.

        :return: None when none of it is for the handlers, who are not to be asked; else what tells them whether to go on, which
            is `more` unless each event has to be looked at by itself.
        """
        if run.ttl and isOver(run.ttl, now):
            self._counters["expired"] += self._inbox.skip(stream, Outcome.EXPIRED)
            return None
        if run.headers is NO_HEADERS:
            return more
        try:
            headers = unpackHeaders(run.headers)
            if not self._duplicates.concerns(headers):
                return more
            new = self._duplicates.isNew(stream, run.event, headers, now)
        except (ProtocolError, InvalidAddressing):
            return more  # who reads it says what is wrong with it
        if not new:
            self._counters["duplicate"] += self._inbox.skip(stream, Outcome.OK)
            return None
        return _never

    def failed(self, delivery: Delivery) -> None:
        """Its handler failed, or could not be called."""
        try:
            self._duplicates.failed(delivery.event, delivery.headers)
        except (ProtocolError, InvalidAddressing):
            pass  # then it was never remembered

    def forget(self, result: bool, pattern: str) -> bool:
        """The node subscribes to `pattern` no longer; returns `result`, since that is a callback's place."""
        self._duplicates.forget(pattern)
        return result
