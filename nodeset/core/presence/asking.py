"""What a node can ask its dispatcher about the nodes that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
from twisted.internet.defer import Deferred

from nodeset.errors import ProtocolError

__all__ = ["Asking", "NodeInfo"]

#: Seconds that the dispatcher has for each page of its answer.
_TIMEOUT = 10.0


@attrs.frozen
class NodeInfo:
    """A node as its dispatcher sees it now.

    :ivar name: its label; others may bear the same.
    :ivar stream: names this start of the node for ever.
    :ivar state: `up`, `slow` or `suspect`; who is down is not there.
    :ivar since: seconds for which that has been so.
    :ivar away: whether its link is lost since less than 2 s.
    :ivar subscriptions: patterns, as they were written, 64 KiB at most; `subscribed` is how many there are.
    :ivar methods: what it exposes, 64 KiB at most.
    :ivar version: the software that it runs.
    :ivar latency: the smoothed round trip between dispatcher and node in seconds, its reactor's turn included; None when it was
        not measured yet.
    :ivar queued_events: events that wait at the dispatcher for its credit; `queued_bytes` is what they have of payload.
    :ivar unanswered_events: events on their way to it, or with it.
    :ivar calls_made: its calls that are not over; `calls_running` those that it was sent and has not answered; `calls_waiting`
        those that wait for it at the dispatcher.
    :ivar drops: by reason how many events it did not get.
    :ivar published: events that came from it, resent ones included.
    :ivar delivered: events that were sent to it, resent ones included.
    """

    name: str
    host: str
    tub_id: str
    stream: str
    state: str = ""
    since: float = 0.0
    away: bool = False
    subscriptions: list[str] = attrs.field(factory=list)
    subscribed: int = 0
    methods: list[str] = attrs.field(factory=list)
    version: str = ""
    latency: float | None = None
    queued_events: int = 0
    queued_bytes: int = 0
    unanswered_events: int = 0
    calls_made: int = 0
    calls_running: int = 0
    calls_waiting: int = 0
    drops: dict[str, int] = attrs.field(factory=dict)
    published: int = 0
    delivered: int = 0

    @property
    def address(self) -> str:
        """By what it can be meant: `name@host`."""
        return f"{self.name}@{self.host}"


class Asking:
    """The verb of a node that asks its dispatcher; see `NodeInfo`."""

    if TYPE_CHECKING:
        call: Callable[..., Deferred[Any]]

    def nodes(self, name: str = "", *, timeout: float = _TIMEOUT) -> Deferred[list[NodeInfo]]:
        """All nodes that are linked to the dispatcher now, this one included, or those of one name.

        :param timeout: seconds for each page of two hundred.
        :return: fires with a list, sorted by `stream`. Fails as `call` does: `TimedOut` without a dispatcher, `Refused`
            without a grant for it.
        """
        return Deferred.fromCoroutine(self._nodes(name, timeout))

    async def _nodes(self, name: str, timeout: float) -> list[NodeInfo]:
        found: list[NodeInfo] = []
        after = ""
        while True:
            page = await self.call("", "nodes", after, name, timeout=timeout, idempotent=True)
            try:
                found += msgspec.convert(page["nodes"], list[NodeInfo])
                following = msgspec.convert(page["next"], str)
            except (KeyError, TypeError, msgspec.ValidationError) as error:
                raise ProtocolError(f"the dispatcher's answer about its nodes makes no sense: {error}") from None
            if not following:
                return found
            if following <= after:
                raise ProtocolError("the dispatcher's answer about its nodes goes in circles")
            after = following
