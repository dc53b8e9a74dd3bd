"""A warden: a guardian's programs in a process with a reactor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from nodeset.errors import CannotStart
from nodeset.processes.starting.child import Child
from nodeset.processes.starting.guardian import GuardianProcess
from nodeset.processes.starting.spawning import Order
from nodeset.processes.starting.warden import Warden
from tests.guarding import PATIENCE, marked, until

ROOT = Path(__file__).resolve().parent.parent

#: A command of ours with a reactor, whose guardian is killed while daemons of its program run: they are ended as well, while
#: the child that this process had before, one that Twisted has, go on.
COMMAND = """
import os, signal, subprocess, sys
sys.path.insert(0, os.getcwd())
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import react
from nodeset.processes.starting.guardian import GuardianProcess
from nodeset.processes.starting.spawning import Order
from nodeset.processes.starting.warden import Warden
from tests.guarding import marked

def order():
    script = "setsid sh -c 'echo; exec sleep 300' & setsid sh -c 'echo; exec sleep 300' & exec sleep 300"
    return Order(("sh", "-c", script)), (0, writing, 2)

def awaitDaemons():
    while len(os.read(reading, 1)) < 1 or len(os.read(reading, 1)) < 1:
        pass

async def kill(child):
    ended = Deferred()
    child.onEmptied(lambda: warden._reactor.callLater(0, ended.callback, None))
    await ended
    print(child.code, len(marked(sys.argv[1])), own.poll())

async def main(reactor):
    global warden
    twisteds = reactor.spawnProcess(ProcessProtocol(), "sleep", ["sleep", "300"], env=None)
    # One that dies before there is a warden.
    early = GuardianProcess()
    early.adopt()
    child = early.spawnNow(*order())
    awaitDaemons()
    os.kill(early.pid, signal.SIGKILL)
    warden = Warden(reactor, early=early)
    warden.start()
    await kill(child)
    child = await warden.spawn(*order())
    awaitDaemons()
    os.kill(warden.pid, signal.SIGKILL)
    await kill(child)
    again = await warden.spawn(Order(("sleep", "300")), (0, 1, 2))
    print(again.code, warden.pid != early.pid, warden.figures()["started"])
    await warden.stop()
    print(again.code, warden.figures()["pid"])
    own.kill()
    own.wait()
    twisteds.signalProcess("KILL")

own = subprocess.Popen(["sleep", "300"], stdout=subprocess.DEVNULL)
reading, writing = os.pipe()
react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
"""


class WardenTests(TestCase):
    """With the reactor. The process of the tests adopts nothing: it has other children."""

    def setUp(self) -> None:
        self.warden = Warden(reactor, adopts=False)
        self.addCleanup(self.warden.stop)
        self.null = os.open(os.devnull, os.O_RDWR)
        self.addCleanup(os.close, self.null)

    def spawn(self, *argv: str, **fields: Any) -> Deferred[Child]:
        return self.warden.spawn(Order(argv)._replace(**fields), (self.null, self.null, self.null))

    def ended(self, child: Child) -> Deferred[None]:
        fired: Deferred[None] = Deferred()
        child.onEmptied(lambda: fired.callback(None))
        return fired.addTimeout(PATIENCE, reactor)

    async def test_life(self) -> None:
        """A program is started, signalled, ended; what cannot be started is refused; the guardian's figures are at hand. An
        exception in who is told is logged once, nobody else notices.
        """
        child = await self.spawn("sleep", "60")
        other = await self.spawn("sleep", "60")
        figures = self.warden.figures()
        self.assertEqual((figures["pid"], figures["children"], figures["started"]), (self.warden.pid, 2, 1))
        self.assertTrue(1 << 20 < figures["rss"] < 64 << 20, figures)
        with self.assertRaises(CannotStart) as caught:
            await self.spawn("nosuchprogram")
        self.assertEqual(caught.exception.at, "command")
        with self.assertRaises(CannotStart):
            await self.spawn()
        child.onEnded(lambda code: 1 // 0)
        self.assertTrue(await child.signalTree(signal.SIGTERM))
        await self.ended(child)
        self.assertEqual((child.code, other.code, self.warden.children), (-signal.SIGTERM, None, [other]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertFalse(await child.signalTree(signal.SIGTERM))

    async def test_cancelled(self) -> None:
        """A start that nobody waits for any more is undone."""
        await self.spawn("sleep", "60")
        started = self.spawn("sleep", "60")
        started.cancel()
        with self.assertRaises(CancelledError):
            await started
        first, *rest = self.warden.children
        self.assertEqual(rest, [])
        await first.signalTree(signal.SIGKILL)
        await self.ended(first)
        listed = Path(f"/proc/{self.warden.pid}/task/{self.warden.pid}/children")
        until(lambda: not listed.read_text(), "the end of what came too late")

    async def test_killed(self) -> None:
        """When a guardian is killed, each program's end is told, whoever waits is told, the next start has another guardian."""
        child = await self.spawn("sleep", "60")
        kept = await self.spawn("sleep", "60", kill=False)
        told: list[int] = []
        child.onEnded(told.append)
        kept.onEnded(told.append)
        assert self.warden.pid is not None
        os.kill(self.warden.pid, signal.SIGSTOP)
        started = self.spawn("sleep", "60")
        asked = child.signalGroup(signal.SIGTERM)
        os.kill(self.warden.pid, signal.SIGKILL)
        with self.assertRaises(CannotStart) as caught:
            await started.addTimeout(PATIENCE, reactor)
        self.assertIn("ended by signal 9", str(caught.exception))
        self.assertFalse(await asked)
        self.assertEqual((told, self.warden.pid, self.warden.figures()["pid"]), ([-9, -9], None, 0))
        again = await self.spawn("sleep", "60")
        self.assertEqual((again.code, self.warden.figures()["started"]), (None, 2))
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    async def test_stop(self) -> None:
        """Stopping ends all programs, fires when none is left for everybody who asked; nothing is started meanwhile."""
        child = await self.spawn("sh", "-c", "trap '' TERM; setsid sleep 60 & sleep 60")
        stopping = [self.warden.stop(), self.warden.stop()]
        with self.assertRaises(CannotStart):
            await self.spawn("sleep", "60")
        self.assertRaises(CannotStart, self.warden.spawnNow, Order(("echo",)), (self.null,) * 3)
        for each in stopping:
            await each.addTimeout(PATIENCE, reactor)
        self.assertEqual((child.code, child.emptied, self.warden.pid), (-9, True, None))
        await self.warden.stop()

    async def test_blocking(self) -> None:
        """Starting at once tells nobody of anything in the midst of that; what happened meanwhile is told right after."""
        child = self.warden.spawnNow(Order(("true",)), (self.null,) * 3)
        told: list[int] = []
        child.onEnded(told.append)
        until(lambda: Path(f"/proc/{child.pid}").exists() is False, "its end")
        other = self.warden.spawnNow(Order(("sleep", "60")), (self.null,) * 3)
        self.assertEqual((told, child.code, other.code), ([], None, None))
        await self.ended(child)
        self.assertEqual(told, [0])

    async def test_early(self) -> None:
        """A guardian that was started earlier is handed over with its programs, those too that ended meanwhile."""
        guardian = GuardianProcess()
        child = guardian.spawnNow(Order(("sh", "-c", "exit 3")), (self.null,) * 3)
        other = guardian.spawnNow(Order(("sleep", "60")), (self.null,) * 3)
        self.warden = Warden(reactor, adopts=False, early=guardian)
        self.addCleanup(self.warden.stop)
        self.warden.start()
        self.warden.start()
        await self.ended(child)
        self.assertEqual((child.code, self.warden.pid, self.warden.children), (3, guardian.pid, [other]))
        await other.signalGroup(signal.SIGTERM)
        await self.ended(other)

    async def test_large(self) -> None:
        """A start that is larger than the socket takes at once holds up nobody."""
        big = {"BIG" + str(number): "x" * 100_000 for number in range(15)}
        children = [await each for each in [self.spawn("sleep", "60", env={**os.environ, **big}) for _ in range(4)]]
        self.assertEqual([child.code for child in children], [None] * 4)


class CommandTests(SynchronousTestCase):
    def test_adopts(self) -> None:
        """A command of ours ends what its killed guardian left behind, nothing that is not of it; then it has another."""
        marker = f"warden-{os.urandom(8).hex()}"
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, marker],
            cwd=ROOT,
            env={**os.environ, "TEST_MARKER": marker},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        # Itself, its two own children.
        self.assertEqual((done.stdout.splitlines(), done.stderr), (["-9 3 None", "-9 3 None", "None True 3", "-9 0"], ""))
        until(lambda: not marked(marker), f"the end of {marked(marker)}")

    def test_imports(self) -> None:
        """A guardian, with a program, can be started before anything of Twisted is imported."""
        program = (
            "import sys; from nodeset.processes.starting.guardian import GuardianProcess\n"
            "print({'twisted', 'attr'} & set(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "set()\n")
