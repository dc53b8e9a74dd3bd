"""A Popen whose child misbehaves: floods, hangs, dies early, comes in crowds."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from nodeset import processes
from nodeset.processes import DEVNULL, PIPE, Popen, run
from nodeset.processes.starting.wardens import wardenOf
from tests.commands import ROOT
from tests.documents import blocks
from tests.popens import PopenCase

reactor: Any = installed
MEBI = 1024 * 1024


def openFiles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def peakMemory() -> int:
    """Bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class FloodTests(PopenCase):
    async def test_bothWays(self) -> None:
        """50 MB go in while 50 MB come out, without a deadlock, in little memory beyond the result."""
        sent = os.urandom(MEBI) * 50
        before = peakMemory()
        process = Popen(["cat"], stdin=PIPE, stdout=PIPE, stderr=PIPE)
        out, err = await process.communicate(sent)
        self.assertTrue(out == sent)
        self.assertEqual((err, process.returncode), (b"", 0))
        # What a list of chunks, joined in the end, would take once more.
        self.assertLess(peakMemory() - before, 85 * MEBI)

    async def test_bothStreams(self) -> None:
        """A child that fills stderr while stdout is read is not held up."""
        script = "head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2"
        done = await run(script, shell=True, capture_output=True)
        self.assertEqual((len(done.stdout), len(done.stderr)), (3_000_000, 6_000_000))

    async def test_longLine(self) -> None:
        """One line of 20 MB among others is read as a line, in text too."""
        script = "echo a; head -c 20000000 /dev/zero | tr '\\0' x; echo; echo b"
        for text in (False, True):
            async with Popen(script, shell=True, stdout=PIPE, text=text) as process:
                assert process.stdout is not None
                self.assertEqual([len(line) async for line in process.stdout], [2, 20_000_001, 2])

    async def test_splitCharacters(self) -> None:
        """Characters whose bytes come at different times are read whole."""
        script = 'for b in 342 202 254 303 244; do printf "\\\\$b"; sleep 0.005; done'
        self.assertEqual((await run(script, shell=True, stdout=PIPE, encoding="utf-8")).stdout, "€ä")

    async def test_slowedDown(self) -> None:
        """A child whose output nobody reads waits for its reader."""
        process = Popen(["yes"], stdout=PIPE)
        assert process.stdout is not None
        self.assertEqual(await process.stdout.readline(), b"y\n")
        await self.late(process.wait(timeout=0.05))
        self.assertLess(peakMemory(), 500 * MEBI)
        process.stdout.close()
        self.assertEqual(await process.wait(), -signal.SIGPIPE)

    async def test_crowd(self) -> None:
        """100 at once, each with its own pipes, come to their own ends; no file stays open."""
        await run(["true"])
        before = openFiles()
        crowd = [Popen(["sh", "-c", "cat; exit $0", str(n)], stdin=PIPE, stdout=PIPE) for n in range(100)]
        found = await gatherResults([process.communicate(b"%d" % n) for n, process in enumerate(crowd)])
        self.assertEqual([out for out, _ in found], [b"%d" % n for n in range(100)])
        self.assertEqual([process.returncode for process in crowd], list(range(100)))
        self.assertEqual(len({process.pid for process in crowd}), 100)
        self.assertEqual(openFiles(), before)


class EndTests(PopenCase):
    async def test_waiting(self) -> None:
        """Many may wait, each as long as he likes; who waits after the end knows at once."""
        process = Popen(["sleep", "60"])
        waits = [process.wait(), process.wait(timeout=30)]
        given_up = process.wait()
        given_up.cancel()
        await self.assertFailure(given_up, CancelledError)
        late = await self.late(process.wait(timeout=0.01))
        self.assertEqual((late.cmd, late.timeout), (["sleep", "60"], 0.01))
        self.assertIsNone(process.poll())
        process.kill()
        self.assertEqual(await gatherResults(waits), [-9, -9])
        self.assertEqual((await process.wait(), await process.wait(timeout=0), process.poll()), (-9, -9, -9))

    async def test_failedStarts(self) -> None:
        """Starts that fail leave nothing behind: no file, no process."""
        wardenOf()
        before = openFiles()
        for _ in range(20):
            self.assertRaises(FileNotFoundError, Popen, ["/no/such"], stdin=PIPE, stdout=PIPE, stderr=PIPE)
            self.assertRaises(FileNotFoundError, Popen, ["true"], stdout=PIPE, stderr=DEVNULL, cwd="/no/such")
        self.assertEqual((openFiles(), wardenOf()[1].figures()["children"]), (before, 0))

    async def test_readsNoInput(self) -> None:
        """A child that ends before it has read all of its input is no error for communicate, is one for who writes."""
        process = Popen(["true"], stdin=PIPE, stdout=PIPE)
        self.assertEqual(await process.communicate(bytes(4 * MEBI)), (b"", None))
        process = Popen(["sh", "-c", "exec <&-; echo shut; sleep 0.2; exit 3"], stdin=PIPE, stdout=PIPE)
        assert process.stdin is not None and process.stdout is not None
        await process.stdout.readline()
        self.assertRaises(BrokenPipeError, process.stdin.write, b"x")
        await process.stdin.close()
        self.assertEqual(await process.wait(), 3)
        process = Popen(["sleep", "60"], stdin=PIPE)
        assert process.stdin is not None
        process.stdin.write(bytes(MEBI))
        drained = process.stdin.drain()
        process.kill()
        await self.assertFailure(drained, BrokenPipeError)
        await process.wait()

    async def test_misuse(self) -> None:
        """Input twice, input without a pipe, two reads at a time, a read while communicate reads, another thread: refused."""
        async with Popen(["cat"], stdin=PIPE, stdout=PIPE) as process:
            assert process.stdout is not None
            talk = process.communicate(b"x")
            self.assertRaises(ValueError, process.communicate, b"y")
            self.assertRaises(RuntimeError, process.stdout.read)
            self.assertEqual((await talk, await process.communicate()), ((b"x", None), (b"x", None)))
        await self.assertFailure(deferToThread(Popen, ["true"]), RuntimeError)
        async with Popen(["true"]) as process:
            self.assertRaises(ValueError, process.communicate, b"x")
            self.assertEqual(await process.communicate(), (None, None))

    async def test_notText(self) -> None:
        """Output that is no text fails communicate as it would there."""
        process = Popen(["printf", "\\377"], stdout=PIPE, encoding="utf-8")
        await self.assertFailure(process.communicate(), UnicodeDecodeError)
        self.assertEqual(await process.wait(), 0)

    async def test_cancelledRun(self) -> None:
        """A run that is cancelled, or late, kills its program, even one whose descendants hold its output."""
        running = run("sleep 60 & echo $!; sleep 60", shell=True, stdout=PIPE)
        await deferLater(reactor, 0.05, lambda: None)
        running.cancel()
        await self.assertFailure(running, CancelledError)
        late = await self.late(run("sleep 60 & echo $!; sleep 60", shell=True, stdout=PIPE, timeout=0.1))
        self.assertTrue(late.output.strip().isdigit())

    async def test_grandchild(self) -> None:
        """A descendant that holds the pipe keeps communicate waiting, as with subprocess; wait is not."""
        process = Popen("sleep 60 & exit 4", shell=True, stdout=PIPE)
        self.assertEqual(await process.wait(), 4)
        await self.late(process.communicate(timeout=0.05))

    async def test_guardianKilled(self) -> None:
        """When the guardian is killed its children count as killed, the next Popen has another."""
        process = Popen(["sleep", "60"], stdout=PIPE)
        first = wardenOf()[1].figures()["pid"]
        os.kill(first, signal.SIGKILL)
        self.assertEqual(await process.wait(), -9)
        self.assertEqual(await process.communicate(), (b"", None))
        self.assertEqual((await run(["echo", "on"], stdout=PIPE)).stdout, b"on\n")
        self.assertNotEqual(wardenOf()[1].figures()["pid"], first)

    async def test_stopped(self) -> None:
        """Stopping the Warden ends all children; it is begun again when it is needed."""
        process = Popen(["sleep", "60"])
        await processes.stopWarden()
        self.assertEqual(await process.wait(), -9)
        self.assertEqual(await processes.call(["true"]), 0)


#: What runs under each reactor: the result, whether the child outlives it.
PROGRAM = """
import sys
from importlib import import_module
import_module('twisted.internet.' + sys.argv[1] + 'reactor').install()
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from nodeset.processes import DEVNULL, PIPE, Popen

async def main():
    try:
        process = Popen(['cat'], stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
        out, _ = await process.communicate(bytes(3_000_000), timeout=20)
        process = Popen('exec cat >&2', shell=True, stdin=PIPE, stderr=PIPE, text=True)
        process.stdin.write('line\\n')
        line = await process.stderr.readline()
        kept = Popen(['sleep', '60'], on_supervisor_death='keep', stdout=DEVNULL, stderr=DEVNULL)
        ended = Popen(['sleep', '60'], stdout=DEVNULL, stderr=DEVNULL)
        print(len(out), line.strip(), process.poll(), kept.pid, ended.pid, 'nodeset.core.node' in sys.modules)
    finally:
        reactor.stop()

reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main()))
reactor.run()
"""


class ReactorTests(PopenCase):
    async def test_each(self) -> None:
        """Every reactor of Linux will do; children end with the program, but those that shall be kept."""
        runs = [
            run([sys.executable, "-c", PROGRAM, name], cwd=ROOT, capture_output=True, text=True, timeout=25)
            for name in ("asyncio", "epoll", "poll", "select")
        ]
        for done in await gatherResults(runs):
            self.assertEqual((done.stderr, done.returncode), ("", 0), done.args)
            size, line, code, kept, ended, knows_node = done.stdout.split()
            self.assertEqual((size, line, code, knows_node), ("3000000", "line", "None", "False"), done.args)
            self.assertFalse(Path(f"/proc/{ended}").exists(), "it outlived its program")
            os.kill(int(kept), signal.SIGKILL)


class DocumentTests(PopenCase):
    async def test_program(self) -> None:
        """The programs in docs/popen.md run as they stand there."""
        for _file, code in blocks(ROOT / "docs" / "popen.md", "python"):
            done = await run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=20)
            self.assertEqual((done.stdout, done.stderr, done.returncode), ("", "", 0), code)


class EnvironmentTests(PopenCase):
    def test_lazy(self) -> None:
        """Importing the wing, or Popen, installs no reactor."""
        program = "import sys; from nodeset.processes import Popen, run; print('twisted.internet.reactor' in sys.modules)"
        found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        self.assertEqual(found.stdout, "False\n")

    def test_names(self) -> None:
        """The wing has by name what subprocess has; others it has not."""
        for name in processes.__all__:
            self.assertIsNotNone(getattr(processes, name))
            self.assertIn(name, dir(processes))
        self.assertRaises(AttributeError, getattr, processes, "list2cmdline")
        self.assertIsInstance(processes.stopWarden(), Deferred)
