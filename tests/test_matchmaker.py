"""Who is introduced to whom."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.grants.rights import Rights
from nodeset.core.routing import RouteEntry, RoutingTable
from nodeset.core.session import Session
from nodeset.core.streams.matchmaker import MAX_PEERS, Matchmaker, introducedBy
from nodeset.errors import BadArguments, Refused


class MatchmakerTests(SynchronousTestCase):
    """A table with sessions in it."""

    def setUp(self) -> None:
        self.table = RoutingTable()
        self.sessions: dict[str, Session] = {}
        self.maker = self.make(b"s" * 20)
        self.pusher = self.session("pusher")

    def make(self, secret: bytes) -> Matchmaker:
        return Matchmaker(self.table.lookup, self.sessions.get, secret)

    def session(self, name: str, *patterns: str, own: bool = True) -> Session:
        session = self.sessions[f"stream-{name}"] = Session(f"stream-{name}", f"tub-{name}", name, "here")
        session.methods = ["nodeset.stream.open"]
        for pattern in patterns:
            self.table.add(RouteEntry(session.stream, pattern, name, "here", own))
        return session

    def names(self, address: str) -> list[str]:
        return sorted(row[1] for row in self.maker.streams(self.pusher, address)[1])

    def test_whoSubscribes(self) -> None:
        """Takers are those that subscribe now, by the name or a pattern, each once, filtered by node and host."""
        self.session("a", "video", "video.*")
        self.session("b", ">")
        self.session("c", "audio")
        self.assertEqual(self.names("video"), ["a", "b"])
        self.assertEqual(self.names("a@here/video"), ["a"])
        self.assertEqual(self.names("elsewhere/video"), [])
        event, rows = self.maker.streams(self.pusher, "here/video.left")
        self.assertEqual(
            (event, sorted(row[1:] for row in rows)), ("video.left", [("a", "here", "tub-a"), ("b", "here", "tub-b")])
        )

    def test_whoCannot(self) -> None:
        """Nodes that take no streams, are away, or are leaving, are passed over."""
        for name in "abcd":
            self.session(name, "video")
        self.sessions["stream-a"].methods = ["add"]
        self.sessions["stream-b"].away_since = 1.0
        self.sessions["stream-c"].retiring = True
        self.assertEqual(self.names("video"), ["d"])

    def test_itself(self) -> None:
        """A pusher is its own peer only if it subscribed by itself."""
        self.pusher = self.session("one", "video", own=False)
        self.assertEqual(self.names("video"), [])
        self.pusher = self.session("two", "audio", own=True)
        self.assertEqual(self.names("audio"), ["two"])

    def test_admitted(self) -> None:
        """An introduction leads its pusher to its taker, who can read in it what may be pushed."""
        self.session("a", "video")
        target = "=" + self.maker.streams(self.pusher, "video")[1][0][0]
        self.assertEqual(self.maker.admit(self.pusher, target, "nodeset.stream.open"), "stream-a")
        self.assertEqual(introducedBy(target), "video")

    def test_notAdmitted(self) -> None:
        """Nobody else can use it, for nothing else, nor changed, nor after the dispatcher was started anew."""
        self.session("a", "video")
        self.session("b", "audio")
        target = "=" + self.maker.streams(self.pusher, "video")[1][0][0]
        other = self.sessions["stream-b"]
        method = "nodeset.stream.open"
        self.assertRaises(Refused, self.maker.admit, other, target, method)
        self.assertRaises(Refused, self.maker.admit, self.pusher, target, "nodeset.stop")
        self.assertRaises(Refused, self.maker.admit, self.pusher, target, "reboot")
        for changed in (
            target.replace("video", "audio"),
            target.replace("stream-a", "stream-b"),
            target[:-1],
            target + "A",
            "=",
            "=a/b",
            "=a/b/c/d",
            "=stream-a/video/",
            "=stream-a/video/ü",
        ):
            self.assertRaises(Refused, self.maker.admit, self.pusher, changed, method)
        self.assertRaises(Refused, self.make(b"t" * 20).admit, self.pusher, target, method)

    @given(some.text(max_size=60))
    def test_forged(self, text: str) -> None:
        """No text is an introduction."""
        self.assertRaises(Refused, self.maker.admit, self.pusher, f"={text}", "nodeset.stream.open")

    def test_rights(self) -> None:
        """Streams of a name are for those that may publish it, as long as they may."""
        self.session("a", "video")
        target = "=" + self.maker.streams(self.pusher, "video")[1][0][0]

        class Narrow(Rights):
            def mayPublish(self, event: str) -> str:
                return "" if event == "audio" else f"your grant does not cover {event}"

        limited = self.pusher
        limited.rights = Narrow()
        self.assertRaises(Refused, self.maker.streams, limited, "video")
        self.assertRaises(Refused, self.maker.admit, limited, target, "nodeset.stream.open")

    def test_unentitled(self) -> None:
        """Who was expelled may not go on, nor who is here without the right; of others nothing is known."""
        taker, gone = self.session("a", "video"), self.session("gone")
        pushed = [["stream-pusher", "video"], ["stream-gone", "video"], ["stream-never", "video"]]
        self.assertEqual(self.maker.unentitled(taker, pushed), [])
        del self.sessions["stream-gone"]
        self.assertEqual(self.maker.unentitled(taker, pushed), [])
        self.maker.expel(gone)
        self.assertEqual(self.maker.unentitled(taker, pushed), [1])
        bads: list[Any] = [None, 3, "x", [3], [["x"]], [["x", 3]], [["x", "y"]] * 1025]
        for bad in bads:
            self.assertRaises(BadArguments, self.maker.unentitled, taker, bad)

    def test_bad(self) -> None:
        """What is no address, a pattern, or means too many nodes is refused in one line."""
        for bad in (None, 3, "", "a/b/c", ["x"], "video.*", ">"):
            self.assertRaises(BadArguments, self.maker.streams, self.pusher, bad)
        for number in range(MAX_PEERS + 1):
            self.session(f"n{number}", "crowd")
        self.assertIn("257 nodes", str(self.assertRaises(Refused, self.maker.streams, self.pusher, "crowd")))
