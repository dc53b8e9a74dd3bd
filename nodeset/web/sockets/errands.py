"""What one client has asked for that is not done yet: its publishes, its calls."""

from __future__ import annotations

from base64 import b64decode
from functools import partial
from typing import Any, Final, Protocol

from msgspec import UNSET
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from nodeset.core.calls.items import Items
from nodeset.errors import Receipt as Became
from nodeset.web.agent import Agent
from nodeset.web.api.publishing import checkLinked, dedupOf, publish
from nodeset.web.api.wishes import PublishWishes
from nodeset.web.bridge import Bridge
from nodeset.web.problem import Problem
from nodeset.web.sockets.frames import Cancel, Cancelled, End, Item, Pub, Receipt, Req, Result, ServerFrame

__all__ = ["MAX_BYTES", "MAX_CALLS", "MAX_PUBLISHES", "Client", "Errands"]

#: Of one connection at a time.
MAX_PUBLISHES: Final = 1000
MAX_CALLS: Final = 100
#: Of the payloads of these publishes.
MAX_BYTES: Final = 8 * 1024 * 1024
_SOON: Final = 1


class Client(Protocol):
    """Who asked."""

    def say(self, frame: ServerFrame) -> None:
        """Send him this."""

    def complain(self, id: str | None, error: BaseException) -> None:
        """Tell him what went wrong with what he named `id`."""

    def spend(self) -> bool:
        """Take the credit of one event; whether there is any, and whether he takes what is sent."""

    def rested(self) -> None:
        """Nothing that he asked for is under way any more."""


class Errands:
    """Publishes, calls as `agent`, answers `client`. What is asked for wrongly raises `Problem` or `NodeSetError`."""

    def __init__(self, bridge: Bridge, agent: Agent, client: Client) -> None:
        self._bridge, self._agent, self._client = bridge, agent, client
        self._publishes = self._bytes = 0
        self._calls: dict[str, Deferred[None]] = {}
        self._waiting: dict[Deferred[None], None] = {}
        self._is_over = False

    @property
    def is_busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._publishes or self._calls)

    def _rest(self) -> None:
        if not self._is_over and not self.is_busy:
            self._client.rested()

    # -- publishing

    def publish(self, frame: Pub) -> None:
        """Publish it; a frame with an id is answered by a receipt, any by the error if there is one."""
        payload, raw = _payloadOf(frame)
        if self._publishes >= MAX_PUBLISHES or self._bytes + len(payload) > MAX_BYTES:
            raise Problem(
                429,
                f"{self._publishes} events of {self._bytes} bytes are under way: wait for their receipts",
                retry_after=_SOON,
            )
        checkLinked(self._agent)
        wishes = PublishWishes(frame.confirm, frame.delivery, frame.ttl, frame.retain)
        dedup = None if frame.key is None else dedupOf(self._agent, frame.key)
        timeout = self._bridge.limits.request_timeout
        published = publish(self._agent, frame.event, payload, raw, wishes, timeout, dedup)
        self._publishes += 1
        self._bytes += len(payload)
        published.addBoth(self._published, len(payload))
        published.addCallbacks(partial(self._confirm, frame.id), partial(self._deny, frame.id))
        published.addCallback(lambda done: self._rest())

    def _published(self, result: Any, size: int) -> Any:
        self._publishes -= 1
        self._bytes -= size
        return result

    def _confirm(self, id: str | None, became: Became) -> None:
        if id is not None and not self._is_over:
            self._client.say(Receipt(id, became.matched, became.delivered, became.dropped))

    def _deny(self, id: str | None, failure: Failure) -> None:
        error = failure.value
        if error is not None and not self._is_over:
            self._client.complain(id, error)

    # -- calling

    def call(self, frame: Req) -> None:
        """Call it; answered by a result, or by items with an end."""
        if frame.id in self._calls:
            raise Problem(409, f"the call {frame.id!r} is not over: name this one otherwise")
        if len(self._calls) >= MAX_CALLS:
            raise Problem(429, f"{MAX_CALLS} calls are under way: wait for one of them", retry_after=_SOON)
        checkLinked(self._agent)
        timeout = self._bridge.limits.request_timeout if frame.timeout is None else frame.timeout
        # What is wrong with it is raised here, before it counts as a call.
        called = self._agent.node.call(
            frame.node, frame.method, *frame.args, kwargs=frame.kwargs, timeout=timeout, idempotent=frame.idempotent
        )
        running = self._calls[frame.id] = Deferred.fromCoroutine(self._follow(frame.id, called))
        if running.called:
            del self._calls[frame.id]
        running.addErrback(lambda failure: failure.trap(CancelledError) and None)

    async def _follow(self, id: str, called: Deferred[Any]) -> None:
        try:
            result = await called
            if isinstance(result, Items):
                await self._passOn(id, result)
            else:
                self._client.say(Result(id, result))
        except CancelledError:
            raise
        except Exception as error:
            if not self._is_over:
                self._client.complain(id, error)
        finally:
            self._calls.pop(id, None)
            self._rest()

    async def _passOn(self, id: str, items: Items) -> None:
        try:
            async for value in items:
                while not self._client.spend():
                    await self._room()
                self._client.say(Item(id, value))
            self._client.say(End(id))
        finally:
            await items.aclose()

    def _room(self) -> Deferred[None]:
        """Fires when there may be credit; fails with `Problem` when for too long there was none."""
        seconds = self._bridge.limits.request_timeout
        room: Deferred[None] = Deferred(lambda given_up: self._waiting.pop(given_up, None))
        self._waiting[room] = None

        def late() -> None:
            del self._waiting[room]
            room.errback(Problem(504, f"there was no credit for an item in {seconds:g} s: the call was ended"))

        timer = self._bridge.clock.callLater(seconds, late)

        def over(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            return result

        return room.addBoth(over)

    def wake(self) -> None:
        """There may be credit now."""
        waiting, self._waiting = self._waiting, {}
        for room in waiting:
            if not room.called:  # what the one before it did may have ended the connection
                room.callback(None)

    def cancel(self, frame: Cancel) -> None:
        """End a call, tell its method."""
        running = self._calls.pop(frame.id, None)
        if running is None:
            raise Problem(404, f"no call {frame.id!r} is under way: it was answered, or never made")
        running.cancel()
        self._client.say(Cancelled(frame.id))

    def end(self) -> None:
        """Nobody waits any more: cancel the calls. What is being published goes its way."""
        self._is_over = True
        calls, self._calls = self._calls, {}
        for running in calls.values():
            running.cancel()


def _payloadOf(frame: Pub) -> tuple[bytes, bool]:
    """The payload, and whether it is raw. Raises `Problem`."""
    if frame.base64 is UNSET:
        if frame.message is UNSET:
            raise Problem(400, 'it has no "message": give that, a JSON object, or "base64"')
        return bytes(frame.message), False
    if frame.message is not UNSET:
        raise Problem(400, 'it has "message" and "base64": give one of them')
    try:
        return b64decode(frame.base64, validate=True), True
    except ValueError as error:
        raise Problem(400, f'its "base64" cannot be read: {error}') from None
