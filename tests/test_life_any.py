"""What holds of a program's life whatever happens, in whatever order, by whatever clock."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.processes.program import Probe, Program
from nodeset.processes.states import OVER, State
from nodeset.processes.watching.backoff import pauseOf
from nodeset.processes.watching.life import CHANGES, Action, Changed, Life, Signal, Spawn

PROGRAMS: Final = st.fixed_dictionaries(
    {
        "restart": st.sampled_from(["never", "on-failure", "always"]),
        "start_seconds": st.sampled_from([0.0, 1.0]),
        "retries": st.integers(0, 3),
        "backoff": st.sampled_from([0.5, 1.0]),
        "backoff_max": st.sampled_from([1.0, 8.0]),
        "crash_limit": st.integers(0, 4),
        "crash_window": st.sampled_from([4.0, 300.0]),
        "stop_timeout": st.sampled_from([0.0, 3.0]),
        "start_timeout": st.just(5.0),
        "ready": st.sampled_from([None, Probe("log", "up")]),
    }
)
INPUTS: Final = st.one_of(
    st.sampled_from(
        ["start", "stop", "restart", "hold", "spawned", "failed", "again", "ready", "unhealthy", "emptied", "wake"]
    ),
    st.sampled_from([0, 1, -9]),  # ended, with this code
)
#: What happens, with the seconds before it: quarters, so that no sum is rounded.
STORIES: Final = st.lists(st.tuples(INPUTS, st.sampled_from([0.0, 0.25, 1.0, 7.0, 90.0])), max_size=30)


def lifeOf(fields: dict[str, Any]) -> Life:
    """The life of such a program, without jitter."""
    return Life(Program(name="x", command=("x",), **fields), lambda: 0.0)


def tell(life: Life, what: str | int, now: float) -> tuple[Action, ...]:
    """One input."""
    match what:
        case int():
            return life.ended(now, what)
        case "hold" | "unhealthy":
            return life.hold(now, what) if what == "hold" else life.unhealthy(now, what)
        case "failed" | "again":
            return life.failed(now, what, again=what == "again")
        case _:
            heard: tuple[Action, ...] = getattr(life, what)(now)
            return heard


class World:
    """What a careful watcher sees: it complains of what must not be."""

    def __init__(self, life: Life) -> None:
        self.life, self.state = life, life.state
        self.called = self.alive = self.left = False
        self.spawns = 0

    def tell(self, what: str | int, now: float) -> None:
        """An input, whose actions are judged."""
        if what == "spawned" and self.called:
            self.called, self.alive, self.left = False, True, True
        elif what in ("failed", "again"):
            self.called = False
        elif isinstance(what, int):
            self.alive = False
        elif what == "emptied":
            self.left = False
        for action in tell(self.life, what, now):
            self._judge(action)
        assert self.life.state is self.state
        if what == "wake" and self.life.wake_at is not None:
            assert self.life.wake_at >= now, "it is not woken for what is over"

    def _judge(self, action: Action) -> None:
        match action:
            case Changed():
                assert action.old is self.state, action
                assert action.new in CHANGES[action.old], action
                assert action.new is not State.UNKNOWN
                assert action.new is not action.old or action.new in (State.STOPPING, State.WAITING), action
                self.state = action.new
                if action.new in OVER:
                    assert not (self.called or self.alive or self.left), action
            case Spawn():
                assert not (self.called or self.alive or self.left), "two at once"
                assert self.state is State.STARTING
                self.called = True
                self.spawns += 1
            case Signal():
                assert self.alive or self.left, "nobody to signal"
                assert self.state is State.STOPPING

    def end(self, now: float) -> float:
        """Let all that is under way come to its end: who is signalled dies; returns when."""
        for _ in range(20):
            if self.called:
                self.tell("spawned", now)
            elif self.alive:
                self.tell(-15, now)
            elif self.left:
                self.tell("emptied", now)
        return now


class AnyTests(SynchronousTestCase):
    """Properties."""

    @given(PROGRAMS, STORIES)
    @settings(max_examples=200, deadline=None)
    def test_anything(self, fields: dict[str, Any], story: list[tuple[str | int, float]]) -> None:
        """No illegal change, never two at once, nobody signalled who is not there; a stop ends it, whatever was before."""
        world, now = World(lifeOf(fields)), 0.0
        for what, pause in story:
            world.tell(what, now := now + pause)
        was_over = world.state in OVER
        before = world.state
        world.tell("stop", now)
        now = world.end(now)
        self.assertIs(world.state, before if was_over else State.STOPPED)
        self.assertIsNone(world.life.wake_at)
        spawns = world.spawns
        world.tell("wake", now + 1000.0)
        self.assertEqual(world.spawns, spawns)

    @given(PROGRAMS, STORIES)
    @settings(max_examples=200, deadline=None)
    def test_wakes(self, fields: dict[str, Any], story: list[tuple[str | int, float]]) -> None:
        """Woken when it asks for that, it gets on: it never wants to be woken more than a few times at one moment."""
        world, now = World(lifeOf(fields)), 0.0
        for what, pause in story:
            world.tell(what, now := now + pause)
            at_once = 0
            while (when := world.life.wake_at) is not None and when <= now:
                world.tell("wake", now)
                at_once += 1
                self.assertLess(at_once, 4)
        while (when := world.life.wake_at) is not None and now < 100_000.0:
            self.assertGreater(when, now)
            world.tell("wake", now := when)
            if world.state is State.STOPPING and (world.alive or world.left):
                break  # it is killed again each second

    @given(PROGRAMS, STORIES, st.lists(st.sampled_from([0.0, 0.0, 1.0, 1000.0]), min_size=30, max_size=30))
    @settings(max_examples=200, deadline=None)
    def test_setBack(self, fields: dict[str, Any], story: list[tuple[str | int, float]], jumps: list[float]) -> None:
        """By a clock that is set back again and again nothing comes early, late, or otherwise than by a steady one."""
        steady, other, now, lag = lifeOf(fields), lifeOf(fields), 0.0, 0.0
        for (what, pause), jump in zip(story, jumps, strict=False):
            if steady.wake_at is None or steady.wake_at > now:
                lag += jump
                self.assertEqual(tell(other, "wake", now - lag), ())
            now += pause
            expected = tell(steady, what, now)
            self.assertEqual(tell(other, what, now - lag), expected)
            self.assertEqual(other.state, steady.state)
            self.assertEqual(other.wake_at is None, steady.wake_at is None)
            if other.wake_at is not None and steady.wake_at is not None:
                self.assertAlmostEqual(other.wake_at + lag, steady.wake_at, places=6)

    @given(st.integers(0, 6), st.integers(0, 6), st.sampled_from([0, 1, -11]))
    @settings(max_examples=60, deadline=None)
    def test_promised(self, retries: int, limit: int, code: int) -> None:
        """What never comes up is started once and `retries` times more, or `crash_limit` times if that is less; then FATAL."""
        world, now = World(lifeOf({"restart": "always", "retries": retries, "crash_limit": limit})), 0.0
        world.tell("start", now)
        while world.state is State.STARTING:
            world.tell("spawned", now)
            world.tell(code, now)
            world.tell("emptied", now)
            if world.life.wake_at is not None:
                world.tell("wake", now := world.life.wake_at)
        self.assertEqual(world.spawns, min(retries + 1, limit or 99))
        self.assertIs(world.state, State.FATAL)

    @given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.floats(0, 1), st.floats(0.1, 60), st.floats(60, 86400))
    @settings(max_examples=200, deadline=None)
    def test_pauses(self, step: int, chance: float, jitter: float, first: float, longest: float) -> None:
        """A pause is never longer than backoff_max, nor shorter than its share of `backoff`; any number of failures has one."""
        program = Program(name="x", command=("x",), backoff=first, backoff_max=longest, backoff_jitter=jitter)
        pause = pauseOf(program, step, lambda: chance)
        self.assertLessEqual(pause, longest)
        self.assertGreaterEqual(pause, first * (1 - jitter) * 0.999)
