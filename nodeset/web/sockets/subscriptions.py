"""What one client has subscribed to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred

from nodeset.web.agent import Agent
from nodeset.web.bridge import Bridge
from nodeset.web.feeds import Batch, Entry, Tap
from nodeset.web.problem import Problem
from nodeset.web.sockets.frames import Gap, ServerFrame, Sub, Subscribed, Unsub, Unsubscribed, splice, write
from nodeset.web.sockets.outflow import Outflow

__all__ = ["Flow", "Reader", "Subscriptions", "textOf"]

#: What waits: an entry, which all who read it have in common, so that nobody who waits holds a copy; or a text of one's own.
Flow = Outflow[Entry | str]


def textOf(sub: str, item: Entry | str) -> str:
    """The frame of an item for the subscription `sub`."""
    return item if isinstance(item, str) else splice("gap" if item.gap else "event", sub, item.json)


class Reader(Protocol):
    """Who subscribed."""

    def say(self, frame: ServerFrame) -> None:
        """Send him this."""

    def complain(self, id: str | None, error: BaseException) -> None:
        """Tell him what went wrong with what he named `id`."""

    def pump(self) -> None:
        """Something waits for him that may go."""

    def overflow(self) -> None:
        """More waits for him than may."""


@attrs.define(eq=False)
class _Subscription:
    """One of them: a sink of the hub."""

    id: str
    _flow: Flow
    _reader: Reader
    _forget: Callable[[str], object]
    opening: Deferred[None] | None = None
    tap: Tap | None = None

    def begin(self, tap: Tap, pattern: str) -> None:
        """It is in force: tell what comes first."""
        self.opening, self.tap = None, tap
        opening = tap.opening
        size = sum(entry.size for entry in opening.entries)
        if not self._flow.hasRoom(size):
            raise Problem(429, "too much that was kept waits for credit already: grant some, then subscribe", retry_after=1)
        self._reader.say(Subscribed(self.id, pattern, opening.gap_id if opening.gap else opening.id))
        if opening.gap:
            self._flow.put(self.id, write(Gap(self.id, opening.gap_id, opening.gap)), 0, True, True)
        for entry in opening.entries:
            self._flow.put(self.id, entry, entry.size, bool(entry.gap), True)
        self._reader.pump()

    def take(self, batch: Batch) -> None:
        """See `Sink`."""
        for entry in batch.entries:
            if not self._flow.put(self.id, entry, entry.size, bool(entry.gap)):
                # What there is credit for goes first.
                self._reader.pump()
                if not self._flow.isWithin():
                    self._reader.overflow()
                    return
        self._reader.pump()

    def linked(self, is_linked: bool) -> None:
        """See `Sink`; every client hears of the link, whatever it subscribes to."""

    def ended(self, reason: str, detail: str) -> None:
        """See `Sink`."""
        self._forget(self.id)
        self._reader.say(Unsubscribed(self.id, f"{reason}: {detail}" if detail else reason))

    def end(self) -> None:
        """Let nothing come any more."""
        opening, self.opening = self.opening, None
        if opening is not None:
            opening.cancel()
        if self.tap is not None:
            self.tap.close()


class Subscriptions:
    """Subscribes as `agent`, for `reader`, into `flow`. What is asked for wrongly raises `Problem` or `NodeSetError`."""

    def __init__(self, bridge: Bridge, agent: Agent, flow: Flow, reader: Reader) -> None:
        self._bridge, self._agent, self._flow, self._reader = bridge, agent, flow, reader
        self._all: dict[str, _Subscription] = {}

    def __len__(self) -> int:
        return len(self._all)

    def open(self, frame: Sub) -> None:
        """Subscribe; answered when the dispatcher has confirmed it, or refused."""
        most = self._bridge.limits.max_subscriptions
        if frame.id in self._all:
            raise Problem(409, f"the subscription {frame.id!r} is there already: name this one otherwise")
        if len(self._all) >= most:
            raise Problem(429, f"{most} subscriptions are open, no more may be (max-subscriptions): end one of them")
        subscription = _Subscription(frame.id, self._flow, self._reader, self._forget)
        self._all[frame.id] = subscription
        opening = Deferred.fromCoroutine(self._open(frame, subscription))
        if not opening.called:
            subscription.opening = opening
        opening.addErrback(lambda failure: failure.trap(CancelledError) and None)

    async def _open(self, frame: Sub, subscription: _Subscription) -> None:
        try:
            tap = await self._bridge.hub.open(self._agent, [frame.pattern], frame.last_id, subscription)
            if self._all.get(frame.id) is not subscription:
                tap.close()
                return
            subscription.begin(tap, frame.pattern)
        except CancelledError:
            raise
        except Exception as error:
            if self._all.get(frame.id) is subscription:
                del self._all[frame.id]
                subscription.end()
                self._reader.complain(frame.id, error)

    def _forget(self, id: str) -> None:
        self._all.pop(id, None)

    def close(self, frame: Unsub) -> None:
        """End one; what waits of it is thrown away."""
        subscription = self._all.pop(frame.id, None)
        if subscription is None:
            raise Problem(404, f"there is no subscription {frame.id!r}: it was ended, or refused")
        subscription.end()
        self._flow.forget(frame.id)
        self._reader.say(Unsubscribed(frame.id, ""))

    def end(self) -> None:
        """End all; again is fine."""
        every, self._all = self._all, {}
        for subscription in every.values():
            subscription.end()
