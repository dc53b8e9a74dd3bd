"""The verbs by which a node publishes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from itertools import groupby
from types import EllipsisType
from typing import Any, ParamSpec, TypeVar

from msgspec import convert
from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail

from nodeset.core import codec, tracing
from nodeset.core.arguments import (
    checkClass,
    checkDedup,
    checkLevel,
    checkMode,
    checkRetain,
    checkTimeout,
    checkTtl,
    publishable,
)
from nodeset.core.batch import NO_HEADERS
from nodeset.core.blocks import Terms
from nodeset.core.codec import MAX_EVENT, write
from nodeset.core.headers import makeHeaders, withTrace
from nodeset.core.message import NodeMessage, RawMessage
from nodeset.core.publisher import Publisher
from nodeset.core.retained.keeping import Keeping
from nodeset.core.shortcuts import Shortcuts, findTerms
from nodeset.errors import NotRunning, Receipt

__all__ = ["Publishing"]

P = ParamSpec("P")
R = TypeVar("R")

_NOTHING = Terms("")


def _quickly(promise: Callable[P, R]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Decorates what does in the usual case what `promise` does, so that everybody but Python takes the one for the other.

    For each keyword of a call Python goes through all named parameters: a call with five fields takes three times as long
    when there are five of these (0.31 us instead of 0.11).
    """

    def dress(quick: Callable[..., R]) -> Callable[P, R]:
        # A call that Python itself refuses is refused under the name that its caller knows.
        promise.__name__, promise.__qualname__ = quick.__name__, quick.__qualname__
        return wraps(promise)(quick)

    return dress


class Publishing:
    """What of a node publishes."""

    name: str
    _traces = False
    _last_traced = (_NOTHING, "", _NOTHING)

    def __init__(self, usual_timeout: float) -> None:
        self._usual_timeout = usual_timeout
        self._shortcuts = Shortcuts()
        self._publisher: Publisher | None = None
        self._keeping: Keeping | None = None
        self._publishEncoded: Callable[[Terms, bytes, bool], Deferred[Receipt]] = self._refuse
        tracing.watch(self)

    def _setPublishTimeout(self, seconds: float) -> None:
        """Give each publish without a time-out of its own so long, from now on."""
        self._usual_timeout = seconds
        self._shortcuts.clear()  # their terms have the old one

    def publishBy(self, publisher: Publisher | None, keeping: Keeping | None = None) -> None:
        """Publish by these from now on, or not at all: the node does not run."""
        self._publisher, self._keeping = publisher, keeping
        self._publishEncoded = self._refuse if publisher is None else publisher.publish
        self._traces = False
        if tracing.isUsed():
            self.traceFromNowOn()

    def traceFromNowOn(self) -> None:
        """Somebody uses traces in this process: look for one at each publish. Until then it costs nothing."""
        if self._publisher is not None and not self._traces:
            self._traces = True
            self._publishEncoded = self._publishTraced

    def _publishTraced(self, terms: Terms, payload: bytes, wait: bool) -> Deferred[Receipt]:
        assert self._publisher is not None, "publishBy sets both"
        return self._publisher.publish(self._traced(terms), payload, wait)

    def _traced(self, terms: Terms) -> Terms:
        """The same, as part of the trace of the running code; again the same ones for those that follow, which share a run."""
        traceparent = tracing.outgoing()
        if traceparent is None:
            return terms
        before, within, traced = self._last_traced
        if before is not terms or within != traceparent:
            traced = replace(terms, headers=withTrace(terms.headers, traceparent))
            self._last_traced = terms, traceparent, traced
        return traced

    def _publishLong(
        self,
        event_uri: str,
        msgClass: type[NodeMessage] | None = None,
        *,
        level: str = "delivered",
        timeout: float | EllipsisType | None = ...,
        wait: bool = True,
        retain: bool = False,
        ttl: float | None = None,
        dedup: str | None = None,
        **fields: Any,
    ) -> Deferred[Receipt]:
        """Publish a message of `msgClass` (None: of any fields) with `fields`.

        :param event_uri: `event`, or `host/event`, or `node@host/event`; a name, not a pattern.
        :param level: when to say so: `accepted` (queued for every match), `delivered` (the handler of every match was
            called), `handled` (every handler has finished).
        :param timeout: seconds until it fails with `OutcomeUnknown`, from the end of the reactor's turn, 50 ms late at most;
            else the settings' (60); None: never.
        :param wait: when the outbox is full wait for room, or with False fail with `Overloaded`.
        :param retain: keep it as the event's last value, in this node, while it runs: who subscribes later is handed it then,
            with `msg.meta.retained`. `forget` ends that. With False, the one kept before stays.
        :param ttl: seconds from now after which nobody wants it any more: whoever holds it then drops it, which the receipt
            counts as dropped; before it was sent that is `Receipt(0, 0, 1)`. A retained one is kept no longer.
        :param dedup: an id, of 128 characters at most, by which a receiver knows a second one: it calls no handler for it
            within 2 minutes (of the last 10,000 ids), and answers that all is well. If the handler of the first one failed,
            the second one is a new try. In mode `one` each worker knows what it had itself.
        :return: fires with a `Receipt`, always true; nobody subscribed is `Receipt(0, 0, 0)`. Fails with `Undelivered` (a match
            is gone), `HandlerFailed`, `OutcomeUnknown` (the link or the time was lost before the answer), `Overloaded`,
            `NotRunning`.
        :raise InvalidAddressing: for an address that is none, or a pattern.
        :raise UnknownField: for a field that the class does not have.
        :raise BadMessage: for a value that cannot be sent.
        :raise Overloaded: for a value that cannot be retained, beside the 10,000 events or 64 MiB that are.

        Fields that bear the name of an argument go by `publishMessage`. Before a dispatcher is there, what is published
        waits, bounded by the outbox, for as long as `timeout`.
        """
        uri = publishable(event_uri)
        checkClass(msgClass)
        payload, mode = codec.encodeFields(msgClass, fields)
        terms = findTerms(uri, mode, level, timeout, self._usual_timeout, ttl=ttl)
        if checkRetain(retain, mode) or dedup is not None:
            return self._publishMarked(terms, payload, wait, retain, checkDedup(dedup))
        if level == "delivered" and timeout is ... and ttl is None and "_delivery_mode" not in fields:
            self._shortcuts.learn((event_uri, msgClass), terms, mode)
        if not self._traces and tracing.isUsed():
            self.traceFromNowOn()
        return self._publishEncoded(terms, payload, wait)

    @_quickly(_publishLong)
    def publish(self, *address: Any, **fields: Any) -> Deferred[Receipt]:
        """See `_publishLong`."""
        try:
            known = self._shortcuts[address]
            payload = write(convert(fields, known.kind))
            usual = len(payload) <= MAX_EVENT and known.msg_class._delivery_mode is known.mode
        except Exception:
            usual = False
        if usual:
            return self._publishEncoded(known.terms, payload, True)
        # Not met before, or with options among the fields, or wrong: the long way finds out.
        return self._publishLong(*address, **fields)

    def publishMessage(
        self,
        event_uri: str,
        msg: NodeMessage,
        *,
        level: str = "delivered",
        timeout: float | EllipsisType | None = ...,
        wait: bool = True,
        retain: bool = False,
        ttl: float | None = None,
        dedup: str | None = None,
    ) -> Deferred[Receipt]:
        """Publish a message that exists; it is encoded now, so changing it later changes nothing. Else like `publish`."""
        uri = publishable(event_uri)
        checkClass(type(msg))
        payload, mode = codec.encode(msg), codec.deliveryMode(msg)
        terms = findTerms(uri, mode, level, timeout, self._usual_timeout, isinstance(msg, RawMessage), ttl)
        if checkRetain(retain, mode) or dedup is not None:
            return self._publishMarked(terms, payload, wait, retain, checkDedup(dedup))
        return self._publishEncoded(terms, payload, wait)

    def publishPayload(
        self,
        event_uri: str,
        payload: bytes,
        *,
        mode: str = "all",
        level: str = "delivered",
        timeout: float | EllipsisType | None = ...,
        wait: bool = True,
        retain: bool = False,
        ttl: float | None = None,
        dedup: str | None = None,
    ) -> Deferred[Receipt]:
        """Publish a message that somebody else has written as a JSON object in UTF-8; it goes its way byte for byte.

        :param mode: `all` or `one`, which nothing in the payload says.

        Raises `BadMessage` for what is no such object, with the place, or holds what cannot be sent. Else like `publish`.
        """
        uri = publishable(event_uri)
        codec.checkPayload(payload)
        terms = findTerms(uri, checkMode(mode), level, timeout, self._usual_timeout, ttl=ttl)
        if checkRetain(retain, mode) or dedup is not None:
            return self._publishMarked(terms, payload, wait, retain, checkDedup(dedup))
        if not self._traces and tracing.isUsed():
            self.traceFromNowOn()
        return self._publishEncoded(terms, payload, wait)

    def _publishMarked(
        self, terms: Terms, payload: bytes, wait: bool, retain: bool = False, dedup: str | None = None
    ) -> Deferred[Receipt]:
        """Publish what has headers of its own, so that no two share their terms. Raises `Overloaded` for one too many."""
        raw, keeping = terms.headers is not NO_HEADERS, self._keeping
        if not retain or keeping is None:
            return self._publishEncoded(replace(terms, headers=makeHeaders(raw, dedup)), payload, wait)
        kept, before = keeping.keep(terms.event, payload, raw, terms.ttl)
        marked = replace(terms, headers=makeHeaders(raw, dedup, kept.number))
        published = self._publishEncoded(marked, payload, wait)
        if published.called:  # nothing but a failure comes so soon
            keeping.putBack(terms.event, before)
        return published

    def _keepLast(self, terms: Terms, payloads: list[bytes]) -> list[tuple[Terms, list[bytes]]]:
        """The same, the last one retained. Raises `Overloaded`."""
        assert self._keeping is not None, "the node runs"
        *before, last = payloads
        kept, _before = self._keeping.keep(terms.event, last, False, terms.ttl)
        marked = replace(terms, headers=makeHeaders(False, retained=kept.number)), [last]
        return [(terms, before), marked] if before else [marked]

    def forget(self, event_uri: str) -> bool:
        """Keep the last value of an event no longer, which `publish(..., retain=True)` began; returns whether one was kept.

        Who has had it keeps it, who subscribes from now on is handed nothing. A node that stops has forgotten all.

        :raise InvalidAddressing: for an address that is none, or a pattern.
        """
        uri = publishable(event_uri)
        return self._keeping is not None and self._keeping.forget(uri)

    def publishMany(
        self,
        event_uri: str,
        msgClass: type[NodeMessage] | None,
        items: Iterable[Mapping[str, Any]],
        *,
        level: str = "delivered",
        timeout: float | EllipsisType | None = ...,
        wait: bool = True,
        retain: bool = False,
        ttl: float | None = None,
    ) -> Deferred[Receipt]:
        """Publish one message for each of `items`, the fields of one, with one answer for all.

        All are checked before the first is published. Fires when every one is answered, with the sums; fails then with
        the error of the first that failed. Retained is the last one. Else like `publish`, whose `dedup` is for single events.
        """
        every = list(items)
        checkLevel(level)
        usual = level == "delivered" and timeout is ... and ttl is None
        alike = self._encodeAlike(event_uri, msgClass, every) if usual else None
        if alike is None:
            alike = self._encodeMany(event_uri, msgClass, every, level, timeout, ttl)
        if self._publisher is None:
            return fail(self._notRunning())
        if alike and checkRetain(retain, alike[-1][0].mode.name.lower()):
            alike += self._keepLast(*alike.pop())
        if tracing.isUsed():
            alike = [(self._traced(terms), payloads) for terms, payloads in alike]
        return self._publisher.publishMany(alike, wait)

    def _encodeAlike(
        self, event_uri: str, msg_class: type[NodeMessage] | None, items: list[Mapping[str, Any]]
    ) -> list[tuple[Terms, list[bytes]]] | None:
        """All payloads at once; None when such a call was not met before, or is unusual, or wrong."""
        try:
            known = self._shortcuts[event_uri, msg_class]
            payloads = [write(one) for one in convert(items, known.kinds)]
            mode = known.msg_class._delivery_mode
            usual = max(map(len, payloads)) <= MAX_EVENT and mode is known.mode
        except Exception:
            return None
        return [(known.terms, payloads)] if usual else None

    def _encodeMany(
        self,
        event_uri: str,
        msg_class: type[NodeMessage] | None,
        items: list[Mapping[str, Any]],
        level: str,
        timeout: float | EllipsisType | None,
        ttl: float | None,
    ) -> list[tuple[Terms, list[bytes]]]:
        uri = publishable(event_uri)
        checkClass(msg_class)
        checkTimeout(timeout, self._usual_timeout)  # for no items at all, nobody else would
        checkTtl(ttl)
        encoded = [codec.encodeFields(msg_class, fields) for fields in items]
        alike = [
            (findTerms(uri, mode, level, timeout, self._usual_timeout, ttl=ttl), [payload for payload, _mode in group])
            for mode, group in groupby(encoded, lambda one: one[1])
        ]
        usual = len(alike) == 1 and level == "delivered" and timeout is ... and ttl is None
        if usual and not any("_delivery_mode" in fields for fields in items):
            self._shortcuts.learn((event_uri, msg_class), alike[0][0], encoded[0][1])
        return alike

    def _refuse(self, terms: Terms, payload: bytes, wait: bool) -> Deferred[Receipt]:
        return fail(self._notRunning())

    def _notRunning(self) -> NotRunning:
        return NotRunning(f"the node {self.name} is not running: call startService() before publish()")
