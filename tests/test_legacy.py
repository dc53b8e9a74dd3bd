"""Peers that have Foolscap, a FURL and no NodeSet code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from foolscap.api import Copyable, Referenceable, Tub
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import LoopingCall
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.message import Attribute, NodeMessage, RawMessage
from nodeset.core.node import Node
from nodeset.errors import BadMessage, HandlerFailed, InvalidAddressing, MessageTooLarge, NodeSetError, Refused, Undelivered
from nodeset.testing import Site
from nodeset.transport.certificate import createCertificate
from nodeset.transport.clock import MonotonicClock
from nodeset.transport.copies import MAX_VALUES, MessageCopy, makeCopy, readFields
from nodeset.transport.furl import parsePlace
from nodeset.transport.legacy import LegacyDoor
from nodeset.transport.legacylink import MAX_OUTSTANDING, MAX_WAITING
from nodeset.transport.rendezvous import claim, find
from nodeset.transport.tub import TubAcceptor, TubTransport

reactor: Any = _reactor


def until(condition: Callable[[], object], timeout: float = 10.0) -> Deferred[None]:
    """Fires when `condition()` is true, looking often; fails after `timeout` seconds."""
    met: Deferred[None] = Deferred()

    def look() -> None:
        if condition() and not met.called:
            met.callback(None)

    looking = LoopingCall(look)
    looking.start(0.005).addErrback(lambda failure: None if met.called else met.errback(failure))

    def over(result: Any) -> Any:
        if looking.running:
            looking.stop()
        return result

    return met.addTimeout(timeout, reactor).addBoth(over)


async def refusal(answer: Deferred[Any]) -> str:
    """The text of the error that a call fails with, whichever kind; awaiting Foolscap's own would break."""
    texts: list[str] = []

    def failed(failure: Failure) -> None:
        texts.append(str(failure.value))

    answer.addTimeout(10, reactor).addCallbacks(lambda result: texts.append(f"no error but {result!r}"), failed)
    await until(lambda: texts)
    return texts[0]


class StockMessage(Copyable):
    """A message as the original sent it."""

    typeToCopy = "node-message-0xdeadbeaf"

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class StockNode(Referenceable):
    """A node of the original's kind: it notes what it is called with."""

    def __init__(self, answer: Callable[[], Any] = lambda: None) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.bubbles: list[bool] = []
        self.heartbeats = 0
        self._answer = answer

    def remote_event(self, event: str, msg: Any, bubble: bool = True) -> Any:
        # A process of its own would have a class of its own here; this one shares ours, whose `fields` is what was sent.
        self.events.append((event, msg.fields))
        self.bubbles.append(bubble)
        return self._answer()

    def remote_heartbeat(self) -> bool:
        self.heartbeats += 1
        return True


class Stock:
    """A stock Tub with its reference to the dispatcher's face."""

    def __init__(self, furl: str) -> None:
        # Foolscap would make an RSA certificate, which takes a hundred times as long.
        self.tub: Any = Tub(certData=createCertificate())
        self._furl = furl
        self.face: Any = None

    async def start(self) -> Stock:
        self.tub.startService()
        self.face = await self.tub.getReference(self._furl)
        # This process knows our RemoteInterface, theirs does not.
        self.face.tracker.interface = None
        return self

    def call(self, name: str, *args: Any, **kwargs: Any) -> Deferred[Any]:
        called: Deferred[Any] = self.face.callRemote(name, *args, **kwargs)
        return called

    def stop(self) -> Deferred[None]:
        stopped: Deferred[None] = self.tub.stopService() if self.tub.running else succeed(None)
        return stopped


class Listener(Node):
    """A NodeSet node that notes what it gets."""

    autosubscribe = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.events: list[tuple[str, dict[str, Any]]] = []

    def onEvent(self, event: str, msg: NodeMessage) -> object:
        self.events.append((event, msg.fields()))
        return None


class Ground:
    """A dispatcher on loopback with all that links to it; everything stops with the test."""

    def __init__(self, test: TestCase) -> None:
        self._test = test
        self._home = Path(test.mktemp()).absolute()
        self.clock = MonotonicClock(reactor)
        self.dispatcher = EventDispatcher(self.clock, drain_timeout=0.2)
        self.held = claim(self._home, parsePlace("pbu://localhost:5333/test"))
        self.acceptor = TubAcceptor(self.dispatcher, self.held, "tcp:0:interface=127.0.0.1", ["tcp:127.0.0.1:0"], reactor)
        self.acceptor.startService()
        test.addCleanup(self.acceptor.stopService)
        self.furl = self.held.member_file.read_text("ascii").strip()

    async def stock(self) -> Stock:
        stock = Stock(self.furl)
        self._test.addCleanup(stock.stop)
        return await stock.start()

    async def node(self, name: str) -> Listener:
        source = find(str(self.held.member_file), environ={}, state_directory=self._home)
        node = Listener(name=name, transport=TubTransport(source, reactor), clock=self.clock)
        node.startService()
        self._test.addCleanup(node.stopService)
        await node.start()
        return node

    def stats(self) -> dict[str, int]:
        return self.dispatcher.getStats()


class GroundCase(TestCase):
    """Tests on a ground of their own."""

    timeout = 60

    def run_(self, scenario: Callable[[Ground], Coroutine[Any, Any, None]]) -> Deferred[None]:
        return Deferred.fromCoroutine(scenario(Ground(self)))


FIELDS: dict[str, Any] = {
    "id": 7,
    "big": 2**63 - 1,
    "small": -(2**63),
    "ratio": 0.25,
    "yes": True,
    "nothing": None,
    "text": "žluťoučký kůň 🐎",
    "items": [1, [2.5, {"a": ["b"]}], {}],
    "map": {"x": {"y": []}},
}


#: A whole program without NodeSet: it echoes one event, with the fields that it came with, under another name.
PROGRAM = """
import sys
from foolscap.api import Copyable, Referenceable, RemoteCopy, Tub
from twisted.internet import reactor

class Message(Copyable, RemoteCopy):
    typeToCopy = copytype = "node-message-0xdeadbeaf"

class Plain(Referenceable):
    def remote_heartbeat(self):
        return True
    def remote_event(self, event, msg, bubble=False):
        face.callRemote("publish", "echo", msg).addCallback(self.published, msg)
    def published(self, result, msg):
        msg.result, msg._delivery_mode = result, "one"
        face.callRemote("publish", "echo", msg).addBoth(self.finished)
    def finished(self, result):
        assert "nodeset" not in sys.modules
        print("finished", result)
        tub.stopService().addBoth(lambda stopped: reactor.stop())

def connected(reference):
    global face
    face = reference
    return face.callRemote("subscribe", "ask", Plain(), "plain")

def failed(failure):
    print(failure.value)
    reactor.stop()

tub = Tub()
tub.startService()
tub.getReference(open(sys.argv[1]).read().strip()).addCallback(connected).addErrback(failed)
reactor.callLater(20, reactor.stop)
reactor.run()
"""


class RoundTripTests(GroundCase):
    """What a stock peer can do, over real sockets."""

    def test_toPlain(self) -> Deferred[None]:
        """A stock peer that subscribed is called with the address as published, a copy of the same fields, no bubble."""

        async def scenario(ground: Ground) -> None:
            peer, shop, plain = await ground.stock(), await ground.node("shop"), StockNode()
            self.assertIs(await peer.call("subscribe", "orders.*", plain, "plain"), True)
            receipt = await shop.publish("plain@localhost/orders.created", **FIELDS)
            self.assertEqual(tuple(receipt), (1, 1, 0))
            self.assertEqual(plain.events, [("plain@localhost/orders.created", {**FIELDS, "_delivery_mode": "all"})])
            self.assertEqual(plain.bubbles, [False])

        return self.run_(scenario)

    def test_presence(self) -> Deferred[None]:
        """A stock peer that subscribed to it is told of nodes that come and go from then on, and of nothing else."""

        async def scenario(ground: Ground) -> None:
            peer, plain = await ground.stock(), StockNode()
            await peer.call("subscribe", "nodeset.node.*", plain, "plain")
            shop = await ground.node("shop")
            await shop.stopService()
            await until(lambda: len(plain.events) >= 2)
            told = [(event, fields["name"], fields["was"]) for event, fields in plain.events]
            self.assertEqual(told[-2:], [("nodeset.node.up", "shop", ""), ("nodeset.node.down", "shop", "up")])
            self.assertEqual({name for _event, name, _was in told} - {"plain"}, {"shop"})

        return self.run_(scenario)

    def test_fromPlain(self) -> Deferred[None]:
        """What a stock peer publishes, a copy or a dictionary, arrives at nodes with equal fields; the call says True."""

        async def scenario(ground: Ground) -> None:
            peer, node, plain = await ground.stock(), await ground.node("reader"), StockNode()
            await node.subscribe("news")
            await peer.call("subscribe", "news", plain, "plain")
            self.assertIs(await peer.call("publish", "news", StockMessage(_delivery_mode="all", **FIELDS)), True)
            self.assertIs(await peer.call("publish", "localhost/news", {"id": 1}), True)
            await until(lambda: len(node.events) == 2 and len(plain.events) == 2)
            self.assertEqual(node.events, [("news", FIELDS), ("localhost/news", {"id": 1})])
            self.assertEqual(plain.events[0][1], {**FIELDS, "_delivery_mode": "all"})
            self.assertEqual(ground.stats()["published"], 2)

        return self.run_(scenario)

    def test_anotherProcess(self) -> Deferred[None]:
        """A program that never imports NodeSet, in a process of its own, gets an event, publishes what it got: equal fields."""

        async def scenario(ground: Ground) -> None:
            node = await ground.node("asker")
            await node.subscribe("echo")
            arguments = ["-c", PROGRAM, str(ground.held.member_file)]
            ended = getProcessOutputAndValue(sys.executable, arguments, os.environ, reactor=reactor)
            await until(lambda: ground.stats()["subs"] == 2, 20.0)
            self.assertEqual(tuple(await node.publish("ask", **FIELDS)), (1, 1, 0))
            out, err, code = await ended
            self.assertEqual((out, err, code), (b"finished True\n", b"", 0))
            await until(lambda: len(node.events) == 2)
            self.assertEqual(node.events, [("echo", FIELDS), ("echo", {**FIELDS, "result": True})])

        return self.run_(scenario)

    def test_python2(self) -> Deferred[None]:
        """A peer that sends its texts as bytes, as Python 2 does, is understood; tuples become lists."""

        async def scenario(ground: Ground) -> None:
            peer, node, plain = await ground.stock(), await ground.node("reader"), StockNode()
            await node.subscribe("news")
            self.assertIs(await peer.call("subscribe", b"/other", plain, b"plain"), True)
            fields = {b"name": "Jörg".encode(), b"pair": (1, b"two"), b"_delivery_mode": b"one"}
            self.assertIs(await peer.call("publish", b"news", fields), True)
            await until(lambda: node.events)
            self.assertEqual(node.events, [("news", {"name": "Jörg", "pair": [1, "two"]})])
            await node.publish("other", n=1)
            self.assertIs(await peer.call("unsubscribe", b"other", plain, b"plain"), True)

        return self.run_(scenario)

    def test_unsubscribe(self) -> Deferred[None]:
        """Unsubscribing says whether there was anything to undo; afterwards nothing comes, other subscriptions stay."""

        async def scenario(ground: Ground) -> None:
            peer, node, plain = await ground.stock(), await ground.node("shop"), StockNode()
            self.assertIs(await peer.call("unsubscribe", "a", plain, "plain"), False)
            await gatherResults([peer.call("subscribe", uri, plain, "plain") for uri in ("a", "b", "a")])
            self.assertEqual(ground.stats()["subs"], 2)
            self.assertIs(await peer.call("unsubscribe", "plain@localhost/a", plain, "plain"), True)
            self.assertIs(await peer.call("unsubscribe", "a", plain, "plain"), False)
            self.assertEqual(tuple(await node.publish("a")), (0, 0, 0))
            self.assertEqual(tuple(await node.publish("b")), (1, 1, 0))
            self.assertEqual([event for event, _fields in plain.events], ["b"])

        return self.run_(scenario)

    def test_getStats(self) -> Deferred[None]:
        """`get_stats` answers JSON text with `subs`, `pubs` among its keys."""

        async def scenario(ground: Ground) -> None:
            peer, plain = await ground.stock(), StockNode()
            await peer.call("subscribe", "a", plain, "plain")
            await peer.call("publish", "a", {})
            answer = await peer.call("get_stats")
            self.assertIsInstance(answer, str)
            stats = json.loads(answer)
            self.assertEqual((stats["subs"], stats["pubs"], stats["published"]), (1, 1, 1))

        return self.run_(scenario)

    def test_fairShare(self) -> Deferred[None]:
        """Mode one is shared exactly evenly between a stock peer and a node, whoever publishes; each learns the mode."""

        async def scenario(ground: Ground) -> None:
            peer, node, plain = await ground.stock(), await ground.node("worker"), StockNode()
            publisher = await ground.node("boss")
            await peer.call("subscribe", "work", plain, "plain")
            await node.subscribe("work")
            receipts = [await publisher.publish("work", n=n, _delivery_mode="one") for n in range(10)]
            self.assertEqual({tuple(receipt) for receipt in receipts}, {(1, 1, 0)})
            for n in range(10, 20):
                await peer.call("publish", "work", StockMessage(n=n, _delivery_mode="one"))
            await until(lambda: len(plain.events) + len(node.events) == 20)
            self.assertEqual((len(plain.events), len(node.events)), (10, 10))
            self.assertEqual({fields["_delivery_mode"] for _event, fields in plain.events}, {"one"})
            seen = [fields["n"] for _event, fields in plain.events + node.events]
            self.assertEqual(sorted(seen), list(range(20)))

        return self.run_(scenario)

    def test_lostConnection(self) -> Deferred[None]:
        """When the peer's connection is lost its routes go at once; what it had not answered is reported to publishers."""

        async def scenario(ground: Ground) -> None:
            peer, node, plain = await ground.stock(), await ground.node("shop"), StockNode(lambda: Deferred())
            await peer.call("subscribe", "a", plain, "one")
            await peer.call("subscribe", "a", plain, "two")
            self.assertEqual(ground.stats()["subs"], 2)
            receipt: Deferred[Any] = node.publish("a")
            await until(lambda: len(plain.events) == 2)
            await peer.stop()
            await until(lambda: ground.stats()["subs"] == 0)
            await self.assertFailure(receipt, Undelivered)
            self.assertEqual(tuple(await node.publish("a")), (0, 0, 0))

        return self.run_(scenario)

    def test_errorsReachTheCaller(self) -> Deferred[None]:
        """Whatever is wrong with a call is answered with one line that names it; the peer keeps its connection."""

        async def scenario(ground: Ground) -> None:
            peer, plain = await ground.stock(), StockNode()
            for words, call in (
                ("more than one '/'", peer.call("publish", "a//b", {})),
                ("is a pattern", peer.call("publish", "a.*", {})),
                ("must be 'all' or 'one'", peer.call("publish", "a", {"_delivery_mode": "direct"})),
                ("is not an address of this node", peer.call("subscribe", "other@localhost/a", plain, "plain")),
                ("is not an address of this node", peer.call("subscribe", "elsewhere/a", plain, "plain")),
                ("is not an address of this node", peer.call("unsubscribe", "other@/a", plain, "plain")),
                ("node name", peer.call("subscribe", "a", plain, "a b")),
                ("node name", peer.call("subscribe", "a", plain, "")),
                ("not UTF-8", peer.call("publish", "a", {"x": b"\xff"})),
            ):
                self.assertIn(words, await refusal(call))
            self.assertIs(await peer.call("publish", "a", {}), True)
            self.assertEqual(ground.stats()["failed_calls"], 9)
            self.assertEqual(ground.stats()["published"], 1)

        return self.run_(scenario)

    def test_deafPeer(self) -> Deferred[None]:
        """A peer that never answers gets 64 calls, others wait, of more the oldest is dropped; receipts, stats say so.

        A node beside it gets everything.
        """

        async def scenario(ground: Ground) -> None:
            peer, node, plain = await ground.stock(), await ground.node("reader"), StockNode(lambda: Deferred())
            publisher = await ground.node("boss")
            await peer.call("subscribe", "a", plain, "plain")
            await node.subscribe("a")
            total = MAX_OUTSTANDING + MAX_WAITING + 30
            receipts = [publisher.publish("a", n=n) for n in range(total)]
            await until(lambda: ground.stats().get("dropped") == 30 and len(node.events) == total)
            held = MAX_OUTSTANDING
            for receipt in await gatherResults(receipts[held : held + 30]):
                self.assertEqual(tuple(receipt), (2, 1, 1))
            self.assertFalse(any(receipt.called for receipt in receipts[:held] + receipts[held + 30 :]))
            await until(lambda: len(plain.events) == held)
            await peer.stop()
            for lost in receipts[:held] + receipts[held + 30 :]:
                failing: Deferred[Any] = lost
                await self.assertFailure(failing, Undelivered)

        return self.run_(scenario)

    def test_largeMessage(self) -> Deferred[None]:
        """Nearly a megabyte of text passes both ways."""

        async def scenario(ground: Ground) -> None:
            peer, node, plain = await ground.stock(), await ground.node("reader"), StockNode()
            await peer.call("subscribe", "a", plain, "plain")
            await node.subscribe("a")
            text = "x" * 1_000_000
            await peer.call("publish", "a", StockMessage(text=text))
            await until(lambda: plain.events and node.events)
            self.assertEqual(plain.events[0][1]["text"], text)
            self.assertEqual(node.events[0][1]["text"], text)

        return self.run_(scenario)


class Paper:
    """A reference on paper: it notes calls, answers when told."""

    def __init__(self, tub: str = "t" * 32) -> None:
        self._tub = tub
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.answers: list[Deferred[Any]] = []
        self.lost: list[Callable[[], None]] = []
        self.aborted = self.closed = 0
        self.tracker: Any = self
        self.broker: Any = self
        self.transport: Any = self

    def getRemoteTubID(self) -> str:
        return self._tub

    def callRemote(self, name: str, *args: Any, **kwargs: Any) -> Deferred[Any]:
        self.calls.append((name, args))
        self.answers.append(Deferred())
        return self.answers[-1]

    def notifyOnDisconnect(self, call: Callable[[], None]) -> Callable[[], None]:
        self.lost.append(call)
        return call

    def dontNotifyOnDisconnect(self, marker: Callable[[], None]) -> None:
        if marker in self.lost:
            self.lost.remove(marker)

    def abortConnection(self) -> None:
        self.aborted += 1

    def loseConnection(self) -> None:
        self.closed += 1

    def lose(self) -> None:
        for call in list(self.lost):
            call()

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [args for called, args in self.calls if called == name]


class _Failing(NodeMessage):
    def __init__(self) -> None:
        NodeMessage.__init__(self)
        Attribute("n", 0)


class DoorTests(SynchronousTestCase):
    """The same by a clock, with a peer on paper."""

    def setUp(self) -> None:
        self.site = Site()
        assert self.site.dispatcher is not None
        self.dispatcher = self.site.dispatcher
        self.door = LegacyDoor(self.dispatcher, self.site.clock)
        self.node = self.site.node(Listener, name="node")

    def subscribed(self, uri: str = "a", name: str = "plain", paper: Paper | None = None) -> Paper:
        paper = Paper() if paper is None else paper
        self.assertIs(self.site.wait(self.door.subscribe(uri, paper, name)), True)
        return paper

    def count(self, what: str) -> int:
        return self.dispatcher.getStats().get(what, 0)

    def test_heartbeat(self) -> None:
        """The peer is asked for a heartbeat every 5 s; while it answers, even with an error, it stays for ever."""
        paper = self.subscribed()
        for turn in range(20):
            self.site.advance(5.001)
            self.assertEqual(len(paper.named("heartbeat")), turn + 1)
            answer = paper.answers.pop()
            answer.callback(True) if turn % 2 else answer.errback(AttributeError("no remote_heartbeat here"))
        self.assertEqual((paper.aborted, self.count("subs"), self.count("silent")), (0, 1, 0))

    def test_silence(self) -> None:
        """A peer that never answers is asked once, is suspect after two beats, is cut off after 20 s."""
        paper = self.subscribed()
        self.site.wait(self.node.subscribe("a"))
        self.site.advance(16.0)
        self.assertEqual(len(paper.named("heartbeat")), 1)
        for _ in range(3):
            self.site.wait(self.node.publish("a", _delivery_mode="one"))
        self.assertEqual((len(self.node.events), len(paper.named("event"))), (3, 0))
        self.assertEqual((paper.aborted, self.count("subs")), (0, 2))
        self.site.advance(10.0)
        self.assertEqual((paper.aborted, self.count("subs"), self.count("silent")), (1, 1, 1))
        paper.lose()
        self.assertIs(self.site.wait(self.door.unsubscribe("a", paper, "plain")), False)

    def test_publisherStays(self) -> None:
        """The session under which peers publish is not taken for silent; who publishes rarely loses nothing."""
        self.site.wait(self.node.subscribe("a"))
        for _ in range(3):
            self.door.publish("a", {"n": 1})
            self.site.advance(60.0)
        self.assertEqual((len(self.node.events), self.count("silent")), (3, 0))

    def test_anyAnswerIsDelivered(self) -> None:
        """At level delivered an error of the peer's counts as delivered, at level handled it is the handler's failure."""
        paper = self.subscribed()
        delivered = self.node.publish("a", _Failing, n=1)
        handled = self.node.publish("a", _Failing, n=2, level="handled")
        fine = self.node.publish("a", _Failing, n=3, level="handled")
        accepted = self.node.publish("a", _Failing, n=4, level="accepted")
        self.site.flush()
        self.assertEqual([copy.fields["n"] for _uri, copy in paper.named("event")], [1, 2, 3, 4])
        for answer in (*paper.answers[:2], paper.answers[3]):
            answer.errback(ValueError("pb://secret@tcp:x:1/swissnum"))
        paper.answers[2].callback(None)
        self.assertEqual(tuple(self.site.wait(delivered)), (1, 1, 0))
        error = self.assertRaises(HandlerFailed, self.site.wait, handled)
        self.assertIn("plain raised ValueError", str(error))
        self.assertNotIn("swissnum", str(error))
        self.assertEqual(tuple(self.site.wait(fine)), (1, 1, 0))
        self.assertEqual(tuple(self.site.wait(accepted)), (1, 0, 0))
        self.assertEqual(self.count("legacy_failures"), 3)

    def test_roomComesBack(self) -> None:
        """Each answer lets one more waiting event out, in order; a peer that catches up loses no more."""
        paper = self.subscribed()
        receipts = [self.node.publish("a", n=n) for n in range(MAX_OUTSTANDING + MAX_WAITING)]
        self.site.flush()
        self.assertEqual(len(paper.named("event")), MAX_OUTSTANDING)
        while paper.answers:
            paper.answers.pop(0).callback(None)
        self.assertEqual([copy.fields["n"] for _uri, copy in paper.named("event")], list(range(len(receipts))))
        self.site.flush()
        self.assertEqual({tuple(self.site.wait(receipt)) for receipt in receipts}, {(1, 1, 0)})
        self.assertEqual(self.count("dropped"), 0)

    def test_sentAgain(self) -> None:
        """A peer is not called again with what its publisher sends again: it is answered as it was, called once."""
        paper = self.subscribed()
        fine = self.node.publish("a", n=1, level="handled")
        failed = self.node.publish("a", n=2, level="handled")
        slow = self.node.publish("a", n=3, level="handled")
        self.site.flush()
        self.site.wire.delay = 0.1
        paper.answers[0].callback(None)
        paper.answers[1].errback(ValueError("no"))
        self.site.flush()
        self.site.wire.cut(self.site.wire.links()[0].peer)  # the answers are on their way
        self.site.wire.delay = 0.0
        self.assertEqual(tuple(self.site.wait(fine)), (1, 1, 0))
        self.assertIn("failed", str(self.assertRaises(HandlerFailed, self.site.wait, failed)))
        self.assertNoResult(slow)
        paper.answers[2].callback(None)
        self.assertEqual(tuple(self.site.wait(slow)), (1, 1, 0))
        self.assertEqual([copy.fields["n"] for _uri, copy in paper.named("event")], [1, 2, 3])

    def test_unsendable(self) -> None:
        """A payload that a plain peer cannot be sent is refused by name, counted; raw bytes go as `data`."""
        paper = self.subscribed()
        poison = self.node.publish("a", items=[0] * MAX_VALUES)
        error = self.assertRaises(HandlerFailed, self.site.wait, poison)
        self.assertIn("values", str(error))
        raw = self.node.publishMessage("a", RawMessage(b"\xff\x00"))
        self.site.flush()
        ((_uri, copy),) = paper.named("event")
        self.assertEqual(copy.fields, {"data": b"\xff\x00", "_delivery_mode": "all"})
        paper.answers[-1].callback(None)
        self.assertEqual(tuple(self.site.wait(raw)), (1, 1, 0))
        self.assertEqual(self.count("unsendable"), 1)

    def test_sessions(self) -> None:
        """Tub and name make the session: two names are called twice, the same name again only once, at its newest node."""
        paper = self.subscribed("a", "one")
        self.subscribed("a", "one", paper)
        self.subscribed("a", "two", paper)
        other = self.subscribed("a", "one", Paper("u" * 32))
        self.node.publish("a")
        self.site.flush()
        self.assertEqual((len(paper.named("event")), len(other.named("event")), self.count("subs")), (2, 1, 3))

    def test_newConnection(self) -> None:
        """A peer that comes back before its old connection is known to be dead takes over; nothing of the old remains."""
        old = self.subscribed()
        new = self.subscribed()
        self.assertEqual(self.count("subs"), 1)
        old.lose()
        self.node.publish("a")
        self.site.flush()
        self.assertEqual((len(old.named("event")), len(new.named("event")), self.count("subs")), (0, 1, 1))

    def test_subscriptionRefused(self) -> None:
        """A full dispatcher refuses a new session with a text, and keeps nothing of it."""
        site = Site(max_nodes=0)
        assert site.dispatcher is not None
        door, paper = LegacyDoor(site.dispatcher, site.clock), Paper()
        self.assertRaises(Refused, door.subscribe, "a", paper, "plain")
        self.assertEqual(paper.lost, [])
        self.assertRaises(NodeSetError, door.publish, "a", {})

    def test_stopped(self) -> None:
        """A dispatcher that has stopped tells publishers so, closes its peers' connections; no timer is left behind."""
        paper = self.subscribed()
        self.door.publish("a", {})
        self.site.flush()
        paper.answers[-1].callback(None)
        self.site.stop()
        self.assertEqual((paper.closed, paper.aborted), (1, 0))
        paper.lose()
        self.assertRaises(NodeSetError, self.door.publish, "a", {})
        self.assertRaises(NodeSetError, self.door.publish, "a", {})
        self.site.flush()
        self.assertEqual(self.site.clock.getDelayedCalls(), [])

    def test_badAddress(self) -> None:
        """An address that is none, or a pattern, is refused before a session is opened for it."""
        for uri in ("", "a//b", "a.*", "n@h/", "x" * 800):
            self.assertRaises(InvalidAddressing, self.door.publish, uri, {})
        self.assertEqual(self.count("nodes"), 1)

    def test_limitOfTheDispatcher(self) -> None:
        """A dispatcher that takes only small events says so, keeps the session for the next one."""
        site = Site(max_event=100)
        assert site.dispatcher is not None
        door = LegacyDoor(site.dispatcher, site.clock)
        error = self.assertRaises(MessageTooLarge, door.publish, "a", {"text": "x" * 200})
        self.assertIn("100", str(error))
        door.publish("a", {})
        self.assertEqual(site.dispatcher.getStats()["published"], 1)


class CopyTests(SynchronousTestCase):
    """What may be in a message copy."""

    def test_sharedLists(self) -> None:
        """A few bytes that stand for 2**30 values are refused at once: they are counted as they are read."""
        value: list[Any] = []
        for _ in range(30):
            value = [value, value]
        self.assertIn("values", str(self.assertRaises(MessageTooLarge, readFields, {"x": value})))
        text = "x" * 100_000
        self.assertRaises(MessageTooLarge, readFields, {"x": [text] * 20})

    def test_depth(self) -> None:
        """Nesting is refused past 32, a list that holds itself among it."""
        self.assertRaises(BadMessage, readFields, {"x": self._nested(32)})
        self.assertEqual(readFields({"x": self._nested(31)}), {"x": self._nested(31)})
        endless: list[Any] = []
        endless.append(endless)
        self.assertRaises(BadMessage, readFields, {"x": endless})

    def _nested(self, depth: int) -> list[Any]:
        value: list[Any] = []
        for _ in range(depth - 1):
            value = [value]
        return value

    def test_keys(self) -> None:
        """Keys are text; the error names the type, it shows no value."""
        self.assertIn("int", str(self.assertRaises(BadMessage, readFields, {1: 2})))
        self.assertRaises(BadMessage, readFields, {"x": {"a": 1, 2: 3}})
        self.assertIn("comes twice", str(self.assertRaises(BadMessage, readFields, {"x": 1, b"x": 2})))
        self.assertRaises(BadMessage, readFields, ["x"])
        self.assertRaises(MessageTooLarge, readFields, {str(n): n for n in range(1001)})

    def test_makeCopy(self) -> None:
        """A payload becomes a copy with its mode; one that is no JSON object is refused."""
        self.assertEqual(makeCopy(b'{"a":[1]}', "one", False).fields, {"a": [1], "_delivery_mode": "one"})
        self.assertEqual(MessageCopy().getStateToCopy(), {})
        for payload in (b"", b"[1]", b'{"a":\xff}', b'{"a":"\\ud800"}'):
            self.assertRaises(BadMessage, makeCopy, payload, "all", False)
