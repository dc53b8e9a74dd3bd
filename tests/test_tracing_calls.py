"""Traces across calls, with OpenTelemetry and without."""

from __future__ import annotations

from msgspec import Raw
from twisted.internet.defer import Deferred

from nodeset import expose
from nodeset.core import tracing
from nodeset.core.calls.callee import _traceOf
from nodeset.core.calls.callframes import Call
from nodeset.core.utils import catch
from nodeset.errors import RemoteError
from tests.frames import encode
from tests.sites import Boom, Order, Quiet
from tests.test_tracing import RecordedCase, TraceCase, place


class Calc(Quiet):
    """Exposes methods that say in which trace they run."""

    gate: Deferred[None]

    @expose
    def where(self) -> str | None:
        self.publish("last", Order, note="called")
        return tracing.current()

    @expose
    async def later(self) -> list[str | None]:
        before = tracing.current()
        await self.gate
        return [before, tracing.current()]

    @expose
    async def further(self) -> list[str | None]:
        return [tracing.current(), await self.call("calc", "where")]

    @expose
    def fails(self) -> None:
        raise Boom("no")

    @expose
    async def failsLater(self) -> None:
        await self.gate
        raise Boom("no")

    @catch("jobs", Order)
    async def work(self, msg: Order) -> None:
        self.publish("last", Order, note=str(await self.call("calc", "where")))


class CallTests(TraceCase):
    """Without OpenTelemetry."""

    def setUp(self) -> None:
        self.patch(tracing, "_opentelemetry", lambda: None)
        super().setUp()
        self.calc = self.site.node(Calc, name="calc")
        self.calc.gate = Deferred()

    def test_none(self) -> None:
        """Who uses no traces sends none."""
        self.assertIsNone(self.site.wait(self.pub.call("calc", "where")))
        self.assertEqual(self.lasts(), {"called": None})
        self.assertFalse(tracing.isUsed())

    def test_continued(self) -> None:
        """A method runs as part of its caller's trace, to its end, and so does what it calls and publishes."""
        with tracing.span("order") as traceparent:
            where = self.pub.call("calc", "where")
            later, further = self.pub.call("calc", "later"), self.pub.call("calc", "further")
        after = self.pub.call("calc", "where")
        self.site.advance(0.1)
        self.calc.gate.callback(None)
        traces = [self.site.wait(where), *self.site.wait(later), *self.site.wait(further)]
        self.assertEqual({place(trace)[0] for trace in traces}, {place(traceparent)[0]})
        self.assertNotIn(traceparent, traces)
        self.assertEqual(traces[1], traces[2])
        self.assertIsNone(self.site.wait(after))

    def test_handlers(self) -> None:
        """From publish to handler, to the method that it calls, to what that publishes: one trace."""
        with tracing.span("order") as traceparent:
            self.publishes(self.pub, 1, "jobs")
        self.site.advance(0.1)
        lasts = self.lasts()
        self.assertEqual(len(lasts), 2)
        self.assertEqual({place(trace)[0] for trace in lasts.values()}, {place(traceparent)[0]})

    def test_hostile(self) -> None:
        """Headers of a call that are none are no trace."""
        for headers in (b"\xc1", encode([1]), encode({"traceparent": 5})):
            call = Call("s", 1, 1, "calc", "where", 0, 1, False, Raw(headers), b"[[],{}]")
            self.assertIsNone(_traceOf(call))


class RecordedCallTests(RecordedCase):
    """With OpenTelemetry."""

    def setUp(self) -> None:
        super().setUp()
        self.calc = self.site.node(Calc, name="calc")
        self.calc.gate = Deferred()

    def test_spans(self) -> None:
        """A method runs in a span whose parent is its caller's, which lasts as long as the method does."""
        with self.provider.get_tracer("shop").start_as_current_span("order") as span:
            where, later = self.pub.call("calc", "where"), self.pub.call("calc", "later")
            self.site.advance(0.1)
        self.assertNotIn("calc/later", self.spans())
        self.calc.gate.callback(None)
        traces = [self.site.wait(where), *self.site.wait(later)]
        for name, trace in zip(("calc/where", "calc/later", "calc/later"), traces, strict=True):
            served = self.spans()[name]
            self.assertEqual((served.kind, served.parent.is_remote), (self.trace.SpanKind.SERVER, True))
            self.assertEqual(served.parent.span_id, span.get_span_context().span_id)
            self.assertEqual(place(trace)[1], f"{served.context.span_id:016x}")

    def test_failures(self) -> None:
        """The span of a method that fails says so."""
        with self.provider.get_tracer("shop").start_as_current_span("order"):
            calls = [self.pub.call("calc", "fails"), self.pub.call("calc", "failsLater")]
        self.site.advance(0.1)
        self.calc.gate.callback(None)
        for call in calls:
            self.failing(RemoteError, call)
        self.assertEqual(len(self.flushLoggedErrors(Boom)), 2)
        for name in ("calc/fails", "calc/failsLater"):
            status = self.spans()[name].status
            self.assertEqual((status.is_ok, status.description), (False, "Boom"))
