"""Nodes that stream to each other, introduced by a real dispatcher, on a site in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass

from nodeset.core.calls.expose import expose
from nodeset.core.collection import NodeCollection
from nodeset.core.interfaces import IStreamNode
from nodeset.core.node import Node
from nodeset.core.stream import Formatter, JsonFormatter, Stream, StreamNode, StreamSource
from nodeset.core.utils import catch
from nodeset.errors import InvalidAddressing, LinkLost, LocalError, NodeSetError, NotRunning, Refused, RemoteError
from nodeset.testing import Site


class Recorder(StreamNode):
    """Keeps what it takes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.taken: list[tuple[str, Any]] = []
        self.ends: list[tuple[str, str, NodeSetError | None]] = []

    def onStream(self, name: str, data: Any) -> object:
        self.taken.append((name, data))
        return len(self.taken)

    def onStreamEnd(self, name: str, source: StreamSource, error: NodeSetError | None) -> object:
        self.ends.append((name, str(source), error))
        return None


class Caught(Recorder):
    """Subscribes by a method."""

    @catch("video.*")
    def onVideo(self, msg: Any) -> None:
        """Never called by a stream."""
        self.taken.append(("event", msg))


class Sourced(Recorder):
    """Wants to know who pushes."""

    def onStream(self, name: str, data: Any, source: StreamSource | None = None) -> object:
        assert source is not None
        return f"{source.name} {source.tub} {source.direct}"


class SiteCase(SynchronousTestCase):
    """A site with a pusher."""

    def setUp(self) -> None:
        self.site = Site()
        self.addCleanup(self.site.stop)
        self.camera = self.site.node(StreamNode, name="camera")

    def recorder(self, name: str, *patterns: str, kind: type[Recorder] = Recorder, **options: Any) -> Recorder:
        node = self.site.node(kind, name=name, **options)
        for pattern in patterns:
            self.site.wait(node.subscribe(pattern))
        return node

    def stream(self, name: str = "video", **options: Any) -> Stream:
        stream: Stream = self.site.wait(self.camera.stream(name, **options))
        return stream

    def names(self, stream: Stream) -> list[str]:
        return sorted(peer.name for peer in stream.peers)


class PeerTests(SiteCase):
    """Who the peers of a stream are."""

    def test_interface(self) -> None:
        """The class keeps the interface."""
        self.assertTrue(verifyClass(IStreamNode, StreamNode))

    def test_subscribers(self) -> None:
        """Stream nodes that subscribe when the stream is opened, by a name or a pattern, by hand or by @catch."""
        self.recorder("by-name", "video")
        self.recorder("by-pattern", ">")
        self.recorder("by-catch", kind=Caught)
        self.recorder("other", "audio")
        self.site.wait(self.site.node(Node, name="plain").subscribe("video"))
        self.assertEqual(self.names(self.stream()), ["by-name", "by-pattern"])
        self.assertEqual(self.names(self.stream("video.left")), ["by-catch", "by-pattern"])

    def test_none(self) -> None:
        """Without a peer there is a stream all the same, pushes of which come to nothing."""
        stream = self.stream()
        self.assertEqual((stream.peers, self.site.wait(stream.push(b"x"))), ([], []))

    def test_filter(self) -> None:
        """Node and host parts of the name filter, as for publish."""
        self.recorder("a", "video", host="here")
        self.recorder("b", "video", host="there")
        for address, found in (
            ("a@here/video", ["a"]),
            ("there/video", ["b"]),
            ("nowhere/video", []),
            ("localhost/video", ["a", "b"]),
        ):
            self.assertEqual(self.names(self.stream(address)), found)

    def test_itself(self) -> None:
        """A node streams to itself if it subscribed by itself, not if a @catch did."""
        node: Any = self.recorder("both", kind=Caught)
        self.assertEqual(self.names(self.site.wait(node.stream("video.left"))), [])
        self.site.wait(node.subscribe("video.left"))
        stream = self.site.wait(node.stream("video.left"))
        self.assertEqual(self.names(stream), ["both"])
        self.assertEqual(self.site.wait(stream.push(b"me")), 1)

    def test_collection(self) -> None:
        """Members of a collection, which share a TubID, stream to each other and to others."""
        collection = self.site.node(NodeCollection, start=False, name="all")
        one, other = (Recorder(name=name, clock=self.site.clock) for name in ("one", "other"))
        collection.adapt(one)
        collection.adapt(other)
        collection.startService()
        self.site.flush()
        self.site.wait(one.subscribe("video"))
        self.site.wait(other.subscribe("video"))
        self.assertEqual(self.site.wait(self.stream().push(b"x")), [1, 1])
        stream = self.site.wait(one.stream("other@localhost/video"))
        self.assertEqual(self.site.wait(stream.push(b"y")), 2)

    def test_bad(self) -> None:
        """What is no address, no formatter, no patience, is refused at once; a node that does not run says so."""
        for bad in ("", "video.*", "a/b/c"):
            self.assertRaises(InvalidAddressing, self.camera.stream, bad)
        for formatter in (dict, "json", None.__class__):
            wrong: Any = formatter
            self.assertRaises(LocalError, self.camera.stream, "video", formatter=wrong)
        for patience in (0, -1, "x"):
            slow: Any = patience
            self.assertRaises(LocalError, self.camera.stream, "video", patience=slow)
        self.failureResultOf(StreamNode(clock=self.site.clock).stream("video"), NotRunning)


class StreamTests(SiteCase):
    """What passes."""

    def test_push(self) -> None:
        """Chunks come with the name that they were pushed under; no event handler sees them; the end is told."""
        recorder = self.recorder("recorder", kind=Caught)
        stream = self.stream("video.left")
        self.assertEqual(self.site.wait(stream.push(b"1")), 1)
        self.site.wait(stream.write(b"2"))
        self.site.wait(stream.close())
        self.assertEqual(recorder.taken, [("video.left", b"1"), ("video.left", b"2")])
        self.assertEqual(recorder.ends, [("video.left", "camera@localhost", None)])

    def test_source(self) -> None:
        """An onStream with a third argument is told who pushes, with the TubID that was proved, directly or not."""
        self.recorder("a", "video", kind=Sourced)
        self.assertEqual(self.site.wait(self.stream().push(b"x")), "camera tub1 True")
        self.site.wire.walled |= {"tub1", "tub2"}
        self.assertEqual(self.site.wait(self.stream().push(b"x")), "camera tub1 False")

    def test_formatters(self) -> None:
        """The formatter is the pusher's class, the stream's own, and the taker finds it by its name."""

        class Pair(Formatter):
            name = "pair"

            def encode(self, data: Any) -> bytes:
                return b"%d %d" % data

            def decode(self, data: bytes) -> Any:
                return tuple(map(int, data.split()))

        class Paired(Recorder):
            formatterClass = Pair

        recorder = self.recorder("a", "video", kind=Paired)
        self.site.wait(self.stream(formatter=Pair).push((3, 4)))
        self.site.wait(self.stream(formatter=JsonFormatter).push({"x": 1}))
        self.site.wait(self.stream().push(b"raw"))
        self.assertEqual([data for _name, data in recorder.taken], [(3, 4), {"x": 1}, b"raw"])
        self.site.wait(recorder.stopService())
        self.recorder("b", "video")
        error = self.assertRaises(RemoteError, self.stream, formatter=Pair)
        self.assertIn("b knows no formatter 'pair'", str(error))

    def test_streamClass(self) -> None:
        """A stream is of the node's streamClass."""

        class Mine(Stream):
            """Another."""

        class Own(StreamNode):
            streamClass = Mine

        self.assertIsInstance(self.site.wait(self.site.node(Own).stream("video")), Mine)

    def test_counter(self) -> None:
        """While ten MiB are pushed directly the dispatcher carries next to nothing; relayed, all of it."""
        self.recorder("a", "video")
        self.assertLess(self.carried(self.stream()), 2_000)
        self.site.wire.walled |= {"tub1", "tub2"}
        self.assertGreater(self.carried(self.stream()), 10_000_000)

    def carried(self, stream: Stream) -> int:
        assert self.site.dispatcher is not None
        before = self.site.dispatcher.getStats()
        for _ in range(160):
            self.site.wait(stream.push(bytes(65536)))
        after = self.site.dispatcher.getStats()
        return sum(after[name] - before[name] for name in ("bytes_in", "bytes_out"))

    def test_dispatcherDies(self) -> None:
        """A direct stream goes on when the dispatcher dies, and after another has started; a relayed one is lost, and told."""
        recorder = self.recorder("a", "video")
        direct = self.stream()
        self.site.wire.walled |= {"tub1", "tub2"}
        relayed = self.stream()
        self.site.wait(relayed.push(b"before"))
        self.site.killDispatcher()
        self.assertEqual(self.site.wait(direct.push(b"without")), 2)
        self.site.startDispatcher()
        self.site.advance(30.0)
        self.assertEqual(self.site.wait(direct.push(b"after")), 3)
        self.assertEqual((len(relayed.peers), len(relayed.lost)), (0, 1))
        self.assertEqual(len([end for end in recorder.ends if end[2] is not None]), 1)

    def test_stops(self) -> None:
        """Whoever stops takes its streams along: takers are lost to their pushers, pushers end well for their takers."""
        recorder = self.recorder("a", "video")
        stream = self.stream()
        stream.write(b"last")
        self.site.wait(self.camera.stopService())
        self.assertEqual((recorder.taken, recorder.ends), ([("video", b"last")], [("video", "camera@localhost", None)]))
        self.camera = self.site.node(StreamNode, name="other")
        stream = self.stream()
        self.site.wait(recorder.stopService())
        self.site.flush()
        self.assertEqual([str(error) for _peer, error in stream.lost], ["the taker stopped"])

    def test_stopsWhenItTakes(self) -> None:
        """A node that stops from within `onStream` hears once that its streams are over."""

        class Enough(Recorder):
            def onStream(self, name: str, data: Any) -> object:
                self.stopping = self.stopService()
                return 1

        taker = self.recorder("a", "video", kind=Enough)
        stream = self.stream()
        pushed = stream.push(b"x")
        self.site.flush()
        self.assertIsInstance(self.failureResultOf(pushed).value, LinkLost)
        self.assertEqual([str(error) for _name, _source, error in taker.ends], ["the taker stopped"])

    def test_raisesAnything(self) -> None:
        """Whatever `onStream` raises is told to the pusher; the next chunk is taken."""

        class Leaving(Recorder):
            def onStream(self, name: str, data: Any) -> object:
                if data == b"leave":
                    raise SystemExit("enough")
                return 1

        self.recorder("a", "video", kind=Leaving)
        stream = self.stream()
        left, taken = stream.push(b"leave"), stream.push(b"x")
        with self.assertRaises(RemoteError) as caught:
            self.site.wait(left)
        self.assertEqual((caught.exception.type, self.site.wait(taken)), ("SystemExit", 1))
        self.flushLoggedErrors(SystemExit)

    def test_withinCall(self) -> None:
        """A stream that is opened while a call is answered outlives the call."""

        class Opener(StreamNode):
            kept: Any = None

            @expose
            async def begin(self) -> int:
                self.kept = await self.stream("video")
                return len(self.kept.peers)

        self.recorder("a", "video")
        self.site.wire.walled |= {"tub1", "tub2", "tub3"}
        opener = self.site.node(Opener, name="opener")
        self.assertEqual(self.site.wait(self.camera.call("opener", "begin", timeout=20)), 1)
        self.site.advance(60.0)
        self.assertEqual(self.site.wait(opener.kept.push(b"x")), 1)

    def test_again(self) -> None:
        """A stream node that was stopped can be started again."""
        recorder = self.recorder("a", "video")
        self.site.wait(recorder.stopService())
        recorder.startService()
        self.site.flush()
        self.assertEqual(self.site.wait(self.stream().push(b"x")), 1)

    def test_endFails(self) -> None:
        """An onStreamEnd that raises is logged."""

        class Bad(Recorder):
            async def onStreamEnd(self, name: str, source: StreamSource, error: NodeSetError | None) -> object:
                raise KeyError("mine")

        self.recorder("a", "video", kind=Bad)
        self.site.wait(self.stream().close())
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class RightTests(SiteCase):
    """Who may push what to whom."""

    def holder(self, **caveats: Any) -> StreamNode:
        furl = self.site.wait(self.camera.grant(**caveats))
        return self.site.node(StreamNode, name="holder", grant=furl)

    def test_publish(self) -> None:
        """To stream a name takes the right to publish it, and no right to call anybody."""
        self.recorder("a", "video", "audio")
        holder = self.holder(publish=["video"])
        stream = self.site.wait(holder.stream("video"))
        self.assertEqual(self.site.wait(stream.push(b"x")), 1)
        self.assertRaises(Refused, self.site.wait, holder.stream("audio"))

    def test_revoked(self) -> None:
        """When the pusher's grant is revoked, its direct streams end within half a minute; those of others go on."""
        taker = self.recorder("a", "video")
        furl = self.site.wait(self.camera.grant(publish=["video"]))
        holder = self.site.node(StreamNode, name="holder", grant=furl)
        revoked, other = self.site.wait(holder.stream("video")), self.stream()
        self.site.advance(60.0)
        self.assertEqual(self.site.wait(revoked.push(b"may")), 1)
        self.site.wait(self.camera.revoke(furl))
        self.site.advance(31.0)
        self.assertEqual([str(error) for _peer, error in revoked.lost], ["the right to push this was revoked"])
        self.assertEqual(self.site.wait(other.push(b"may")), 2)
        self.assertEqual(len(taker.ends), 1)

    def test_methods(self) -> None:
        """Nobody reaches the methods of streams by a call of his own, nor anything else by an introduction."""
        taker = self.recorder("a", "video")
        method = "nodeset.stream.open"
        open_it = self.camera.call("a", method, "key", "raw", "", "camera", "here")
        self.assertEqual(self.site.wait(open_it)["refused"][0], "Refused")
        introduction = self.site.wait(self.camera.call("", "streams", "video"))[1][0][0]
        for called, target in (("add", f"={introduction}"), (method, f"={introduction}x"), (method, "=x/video/y")):
            phone: Any = self.camera._phone
            asked: Deferred[Any] = phone.caller.call(target, called, b"[[],{}]", 1, 5.0, False, None)
            self.assertRaises(Refused, self.site.wait, asked)
        other = self.site.node(StreamNode, name="other")
        asked = other._askNode(introduction, method, ["key", "raw", "", "camera", "here"], 5.0)
        self.assertRaises(Refused, self.site.wait, asked)
        self.assertEqual(taker.taken, [])

    def test_unsubscribed(self) -> None:
        """A node that has unsubscribed meanwhile takes no stream of that name."""
        taker = self.recorder("a", "video")
        introduction = self.site.wait(self.camera.call("", "streams", "video"))[1][0][0]
        self.site.wait(taker.unsubscribe("video"))
        asked = self.camera._askNode(introduction, "nodeset.stream.open", ["key", "raw", "", "camera", "here"], 5.0)
        self.assertIn("does not subscribe", str(self.assertRaises(RemoteError, self.site.wait, asked)))
