"""The way of a request: which route, whether it is let in, on whose behalf, what it is answered."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import datetimeToString

from nodeset.errors import NodeSetError
from nodeset.web.inquiry import Inquiry, Reply
from nodeset.web.problem import PROBLEM_TYPE, Problem, judge
from nodeset.web.routes import Route, Routes

if TYPE_CHECKING:
    from nodeset.web.bridge import Bridge
    from nodeset.web.site import BridgeRequest

__all__ = ["Door"]

#: What every answer says: that it is what it says it is, for who asked.
_ALWAYS: Final = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cache-Control", b"no-store"),
)


class Door:
    """Where the requests of a bridge go.

    :ivar routes: what is served.
    :ivar elsewhere: answers a request for which there is no route, if there is anything else at that address; returns whether
        it does.
    :ivar observers: called with the route (None when there was none), the status, the seconds that it took, of each request
        that is answered as a whole.
    """

    log = Logger()

    def __init__(self, bridge: Bridge, routes: Routes) -> None:
        self._bridge, self.routes = bridge, routes
        self.elsewhere: Callable[[BridgeRequest], bool] = lambda request: False
        self.observers: list[Callable[[Route | None, int, float], object]] = []

    def enter(self, request: BridgeRequest) -> None:
        """Answer it, now or later."""
        began = self._bridge.clock.seconds()
        route: Route | None = None
        try:
            try:
                route, params = self.routes.find(request.method, request.path)
            except Problem as problem:
                if request.method == b"OPTIONS" and self.routes.methods(request.path):
                    self._answer(
                        request, self._bridge.access.preflight(request, self.routes.methods(request.path)), None, began
                    )
                    return
                if problem.status == 404 and self.elsewhere(request):
                    return
                raise
            self._bridge.access.admit(request, route)
        except Problem as problem:
            self._complain(request, problem, route, began)
            return
        except Exception:
            self._fail(request, Failure(), route, began)
            return
        under_way = Deferred.fromCoroutine(self._serve(request, route, params))
        under_way.addCallbacks(
            lambda reply: None if reply is None else self._answer(request, reply, route, began),
            lambda failure: self._failed(request, failure, route, began),
        ).addErrback(lambda failure: self.log.failure("an answer failed", failure))
        if not under_way.called:
            self._keep(request, under_way)

    async def _serve(self, request: BridgeRequest, route: Route, params: dict[str, str]) -> Reply | None:
        content: Any = request.content
        body: bytes = content.getvalue()
        bridge = self._bridge
        if len(body) > bridge.limits.max_body:
            raise Problem(413, f"the body has {len(body)} bytes, more than {bridge.limits.max_body}: send less")
        agent = bridge.own if route.access == "open" else await bridge.access.identify(request, body)
        return await route.endpoint(Inquiry(request, params, body, agent))

    def _keep(self, request: BridgeRequest, under_way: Deferred[Any]) -> None:
        request.under_way = under_way

        def gone(reason: object) -> None:
            if request.under_way is not None:
                request.under_way.cancel()

        def over(result: Any) -> Any:
            request.under_way = None
            return result

        request.notifyFinish().addErrback(gone)
        under_way.addBoth(over)

    def expire(self, request: BridgeRequest) -> None:
        """It took too long: what is at it is cancelled, the client is told."""
        under_way = request.under_way
        if under_way is not None and not request.finished:
            request.under_way = None
            seconds = self._bridge.limits.request_timeout
            self._complain(request, Problem(504, f"there was no answer in {seconds:g} s: it may or may not be done"), None, 0)
            under_way.cancel()

    # -- answers

    def _answer(self, request: BridgeRequest, reply: Reply, route: Route | None, began: float) -> None:
        if request.finished or request._disconnected:
            return
        # Twisted knows no phrase for some, such as 421.
        request.setResponseCode(reply.status, HTTPStatus(reply.status).phrase.encode())
        for name, value in self._headers(request, reply):
            request.responseHeaders.addRawHeader(name, value)
        if request.method != b"HEAD":
            request.write(reply.body)
        request.finish()
        seconds = self._bridge.clock.seconds() - began if began else 0.0
        for observer in self.observers:
            observer(route, reply.status, seconds)

    def _headers(self, request: BridgeRequest, reply: Reply) -> list[tuple[bytes, bytes]]:
        ours = [(b"Date", datetimeToString())]
        if reply.status not in (204, 304):
            ours += [(b"Content-Length", b"%d" % len(reply.body)), (b"Content-Type", reply.content_type)]
        given = {name.lower() for name, _value in reply.headers}
        ours += [(name, value) for name, value in _ALWAYS if name.lower() not in given]
        return [*ours, *reply.headers, *self._bridge.access.headers(request)]

    def _complain(self, request: BridgeRequest, problem: Problem, route: Route | None, began: float) -> None:
        self._answer(request, Reply(problem.status, problem.body(), PROBLEM_TYPE, tuple(problem.headers)), route, began)

    def _failed(self, request: BridgeRequest, failure: Failure, route: Route | None, began: float) -> None:
        error = failure.value
        if isinstance(error, Problem):
            self._complain(request, error, route, began)
        elif isinstance(error, NodeSetError):
            self._complain(request, judge(error), route, began)
        elif not isinstance(error, CancelledError) or not (request.finished or request._disconnected):
            # What was cancelled by somebody else than who asked, or than the deadline, still wants an answer.
            self._fail(request, failure, route, began)

    def _fail(self, request: BridgeRequest, failure: Failure, route: Route | None, began: float) -> None:
        name = "a request" if route is None else route.name
        self.log.failure("{name} failed", failure, name=name)
        self._bridge.counters["failed"] += 1
        self._complain(request, Problem(500, "the bridge failed: its log says how"), route, began)
