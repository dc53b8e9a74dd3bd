"""What a dispatcher tells of its nodes to one that asks: the method `nodes` of its own."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Final

from nodeset.core.exchange import Exchange
from nodeset.core.session import Session

__all__ = ["MAX_PAGE", "Listing"]

#: Nodes on one page, bytes after which a page ends: an answer has a megabyte at most.
MAX_PAGE: Final = 200
_ROOM: Final = 256 * 1024
#: Nodes of other names that are passed over at a time, so that nobody else waits for long.
_LOOKED_AT: Final = 10_000
#: Bytes of subscriptions, of methods, that are told of one node; of more only the number is.
_NAMES: Final = 64 * 1024
#: Bytes of all else about one node.
_REST: Final = 512


class Listing:
    """The sessions of an exchange, page by page."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def page(self, now: float, after: object = "", name: object = "") -> dict[str, Any]:
        """The nodes whose stream ids come after this one, of this name if one is given.

        :return: `nodes`, a list of mappings, with `next`, from where on to ask for more, empty when that is all.
        """
        after, name = str(after), str(name)
        streams, size = self._exchange.presence.streams, 0
        found: list[dict[str, Any]] = []
        at = bisect_right(streams, after)
        last = min(len(streams), at + _LOOKED_AT)
        while at < last and len(found) < MAX_PAGE and size < _ROOM:
            session = self._exchange.answers.sessions[streams[at]]
            if not name or session.name == name:
                told, weight = self._describe(session, now)
                found.append(told)
                size += weight
            at += 1
        return {"nodes": found, "next": streams[at - 1] if at < len(streams) else ""}

    def _describe(self, session: Session, now: float) -> tuple[dict[str, Any], int]:
        subscriptions, weight = _cut(session.entries)
        methods, more = _cut(session.methods)
        queued, size = session.depth
        party = self._exchange.calls.parties.get(session.stream)
        made, running, waiting = (0, 0, 0) if party is None else party.load
        told = {
            "name": session.name,
            "host": session.host,
            "tub_id": session.peer,
            "stream": session.stream,
            "state": session.state,
            "since": round(now - session.since, 3),
            "away": session.away,
            "subscriptions": subscriptions,
            "subscribed": len(session.entries),
            "methods": methods,
            "version": session.software,
            "latency": session.latency,
            "queued_events": queued,
            "queued_bytes": size,
            "unanswered_events": session.unanswered,
            "calls_made": made,
            "calls_running": running,
            "calls_waiting": waiting,
            "drops": dict(session.drops or {}),
            "published": session.published,
            "delivered": session.delivered,
        }
        return told, weight + more + _REST


def _cut(names: Any) -> tuple[list[str], int]:
    """As many of the names as there is room for, with the bytes that they take in JSON at most."""
    kept, size = [], 0
    for name in names:
        size += 3 + 6 * len(name)  # a character may be escaped
        if size > _NAMES:
            break
        kept.append(name)
    return kept, size
