"""Which trace the running code is part of.

::

    with tracing.span("checkout"):
        node.publish("orders.created", Order, id=1)      # handlers that get it continue the trace

A handler that is given an event of a trace runs as part of it: so do an `async def` and whatever it awaits. Callbacks of a
Deferred are called in the context of whoever fires it, as always with Twisted.

When the program has imported OpenTelemetry, its current span goes before ours, `span` begins one of its, handlers run in one
whose parent is the publisher's. NodeSet never imports it: who has not, has nobody to record a span.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol
from weakref import WeakSet

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from nodeset.core import traceparent as codec
from nodeset.core.traceparent import Trace
from nodeset.version import __version__

__all__ = ["Visit", "Watcher", "current", "entered", "isUsed", "outgoing", "span", "watch"]

_current: ContextVar[Trace | None] = ContextVar("nodeset_trace", default=None)


class Watcher(Protocol):
    """Who wants to know when the first trace is begun."""

    def traceFromNowOn(self) -> None:
        """Somebody uses traces in this process."""


class _Use:
    """Whether anybody uses traces in this process, those who want to be told."""

    begun = False
    watchers: WeakSet[Any] = WeakSet()


def _opentelemetry() -> Any:
    """OpenTelemetry's `trace`, if the program has imported it."""
    return sys.modules.get("opentelemetry.trace")


def isUsed() -> bool:
    """Whether there may be a trace to continue: whoever publishes much need not look for one before that."""
    return _Use.begun or _opentelemetry() is not None


def watch(watcher: Watcher) -> None:
    """Tell `watcher`, while it lives, when there may be a trace; not if `isUsed` already."""
    _Use.watchers.add(watcher)


def _begin() -> None:
    if not _Use.begun:
        _Use.begun = True
        for watcher in list(_Use.watchers):
            watcher.traceFromNowOn()
        _Use.watchers.clear()


def current() -> str | None:
    """The traceparent of the running code; None when it is part of no trace."""
    trace = _place()
    return None if trace is None else codec.format(trace)


def _place() -> Trace | None:
    return _theirs(_opentelemetry()) or _current.get()


def _theirs(opentelemetry: Any) -> Trace | None:
    """The place of OpenTelemetry's current span, if it has one."""
    if opentelemetry is not None:
        context = opentelemetry.get_current_span().get_span_context()
        if context.is_valid:
            return Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}", bool(context.trace_flags & 1))
    return None


def outgoing() -> str | None:
    """The traceparent that an event or a call takes along; None when the running code is part of no trace."""
    if not isUsed():
        return None
    trace = _place()
    return None if trace is None else codec.format(trace)


class Visit:
    """What runs in a span, until it is left."""

    def __init__(self, span: Any = None) -> None:
        self._span = span
        self._waiting = False

    def until(self, result: object) -> None:
        """If `result` is a Deferred the span lasts until it has fired; a Failure there, or a text, is why it failed."""
        if self._span is not None:
            if isinstance(result, Deferred):
                self._waiting = True
                result.addBoth(self._ended)
            elif isinstance(result, str):
                self.failed(result)

    def _ended(self, result: Any) -> Any:
        if isinstance(result, Failure):
            self.failed(f"{result.type.__name__ if result.type is not None else 'Exception'}")
        elif isinstance(result, str):
            self.failed(result)
        self._span.end()
        return result

    def failed(self, reason: str) -> None:
        """What runs has failed."""
        if self._span is not None:
            opentelemetry = _opentelemetry()
            self._span.set_status(opentelemetry.Status(opentelemetry.StatusCode.ERROR, reason))

    def leave(self) -> None:
        """It is over, unless a Deferred is waited for."""
        if self._span is not None and not self._waiting:
            self._span.end()


def entered(traceparent: str | None, name: str, kind: str = "CONSUMER") -> AbstractContextManager[Visit]:
    """Run the body as part of the trace of an event or a call that came; without one, as part of none.

    :param name: of the span that OpenTelemetry is told of, if it is there.
    :param kind: which of its kinds that is: CONSUMER of an event, SERVER of a call.
    """
    trace = None if traceparent is None else codec.parse(traceparent)
    return _nowhere() if trace is None else _inside(trace, name, kind)


@contextmanager
def _nowhere() -> Iterator[Visit]:
    token = _current.set(None)
    try:
        yield Visit()
    finally:
        _current.reset(token)


@contextmanager
def _inside(trace: Trace, name: str, kind: str) -> Iterator[Visit]:
    _begin()
    opentelemetry = _opentelemetry()
    # What it publishes and calls names this visit as where it comes from.
    token = _current.set(Trace(trace.trace_id, secrets.token_hex(8), trace.sampled))
    try:
        if opentelemetry is None:
            yield Visit()
        else:
            with _recorded(opentelemetry, _remote(opentelemetry, trace), name, kind) as visit:
                yield visit
    finally:
        _current.reset(token)


def _remote(opentelemetry: Any, trace: Trace) -> Any:
    """The context whose span is the one of the publisher, or caller."""
    flags = opentelemetry.TraceFlags(int(trace.sampled))
    context = opentelemetry.SpanContext(int(trace.trace_id, 16), int(trace.span_id, 16), is_remote=True, trace_flags=flags)
    return opentelemetry.set_span_in_context(opentelemetry.NonRecordingSpan(context))


@contextmanager
def _recorded(opentelemetry: Any, parent: Any, name: str, kind: str) -> Iterator[Visit]:
    tracer = opentelemetry.get_tracer("nodeset", __version__)
    begun = tracer.start_span(name, context=parent, kind=opentelemetry.SpanKind[kind])
    visit = Visit(begun)
    try:
        with opentelemetry.use_span(begun, end_on_exit=False):
            yield visit
    finally:
        visit.leave()


@contextmanager
def span(name: str) -> Iterator[str]:
    """Run the body as a span of the current trace, or of a new one; gives its traceparent.

    With OpenTelemetry it is a span of its own, recorded under `name`; else it is known by what it publishes and calls alone.
    """
    _begin()
    opentelemetry = _opentelemetry()
    if opentelemetry is not None:
        with _recorded(opentelemetry, None, name, "INTERNAL"):
            theirs = _theirs(opentelemetry)
            if theirs is not None:
                yield codec.format(theirs)
                return
    before = _place()
    trace_id = secrets.token_hex(16) if before is None else before.trace_id
    trace = Trace(trace_id, secrets.token_hex(8), True if before is None else before.sampled)
    token = _current.set(trace)
    try:
        yield codec.format(trace)
    finally:
        _current.reset(token)
