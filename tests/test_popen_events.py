"""What a child of Popen does is heard on the bus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.task import deferLater

from nodeset.core.node import Node
from nodeset.errors import BadProgram
from nodeset.processes import DEVNULL, PIPE, Popen
from nodeset.processes.events import ProcessOutput
from nodeset.testing import Site
from tests.popens import PopenCase

reactor: Any = installed


class EventTests(PopenCase):
    """A node that publishes for its children, somebody who hears it: in the memory, with real children."""

    def setUp(self) -> None:
        super().setUp()
        self.site = Site.forTest(self)
        self.node = self.site.node(Node, name="parent")
        self.heard = self.site.listen("process.*.out", "process.*.err", msgClass=ProcessOutput)
        for kind in ("start", "state", "return", "signal"):
            self.heard.subscribe(f"process.*.{kind}")
        self.site.flush()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.site.flush()
            await deferLater(reactor, 0.005, lambda: None)

    def kinds(self, identity: str) -> list[str]:
        return [event.rpartition(".")[2] for event in self.heard.events if event.split(".")[1] == identity]

    def written(self, identity: str, kind: str) -> bytes:
        name = f"process.{identity}.{kind}"
        return b"".join(m.data for event, m in zip(self.heard.events, self.heard.heard, strict=True) if event == name)

    async def test_events(self) -> None:
        """Start, what it writes, its end, in order, numbered without a gap, while the parent reads the same."""
        process = Popen(
            "echo out; echo err >&2; exit 3", shell=True, stdout=PIPE, stderr=PIPE, node=self.node, identity="hibob"
        )
        self.assertEqual(await process.communicate(), (b"out\n", b"err\n"))
        await self.until(lambda: self.heard.events[-2:] == ["process.hibob.return", "process.hibob.state"])
        kinds = self.kinds("hibob")
        self.assertEqual((kinds[:2], sorted(kinds[2:4])), (["start", "state"], ["err", "out"]))
        self.assertEqual((self.written("hibob", "out"), self.written("hibob", "err")), (b"out\n", b"err\n"))
        start, running, *_, back, exited = self.heard.heard
        self.assertEqual((start.pid, running.pid, back.pid, back.code), (process.pid, process.pid, process.pid, 3))
        self.assertEqual((str(running.state_name), str(exited.state_name), exited.return_code), ("RUNNING", "EXITED", 3))
        self.assertEqual([int(message.seq) for message in self.heard.heard], list(range(1, 7)))
        self.assertEqual(len({str(message.uuid) for message in self.heard.heard}), 1)

    async def test_unread(self) -> None:
        """A stream that goes to DEVNULL is heard although nobody reads it here; its death by a signal is told as such."""
        process = Popen(
            "echo on; echo err >&2; kill -9 $$", shell=True, stdout=DEVNULL, stderr=PIPE, node=self.node, identity="a"
        )
        self.assertIsNone(process.stdout)
        self.assertEqual(await process.wait(), -9)
        await self.until(lambda: "signal" in self.kinds("a"))
        self.assertEqual((self.written("a", "out"), self.written("a", "err")), (b"on\n", b"err\n"))
        assert process.stderr is not None
        self.assertEqual(await process.stderr.read(), b"err\n")

    async def test_choice(self) -> None:
        """The original's names choose the identity, what is sent; without any all is sent, under a random name."""
        script = "echo out; echo err >&2"
        options: list[dict[str, Any]] = [
            {"nrv_identity": "onlyout", "nrv_send_out": True},
            {"nrv_identity": "onlyerr", "nrv_send_all": False, "nrv_send_err": True},
            {"nrv_identity": "none", "nrv_send_all": False, "nrv_linger": 2},
            {},
        ]
        for option in options:
            await Popen(script, shell=True, stdout=PIPE, stderr=PIPE, node=self.node, **option).communicate()
        await self.until(lambda: sum(event.endswith(".return") for event in self.heard.events) == 4)
        sent = {event.split(".")[1]: set[str]() for event in self.heard.events}
        for event in self.heard.events:
            sent[event.split(".")[1]].add(event.split(".")[2])
        self.assertEqual(
            {name: kinds & {"out", "err"} for name, kinds in sent.items() if len(name) < 32},
            {
                "onlyout": {"out"},
                "onlyerr": {"err"},
                "none": set(),
            },
        )
        self.assertEqual([kinds & {"out", "err"} for name, kinds in sent.items() if len(name) == 32], [{"out", "err"}])
        self.assertRaises(BadProgram, Popen, ["true"], node=self.node, identity="a.b")

    async def test_flood(self) -> None:
        """A flood is slowed to what the bus takes: what is heard is all that was read."""
        process = Popen("head -c 6000000 /dev/zero", shell=True, stdout=PIPE, node=self.node, identity="flood")
        talk = process.communicate()
        await self.until(lambda: talk.called)
        await self.until(lambda: "return" in self.kinds("flood"))
        out, _ = await talk
        self.assertEqual((len(out), len(self.written("flood", "out"))), (6_000_000, 6_000_000))

    async def test_nobody(self) -> None:
        """With nobody on the bus the child is as without a node; what nobody took is given up."""
        self.site.killDispatcher()
        process = Popen("head -c 3000000 /dev/zero", shell=True, stdout=PIPE, node=self.node)
        out, _ = await process.communicate(timeout=20)
        self.assertEqual(len(out), 3_000_000)
        self.site.advance(60)
