"""What programs weigh is looked up in turn, within a share of one core."""

from __future__ import annotations

import math
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.processes.events import ProcessStats
from nodeset.processes.watching.sampling import Sampling


class SamplingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.calls: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.cpu = 0.0
        self.heard: list[dict[str, Any]] = []

    def sampling(self, **options: Any) -> Sampling:
        """One whose thread is this one."""
        return Sampling(self.clock, execute, cpu=lambda: self.cpu, **options)

    def later(self, call: Callable[[], Any]) -> Deferred[Any]:
        """A thread that does its work when the test says."""
        self.calls.append((call, Deferred()))
        return self.calls[-1][1]

    def pump(self, seconds: float, step: float = 0.1) -> None:
        """Let time pass."""
        self.clock.pump([step] * math.ceil(seconds / step))

    def test_figures(self) -> None:
        """Each interval brings the figures of a process, by the names of the event's fields."""
        sampling = self.sampling()
        sampling.resume()
        sampling.watch(os.getpid(), 1.0, self.heard.append)
        self.pump(3.05)
        self.assertEqual(len(self.heard), 3)
        figures = self.heard[-1]
        self.assertLessEqual(set(figures), set(ProcessStats.__annotations__))
        told = {"create_time", "cpu_percent", "memory_rss", "num_threads", "uid_real", "gid_saved", "username", "ppid"}
        self.assertEqual([name for name in told if figures[name] is None], [])
        self.assertEqual((figures["uid_real"], figures["gid_real"]), (os.getuid(), os.getgid()))
        ProcessStats(uuid="a", name="b", state=20, state_name="RUNNING", **figures)

    def test_first(self) -> None:
        """The first figures come after a second, however long the interval is: with the processor time since its start."""
        sampling = self.sampling()
        sampling.resume()
        busy = sum(os.times()[:2])
        sampling.watch(os.getpid(), 10.0, self.heard.append)
        self.pump(1.05)
        (first,) = self.heard
        self.assertGreater(busy, 0)
        self.assertGreater(first["cpu_percent"], 0)
        self.assertLess(first["cpu_percent"], 100 * (os.cpu_count() or 1))
        self.pump(9.8)
        self.assertEqual(len(self.heard), 1)
        self.pump(0.3)
        self.assertEqual(len(self.heard), 2)

    def test_restsUntilLinked(self) -> None:
        """No process is looked at, no timer runs, while nobody can be told."""
        sampling = self.sampling()
        sampling.watch(os.getpid(), 1.0, self.heard.append)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        sampling.resume()
        self.pump(1.05)
        sampling.pause()
        self.assertEqual((len(self.heard), self.clock.getDelayedCalls()), (1, []))

    def test_never(self) -> None:
        """An interval of 0 is never."""
        sampling = self.sampling()
        sampling.resume()
        sampling.watch(os.getpid(), 0, self.heard.append)
        self.pump(10)
        self.assertEqual((self.heard, self.clock.getDelayedCalls()), ([], []))

    def test_gone(self) -> None:
        """A process that is gone, or a zombie, has no figures; it is looked at no more."""
        child = subprocess.Popen(["true"])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        sampling = self.sampling()
        sampling.resume()
        sampling.watch(child.pid, 1.0, self.heard.append)
        self.pump(2)
        child.wait()
        sampling.watch(child.pid, 1.0, self.heard.append)
        self.pump(2)
        self.assertEqual((self.heard, sampling.figures()["watched"], self.clock.getDelayedCalls()), ([], 0, []))

    def test_stopped(self) -> None:
        """After `stop` nothing more is said, even when the thread was looking just then."""
        sampling = Sampling(self.clock, self.later)
        sampling.resume()
        weighing = sampling.watch(os.getpid(), 1.0, self.heard.append)
        self.pump(1.05)
        ((call, done),) = self.calls
        weighing.stop()
        done.callback(call())
        self.assertEqual(self.heard, [])

    def test_oneThread(self) -> None:
        """However slow the thread is, no second one is begun."""
        sampling = Sampling(self.clock, self.later)
        sampling.resume()
        for _ in range(3):
            sampling.watch(os.getpid(), 1.0, self.heard.append)
        self.pump(60)
        ((call, done),) = self.calls
        done.callback(call())
        self.assertEqual((len(self.heard), sampling.figures()["late"]), (3, 3))

    def test_share(self) -> None:
        """All looks together take no more than their share of a core; then all come later, none is left out."""

        ticks: Counter[int] = Counter()

        def cpu() -> float:
            self.cpu += 0.01  # each look at the clock stands for a look at a process
            return self.cpu

        def note(number: int) -> Callable[[dict[str, Any]], None]:
            return lambda figures: ticks.update([number])

        sampling = Sampling(self.clock, execute, share=0.1, cpu=cpu)
        sampling.resume()
        for number in range(40):
            sampling.watch(os.getpid(), 1.0, note(number))
        self.pump(30)
        self.assertEqual(len(ticks), 40)
        self.assertLessEqual(max(ticks.values()) - min(ticks.values()), 1)
        self.assertLessEqual(sampling.figures()["spent"], 0.1 * 30 + 0.05)
        self.assertGreater(sampling.figures()["late"], 0)

    def test_restarts(self) -> None:
        """Programs that start again and again while nobody is linked leave nothing behind."""
        sampling = self.sampling()
        for _ in range(1000):
            sampling.watch(os.getpid(), 3600.0, self.heard.append).stop()
        self.assertLess(len(sampling._due), 50)
        self.assertEqual(sampling.figures()["watched"], 0)

    def test_trouble(self) -> None:
        """A taker that fails, or psutil that fails with one process, is told in the log; the others have their figures."""

        class Bad:
            def is_running(self) -> bool:
                raise OSError("no such luck")

        sampling = self.sampling()
        sampling.resume()
        broken = sampling.watch(os.getpid(), 1.0, self.heard.append)
        broken._process = Bad()
        sampling.watch(os.getpid(), 1.0, lambda figures: 1 // 0)
        sampling.watch(os.getpid(), 1.0, self.heard.append)
        self.pump(2.05)
        self.assertEqual((len(self.heard), sampling.figures()["failed"]), (2, 2))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
