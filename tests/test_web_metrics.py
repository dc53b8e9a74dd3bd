"""How the bridge itself is: health, readiness, metrics."""

from __future__ import annotations

import sys
from unittest import mock

import msgspec

from nodeset.core.grants.rights import Rights
from nodeset.errors import TimedOut
from nodeset.web.agent import Agent
from nodeset.web.anyone import Anyone
from nodeset.web.api.document import readDocument
from nodeset.web.figures.busiest import NodeTold
from nodeset.web.figures.reading import Sample, Snapshot
from tests.test_web_figures import FiguresCase


class HealthTests(FiguresCase):
    """Whether the bridge is well."""

    def test_health(self) -> None:
        """It serves, whatever the dispatcher does; nobody is asked who he is."""
        self.site.killDispatcher()
        self.bridge.access = _Nobody(self.bridge.own)
        answer = self.web.ask("GET", "/v1/health")
        self.assertEqual((answer.status, answer.json()["status"]), (200, "ok"))

    def test_ready(self) -> None:
        """It is ready while it is linked, until it drains; strangers do not learn where its dispatcher is."""
        self.assertEqual(self.web.ask("GET", "/v1/ready").status, 200)
        self.bridge.draining = True
        self.assertEqual(self.web.ask("GET", "/v1/ready").status, 503)
        self.bridge.draining = False
        self.site.killDispatcher()
        self.site.flush()
        near = self.web.ask("GET", "/v1/ready")
        far = self.web.ask("GET", "/v1/ready", {"X-Forwarded-For": "192.0.2.1"})
        self.assertEqual((near.status, far.status), (503, 503))
        self.assertTrue(near.json()["detail"].startswith(f"{far.json()['detail']}: "), near.body)


class DocumentTests(FiguresCase):
    """What openapi.json says of figures."""

    def test_schemas(self) -> None:
        """It describes samples, snapshots, nodes as the code has them, field by field."""
        described = msgspec.json.decode(readDocument())["components"]["schemas"]
        _told, schemas = msgspec.json.schema_components(
            (Sample, Snapshot, NodeTold), ref_template="#/components/schemas/{name}"
        )
        self.assertEqual({name: described[name] for name in schemas}, schemas)

    def test_answers(self) -> None:
        """What is answered has the members that it describes, no other ones."""
        self.site.advance(20)
        described = msgspec.json.decode(readDocument())["components"]["schemas"]
        figures, nodes = self.figures(), self.web.ask("GET", "/v1/nodes").json()
        parts = {
            "Figures": figures,
            "Sample": figures["history"][0],
            "Snapshot": figures["now"],
            "NodeRow": figures["now"]["nodes"][0],
            "Nodes": nodes,
            "NodeTold": nodes["nodes"][0],
        }
        for name, part in parts.items():
            self.assertEqual(set(part), set(described[name]["properties"]), name)


class _Nobody(Anyone):
    """Lets nobody in who is asked."""

    async def identify(self, request: object, body: bytes) -> Agent:
        raise TimedOut("nobody is known")


class MetricsTests(FiguresCase):
    """`/metrics` of the bridge."""

    def series(self, **headers: str) -> dict[str, float]:
        """The lines of the page."""
        self.site.advance(1.5)
        answer = self.web.ask("GET", "/metrics", headers)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertTrue(answer.headers["content-type"].startswith("text/plain"))
        lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def test_requests(self) -> None:
        """Requests are counted by route, method, class of the status; a path that is nothing makes no series of its own."""
        for _ in range(3):
            self.web.ask("GET", "/v1/health")
        for number in range(50):
            self.web.ask("GET", f"/nothing/{number}")
        found = self.series()
        self.assertEqual(found['nodeset_web_requests_total{method="GET",route="health",status="2xx"}'], 3)
        self.assertEqual(found['nodeset_web_requests_total{method="any",route="nowhere",status="4xx"}'], 50)
        self.assertEqual(found['nodeset_web_request_seconds_count{route="health"}'], 3)
        self.assertEqual(len([name for name in found if name.startswith("nodeset_web_requests_total")]), 2)

    def test_levels(self) -> None:
        """Streams that are open, by kind; whether the bridge is linked."""
        client = self.follow()
        self.assertEqual(self.series()['nodeset_web_streams{kind="figures"}'], 1)
        self.assertEqual(self.series()["nodeset_web_linked"], 1)
        client.leave()
        self.site.killDispatcher()
        self.site.flush()
        found = self.series()
        self.assertEqual((found['nodeset_web_streams{kind="figures"}'], found["nodeset_web_linked"]), (0, 0))
        self.assertEqual(found['nodeset_web_streams_opened_total{kind="figures"}'], 1)

    def test_parts(self) -> None:
        """What parts of the bridge count, by reason or by kind, is shown."""
        self.bridge.counters.update({"refused:body": 2, "cut:slow": 3, "events_out": 5, "odd": 1})
        reader = self.web.client()
        reader.ask("GET", "/v1/events/orders.*", {"Accept": "text/event-stream"})
        self.site.advance(1)
        self.site.publish("orders.created", number=1)
        found = self.series()
        self.assertEqual(found['nodeset_web_refusals_total{reason="body"}'], 2)
        self.assertEqual(found['nodeset_web_cuts_total{reason="slow"}'], 3)
        self.assertEqual((found["nodeset_web_events_out_total"], found["nodeset_web_feeds"]), (6, 1))
        self.assertGreater(found["nodeset_web_ring_bytes"], 0)
        self.assertEqual(found['nodeset_web_streams_opened_total{kind="sse"}'], 1)
        self.assertEqual(found['nodeset_web_streams{kind="sse"}'], 1)
        reader.leave()
        self.assertEqual(self.series()['nodeset_web_streams{kind="sse"}'], 0)
        self.assertEqual(found['nodeset_web_incidents_total{kind="odd"}'], 1)

    def test_strangers(self) -> None:
        """From elsewhere, through a proxy too, only who shows credentials sees them."""
        answer = self.web.ask("GET", "/metrics", {"X-Forwarded-For": "127.0.0.1"})
        self.assertEqual((answer.status, answer.headers["www-authenticate"]), (401, "Bearer"))
        far = self.web.client("192.0.2.1")
        far.ask("GET", "/metrics")
        self.site.flush()
        self.assertEqual(far.answers()[0].status, 401)
        self.actAs(Rights())
        self.series(Via="1.1 proxy")

    def test_missing(self) -> None:
        """Without the package prometheus-client the answer says what to install."""
        with mock.patch.dict(sys.modules, {"prometheus_client": None, "nodeset.web.figures.exposition": None}):
            answer = self.web.ask("GET", "/metrics")
        self.assertEqual(answer.status, 501)
        self.assertIn("nodeset[metrics]", answer.json()["detail"])
