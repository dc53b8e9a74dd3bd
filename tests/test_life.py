"""What becomes of a program: states, restarts, stops, by a clock that the tests set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.processes.program import Probe, Program
from nodeset.processes.states import State
from nodeset.processes.watching.life import Action, Changed, Life, Signal, Spawn

TERM, KILL, INT = 15, 9, 2


def lifeOf(**fields: Any) -> Life:
    """The life of `x`, whose pauses are not jittered."""
    return Life(Program(name="x", command=("x",), **{"backoff_jitter": 0.0, **fields}), lambda: 0.0)


def statesIn(actions: Sequence[Action]) -> list[State]:
    """The states that it went to."""
    return [each.new for each in actions if isinstance(each, Changed)]


def runTo(life: Life, now: float) -> float:
    """Start it at `now`, have it RUNNING; the time then."""
    life.start(now)
    life.spawned(now)
    life.ready(now)
    then = now if life.wake_at is None else life.wake_at
    life.wake(then)
    assert life.state is State.RUNNING, life.state
    return then


def endAt(life: Life, now: float, code: int) -> tuple[Action, ...]:
    """It ends, with nothing of its group left."""
    return *life.ended(now, code), *life.emptied(now)


class StartTests(SynchronousTestCase):
    """Up to RUNNING, or not."""

    def test_running(self) -> None:
        """It is STARTING when it is to be started, RUNNING once it was up for start_seconds."""
        life = lifeOf(start_seconds=2.0)
        self.assertEqual(life.start(10.0), (Changed(State.STOPPED, State.STARTING, ""), Spawn()))
        self.assertEqual(life.spawned(11.0), ())
        self.assertEqual(life.wake_at, 13.0)
        self.assertEqual(life.wake(12.9), ())
        self.assertEqual(life.wake(13.0), (Changed(State.STARTING, State.RUNNING, ""),))
        self.assertIsNone(life.wake_at)

    def test_atOnce(self) -> None:
        """With start_seconds of 0 it is RUNNING as soon as it is there."""
        life = lifeOf(start_seconds=0.0)
        life.start(0.0)
        self.assertEqual(statesIn(life.spawned(0.5)), [State.RUNNING])

    def test_ready(self) -> None:
        """With a readiness probe it is RUNNING when it is ready, yet not before start_seconds."""
        probe = Probe("tcp", "127.0.0.1:1")
        life = lifeOf(ready=probe, start_seconds=1.0)
        life.start(0.0)
        life.spawned(0.0)
        self.assertEqual(life.wake_at, 60.0)
        self.assertEqual(life.ready(0.3), ())
        self.assertEqual(life.wake_at, 1.0)
        self.assertEqual(statesIn(life.wake(1.0)), [State.RUNNING])
        late = lifeOf(ready=probe)
        late.start(0.0)
        late.spawned(0.0)
        self.assertEqual(statesIn(late.ready(7.0)), [State.RUNNING])

    def test_readyEarly(self) -> None:
        """Readiness that shows before the spawn was told of is not forgotten."""
        life = lifeOf(ready=Probe("log", "ready"), start_seconds=0.0)
        life.start(0.0)
        life.ready(0.0)
        self.assertEqual(statesIn(life.spawned(0.1)), [State.RUNNING])

    def test_neverReady(self) -> None:
        """What is not ready within start_timeout is stopped, then started again."""
        life = lifeOf(ready=Probe("log", "ready"), start_timeout=5.0)
        life.start(0.0)
        life.spawned(0.0)
        actions = life.wake(5.0)
        self.assertEqual(actions[0], Changed(State.STARTING, State.STOPPING, "not ready after 5 s"))
        self.assertEqual(actions[1], Signal(TERM, whole=False))
        self.assertEqual(statesIn(endAt(life, 6.0, -15)), [State.BACKOFF])
        self.assertEqual(life.reason, "not ready after 5 s; again in 1 s")

    def test_cannotStart(self) -> None:
        """What cannot be executed is FATAL, with the reason; no retry would help."""
        life = lifeOf()
        life.start(0.0)
        why = "/nosuch: no such file"
        self.assertEqual(life.failed(0.1, why), (Changed(State.STARTING, State.FATAL, why),))
        self.assertIsNone(life.wake_at)

    def test_cannotStartNow(self) -> None:
        """What could not be started for want of processes is tried again."""
        life = lifeOf()
        life.start(0.0)
        self.assertEqual(statesIn(life.failed(0.1, "no more processes", again=True)), [State.BACKOFF])
        self.assertEqual(life.wake_at, 1.1)


class RestartTests(SynchronousTestCase):
    """When it ends by itself."""

    def test_never(self) -> None:
        """With restart `never` any end is final: EXITED, however early, whatever the code."""
        for code, words in ((0, "exit code 0"), (7, "exit code 7"), (-9, "killed by KILL")):
            life = lifeOf(restart="never")
            life.start(0.0)
            life.spawned(0.0)
            self.assertEqual(endAt(life, 0.1, code), (Changed(State.STARTING, State.EXITED, words),))
            self.assertEqual((life.code, life.completed, life.over, life.wake_at), (code, code == 0, True, None))

    def test_onFailure(self) -> None:
        """With `on-failure` an expected code is final, any other leads to a restart after a pause."""
        life = lifeOf(exit_codes=(0, 2))
        end = runTo(life, 0.0)
        self.assertEqual(statesIn(endAt(life, end, 2)), [State.EXITED])
        end = runTo(life, 10.0)
        self.assertEqual(statesIn(endAt(life, end, 3)), [State.EXITED, State.BACKOFF])
        self.assertEqual((life.reason, life.wake_at), ("exit code 3; again in 1 s", end + 1.0))
        self.assertEqual(life.wake(end + 1.0), (Changed(State.BACKOFF, State.STARTING, ""), Spawn()))
        self.assertEqual(life.restarts, 1)

    def test_always(self) -> None:
        """With `always` a good end leads to a restart, each after the first pause: it is no crash."""
        life = lifeOf(restart="always", crash_limit=3)
        now = 0.0
        life.start(now)
        for _ in range(20):
            life.spawned(now)
            life.wake(now + 1.0)
            self.assertEqual(statesIn(endAt(life, now + 2.0, 0)), [State.EXITED, State.BACKOFF])
            self.assertEqual(life.wake_at, now + 3.0)
            life.wake(now := now + 3.0)

    def test_retries(self) -> None:
        """Ends while STARTING are retried `retries` times with growing pauses, then it is FATAL."""
        life = lifeOf(retries=3)
        life.start(0.0)
        now, pauses = 0.0, []
        while life.state is State.STARTING:
            life.spawned(now)
            endAt(life, now, 1)
            if life.wake_at is not None:
                pauses.append(life.wake_at - now)
                life.wake(now := life.wake_at)
        self.assertEqual(pauses, [1.0, 2.0, 4.0])
        self.assertEqual((life.state, life.reason), (State.FATAL, "exit code 1; gave up, as 4 starts in a row failed"))

    def test_retriesForgiven(self) -> None:
        """Once it was RUNNING, the failures before count no more; nor do they after a start by hand."""
        life = lifeOf(retries=1)
        life.start(0.0)
        life.spawned(0.0)
        endAt(life, 0.0, 1)
        life.wake(1.0)
        life.spawned(1.0)
        life.wake(2.0)
        endAt(life, 3.0, 1)
        life.wake(life.wake_at or 0.0)
        life.spawned(5.0)
        self.assertEqual(statesIn(endAt(life, 5.0, 1)), [State.BACKOFF])
        life.start(5.5)
        life.spawned(5.5)
        self.assertEqual(statesIn(endAt(life, 5.5, 1)), [State.BACKOFF])

    def test_crashLoop(self) -> None:
        """Ten crashes within the window are a crash loop: FATAL, and it says so."""
        life = lifeOf(backoff=0.1, backoff_max=5.0)
        now, crashes = 0.0, 0
        life.start(now)
        while life.state is State.STARTING:
            life.spawned(now)
            life.wake(now + 1.0)
            endAt(life, now + 2.0, -11)
            crashes += 1
            life.wake(now := life.wake_at or now)
        self.assertEqual(crashes, 10)
        self.assertEqual((life.state, life.reason), (State.FATAL, "crash loop: 10 exits in 300 s (the last: killed by SEGV)"))

    def test_longRun(self) -> None:
        """A run as long as the longest pause begins the pauses anew; crashes outside the window do not count."""
        life = lifeOf(backoff_max=8.0, crash_limit=3, crash_window=30.0)
        now, pauses = 0.0, []
        life.start(now)
        for lasted in (2.0, 20.0, 20.0, 20.0, 20.0):
            life.spawned(now)
            life.wake(now + 1.0)
            endAt(life, now := now + lasted, 1)
            pauses.append((life.wake_at or 0.0) - now)
            life.wake(now := life.wake_at or now)
        self.assertEqual(pauses, [1.0] * 5)

    def test_cap(self) -> None:
        """Pauses double up to backoff_max; chance makes them shorter, never longer."""
        life = Life(Program(name="x", command=("x",), crash_limit=0, backoff_max=10.0, backoff_jitter=0.5), lambda: 0.5)
        now, pauses = 0.0, []
        life.start(now)
        for _ in range(7):
            life.spawned(now)
            life.wake(now + 1.0)
            endAt(life, now + 1.0, 1)
            pauses.append((life.wake_at or 0.0) - now - 1.0)
            life.wake(now := life.wake_at or now)
        self.assertEqual(pauses, [0.75, 1.5, 3.0, 6.0, 7.5, 7.5, 7.5])


class StopTests(SynchronousTestCase):
    """When somebody, or a probe, wants it to end."""

    def test_stop(self) -> None:
        """The process gets its stop signal; it is STOPPED when nothing of its group is left."""
        life = lifeOf(stop_signal="INT")
        now = runTo(life, 0.0)
        self.assertEqual(life.stop(now), (Changed(State.RUNNING, State.STOPPING, ""), Signal(INT, whole=False)))
        self.assertEqual(life.ended(now + 0.5, 0), ())
        self.assertEqual(life.emptied(now + 0.55), (Changed(State.STOPPING, State.STOPPED, "exit code 0"),))
        self.assertEqual((life.code, life.wake_at), (0, None))

    def test_kill(self) -> None:
        """Whoever does not obey within stop_timeout is killed, with all its group, again each second until that is empty."""
        life = lifeOf(stop_timeout=3.0)
        now = runTo(life, 0.0)
        life.stop(now)
        self.assertEqual(life.wake_at, now + 3.0)
        why = "TERM did not end it within 3 s, killed"
        killed = life.wake(now + 3.0)
        self.assertEqual(killed, (Changed(State.STOPPING, State.STOPPING, why), Signal(KILL, whole=True)))
        self.assertEqual(life.wake(now + 4.0), (Signal(KILL, whole=True),))
        self.assertEqual(statesIn(endAt(life, now + 4.1, -9)), [State.STOPPED])

    def test_leftBehind(self) -> None:
        """What a stopped process leaves of its group is told to stop, then killed."""
        life = lifeOf(stop_timeout=5.0)
        now = runTo(life, 0.0)
        life.stop(now)
        life.ended(now + 1.0, -15)
        self.assertEqual(life.wake_at, now + 1.1)
        self.assertEqual(life.wake(now + 1.1), (Signal(TERM, whole=True),))
        self.assertEqual(life.wake(now + 5.0)[1:], (Signal(KILL, whole=True),))
        self.assertEqual(statesIn(life.emptied(now + 5.1)), [State.STOPPED])

    def test_leftBehindByItself(self) -> None:
        """What a process that ended by itself leaves of its group is ended before it is started again."""
        life = lifeOf()
        now = runTo(life, 0.0)
        self.assertEqual(life.ended(now, 1), ())
        actions = life.wake(now + 0.1)
        self.assertEqual(statesIn(actions), [State.STOPPING])
        self.assertEqual(life.reason, "exit code 1, but some that it started are still there")
        self.assertEqual(actions[1:], (Signal(TERM, whole=True),))
        self.assertEqual(statesIn(life.emptied(now + 1.0)), [State.EXITED, State.BACKOFF])

    def test_beforeSpawned(self) -> None:
        """Who is stopped before he is there is signalled as soon as he is; if he never comes, he is STOPPED as well."""
        life = lifeOf()
        life.start(0.0)
        self.assertEqual(statesIn(life.stop(0.0)), [State.STOPPING])
        self.assertEqual(life.spawned(0.2), (Signal(TERM, whole=False),))
        self.assertEqual(statesIn(endAt(life, 0.3, -15)), [State.STOPPED])
        life.start(1.0)
        life.stop(1.0)
        self.assertEqual(statesIn(life.failed(1.1, "no")), [State.STOPPED])

    def test_nothingRuns(self) -> None:
        """In BACKOFF and WAITING a stop leads to STOPPED at once; EXITED and FATAL keep their reason."""
        life = lifeOf()
        life.hold(0.0, "waits for db")
        self.assertEqual((life.state, life.reason), (State.WAITING, "waits for db"))
        self.assertEqual(statesIn(life.stop(0.0)), [State.STOPPED])
        life.start(1.0)
        life.spawned(1.0)
        endAt(life, 1.0, 1)
        self.assertEqual(statesIn(life.stop(1.0)), [State.STOPPED])
        self.assertIsNone(life.wake_at)
        life.start(2.0)
        life.failed(2.0, "gone")
        self.assertEqual(life.stop(2.0), ())
        self.assertEqual((life.state, life.reason), (State.FATAL, "gone"))

    def test_restart(self) -> None:
        """A restart stops it, then starts it, whatever the policy; a stop that follows wins."""
        life = lifeOf(restart="never")
        now = runTo(life, 0.0)
        self.assertEqual(statesIn(life.restart(now)), [State.STOPPING])
        actions = endAt(life, now + 1.0, -15)
        self.assertEqual(statesIn(actions), [State.STOPPED, State.STARTING])
        self.assertEqual(actions[-1], Spawn())
        life.spawned(now + 1.0)
        life.restart(now + 2.0)
        self.assertEqual(life.stop(now + 2.0), ())
        self.assertEqual(statesIn(endAt(life, now + 3.0, -15)), [State.STOPPED])

    def test_unhealthy(self) -> None:
        """What is found not well is stopped, then started again; with `never` it is FATAL."""
        life = lifeOf()
        now = runTo(life, 0.0)
        self.assertEqual(statesIn(life.unhealthy(now, "3 probes failed")), [State.STOPPING])
        self.assertEqual(statesIn(endAt(life, now, 0)), [State.EXITED, State.BACKOFF])
        self.assertEqual(life.reason, "3 probes failed; again in 1 s")
        once = lifeOf(restart="never")
        once.unhealthy(runTo(once, 0.0), "3 probes failed")
        self.assertEqual(statesIn(endAt(once, 2.0, 0)), [State.FATAL])
