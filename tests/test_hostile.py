"""What strangers and ill-behaved peers can do to a dispatcher: lose their own connection, nothing more."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import msgspec
from foolscap.api import Copyable
from foolscap.referenceable import SturdyRef
from foolscap.slicer import BaseSlicer
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from nodeset.core import batch as wire
from nodeset.core.batch import Beat, Confirm, Done, Events, Level, Mode, Outcome, Result, Sub
from nodeset.core.hello import Hello, packHello
from nodeset.transport import broker
from nodeset.transport.broker import ImpatientNegotiation
from nodeset.transport.faces import LinkFace
from nodeset.transport.legacylink import MAX_OUTSTANDING, MAX_WAITING
from tests.test_legacy import Ground, GroundCase, Listener, Stock, StockMessage, StockNode, refusal, until

reactor: Any = _reactor
STREAM = "s" * 22


class BadText(BaseSlicer):
    """Sends bytes as text, whatever they are: half a character, for one."""

    opentype = ("unicode",)

    def sliceBody(self, streamable: bool, banana: Any) -> Any:
        yield self.obj


class Other(Copyable):
    """A copy of a class that nobody here knows."""

    typeToCopy = "somebody.elses"


class Wire(Protocol):
    """A raw connection."""

    def __init__(self) -> None:
        self.got = b""
        self.closed = False

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: object = None) -> None:
        self.closed = True


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def number(value: int) -> bytes:
    """A token's header, little end first."""
    out = bytearray()
    while value:
        out.append(value & 0x7F)
        value >>= 7
    return bytes(out)


def writing(data: bytes) -> Callable[[Stock], object]:
    """Put these bytes on the wire, as they are."""
    return lambda stock: stock.face.tracker.broker.transport.write(data)


def inList(tokens: bytes) -> Callable[[Stock], object]:
    """Publish a list of what these tokens say, which does not end."""

    def act(stock: Stock) -> None:
        call = b"\x00\x88\x04\x82call\x01\x81" + bytes([stock.face.tracker.clid]) + b"\x81\x07\x82publish"
        arguments = b"\x01\x88\x09\x82arguments\x02\x81\x01\x82a"
        writing(call + arguments + b"\x02\x88\x04\x82dict\x01\x82x\x03\x88\x04\x82list" + tokens)(stock)

    return act


def hello(**changes: Any) -> bytes:
    return packHello(Hello(**{"stream": STREAM, "name": "bad", "host": "localhost", **changes}))


class Bystanders:
    """A well-behaved publisher with two subscribers, one of them plain; they must not notice anything."""

    def __init__(self, ground: Ground, publisher: Listener, node: Listener, peer: Stock, plain: StockNode) -> None:
        self.ground, self.publisher, self.node, self.peer, self.plain = ground, publisher, node, peer, plain
        self.published = 0

    @classmethod
    async def gather(cls, ground: Ground) -> Bystanders:
        publisher, node, peer, plain = await ground.node("good"), await ground.node("fine"), await ground.stock(), StockNode()
        await node.subscribe("quiet.*")
        await peer.call("subscribe", "quiet.*", plain, "plain")
        return cls(ground, publisher, node, peer, plain)

    async def go(self) -> None:
        """Publish some more: all of it arrives."""
        receipts = [self.publisher.publish("quiet.street", n=self.published + n) for n in range(20)]
        self.published += 20
        for receipt in await gatherResults(receipts):
            assert tuple(receipt) == (2, 2, 0), receipt


class HostileCase(GroundCase):
    """A ground with bystanders, who at the end have lost nothing; nothing secret was logged, no traceback."""

    def withBystanders(self, scenario: Callable[[Ground], Coroutine[Any, Any, None]]) -> Deferred[None]:
        lines: list[str] = []

        @implementer(ILogObserver)
        def note(event: LogEvent) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)

        async def whole(ground: Ground) -> None:
            bystanders = await Bystanders.gather(ground)
            opened = ground.stats()["nodes"]
            await bystanders.go()
            await scenario(ground)
            await bystanders.go()
            await until(lambda: len(bystanders.node.events) == bystanders.published)
            for events in (bystanders.node.events, bystanders.plain.events):
                self.assertEqual([fields["n"] for _event, fields in events], list(range(bystanders.published)))
            for node in (bystanders.publisher, bystanders.node):
                assert node._peer is not None
                self.assertEqual((node._peer.linked, node._peer.counters["outcome_unknown"]), (True, 0))
            # The session of all plain publishers may have come, a bad peer's may be dying.
            await until(lambda: ground.stats()["nodes"] <= opened + 1)
            self.assertEqual(self.flushLoggedErrors(), [])
            for secret in (ground.held.member_name, ground.held.owner_name):
                self.assertEqual([line for line in lines if secret in line], [])

        return self.run_(whole)

    async def lostBy(self, ground: Ground, act: Callable[[Stock], object]) -> None:
        """A fresh peer does this and loses its connection for it."""
        stock = await ground.stock()
        lost: list[bool] = []
        stock.face.notifyOnDisconnect(lost.append, True)
        act(stock)
        await until(lambda: lost)

    async def refusedBy(self, answer: Deferred[Any], *words: str) -> None:
        """The call fails with one of these words, or whatever it is called with."""
        text = await refusal(answer)
        self.assertFalse(text.startswith("no error"), text)
        self.assertTrue(any(word in text for word in words), text)


class CallTests(HostileCase):
    """Wrong calls of the face."""

    def test_wrongCounts(self) -> Deferred[None]:
        """Too few or too many arguments, unknown names of arguments or methods, wrong types: an error each, counted."""

        async def scenario(ground: Ground) -> None:
            peer, node = await ground.stock(), StockNode()
            anything: list[Any] = [None, 7, "text", b"bytes", [], node, Other(), 1.5, True]
            publications: list[tuple[Any, ...]] = [(), ("a",), ("a", {}, "more"), (None, {}), (7, {}), ([], {})]
            nodes: list[Any] = [None, 7, "text", {}, StockMessage(), peer.face]
            names: list[Any] = [None, 7, {}, node, "x" * 801]
            calls = [
                *(peer.call("publish", *args) for args in publications),
                *(peer.call("publish", "a", msg) for msg in anything),
                *(peer.call("subscribe", *args) for args in ((), ("a",), ("a", node), ("a", node, "n", 1))),
                *(peer.call("subscribe", "a", bad, "n") for bad in nodes),
                *(peer.call("subscribe", "a", node, bad) for bad in names),
                *(peer.call("open", *args) for args in ((), (node,), (node, b""), (LinkFace(), "text"), (None, b""))),
                *(peer.call(name) for name in ("remote_publish", "__init__", "stream", "", "publish.x", "getReferenceByName")),
                peer.call("publish", "a", {}, message={}),
                peer.call("publish", uri="a", msg={}, other=1),
                peer.call("get_stats", 1),
                peer.call("publish", "x" * 8000, {}),
                peer.call("publish", "a", {"x": {1, 2}}),
                peer.call("publish", "a", {"x": node}),
                peer.call("publish", "a", {"x": Other()}),
                peer.call("publish", "a", StockMessage(x=StockMessage())),
                peer.call("subscribe", "a", node.remote_event, "n"),
            ]
            for call in calls:
                self.assertFalse((await refusal(call)).startswith("no error"))
            self.assertIs(await peer.call("publish", "a", {}), True)
            self.assertEqual(ground.stats()["failed_calls"], len(calls))
            self.assertEqual(ground.stats().get("cut_off", 0), 0)

        return self.withBystanders(scenario)

    def test_badValues(self) -> Deferred[None]:
        """Values that no payload can carry are refused by name, the peer keeps its connection."""

        async def scenario(ground: Ground) -> None:
            peer = await ground.stock()
            for words, msg in (
                ("nan", {"x": float("nan")}),
                ("inf", StockMessage(x=[float("-inf")])),
                ("keys of a dictionary must be text", {1: 2}),
                ("keys of a dictionary must be text", StockMessage(x={1: 2})),
                ("keys of a dictionary must be text", StockMessage(x={(1, (2, 3)): 2})),
                ("__class__", {"__class__": "x"}),
                ("__class__", StockMessage(__class__x=1)),
                ("64 bits", {"x": 2**63}),
                ("64 bits", {"x": -(2**100)}),
                ("deeper than 32", StockMessage(x=nested(32))),
                ("deeper than 32", StockMessage(x=nested(33))),
                ("values", StockMessage(x=[0] * 20_000)),
                ("1048576", StockMessage(x=["y" * 600_000, "z" * 600_000])),
                ("is full", {str(n): n for n in range(1001)}),
                ("fields", StockMessage(**{f"f{n}": n for n in range(1001)})),
            ):
                await self.refusedBy(peer.call("publish", "a", msg), words)
            self.assertIs(await peer.call("publish", "a", StockMessage(x=nested(31))), True)
            self.assertEqual(ground.stats()["failed_calls"], 15)

        return self.withBystanders(scenario)

    def test_lethalValues(self) -> Deferred[None]:
        """What Foolscap itself could not survive costs the connection: absurd depth, numbers of a million digits, tokens
        over 2 MiB, half a character, a structure without an end."""

        async def scenario(ground: Ground) -> None:
            def publish(msg: Any) -> Callable[[Stock], object]:
                return lambda stock: stock.call("publish", "a", msg).addErrback(lambda failure: None)

            before = ground.stats().get("cut_off", 0)
            acts = [
                publish(StockMessage(x=nested(100))),
                inList(number(415_242) + b"\x85" + b"\x01" * 415_242),  # an int of a million digits
                inList(b"\x01\x81" * 1_000_000),  # a list that does not end
                publish(StockMessage(x="y" * (2 * 1024 * 1024 + 1))),
                publish(StockMessage(x=BadText(b"\xed\xa0\x80"))),
                publish(StockMessage(x=BadText(b"\xff"))),
            ]
            for act in acts:
                await self.lostBy(ground, act)
            self.assertEqual(ground.stats()["cut_off"], before + len(acts))

        return self.withBystanders(scenario)

    def test_veryDeep(self) -> Deferred[None]:
        """968 or 3,000 lists within each other, which a stock sender cannot always write, cost the connection as well."""

        async def scenario(ground: Ground) -> None:
            for depth in (968, 3000):
                opened = (number(index) + b"\x88\x04\x82list" for index in range(4, depth + 4))
                await self.lostBy(ground, inList(b"".join(opened)))

        return self.withBystanders(scenario)

    def test_neverAnswers(self) -> Deferred[None]:
        """A peer that answers no event and leaves its socket unread takes nothing from anybody else."""

        async def scenario(ground: Ground) -> None:
            peer, node = await ground.stock(), StockNode(lambda: Deferred())
            await peer.call("subscribe", "loud", node, "deaf")
            peer.face.tracker.broker.transport.pauseProducing()
            publisher = await ground.node("busy")
            total = MAX_OUTSTANDING + MAX_WAITING + 100
            await gatherResults([publisher.publish("loud", level="accepted", n=n, text="x" * 10_000) for n in range(total)])
            await until(lambda: ground.stats().get("dropped") == 100)
            peer.face.tracker.broker.transport.abortConnection()
            await until(lambda: ground.stats()["subs"] == 2)

        return self.withBystanders(scenario)


class OpenTests(HostileCase):
    """Wrong ways to open a link."""

    streams = 0

    def test_badHello(self) -> Deferred[None]:
        """Garbage, a wrong version, a bad name, a bad subscription count: refused with one line; too long: refused too."""

        async def scenario(ground: Ground) -> None:
            peer = await ground.stock()
            nodes = ground.stats()["nodes"]
            for bad, *words in (
                (b"", "hello"),
                (b"\xff" * 100, "hello"),
                (msgspec.msgpack.encode({"stream": STREAM}), "hello"),
                (msgspec.msgpack.encode({"stream": "short", "name": "n", "host": "h"}), "hello"),
                (msgspec.msgpack.encode([[[[1]]]] * 100), "hello"),
                (b"\x91" * 10_000, "hello", "large"),
                (hello(low=7, high=9), "version"),
                (hello(low=0, high=0), "version"),
                (hello(name="a b"), "node name"),
                (hello(name=""), "node name"),
                (hello(host="x/y"), "host name"),
                (hello(name="n" * 300), "node name"),
                (b"x" * 1_100_000, "too large"),
            ):
                await self.refusedBy(peer.call("open", LinkFace(), bad), *words)
            self.assertEqual(ground.stats()["nodes"], nodes)
            await self.lostBy(ground, lambda stock: stock.call("open", LinkFace(), b"x" * 2_200_000).addErrback(str))

        return self.withBystanders(scenario)

    def test_stolenStream(self) -> Deferred[None]:
        """A stream id that another Tub has is refused; a reference of another Tub (a gift) is no face, no node."""

        async def scenario(ground: Ground) -> None:
            one, two = await ground.stock(), await ground.stock()
            await one.call("open", LinkFace(), hello())
            await self.refusedBy(two.call("open", LinkFace(), hello()), "another node's")
            # A reference that leads to the other Tub, which listens for that.
            one.tub.listenOn("tcp:0:interface=127.0.0.1")
            port = one.tub.getListeners()[0].getPortnum()
            one.tub.setLocation(f"tcp:127.0.0.1:{port}")
            gift = await two.tub.getReference(one.tub.registerReference(LinkFace()))
            await self.refusedBy(two.call("open", gift, hello(stream="t" * 22)), "gift", "their-reference", "prohibited")
            await self.refusedBy(two.call("subscribe", "a", gift, "n"), "gift", "their-reference", "prohibited")
            await self.refusedBy(two.call("publish", "a", {"x": gift}), "gift", "their-reference", "prohibited")
            one.face.tracker.broker.transport.abortConnection()

        return self.withBystanders(scenario)

    def test_badBatches(self) -> Deferred[None]:
        """Garbage where a batch should be, what a node has no business sending: it costs that link, is counted."""

        async def scenario(ground: Ground) -> None:
            def run(**changes: Any) -> Events:
                whole: dict[str, Any] = {
                    "stream": "",
                    "low": 1,
                    "mode": Mode.ALL,
                    "again": False,
                    "event": "a",
                    "first": 1,
                    "lengths": [2],
                    "level": Level.DELIVERED,
                    "headers": wire.NO_HEADERS,
                    "payloads": b"{}",
                }
                return Events(**{**whole, **changes})

            big = b"x" * (1024 * 1024 + 1)
            garbage: list[bytes] = [
                b"",
                b"\xc0",
                b"\xff" * 1000,
                b"\xdd\xff\xff\xff\xff",
                b"\x91" * 100_000,
                msgspec.msgpack.encode([[99]]),
                msgspec.msgpack.encode([[0, "", 1]]),
                wire.pack([run(lengths=[3])]),
                wire.pack([run(lengths=[])]),
                wire.pack([run(lengths=[len(big)], payloads=big)]),
                wire.pack([run(event="a//b")]),
                wire.pack([run(event="a.*")]),
                wire.pack([run(), run()]),
                wire.pack([run(first=0)]),
                wire.pack([Done([(1, 1)], Result.OK, 1, 1, 0)]),
                wire.pack([Confirm("x" * 22, [(1, 1)], Outcome.LOST)]),
                wire.pack([Confirm("x" * 22, [(2, 1)], Outcome.OK)]),
                wire.pack([Sub("a", max_events=wire.MAX_QUEUED + 1)]),
                wire.pack([Sub("a", max_bytes=0)]),
            ]
            for batch in garbage:
                await self.lostBy(ground, self.opened(batch))
            await self.lostBy(ground, self.opened(b"\x90" + b"x" * 2 * 1024 * 1024))
            self.assertEqual(ground.stats()["protocol_errors"], len(garbage))
            self.assertEqual(ground.stats()["cut_off"], 1)

        return self.withBystanders(scenario)

    def opened(self, batch: bytes) -> Callable[[Stock], object]:
        def act(stock: Stock) -> object:
            def send(answer: Any) -> None:
                stock.link = answer[0]  # type: ignore[attr-defined]  # kept alive with its owner
                answer[0].tracker.interface = None
                answer[0].callRemoteOnly("batch", batch)

            # A stream of its own, since that of a lost link stays its Tub's for a while.
            self.streams += 1
            return stock.call("open", LinkFace(), hello(stream=f"{self.streams:022}")).addCallback(send)

        return act

    def test_harmlessNonsense(self) -> Deferred[None]:
        """Confirms of what was never sent, subscriptions to nonsense: ignored or refused, nobody pays."""

        async def scenario(ground: Ground) -> None:
            peer = await ground.stock()
            link, _answer = await peer.call("open", LinkFace(), hello())
            link.tracker.interface = None
            for outcome in set(Outcome) - {Outcome.LOST}:
                confirm = Confirm("x" * 22, [(0, 2**63 - 1)] * 1000, outcome)
                frames: list[wire.Frame] = [confirm, Sub("a//b"), Sub("other@/x"), Beat()]
                await link.callRemote("batch", wire.pack(frames))
            for args in ((), ("text",), (b"", b""), (7,), (None,)):
                self.assertFalse((await refusal(link.callRemote("batch", *args))).startswith("no error"))
            peer.face.tracker.broker.transport.abortConnection()

        return self.withBystanders(scenario)


class StrangerTests(HostileCase):
    """Who has no FURL."""

    def test_guessedNames(self) -> Deferred[None]:
        """Of 1,000 guessed names, those of the dispatcher, of its nodes among them, not one is granted."""

        async def scenario(ground: Ground) -> None:
            stock = await ground.stock()
            base = ground.furl.rpartition("/")[0]
            guesses = ["dispatcher", "good", "fine", "plain", "legacy", "root", "open", "", "*", "member", "owner", "x" * 200]
            guesses += [ground.held.member_name[:-1], ground.held.member_name.upper(), ground.held.stem, ground.held.tub_id]
            guesses += [f"{n:032x}" for n in range(1000 - len(guesses))]
            broker = stock.face.tracker.broker
            answers = [broker.remote_broker.callRemote("getReferenceByName", guess.encode()) for guess in guesses]
            cut = await answers.pop(12)  # what means to be a grant gets an object that says why it is none
            cut.tracker.interface = None
            self.assertIn("copy it again", await refusal(cut.callRemote("open", LinkFace(), hello())))
            texts = [await refusal(answer) for answer in answers]
            self.assertEqual([text for text in texts if text.startswith("no error")], [])
            self.assertEqual(ground.stats()["failed_calls"], 1000)
            self.assertEqual(await refusal(stock.tub.getReference(f"{base}/dispatcher")) != "", True)

        return self.withBystanders(scenario)

    def test_longStrings(self) -> Deferred[None]:
        """A stranger is cut off at a string over 8 KiB, whoever knows the FURL may send a longer one."""

        async def scenario(ground: Ground) -> None:
            known = await ground.stock()
            stranger = Stock(ground.furl.rpartition("/")[0] + "/" + "a" * 32)
            self.addCleanup(stranger.stop)
            stranger.tub.startService()
            await refusal(stranger.tub.getReference(stranger._furl))
            broker = next(iter(stranger.tub.brokers.values()))
            self.assertFalse(broker.disconnected)
            broker.remote_broker.callRemote("getReferenceByName", b"x" * 8200).addErrback(lambda failure: None)
            await until(lambda: broker.disconnected)
            self.assertEqual(ground.stats()["cut_off"], 1)
            self.assertIs(await known.call("publish", "a", {"x": "y" * 9000}), True)

        return self.withBystanders(scenario)

    async def raw(self, ground: Ground) -> Wire:
        port = ground.acceptor._listener.getPortnum()
        connected: Awaitable[Wire] = connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port), Wire())
        connection = await connected
        self.addCleanup(connection.transport.abortConnection)  # type: ignore[union-attr]  # it is connected
        return connection

    def test_rawGarbage(self) -> Deferred[None]:
        """Garbage instead of a negotiation closes that connection, at the latest when the time for negotiating is over."""
        self.patch(ImpatientNegotiation, "SERVER_TIMEOUT", 0.5)

        async def scenario(ground: Ground) -> None:
            for garbage in (
                b"\x00" * 5000,
                b"\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET /id/ HTTP/1.1\r\n\r\n",
                b"GET /id/" + b"a" * 32 + b" HTTP/1.1\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade\r\n\r\n",
                b"GET /id/" + ground.held.tub_id.encode() + b" HTTP/1.1\r\n\r\n",
                b"GET /id/" + ground.held.tub_id.encode() + b" HTTP/1.1\r\nUpgrade: TLS/1.0\r\n\r\n" + b"\xff" * 500,
                b"\xff\xfe\r\n\r\n",
                b"\x16\x03\x01" + b"\x00" * 5000,
            ):
                connection = await self.raw(ground)
                assert connection.transport is not None
                connection.transport.write(garbage)
                await until(partial(getattr, connection, "closed"))

        return self.withBystanders(scenario)

    def test_garbageAfterwards(self) -> Deferred[None]:
        """Garbage after a proper negotiation cuts the connection, at once."""

        async def scenario(ground: Ground) -> None:
            for garbage in (b"\xff", b"\x00" * 100, b"\x89", b"\x81", b"\x00\x88\x03\x82abc\x00\x89\x00\x89", b"\x05\x8dwords"):
                await self.lostBy(ground, writing(garbage))
            self.assertEqual(ground.stats()["cut_off"], 6)

        return self.withBystanders(scenario)

    def test_neverNegotiates(self) -> Deferred[None]:
        """Who connects and says nothing, or stops halfway, is cut off when the time for negotiating is over."""
        self.patch(ImpatientNegotiation, "SERVER_TIMEOUT", 0.3)

        async def scenario(ground: Ground) -> None:
            silent, halfway, slow = [await self.raw(ground) for _ in range(3)]
            assert halfway.transport is not None and slow.transport is not None
            tub_id = ground.held.tub_id.encode()
            halfway.transport.write(b"GET /id/" + tub_id + b" HTTP/1.1\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade\r\n\r\n")
            slow.transport.write(b"GET /id/")
            await until(lambda: silent.closed and halfway.closed and slow.closed, 5.0)

        return self.withBystanders(scenario)

    def test_neverNames(self) -> Deferred[None]:
        """Who makes its way through TLS and then names nothing of ours, or nothing that exists, is cut off; a node is not."""
        self.patch(broker, "PROOF_TIMEOUT", 0.3)

        async def scenario(ground: Ground) -> None:
            known = await ground.stock()
            strangers = [Stock(ground.furl.rpartition("/")[0] + "/" + "a" * 32) for _ in range(2)]
            for stranger in strangers:
                self.addCleanup(stranger.stop)
                stranger.tub.startService()
            silent, guessing = strangers
            await refusal(guessing.tub.getReference(guessing._furl))
            await silent.tub.getBrokerForTubRef(SturdyRef(silent._furl).getTubRef())
            await until(lambda: not silent.tub.brokers and not guessing.tub.brokers)
            self.assertEqual(ground.stats()["cut_off"], 2)
            self.assertIs(await known.call("publish", "a", {"x": 1}), True)

        return self.withBystanders(scenario)

    def test_flood(self) -> Deferred[None]:
        """Sockets that come, go, or are reset in numbers leave nothing behind."""

        async def scenario(ground: Ground) -> None:
            port = ground.acceptor._listener.getPortnum()
            for turn in range(100):
                with socket.create_connection(("127.0.0.1", port)) as connection:
                    if turn % 2:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.send(b"GET /id/")
                await deferLater(reactor, 0)  # only so many wait to be accepted

        return self.withBystanders(scenario)

    def test_randomTokens(self) -> Deferred[None]:
        """Any bytes at all in place of a call: an error or the end of that connection."""
        found: list[bytes] = []
        token = st.one_of(
            st.binary(max_size=20),
            st.sampled_from(
                [b"\x00\x88", b"\x00\x89", b"\x01\x81", b"\x04\x82call", b"\x04\x82list", b"\x04\x82dict", b"\x00\x8a"]
            ),
            st.sampled_from(
                [b"\x05\x82error", b"\x06\x82answer", b"\x09\x82arguments", b"\x07\x82publish", b"\x08\x82copyable"]
            ),
        )

        @settings(max_examples=60, deadline=None, database=None)
        @given(st.lists(token, min_size=1, max_size=15).map(b"".join))
        def collect(garbage: bytes) -> None:
            found.append(garbage)

        collect()

        async def scenario(ground: Ground) -> None:
            stock = await ground.stock()
            for garbage in found:
                broker = stock.face.tracker.broker
                broker.transport.write(garbage)
                await deferLater(reactor, 0.002)
                if broker.disconnected:
                    stock = await ground.stock()
            stock.face.tracker.broker.transport.abortConnection()

        return self.withBystanders(scenario)


class NegotiationTests(SynchronousTestCase):
    """What happens after a negotiation has failed, when the peer does not go."""

    def test_talksOn(self) -> None:
        """Who goes on talking after the negotiation has failed is cut off, nothing of it is kept."""
        negotiation: Any = ImpatientNegotiation()
        negotiation.transport = transport = StringTransport()
        negotiation.failureReason = Failure(ValueError("it failed"))
        negotiation.dataReceived(b"x" * 100_000)
        self.assertEqual((negotiation.buffer, transport.disconnecting or transport.disconnected), (b"", True))
