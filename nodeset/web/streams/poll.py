"""One client that waits a while for events each time that it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, TimeoutError

from nodeset.web.feeds.formats import Batch, Entry
from nodeset.web.inquiry import Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nodeset.web.agent import Agent
    from nodeset.web.bridge import Bridge

__all__ = ["poll"]

#: Bytes of events in one answer, more or less; the rest is for the next one.
_MOST: Final = 1024 * 1024


class _Waiter:
    """Waits for the first batch."""

    def __init__(self) -> None:
        self.news: Deferred[tuple[Entry, ...]] = Deferred()

    def _tell(self, entries: tuple[Entry, ...]) -> None:
        if not self.news.called:
            self.news.callback(entries)

    def take(self, batch: Batch) -> None:
        """Here they are."""
        self._tell(batch.entries)

    def linked(self, is_linked: bool) -> None:
        """A gap follows, which is an entry."""

    def ended(self, reason: str, detail: str) -> None:
        """Nothing will come."""
        self._tell(())


async def poll(bridge: Bridge, agent: Agent, patterns: Sequence[str], last_id: str | None, seconds: float) -> Reply:
    """The events behind `last_id`, or what comes first within so many seconds; with the id to ask with the next time."""
    bridge.hub.places.enter()
    bridge.counters["opened:poll"] += 1
    try:
        waiter = _Waiter()
        tap = await bridge.hub.open(agent, patterns, last_id, waiter)
        try:
            opening = tap.opening
            entries = opening.entries
            if not entries and not opening.gap and seconds > 0:
                try:
                    entries = await waiter.news.addTimeout(seconds, bridge.clock)
                except TimeoutError:
                    pass  # nothing came
        finally:
            tap.close()
    finally:
        bridge.hub.places.leave()
    return _answer(entries, bool(opening.gap), opening.id)


def _answer(entries: Sequence[Entry], is_gap: bool, following: str) -> Reply:
    shown: list[bytes] = []
    size = 0
    for entry in entries:
        if shown and size + entry.size > _MOST:
            break
        size += entry.size
        following = entry.id
        if entry.gap:
            is_gap = True
        else:
            shown.append(entry.json)
    # Retained values to begin with may be older than what a client has seen of the feed.
    body = b'{"events":[%b],"next":"%b","gap":%b}\n' % (b",".join(shown), following.encode(), b"true" if is_gap else b"false")
    return Reply(200, body)
