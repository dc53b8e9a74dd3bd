"""The original's node for web programs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from nodeset.core.message import NodeMessage, RawMessage
from nodeset.core.patience import deferredOf
from nodeset.errors import BadMessage, LocalError, NodeSetError
from nodeset.web.bridge_node import BridgeNode
from nodeset.web.legacy.builder import WebMessageBuilder, readMessage

__all__ = ["WebBridgeNode"]


class WebBridgeNode(BridgeNode):
    """A node that calls functions with events, several for one event; `NodeSetSite` stands on it.

    It looks on: an event of mode `one` goes past it, to those who work.
    """

    builderClass = WebMessageBuilder

    def __init__(self, *args: Any, **about: Any) -> None:
        super().__init__(*args, **about)
        self._called: dict[str, tuple[str, Callable[[str, RawMessage], object]]] = {}
        self._last: tuple[RawMessage, NodeMessage | None] | None = None

    def subscribe(self, name: str, cb: Callable[..., object] | None = None, *args: Any, **kw: Any) -> Any:
        """Call `cb(msg, subId, *args, **kw)` with each event of this name, or that this pattern matches.

        Its dispatcher hears of it once, however many subscribe. What `cb` raises, at once or by a Deferred, is logged and
        stops nobody else. When the dispatcher refuses the subscription, that is logged and nothing stands. Without `cb`,
        this is `Node.subscribe`.

        :return: subId, a text for `unsubscribe`.
        :raise InvalidAddressing: for what is no name or pattern.
        """
        if cb is None:
            return super().subscribe(name, *args, **kw)
        if not callable(cb):
            raise LocalError(f"subscribe({name!r:.80}, ...) takes a function to call, not {cb!r:.60}")
        sub_id = str(uuid.uuid4())

        def take(event: str, msg: RawMessage) -> None:
            self._call(name, msg, cb, sub_id, args, kw)

        self._called[sub_id] = (name, take)
        try:
            listening = self.listen(name, take)
        except NodeSetError:
            del self._called[sub_id]
            raise
        listening.addErrback(self._forget, name, sub_id)
        return sub_id

    def unsubscribe(self, name: str, subscriptionId: str | None = None) -> Deferred[bool]:
        """Undo the `subscribe` that returned this id; the last one for an event unsubscribes at the dispatcher.

        Fires at once, with False when there was nothing to undo. Without an id, this is `Node.unsubscribe`.
        """
        if subscriptionId is None:
            return super().unsubscribe(name)
        known, take = self._called.get(subscriptionId, ("", None))
        if take is None or known != name:
            return succeed(False)
        del self._called[subscriptionId]
        self.unlisten(name, take)
        return succeed(True)

    def _forget(self, failure: Failure, name: str, sub_id: str) -> None:
        if self._called.pop(sub_id, None) is not None:
            self.log.warn("{node} gets no {event}: {reason}", node=self.name, event=name, reason=failure.getErrorMessage())

    def _call(
        self, name: str, msg: RawMessage, cb: Callable[..., object], sub_id: str, args: tuple[Any, ...], kw: dict[str, Any]
    ) -> None:
        if sub_id not in self._called:
            return  # an earlier callback of this event ended it
        message = self._read(msg)
        if message is None:
            return
        try:
            result = deferredOf(cb(message, sub_id, *args, **kw))
        except Exception:
            self._report(Failure(), name, cb)
        else:
            if result is not None:
                result.addErrback(self._report, name, cb)

    def _report(self, failure: Failure, name: str, cb: Callable[..., object]) -> None:
        called = getattr(cb, "__name__", repr(cb))
        self.log.failure("{node}: {callback} failed at {event}", failure, node=self.name, callback=called, event=name)

    def _read(self, msg: RawMessage) -> NodeMessage | None:
        """The message with its fields, read once for all callbacks; None for one that cannot be read, which is logged once."""
        if self._last is None or self._last[0] is not msg:
            try:
                self._last = msg, readMessage(msg)
            except BadMessage as error:
                self._last = msg, None
                event = msg.meta.event if msg.meta is not None else ""
                self.log.warn("{node} cannot read {event}: {reason}", node=self.name, event=event, reason=str(error))
        return self._last[1]
