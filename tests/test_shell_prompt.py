"""A session of the shell as its terminal sees it: keys in, a screen out."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from nodeset.shell.session import Prompt
from nodeset.shell.shell import IDLE, MOST_SESSIONS, Shell
from nodeset.shell.terminal import Terminal

UP, DOWN, LEFT, DELETE = b"\x1b[A", b"\x1b[B", b"\x1b[D", b"\x1b[3~"


class PromptCase(SynchronousTestCase):
    """One terminal with its session."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.waiting: Deferred[Any] = Deferred()
        self.shell = Shell("test", {"waiting": self.waiting, "orders": []}, self.clock)
        self.backlog = 0
        self.wire, self.terminal = self.attach()

    def attach(self) -> tuple[StringTransport, Terminal]:
        terminal = Terminal(lambda: Prompt(self.shell, "someone"), lambda: self.backlog)
        wire = StringTransport()
        terminal.makeConnection(wire)
        return wire, terminal

    def type(self, *keys: bytes | str) -> str:
        """What comes back for these keys, without colours."""
        self.wire.clear()
        for key in keys:
            self.terminal.dataReceived(key.encode() if isinstance(key, str) else key)
        return self.seen()

    def seen(self) -> str:
        return re.sub(r"\x1b\[[0-9;]*m", "", self.wire.value().decode())

    def row(self, *keys: bytes | str) -> str:
        """The row of the prompt after these keys."""
        return self.type(*keys).rpartition("\r\x1b[K")[2]


class EditTests(PromptCase):
    """The line that is typed."""

    def test_banner(self) -> None:
        """A session begins by saying what is at hand, then asks."""
        shown = self.seen()
        self.assertIn("At hand: waiting, orders.", shown)
        self.assertTrue(shown.endswith(">>> "))

    def test_run(self) -> None:
        """Return runs the line, shows its value, asks again."""
        self.assertTrue(self.type("1 + 1\r").endswith(">>> 1 + 1\x1b[5D\r\n2\r\n\r\x1b[K>>> "))

    def test_edit(self) -> None:
        """The keys of a line editor do what they do everywhere."""
        self.assertEqual(self.row("12", LEFT, "3"), ">>> 132\x1b[1D")
        self.assertEqual(self.row("\x01", DELETE, "9", "\x05", "\x7f"), ">>> 93")
        self.assertEqual(self.row("\x15"), ">>> ")
        self.assertEqual(self.row("a = b.c", "\x17"), ">>> a = b.")
        self.assertEqual(self.row("\x01\x0b"), ">>> ")

    def test_history(self) -> None:
        """The arrows bring back what was typed before, at last what one was typing."""
        self.type("1\r", "2\r", "2\r", "dra")
        self.assertEqual(
            [self.row(key) for key in (UP, UP, UP, DOWN, DOWN, DOWN)][-5:], [">>> 1", ">>> 1", ">>> 2", ">>> dra", ">>> dra"]
        )

    def test_unicode(self) -> None:
        """Letters of all scripts are typed, moved over and deleted whole."""
        self.assertEqual(self.row("'ü字'", LEFT, LEFT), ">>> 'ü字'\x1b[3D")
        self.assertEqual(self.row("\x7f"), ">>> '字'\x1b[3D")
        self.assertIn("'字'", self.type("\r"))

    def test_long(self) -> None:
        """A line that is longer than the window scrolls sideways; the window may change."""
        self.terminal.dataReceived(b"\x1b[8;24;20t")
        row = self.row("x = '" + "ab" * 40)
        self.assertLess(len(row), 20)
        self.assertTrue(row.endswith("abab"), row)
        self.assertTrue(self.row("\x01").startswith(">>> x = 'abab"))
        self.assertIn("abab" * 18, self.type(b"\x1b[8;24;120t"))

    def test_completion(self) -> None:
        """Tab completes names, shows them when there are several; at the beginning of a line it indents."""
        self.assertEqual(self.row("orders.app\t"), ">>> orders.append(")
        self.assertEqual(self.row("\x15wait\t"), ">>> waiting")
        shown = self.type("\x15orders.in\t\t")
        self.assertIn("orders.index(  orders.insert(", shown)
        self.assertEqual(self.row("\x15\tx"), ">>>     x")
        self.assertIn("\a", self.type("\x15nothing_of_the_kind\t"))

    def test_block(self) -> None:
        """A statement of several lines is run when it is complete; Ctrl-C gives it up."""
        self.assertTrue(self.type("for i in 1, 2:\r").endswith("... "))
        self.assertTrue(self.type("  i\r").endswith("... "))
        self.assertIn("1\r\n2\r\n", self.type("\r"))
        self.assertTrue(self.type("if 1:\r", "\x03").endswith("KeyboardInterrupt\r\n\r\x1b[K>>> "))
        self.assertIn("3\r\n", self.type("3\r"))

    def test_leave(self) -> None:
        """Ctrl-D leaves, on an empty line."""
        self.type("12", "\x01", "\x04")
        self.assertFalse(self.wire.disconnecting)
        self.type("\x04", "\x04")
        self.assertTrue(self.wire.disconnecting)

    def test_strange(self) -> None:
        """Keys that are none, bytes that are no text, sequences without end are nothing."""
        for strange in (b"\x1b[99~", b"\x1bx", b"\x1bOZ", b"\xff\xfe", b"\x00\x1e", b"\x1b[" + b"1" * 100_000, b"q", b"\x15"):
            self.type(strange)
        self.assertEqual(self.row("1"), ">>> 1")
        self.assertIn("\a", self.type("x" * 70_000))


class SessionTests(PromptCase):
    """What happens while one types, or does not."""

    def test_await(self) -> None:
        """An await keeps the prompt back; what is typed meanwhile is run afterwards."""
        self.assertTrue(self.type("x = await waiting\r").endswith("\r\n"))
        self.type("x + 1\r", "x + 2")
        self.wire.clear()
        self.waiting.callback(40)
        self.assertEqual(self.seen().partition(">>> ")[0], "41\r\n\r\x1b[K")
        self.assertEqual(self.type("\r").count("42\r\n"), 1)

    def test_interrupt(self) -> None:
        """Ctrl-C gives up what is awaited, with what was typed ahead."""
        self.type("await waiting\r", "1/0\r")
        shown = self.type("\x03")
        self.assertIn("KeyboardInterrupt", shown)
        self.assertNotIn("ZeroDivisionError", shown)
        self.assertTrue(shown.endswith(">>> "))

    def test_unasked(self) -> None:
        """What fires later is shown above the line that one is typing."""
        self.type("waiting\r", "half a li")
        self.wire.clear()
        self.waiting.callback("came")
        self.assertEqual(self.seen(), "\r\x1b[KDeferred #1 fired: 'came'\r\n\r\x1b[K>>> half a li")

    def test_hostile(self) -> None:
        """What comes from others cannot move the cursor, in values, prints, errors alike."""
        self.type("evil = 'x\\x1b]0;owned\\x07\\x1b[2J'\r")
        for line in ("evil", "print(evil)", "raise ValueError(evil)", "waiting.addCallback(print)"):
            self.type(f"{line}\r")
        self.wire.clear()
        self.waiting.callback("x\x1b]0;owned\x07")
        self.assertNotIn("\x1b]", self.seen())
        self.assertIn("\\x1b]0;owned\\x07", self.seen())
        self.wire.clear()
        self.type("raise ValueError(evil)\r")
        self.assertNotIn("\x1b]", self.seen())
        self.assertNotIn("\x1b[2J", self.seen())

    def test_idle(self) -> None:
        """Who presses no key for half an hour is logged out, told why."""
        self.clock.advance(IDLE - 1)
        self.type("1")
        self.clock.advance(IDLE - 1)
        self.assertFalse(self.wire.disconnecting)
        self.wire.clear()
        self.clock.advance(1)
        self.assertTrue(self.wire.disconnecting)
        self.assertIn("no key was pressed for 1800 s", self.seen())

    def test_full(self) -> None:
        """One session too many is told so, closed."""
        for _ in range(MOST_SESSIONS - 1):
            self.attach()
        self.wire, self.terminal = self.attach()
        self.assertIn("8 sessions are open already", self.seen())
        self.assertTrue(self.wire.disconnecting)
        self.type("1/0\r")
        self.assertNotIn("ZeroDivisionError", self.seen())

    def test_lost(self) -> None:
        """A connection that is lost ends its session, what it awaits is cancelled, no timer is left."""
        self.type("await waiting\r")
        self.terminal.connectionLost(Failure(ConnectionError()))
        self.assertEqual((self.shell.sessions, self.clock.getDelayedCalls()), ([], []))
        self.assertTrue(self.waiting.called)

    def test_slow(self) -> None:
        """A terminal that takes nothing costs a bounded amount of memory; how much it missed is said."""
        self.type("waiting\r")
        self.backlog = 1 << 20
        self.wire.clear()
        self.waiting.callback("came")
        self.assertEqual(self.wire.value(), b"")
        self.backlog = 0
        self.assertRegex(self.type("1"), r"\[[0-9]+ bytes were dropped: they came faster than they were read\]")

    def test_closed(self) -> None:
        """A service that stops says good-bye."""
        self.wire.clear()
        self.shell.closeAll("the service stops: good-bye")
        self.assertIn("good-bye", self.seen())
        self.assertTrue(self.wire.disconnecting)
