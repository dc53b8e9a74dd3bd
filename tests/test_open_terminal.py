"""nodeset-open at a terminal, with the rooms that pass on what is written and typed there."""

from __future__ import annotations

import ast
import errno
import os
import re
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from nodeset.processes.passing.relay import BOUND, Relay
from nodeset.processes.passing.terminal import Pair, Terminal, Unreturned, atLeftEdge, isSame, isTerminal
from tests import terminals
from tests.commands import PATIENCE, CommandCase
from tests.test_open import CENTER, OPEN

#: A program of the whole screen: raw keys, a size, an own message at SIGWINCH, its modes put back at the end.
SCREEN = """
import os, signal, sys, termios, tty
def size(*a): os.write(1, b"size %dx%d\\r\\n" % tuple(os.get_terminal_size())[::-1])
kept = termios.tcgetattr(0)
tty.setraw(0)
signal.signal(signal.SIGWINCH, size)
size()
while (key := os.read(0, 1)) != b"q":
    os.write(1, b"key %r\\r\\n" % key)
termios.tcsetattr(0, termios.TCSANOW, kept)
"""


#: As a pager does that has a pipe at 0: it takes its keys from behind its stdout.
PAGER = """
import os, termios, tty
keys = os.open(os.ttyname(1), os.O_RDWR)
kept = termios.tcgetattr(keys)
tty.setcbreak(keys)
print(os.read(0, 9).decode().strip(), "page", flush=True)
while os.read(keys, 1) != b"q":
    print("key", flush=True)
termios.tcsetattr(keys, termios.TCSANOW, kept)
"""


class RelayCase(SynchronousTestCase):
    """Pipes with a relay between them."""

    def pipe(self) -> tuple[int, int]:
        return os.pipe2(os.O_CLOEXEC)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """For what a thread does."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.001)


class RelayTests(RelayCase):
    """Bytes are passed on by a thread."""

    def test_passed(self) -> None:
        """All bytes come out in order, the copy has them too; the end of the source is told."""
        source, feed = self.pipe()
        out, sink = self.pipe()
        told: list[bool] = []
        relay = Relay(source, sink, copies=True)
        relay.start()
        relay.listen(lambda: told.append(relay.ended))
        os.write(feed, b"a\x88\n")
        self.assertEqual(os.read(out, 10), b"a\x88\n")
        os.close(feed)
        self.assertTrue(relay.join(PATIENCE))
        self.assertEqual((b"".join(relay.take()), told[-1], relay.passed), (b"a\x88\n", True, 3))
        os.close(sink)
        self.assertEqual(os.read(out, 10), b"")
        os.close(out)

    def test_readerGone(self) -> None:
        """When nobody reads our end any more the writer is told so, though nothing is on its way."""
        source, feed = self.pipe()
        out, sink = self.pipe()
        relay = Relay(source, sink, copies=True)
        relay.start()
        os.close(out)
        self.assertTrue(relay.join(PATIENCE))
        self.assertRaises(BrokenPipeError, os.write, feed, b"x")
        self.assertIs(relay.trouble, None)
        for number in (feed, sink):
            os.close(number)

    def test_trouble(self) -> None:
        """A sink that takes nothing for another reason is told apart."""
        source, feed = self.pipe()
        sink = os.open("/dev/full", os.O_WRONLY)
        relay = Relay(source, sink, copies=False)
        relay.start()
        os.write(feed, b"x")
        self.assertTrue(relay.join(PATIENCE))
        assert relay.trouble is not None
        self.assertEqual(relay.trouble.errno, errno.ENOSPC)
        for number in (feed, sink):
            os.close(number)

    def test_bounded(self) -> None:
        """Copies that nobody takes stop the reading; so does `pause`. Taking them, `resume` go on with it."""
        source, feed = self.pipe()
        sink = os.open(os.devnull, os.O_WRONLY)
        os.set_blocking(feed, False)
        relay = Relay(source, sink, copies=True)
        relay.start()

        def fill() -> bool:
            try:
                while True:
                    os.write(feed, bytes(65536))
            except BlockingIOError:
                return relay.passed >= BOUND

        self.wait(fill, "never full")
        passed = relay.passed
        self.assertLess(passed, BOUND + 2 * 1024 * 1024)
        relay.pause()
        taken = sum(map(len, relay.take()))
        self.assertEqual(relay.passed, passed)
        relay.resume()
        self.wait(lambda: relay.passed > passed, "never resumed")
        relay.stop()
        self.assertTrue(relay.join(PATIENCE))
        self.assertEqual(taken + sum(map(len, relay.take())), relay.passed)
        for number in (feed, sink):
            os.close(number)

    def test_sharedFlags(self) -> None:
        """Our own stdout stays as it is, and may be non-blocking by somebody else's will: nothing is lost."""
        source, feed = self.pipe()
        out, sink = self.pipe()
        os.set_blocking(sink, False)
        relay = Relay(source, sink, copies=False)
        relay.start()
        data = os.urandom(40_000) * 5
        written = 0
        got = b""
        os.set_blocking(feed, False)
        while len(got) < len(data):
            try:
                written += os.write(feed, data[written:])
            except BlockingIOError:
                pass
            if relay.passed or written == len(data):
                got += os.read(out, 65536)
        self.assertEqual(got, data)
        for number in (feed, out):
            os.close(number)
        self.assertTrue(relay.join(PATIENCE))
        os.close(sink)


class PairTests(RelayCase):
    """A terminal stands for another."""

    def setUp(self) -> None:
        self.pair = Pair(None)
        self.addCleanup(os.close, self.pair.master)
        self.addCleanup(self.pair.closeSlave)

    def test_likeness(self) -> None:
        """It has the size and the modes of that which it stands for, and the size whenever it is asked to."""
        termios.tcsetwinsize(self.pair.slave, (11, 22))
        modes = termios.tcgetattr(self.pair.slave)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(self.pair.slave, termios.TCSANOW, modes)
        other = Pair(self.pair.slave)
        self.addCleanup(os.close, other.master)
        self.addCleanup(other.closeSlave)
        self.assertEqual((termios.tcgetwinsize(other.slave), termios.tcgetattr(other.slave)), ((11, 22), modes))
        termios.tcsetwinsize(self.pair.slave, (5, 6))
        other.resize()
        self.assertEqual(termios.tcgetwinsize(other.slave), (5, 6))
        self.assertTrue(isTerminal(other.slave) and isSame(other.slave, other.slave))
        self.assertFalse(isSame(other.slave, self.pair.slave))

    def test_unreturned(self) -> None:
        """What the program wrote is told, not what the terminal made of it, wherever it was cut."""
        keep = Unreturned(self.pair)
        os.write(self.pair.slave, b"a\nb\r\nc\r")
        shown = b""
        while len(shown) < 9:
            shown += os.read(self.pair.master, 100)
        self.assertEqual(shown, b"a\r\nb\r\r\nc\r")
        self.assertEqual(keep(shown) + keep.rest(), b"a\nb\r\nc\r")
        pieces = [keep(shown[i : i + 1]) for i in range(len(shown))]
        self.assertEqual(b"".join(pieces) + keep.rest(), b"a\nb\r\nc\r")
        tty.setraw(self.pair.slave)
        self.assertEqual(keep(b"a\r\n"), b"a\r\n")

    def test_rawThenBack(self) -> None:
        """Our terminal is as it was when we leave it, twice or not."""
        before = termios.tcgetattr(self.pair.slave)
        terminal = Terminal(self.pair.slave)
        for _ in range(2):
            terminal.lend()
            self.assertFalse(termios.tcgetattr(self.pair.slave)[3] & termios.ICANON)
        self.assertTrue(terminal.check())
        terminal.restore()
        terminal.restore()
        self.assertFalse(terminal.check())
        self.assertEqual(termios.tcgetattr(self.pair.slave), before)

    def test_leftEdge(self) -> None:
        """What we say ourselves begins at the left edge of a terminal, raw or not; in a file it stays as it is."""
        pair = Pair(None)
        try:
            self.assertEqual(atLeftEdge(pair.slave, b"a\n"), b"a\n")
            tty.setraw(pair.slave)
            self.assertEqual(atLeftEdge(pair.slave, b"a\n\tb\n"), b"a\r\n\tb\r\n")
        finally:
            pair.closeSlave()
            os.close(pair.master)
        with Path(self.mktemp()).open("wb") as file:
            self.assertEqual(atLeftEdge(file.fileno(), b"a\n"), b"a\n")


class TerminalTests(CommandCase):
    """A person at a terminal."""

    def setUp(self) -> None:
        super().setUp()
        (self.home / "o").write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{OPEN[1]}' -g 0 \"$@\"\n")
        (self.home / "o").chmod(0o755)
        (self.home / "screen.py").write_text(SCREEN)
        self.terminal = terminals.Terminal(self.home, self.env)
        self.addCleanup(self.terminal.close)

    def type(self, line: str) -> tuple[int, list[str]]:
        self.terminal.type(line)
        return self.terminal.awaitEnd()

    def test_sees(self) -> None:
        """A program has a terminal where it would have one: same modes, same size; it is another one, for keys and output."""
        _, modes = self.type("stty -a")
        self.assertEqual(self.type("./o stty -a"), (0, modes))
        self.assertEqual(self.type("./o sh -c 'for i in 0 1 2; do test -t $i && echo $i; done; exit 3'"), (3, ["0", "1", "2"]))
        both = "./o sh -c 'for i in 0 1 2; do test -t $i && echo $i >&2; done'"
        self.assertEqual(self.type(f"{both} | cat"), (0, ["0", "2"]))
        self.assertEqual(self.type(f"echo | {both}"), (0, ["1", "2"]))
        self.assertEqual(self.type("./o --no-tty sh -c 'test -t 1; echo $?'"), (0, ["1"]))
        self.assertEqual(self.type("./o -g 0 --tty sh -c 'tty >/dev/null && cat -A' </dev/null | cat"), (0, []))
        self.assertEqual(self.type("stty -a"), (0, modes))

    def test_either(self) -> None:
        """Who wants to be told of stdout, or of stderr, is told of both: at a terminal they are one."""
        self.spawn(*CENTER)
        for option in ("-E", "-O"):
            talk = "sh -c 'echo o; echo e >&2; test -t 1 && test -t 2 && stty size <&2'"
            self.assertEqual(self.type(f"./o -g 20 {option} -i x{option} {talk}"), (0, ["o", "e", "24 80"]))
        told = [ast.literal_eval(line) for line in (self.home / "nerve.log").read_text().splitlines()]
        for name in ("x-E", "x-O"):
            self.assertEqual("".join(each[2] for each in told if each[:2] == [name, "out"]), "o\ne\n24 80\n")

    def test_screen(self) -> None:
        """A program of the whole screen has each key at once, each new size of the window; then all is as before."""
        terminal = self.terminal
        _, modes = self.type("stty -a")
        terminal.type(f"./o '{sys.executable}' screen.py")
        terminal.awaitLine(re.compile("size 24x80"))
        for key, shown in {"x": "b'x'", "\x03": r"b'\\x03'", "\x1a": r"b'\\x1a'", "\r": r"b'\\r'"}.items():
            terminal.press(key)
            terminal.awaitLine(re.compile(f"key {shown}"))
        termios.tcsetwinsize(terminal._ours, (30, 100))
        terminal.awaitLine(re.compile("size 30x100"))
        termios.tcsetwinsize(terminal._ours, (24, 80))
        terminal.awaitLine(re.compile("size 24x80"))
        terminal.press("q")
        self.assertEqual(terminal.awaitEnd()[0], 0)
        self.assertEqual(self.type("stty -a"), (0, modes))

    def test_keys(self) -> None:
        """Lines, Ctrl-D and Ctrl-C come to the program as typed; who is ended from outside leaves the terminal as it was."""
        terminal = self.terminal
        _, modes = self.type("stty -a")
        terminal.type("./o cat")
        terminal.press("hello\n")
        terminal.awaitLine(re.compile("hello"))
        terminal.press("\x04")
        self.assertEqual(terminal.awaitEnd()[0], 0)
        terminal.type("./o sh -c 'echo up; exec sleep 60'")
        terminal.awaitLine(re.compile("up"))
        terminal.interrupt()
        self.assertEqual(terminal.awaitEnd()[0], 130)
        terminal.type("./o sh -c 'echo $PPID; exec sleep 60'")
        pid = int(terminal.awaitLine(re.compile(r"\d+"))[-1])
        for _ in ("the leader of its session", "the guardian"):
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(terminal.awaitEnd()[0], 143)
        self.assertEqual(self.type("stty -a"), (0, modes))

    def test_stands(self) -> None:
        """Ctrl-Z stops a program with a terminal of its own, so us; `fg` goes on with both, Ctrl-C ends it then."""
        terminal = self.terminal
        _, modes = self.type("stty -a")
        (self.home / "c").write_text("trap 'echo on' CONT; echo up; while :; do sleep 0.05; done")
        terminal.type("./o bash c")
        terminal.awaitLine(re.compile("up"))
        for _ in range(2):
            terminal.press("\x1a")
            _, lines = terminal.awaitEnd()
            self.assertIn("Stopped", lines[-1])
            self.assertEqual(self.type("stty -a"), (0, modes))
            terminal.type("fg")
            terminal.awaitLine(re.compile("on"))
        terminal.interrupt()
        self.assertEqual(terminal.awaitEnd()[0], 130)

    def test_pager(self) -> None:
        """A pager behind a pipe has its keys, where it looks for them."""
        terminal = self.terminal
        _, modes = self.type("stty -a")
        (self.home / "pager.py").write_text(PAGER)
        terminal.type(f"echo 1st | ./o '{sys.executable}' pager.py")
        terminal.awaitLine(re.compile("1st page"))
        terminal.press("x")
        terminal.awaitLine(re.compile("key"))
        terminal.press("q")
        self.assertEqual(terminal.awaitEnd()[0], 0)
        self.assertEqual(self.type("stty -a"), (0, modes))

    def test_background(self) -> None:
        """A program in the background writes, takes no keys from others, and has them all once it is in front."""
        terminal = self.terminal
        (self.home / "c").write_text("echo up; read -r name; echo got $name")
        terminal.type("set -m; ./o bash c & wait 2>/dev/null; :")
        terminal.awaitLine(re.compile(".*up\r?"))
        terminal.interrupt()
        terminal.awaitEnd()
        self.assertIn("mine", self.type("echo mine")[1])
        terminal.type("fg")
        terminal.awaitLine(re.compile(".*bash c.*"))
        terminal.press("name\r")
        terminal.awaitLine(re.compile("got name"))
        self.assertEqual(terminal.awaitEnd()[0], 0)

    def test_shell(self) -> None:
        """A shell has its jobs as in any terminal."""
        terminal = self.terminal
        terminal.type("./o bash --norc --noprofile -i")
        terminal.awaitEnd()
        self.assertEqual(self.type("echo inner $0")[1][-1], "inner bash")
        (self.home / "c").write_text("trap 'echo on' CONT; echo up; while :; do sleep 0.05; done")
        terminal.type("bash c")
        terminal.awaitLine(re.compile("up"))
        terminal.press("\x1a")
        self.assertIn("Stopped", terminal.awaitEnd()[1][-1])
        terminal.type("fg")
        terminal.awaitLine(re.compile("on"))
        terminal.interrupt()
        self.assertEqual(terminal.awaitEnd()[0], 130)
        self.assertEqual(self.type("exit 5")[0], 5)

    def test_jobs(self) -> None:
        """In a pipeline Ctrl-Z stops both of us, `fg` goes on, Ctrl-C comes to the program once."""
        terminal = self.terminal
        traps = "trap 'n=$((n+1)); echo int $n' INT; trap 'echo on' CONT"
        (self.home / "c").write_text(f"{traps}; echo up; while :; do sleep 0.05; done")
        terminal.type("./o -w 0.5 bash c | (trap '' INT; cat)")
        terminal.awaitLine(re.compile("up"))
        terminal.press("\x1a")
        _, lines = terminal.awaitEnd()
        self.assertIn("Stopped", lines[-1])
        terminal.type("fg")
        terminal.awaitLine(re.compile("on"))
        terminal.interrupt()
        _, lines = terminal.awaitEnd()
        self.assertEqual([line for line in lines if "int" in line], ["int 1"])
