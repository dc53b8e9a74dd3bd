"""One program is run through its life; what it does is told in order."""

from __future__ import annotations

import errno
import signal
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import CannotStart
from nodeset.processes.probing.probes import Probes
from nodeset.processes.program import Probe, Program
from nodeset.processes.states import State
from nodeset.processes.watching.watcher import Watcher
from tests.watched import Bus, Files, Ground, Ward


class WatchCase(SynchronousTestCase):
    """A test with a watcher."""

    def setUp(self) -> None:
        self.ground = Ground()
        self.clock = self.ground.clock

    def watch(self, start: bool = True, parts: Any = None, **about: Any) -> Watcher:
        """A watcher of the program `web`, started."""
        usual: dict[str, Any] = {"command": ("serve", "-p", "80"), "restart": "never"}
        program = Program(name="web", **usual | about)
        watcher = self.ground.watcher(program, **parts or {})
        self.final: list[int | None] = []
        watcher.onFinal(self.final.append)
        if start:
            watcher.start()
        return watcher

    @property
    def files(self) -> Files:
        """Those of `web`."""
        return self.ground.files["web"]

    @property
    def bus(self) -> Bus:
        """That of `web`."""
        return self.ground.buses["web"]

    def ward(self) -> Ward:
        """Its process."""
        return self.ground.ward("serve")

    def told(self) -> list[str]:
        """See `Ground.told`."""
        return self.ground.told("web")

    def rests(self) -> None:
        """No timer is left."""
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WatcherTests(WatchCase):
    def test_short(self) -> None:
        """A short command: it is started, it writes, it returns, only then it is said to be EXITED."""
        watcher = self.watch()
        self.files.taker("out", b"bob is your uncle\n")
        self.ward().end(0)
        self.assertEqual(self.told(), ["STARTING", "start 1000", "out bob is your uncle\n", "return 0", "EXITED"])
        self.assertEqual((watcher.state, watcher.completed, self.final), (State.EXITED, True, [0]))
        self.rests()

    def test_signal(self) -> None:
        """Who is ended by a signal has the event `signal`, with its number negative."""
        self.watch(command=("serve",))
        self.clock.advance(1)
        self.ward().end(-9)
        self.assertEqual(self.told()[2:], ["RUNNING", "signal -9", "EXITED"])
        self.assertEqual(self.final, [-9])

    def test_lateOutput(self) -> None:
        """What it wrote before its end is told before its end, though it is read later; a new start waits for that too."""
        watcher = self.watch(restart="always")
        self.clock.advance(1)
        self.told()
        self.files.hangs = True
        self.ward().end(0)
        self.clock.advance(30)
        self.assertEqual((self.told(), watcher.state, len(self.ground.wards)), ([], State.STARTING, 1))
        self.files.taker("err", b"last words")
        self.files.close()
        self.assertEqual(self.told(), ["err last words", "return 0", "EXITED", "BACKOFF", "STARTING", "start 1001"])

    def test_stopMeanwhile(self) -> None:
        """It may be stopped while its last run is read to the end: no new one is begun."""
        watcher = self.watch(restart="always")
        self.clock.advance(1)
        self.files.hangs = True
        self.ward().end(0)
        self.clock.advance(30)
        stopped = watcher.stop()
        self.assertNoResult(stopped)
        self.files.close()
        self.successResultOf(stopped)
        self.assertEqual((watcher.state, len(self.ground.wards)), (State.STOPPED, 1))
        self.rests()

    def test_outsider(self) -> None:
        """Who left the group holding its output is waited for by a grace from when the group is empty."""
        self.watch()
        self.ward().end(0, emptied=False)
        self.assertEqual(self.files.did, [])
        self.clock.advance(0.2)
        self.assertEqual(self.ward().signals, [("group", signal.SIGTERM)])
        self.assertEqual(self.files.did, ["finish 0.5"])
        self.assertEqual(self.told()[2:], ["STOPPING", "return 0", "EXITED"])

    def test_restart(self) -> None:
        """What fails is started again after a pause, each time with its reason, under the same uuid."""
        watcher = self.watch(restart="on-failure", retries=2)
        for _ in range(3):
            self.ward().end(3)
            while watcher.state is State.BACKOFF:
                self.clock.advance(0.5)
        self.assertEqual((watcher.state, len(self.ground.wards)), (State.FATAL, 3))
        self.assertIn("exit code 3", watcher.reason)
        self.assertEqual((watcher.row()["restarts"], self.final), (2, [3]))
        self.assertEqual({what.uuid for kind, what in self.bus.told}, {watcher.uuid})
        self.rests()

    def test_stop(self) -> None:
        """A stop asks; fires when nothing is left. On what rests it fires at once."""
        watcher = self.watch()
        self.clock.advance(1)
        self.successResultOf(watcher.stop())
        self.assertEqual(self.told()[2:], ["RUNNING", "STOPPING", "signal -15", "STOPPED"])
        self.assertEqual((self.ward().signals, self.final), ([("one", 15)], [-15]))
        self.successResultOf(watcher.stop())
        self.assertEqual(self.final, [-15])
        self.rests()

    def test_stubborn(self) -> None:
        """Who does not obey is killed with its tree after the time-out."""
        watcher = self.watch(stop_timeout=5.0)
        self.ward().obeys = False
        stopped = watcher.stop()
        self.clock.pump([0.5] * 9)
        self.assertNoResult(stopped)
        self.clock.pump([0.5] * 2)
        self.successResultOf(stopped)
        self.assertEqual(self.ward().signals[-1], ("tree", 9))
        self.assertIn("killed", watcher.reason)

    def test_killNow(self) -> None:
        """`kill` does not wait for the time-out."""
        watcher = self.watch()
        self.ward().obeys = False
        stopped = watcher.stop()
        watcher.kill()
        self.successResultOf(stopped)

    def test_stopWhileSpawning(self) -> None:
        """A stop that comes while it is started waits for what it must end."""
        self.ground.late = []
        watcher = self.watch()
        stopped = watcher.stop()
        ((spawned, ward),) = self.ground.late
        self.assertNoResult(stopped)
        spawned.callback(ward)
        self.successResultOf(stopped)
        self.assertEqual(ward.signals, [("one", 15)])

    def test_missing(self) -> None:
        """A missing executable is FATAL at once, with the reason; it is not tried again."""
        self.ground.refuse = CannotStart("'serve' was not found", errno.ENOENT)
        watcher = self.watch(restart="always")
        self.assertEqual((self.told(), watcher.reason), (["STARTING", "FATAL"], "'serve' was not found"))
        self.assertEqual(self.final, [None])
        self.rests()

    def test_passing(self) -> None:
        """What this machine lacks just now is waited for."""
        self.ground.refuse = CannotStart("no more processes", errno.EAGAIN, "guardian")
        watcher = self.watch(restart="always")
        self.assertEqual(watcher.state, State.BACKOFF)
        self.ground.refuse = None
        self.clock.advance(3)
        self.assertEqual(watcher.state, State.RUNNING)

    def test_bug(self) -> None:
        """A bug in how it is started is told once; the program has the reason."""
        self.ground.refuse = ZeroDivisionError("division by zero")
        watcher = self.watch()
        self.assertEqual((watcher.state, watcher.reason), (State.FATAL, "division by zero"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_flow(self) -> None:
        """While the bus is full the program is not read; then it is."""
        self.watch()
        self.bus.full = True
        self.files.taker("out", b"x")
        self.bus.full = False
        self.bus.room()
        self.assertEqual(self.files.did, ["pause out", "pause err", "resume out", "resume err"])

    def test_row(self) -> None:
        """The whole state can be told at any time, to a center that has just come as well."""
        watcher = self.watch(parts={"host": "here"})
        self.clock.advance(7)
        self.told()
        watcher.centerHere("hub")
        ((kind, row),) = self.bus.told
        self.assertEqual((kind, row.name, row.state, row.state_name, row.pid), ("state", "web", 20, "RUNNING", 1000))
        self.assertEqual((row.uptime, row.cmdline, row.host, row.center), (7.0, ["serve", "-p", "80"], "here", "hub"))
        self.assertEqual(self.bus.announcements, 1)

    def test_hold(self) -> None:
        """Who waits for another is WAITING, with the reason; the same reason is told once."""
        watcher = self.watch(start=False)
        watcher.hold("waits for db")
        watcher.hold("waits for db")
        watcher.hold("waits for db, which is FATAL")
        self.assertEqual((self.told(), watcher.reason), (["WAITING", "WAITING"], "waits for db, which is FATAL"))
        self.successResultOf(watcher.stop())
        self.assertEqual(watcher.state, State.STOPPED)

    def test_takers(self) -> None:
        """Who hears of changes badly is told in the log; nobody else is hurt."""
        watcher = self.watch(start=False)
        watcher.onChange(lambda old, new: 1 // 0)
        seen: list[str] = []
        watcher.onChange(lambda old, new: seen.append(f"{old.name} {new.name}"))
        watcher.start()
        self.assertEqual((seen, len(self.flushLoggedErrors(ZeroDivisionError))), (["STOPPED STARTING"], 1))
        self.ward().end(0)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_restartAsked(self) -> None:
        """`restart` ends it, then starts it again."""
        watcher = self.watch()
        self.clock.advance(1)
        watcher.restart()
        self.clock.advance(1)
        self.assertEqual((watcher.state, watcher.pid), (State.RUNNING, 1001))

    def test_leave(self) -> None:
        """Who leaves waits for its events to be taken, then says no more."""
        watcher = self.watch()
        watcher.stop()
        self.assertTrue(self.successResultOf(watcher.leave(1.0)))
        self.assertTrue(self.bus.stopped)


class CheckupTests(WatchCase):
    """With probes."""

    def setUp(self) -> None:
        super().setUp()
        self.answers: list[Deferred[Any]] = []
        attempts: Any = self
        self.parts = {"probes": Probes(self.clock, attempts)}

    def of(self, program: Program, probe: Probe) -> Any:
        """See `Attempts`."""
        return self.attempt

    def attempt(self) -> Deferred[Any]:
        """One that the test answers."""
        self.answers.append(Deferred())
        return self.answers[-1]

    def watch(self, start: bool = True, parts: Any = None, **about: Any) -> Watcher:
        """With the probes at hand."""
        return super().watch(start, {**self.parts, **(parts or {})}, **about)

    def test_ready(self) -> None:
        """It is RUNNING as soon as its probe says so and its `start_seconds` are over."""
        watcher = self.watch(ready=Probe("log", "listening"))
        self.clock.advance(5)
        self.assertEqual(watcher.state, State.STARTING)
        self.files.taker("out", b"now listen")
        self.files.taker("out", b"ing\n")
        self.assertEqual(watcher.state, State.RUNNING)

    def test_neverReady(self) -> None:
        """Who is not ready in time is stopped, with what the probe said last as a part of the reason."""
        watcher = self.watch(ready=Probe("tcp", "localhost:80", interval=1), start_timeout=3.0)
        for _ in range(3):
            self.clock.advance(0)
            fail(OSError("connection refused")).chainDeferred(self.answers[-1])
            self.clock.advance(1)
        self.assertEqual((watcher.state, watcher.reason), (State.FATAL, "not ready after 3 s: connection refused"))
        self.rests()

    def test_unwell(self) -> None:
        """Who is not well is stopped, then started again, with the reason; a new run is asked anew."""
        watcher = self.watch(restart="on-failure", alive=Probe("http", "http://localhost/", failures=2, interval=1))
        self.clock.advance(1)
        for _ in range(2):
            self.clock.advance(1)
            fail(OSError("answers 500")).chainDeferred(self.answers[-1])
        self.assertEqual(watcher.state, State.BACKOFF)
        self.assertIn("not well: answers 500", watcher.reason)
        self.clock.advance(10)
        self.assertEqual((watcher.state, len(self.answers) > 2), (State.RUNNING, True))
        watcher.stop()
        self.rests()


class FiguresTests(WatchCase):
    """With figures."""

    def test_stats(self) -> None:
        """The figures of a run come as `stats`, with its state; after its end no more."""
        watched: list[Any] = []

        class Figures:
            def watch(self, pid: int, interval: float, take: Any) -> Any:
                watched.append((pid, interval, take))
                return self

            def stop(self) -> None:
                watched.append("stopped")

        watcher = self.watch(parts={"figures": Figures()}, stats_interval=7.0)
        pid, interval, take = watched[0]
        take({"memory_rss": 4096, "process_name": "serve"})
        ((kind, stats),) = self.bus.told[2:]
        self.assertEqual((pid, interval, kind), (1000, 7.0, "stats"))
        self.assertEqual((stats.memory_rss, stats.state_name, stats.pid, stats.interval), (4096, "STARTING", 1000, 7.0))
        self.ward().end(0)
        self.told()
        take({"memory_rss": 4096})
        self.assertEqual((self.told(), watched[1], watcher.row()["interval"]), ([], "stopped", 0.0))
