"""Methods that are called over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred

from nodeset import expose
from nodeset.core.node import Node
from tests.test_api_events import JSON, EventsCase
from tests.webs import Answer


class Calc(Node):
    """What is called."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seen: list[str] = []
        self.runs = 0
        self.forever: Deferred[None] = Deferred(lambda deferred: self.seen.append("cancelled"))

    @expose
    def add(self, a: int, b: int = 1, *, timeout: int = 0) -> int:
        return a + b + timeout

    @expose
    def nothing(self) -> None:
        pass

    @expose
    def fail(self) -> None:
        raise LookupError("no such /secret/path")

    @expose
    async def wait(self) -> None:
        await self.forever

    @expose
    async def count(self, to: int, fail: bool = False) -> AsyncIterator[int]:
        try:
            for number in range(to):
                yield number
                self.runs += 1
            if fail:
                raise ValueError("enough")
        finally:
            self.seen.append("closed")

    @expose
    async def large(self) -> AsyncIterator[str]:
        for _ in range(1000):
            self.runs += 1
            yield "x" * 10_000

    @expose
    async def tick(self) -> AsyncIterator[int]:
        try:
            yield 1
            await self.forever
        except CancelledError:
            self.seen.append("stopped")
            raise


class CallTests(EventsCase):
    """`POST /v1/calls/{node}/{method}`."""

    def setUp(self) -> None:
        super().setUp()
        self.calc = self.site.node(Calc, name="calc")

    def call(self, method: str, body: bytes = b"", node: str = "calc", **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.web.ask("POST", f"/v1/calls/{node}/{method}", {**JSON, **given}, body)

    def test_result(self) -> None:
        """A method is called by position or by name, its result comes as JSON; no body is no arguments."""
        self.assertEqual(self.call("add", b'{"args":[1,2]}').json(), {"result": 3})
        self.assertEqual(self.call("add", b'{"args":[1],"kwargs":{"b":4,"timeout":1}}').json(), {"result": 6})
        self.assertEqual(self.call("add", b'{"kwargs":{"a":1}}', node="calc@localhost").json(), {"result": 2})
        self.assertEqual(self.web.ask("POST", "/v1/calls/calc/nothing").json(), {"result": None})

    def test_raised(self) -> None:
        """What the method raised is 502 with the name of the exception, without its traceback."""
        fields = self.problem(self.call("fail"), 502, "no such /secret/path")
        self.assertEqual(fields["error"], "LookupError")
        self.site.flushErrors(LookupError)

    def test_wrong(self) -> None:
        """Each mistake has its status."""
        for method, body, node, status, said in (
            ("add", b"{}", "nobody", 404, "nobody"),
            ("missing", b"{}", "calc", 404, "missing"),
            ("add", b'{"args":["x"]}', "calc", 422, "a"),
            ("add", b'{"args":[1,2,3]}', "calc", 422, "add"),
            ("add", b'{"args":{}}', "calc", 400, "Expected `array`, got `object` at args"),
            ("add", b"[1]", "calc", 400, "Expected `object`, got `array`"),
            ("add", b'{"a":1}', "calc", 400, "unknown field `a`"),
            ("add", b'{"args":[1,}', "calc", 400, "line 1, column 12"),
            ("add", b'{"args":' + b"[" * 50 + b"]" * 50 + b"}", "calc", 422, "nested deeper"),
            ("add", b'{"args":' + b"[" * 5000, "calc", 400, "nested too deep"),
            ("add", b'{"args":[99999999999999999999]}', "calc", 422, "64 bits"),
            ("add", b"{}", "a%20b", 400, "a b"),
            ("x" * 300, b"{}", "calc", 422, "1 to 255"),
        ):
            self.problem(self.call(method, body, node), status, said)
        self.problem(self.web.ask("POST", "/v1/calls/calc/add", {"Content-Type": "text/plain"}, b"{}"), 415, "application/json")
        self.problem(self.call("add", NodeSet_Timeout="never"), 400, "NodeSet-Timeout is 'never'")
        self.problem(self.call("add", Idempotency_Key="k"), 400, "is for events")

    def test_timeout(self) -> None:
        """A method that takes longer than it may is 504; more than a request's usual time may be given."""
        self.problem(self.call("wait", NodeSet_Timeout="0.5"), 504, "wait")
        self.calc.forever = Deferred()
        client = self.web.client()
        client.ask("POST", "/v1/calls/calc/wait", {"NodeSet-Timeout": "300"})
        self.site.advance(200.0)
        self.assertEqual(client.received, b"")
        self.calc.forever.callback(None)
        self.site.until(lambda: client.received)
        self.assertEqual(client.answers()[0].json(), {"result": None})

    def test_gone(self) -> None:
        """A client that leaves cancels what it called."""
        client = self.web.client()
        client.ask("POST", "/v1/calls/calc/wait")
        self.site.advance(0.5)
        client.leave(clean=False)
        self.site.until(lambda: self.calc.seen == ["cancelled"])

    def test_noDispatcher(self) -> None:
        """Without a dispatcher it is 503."""
        self.site.killDispatcher()
        self.site.until(lambda: not self.web.bridge.node.is_linked)
        self.problem(self.call("add"), 503, "no link")

    def test_stream(self) -> None:
        """A stream is a line for each item, then their number, or what went wrong."""
        answer = self.call("count", b'{"args":[3]}')
        self.assertEqual(answer.headers["content-type"], "application/x-ndjson")
        self.assertEqual(answer.body, b'{"item":0}\n{"item":1}\n{"item":2}\n{"end":3}\n')
        self.assertEqual(self.call("count", b'{"args":[0]}').body, b'{"end":0}\n')
        lines = self.call("count", b'{"args":[2,true]}').body.splitlines()
        self.assertEqual(lines[:2], [b'{"item":0}', b'{"item":1}'])
        self.assertIn(b'"status":502', lines[2])
        self.assertIn(b'"error":"ValueError"', lines[2])
        self.problem(self.call("count", b'{"args":[0,true]}'), 502, "enough")
        self.site.flushErrors(ValueError)

    def test_streamLeft(self) -> None:
        """A client that leaves ends the stream at its source."""
        client = self.web.client()
        client.ask("POST", "/v1/calls/calc/tick")
        self.site.until(lambda: b'{"item":1}' in client.received)
        client.leave(clean=False)
        self.site.until(lambda: self.calc.seen)

    def test_streamSlow(self) -> None:
        """A method waits for a client that does not read; one that never does is cut."""
        client = self.web.client()
        client.ask("POST", "/v1/calls/calc/large")
        client.channel.pauseProducing()
        self.site.advance(10.0)
        self.assertLess(self.calc.runs, 300)
        self.assertFalse(client.is_closed)
        client.channel.resumeProducing()
        self.site.until(lambda: client.received.endswith(b'{"end":1000}\n\r\n0\r\n\r\n'))
        slow = self.web.client()
        slow.ask("POST", "/v1/calls/calc/large")
        slow.channel.pauseProducing()
        self.site.advance(31.0)
        self.assertTrue(slow.is_closed)
        self.assertEqual(self.web.bridge.counters["cut:slow"], 1)
        slow.leave(clean=False)

    def test_streams(self) -> None:
        """More streams than may be open are refused."""
        client = self.web.client()
        client.ask("POST", "/v1/calls/calc/tick")
        self.site.until(lambda: b'{"item":1}' in client.received)
        self.web.bridge.limits = evolve(self.web.bridge.limits, max_streams=1)
        answer = self.call("tick")
        self.problem(answer, 429, "1 streams are open")
        self.assertEqual(answer.headers["retry-after"], "1")
