"""The address at which events are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nodeset.web.inquiry import Inquiry, Reply
from nodeset.web.streams.beat import Beat
from nodeset.web.streams.poll import poll
from nodeset.web.streams.stream import Stream
from nodeset.web.streams.wishes import formIn, lastIdIn, secondsIn

if TYPE_CHECKING:
    from nodeset.web.bridge import Bridge
    from nodeset.web.routes import Routes

__all__ = ["install"]


def install(routes: Routes, bridge: Bridge) -> None:
    """Serve `GET /v1/events/{pattern}`."""
    beat = Beat(bridge.clock)

    async def read(inquiry: Inquiry) -> Reply | None:
        """The events that one or more patterns match: as a stream, or as an answer once there are some."""
        request, query = inquiry.request, inquiry.query
        form = formIn(inquiry.header("accept"))
        patterns = [inquiry.params["pattern"], *query.get("pattern", [])]
        last_id = lastIdIn(inquiry.header("last-event-id"), query)
        if form is None:
            seconds = min(secondsIn(query), bridge.limits.request_timeout / 2)
            return await poll(bridge, inquiry.agent, patterns, last_id, 0.0 if request.method == b"HEAD" else seconds)
        if request.method == b"HEAD":
            return Reply(200, b"", f"{form.media_type}; charset=utf-8".encode())
        stream = Stream(request, bridge, form, beat)
        try:
            tap = await bridge.hub.open(inquiry.agent, patterns, last_id, stream)
            stream.begin(tap)
        except BaseException:
            stream.abandon()
            raise
        return None

    routes.add("GET", "/v1/events/{pattern}", read, "events")
