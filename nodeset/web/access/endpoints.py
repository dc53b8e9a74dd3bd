"""What a client asks of itself: who it is, a ticket."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from nodeset.web.access.bearer import allowedBy
from nodeset.web.bridge import Bridge
from nodeset.web.inquiry import Inquiry, Reply
from nodeset.web.problem import Problem
from nodeset.web.routes import Routes

__all__ = ["install", "issueTicket", "whoAmI"]

_LONGEST = 8192


class _Wish(msgspec.Struct, forbid_unknown_fields=True):
    path: str | None = None


_wish = msgspec.json.Decoder(_Wish)


async def whoAmI(inquiry: Inquiry) -> Reply:
    """`GET /v1/whoami`: whose request this is, what he may do."""
    agent = inquiry.agent
    allowed = allowedBy(agent.rights)
    told: dict[str, Any] = {
        "name": agent.name,
        "anonymous": agent.is_anonymous,
        "publish": allowed.publish,
        "subscribe": allowed.subscribe,
        "call": allowed.call,
        "expires": agent.rights.expires,
        "forms": not agent.is_anonymous,
    }
    return Reply.json(told)


async def issueTicket(bridge: Bridge, inquiry: Inquiry) -> Reply:
    """`POST /v1/tickets`: one stream for a browser that cannot send headers with it."""
    wish = _Wish()
    if inquiry.body:
        try:
            wish = _wish.decode(inquiry.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Problem(400, 'the body is nothing, or {"path": "/v1/events/orders.*"}') from None
    if wish.path is not None and not (wish.path.startswith("/") and len(wish.path) <= _LONGEST and "?" not in wish.path):
        raise Problem(400, "path is one of this bridge, percent-encoded, without a query, such as /v1/events/orders.*")
    ticket, ends = bridge.access.issue(inquiry.agent, wish.path)
    return Reply.json({"ticket": ticket, "expires": ends}, 201)


def install(routes: Routes, bridge: Bridge) -> None:
    """Serve them."""
    routes.add("GET", "/v1/whoami", whoAmI, "whoami")
    routes.add("POST", "/v1/tickets", partial(issueTicket, bridge), "tickets")
