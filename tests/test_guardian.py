"""A guardian with real programs."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from nodeset.errors import CannotStart
from nodeset.processes.guard import lineage
from nodeset.processes.starting.guardian import GuardianProcess, pristineEnviron
from nodeset.processes.starting.spawning import Order
from tests.guarding import GuardianCase, marked, stateOf, until

#: Says which files are open, where it is.
OPEN = "import os; print([n for n in range(60) if os.path.exists(f'/proc/self/fd/{n}')]); print(os.getcwd())"
#: Four of it fork, end, so on: no pid of it is there for long. It says so, then leaves its session. It has some ten seconds of
#: life, a pause in each: a faster one would leave the whole machine without free pids.
HYDRA = (
    "import os, time\nos.write(1, b'x\\n')\nfor _ in '12': os.fork()\nos.setsid() if os.getpid() != os.getsid(0) else 0\n"
    "for _ in range(5000):\n    if os.fork(): os._exit(0)\n    time.sleep(0.002)"
)


def _ignored(status: str) -> int:
    """The ignored signals that a status tells, a bit each, without the two that the C library keeps to itself (32, 33)."""
    line = next(line for line in status.splitlines() if line.startswith("SigIgn"))
    return int(line.split()[1], 16) & ~(3 << 31)


class SpawnTests(GuardianCase):
    def test_untouched(self) -> None:
        """A program finds everything as if we had started it: arguments, environment, directory, umask, limits, signals,
        nothing open beside its three files.
        """
        said = self.ask(sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))", "a b", "", "\u2603", "\udcff", "-x")
        self.assertEqual(said, b"['a b', '', '\\u2603', '\\udcff', '-x']\n")
        ours = Path("/proc/self/status").read_text().splitlines()
        same = {line for line in ours if line.startswith(("Umask", "SigBlk", "Uid", "Gid", "Groups", "NoNewPrivs"))}
        said = self.ask("cat", "/proc/self/status", "/proc/self/limits")
        self.assertLess(same, set(said.decode().splitlines()))
        self.assertEqual(_ignored(said.decode()), 0)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.assertIn(
            ["Max", "open", "files", str(soft), str(hard), "files"], [line.split() for line in said.decode().splitlines()]
        )
        self.spawn("sleep", "60")
        files, where = self.ask(sys.executable, "-c", OPEN).decode().splitlines()
        self.assertEqual((files, where), ("[0, 1, 2]", str(Path.cwd())))
        environ = self.ask("cat", "/proc/self/environ").split(b"\0")[:-1]
        self.assertEqual(environ, [b"%s=%s" % pair for pair in ({**os.environb, b"TEST_MARKER": self.marker.encode()}).items()])
        self.assertIn(b"PATH", pristineEnviron())

    def test_asOrdered(self) -> None:
        """It gets the environment, directory, umask, limits, name, files that were ordered; a large environment as well."""
        reading, writing = os.pipe()
        home = Path(self.mktemp()).absolute()
        home.mkdir()
        high = fcntl.fcntl(writing, fcntl.F_DUPFD, 40)
        fields = {"env": {"A": "\u2603=", "PATH": "/nosuch:/bin:/usr/bin"}, "cwd": str(home), "umask": 0o27, "nofile": 64}
        said = self.ask("-sh", "-c", "echo $0 $A; umask; ulimit -n; ulimit -v", executable="sh", memory=1 << 32, **fields)
        self.assertEqual(said.decode().splitlines(), ["-sh \u2603=", "0027", "64", str(1 << 22)])
        script = f"{OPEN}; os.write({writing}, b'hi '); os.write({high}, b'ho')"
        files, where = self.ask(sys.executable, "-c", script, pass_fds=(writing, high), **fields).decode().splitlines()
        os.close(writing)
        os.close(high)
        self.assertEqual((files, where), (str(sorted([0, 1, 2, writing, high])), str(home)))
        self.assertEqual(os.read(reading, 99), b"hi ho")
        self.assertEqual(os.read(reading, 99), b"")
        os.close(reading)
        words = [f"{number}:" + "x" * 100_000 for number in range(12)]
        said = self.ask(
            sys.executable, "-c", "import os, sys; print(len(os.environ['BIG']), len(sys.argv))", *words, env={"BIG": words[0]}
        )
        self.assertEqual(said.split(), [b"100002", b"13"])

    def test_refused(self) -> None:
        """What cannot be started is refused by a line that says what is at fault; nobody else notices."""
        other = self.spawn("sleep", "60")
        here = Path(self.mktemp()).absolute()
        here.mkdir()
        (here / "plain").write_text("x")
        (here / "odd").write_text("no program")
        (here / "odd").chmod(0o755)
        (here / "lost").write_text("#!/no/such/shell\n")
        (here / "lost").chmod(0o755)
        for at, number, part, argv, fields in (
            ("command", errno.ENOENT, "PATH", ("nosuchprogram",), {}),
            ("command", errno.ENOENT, "PATH", ("echo",), {"env": {"PATH": "/nosuch"}}),
            ("command", errno.ENOENT, "no such file", (str(here / "gone"),), {}),
            ("command", errno.EACCES, "chmod", (str(here / "plain"),), {}),
            ("command", errno.EACCES, "chmod", ("plain",), {"env": {"PATH": str(here)}}),
            ("command", errno.EACCES, "is a directory", (str(here),), {}),
            ("command", errno.ENOEXEC, "#!", (str(here / "odd"),), {}),
            ("command", errno.ENOENT, "interpreter", ("./lost",), {"cwd": str(here)}),
            ("command", errno.E2BIG, "too large", ("echo", "x" * 200_000), {}),
            ("command", 0, "too many", ("echo", "x" * 50_000_000), {}),
            ("cwd", errno.ENOENT, "gone", ("echo",), {"cwd": str(here / "gone")}),
            ("cwd", errno.ENOTDIR, "plain", ("echo",), {"cwd": str(here / "plain")}),
            ("user", 0, "'nosuchuser'", ("echo",), {"user": "nosuchuser"}),
            ("user", 0, "'nosuchgroup'", ("echo",), {"group": "nosuchgroup"}),
            ("command", errno.EBADF, "passed on", ("echo",), {"pass_fds": (9999,)}),
        ):
            with self.assertRaises(CannotStart) as caught:
                self.spawn(*argv, **fields)
            said = str(caught.exception)
            self.assertEqual((caught.exception.at, caught.exception.errno), (at, number), said)
            self.assertIn(part, said)
            self.assertLess(len(said), 400)
        self.assertEqual((self.guardian.children, other.code), ([other], None))
        if os.getuid() != 0:
            with self.assertRaises(CannotStart) as caught:
                self.spawn("echo", user="root")
            self.assertEqual((caught.exception.at, caught.exception.errno), ("user", errno.EPERM))
            self.assertRaises(CannotStart, self.spawn, "echo", nofile=1 << 30)
        else:
            words = self.ask("id", user="nobody", cwd="/").decode()
            self.assertIn("(nobody)", words)
            self.assertNotIn("(root)", words)
            self.assertIn("uid=65534", self.ask("id", user=65534, group=65534, extra_groups=(), cwd="/").decode())

    def test_orphans(self) -> None:
        """A program that leaves more behind than a guardian may open files for harms no other, all of that ends with it."""
        other = self.spawn("sleep", "60")
        resource.prlimit(self.guardian.pid, resource.RLIMIT_NOFILE, (40, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        self.spawn("sh", "-c", "for i in $(seq 50); do (setsid sleep 60 &); done; sleep 60")
        until(lambda: len(lineage.below((self.guardian.pid,), lineage.readAll())) >= 52, "what it leaves behind", 0.1)
        for _ in range(3):
            self.spawn("true")
        self.assertEqual((self.guardian.lost, other.code), (None, None))

    def test_handsFull(self) -> None:
        """A guardian that may open no more files says so, stays well."""
        child = self.spawn("sleep", "60")
        resource.prlimit(self.guardian.pid, resource.RLIMIT_NOFILE, (12, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        with self.assertRaises(CannotStart) as caught:
            for _ in range(9):
                self.spawn("sleep", "60")
        self.assertEqual((caught.exception.at, self.guardian.lost, child.code), ("guardian", None, None), str(caught.exception))

    def test_signals(self) -> None:
        """A signal that we ignore as nohup has it stays ignored; those that the guardian ignores itself are not."""
        program = (
            "import sys, os; from nodeset.processes.starting.guardian import *\n"
            "from nodeset.processes.starting.spawning import *\n"
            "g = GuardianProcess(); c = g.spawnNow(Order(('grep', 'SigIgn', '/proc/self/status')), (0, 1, 2))\n"
            "while not c.emptied: g._await(1), g.read()"
        )
        shell = f"trap '' HUP; exec {sys.executable} -c \"$0\""
        for command in (["sh", "-c", shell, program], ["nohup", sys.executable, "-c", program]):
            done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, text=True, check=True)
            self.assertEqual(_ignored(done.stdout), 1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(self.guardian.pid, number)
        self.assertEqual(self.ask("echo", "still here"), b"still here\n")
        self.assertEqual(os.getsid(self.guardian.pid), os.getsid(0))
        self.assertEqual(os.getpgid(self.guardian.pid), self.guardian.pid)

    def test_scopes(self) -> None:
        """A program has a session of its own, or a group of its own in ours, or is in our group; a terminal may be its own."""
        found = {}
        for scope in ("session", "group", "shared"):
            child = self.spawn("sleep", "60", scope=scope)
            found[scope] = (os.getsid(child.pid) - child.pid, os.getpgid(child.pid) - child.pid)
            self.assertEqual(os.getsid(child.pid), child.pid if scope == "session" else os.getsid(0))
            self.assertEqual(os.getpgid(child.pid), os.getpgid(0) if scope == "shared" else child.pid)
        master, slave = pty.openpty()
        # A shell would note the signal while it forks, then wait for its child.
        script = (
            "import os, signal; signal.signal(2, signal.SIG_DFL); print(os.ttyname(0)); open('/dev/tty', 'w').write('yes\\n'); "
        )
        order = Order((sys.executable, "-uc", f"{script}signal.pause()"), terminal=True)
        child = self.guardian.spawnNow(order, (slave, slave, slave))
        name = os.ttyname(slave)
        os.close(slave)
        self.assertEqual([self.line(master).rstrip("\r") for _ in range(2)], [name, "yes"])
        os.write(master, b"\x03")
        self.await_(lambda: child.code is not None, "the end by Ctrl-C")
        self.assertEqual(child.code, -signal.SIGINT)
        os.close(master)

    def test_many(self) -> None:
        """Hundreds of programs run at once, all their ends are told; what their starts took is printed by the benchmarks."""
        children = [self.spawn("sleep", "60") for _ in range(150)]
        self.assertEqual(len({child.pid for child in children}), 150)
        for child in children:
            self.assertTrue(child.signal(signal.SIGTERM))
        self.await_(lambda: not self.guardian.children, "all ends")
        self.assertEqual({child.code for child in children}, {-signal.SIGTERM})
        self.assertEqual(Path(f"/proc/{self.guardian.pid}/task/{self.guardian.pid}/children").read_text(), "")
        self.assertLess(len(list(Path(f"/proc/{self.guardian.pid}/fd").iterdir())), 12)


class EndTests(GuardianCase):
    def test_codes(self) -> None:
        """Exit codes, signals are told as they were; a program that ends at once is no exception."""
        ends = (("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", -9), ("kill -SEGV $$", -11))
        children = [self.spawn("sh", "-c", f"ulimit -c 0; {script}") for script, _ in ends]
        self.await_(lambda: all(child.emptied for child in children), "their ends")
        self.assertEqual([child.code for child in children], [code for _, code in ends])

    def test_groupOutlives(self) -> None:
        """A program is emptied only when nobody of its group is left: until then its pid is nobody else's, the group can be
        signalled as a whole, yet its end is told at once.
        """
        child, reading = self.open("sh", "-c", "sleep 60 & sleep 60 & echo ready")
        self.assertEqual(self.line(reading), "ready")
        self.await_(lambda: child.code is not None, "the leader's end")
        self.assertEqual((child.code, child.emptied, stateOf(child.pid)), (0, False, "Z"))
        self.assertFalse(child.signal(signal.SIGTERM))
        answer = child.signalGroup(signal.SIGTERM)
        self.await_(lambda: child.emptied, "the end of the group")
        self.assertTrue(self.successResultOf(answer))
        self.assertEqual(stateOf(child.pid), "")
        os.close(reading)

    def test_orphans(self) -> None:
        """What a program leaves behind comes to the guardian, which takes its zombies, whatever left the group as well; the
        zombie of a leader whose group lives is not among them.
        """
        kept, reading = self.open("sh", "-c", "sleep 60 & echo ready")
        self.line(reading)
        self.await_(lambda: kept.code is not None, "the leader's end")
        child, said = self.open(
            "sh", "-c", "for i in 1 2 3 4; do (setsid sh -c 'echo $$; exec sleep 0.1' &); done; exec sleep 60"
        )
        pids = [int(self.line(said)) for _ in range(4)]
        self.await_(lambda: not any(stateOf(pid) for pid in pids), "the orphans' end")
        self.assertEqual((stateOf(kept.pid), child.code, self.guardian.adopted >= 5), ("Z", None, True))
        for each in (kept, child):
            each.signalTree(signal.SIGKILL)
        self.await_(lambda: kept.emptied and child.emptied, "the end of both")
        os.close(reading)
        os.close(said)

    def test_tree(self) -> None:
        """A whole tree is signalled: who left the group, but not the session; the children of those who left both."""
        script = "import os, time\nif not os.fork(): os.setpgid(0, 0)\nos.fork() or os.setsid()\nos.write(1, b'1\\n')\n"
        script += "time.sleep(60)"
        child, reading = self.open(sys.executable, "-c", script)
        for _ in range(4):
            self.line(reading)
        os.close(reading)
        other = self.spawn("sleep", "60")
        answer = child.signalTree(signal.SIGTERM)
        self.await_(lambda: child.emptied, "the end of the tree")
        self.assertTrue(self.successResultOf(answer))
        self.await_(lambda: len(marked(self.marker)) == 2, f"the end of {marked(self.marker)}")
        self.assertIsNone(other.code)

    def test_frozen(self) -> None:
        """A program that is stopped tells so; it goes on, or is killed while it is frozen."""
        child = self.spawn("sleep", "60")
        told: list[object] = []
        child.onStopped(told.append)
        for number, expected in ((signal.SIGSTOP, signal.SIGSTOP), (signal.SIGCONT, 0), (signal.SIGSTOP, signal.SIGSTOP)):
            child.signal(number)
            self.await_(lambda: told, "word of it")
            self.assertEqual(told.pop(), expected)
        child.signalGroup(signal.SIGKILL)
        self.await_(lambda: child.emptied, "its end")
        self.assertEqual(child.code, -signal.SIGKILL)

    def test_bombs(self) -> None:
        """Programs that multiply, or that are never there for longer than a moment, are ended all the same."""
        child, reading = self.open(sys.executable, "-c", HYDRA, scope="shared")
        self.line(reading)
        os.close(reading)
        child.signalTree(signal.SIGKILL)
        self.await_(lambda: child.emptied, "the end of the hydra")
        bomb, reading = self.open(
            "sh", "-c", "b() { echo $1; [ $1 = 0 ] || { b $(($1-1)) & b $(($1-1)) & wait; }; sleep 60; }; b 6"
        )
        self.line(reading)
        bomb.signalTree(signal.SIGKILL)
        self.await_(lambda: bomb.emptied, "the end of the bomb")
        os.close(reading)

    def test_killed(self) -> None:
        """A guardian that is killed takes its programs with it: each counts as ended by signal 9; the reason is told to who
        starts one now.
        """
        told: list[object] = []
        children = [self.spawn("sleep", "60"), self.spawn("sleep", "60", kill=False)]
        for child in children:
            child.onEnded(told.append)
            child.onEmptied(lambda: told.append("empty"))
        os.kill(self.guardian.pid, signal.SIGKILL)
        self.await_(lambda: self.guardian.lost, "its end")
        self.assertEqual(told, [-9, "empty"] * 2)
        until(lambda: not marked(self.marker), "their end")
        with self.assertRaises(CannotStart) as caught:
            self.spawn("echo")
        self.assertIn("ended by signal 9", str(caught.exception))

    def test_stopped(self) -> None:
        """A guardian that one of its programs has stopped goes on when it is wanted."""
        gate, key = os.pipe()
        script = f"import os, time; os.read({gate}, 1); os.kill(os.getppid(), 19); os.write(1, b'x\\n'); time.sleep(60)"
        _, reading = self.open(sys.executable, "-c", script, pass_fds=(gate,))
        os.write(key, b"x")
        self.line(reading)
        os.close(gate)
        os.close(key)
        until(lambda: stateOf(self.guardian.pid) == "T", "the stop")
        answers: list[bool] = []
        self.spawn("sleep", "60").signalTree(signal.SIGKILL).addCallback(answers.append)
        self.await_(lambda: answers, "an answer")
        self.assertEqual(answers, [True])

    def test_left(self) -> None:
        """When all its programs outlive their supervisor, so does what these left behind, in sessions of their own as well."""
        child, reading = self.open("sh", "-c", "(setsid sh -c 'echo $$; exec sleep 60' &); exec sleep 60", kill=False)
        orphan = int(self.line(reading))
        parent = self.guardian.pid
        until(lambda: getattr(lineage.read(orphan), "ppid", 0) == parent, "the orphan")
        self.guardian.leave()
        self.await_(lambda: self.guardian.lost, "its farewell")
        self.assertLessEqual({stateOf(child.pid), stateOf(orphan)}, {"R", "S", "D"})
        for pid in (orphan, child.pid):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not marked(self.marker), "their end")
        os.close(reading)

    def test_cannotStart(self) -> None:
        """A guardian that cannot be started says so."""
        self.patch(sys, "executable", "/no/such/python")
        with self.assertRaises(CannotStart) as caught:
            GuardianProcess()
        self.assertEqual((caught.exception.at, caught.exception.errno), ("guardian", errno.ENOENT))
        self.patch(sys, "executable", "/bin/false")
        guardian = GuardianProcess()
        with self.assertRaises(CannotStart) as caught:
            guardian.spawnNow(Order(("echo",)), (0, 1, 2))
        self.assertEqual(caught.exception.at, "guardian")
        until(lambda: not guardian.read(), "its end")
        self.assertEqual(guardian.lost, "it ended with 1")

    def test_oldSystem(self) -> None:
        """Where the system lacks what it takes, that is said."""

        def refuse(pid: int) -> int:
            raise OSError(errno.ENOSYS, "Function not implemented")

        self.patch(os, "pidfd_open", refuse)
        with self.assertRaises(CannotStart) as caught:
            GuardianProcess()
        self.assertEqual((caught.exception.at, caught.exception.errno), ("guardian", errno.ENOSYS))
        self.assertIn("Linux 5.4", str(caught.exception))

    def test_hangs(self) -> None:
        """Whoever waits for a guardian that hangs waits no longer than he said."""
        self.patch(self.guardian, "_rouse", lambda: None)
        os.kill(self.guardian.pid, signal.SIGSTOP)
        begun = time.monotonic()
        with self.assertRaises(CannotStart) as caught:
            self.guardian.spawnNow(Order(("sleep", "60")), (0, 1, 2), 0.1)
        self.assertLess(time.monotonic() - begun, 5.0)
        self.assertIn("within 0.1 s", str(caught.exception))
        os.kill(self.guardian.pid, signal.SIGCONT)
        self.await_(lambda: len(marked(self.marker)) == 1, f"the end of what came too late: {marked(self.marker)}")
