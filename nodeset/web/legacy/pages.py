"""The two pages of the original, /publish with /subscribe beside it."""

from __future__ import annotations

from typing import Final

from twisted.application.service import Service

from nodeset.errors import Refused
from nodeset.web.bridge import Bridge
from nodeset.web.inquiry import Inquiry, Reply
from nodeset.web.legacy.builder import Lines, WebMessageBuilder
from nodeset.web.legacy.subscriber import Subscriber
from nodeset.web.legacy.words import checkForm, readEvents, readPublish
from nodeset.web.problem import Problem
from nodeset.web.routes import Routes

__all__ = ["PUBLISH", "SUBSCRIBE", "Pages", "install"]

PUBLISH: Final = "/publish"
SUBSCRIBE: Final = "/subscribe"
#: What the original said to every publish that went well, whatever type it is of.
_DONE: Final = Reply(200, b"\r\n", b"text/html")
_HEADERS: Final = (
    (b"Content-Type", b"application/json"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Cache-Control", b"no-store"),
)


def install(routes: Routes, bridge: Bridge) -> None:
    """Serve the pages of the original."""
    pages = Pages(bridge)
    pages.setServiceParent(bridge)
    pages.addTo(routes)


class Pages(Service):
    """Publishes, subscribes, for those who speak the original's HTTP."""

    def __init__(self, bridge: Bridge) -> None:
        self.setName("nodeset-web-legacy")
        self._bridge = bridge
        self._lines = Lines()
        #: Who is subscribed now.
        self.subscribers: set[Subscriber] = set()
        bridge.tolls.gauges["streams:subscribe"] = lambda: len(self.subscribers)

    def addTo(self, routes: Routes) -> None:
        """Be served at their addresses."""
        for method in ("GET", "POST"):
            # The original published by GET as well, so a page of somebody else's must not get that far.
            routes.add(method, PUBLISH, self.publish, "publish", changes=True)
            routes.add(method, SUBSCRIBE, self.subscribe, "subscribe", changes=False)

    def stopService(self) -> None:
        """End all answers."""
        Service.stopService(self)
        self.end()

    def end(self) -> None:
        """End the answers that are under way, as whole ones."""
        for subscriber in list(self.subscribers):
            subscriber.drain()

    async def publish(self, inquiry: Inquiry) -> Reply:
        """`event=NAME&message={...}`: 200 with CR LF, once the dispatcher has queued it for every match."""
        self._check(inquiry)
        event, text = readPublish(inquiry.request.args or {})
        msg = WebMessageBuilder.createMessage(None, text)
        self._findLink(inquiry)
        timeout = self._bridge.limits.request_timeout
        await inquiry.agent.node.publishMessage(event, msg, level="accepted", timeout=timeout, wait=False)
        return _DONE

    async def subscribe(self, inquiry: Inquiry) -> None:
        """`event=NAME`, again for more: each event as a line of JSON, until the client leaves; with HTTP/1.0 the first one."""
        self._check(inquiry)
        limits, request = self._bridge.limits, inquiry.request
        events = readEvents(request.args or {}, limits.max_subscriptions)
        for event in events:
            # The dispatcher would say the same, with a line in our log for each.
            if refusal := inquiry.agent.rights.maySubscribe(event):
                raise Refused(refusal)
        if len(self.subscribers) >= limits.max_streams:
            raise Problem(503, f"{limits.max_streams} streams are open: come back", retry_after=1)
        self._findLink(inquiry)
        node, counters = inquiry.agent.node, self._bridge.counters
        subscriber = Subscriber(request, node, events, self._lines, limits, counters, self.subscribers.discard)
        self.subscribers.add(subscriber)
        subscriber.liveBy(inquiry.agent)
        await subscriber.open([*_HEADERS, *self._bridge.access.headers(request)])

    def _check(self, inquiry: Inquiry) -> None:
        request = inquiry.request
        if request.method == b"HEAD":
            raise Problem(405, "HEAD would do what GET does: send a GET or a POST", headers=[(b"Allow", b"GET, POST")])
        checkForm(request.method, inquiry.header("content-type"), inquiry.body)

    def _findLink(self, inquiry: Inquiry) -> None:
        if not inquiry.agent.node.is_linked:
            raise Problem(503, "the bridge has no link to its dispatcher: its log says why, come back", retry_after=1)
