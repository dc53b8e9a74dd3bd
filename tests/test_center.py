"""`nodeset-center` as a real process."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import textwrap
import time
from pathlib import Path

from tests.commands import PATIENCE, CommandCase

CENTER = ["-c", "from nodeset.cli.center import main; main()"]
#: What a verbose log has of TELL.
TOLD = ["start", "out", "state", "return"]

#: Tells of one program at the center of this directory, prints what `ps` says of it.
TELL = """
import json
from twisted.internet import task
from twisted.internet.defer import Deferred
from nodeset.core.node import Node
from nodeset.processes.events import *

async def tell():
    node = Node(name="w", dispatcher_url="ipc://nerve.sock")
    node.startService()
    await node.start()
    about = {"uuid": "ab12" * 8}
    await node.publish("process.hibob.start", ProcessStart, seq=1, pid=12998, **about)
    await node.publish("process.hibob.out", ProcessOutput, seq=2, data=bytes(range(256)), **about)
    state = {"name": "hibob", "state": 100, "state_name": "EXITED", "pid": 12998, "return_code": 0}
    await node.publish("process.hibob.state", ProcessState, seq=3, **state, **about)
    await node.publish("process.hibob.return", ProcessReturn, seq=4, pid=12998, code=0, **about)
    rows = [row async for row in await node.call("center", "ps")]
    print(json.dumps(rows))
    await node.stopService()

task.react(lambda reactor: Deferred.fromCoroutine(tell()))
"""

#: Ships numbered lines, one a millisecond, until there is a file `enough`; then says how many.
FLOOD = """
from pathlib import Path
from twisted.internet import reactor, task
from nodeset.core.node import Node
from nodeset.processes.events import *
from nodeset.processes.program import Program
from nodeset.processes.output.shipping import Shipping

class Watcher(Node):
    def onEvent(self, event, msg):
        shipping.announced()

node = Watcher(name="w", dispatcher_url="ipc://nerve.sock")
node.subscribe(CENTERS)
shipping = Shipping(node, Program(name="flood", command=("x",)), "f" * 32, reactor)
node.startService()
told = 0

def tell():
    global told
    for _ in range(3):
        shipping.put("out", b"%d\\n" % told)
        told += 1
    if Path("enough").exists():
        telling.stop()
        shipping.put("return", ProcessReturn(uuid="", pid=7, code=0))
        shipping.drained(20.0).addCallback(over)

def over(drained):
    print(told, drained, flush=True)
    reactor.stop()

telling = task.LoopingCall(tell)
telling.start(0.003)
reactor.run()
"""


class CenterCase(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.log = self.home / "nerve.log"

    def start(self, *words: str, says: str = "") -> subprocess.Popen[str]:
        """A center that listens, or is linked, and has said this before."""
        child = self.spawn(*CENTER, *words)
        assert child.stderr is not None
        seen = []
        for line in child.stderr:
            seen.append(line)
            if "is linked to its dispatcher" in line:
                self.assertIn(says, "".join(seen))
                return child
        self.fail(f"it ended: {''.join(seen)}")

    def lines(self, path: Path | None = None) -> list[list[object]]:
        return [ast.literal_eval(line) for line in (path or self.log).read_text("ascii").splitlines()]

    def awaitLog(self, part: str) -> None:
        """Wait for this in the log."""
        end = time.monotonic() + PATIENCE
        while part not in self.log.read_text("ascii"):
            self.assertLess(time.monotonic(), end, f"no {part!r} in the log")
            time.sleep(0.02)


class LifeTests(CenterCase):
    def test_life(self) -> None:
        """Without options it listens at ./nerve.sock, logs to ./nerve.log, answers ps; another one joins; Ctrl-C ends it."""
        center = self.start(says=f"logs what it is told to {self.log}")
        place = self.home / "nerve.sock"
        self.assertTrue(place.is_socket())
        self.assertEqual(place.stat().st_mode & 0o777, 0o600)
        code, out, err = self.ask(*CENTER)
        self.assertEqual((code, err.count("\n"), out), (1, 1, ""), err)
        joined = self.start("-d", "-v", "-n", "c2", "-l", "-", "--dispatcher-url", "ipc://nerve.sock")
        code, out, err = self.ask("-c", textwrap.dedent(TELL))
        self.assertEqual(code, 0, err)
        (row,) = json.loads(out)
        self.assertEqual([row[key] for key in ("center", "name", "state_name")], ["center", "hibob", "EXITED"])
        data = bytes(range(256)).decode("latin-1")
        expected = [["hibob", "start", 12998], ["hibob", "out", data], ["hibob", "return", 0]]
        self.assertEqual(self.lines(), expected)
        joined.send_signal(signal.SIGTERM)
        out, err = joined.communicate(timeout=PATIENCE)
        self.assertEqual((joined.returncode, [ast.literal_eval(line)[1] for line in out.splitlines()]), (0, TOLD), err)
        self.log.rename(self.home / "moved.log")
        center.send_signal(signal.SIGHUP)
        end = time.monotonic() + PATIENCE
        while not self.log.exists():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        self.assertEqual(self.stop(center, signal.SIGINT), 0)
        self.assertEqual((len(self.lines(self.home / "moved.log")), self.lines(), place.exists()), (3, [], False))

    def test_killed(self) -> None:
        """What a program writes while its center is killed, away, started again is in the log, all of it, once, in order."""
        center = self.start()
        flood = self.spawn("-c", textwrap.dedent(FLOOD))
        self.awaitLog("'flood', 'out'")
        os.kill(center.pid, signal.SIGKILL)
        center.wait()
        center = self.start()
        (self.home / "enough").touch()
        out, err = flood.communicate(timeout=PATIENCE)
        told, drained = out.split()
        self.assertEqual(drained, "True", err)
        lines = self.lines()
        self.assertEqual([line[3:] for line in lines if len(line) > 3], [], "nothing is missing, nothing late")
        text = "".join(str(line[2]) for line in lines if line[1] == "out")
        self.assertEqual(text, "".join(f"{number}\n" for number in range(int(told))))
        self.assertEqual(lines[-1], ["flood", "return", 0])
        self.assertEqual(self.stop(center), 0)
