"""Nothing confirmed is lost, whatever happens: the protocol under random faults in memory, a few faults of real processes.

A failing run is named `KIND/SEED`; `python -m tests.faults.run --seed KIND/SEED --trace` shows all that happened in it.
The long versions of all this are `make faults`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import peer
from nodeset.core.batch import Held, Level, Sub
from nodeset.core.blocks import Terms
from nodeset.core.dispatcher import EventDispatcher
from nodeset.core.hello import Hello, packHello
from nodeset.core.peer import Peer
from nodeset.core.stretch import oneByOne
from nodeset.errors import Receipt, Undelivered
from nodeset.transport.memory import MemoryTransport, MemoryWire
from tests.faults.killing import exitAtOnce, killTimes, restartTimes
from tests.faults.ledger import check
from tests.faults.planted import PLANTED
from tests.faults.processes import Stage, StillWaiting
from tests.faults.run import ORDER, showTable
from tests.faults.scenario import SCENARIOS, Findings, NotHere, Scenario
from tests.faults.seeds import parseRun, play, sweep, trace
from tests.faults.tally import Answer, Got, Tally, readAnswers, readGot, tally, tallyAll

#: Runs of each kind; a run takes some 50 ms. `make faults` has many more.
RUNS = 25
#: Runs after which a rule that was switched off must have been missed.
SEARCH = 150


class SeedTests(SynchronousTestCase):
    """Real peers with a real dispatcher in memory, hundreds of times, each time with other faults."""

    def _sweep(self, kind: str) -> None:
        calls = 0
        for run in sweep(kind, RUNS):
            self.assertEqual(run.violations, [], f"python -m tests.faults.run --seed {run.name} --trace")
            calls += len(run.world.calls)
        self.assertGreater(calls, 10 * RUNS)

    def test_mixed(self) -> None:
        """Kills, lost, half-open and parted links: I1 to I7 hold."""
        self._sweep("mixed")

    def test_calm(self) -> None:
        """Without a fault they hold as well."""
        self._sweep("calm")

    def test_chains(self) -> None:
        """Handlers that publish and await that do not deadlock, whatever fails meanwhile."""
        self._sweep("chains")

    def test_outage(self) -> None:
        """A dispatcher that is away for 75 s loses nothing that was confirmed."""
        self._sweep("outage")

    def test_longHello(self) -> None:
        """They hold when a hello has no room for what its node holds, so that all of it is told right after."""

        def fitted(hello: Hello) -> tuple[bytes, list[Held]]:
            return packHello(msgspec.structs.replace(hello, holds=[])), [Held(*hold) for hold in hello.holds]

        self.patch(peer, "fitted", fitted)
        for name in ("mixed/126", "outage/213", *(f"mixed/{number}" for number in range(8))):
            self.assertEqual(play(name).violations, [], name)

    def test_sameAgain(self) -> None:
        """A seed is one story: played again, it is the same to the millisecond, and can be read."""
        first, second = list(trace(play("mixed/7"))), list(trace(play("mixed/7")))
        self.assertEqual(first, second)
        self.assertGreater(len(first), 100)
        self.assertIn("mixed/7: ", first[-1])

    def test_badName(self) -> None:
        """What names no run is refused with the form of a name."""
        for name in ("", "mixed", "mixed/", "mixed/x", "other/1", "mixed/-1"):
            self.assertIn("KIND/NUMBER", str(self.assertRaises(ValueError, parseRun, name)))


class SilenceTests(SynchronousTestCase):
    """Who says nothing for 20 s is cut off, then away, then gone."""

    def test_routesGo(self) -> None:
        """A node whose network went dead without a word loses its routes within 25 s; what waited for it fails then."""
        clock = Clock()
        dispatcher = EventDispatcher(clock)
        dispatcher.startService()
        wire = MemoryWire(clock, dispatcher)

        def peer(name: str) -> Peer:
            transport = MemoryTransport(wire, name)
            transport.startTransport()
            made = Peer(name, "localhost", transport, clock, oneByOne(lambda delivery: None))
            made.start()
            clock.pump([0.01] * 10)
            return made

        silent, publisher = peer("silent"), peer("publisher")
        silent.subscribe(Sub("ev"))
        clock.pump([0.01] * 10)
        wire.blackhole("silent")
        silent.stop()
        answer = publisher.publisher.publish(Terms("ev", timeout=60.0), b"1")
        clock.pump([0.1] * 190)
        self.assertEqual(len(dispatcher.exchange.table), 1)
        self.assertNoResult(answer)
        clock.pump([0.1] * 61)
        self.assertEqual(len(dispatcher.exchange.table), 0)
        self.assertIn("its link was lost", str(self.failureResultOf(answer, Undelivered).value))


class PlantedTests(SynchronousTestCase):
    """A ledger that finds nothing proves nothing: with a rule switched off, it must find that."""

    def _found(self, name: str) -> None:
        self.assertNotEqual(PLANTED[name].find(SEARCH), "", f"nobody misses the rule: {name}")

    def test_lyingReceipt(self) -> None:
        """A receipt that says more than was called is found, as is an answer that never comes."""
        world = play("calm/1").world
        told = [one for one in world.published if isinstance(one.result, Receipt) and one.result.delivered]
        sure = next(one for one in told if one.level is Level.DELIVERED)
        kept, sure.over = sure.over, None
        self.assertEqual([violation[0] for violation in check(world)], ["I5"])
        sure.over = kept
        world.calls = [call for call in world.calls if call[2] != sure.number]
        self.assertIn("I1", [violation[0] for violation in check(world)])

    def test_secondCall(self) -> None:
        """A second call of a handler is found, as is one out of order."""
        world = play("calm/1").world
        world.calls.append(next(call for call in world.calls if world.published[call[2]].mode.name == "ALL"))
        found = {violation[0] for violation in check(world)}
        self.assertIn("I2", found)
        self.assertIn("I3", found)


def _plant(name: str) -> None:
    def test(self: PlantedTests) -> None:
        self._found(name)

    words = name.replace("'s", "").split()
    test.__doc__ = f"The rule {name!r} is missed within {SEARCH} runs."
    setattr(PlantedTests, "test_" + words[0] + "".join(word.capitalize() for word in words[1:]), test)


for _name, _rule in PLANTED.items():
    if _rule.common:
        _plant(_name)


def _answers(count: int, result: str = "ok", dropped: int = 0) -> list[Answer]:
    return [Answer("p", number, 0.0, 1.0, result, 1, 1 - dropped, dropped) for number in range(count)]


def _got(*numbers: int) -> list[Got]:
    return [Got("p", number, 0.0, 0.0) for number in numbers]


class TallyTests(SynchronousTestCase):
    """Publisher log x subscriber log."""

    def test_clean(self) -> None:
        """All confirmed, all there once, in order."""
        found = tally(_answers(3), _got(0, 1, 2))
        self.assertEqual(found, Tally(ok=3))
        self.assertTrue(found.clean)

    def test_kinds(self) -> None:
        """Lost, duplicate, reordered, stray: each is counted, none is clean."""
        self.assertEqual(tally(_answers(3), _got(0, 2)), Tally(ok=2, lost=1))
        self.assertEqual(tally(_answers(2), _got(0, 1, 0, 0)), Tally(ok=2, duplicate=2))
        self.assertEqual(tally(_answers(3), _got(2, 0, 1)), Tally(ok=3, reordered=2))
        self.assertEqual(tally(_answers(3), _got(2, 0, 1), ordered=False), Tally(ok=3))
        self.assertEqual(tally(_answers(1), _got(0, 7)), Tally(ok=1, stray=1))
        for wrong in (Tally(lost=1), Tally(duplicate=1), Tally(reordered=1), Tally(stray=1)):
            self.assertFalse(wrong.clean)

    def test_unknown(self) -> None:
        """What was not confirmed, or confirmed with a drop, is unknown: there or not, nothing is wrong."""
        for result, dropped in (("OutcomeUnknown", 0), ("", 0), ("ok", 1)):
            for got in (_got(), _got(0, 1)):
                found = tally(_answers(2, result, dropped), got)
                self.assertEqual(found, Tally(unknown=2))
                self.assertTrue(found.clean)

    def test_publishersApart(self) -> None:
        """The numbers of two publishers have nothing to do with each other."""
        answers = [*_answers(2), Answer("q", 0, 0.0, 1.0, "ok", 1, 1)]
        self.assertEqual(tally(answers, [*_got(0, 1), Got("q", 0, 0.0, 0.0)]), Tally(ok=3))

    def test_sum(self) -> None:
        """Several subscribers: each should have everything."""
        self.assertEqual(tallyAll(_answers(2), [_got(0, 1), _got(1)]), Tally(ok=3, lost=1))

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.integers(0, 9), max_size=20), st.integers(0, 10))
    def test_everythingCounts(self, numbers: list[int], published: int) -> None:
        """Every confirmed event is ok or lost, every call is a first one, a duplicate or stray."""
        found = tally(_answers(published), _got(*numbers))
        self.assertEqual(found.ok + found.lost, published)
        self.assertEqual(found.ok + found.duplicate + len({n for n in numbers if n >= published}), len(numbers))
        self.assertEqual(found.stray, sum(number >= published for number in numbers))

    def test_ledgers(self) -> None:
        """Ledgers are read to the last whole line: whoever is killed may leave half of one."""
        path = Path(self.mktemp())
        self.assertEqual((readAnswers(path), readGot(path)), ([], []))
        path.write_text("l 0.5\np a 1 1.0\np a 2 1.5\nr a 1 2.0 ok 3 2 1\ng a 1 1.2 1.0\nh a 1 1.3 1.0\ng a 2 1.", "ascii")
        self.assertEqual(readAnswers(path), [Answer("a", 1, 1.0, 2.0, "ok", 3, 2, 1), Answer("a", 2, 1.5)])
        self.assertEqual(readGot(path), [Got("a", 1, 1.2, 1.0)])
        self.assertEqual(readGot(path, "h"), [Got("a", 1, 1.3, 1.0)])


class TableTests(SynchronousTestCase):
    """What the scenarios say of themselves."""

    def _findings(self, play: Callable[[Findings], None]) -> Findings:
        return Scenario("x", "a fault", "a promise", play).run(quick=True)

    def test_findings(self) -> None:
        """A promise that breaks, or a scenario that fails, does not hold; what cannot be tried here says so."""

        def fail(findings: Findings) -> None:
            raise StillWaiting("nothing came")

        def skip(findings: Findings) -> None:
            raise NotHere("no root")

        self.assertEqual(self._findings(lambda findings: findings.must(True, "bad")).verdict, "yes")
        self.assertEqual(self._findings(lambda findings: findings.must(False, "bad")).broken, ["bad"])
        self.assertEqual(self._findings(fail).broken, ["StillWaiting: nothing came"])
        self.assertEqual(self._findings(skip).verdict, "not run here")

    def test_table(self) -> None:
        """The table has a row for each scenario, with what does not hold in it."""
        findings = Findings(quick=True, measured=["42 | 43"], broken=["one was lost"])
        table = showTable({"fuzz": findings}, quick=True)
        self.assertIn("quick run, ", table.splitlines()[0])
        self.assertIn("42 / 43 **Does not hold: one was lost** | no |", table.splitlines()[-1])

    def test_allEntered(self) -> None:
        """Every scenario has its row in the table, every row its scenario."""
        self.assertEqual(set(ORDER), set(SCENARIOS))


class ProcessTests(SynchronousTestCase):
    """Real processes over TLS, their ledgers compared; the short versions of three scenarios."""

    def test_killDispatcher(self) -> None:
        """kill -9 of the dispatcher in a burst, twice: what was confirmed is at all three subscribers, once, in order."""
        with Stage() as stage:
            found = killTimes(stage, 2, 3_000)
            self.assertTrue(found.total.clean, found.total)
            self.assertEqual(found.total.ok, 18_000, found.total)

    def test_exitAfterStop(self) -> None:
        """A publisher that stops right after it published 500 events loses none of them, ends with 0."""
        with Stage() as stage:
            stage.dispatcher()
            subscriber = stage.member("subscriber", subscribe="burst.>")
            stage.ready(subscriber)
            found, wrong = exitAtOnce(stage, subscriber, 1, 500)
            self.assertEqual((found, wrong), (Tally(ok=500), ""))

    def test_rollingRestart(self) -> None:
        """Restarted twice by SIGTERM under load, the dispatcher exits with 0, nothing that was confirmed is lost."""
        with Stage() as stage:
            found, _slowest, codes, _failed = restartTimes(stage, 2)
            self.assertTrue(found.clean, found)
            self.assertGreater(found.ok, 1_000)
            self.assertEqual(codes, [0, 0])

    def test_nobodyStaysBehind(self) -> None:
        """When a stage ends its processes are gone, its files too, even when what was played on it failed."""
        stage = Stage()
        with self.assertRaises(StillWaiting), stage:
            child = stage.dispatcher()
            stage.wait("the impossible", lambda: False, 0.05)
        self.assertTrue(child.ended)
        self.assertFalse(stage.folder.exists())
