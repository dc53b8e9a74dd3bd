"""`nodeset top`: a dispatcher watched in memory, then by the command itself."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from nodeset import Node
from nodeset.cli.top.rates import Frame
from nodeset.cli.top.table import Order, View
from nodeset.cli.top.watch import Watch
from nodeset.core.message import NodeMessage
from nodeset.errors import Refused
from nodeset.testing import Site
from tests.commands import FURL, PATIENCE, CommandCase

NODESET = ["-c", "from nodeset.cli.main import main; main()"]


class Watching(Node):
    """A node that watches, as the visitor of the command."""

    autosubscribe = False
    reason = "nobody answers there"

    @property
    def is_linked(self) -> bool:
        """Whether there is a link."""
        return self._peer is not None and self._peer.linked

    @property
    def stream(self) -> str:
        """What names it."""
        return self._peer.stream if self._peer is not None else ""


class Album:
    """A screen that keeps what it was shown."""

    def __init__(self, patient: bool = False) -> None:
        self.patient = patient
        self.shown: list[tuple[Frame | None, list[float], View]] = []
        self.closed = 0

    def draw(self, frame: Frame | None, history: Sequence[float], view: View) -> None:
        """Keep it."""
        self.shown.append((frame, list(history), view))

    def close(self) -> None:
        """Count it."""
        self.closed += 1


class Tick(NodeMessage):
    """An event."""

    number: int


class WatchTests(SynchronousTestCase):
    """The loop, with a real dispatcher in the test's own time."""

    def setUp(self) -> None:
        self.site = Site()
        self.album = Album()
        self.over: list[object] = []

    def watch(self, count: int = 0, grant: str = "", patient: bool = False) -> Watch:
        """Watch from now on, every second."""
        node = self.site.node(Watching, name="watcher", grant=grant)
        self.album.patient = patient
        watch = Watch(node, self.site.clock, lambda pressed: self.album, 1.0, count, Order())
        Deferred.fromCoroutine(watch.run()).addBoth(self.over.append)
        self.site.flush()
        return watch

    @property
    def frame(self) -> Frame:
        """The newest."""
        frame = self.album.shown[-1][0]
        assert frame is not None
        return frame

    def test_rates(self) -> None:
        """It tells what a node publishes in a second, leaves itself out, keeps the rates for its line of bars."""
        shop = self.site.node(Node, name="shop")
        self.watch()
        for number in range(10):
            shop.publish("x", Tick, number=number)
        self.site.advance(1.0)
        self.assertEqual(self.frame.published, 10.0)
        self.assertEqual([(row.node.name, row.published) for row in self.frame.rows], [("shop@localhost", 10.0)])
        self.site.advance(1.0)
        self.assertEqual((self.frame.published, self.album.shown[-1][1]), (0.0, [10.0, 0.0]))

    def test_restart(self) -> None:
        """It says that the dispatcher has gone, goes on by itself when another is there, without a rate of what was before."""
        shop = self.site.node(Node, name="shop")
        self.watch()
        for number in range(10):
            shop.publish("x", Tick, number=number)
        self.site.advance(1.5)
        self.site.killDispatcher()
        self.site.advance(2.5)
        trouble = self.album.shown[-1][2].trouble
        self.assertIn("no dispatcher", trouble)
        self.assertIn(Watching.reason, trouble)
        self.site.startDispatcher()
        before = len(self.album.shown)
        self.site.advance(8.0)
        after = [shown for shown in self.album.shown[before:] if shown[0] is not None and not shown[2].trouble]
        self.assertTrue(after)
        self.assertTrue(all((frame.published or 0.0) == 0.0 for frame, _, _ in after if frame is not None))
        self.assertEqual(self.frame.rows[0].published, 0.0)

    def test_silence(self) -> None:
        """A dispatcher that does not answer for a while is shown again soon after it does."""
        self.watch()
        self.site.advance(1.5)
        assert self.site.dispatcher is not None
        self.site.freeze(self.site.dispatcher)
        self.site.advance(4.0)
        self.assertIn("no answer", self.album.shown[-1][2].trouble)
        self.site.thaw(self.site.dispatcher)
        self.site.advance(4.0)
        self.assertEqual(self.album.shown[-1][2].trouble, "")

    def test_count(self) -> None:
        """After so many frames it ends; where a frame cannot be drawn over, the first one, without rates, is kept back."""
        self.watch(count=2, patient=True)
        self.site.advance(3.5)
        self.assertEqual((len(self.album.shown), self.over, self.album.closed), (2, [None], 1))
        self.assertTrue(all(frame is not None and frame.published == 0.0 for frame, _, _ in self.album.shown))

    def test_keys(self) -> None:
        """q ends it at once, giving the terminal back; p stands still; s sorts by the next column, r turns that round."""
        watch = self.watch()
        watch.pressed("s")
        watch.pressed("r")
        self.assertEqual(self.album.shown[-1][2].order, Order("queued", turned=True))
        watch.pressed("p")
        count = len(self.album.shown)
        self.site.advance(3.0)
        self.assertEqual((len(self.album.shown), self.album.shown[-1][2].paused), (count, True))
        watch.pressed("p")
        self.site.advance(2.0)
        self.assertGreater(len(self.album.shown), count + 1)
        watch.pressed("x")
        watch.pressed("q")
        self.assertEqual((self.over, self.album.closed), ([None], 1))

    def test_refused(self) -> None:
        """Without a grant for it, it ends with why, giving the terminal back."""
        self.watch(grant=self.site.wait(self.site.node(Node, name="owner", grant=self.site.owner).grant(subscribe=["x"])))
        (failure,) = self.over
        self.assertIsInstance(getattr(failure, "value", None), Refused)
        self.assertEqual(self.album.closed, 1)

    def test_manyNodes(self) -> None:
        """A thousand nodes are told of, all of them."""
        for number in range(1000):
            self.site.node(Node, name=f"n{number}")
        self.watch()
        self.site.advance(1.0)
        self.assertEqual(len(self.frame.rows), 1000)


class TopTests(CommandCase):
    """The command."""

    def test_frames(self) -> None:
        """To a file it prints plain frames; as JSON an object for each."""
        self.startDispatcher()
        code, out, err = self.ask(*NODESET, "top", "--once", "--interval", "0.1")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("in 0/s  out 0/s", out)
        self.assertNotIn("\x1b", out)
        code, out, err = self.ask(*NODESET, "top", "--json", "--count", "2", "--interval", "0.1")
        self.assertEqual((code, err), (0, ""))
        frames = [msgspec.json.decode(line) for line in out.splitlines()]
        self.assertEqual([(each["linked"], each["events_in"], each["nodes"]) for each in frames], [(True, 0.0, [])] * 2)

    def test_noDispatcher(self) -> None:
        """Without a dispatcher, with a wrong FURL, with options that cannot be, it says so in a line."""
        quick = ["top", "--timeout", "0.2"]
        cases: list[tuple[int, str, dict[str, Any]]] = [
            (3, "no dispatcher", {"words": quick}),
            (3, "no dispatcher", {"words": quick, "env": {"NODESET_DISPATCHER": FURL}}),
            (2, "'size'", {"words": ["top", "--sort", "size"]}),
            (2, "0.01", {"words": ["top", "--interval", "0.01"]}),
        ]
        told = self.runCases([case for _code, _part, case in cases])
        for (code, part, _case), (found, out, err) in zip(cases, told, strict=True):
            self.checkRefused(code, part, found, out, err)

    def test_closedPipe(self) -> None:
        """When whoever reads it has gone, it ends with 141."""
        self.startDispatcher()
        child = self.spawn(*NODESET, "top", "--json", "--interval", "0.1")
        self.awaitLine(child, "linked")
        assert child.stdout is not None
        child.stdout.close()
        self.assertEqual(child.wait(PATIENCE), 141)

    def test_killedDispatcher(self) -> None:
        """The dispatcher killed, it tells that, goes on with the next one; Ctrl-C ends it with 0."""
        words = ["--state-dir", str(self.home / "state")]
        dispatcher = self.startDispatcher(*words)
        child = self.spawn(*NODESET, "top", "--json", "--interval", "0.1")
        self.awaitLine(child, '"linked":true')
        dispatcher.kill()
        dispatcher.wait(PATIENCE)
        self.assertIn("no dispatcher since", self.awaitLine(child, '"linked":false'))
        self.startDispatcher(*words)
        self.awaitLine(child, '"linked":true')
        self.assertEqual(self.stop(child, signal.SIGINT), 0)

    def inTerminal(self, *words: str) -> tuple[subprocess.Popen[bytes], Callable[[str], str], int]:
        """A command in a terminal of 40 columns, with what reads it until a text has come, the terminal's own end."""
        import fcntl
        import struct
        import termios

        near, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
        environ = {**self.env, "TERM": "xterm"}
        child = subprocess.Popen([sys.executable, *words], cwd=self.home, env=environ, stdin=far, stdout=far, stderr=far)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        os.close(far)
        self.addCleanup(os.close, near)
        seen = ""

        def until(part: str) -> str:
            nonlocal seen
            while part not in seen:
                seen += os.read(near, 65536).decode("utf-8", "replace")
            return seen

        return child, until, near

    def test_terminal(self) -> None:
        """On a terminal it draws over what was there, leaves it as it was; q ends it with 0."""
        import termios

        self.startDispatcher()
        child, until, near = self.inTerminal(*NODESET, "top", "--interval", "0.1")
        before = termios.tcgetattr(near)[3]
        until("pending")
        self.assertFalse(termios.tcgetattr(near)[3] & termios.ICANON)
        os.write(near, b"p")
        until("paused")
        os.write(near, b"q")
        self.assertIn("\x1b[?1049h", until("\x1b[?1049l"))
        self.assertEqual(child.wait(PATIENCE), 0)
        self.assertEqual(termios.tcgetattr(near)[3], before)
