"""Traces from publish to handler, with OpenTelemetry and without."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks

from nodeset.core import tracing
from nodeset.core.batch import NO_HEADERS
from nodeset.core.message import NodeMessage, RawMessage
from nodeset.core.node import Node
from nodeset.core.traceparent import parse
from nodeset.core.utils import catch
from tests.sites import Boom, Order, Quiet, RetainedCase, Shop


def place(traceparent: str | None) -> tuple[str, str]:
    """Trace and span of a traceparent, which there must be."""
    assert traceparent is not None
    trace = parse(traceparent)
    assert trace is not None
    return trace.trace_id, trace.span_id


class Chain(Quiet):
    """Handlers of every kind: each notes in which trace it runs, then publishes `last`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.traces: list[tuple[str, str | None]] = []
        self.gate: Deferred[None] = Deferred()
        self.came: list[NodeMessage] = []

    def note(self, kind: str) -> None:
        self.traces.append((kind, tracing.current()))
        self.publish("last", Order, note=kind)

    @catch("plain", Order)
    def plain(self, msg: Order) -> None:
        self.came.append(msg)
        self.note("plain")

    @catch("async", Order)
    async def later(self, msg: Order) -> None:
        self.note("async")
        await self.gate
        self.note("async later")

    @catch("inline", Order)
    @inlineCallbacks
    def inline(self, msg: Order) -> Any:
        self.note("inline")
        yield self.gate
        self.note("inline later")

    @catch("fails", Order)
    def fails(self, msg: Order) -> None:
        raise Boom()

    @catch("fails.later", Order)
    async def failsLater(self, msg: Order) -> None:
        await self.gate
        raise Boom()


class TraceCase(RetainedCase):
    """A process in which nobody used traces so far."""

    def setUp(self) -> None:
        self.patch(tracing._Use, "begun", False)
        super().setUp()
        self.chain = self.site.node(Chain)
        self.last = self.subscriber("last")
        self.chain.heard.clear()

    def lasts(self) -> dict[str, str | None]:
        """The trace of each `last` that came, by what it notes."""
        self.site.advance(0.1)
        return {msg.note.getValue(): msg.meta.traceparent for _event, msg in self.last.heard}


class OwnTests(TraceCase):
    """Without OpenTelemetry."""

    def setUp(self) -> None:
        self.patch(tracing, "_opentelemetry", lambda: None)
        super().setUp()

    def test_none(self) -> None:
        """Who uses no traces sends none, and nobody looks for any."""
        self.publishes(self.pub, 1, "plain")
        self.assertEqual((self.chain.traces, self.lasts()), ([("plain", None)], {"plain": None}))
        self.assertFalse(tracing.isUsed())
        assert self.pub._publisher is not None
        self.assertEqual(self.pub._publishEncoded, self.pub._publisher.publish)
        self.assertIsNone(tracing.outgoing())

    def test_continued(self) -> None:
        """What is published in a span carries it; handlers of every kind run as part of its trace, and pass it on."""
        self.publishes(self.pub, 0, "plain")  # so that the next one goes the quick way
        with tracing.span("checkout") as traceparent:
            for event in ("plain", "async", "inline"):
                self.pub.publish(event, Order, id=1)
        self.pub.publish("plain", Order, id=2)
        self.site.advance(0.1)
        self.chain.gate.callback(None)
        self.site.advance(0.1)
        trace_id, span_id = place(traceparent)
        self.assertEqual([msg.meta and msg.meta.traceparent for msg in self.chain.came], [None, traceparent, None])
        self.assertEqual((self.chain.traces[0], self.chain.traces[-1]), (("plain", None), ("plain", None)))
        traces = dict(self.chain.traces[1:-1])
        self.assertEqual(sorted(traces), ["async", "async later", "inline", "inline later", "plain"])
        self.assertEqual({place(trace)[0] for trace in traces.values()}, {trace_id})
        self.assertNotIn(span_id, {place(trace)[1] for trace in traces.values()})
        self.last.heard = [(event, msg) for event, msg in self.last.heard if msg.meta.traceparent is not None]
        self.assertEqual(self.lasts(), traces)
        self.assertIsNone(tracing.current())

    def test_nested(self) -> None:
        """A span within another is part of the same trace; afterwards the outer one is the current one."""
        with tracing.span("outer") as outer:
            with tracing.span("inner") as inner:
                self.assertEqual(tracing.current(), inner)
            self.assertEqual((tracing.current(), tracing.outgoing()), (outer, outer))
        self.assertEqual(place(outer)[0], place(inner)[0])
        self.assertNotEqual(outer, inner)
        with tracing.span("another") as another:
            self.assertNotEqual(place(another)[0], place(outer)[0])

    def test_imported(self) -> None:
        """Whether the program has imported OpenTelemetry is found out without importing it."""
        code = (
            "import sys; from nodeset.core import tracing, node; assert not tracing.isUsed()\n"
            "assert not any(name.startswith('opentelemetry') for name in sys.modules)\n"
            "import opentelemetry.trace; assert tracing.isUsed() and tracing.outgoing() is None"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

    def test_allWays(self) -> None:
        """Many at once, a message that exists, one with an id: all carry it, beside their own headers."""
        node = self.subscriber("raw", "ev")
        with tracing.span("all") as traceparent:
            self.site.wait(self.pub.publishMessage("raw", RawMessage(b"\x00"), dedup="a"))
            self.site.wait(self.pub.publishMany("ev", Order, [{"id": 1}, {"id": 2}]))
            self.site.wait(self.pub.publish("ev", Order, id=3, retain=True, level="handled"))
        self.assertEqual([msg.meta.traceparent for _event, msg in node.heard], [traceparent] * 4)
        self.assertEqual(node.heard[0][1].meta.headers, {"content_type": "raw", "dedup": "a", "traceparent": traceparent})
        late = self.subscriber("ev")
        self.assertEqual([msg.meta.traceparent for _event, msg in late.heard], [None])

    def test_leak(self) -> None:
        """An event that comes after one of a trace is no part of that, however the handler of that one ended."""
        with tracing.span("first"):
            self.pub.publish("async", Order, id=1)
        self.pub.publish("plain", Order, id=2)
        self.site.advance(0.1)
        self.chain.gate.callback(None)
        self.site.advance(0.1)
        self.assertEqual(self.chain.traces[-1], ("plain", None))

    def test_invalid(self) -> None:
        """A traceparent that is none changes nothing."""
        for bad in ("", "00-0-0-0", "x" * 2000):
            with tracing.entered(bad, "process") as visit:
                self.assertIsNone(tracing.current())
                visit.failed("whatever")
        with tracing.span("outer"), tracing.entered(None, "process"):
            self.assertIsNone(tracing.current())

    def test_restarted(self) -> None:
        """A node that is started when traces are in use looks for them from the beginning."""
        with tracing.span("before"):
            pass
        node = self.site.node(Node)
        with tracing.span("now") as traceparent:
            self.publishes(node, 1, "plain")
        assert self.chain.came[0].meta is not None
        self.assertEqual(self.chain.came[0].meta.traceparent, traceparent)
        self.assertIsNot(self.chain.came[0].meta.packed_headers, NO_HEADERS)


class RecordedCase(TraceCase):
    """With OpenTelemetry and its SDK, which records spans in memory."""

    def setUp(self) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        # For all other tests the program has not imported it.
        sys.modules.pop("opentelemetry.trace", None)
        self.patch(tracing, "_opentelemetry", lambda: trace)
        self.trace = trace
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.patch(trace, "_TRACER_PROVIDER", self.provider)
        super().setUp()

    def spans(self) -> dict[str, Any]:
        """The spans that are over, by name."""
        return {span.name: span for span in self.exporter.get_finished_spans()}


class OpenTelemetryTests(RecordedCase):
    """Handlers, with OpenTelemetry."""

    def test_parents(self) -> None:
        """The span of the program is the parent of that of the handler, which is that of what the handler publishes."""
        with self.provider.get_tracer("shop").start_as_current_span("checkout") as span:
            self.publishes(self.pub, 1, "plain")
            self.site.advance(0.1)
        context = span.get_span_context()
        handled = self.spans()["process plain"]
        self.assertEqual((handled.parent.span_id, handled.parent.is_remote), (context.span_id, True))
        self.assertEqual(handled.context.trace_id, context.trace_id)
        self.assertEqual((handled.kind, handled.status.is_ok), (self.trace.SpanKind.CONSUMER, True))
        self.assertEqual(place(self.lasts()["plain"]), (f"{context.trace_id:032x}", f"{handled.context.span_id:016x}"))

    def test_later(self) -> None:
        """The span of a handler that takes its time lasts as long; it is the current one there to the end."""
        with self.provider.get_tracer("shop").start_as_current_span("checkout"):
            self.publishes(self.pub, 1, "async")
        self.assertNotIn("process async", self.spans())
        self.chain.gate.callback(None)
        handled = self.spans()["process async"]
        for note in ("async", "async later"):
            self.assertEqual(place(self.lasts()[note])[1], f"{handled.context.span_id:016x}")

    def test_failures(self) -> None:
        """The span of a handler that fails says so, by the type of the error."""
        with self.provider.get_tracer("shop").start_as_current_span("checkout"):
            self.publishes(self.pub, 1, "fails")
            self.publishes(self.pub, 1, "fails.later")
        self.chain.gate.callback(None)
        self.site.advance(0.1)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 2)
        for name in ("process fails", "process fails.later"):
            status = self.spans()[name].status
            self.assertEqual((status.is_ok, "Boom" in (status.description or "")), (False, True))

    def test_own(self) -> None:
        """`tracing.span` records a span under its name, a part of the current one."""
        with tracing.span("outer") as outer, tracing.span("inner") as inner:
            self.publishes(self.pub, 1, "plain")
        spans = self.spans()
        self.assertEqual(spans["inner"].parent.span_id, spans["outer"].context.span_id)
        self.assertEqual(place(outer)[1], f"{spans['outer'].context.span_id:016x}")
        self.assertEqual(place(inner)[1], f"{spans['process plain'].parent.span_id:016x}")

    def test_noTrace(self) -> None:
        """Events without a trace begin none."""
        self.publishes(self.pub, 1, "plain")
        self.assertEqual((self.lasts(), self.spans()), ({"plain": None}, {}))

    def test_withoutSdk(self) -> None:
        """With the API alone nothing is recorded; a trace that came is passed on all the same, and `span` works."""
        self.patch(self.trace, "_TRACER_PROVIDER", None)
        with tracing.span("own") as traceparent:
            self.publishes(self.pub, 1, "plain")
        self.assertEqual(place(self.lasts()["plain"])[0], place(traceparent)[0])
        self.assertEqual(self.spans(), {})

    def test_notSampled(self) -> None:
        """Whoever does not record a trace says so, and those behind him record nothing of it either."""
        trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
        with tracing.entered(f"00-{trace_id}-00f067aa0ba902b7-00", "process", "SERVER"):
            self.publishes(self.pub, 1, "plain")
        last = self.lasts()["plain"]
        self.assertEqual((place(last)[0], last and last[-2:]), (trace_id, "00"))
        self.assertEqual(self.spans(), {})

    def test_quickWay(self) -> None:
        """A class that was published often without a trace carries one when there is one."""
        shop = self.site.node(Shop)
        for number in range(3):
            self.publishes(self.pub, number)
        with self.provider.get_tracer("shop").start_as_current_span("checkout"):
            self.publishes(self.pub, 3)
        self.assertEqual(shop.orders, [0, 1, 2, 3])
        self.assertIn("process orders.created", self.spans())
