"""Many programs are run, each after those that it depends on."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import CannotStart
from nodeset.processes.program import Dependency, Program
from nodeset.processes.programs.order import Course
from nodeset.processes.states import State
from nodeset.processes.watching.supervisor import Supervisor, inWords
from nodeset.processes.watching.watcher import Watcher
from tests.watched import Ground


def program(name: str, *needs: Dependency, **about: Any) -> Program:
    """One that runs a command of its own name, never again after its end."""
    usual: dict[str, Any] = {"command": (name,), "restart": "never", "depends_on": needs, "start_seconds": 0.0}
    return Program(name=name, **usual | about)


class SupervisorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ground = Ground()
        self.clock = self.ground.clock
        self.made: list[Watcher] = []
        self.supervisor = Supervisor(self.make, self.clock)

    def make(self, program: Program) -> Watcher:
        """A watcher among stand-ins."""
        self.made.append(self.ground.watcher(program))
        return self.made[-1]

    def apply(self, *programs: Program) -> str:
        """Run these."""
        words = self.supervisor.apply({each.name: each for each in programs}, Course.of(programs))
        self.clock.advance(0.1)
        return words

    def run_(self, *programs: Program) -> None:
        """Start with these."""
        self.apply(*programs)
        self.supervisor.startService()
        self.clock.advance(0.1)

    def stop(self) -> None:
        """Stop all; nothing is left that waits."""
        stopped = self.supervisor.stopService()
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def started(self) -> list[str]:
        """The commands that were started, in order."""
        return [ward.order.argv[0] for ward in self.ground.wards]

    def state(self, name: str) -> tuple[str, str]:
        """State and reason."""
        watcher = self.supervisor.watchers[name]
        return watcher.state.name, watcher.reason

    def test_order(self) -> None:
        """Each is started after those that it depends on, all are stopped in reverse."""
        ended: list[str] = []
        self.run_(
            program("web", Dependency("app")),
            program("app", Dependency("db", "started"), start_seconds=1.0),
            program("db", start_seconds=1.0),
        )
        self.assertEqual(self.started(), ["db", "app"])
        self.assertEqual(self.state("web"), ("WAITING", "waits for app to be ready"))
        self.clock.advance(1)
        self.assertEqual((self.started(), self.state("web")), (["db", "app", "web"], ("RUNNING", "")))
        for ward in self.ground.wards:
            ward.onEnded(partial(lambda name, code: ended.append(name), ward.order.argv[0]))
        self.stop()
        self.assertEqual(ended, ["web", "app", "db"])

    def test_slowStopper(self) -> None:
        """Nobody is stopped while somebody who depends on it is still there; others are stopped at once."""
        self.run_(program("db"), program("web", Dependency("db"), stop_timeout=5.0), program("mail"))
        self.ground.ward("web").obeys = False
        stopped = self.supervisor.stopService()
        self.clock.advance(4)
        self.assertEqual((self.state("db")[0], self.state("mail")[0]), ("RUNNING", "STOPPED"))
        self.clock.pump([0.5] * 3)
        self.successResultOf(stopped)
        self.assertEqual(self.state("db")[0], "STOPPED")

    def test_failedDependency(self) -> None:
        """Who depends on what cannot be started stays WAITING with the reason; all else runs."""
        self.ground.refuse = CannotStart("'db' was not found")
        self.run_(program("db"), program("web", Dependency("db")))
        self.ground.refuse = None
        self.assertEqual(self.state("db"), ("FATAL", "'db' was not found"))
        self.assertEqual(self.state("web"), ("WAITING", "waits for db to be ready, which is FATAL"))
        self.apply(*self.supervisor._programs.values(), program("mail"))
        self.assertEqual(self.state("mail")[0], "RUNNING")
        self.supervisor.start("db")
        self.clock.advance(0.1)
        self.assertEqual((self.state("db")[0], self.state("web")[0]), ("RUNNING", "RUNNING"))
        self.stop()

    def test_completed(self) -> None:
        """Who needs another's work done is started when that has ended well, not when it failed."""
        for code, state in ((0, "RUNNING"), (1, "WAITING")):
            with self.subTest(code):
                self.setUp()
                self.run_(program("web", Dependency("migrate", "completed")), program("migrate"))
                self.ground.ward("migrate").end(code)
                self.clock.advance(0.1)
                self.assertEqual(self.state("web")[0], state)
                self.stop()

    def test_many(self) -> None:
        """500 programs are started, told of, stopped a few at a time; none is left out."""
        self.apply(*(program(f"p{number}") for number in range(500)))
        self.supervisor.startService()
        self.clock.advance(0)
        self.assertEqual(len(self.started()), 500)
        for name in self.ground.buses:
            self.ground.told(name)
        self.supervisor.tellAll("hub")
        self.supervisor.tellAll("hub")
        self.clock.advance(0.1)
        told = sum(len(bus.told) for bus in self.ground.buses.values())
        self.assertTrue(0 < told < 100, told)
        self.clock.pump([0.02] * 30)
        self.assertEqual({self.ground.told(name)[0] for name in self.ground.buses}, {"RUNNING"})
        self.assertEqual({bus.announcements for bus in self.ground.buses.values()}, {1})
        self.stop()
        self.assertEqual({watcher.state for watcher in self.made}, {State.STOPPED})
        self.assertTrue(all(bus.stopped for bus in self.ground.buses.values()))

    def test_turns(self) -> None:
        """Starting many never takes more than a few in one turn of the reactor."""
        most = 0
        self.apply(*(program(f"p{number}") for number in range(100)))
        self.supervisor.startService()
        while len(self.started()) < 100:
            before = len(self.started())
            call: Any = min(self.clock.getDelayedCalls(), key=lambda call: call.getTime())
            turn = call.func
            call.cancel()
            turn()
            most = max(most, len(self.started()) - before)
        self.assertEqual(most, 10)

    def test_reread(self) -> None:
        """Only what has changed is restarted; what needs no restart is told, what is new is started, what is gone stopped."""
        self.run_(program("same"), program("other"), program("policy"), program("gone"))
        words = self.apply(
            program("same"), program("other", cwd="/"), program("policy", stop_timeout=3.0), program("new", autostart=False)
        )
        self.assertEqual(words, "added new; removed gone; restarted other; adjusted policy")
        self.assertEqual(self.started(), ["same", "other", "policy", "gone", "other"])
        states = {name: watcher.state.name for name, watcher in self.supervisor.watchers.items()}
        self.assertEqual(states, {"same": "RUNNING", "other": "RUNNING", "policy": "RUNNING", "new": "STOPPED"})
        self.assertEqual(self.supervisor.watchers["policy"].program.stop_timeout, 3.0)
        self.assertEqual(self.made[3].state, State.STOPPED)
        self.assertEqual(self.apply(*self.supervisor._programs.values()), "nothing changed")
        self.stop()

    def test_rereadTwice(self) -> None:
        """A description that changes again while its old process stops: the newest is run, once."""
        self.run_(program("web"))
        self.ground.ward("web").obeys = False
        self.apply(program("web", cwd="/1"))
        self.apply(program("web", cwd="/2"))
        self.assertEqual(len(self.started()), 1)
        self.clock.pump([1.0] * 11)
        self.assertEqual([ward.order.cwd for ward in self.ground.wards], [None, "/2"])
        self.apply()
        self.assertEqual(self.supervisor.watchers, {})
        self.stop()

    def test_killed(self) -> None:
        """`kill` ends all at once, in no order; so a second SIGTERM does."""
        self.run_(program("db"), program("web", Dependency("db")))
        for ward in self.ground.wards:
            ward.obeys = False
        stopped = self.supervisor.stopService()
        self.clock.advance(0.1)
        self.assertNoResult(stopped)
        self.supervisor.kill()
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual(self.supervisor.left, [])

    def test_undead(self) -> None:
        """What not even KILL ends is given up after a while, by name; the rest is stopped."""
        self.run_(program("db"), program("web", Dependency("db"), stop_timeout=2.0))
        self.ground.ward("web").undead = True
        stopped = self.supervisor.stopService()
        self.clock.pump([0.5] * 20)
        self.successResultOf(stopped)
        self.assertEqual((self.supervisor.left, self.state("db")[0]), (["web"], "STOPPED"))

    def test_stopEarly(self) -> None:
        """A stop that comes before anything is started is a stop."""
        self.apply(program("web"))
        self.supervisor.startService()
        self.stop()
        self.assertEqual(self.started(), [])

    def test_words(self) -> None:
        """How things stand, in words, in numbers, in rows."""
        self.assertEqual(inWords([]), "0 programs")
        self.assertEqual(inWords([State.FATAL, State.RUNNING, State.RUNNING]), "3 programs, 2 running, 1 fatal")
        self.run_(program("web"), program("cron", autostart=False))
        figures = self.supervisor.figures()
        self.assertEqual((figures["programs"], figures["running"], figures["stopped"]), (2, 1, 1))
        self.assertEqual([row["name"] for row in self.supervisor.rows()], ["web", "cron"])
        self.assertRaises(KeyError, self.supervisor.start, "nobody")
        self.stop()
