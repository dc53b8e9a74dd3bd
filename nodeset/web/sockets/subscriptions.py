"""What one client has subscribed to."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred

from nodeset.web.agent import Agent
from nodeset.web.bridge import Bridge
from nodeset.web.problem import Problem
from nodeset.web.sockets.frames import Gap, ServerFrame, Sub, Subscribed, Unsub, Unsubscribed, write, writeEvent

__all__ = ["Feed", "Hub", "Reader", "Sink", "Subscriptions"]


class Reader(Protocol):
    """Who subscribed."""

    def say(self, frame: ServerFrame) -> None:
        """Send him this."""

    def complain(self, id: str | None, error: BaseException) -> None:
        """Tell him what went wrong with what he named `id`."""

    def emit(self, sub: str, text: str, is_free: bool = False) -> None:
        """Send it to him as soon as he grants credit, one that is free behind what waits."""


class Feed(Protocol):
    """A subscription at the hub."""

    def close(self) -> None:
        """Let nothing come any more."""


class Hub(Protocol):
    """Where events come from."""

    def open(self, agent: Agent, patterns: Sequence[str], last_id: str | None, sink: Sink) -> Awaitable[Feed]:
        """Give `sink` the events of these patterns, from the one after `last_id` on."""


@attrs.define(eq=False)
class Sink:
    """Where the hub puts the events of the subscription `id`."""

    id: str
    _pattern: str
    _reader: Reader
    _has_begun: bool = False
    _is_over: bool = False

    def begin(self) -> None:
        """It is in force; what came before is told first."""
        if not self._has_begun:
            self._has_begun = True
            self._reader.say(Subscribed(self.id, self._pattern))

    def end(self) -> None:
        """Nothing is let through any more."""
        self._is_over = True

    def event(self, text: bytes) -> None:
        """One event, a JSON object."""
        if not self._is_over:
            self.begin()
            self._reader.emit(self.id, writeEvent(self.id, text))

    def gap(self, reason: str, last_id: str | None) -> None:
        """Events before the next one are missing."""
        if not self._is_over:
            self.begin()
            self._reader.emit(self.id, write(Gap(self.id, reason, last_id)), True)


@attrs.define(eq=False)
class _Subscription:
    sink: Sink
    opening: Deferred[None] | None = None
    feed: Feed | None = None

    def end(self) -> None:
        self.sink.end()
        opening, self.opening = self.opening, None
        if opening is not None:
            opening.cancel()
        feed, self.feed = self.feed, None
        if feed is not None:
            feed.close()


class Subscriptions:
    """Subscribes as `agent`, for `reader`. What is asked for wrongly raises `Problem` or `NodeSetError`."""

    def __init__(self, bridge: Bridge, agent: Agent, reader: Reader) -> None:
        self._bridge, self._agent, self._reader = bridge, agent, reader
        self._all: dict[str, _Subscription] = {}

    def __len__(self) -> int:
        return len(self._all)

    def open(self, frame: Sub) -> None:
        """Subscribe; answered when the dispatcher has confirmed it, or refused."""
        most = self._bridge.limits.max_subscriptions
        if frame.id in self._all:
            raise Problem(409, f"the subscription {frame.id!r} is there already: name this one otherwise")
        if len(self._all) >= most:
            raise Problem(429, f"{most} subscriptions are open, no more may be: end one of them")
        refusal = self._agent.rights.maySubscribe(frame.pattern)
        if refusal:
            raise Problem(403, refusal)
        subscription = self._all[frame.id] = _Subscription(Sink(frame.id, frame.pattern, self._reader))
        opening = Deferred.fromCoroutine(self._open(frame, subscription))
        if not opening.called:
            subscription.opening = opening
        opening.addErrback(lambda failure: None if failure.check(CancelledError) else failure)

    async def _open(self, frame: Sub, subscription: _Subscription) -> None:
        hub: Hub = getattr(self._bridge, "hub")  # noqa: B009
        try:
            feed = await hub.open(self._agent, [frame.pattern], frame.last_id, subscription.sink)
        except CancelledError:
            raise
        except Exception as error:
            if self._all.get(frame.id) is subscription:
                del self._all[frame.id]
                self._reader.complain(frame.id, error)
            return
        subscription.opening = None
        if self._all.get(frame.id) is subscription:
            subscription.feed = feed
            subscription.sink.begin()
        else:
            feed.close()

    def close(self, frame: Unsub) -> None:
        """End one."""
        subscription = self._all.pop(frame.id, None)
        if subscription is None:
            raise Problem(404, f"there is no subscription {frame.id!r}: it was ended, or refused")
        subscription.end()
        self._reader.say(Unsubscribed(frame.id))

    def end(self) -> None:
        """End all; again is fine."""
        every, self._all = self._all, {}
        for subscription in every.values():
            subscription.end()
