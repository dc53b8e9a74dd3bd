"""Calls the handlers of a node, each with a message of its class; whatever they do ends here.

An exception is reported once, in the log with its traceback and in one line to the publisher; it stops no other handler. A
handler that returns a Deferred, or is `async def`, is waited for, but not for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count, repeat
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from nodeset.core import codec, tracing
from nodeset.core.address import matches, parse
from nodeset.core.batch import NO_HEADERS, Events
from nodeset.core.inbox import Delivery, makeDelivery
from nodeset.core.message import NodeMessage, setOrigin
from nodeset.core.meta import Meta
from nodeset.core.patience import Patience, deferredOf
from nodeset.core.stretch import Result, Stretch, oneByOne
from nodeset.core.utils import Caught
from nodeset.errors import NodeSetError

__all__ = ["Handlers", "Refusal"]

#: Event names whose handlers are remembered.
_REMEMBERED = 1024
#: Messages that are made ahead at most; runs that are not worth it; events to begin with, since their handlers may take time.
_AHEAD, _FEW, _ALONE = 64, 8, 4

_Handler = Callable[[NodeMessage], Any]


class Refusal(str):
    """Why an event could not be given to any handler."""

    __slots__ = ()


@attrs.frozen(eq=False)
class _Plan:
    """Who is called with an event of one name: each method with the class that it wants, after `onEvent` if that is there.

    `single` is the one method, in the usual case that there is nothing else to call.
    """

    handlers: tuple[tuple[_Handler, type[NodeMessage] | None], ...]
    on_event: Callable[[str, NodeMessage], Any] | None
    single: tuple[_Handler, type[NodeMessage] | None] | None


class Handlers:
    """The handlers of one node.

    :param owner: the node; `caught` names its methods.
    :param on_event: the node's `onEvent`, or None when that does nothing.
    :param patience: seconds after which a handler that has not finished counts as failed.
    """

    log = Logger()

    def __init__(
        self,
        owner: Any,
        caught: list[Caught],
        on_event: Callable[[str, NodeMessage], Any] | None,
        clock: IReactorTime,
        patience: float,
    ) -> None:
        self._owner, self._caught, self._on_event = owner, caught, on_event
        self._patience = Patience(clock, patience)
        self._plans: dict[str, _Plan] = {}
        self._deliverEach = oneByOne(self.deliver)
        self._stopped = False

    def waitFor(self, seconds: float) -> None:
        """Give each handler so long, of those that are called from now on."""
        self._patience.seconds = seconds

    def rest(self, seconds: float) -> Deferred[None]:
        """Fires when no handler works any more, after `seconds` at the latest."""
        return self._patience.rest(seconds)

    def stop(self) -> None:
        """Wait for nobody any more."""
        self._stopped = True
        self._patience.stop()

    def deliverRun(self, run: Events, stream: str, index: int, offset: int, more: Callable[[], bool]) -> Stretch:
        """Call the handlers of the events in `run` from `index` on, until one takes its time; see `DeliverRun`.

        In the usual case, one handler and events without headers, messages are made ahead: more of them while all goes well,
        since one that takes its time, or fails, leaves the rest to be made again.
        """
        plan = self._plans.get(run.event) or self._plan(run.event)
        handler, msg_class = plan.single or (None, None)
        few = len(run.lengths) - index <= _FEW
        if few or handler is None or msg_class is None or run.headers is not NO_HEADERS:
            return self._deliverEach(run, stream, index, offset, more)
        stretch = self._deliverEach(run, stream, index, offset, more, _ALONE)
        if stretch.reached < index + _ALONE or not more():
            return stretch
        index, offset = stretch.reached, stretch.offset
        origin = Meta(run.event, stream, run.first, run.again, NO_HEADERS, run.by)
        ahead = 4 * _ALONE
        while index < len(run.lengths) and not self._stopped:
            start, payloads = index, run.cut(index, offset, ahead)
            messages = codec.decodeMany(payloads, msg_class)
            if messages is None:
                stretch = self._deliverEach(run, stream, index, offset, more, ahead)
                index, offset = stretch.reached, stretch.offset
                if index - start < len(payloads) or not more():
                    return stretch
                continue
            deque(map(setOrigin, messages, zip(repeat(origin), count(run.first + index))), 0)
            for message in messages:
                try:
                    result = handler(message)
                except (Exception, SystemExit):  # sys.exit() in a handler ends the handler, not the service
                    result = self._report(Failure(), handler, run.event)
                else:
                    if result is not None:
                        result = self._await(result, handler, run.event)
                if result is not None:
                    offset += sum(map(len, payloads[: index - start]))
                    return Stretch(index, offset, makeDelivery(run, stream, index, payloads[index - start]), result)
                index += 1
                if self._stopped or (not index & 15 and not more()):
                    return Stretch(index, offset + sum(map(len, payloads[: index - start])))
            offset += sum(map(len, payloads))
            ahead = min(4 * ahead, _AHEAD)
        return Stretch(index, offset)

    def deliver(self, delivery: Delivery) -> Result:
        """Call the handlers of one event.

        :return: None when all went well, a text when a handler failed, a `Refusal` when none could be called, or a Deferred of
            None or a text, when a handler takes its time.
        """
        if delivery.packed_headers is NO_HEADERS:
            return self._deliver(delivery)
        try:
            traceparent = delivery.traceparent
        except NodeSetError as error:
            return self._refuse(delivery, error)
        if traceparent is None:
            return self._deliver(delivery)
        with tracing.entered(traceparent, f"process {delivery.event}") as visit:
            result = self._deliver(delivery)
            visit.until(result)
            return result

    def _deliver(self, delivery: Delivery) -> Result:
        plan = self._plans.get(delivery.event) or self._plan(delivery.event)
        if plan.single is None:
            return self._deliverToAll(plan, delivery)
        handler, msg_class = plan.single
        try:
            message = codec.decode(delivery.payload, msg_class, _isRaw(delivery))
        except NodeSetError as error:
            return self._refuse(delivery, error)
        setOrigin(message, delivery)
        try:
            result = handler(message)
        except (Exception, SystemExit):  # sys.exit() in a handler ends the handler, not the service
            return self._report(Failure(), handler, delivery.event)
        return None if result is None else self._await(result, handler, delivery.event)

    def _await(self, result: object, handler: Callable[..., Any], event: str) -> Deferred[str | None] | None:
        """What a handler returned: a Deferred to wait for, or nothing."""
        deferred = deferredOf(result)
        return None if deferred is None else self._watch(deferred, handler, event)

    def _deliverToAll(self, plan: _Plan, delivery: Delivery) -> Result:
        decoded: dict[type[NodeMessage] | None, NodeMessage] = {}
        # onEvent sees what the first @catch method sees, so that the usual event is decoded once.
        first = plan.handlers[0][1] if plan.handlers else None
        try:
            raw = _isRaw(delivery)
            for msg_class in dict.fromkeys([first, *(msg_class for _handler, msg_class in plan.handlers)]):
                message = decoded[msg_class] = codec.decode(delivery.payload, msg_class, raw)
                setOrigin(message, delivery)
        except NodeSetError as error:
            return self._refuse(delivery, error)
        calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        if plan.on_event is not None:
            calls.append((plan.on_event, (delivery.event, decoded[first])))
        calls += [(handler, (decoded[msg_class],)) for handler, msg_class in plan.handlers]
        waiting: list[Deferred[str | None]] = []
        reasons: list[str] = []
        for handler, arguments in calls:
            try:
                result = handler(*arguments)
            except (Exception, SystemExit):
                reasons.append(self._report(Failure(), handler, delivery.event))
                continue
            if result is not None and (deferred := deferredOf(result)) is not None:
                waiting.append(self._watch(deferred, handler, delivery.event))
        if not waiting:
            return reasons[0] if reasons else None
        all_done: Deferred[Any] = DeferredList(waiting)
        return all_done.addCallback(lambda results: next(iter(reasons + [why for _ok, why in results if why]), None))

    def _plan(self, event: str) -> _Plan:
        name = parse(event).eventName
        caught = [one for one in self._caught if matches(one.event, name)]
        if len(self._plans) >= _REMEMBERED:
            self._plans.clear()
        handlers = tuple((getattr(self._owner, one.method), one.msgClass) for one in caught)
        single = handlers[0] if len(handlers) == 1 and self._on_event is None else None
        plan = self._plans[event] = _Plan(handlers, self._on_event, single)
        return plan

    def _watch(self, deferred: Deferred[Any], handler: Callable[..., Any], event: str) -> Deferred[str | None]:
        return self._patience.watch(deferred, lambda failure: self._report(failure, handler, event))

    def _refuse(self, delivery: Delivery, error: NodeSetError) -> Refusal:
        self.log.warn("{node} refuses {event}: {reason}", node=self._owner.name, event=delivery.event, reason=str(error))
        return Refusal(f"{self._owner.name} refuses it: {error}")

    def _report(self, failure: Failure, handler: Callable[..., Any], event: str) -> str:
        """Say once that a handler failed; returns the same in one line, for the publisher."""
        name = getattr(handler, "__name__", repr(handler))
        node = self._owner.name
        self.log.failure("{node}.{handler} failed at {event}", failure, node=node, handler=name, event=event)
        kind = failure.type.__name__ if failure.type is not None else "Exception"
        return f"{node}.{name} raised {kind}"


def _isRaw(delivery: Delivery) -> bool:
    """Whether the payload is bytes as they are. Raises `ProtocolError` for headers that are none."""
    return delivery.packed_headers is not NO_HEADERS and delivery.headers.get("content_type") == "raw"
