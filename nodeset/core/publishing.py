"""The verbs by which a node publishes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from itertools import groupby
from types import EllipsisType
from typing import Any, ParamSpec, TypeVar

from msgspec import convert
from twisted.internet.defer import Deferred, fail

from nodeset.core import codec
from nodeset.core.arguments import checkClass, checkLevel, checkReserved, checkTimeout, publishable
from nodeset.core.blocks import Terms
from nodeset.core.codec import MAX_EVENT, write
from nodeset.core.message import NodeMessage, RawMessage
from nodeset.core.publisher import Publisher
from nodeset.core.shortcuts import Shortcuts, findTerms
from nodeset.errors import NotRunning, Receipt

__all__ = ["Publishing"]

P = ParamSpec("P")
R = TypeVar("R")


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

    def __init__(self, usual_timeout: float) -> None:
        self._usual_timeout = usual_timeout
        self._shortcuts = Shortcuts()
        self._publisher: Publisher | None = None
        self._publishEncoded: Callable[[Terms, bytes, bool], Deferred[Receipt]] = self._refuse

    def publishBy(self, publisher: Publisher | None) -> None:
        """Publish by this one from now on, or not at all: the node does not run."""
        self._publisher = publisher
        self._publishEncoded = self._refuse if publisher is None else publisher.publish

    def _publishLong(
        self,
        event_uri: str,
        msgClass: type[NodeMessage] | None = None,
        *,
        level: str = "delivered",
        timeout: float | EllipsisType | None = ...,
        wait: bool = True,
        **fields: Any,
    ) -> Deferred[Receipt]:
        """Publish a message of `msgClass` (None: of any fields) with `fields`.

        :param event_uri: `event`, or `host/event`, or `node@host/event`; a name, not a pattern.
        :param level: when to say so: `accepted` (queued for every match), `delivered` (the handler of every match was
            called), `handled` (every handler has finished).
        :param timeout: seconds until it fails with `OutcomeUnknown`, from the end of the reactor's turn, 50 ms late at most;
            else the settings' (60); None: never.
        :param wait: when the outbox is full wait for room, or with False fail with `Overloaded`.
        :return: fires with a `Receipt`, always true; nobody subscribed is `Receipt(0, 0, 0)`. Fails with `Undelivered` (a match
            is gone), `HandlerFailed`, `OutcomeUnknown` (the link or the time was lost before the answer), `Overloaded`,
            `NotRunning`.
        :raise InvalidAddressing: for an address that is none, or a pattern.
        :raise UnknownField: for a field that the class does not have.
        :raise BadMessage: for a value that cannot be sent.

        Fields that bear the name of an argument go by `publishMessage`. Before a dispatcher is there, what is published
        waits, bounded by the outbox, for as long as `timeout`.
        """
        checkReserved(fields)
        uri = publishable(event_uri)
        checkClass(msgClass)
        payload, mode = codec.encodeFields(msgClass, fields)
        terms = findTerms(uri, mode, level, timeout, self._usual_timeout)
        if level == "delivered" and timeout is ... and "_delivery_mode" not in fields:
            self._shortcuts.learn((event_uri, msgClass), terms, mode)
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
    ) -> Deferred[Receipt]:
        """Publish a message that exists; it is encoded now, so changing it later changes nothing. Else like `publish`."""
        uri = publishable(event_uri)
        checkClass(type(msg))
        payload, mode = codec.encode(msg), codec.deliveryMode(msg)
        terms = findTerms(uri, mode, level, timeout, self._usual_timeout, isinstance(msg, RawMessage))
        return self._publishEncoded(terms, payload, wait)

    def publishMany(
        self,
        event_uri: str,
        msgClass: type[NodeMessage] | None,
        items: Iterable[Mapping[str, Any]],
        *,
        level: str = "delivered",
        timeout: float | EllipsisType | None = ...,
        wait: bool = True,
    ) -> Deferred[Receipt]:
        """Publish one message for each of `items`, the fields of one, with one answer for all.

        All are checked before the first is published. Fires when every one is answered, with the sums; fails then with
        the error of the first that failed. Else like `publish`.
        """
        every = list(items)
        checkLevel(level)
        alike = self._encodeAlike(event_uri, msgClass, every) if level == "delivered" and timeout is ... else None
        if alike is None:
            alike = self._encodeMany(event_uri, msgClass, every, level, timeout)
        if self._publisher is None:
            return fail(self._notRunning())
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
    ) -> list[tuple[Terms, list[bytes]]]:
        uri = publishable(event_uri)
        checkClass(msg_class)
        checkTimeout(timeout, self._usual_timeout)  # for no items at all, nobody else would
        encoded = [codec.encodeFields(msg_class, fields) for fields in items]
        alike = [
            (findTerms(uri, mode, level, timeout, self._usual_timeout), [payload for payload, _mode in group])
            for mode, group in groupby(encoded, lambda one: one[1])
        ]
        usual = len(alike) == 1 and level == "delivered" and timeout is ...
        if usual and not any("_delivery_mode" in fields for fields in items):
            self._shortcuts.learn((event_uri, msg_class), alike[0][0], encoded[0][1])
        return alike

    def _refuse(self, terms: Terms, payload: bytes, wait: bool) -> Deferred[Receipt]:
        return fail(self._notRunning())

    def _notRunning(self) -> NotRunning:
        return NotRunning(f"the node {self.name} is not running: call startService() before publish()")
