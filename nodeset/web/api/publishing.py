"""Events that come over HTTP, handed to a node."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from twisted.internet.defer import Deferred

from nodeset.core import traceparent as codec
from nodeset.core.message import RawMessage
from nodeset.errors import Receipt
from nodeset.web.agent import Agent
from nodeset.web.api.wishes import PublishWishes
from nodeset.web.inquiry import Inquiry
from nodeset.web.problem import Problem

__all__ = ["checkLinked", "dedupOf", "publish", "traceOf"]

_SOON: Final = 1


def checkLinked(agent: Agent) -> None:
    """Raise `Problem` 503 when no dispatcher is there: a client is not kept waiting for one, it tries again."""
    if not agent.node.is_linked:
        raise Problem(503, "the bridge has no link to its dispatcher now: try again soon", retry_after=_SOON)


def publish(
    agent: Agent, event: str, payload: bytes, raw: bool, wishes: PublishWishes, timeout: float, dedup: str | None
) -> Deferred[Receipt]:
    """Publish one event as the agent; fires, fails, raises as `Node.publishPayload` does, for bytes that are `raw` too."""
    node = agent.node
    if raw:
        msg = RawMessage(payload)
        if wishes.mode != "all":
            msg._delivery_mode = wishes.mode
        return node.publishMessage(
            event, msg, level=wishes.level, timeout=timeout, wait=False, retain=wishes.retain, ttl=wishes.ttl, dedup=dedup
        )
    return node.publishPayload(
        event,
        payload,
        mode=wishes.mode,
        level=wishes.level,
        timeout=timeout,
        wait=False,
        retain=wishes.retain,
        ttl=wishes.ttl,
        dedup=dedup,
    )


def dedupOf(agent: Agent, key: str) -> str:
    """The id by which receivers know an event that is published again under this key: nobody else's key makes the same."""
    return blake2b(f"{agent.name}\0{key}".encode(), digest_size=16).hexdigest()


def traceOf(inquiry: Inquiry) -> str | None:
    """The traceparent of the request, None for one that is wrong: W3C has it that the trace begins anew then."""
    given = inquiry.request.requestHeaders.getRawHeaders(b"traceparent")
    if given is None or len(given) != 1:
        return None
    text = given[0].decode("latin-1")
    return None if codec.parse(text) is None else text
