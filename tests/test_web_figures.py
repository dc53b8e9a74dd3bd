"""What the bridge tells of the dispatcher, of its nodes, of itself."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any
from unittest import mock

import attrs
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.grants.chain import Caveat, Chain, Link
from nodeset.core.grants.rights import Rights
from nodeset.core.node import Node
from nodeset.web.agent import Agent
from nodeset.web.anyone import Anyone
from nodeset.web.bridge_node import BridgeNode
from nodeset.web.figures.watch import Figures
from tests.webs import Client, WebSite

_SSE = {"Accept": "text/event-stream"}


def events(client: Client) -> list[dict[str, Any]]:
    """What came over a stream of figures."""
    found = []
    for block in client.answers()[0].body.decode().split("\n\n"):
        lines = block.split("\n")
        if lines[0] == "event: figures":
            found.append(json.loads(lines[1].removeprefix("data: ")))
    return found


class FiguresCase(SynchronousTestCase):
    """A bridge that looks at a dispatcher."""

    def setUp(self) -> None:
        self.web = WebSite(self)
        self.site, self.bridge = self.web.site, self.web.bridge
        self.asked: list[str] = []
        call = self.bridge.node.call

        def counted(target: str, method: str, *args: Any, **options: Any) -> Any:
            self.asked.append(method)
            return call(target, method, *args, **options)

        patched = mock.patch.object(self.bridge.node, "call", counted)
        patched.start()
        self.addCleanup(patched.stop)

    def figures(self) -> dict[str, Any]:
        """What the page asks for first."""
        answer = self.web.ask("GET", "/v1/figures")
        self.assertEqual(answer.status, 200, answer.body)
        found: dict[str, Any] = answer.json()
        return found

    def follow(self) -> Client:
        """A page that looks on."""
        client = self.web.client()
        client.ask("GET", "/v1/figures", _SSE)
        self.site.flush()
        return client

    def actAs(self, rights: Rights, node: BridgeNode | None = None) -> None:
        """From now on everybody has these rights."""
        agent = Agent("grant x", self.bridge.node if node is None else node, rights)
        self.bridge.access = Anyone(agent)


class LookTests(FiguresCase):
    """How the dispatcher is asked, what comes of it."""

    def test_page(self) -> None:
        """Who opens the page sees the last ten minutes, the nodes, what they do, although nobody had it open before."""
        self.site.listen("orders.*")
        self.site.me.start()
        for _ in range(310):
            self.site.publish("orders.created", number=1)
            self.site.advance(2.0)
        found = self.figures()
        span = found["history"][-1]["at"] - found["history"][0]["at"]
        self.assertGreaterEqual(span, 580.0)
        self.assertLessEqual(span, 600.0)
        self.assertEqual(found["interval"], 2.0)
        self.assertEqual({sample["linked"] for sample in found["history"]}, {True})
        self.assertAlmostEqual(found["history"][-1]["published"], 0.5, delta=0.11)
        now = found["now"]
        self.assertEqual((now["linked"], now["reason"], now["site"], now["more_nodes"]), (True, "", "localhost", 0))
        rows = {row["name"]: row for row in now["nodes"]}
        self.assertEqual(set(rows), {"bridge", "me", "listener"})
        self.assertEqual((rows["listener"]["subscriptions"], rows["listener"]["subscribed"]), (["orders.*"], 1))
        self.assertAlmostEqual(rows["me"]["published"], 0.5, delta=0.11)

    def test_seldom(self) -> None:
        """While nobody looks the dispatcher is asked five times as seldom; who looked once counts for ten minutes."""
        self.site.advance(20)
        self.asked.clear()
        self.site.advance(100)
        self.assertEqual((self.asked.count("stats"), self.asked.count("nodes")), (10, 10))
        self.figures()
        self.asked.clear()
        self.site.advance(100)
        self.assertEqual(self.asked.count("stats"), 50)
        self.site.advance(510)
        self.asked.clear()
        self.site.advance(100)
        self.assertEqual(self.asked.count("stats"), 10)

    def test_stream(self) -> None:
        """A page that looks on gets what is known at once, each new sample, for as long as it stays."""
        self.site.advance(10)
        client = self.follow()
        self.assertEqual(len(events(client)), 1)
        self.assertEqual(client.answers()[0].headers["content-type"], "text/event-stream; charset=utf-8")
        self.site.advance(60)
        found = events(client)
        self.assertEqual(len(found), 31)
        self.assertEqual([set(each) for each in found], [{"sample", "now"}] * 31)
        self.assertTrue(all(each["sample"]["linked"] for each in found))
        client.leave()
        self.site.advance(590)
        self.assertTrue(self.bridge.figures.attended, "who left may come back")
        self.site.advance(20)
        self.assertFalse(self.bridge.figures.attended)

    def test_lost(self) -> None:
        """A dispatcher that goes is told of at once, with the reason; one that comes back as well, without rates."""
        client = self.follow()
        self.site.publish("a", number=1)
        self.site.advance(7)
        dispatcher = self.site.dispatcher
        assert dispatcher is not None
        before = len(events(client))
        self.site.killDispatcher()
        self.site.flush()
        lost = events(client)[before:]
        self.assertEqual([each["sample"]["linked"] for each in lost], [False])
        self.assertEqual(lost[0]["sample"]["published"], None)
        self.assertNotEqual(lost[0]["now"]["reason"], "")
        self.assertEqual(lost[0]["now"]["nodes"], [])
        self.assertEqual(self.figures()["now"]["linked"], False)
        self.site.advance(10)
        self.assertFalse(any(each["sample"]["linked"] for each in events(client)[before:]))
        self.site.startDispatcher()
        self.site.until(lambda: self.bridge.node.is_linked)
        self.site.flush()
        back = events(client)[-1]
        self.assertEqual((back["sample"]["linked"], back["sample"]["published"], back["now"]["reason"]), (True, None, ""))
        self.site.until(lambda: events(client)[-1]["sample"]["published"] is not None, timeout=5)

    def test_silent(self) -> None:
        """A dispatcher that stands still is as good as gone, before its link is."""
        client = self.follow()
        self.site.advance(5)
        assert self.site.dispatcher is not None
        self.site.freeze(self.site.dispatcher)
        self.site.advance(5)
        last = events(client)[-1]
        self.assertEqual(last["sample"]["linked"], False)
        self.assertIn("no answer", last["now"]["reason"])

    def test_manyNodes(self) -> None:
        """Of five hundred nodes two hundred are listed, the rest is counted; the dispatcher is asked for one page at a time."""
        for number in range(500):
            self.site.node(Node, name=f"n{number}")
        self.figures()
        self.site.advance(10)
        times = []
        call = self.bridge.node.call

        def timed(target: str, method: str, *args: Any, **options: Any) -> Any:
            if method == "nodes":
                times.append(self.site.clock.seconds())
            return call(target, method, *args, **options)

        with mock.patch.object(self.bridge.node, "call", timed):
            self.site.advance(20)
        self.assertGreaterEqual(min(later - earlier for earlier, later in pairwise(times)), 0.4)
        now = self.figures()["now"]
        self.assertEqual((len(now["nodes"]), now["more_nodes"]), (200, 301))
        self.assertEqual(self.bridge.figures.history.last and self.bridge.figures.history.last.queued_events, 0)

    def test_slowClient(self) -> None:
        """A page that does not read gets no backlog: the newest sample once it reads again; after half a minute it is cut."""
        client = self.follow()
        self.site.advance(4)
        producer = client.wire.producer
        assert producer is not None
        before = len(events(client))
        producer.pauseProducing()
        self.site.advance(20)
        self.assertEqual(len(events(client)), before)
        producer.resumeProducing()
        self.assertEqual(len(events(client)), before + 1)
        self.assertEqual(events(client)[-1]["sample"]["at"], self.bridge.figures.now.at)
        producer.pauseProducing()
        self.site.advance(40)
        self.assertTrue(client.wire.is_over)
        self.assertEqual(self.bridge.counters["cut:slow"], 1)

    def test_stops(self) -> None:
        """When the bridge stops its streams end as whole ones; no new one begins."""
        client = self.follow()
        self.site.wait(self.bridge.endStreams())
        self.assertTrue(client.received.endswith(b"0\r\n\r\n"), client.received[-20:])
        late = self.follow()
        self.assertEqual((late.answers()[0].status, late.answers()[0].headers["retry-after"]), (503, "1"))

    def test_many(self) -> None:
        """No more streams than are allowed; one that ends makes room."""
        self.bridge.limits = attrs.evolve(self.bridge.limits, max_streams=2)
        first, second, third = self.follow(), self.follow(), self.follow()
        self.assertEqual([client.answers()[0].status for client in (first, second, third)], [200, 200, 503])
        first.leave()
        self.assertEqual(self.follow().answers()[0].status, 200)
        self.assertFalse(second.is_closed)

    def test_notAllowed(self) -> None:
        """A bridge whose own grant does not let it ask says so, with what it needs; it is not that the dispatcher is gone."""
        furl = self.site.grant(call=["calc"])
        node = self.site.node(BridgeNode, name="less", grant=furl)
        figures = Figures(node, self.site.clock, self.bridge.wall)
        figures.startService()
        self.site.advance(5)
        self.assertEqual((figures.now.linked, figures.now.nodes), (True, []))
        self.assertIn("--call nodeset/stats", figures.now.reason)
        figures.stopService()

    def test_odd(self) -> None:
        """A dispatcher that answers with nonsense is asked again; the page says what is the matter."""
        with mock.patch.object(self.site.dispatcher, "_figures") as figures:
            figures.told.return_value = {"uptime": "long"}
            self.site.advance(10)
            self.assertIn("make no sense", self.figures()["now"]["reason"])
        self.site.advance(4)
        self.assertEqual(self.figures()["now"]["reason"], "")


class RightsTests(FiguresCase):
    """Who may see what."""

    def rights(self, *call: str) -> Rights:
        """Those of a grant for these calls."""
        chain: Chain = (Link(Caveat(bytes(8), call=list(call)), "x"),)
        return Rights(chain)

    def test_refused(self) -> None:
        """Without the right to ask the dispatcher itself nothing is told, as a stream neither; the problem names the grant."""
        self.actAs(self.rights("calc"))
        for path, method, headers in (
            ("/v1/figures", "stats", {}),
            ("/v1/figures", "stats", _SSE),
            ("/v1/nodes", "nodes", {}),
        ):
            answer = self.web.ask("GET", path, headers)
            self.assertEqual(answer.status, 403, answer.body)
            self.assertIn(f"--call nodeset/{method}", answer.json()["detail"])

    def test_nodeless(self) -> None:
        """Who may ask for figures, not for nodes, is told no node, not even how many are not listed."""
        self.actAs(self.rights("nodeset/stats"))
        self.site.advance(10)
        now = self.figures()["now"]
        self.assertEqual((now["linked"], now["nodes"], now["more_nodes"]), (True, [], 0))
        client = self.follow()
        self.site.advance(5)
        self.assertTrue(all(each["now"]["nodes"] == [] for each in events(client)))

    def test_expires(self) -> None:
        """A stream ends when the grant does by which it was opened."""
        caveat = Caveat(bytes(8), call=["nodeset"], expires=int(self.bridge.wall()) + 10)
        self.actAs(Rights((Link(caveat, "x"),)))
        client = self.follow()
        self.site.advance(9)
        self.assertFalse(client.is_closed)
        self.site.advance(4)
        self.assertTrue(client.is_closed)

    def test_ends(self) -> None:
        """A stream ends with the grant by which it was opened, whoever took it back; the bridge may be asked again."""
        self.actAs(Rights())
        client = self.follow()
        assert isinstance(self.bridge.access, Anyone)
        agent = self.site.wait(self.bridge.access.identify(client.channel, b""))
        self.assertTrue(agent.is_held)
        agent.end("its grant was revoked")
        self.assertTrue(client.is_closed)
        self.assertEqual((agent.is_held, self.bridge.counters["cut:ended"]), (False, 1))

    def test_ownNode(self) -> None:
        """The nodes are asked for by the node of who asks, so that the dispatcher has the last word."""
        node = self.site.node(BridgeNode, name="less", grant=self.site.grant(call=["calc"]))
        self.actAs(self.rights("nodeset"), node)
        answer = self.web.ask("GET", "/v1/nodes")
        self.assertEqual(answer.status, 403, answer.body)


class NodesTests(FiguresCase):
    """`/v1/nodes`."""

    def test_paged(self) -> None:
        """Page after page, of any size, shows each node once; by name, those of that name."""
        for number in range(30):
            self.site.node(Node, name=f"n{number % 3}")
        seen, after = [], ""
        while True:
            found = self.web.ask("GET", f"/v1/nodes?limit=7&after={after}").json()
            self.assertLessEqual(len(found["nodes"]), 7)
            seen += [node["stream"] for node in found["nodes"]]
            if found["next"] is None:
                break
            after = found["next"]
        self.assertEqual((len(seen), len(set(seen))), (31, 31))
        named = self.web.ask("GET", "/v1/nodes?name=n1").json()["nodes"]
        self.assertEqual([node["name"] for node in named], ["n1"] * 10)
        self.assertEqual(set(named[0]) >= {"host", "state", "subscriptions", "queued_events", "drops", "published"}, True)

    def test_wrong(self) -> None:
        """A parameter that makes no sense is the client's fault, which is told which it was."""
        for query, word in (
            ("limit=0", "limit"),
            ("limit=x", "limit"),
            ("limit=1&limit=2", "limit"),
            (f"name={'x' * 300}", "name"),
        ):
            answer = self.web.ask("GET", f"/v1/nodes?{query}")
            self.assertEqual(answer.status, 400, answer.body)
            self.assertIn(word, answer.json()["detail"])

    def test_gone(self) -> None:
        """While the dispatcher is gone who asks is told so at once, and when to come back."""
        self.site.killDispatcher()
        self.site.flush()
        before = self.site.clock.seconds()
        answer = self.web.ask("GET", "/v1/nodes")
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        self.assertEqual(self.site.clock.seconds(), before)
