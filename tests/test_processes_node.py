"""A supervisor on the bus: whoever comes is told how its programs are."""

from __future__ import annotations

import uuid
from typing import Any

from twisted.internet.defer import execute
from twisted.logger import capturedLogs, formatEvent

from nodeset.processes.events import EVERYTHING, CenterHere
from nodeset.processes.output.shipping import Shipping
from nodeset.processes.program import Program
from nodeset.processes.programs.order import Course
from nodeset.processes.watching.sampling import Sampling
from nodeset.processes.watching.supervisor import BEAT, Supervisor
from nodeset.processes.watching.supervisor_node import SupervisorNode
from nodeset.processes.watching.watcher import Watcher
from tests.sites import Quiet, SiteCase
from tests.watched import Files, Ground


class Guardian:
    """Stands in for a Warden's figures."""

    def figures(self) -> dict[str, int]:
        """See `Warden`."""
        return {"pid": 7, "rss": 4096}


class NodeTests(SiteCase):
    def setUp(self) -> None:
        super().setUp()
        self.ground = Ground()
        self.ground.clock = self.site.clock
        self.files: dict[str, Files] = {}
        self.node = self.site.node(SupervisorNode, name="boss", start=False)
        parts: Any = self.node
        parts.sampling = self.sampling = Sampling(self.site.clock, execute)
        parts.warden = Guardian()
        parts.supervisor = self.supervisor = Supervisor(self.make, self.site.clock, linger=1.0)
        programs = [Program(name=name, command=(name,), restart="never", start_seconds=0.0) for name in ("db", "web")]
        self.supervisor.apply({each.name: each for each in programs}, Course.of(programs))
        self.addCleanup(self.stop)

    def make(self, program: Program) -> Watcher:
        """A watcher whose process is not real, whose events are."""
        parts: Any = {"warden": self.ground, "stdio": self.files.setdefault(program.name, Files())}
        shipping = Shipping(self.node, program, uuid.uuid4().hex, self.site.clock)
        return Watcher(program, shipping=shipping, clock=self.site.clock, host="here", beat=BEAT, **parts)

    def stop(self) -> None:
        """Stop what runs."""
        if self.supervisor.running:
            self.site.wait(self.supervisor.stopService())
        self.sampling.pause()

    def listen(self, pattern: str) -> Quiet:
        """A node that subscribes to this."""
        node = self.site.node(Quiet)
        subscribed = node.subscribe(pattern)
        if self.site.dispatcher is not None:
            self.site.wait(subscribed)
        return node

    def heard(self, listener: Quiet) -> list[str]:
        """What it heard since the last look: names of events, with the state where there is one."""
        self.site.advance(1.0)
        heard, listener.heard = listener.heard, []
        return [f"{event} {msg.state_name}" if event.endswith("state") else event for event, msg in heard]

    def test_told(self) -> None:
        """A listener has all events of a program in their order, up to its last."""
        listener = self.listen(EVERYTHING)
        self.node.startService()
        self.supervisor.startService()
        self.site.advance(1.0)
        self.files["web"].taker("out", b"hello\n")
        self.ground.ward("web").end(0)
        heard = [each for each in self.heard(listener) if each.startswith("process.web")]
        self.assertEqual(
            list(dict.fromkeys(heard)),
            [
                "process.web.state STARTING",
                "process.web.start",
                "process.web.state RUNNING",
                "process.web.out",
                "process.web.return",
                "process.web.state EXITED",
            ],
        )
        self.stop()
        self.assertEqual(self.heard(listener)[-1], "process.db.state STOPPED")

    def test_statesAlone(self) -> None:
        """Who subscribes to states alone hears each of them at once, though nobody takes what else there is."""
        listener = self.listen("process.web.state")
        self.node.startService()
        self.supervisor.startService()
        self.site.advance(1.0)
        self.files["web"].taker("out", b"hello\n")
        self.ground.ward("web").end(0)
        states = ["STARTING", "RUNNING", "EXITED"]
        self.assertEqual(list(dict.fromkeys(self.heard(listener))), [f"process.web.state {state}" for state in states])

    def test_newcomers(self) -> None:
        """Whoever comes after a link is opened anew, or as a center, is told the whole state of each program once."""
        self.node.startService()
        self.supervisor.startService()
        self.site.advance(1.0)
        listener = self.listen(EVERYTHING)
        self.site.publish("center.hub.here", CenterHere, name="hub", session="1", retain=True)
        self.heard(listener)
        self.site.publish("center.hub.here", CenterHere, name="hub", session="2", retain=True)
        self.assertEqual(self.heard(listener), ["process.db.state RUNNING", "process.web.state RUNNING"])
        rows = self.site.call("boss", "ps")
        self.assertEqual(
            [(row["name"], row["center"], row["host"]) for row in rows], [("db", "hub", "here"), ("web", "hub", "here")]
        )
        figures = self.site.call("boss", "figures")
        self.assertEqual((figures["running"], figures["guardian_rss"], figures["stats_watched"]), (2, 4096, 0))

    def test_waiting(self) -> None:
        """Of who waits to be started again others hear every ten seconds, as its events say; of who is at rest they do not."""
        listener = self.listen("process.*.state")
        self.node.startService()
        self.supervisor.startService()
        self.site.advance(1.0)
        self.ground.ward("web").end(0)
        self.supervisor.watchers["web"].hold("waits for db")
        self.heard(listener)
        self.site.advance(10.0)
        self.assertEqual([msg.interval for event, msg in listener.heard], [10.0])
        self.assertEqual(self.heard(listener), ["process.web.state WAITING"])

    def test_lastLink(self) -> None:
        """Whoever takes the last events may end at the same moment: they are waited for as long as there is a link."""
        self.supervisor.linger = 10.0
        self.listen(EVERYTHING)
        self.node.startService()
        self.supervisor.startService()
        self.site.advance(1.0)
        stopped = self.supervisor.stopService()
        self.site.killDispatcher()
        self.site.advance(0.5)
        self.assertFalse(stopped.called)
        with capturedLogs() as lines:
            self.site.advance(1.0)
        self.assertTrue(stopped.called)
        self.assertEqual(
            [formatEvent(line) for line in lines if line["log_namespace"].endswith("Supervisor")],
            ["the link is lost: nobody is waited for to take the last events"],
        )

    def test_lastLinkAgain(self) -> None:
        """A link that is soon there again takes them."""
        self.supervisor.linger = 10.0
        listener = self.listen("process.web.*")
        self.node.startService()
        self.supervisor.startService()
        self.site.advance(1.0)
        self.ground.ward("db").obeys = self.ground.ward("web").obeys = False
        stopped = self.supervisor.stopService()
        self.site.killDispatcher()
        self.site.advance(2.0)
        self.site.startDispatcher()
        self.site.advance(5.0)
        self.assertFalse(stopped.called)
        self.site.advance(20.0)
        self.assertTrue(stopped.called)
        self.assertEqual(self.heard(listener)[-1], "process.web.state STOPPED")

    def test_restartedDispatcher(self) -> None:
        """Without a dispatcher all goes on; the next one is told all."""
        self.node.startService()
        self.supervisor.startService()
        self.site.advance(1.0)
        self.assertTrue(self.sampling._resumed)
        self.site.killDispatcher()
        self.site.advance(1.0)
        self.assertFalse(self.sampling._resumed)
        self.ground.ward("web").end(3)
        listener = self.listen("process.web.*")
        self.site.startDispatcher()
        self.site.advance(60.0)
        heard = self.heard(listener)
        self.assertIn("process.web.return", heard)
        self.assertEqual(heard[-1], "process.web.state EXITED")
