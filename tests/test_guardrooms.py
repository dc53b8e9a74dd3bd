"""The rooms that a guardian is made of, without a guardian."""

from __future__ import annotations

import array
import errno
import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import CannotStart
from nodeset.processes.guard import lineage, sweep
from nodeset.processes.guard.channel import MOST_BYTES, Channel, ChannelBroken
from nodeset.processes.starting.child import Child
from nodeset.processes.starting.spawning import Order, checkOrder, explain, messageOf


class ChannelTests(SynchronousTestCase):
    def setUp(self) -> None:
        ours, its = socket.socketpair()
        self.ours, self.its = Channel(ours), Channel(its)
        self.addCleanup(self.ours.close)
        self.addCleanup(self.its.close)

    def test_large(self) -> None:
        """A message of many times what the socket holds arrives as it was, before what was said after it, with its files."""
        files = [os.memfd_create(f"file{number}") for number in range(5)]
        for number, file in enumerate(files):
            os.write(file, str(number).encode())
        words = ["\udcff\u2603" + "x" * 5000] * 900
        self.ours.put({"argv": words}, files[:3])
        self.ours.put({"next": True}, files[3:])
        for file in files:
            os.close(file)
        self.assertGreater(self.ours.unsent, 1 << 20)
        found: list[tuple[dict[str, Any], list[int]]] = []
        while len(found) < 2:
            self.ours.flush()
            found += self.its.receive() or []
        self.assertEqual(self.ours.unsent, 0)
        self.assertEqual([message for message, _ in found], [{"argv": words}, {"next": True}])
        told = [os.pread(file, 9, 0) for _, came in found for file in came]
        self.assertEqual(told, [b"0", b"1", b"2", b"3", b"4"])
        self.assertFalse(any(os.get_inheritable(file) for _, came in found for file in came))
        for _, came in found:
            for file in came:
                os.close(file)

    def test_end(self) -> None:
        """What was said before the end is heard; whoever speaks to nobody loses his words, not his mind."""
        self.its.put({"last": 1})
        self.its.sock.shutdown(socket.SHUT_RDWR)
        self.assertEqual(self.ours.receive(), [({"last": 1}, [])])
        self.assertIsNone(self.ours.receive())
        self.ours.put({"more": 1}, [0])
        self.assertEqual((self.ours.unsent, self.ours.flush()), (0, True))

    def test_lack(self) -> None:
        """What the system cannot take just now waits until it can, whole."""

        class Poor:
            def sendmsg(self, *what: object) -> int:
                raise OSError(errno.ETOOMANYREFS, "too many")

        rich = self.ours.sock
        poor: Any = Poor()
        self.ours.sock = poor
        self.ours.put({"n": 1}, [0])
        self.assertFalse(self.ours.flush())
        self.ours.sock = rich
        self.assertTrue(self.ours.flush())
        ((message, (file,)),) = self.its.receive() or []
        os.close(file)
        self.assertEqual(message, {"n": 1})

    def test_nonsense(self) -> None:
        """What is no message is refused before anything is allocated for it."""
        for raw in (
            struct.pack(">IB", MOST_BYTES + 1, 0),
            struct.pack(">IB", 2, 0) + b"[]",
            struct.pack(">IB", 2, 1) + b"{}",
        ):
            ours, its = socket.socketpair()
            channel = Channel(ours)
            its.send(raw)
            self.assertRaises(ChannelBroken, channel.receive)
            channel.close()
            its.close()
        with self.assertRaises(ValueError):
            self.ours.put({"argv": "x" * MOST_BYTES})
        self.its.sock.send(struct.pack(">IB", 3, 0) + b"{x}")
        self.assertRaises(ValueError, self.ours.receive)

    def test_unclaimed(self) -> None:
        """Files that came with half a message are closed with the channel."""
        reading, writing = os.pipe()
        self.ours.sock.sendmsg([b"\0\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing]))])
        os.close(writing)
        self.assertEqual(self.its.receive(), [])
        self.its.close()
        self.assertEqual(os.read(reading, 1), b"")
        os.close(reading)


def stat(pid: int, ppid: int, pgid: int, sid: int, state: str = "S", threads: int = 1) -> lineage.Process:
    return lineage.Process(pid, state, ppid, pgid, sid, threads, pid * 10)


class LineageTests(SynchronousTestCase):
    def test_names(self) -> None:
        """A program may be named as it likes: what comes after is read all the same."""
        rest = "S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 4711 22 33 18446744073709551615"
        for name in ("sh", "a) Z 1 1 1", "(((", "x y\nz", ""):
            found = lineage.parse(f"42 ({name}) {rest}")
            self.assertEqual((found.pid, found.ppid, found.pgid, found.sid), (42, 7, 8, 9))
            self.assertEqual((found.threads, found.start, found.alive), (3, 4711, True))

    def test_itself(self) -> None:
        """We find ourselves in /proc, with the child that we have."""
        child = subprocess.Popen(["sleep", "60"], start_new_session=True)
        try:
            self.assertIn(child.pid, lineage.children())
            table = lineage.readAll()
            self.assertEqual((table[child.pid].ppid, table[child.pid].sid), (os.getpid(), child.pid))
            self.assertIn(child.pid, lineage.below((os.getpid(),), table))
            self.assertLessEqual({os.getpid(), child.pid}, lineage.walk([os.getpid(), 1 << 30]).keys())
            self.assertEqual(list(lineage.walk([child.pid])), [child.pid])
            self.assertEqual(lineage.membersOf({child.pid}, table), {child.pid})
        finally:
            child.kill()
            child.wait()
        self.assertIsNone(lineage.read(child.pid))

    def test_below(self) -> None:
        """Descendants are found however deep, whole branches left out; a circle, which a pid that changes hands may make of a
        table, is no trap.
        """
        table = {p.pid: p for p in (stat(2, 1, 2, 2), stat(3, 2, 3, 3), stat(4, 3, 3, 3), stat(5, 2, 5, 2), stat(6, 5, 5, 2))}
        self.assertEqual(lineage.below((2,), table), {3, 4, 5, 6})
        self.assertEqual(lineage.below((2,), table, {3}), {5, 6})
        self.assertEqual(lineage.membersOf({2}, table), {2, 5, 6})
        table[2] = stat(2, 6, 2, 2)
        self.assertEqual(lineage.below((2,), table), {2, 3, 4, 5, 6})

    def test_alive(self) -> None:
        """A zombie is over; one that only looks so, since its first thread ended before the others, is not."""
        self.assertFalse(stat(2, 1, 2, 2, "Z").alive)
        self.assertTrue(stat(2, 1, 2, 2, "Z", threads=2).alive)

    def test_reused(self) -> None:
        """A pid that stands for another process by now is not signalled; one that stands for nobody neither."""
        child = subprocess.Popen(["sleep", "60"])
        try:
            seen = lineage.read(child.pid)
            assert seen is not None
            former = lineage.Process(seen.pid, "S", seen.ppid, seen.pgid, seen.sid, 1, seen.start - 1)
            self.assertFalse(lineage.isSame(former, seen))
            self.assertIsNone(lineage.sendTo(former, signal.SIGKILL))
            self.assertIsNone(child.poll())
            self.assertEqual(lineage.sendTo(seen, signal.SIGTERM), 0)
            self.assertEqual(child.wait(10), -signal.SIGTERM)
            self.assertIsNone(lineage.sendTo(seen, signal.SIGKILL))
        finally:
            child.kill()
            child.wait()

    def test_noChildrenFile(self) -> None:
        """A kernel that does not list children is asked otherwise."""
        child = subprocess.Popen(["sleep", "60"])
        try:
            listed = lineage.children()
            self.patch(lineage, "_CHILDREN", "/proc/{me}/nosuch")
            self.assertEqual(set(lineage.children()), set(listed))
            self.assertIn(os.getppid(), lineage.walk([child.pid]))
        finally:
            child.kill()
            child.wait()

    def test_notOurs(self) -> None:
        """Ending those that belong to somebody else is given up at once, told by how many are left."""
        process = stat(10, 1, 10, 10)
        self.patch(lineage, "readAll", lambda: {10: process})
        self.patch(lineage, "sendTo", lambda seen, number: errno.EPERM)
        self.assertEqual(sweep.endAll(lambda table: {10}, 60.0, heads=list, reap=lambda: None), 1)

    def test_unkillable(self) -> None:
        """Those that do not go are given up in time."""
        process = stat(1 << 30, 1, 10, 10)
        self.patch(lineage, "readAll", lambda: {10: process})
        self.patch(lineage, "sendTo", lambda seen, number: 0)
        self.assertEqual(sweep.endAll(lambda table: {10}, 0.05, heads=list, reap=lambda: None), 1)


class OrderTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """What nobody could carry out is refused before anybody is asked, by a line that names it."""
        for order, part in (
            (Order(()), "no command"),
            (Order(("",)), "no command"),
            (Order(("echo", "a\0b")), "NUL"),
            (Order(("echo",), cwd="a\0b"), "NUL"),
            (Order(("echo",), env={"A=B": "c"}), "'A=B'"),
            (Order(("echo",), env={"A": "c\0"}), "'A'"),
            (Order(("echo",), terminal=True, scope="group"), "'group'"),
            (Order(("echo",), pass_fds=tuple(range(300))), "open files"),
            (Order(("echo",), memory=-1), "-1"),
            (Order(("echo",), nofile=1 << 70), str(1 << 70)),
            (Order(("echo",), umask=0o10000), "4096"),
        ):
            error = self.assertRaises(CannotStart, checkOrder, order)
            self.assertIn(part, str(error))
            self.assertNotIn("\n", str(error))
        checkOrder(Order(("", "x"), executable="/bin/true"))
        checkOrder(Order(("\udcff",), env={"A": "\udcff"}))

    def test_message(self) -> None:
        """Whatever bytes a command is made of, the guardian gets them."""
        message = json.loads(json.dumps(messageOf(Order((os.fsdecode(b"\xff"),), env={"X": os.fsdecode(b"\xfe=")}))))
        self.assertEqual(os.fsencode(message["argv"][0]), b"\xff")
        self.assertEqual(os.fsencode(message["env"]["X"]), b"\xfe=")
        self.assertNotIn("held", message)

    def test_explained(self) -> None:
        """Each failure says in one line what was wrong, with the value."""
        script = Path(self.mktemp())
        script.write_text("#!/no/such/interpreter\n")
        order = Order(("tool",), cwd="/where", user="who", group="which", nofile=7)
        for step, number, at, part in (
            ("command", errno.ENOENT, "command", "'tool' was not found"),
            ("command", errno.EACCES, "command", "chmod +x"),
            ("command", errno.ENOEXEC, "command", "#!"),
            ("command", errno.E2BIG, "command", "too large"),
            ("command", errno.EIO, "command", os.strerror(errno.EIO)),
            ("cwd", errno.ENOENT, "cwd", "'/where'"),
            ("user", 0, "user", "'who'"),
            ("user", errno.EPERM, "user", "only root"),
            ("limit", errno.EPERM, "limit", "nofile 7"),
            ("session", errno.EPERM, "guardian", "session"),
        ):
            error = explain(order, step, number)
            self.assertEqual((error.at, error.errno), (at, number))
            self.assertIn(part, str(error))
            self.assertNotIn("\n", str(error))
        self.assertIn("interpreter", str(explain(Order((str(script.absolute()),)), "command", errno.ENOENT)))
        self.assertIn("no such file", str(explain(Order(("./gone",)), "command", errno.ENOENT)))
        self.assertNotIn("group", str(explain(Order(("x",), user="who"), "user", 0)))
        self.assertNotIn("user", str(explain(Order(("x",), group="which"), "user", 0)).replace("no user", ""))
        self.assertIn("ValueError: odd", str(explain(order, "command", -1, "ValueError: odd")))
        self.assertLess(len(str(explain(Order(("x" * 5000,)), "command", errno.ENOENT))), 400)


class Boss:
    """A guardian that only notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.errors: list[BaseException] = []
        self.failed: Callable[[BaseException], object] = self.errors.append

    def ask(self, message: dict[str, Any], answered: Any) -> None:
        self.asked.append(message)
        answered({"errno": 0})


class ChildTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.process = subprocess.Popen(["sleep", "60"])
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.boss = Boss()
        self.child = Child(self.boss, 1, self.process.pid, os.pidfd_open(self.process.pid))
        self.addCleanup(self.child.forget)

    def test_gone(self) -> None:
        """Who is gone gets no signal, before his guardian told so as well as after; whoever asks is told that."""
        self.assertTrue(self.child.signal(signal.SIGKILL))
        self.process.wait()
        self.assertFalse(self.child.signal(signal.SIGKILL))
        self.child.end(-9)
        self.assertFalse(self.child.signal(signal.SIGKILL))
        self.assertTrue(self.successResultOf(self.child.signalGroup(signal.SIGTERM)))
        self.child.empty()
        self.assertFalse(self.successResultOf(self.child.signalTree(signal.SIGTERM)))
        self.assertEqual(self.boss.asked, [{"do": "signal", "id": 1, "number": 15, "whole": "group"}])

    def test_zombie(self) -> None:
        """A zombie that waits to be taken counts as gone."""
        self.process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        self.assertFalse(self.child.signal(signal.SIGTERM))

    def test_told(self) -> None:
        """Whoever asks is told once, first of the end, then that nobody is left, also if he asks late; an exception in one
        who is told is reported, the others are told all the same.
        """
        told: list[object] = []
        self.child.onEmptied(lambda: told.append("empty"))
        self.child.onEnded(lambda code: 1 // 0)
        self.child.onEnded(told.append)
        self.child.onStopped(told.append)
        self.child.stop(19)
        self.child.end(3)
        self.child.empty()
        self.child.onEnded(told.append)
        self.child.onEmptied(lambda: told.append("empty"))
        self.assertEqual(told, [19, 3, "empty", 3, "empty"])
        self.assertEqual([type(error) for error in self.boss.errors], [ZeroDivisionError])

    def test_lost(self) -> None:
        """Whose guardian is gone is ended, is told so."""
        told: list[object] = []
        self.child.onEnded(told.append)
        self.child.onEmptied(lambda: told.append("empty"))
        self.child.lose()
        self.assertEqual((self.process.wait(10), told), (-9, [-9, "empty"]))
