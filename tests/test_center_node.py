"""A center on a site of its own: what it hears, logs, answers."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.message import RawMessage
from nodeset.core.node import Node
from nodeset.errors import BadProgram, Receipt
from nodeset.processes.center.eventlog import EventLog
from nodeset.processes.center.ledger import SIZE, Ledger
from nodeset.processes.center.node import CenterNode
from nodeset.processes.center.record import Record
from nodeset.processes.center.service import CenterService
from nodeset.processes.center.table import Table
from nodeset.processes.events import (
    CENTERS,
    CenterHere,
    ProcessOutput,
    ProcessReturn,
    ProcessStart,
    ProcessState,
    ProcessStats,
)
from nodeset.processes.output.shipping import Shipping
from nodeset.processes.program import Program
from nodeset.testing import Site
from tests.sites import SiteCase
from tests.test_center_log import Disk
from tests.test_center_table import LINE

HEX = "0123456789abcdef" * 2


class Watched:
    """Publishes the events of one program."""

    def __init__(self, site: Site, name: str, uuid: str = HEX, tub: str = "") -> None:
        self.node = site.node(Node, name=f"watcher-of-{name}", tub=tub)
        self.site, self.name, self.uuid, self.seq = site, name, uuid, 0

    def tell(self, kind: str, msg_class: Any, seq: int = 0, **fields: Any) -> Receipt:
        self.seq = seq or self.seq + 1
        told = self.node.publish(f"process.{self.name}.{kind}", msg_class, uuid=self.uuid, seq=self.seq, **fields)
        receipt: Receipt = self.site.wait(told)
        return receipt

    def state(self, state: int = 20, state_name: str = "RUNNING", **fields: Any) -> Receipt:
        about = {"name": self.name, "pid": 7, "interval": 10.0, **fields}
        return self.tell("state", ProcessState, state=state, state_name=state_name, **about)


class CenterCase(SiteCase):
    def setUp(self) -> None:
        self.site = Site()
        self.addCleanup(self._stopSite)
        self.disk = Disk()
        self.block = bytearray(SIZE)

    def center(self, name: str = "center", verbose: bool = False, start: bool = True, **about: Any) -> CenterNode:
        log = EventLog(self.disk, Ledger(self.block), name, self.site.clock)
        record = Record(log, Table(name), verbose)
        return self.site.node(CenterNode, record, name=name, start=start, **about)

    def lines(self) -> list[str]:
        lines = self.disk.data.decode("ascii").splitlines()
        for line in lines:
            self.assertRegex(line, LINE)
        return lines


class LogTests(CenterCase):
    def test_transcript(self) -> None:
        """The three lines of the first transcript; states and figures are for the table alone."""
        center = self.center()
        bob = Watched(self.site, "bob")
        for receipt in (
            bob.tell("start", ProcessStart, pid=12998),
            bob.state(),
            bob.tell("stats", ProcessStats, name="bob", state=20, state_name="RUNNING", pid=7, cpu_percent=1.5),
            bob.tell("out", ProcessOutput, data=b"bob is your uncle\n"),
            bob.tell("return", ProcessReturn, pid=12998, code=0),
        ):
            self.assertEqual(receipt, Receipt(1, 1, 0))
        transcript = ["['bob', 'start', 12998]", r"['bob', 'out', 'bob is your uncle\n']", "['bob', 'return', 0]"]
        self.assertEqual(self.lines(), transcript)
        self.assertEqual(center.record.counters, {"logged": 3, "told": 2})

    def test_verbose(self) -> None:
        """With -v states and figures have lines too."""
        self.center(verbose=True)
        bob = Watched(self.site, "bob")
        bob.state()
        bob.tell("stats", ProcessStats, name="bob", state=20, state_name="RUNNING", pid=7, cpu_percent=1.5)
        self.assertEqual([line.split(", ")[1] for line in self.lines()], ["'state'", "'ping'"])
        self.assertIn("'cpu_percent': 1.5", self.lines()[1])

    def test_twice(self) -> None:
        """What a watcher sends again is logged once, over a restart of the center as well; what is missing is marked."""
        first = self.center()
        bob = Watched(self.site, "bob")
        bob.tell("out", ProcessOutput, data=b"1")
        bob.tell("out", ProcessOutput, data=b"1", seq=1)
        bob.tell("out", ProcessOutput, data=b"2", seq=2)
        self.site.wait(first.stopService())
        self.center()
        bob.tell("out", ProcessOutput, data=b"2", seq=2)
        bob.tell("out", ProcessOutput, data=b"5", seq=5, dropped=9)
        bob.tell("out", ProcessOutput, data=b"4", seq=4)
        out = ["['bob', 'out', '1']", "['bob', 'out', '2']"]
        late = ["['bob', 'out', '5', {'dropped': 9, 'missing': 2}]", "['bob', 'out', '4', {'late': 1}]"]
        self.assertEqual(self.lines(), out + late)

    def test_hostile(self) -> None:
        """Whatever strangers publish under the names of programs is counted, never logged, said seldom; all else goes on."""
        center = self.center()
        me = self.site.me
        nonsense = [
            ("process.bob.out", RawMessage(b"\x00\xff no JSON")),
            ("process.bob.out", ProcessOutput(uuid="a b", seq=1, data=b"x")),
            ("process.bob.out", ProcessOutput(uuid="u" * 65, seq=1, data=b"x")),
            ("process.bob.out", ProcessStart(uuid=HEX, seq=1, pid=3)),
            ("process.bob.state", ProcessState(uuid=HEX, seq=1, name="b", state=21, state_name="RUNNING")),
            ("process.bob.state", ProcessState(uuid=HEX, seq=1, name="b", state=20, state_name="x" * 10**5)),
            ("process.bob.xyz", ProcessStart(uuid=HEX, seq=1, pid=3)),
            ("process.bob", ProcessStart(uuid=HEX, seq=1, pid=3)),
            ("process.bob.smith.out", ProcessOutput(uuid=HEX, seq=1, data=b"x")),
            (f"process.{'b' * 65}.out", ProcessOutput(uuid=HEX, seq=1, data=b"x")),
        ]
        with capturedLogs() as logged:
            for event, msg in nonsense:
                self.assertEqual(self.site.wait(me.publishMessage(event, msg)), Receipt(1, 1, 0), event)
        self.assertEqual((center.record.counters, self.lines()), ({"malformed": len(nonsense)}, []))
        told = [event for event in logged if "is ignored" in str(event.get("log_format"))]
        self.assertEqual(len(told), 1)
        bob = Watched(self.site, "bob")
        bob.tell("out", ProcessOutput, data=b"'], ['eve', 'return', 0]\n\x1b[2J\xff")
        self.assertEqual(self.lines(), [ascii(["bob", "out", "'], ['eve', 'return', 0]\n\x1b[2J\xff"])])

    def test_noise(self) -> None:
        """A thousand events of bytes at random under names of programs hurt nothing."""
        center = self.center()
        draw = random.Random(7)
        fields = [b'"uuid"', b'"seq"', b'"data"', b'"pid"', b'"state"', b":", b",", b"{", b"}", b"1e99", b"-1", b"null", b'"x"']
        waiting = []
        for _ in range(1000):
            payload = b"{" + b"".join(draw.choices(fields, k=draw.randrange(12))) + b"}"
            kind = draw.choice(["start", "out", "err", "state", "stats", "return", "signal", "x"])
            waiting.append(self.site.me.publishMessage(f"process.p{draw.randrange(9)}.{kind}", RawMessage(payload)))
        with capturedLogs():
            self.assertEqual({self.site.wait(told) for told in waiting}, {Receipt(1, 1, 0)})
        counters = center.record.counters
        self.assertEqual(sum(counters.values()), 1000)
        self.assertGreater(counters["malformed"], 900)
        self.lines()

    def test_fullDisk(self) -> None:
        """Watchers are told that all is well while the disk is full; all is logged when it no longer is."""
        center = self.center()
        bob = Watched(self.site, "bob")
        self.disk.room = 30
        with capturedLogs():
            for number in range(5):
                self.assertEqual(bob.tell("out", ProcessOutput, data=b"%d" % number), Receipt(1, 1, 0))
            self.disk.room = 10**9
            self.site.advance(2.0)
        self.assertEqual(self.lines(), [f"['bob', 'out', '{number}']" for number in range(5)])
        self.assertEqual(self.site.call("center", "status")["lines_lost"], center.record.log.lost)


class TableTests(CenterCase):
    def test_ps(self) -> None:
        """`ps` lists all programs as rows, `live` those that are not over; who is silent is UNKNOWN, then heard again."""
        self.center()
        bob, ann = Watched(self.site, "bob"), Watched(self.site, "ann", uuid="a1")
        bob.state(cmdline=["echo", "hi"])
        ann.state(state=100, state_name="EXITED", return_code=3)
        rows = self.ps()
        self.assertEqual([(row["name"], row["state_name"], row["return_code"]) for row in rows][1:], [("ann", "EXITED", 3)])
        self.assertEqual((rows[0]["center"], rows[0]["cmdline"], rows[0]["uuid"]), ("center", ["echo", "hi"], HEX))
        self.assertEqual([row["name"] for row in self.ps(live=True)], ["bob"])
        self.site.advance(31.0)
        self.assertEqual([row["state_name"] for row in self.ps()], ["UNKNOWN", "EXITED"])
        self.assertEqual(self.site.call("center", "status")["programs"], {"UNKNOWN": 1, "EXITED": 1})
        bob.state()
        self.assertEqual(self.ps()[0]["state_name"], "RUNNING")

    def ps(self, **about: Any) -> list[dict[str, Any]]:
        async def gather() -> list[dict[str, Any]]:
            return [row async for row in await self.site.me.call("center", "ps", **about)]

        rows: list[dict[str, Any]] = self.site.wait(gather())
        return rows

    def test_many(self) -> None:
        """A thousand rows come as a stream, whatever they weigh together."""
        center = self.center()
        about: dict[str, Any] = {
            "reason": "x" * 250,
            "cmdline": ["y" * 250] * 8,
            "state": 20,
            "state_name": "RUNNING",
            "name": "p",
        }
        for number in range(1000):
            center.record.table.heard(f"p{number}", ProcessState(uuid=f"u{number}", **about), "s", 0.0)
        self.assertEqual(len({row["uuid"] for row in self.ps()}), 1000)


class HereTests(CenterCase):
    def test_here(self) -> None:
        """Who subscribes to `center.*.here` hears of each center once per start, whoever came first, and after each cut."""
        early = self.site.listen(CENTERS, msgClass=CenterHere, name="early")
        center = self.center(name="c1", tub="ctub")
        self.site.flush()
        late = self.site.listen(CENTERS, msgClass=CenterHere, name="late")
        self.site.advance(1.0)
        for listener in (early, late):
            self.assertEqual([(msg.name, msg.session) for msg in listener.heard], [("c1", center.session)])
        self.site.wire.cut("ctub")
        self.site.advance(3.0)
        self.assertEqual([msg.session for msg in early.heard], [center.session] * 2)
        other = self.center(name="c2")
        self.site.flush()
        self.assertNotEqual(other.session, center.session)
        self.assertEqual(early.heard[-1].name, "c2")

    def test_name(self) -> None:
        """A center whose name cannot be part of an event's name is refused."""
        self.assertRaises(BadProgram, self.center, name="c.1")


class _Port:
    """A dispatcher that begins to answer when it is started."""

    dispatcher: EventDispatcher

    def __init__(self, site: Site) -> None:
        self._site = site

    def startService(self) -> None:
        self.dispatcher = self._site.startDispatcher()

    def stopService(self) -> Deferred[None]:
        return self.dispatcher.stopService()


class OrderTests(CenterCase):
    def test_justRestarted(self) -> None:
        """What a program wrote that ends just after its center was started anew is logged, although nobody waits for long."""
        assert self.site.dispatcher is not None
        self.site.dispatcher.die()
        self.site.startDispatcher()
        self.center()
        node = self.site.node(Node, name="w")
        shipping = Shipping(node, Program(name="bob", command=("echo",)), HEX, node.clock)
        shipping.put("out", b"bob is your uncle")
        began = self.site.clock.seconds()
        self.assertTrue(self.site.wait(shipping.drained(1.0)))
        self.assertLess(self.site.clock.seconds() - began, 4.0)
        self.assertEqual(self.lines(), ["['bob', 'out', 'bob is your uncle']"])

    def test_firstEvent(self) -> None:
        """Watchers that waited for the dispatcher of a center find the center there with their first event, at every start."""
        self.site = Site(start=False)
        self.disk = Disk()
        watchers = [Watched(self.site, f"p{number}", uuid=f"u{number}") for number in range(20)]
        told = [
            each.node.publish(f"process.{each.name}.start", ProcessStart, uuid=each.uuid, seq=1, pid=3) for each in watchers
        ]
        self.site.advance(3.217)
        center = self.center(start=False)
        service = CenterService(center, center.record.log, _Port(self.site))
        service.startService()
        self.assertEqual({self.site.wait(receipt) for receipt in told}, {Receipt(1, 1, 0)})
        self.assertEqual(len(self.lines()), 20)
        with capturedLogs() as logged:
            self.site.wait(service.stopService())
        self.assertTrue(self.disk.closed)
        redialling = [event["name"] for event in logged if "dials again" in str(event["log_format"])]
        self.assertEqual(set(redialling), {each.node.name for each in watchers}, "the center left by itself")
        leaving = [event["name"] for event in logged if "about to leave" in str(event["log_format"])]
        self.assertEqual(sorted(leaving), sorted({*leaving}), "each is told once")
