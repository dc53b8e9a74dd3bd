"""One client that reads events for as long as it likes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.web.http_headers import Headers

from nodeset.web.feeds.formats import Batch
from nodeset.web.feeds.tap import Tap
from nodeset.web.streams.beat import Beat
from nodeset.web.streams.forms import Form
from nodeset.web.streams.outlet import Outlet

if TYPE_CHECKING:
    from nodeset.web.bridge import Bridge
    from nodeset.web.site import BridgeRequest

__all__ = ["HEADERS", "Stream"]

HEADERS: Final = (
    (b"Cache-Control", b"no-store"),
    (b"X-Accel-Buffering", b"no"),  # nginx would keep events until it has enough of them
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    # What comes behind an answer without an end is no request that anybody waits for.
    (b"Connection", b"close"),
)


class Stream:
    """One stream; it takes its place when it is made, gives it back when it is over.

    :raise Problem: (503) when there is no place.
    """

    __slots__ = ("_beat", "_bridge", "_form", "_is_over", "_outlet", "_request", "_slot", "_tap")

    def __init__(self, request: BridgeRequest, bridge: Bridge, form: Form, beat: Beat) -> None:
        bridge.hub.places.enter()
        self._request, self._bridge, self._form, self._beat = request, bridge, form, beat
        self._slot = -1
        self._is_over = False
        self._tap: Tap | None = None
        self._outlet: Outlet | None = None

    def begin(self, tap: Tap) -> None:
        """Answer with what the tap opened with; the rest is told."""
        request, bridge, form = self._request, self._bridge, self._form
        limits = bridge.limits
        self._tap = tap
        headers = request.responseHeaders
        headers.addRawHeader(b"Content-Type", f"{form.media_type}; charset=utf-8".encode())
        for name, value in (*HEADERS, *bridge.access.headers(request)):
            headers.addRawHeader(name, value)
        request.openEnded()
        request.notifyFinish().addBoth(self._gone)
        transport: Any = request.channel.transport
        request.write(b"")
        outlet = self._outlet = Outlet(transport, form, bool(request.chunked), limits.stream_events, limits.stream_bytes)
        request.registerProducer(outlet, True)
        _strip(request)
        bridge.counters[f"opened:{form.name}"] += 1
        bridge.tolls.streams[form.name] += 1
        self._slot = self._beat.add(self)
        opening = tap.opening
        head, place = form.head(opening), form.place(opening)
        if opening.entries:
            outlet.say(head)
            for batch in opening.batches():
                outlet.begin(batch)
            outlet.say(place)
        else:
            outlet.say(head + place)

    # -- as the hub wants it

    def take(self, batch: Batch) -> None:
        """Events came."""
        outlet = self._outlet
        if outlet is not None and (why := outlet.write(batch)):
            self._cut(why, len(batch.entries))

    def linked(self, is_linked: bool) -> None:
        """The dispatcher is gone, or back."""
        if self._outlet is not None:
            self._outlet.say(self._form.link(is_linked))

    def ended(self, reason: str, detail: str) -> None:
        """There is no more."""
        self._part(self._form.ended(reason, detail), reason)

    # -- its end

    def beat(self) -> None:
        """Give a sign of life, see whether the client gives any."""
        outlet, tap = self._outlet, self._tap
        if outlet is None or tap is None:
            return
        expires = tap.agent.rights.expires
        if expires is not None and self._bridge.wall() >= expires:
            self._bridge.counters["ended:expired"] += 1
            self.ended("expired", "the grant is over")
        elif not outlet.is_full:
            outlet.say(self._form.alive)
        elif not outlet.hasMoved():
            self._cut("stalled")

    def _cut(self, why: str, too_many: int = 0) -> None:
        self._bridge.counters[f"cut:{why}"] += 1
        self._part(self._form.slow(why), "slow", too_many)

    def _part(self, words: bytes, why: str, too_many: int = 0) -> None:
        outlet = self._outlet
        if outlet is None or self._is_over:
            return
        request = self._request
        self._over(why, too_many)
        outlet.part(words)
        request.unregisterProducer()
        request.finish()  # the connection closes; the site cuts it soon if the client does not read the rest

    def _gone(self, result: Any) -> None:
        self._over("gone")

    def _over(self, why: str, too_many: int = 0) -> None:
        """Give all back, once; `why` is what the events are counted as that the client did not get."""
        if self._is_over:
            return
        self._is_over = True
        self._bridge.hub.places.leave()
        # They know us as well: what nobody holds any more goes at once, not when garbage is looked for.
        tap, self._tap = self._tap, None
        outlet, self._outlet = self._outlet, None
        if self._slot >= 0:
            self._beat.remove(self, self._slot)
            self._bridge.tolls.streams[self._form.name] -= 1
        if tap is not None:
            tap.close()
        dropped = too_many if outlet is None else too_many + outlet.clear()
        if dropped:
            self._bridge.counters[f"dropped:{why}"] += dropped

    def abandon(self) -> None:
        """It never began."""
        self._over("gone")


def _strip(request: BridgeRequest) -> None:
    """Let go of what a request keeps that is answered without an end: some KiB for each of thousands."""
    whole: Any = request
    channel: Any = request.channel
    channel.persistent = 0
    if whole.content is not None:
        whole.content.close()
        whole.content = None
    whole.requestHeaders = whole.responseHeaders = _NONE
    whole.args, whole.received_cookies, whole.cookies = {}, {}, []
    whole.uri = whole.path = b""
    whole.prepath, whole.postpath, whole.sitepath = [], [], []


_NONE: Final = Headers()
