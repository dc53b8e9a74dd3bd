"""Streams between nodes over real Tubs, with a real dispatcher."""

from __future__ import annotations

import gc
import os
import signal
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred

from nodeset.core.stream import Stream, StreamNode
from nodeset.transport.rendezvous import find
from nodeset.transport.tub import TubAcceptor, TubTransport
from tests.children import Child
from tests.commands import ROOT, CommandCase
from tests.test_contract import until
from tests.test_streamnode import Recorder
from tests.test_tub import TubCase

reactor: Any = _reactor


class StreamTubTests(TubCase):
    """Nodes in this process, each with a Tub of its own."""

    async def member(self, kind: type[Any], *patterns: str, listens: bool = True, **options: Any) -> Any:
        source = find(str(self.file), environ={}, state_directory=self.home)
        endpoints = ("tcp:0:interface=127.0.0.1",) if listens else ()
        node = kind(transport=TubTransport(source, reactor, endpoints, None, "localhost"), **options)
        self.addCleanup(node.stopService)
        node.startService()
        await node.start()
        for pattern in patterns:
            await node.subscribe(pattern)
        return node

    def carried(self, acceptor: TubAcceptor) -> int:
        stats = acceptor.dispatcher.getStats()
        return stats["bytes_in"] + stats["bytes_out"]

    async def push(self, stream: Stream, chunks: int) -> None:
        for _ in range(chunks):
            await stream.write(bytes(65536))

    def test_counter(self) -> Deferred[None]:
        """While 10 MiB go directly, the dispatcher carries heartbeats at most; the taker may listen, or the pusher."""
        return Deferred.fromCoroutine(self._counter())

    async def _counter(self) -> None:
        acceptor = await self.acceptor()
        taker = await self.member(Recorder, "video")
        for listens in (False, True):
            pusher = await self.member(StreamNode, listens=listens, name=f"pusher{listens}")
            stream = await pusher.stream("video")
            self.assertEqual([peer.direct for peer in stream.peers], [True])
            before = self.carried(acceptor)
            await self.push(stream, 160)
            self.assertEqual(await stream.push(b"end"), len(taker.taken))
            self.assertLess(self.carried(acceptor) - before, 2_000)
            await stream.close()
        self.assertEqual(sum(len(data) for _name, data in taker.taken), 2 * (160 * 65536 + 3))
        reverse = await self.member(Recorder, "audio", listens=False, name="reverse")
        stream = await pusher.stream("audio")
        self.assertEqual([peer.direct for peer in stream.peers], [True])
        self.assertEqual(await stream.push(b"x"), 1)
        self.assertEqual(reverse.taken, [("audio", b"x")])

    def test_relayed(self) -> Deferred[None]:
        """Two nodes neither of which listens are relayed for: slower, through the dispatcher, complete."""
        return Deferred.fromCoroutine(self._relayed())

    async def _relayed(self) -> None:
        acceptor = await self.acceptor()
        taker = await self.member(Recorder, "video", listens=False)
        pusher = await self.member(StreamNode, listens=False)
        stream = await pusher.stream("video")
        self.assertEqual([peer.direct for peer in stream.peers], [False])
        before = self.carried(acceptor)
        await self.push(stream, 48)
        await stream.close()
        self.assertEqual(len(taker.taken), 48)
        self.assertEqual([error for _name, _source, error in taker.ends], [None])
        self.assertGreater(self.carried(acceptor) - before, 2 * 48 * 65536)

    def test_many(self) -> Deferred[None]:
        """Streams that were closed leave nothing behind: sixty of them, over one connection."""
        return Deferred.fromCoroutine(self._many())

    async def _many(self) -> None:
        gc.freeze()  # what is there already is not looked through with each look at what is left
        self.addCleanup(gc.unfreeze)
        await self.acceptor()
        taker, pusher = await self.member(Recorder, "video"), await self.member(StreamNode)
        for number in range(60):
            async with await pusher.stream("video") as stream:
                self.assertEqual(await stream.push(b"x"), number + 1)
        self.assertEqual(len(taker.ends), 60)
        self.assertEqual((pusher._streaming._streams, taker._streaming.reception.ends), ([], []))
        await until(lambda: all(self.isClean(node._transport.meeting) for node in (pusher, taker)))

    def isClean(self, meeting: Any) -> bool:
        brokers = meeting._tub.brokers.values()
        return (
            not (meeting._links or meeting._offers or meeting._shares)
            and len(brokers) == 2  # to the dispatcher, to each other
            and all(self.references(broker) < 10 for broker in brokers)
        )

    def references(self, broker: Any) -> int:
        gc.collect()
        return len(broker.myReferenceByCLID) + len(broker.yourReferenceByCLID)

    def test_dispatcherStops(self) -> Deferred[None]:
        """A direct stream does not need the dispatcher any more."""
        return Deferred.fromCoroutine(self._dispatcherStops())

    async def _dispatcherStops(self) -> None:
        acceptor = await self.acceptor()
        taker = await self.member(Recorder, "video")
        pusher = await self.member(StreamNode)
        stream = await pusher.stream("video")
        await acceptor.stopService()
        await self.push(stream, 20)
        self.assertEqual(await stream.push(b"end"), 21)
        self.assertEqual(len(taker.taken), 21)

    def test_killed(self) -> Deferred[None]:
        """Of two takers one is killed in the middle: it is told once, the other gets everything."""
        return Deferred.fromCoroutine(self._killed())

    async def _killed(self) -> None:
        await self.acceptor()
        taker = await self.member(Recorder, "video", name="stays")
        child = Child("tests.streamchild", str(self.file), str(self.home))
        self.addCleanup(child.kill)
        self.assertEqual(await child.said, "subscribed", child.output)
        pusher = await self.member(StreamNode, name="pusher")
        stream = await pusher.stream("video")
        self.assertEqual(sorted(peer.name for peer in stream.peers), ["child", "stays"])
        for number in range(200):
            await stream.write(b"%d" % number + bytes(60_000))
            if number == 100:
                child.signal(signal.SIGKILL)
        await stream.close()
        self.assertEqual([peer.name for peer, _error in stream.lost], ["child"])
        self.assertEqual([int(data.rstrip(b"\0")) for _name, data in taker.taken], list(range(200)))

    def test_frozen(self) -> Deferred[None]:
        """A taker that is stopped (SIGSTOP) holds the pusher, whose memory stays bounded; it goes on when the taker does."""
        return Deferred.fromCoroutine(self._frozen())

    async def _frozen(self) -> None:
        await self.acceptor()
        child = Child("tests.streamchild", str(self.file), str(self.home))
        self.addCleanup(child.kill)
        self.assertEqual(await child.said, "subscribed", child.output)
        pusher = await self.member(StreamNode, name="pusher")
        stream = await pusher.stream("video")
        child.signal(signal.SIGSTOP)
        count, written = 0, stream.write(b"")
        while written.called:
            written = stream.write(bytes(65536))
            count += 1
        self.assertLess(count, 70)
        child.signal(signal.SIGCONT)
        await written
        self.assertEqual(await stream.push(b"end"), count + 2)


class ExampleTests(CommandCase):
    """examples/stream.py."""

    def test_example(self) -> None:
        """It sends a file directly, with the right checksum, and ends."""
        self.startDispatcher()
        file = self.home / "file"
        file.write_bytes(os.urandom(3_000_000))
        code, out, err = self.ask(str(ROOT / "examples" / "stream.py"), str(file))
        self.assertEqual(code, 0, err)
        self.assertIn("to archive@localhost, directly", out)
        self.assertIn("the checksum is right", out)
        self.assertIn("is complete", out)
