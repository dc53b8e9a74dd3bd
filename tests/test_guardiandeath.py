"""What becomes of programs when their supervisor is killed, or their guardian."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.guarding import PATIENCE, marked, stateOf, until

ROOT = Path(__file__).resolve().parent.parent

#: A supervisor without a reactor: it starts what its first argument says, tells the pids, then waits to be killed.
SUPERVISOR = """
import json, sys, time
from nodeset.processes.starting.guardian import GuardianProcess
from nodeset.processes.starting.spawning import Order
guardian = GuardianProcess()
print(guardian.pid, flush=True)
for fields in json.loads(sys.argv[1]):
    print(guardian.spawnNow(Order(**fields), (0, 1, 2)).pid, flush=True)
while guardian.read():
    guardian._await(60)
"""
#: Leaves its parent, its group, its session, in all ways that there are; each says so.
FUGITIVE = """
exec 2>/dev/null
trap '' TERM HUP INT
(setsid sh -c 'trap "" TERM; echo 1; sleep 300' &)
setsid sh -c '(echo 2; exec sleep 300) & sleep 300' &
(sh -c 'echo 3; sleep 300; :' &) &
echo 4
sleep 300
"""

#: In a pid namespace of its own, where it may say which pid comes next.
REUSE = """
import os, subprocess
from pathlib import Path
from nodeset.processes.starting.guardian import GuardianProcess
from nodeset.processes.starting.spawning import Order

def start(pid):
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    return subprocess.Popen(["sleep", "300"], stdin=null)

null = os.open(os.devnull, os.O_RDWR)
guardian = GuardianProcess()
kept = guardian.spawnNow(Order(("sh", "-c", "sleep 300 & exit 0")), (null, null, null))
gone = guardian.spawnNow(Order(("true",)), (null, null, null))
while not gone.emptied or kept.code is None:
    guardian._await(1)
    guardian.read()
same, other = start(gone.pid), start(kept.pid)
answers = []
signalled = gone.signal(9)
for asked in (gone.signalGroup(9), gone.signalTree(9), kept.signalGroup(15)):
    asked.addCallback(answers.append)
while not kept.emptied:
    guardian._await(1)
    guardian.read()
print(same.pid == gone.pid, other.pid == kept.pid, signalled, *answers, same.poll(), other.poll())
"""


def awaitNobody(marker: str) -> None:
    until(lambda: not marked(marker), f"the end of {marked(marker)}", 0.03)


def awaitCount(marker: str, count: int) -> None:
    until(lambda: len(marked(marker)) == count, f"{count} of {marked(marker)}")


class Supervised:
    """A supervisor with its guardian, programs, marked by its environment."""

    def __init__(self, *programs: dict[str, Any]) -> None:
        self.marker = f"supervised-{os.urandom(8).hex()}"
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", SUPERVISOR, json.dumps(programs)],
            cwd=ROOT,
            env={**os.environ, "TEST_MARKER": self.marker},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        # Ends a wait for a line of it, too.
        self.hung = threading.Timer(PATIENCE, self.process.kill)
        self.hung.daemon = True
        self.hung.start()

    def readLines(self, count: int) -> list[str]:
        assert self.process.stdout is not None
        return [self.process.stdout.readline().rstrip() for _ in range(count)]

    def kill(self) -> None:
        self.hung.cancel()
        self.process.kill()
        self.process.wait()

    def awaitEnd(self) -> None:
        awaitNobody(self.marker)
        if self.process.stdout is not None:
            self.process.stdout.close()


class KilledTests(SynchronousTestCase):
    def test_fifty(self) -> None:
        """Fifty supervisors are killed by -9, at any moment of their start or after it: no process of theirs is left, whatever
        it forked, whatever it left, whatever it ignores.
        """
        fugitive = {"argv": ["sh", "-c", FUGITIVE]}
        for turn in range(10):
            running = [Supervised(fugitive) for _ in range(5)]
            try:
                for number, each in enumerate(running):
                    # Six lines are all: the guardian's pid, the program's, those that the program's four branches say.
                    each.readLines((1, 1 + turn % 5, 6, 6, 6)[number])
            finally:
                for each in running:
                    each.kill()
                for each in running:
                    each.awaitEnd()

    def test_kept(self) -> None:
        """A program that is to outlive its supervisor goes on, writes without SIGPIPE; what was not to be kept is ended; the
        guardian goes when the program does.
        """
        script = "read line < fifo; for i in $(seq 200); do printf %01000d $i; done;"
        home = Path(self.mktemp()).absolute()
        home.mkdir()
        os.mkfifo(home / "fifo")
        script += " sleep 300 & echo $! >last; read line < fifo; echo over >done"
        keep = {"argv": ["sh", "-c", script], "kill": False, "cwd": str(home)}
        supervised = Supervised({"argv": ["sh", "-c", FUGITIVE]}, keep)
        said = supervised.readLines(7)
        guardian = int(said[0])
        supervised.kill()
        assert supervised.process.stdout is not None
        supervised.process.stdout.close()
        awaitCount(supervised.marker, 2)
        with (home / "fifo").open("w") as fifo:
            fifo.write("go\n")
        until((home / "last").exists, "what a pipe cannot hold to be written")
        awaitCount(supervised.marker, 3)
        with (home / "fifo").open("w") as fifo:
            fifo.write("go\n")
        until((home / "done").exists, "its last act")
        awaitCount(supervised.marker, 2)
        self.assertNotIn(stateOf(guardian), ("", "Z"))
        os.kill(int((home / "last").read_text()), signal.SIGTERM)
        supervised.awaitEnd()

    def test_orphanOfKept(self) -> None:
        """What a kept program left behind is spared with it, unless that may as well be of one that is to be ended."""
        keep = {
            "argv": ["sh", "-c", "(setsid sleep 300 & echo); sleep 300 & echo; sleep 300"],
            "kill": False,
            "scope": "shared",
        }
        for others, left in (((), 5), (({"argv": ["sleep", "300"], "scope": "shared"},), 4)):
            supervised = Supervised(keep, *others)
            supervised.readLines(4 + len(others))
            supervised.kill()
            # Beside the sleepers a shell, the guardian.
            awaitCount(supervised.marker, left)
            for line in marked(supervised.marker):
                if "sleep" in line and "-S" not in line:
                    os.kill(int(line.split()[0]), signal.SIGKILL)
            supervised.awaitEnd()

    def test_exits(self) -> None:
        """A supervisor that ends by itself, by an error or not, leaves nothing either."""
        for last in ("sys.exit(0)", "1/0"):
            program = SUPERVISOR.replace("while guardian.read()", f"{last}\nwhile guardian.read()")
            marker = f"supervised-{os.urandom(8).hex()}"
            done = subprocess.run(
                [sys.executable, "-c", program, '[{"argv": ["sleep", "300"]}, {"argv": ["sleep", "300"]}]'],
                cwd=ROOT,
                env={**os.environ, "TEST_MARKER": marker},
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
            self.assertEqual(done.stdout.count(b"\n"), 3)
            awaitNobody(marker)

    def test_forked(self) -> None:
        """A child that a supervisor forked without exec, which holds the guardian's socket, keeps no program alive."""
        program = SUPERVISOR.replace("guardian = Guard", "import os\nguardian = Guard").replace(
            "while guardian", "if not os.fork(): time.sleep(300)\nprint('forked', flush=True)\nwhile guardian"
        )
        marker = f"supervised-{os.urandom(8).hex()}"
        process = subprocess.Popen(
            [sys.executable, "-c", program, '[{"argv": ["sleep", "300"]}]'],
            cwd=ROOT,
            env={**os.environ, "TEST_MARKER": marker},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        while process.stdout.readline() != "forked\n":
            pass
        process.stdout.close()
        process.kill()
        process.wait()
        awaitCount(marker, 1)
        os.kill(int(marked(marker)[0].split()[0]), signal.SIGKILL)
        awaitNobody(marker)

    def test_reused(self) -> None:
        """A pid that is somebody else's by now gets no signal meant for a program that had it; while anybody of a program's
        group lives, its pid becomes nobody else's.
        """
        command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", sys.executable, "-c", REUSE]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if done.returncode and not done.stdout and ("Traceback" not in done.stderr or "ns_last_pid" in done.stderr):
            raise SkipTest("this machine allows nobody a pid namespace, or none whose pids can be chosen")
        self.assertEqual((done.stdout, done.stderr), ("True False False False False True None None\n", ""))
