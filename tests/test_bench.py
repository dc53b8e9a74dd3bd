"""`nodeset bench`: what it reckons, then the command with its processes."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from importlib import import_module
from typing import Any

import attrs
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.cli.bench.crew import Hand
from nodeset.cli.bench.event import Event, makeNote
from nodeset.cli.bench.ledger import Ledger
from nodeset.cli.bench.play import hands, share
from nodeset.cli.bench.pump import Pump
from nodeset.cli.bench.rounds import Rounds, answerTo
from nodeset.cli.bench.sample import Sample
from nodeset.cli.bench.task import ENDLESS, Task, batchOf, windowOf
from nodeset.cli.bench.works import WORKS, Plan, judge
from nodeset.cli.outcome import Exit, GaveUp
from nodeset.cli.people.bench import bench
from tests.commands import FURL, PATIENCE, CommandCase

psutil: Any = import_module("psutil")
NODESET = ["-c", "from nodeset.cli.main import main; main()"]


def sent(count: int, confirmed: int | None = None, wrong: str = "", **more: Any) -> dict[str, Any]:
    """What a publisher tells that published for two seconds."""
    told = {"start": 1.0, "end": 3.0, "sent": count, "confirmed": count if confirmed is None else confirmed, "wrong": wrong}
    return {"refused": False, **told, **more}


class ReckoningTests(SynchronousTestCase):
    """Figures."""

    def test_rate(self) -> None:
        """A rate is from the first call of the first publisher to the last event of the last subscriber."""
        tallies = [{"got": 400, "last": 4.0, "wrong": ""}, {"got": 400, "last": 5.0, "wrong": ""}]
        result = judge("fan", Plan(fan=2), [sent(400)], tallies)
        self.assertEqual((result.value, result.events, result.seconds, result.wrong), (200.0, 400, 4.0, ""))
        calls = judge("calls", Plan(), [sent(400, p50=100.0, p99=900.0)], [{"got": 400, "wrong": ""}])
        self.assertEqual((calls.value, calls.p50, calls.p99), (200.0, 1e-4, 9e-4))

    def test_wrong(self) -> None:
        """What was lost, not confirmed, answered twice, refused, is told."""
        good = [{"got": 4, "last": 4.0, "wrong": ""}]
        self.assertIn("3 of 4", judge("publish", Plan(), [sent(4)], [{"got": 3, "last": 0.0, "wrong": "3 of 4 came"}]).wrong)
        self.assertIn("2 of 4 were confirmed", judge("publish", Plan(), [sent(4, 2)], good).wrong)
        self.assertIn("5 calls were run for 4", judge("calls", Plan(), [sent(4)], [{"got": 5, "wrong": ""}]).wrong)
        refused = judge("publish", Plan(), [sent(4, wrong="not you", refused=True)], [{"got": 0, "wrong": "0 of 4"}])
        self.assertEqual((refused.wrong, refused.refused), ("publisher: not you", True))

    def test_interrupted(self) -> None:
        """A figure that has a wait for the dispatcher in it says so; what is wrong goes before that."""
        tallies = [{"got": 4, "last": 4.0, "wrong": ""}]
        result = attrs.evolve(judge("publish", Plan(), [sent(4)], tallies), interrupted=True)
        self.assertEqual(result.verdict(), "each once, in order, though the dispatcher was gone for a while")
        self.assertEqual(attrs.evolve(result, wrong="lost").verdict(), "WRONG: lost")

    @settings(max_examples=60, deadline=None)
    @given(st.integers(1, 100), st.integers(1, 4))
    def test_shares(self, total: int, count: int) -> None:
        """Nodes are spread over processes so that none has more than one node above another."""
        shares = share(total, count)
        self.assertEqual((sum(shares), len(shares)), (total, count))
        self.assertLessEqual(max(shares) - min(shares), 1)

    def test_processes(self) -> None:
        """A process for each publisher, no more for subscribers than there are nodes."""
        self.assertEqual(hands(["publish"], Plan(fan=9)), (1, 1))
        self.assertEqual(hands(["publish", "fan"], Plan(fan=2, publishers=3)), (3, 2))
        self.assertEqual(hands(["fan"], Plan(fan=100)), (1, 4))

    def test_bounds(self) -> None:
        """However large an event is, a publisher holds some MiB of them, not more."""
        for size in (0, 110, 5_000, 900_000):
            self.assertLessEqual(windowOf(size) * size, 4 * 2**20)
            self.assertLessEqual(batchOf(size) * size, max(size, 2**19))
            self.assertGreaterEqual(min(windowOf(size), batchOf(size)), 1)
        self.assertEqual(len(makeNote(1_000)), 910)

    def test_names(self) -> None:
        """Every work that can be measured can be named."""
        (argument,) = [each for each in bench.params if each.name == "works"]
        self.assertEqual(tuple(getattr(argument.type, "choices", ())), tuple(WORKS))


class EndTests(SynchronousTestCase):
    """Works that time ends, not a count."""

    def test_ledger(self) -> None:
        """Who takes is told how many were to come, before or after they have."""
        for late in (False, True):
            full: list[int] = []
            ledger = Ledger(ENDLESS, 2, True, False, lambda: 9.0, partial(full.append, 1))
            if not late:
                ledger.expect([2, 1])
            for source, number in ((0, 0), (1, 0), (0, 1)):
                ledger.take(Event(number, "", 0.0, source, ""))
            if late:
                self.assertEqual(full, [])
                ledger.expect([2, 1])
            self.assertEqual((full, ledger.complain(), ledger.last), ([1], "", 9.0))
        ledger.take(Event(1, "", 0.0, 0, ""))
        self.assertIn("4 of 3", ledger.complain())

    def test_pump(self) -> None:
        """A publisher that is told to finish is through once, when all that it published is confirmed."""
        for window in (2, 1000):
            over: list[int] = []
            turns: list[Any] = []
            calls: list[Any] = []

            def send(first: int, last: int, confirm: Any, fail: Any, calls: list[Any] = calls) -> None:
                calls.extend(confirm for _ in range(first, last))

            def later(_: float, call: Any, turns: list[Any] = turns) -> None:
                turns.append(call)

            pump = Pump(send, ENDLESS, window, 1, partial(over.append, 1), later)
            pump.turn()
            pump.finish()
            for confirm in calls[:-1]:
                confirm((0, 1, 0))
            self.assertEqual(over, [])
            calls[-1]((0, 1, 0))
            for turn in turns:
                turn()
            pump.finish()
            self.assertEqual((over, pump.sent, pump.confirmed), ([1], len(calls), len(calls)))

    def test_rounds(self) -> None:
        """A caller that is told to finish is through when all its calls are answered."""
        asked: list[Event] = []
        over: list[int] = []
        rounds = Rounds(Task("publish", "call", "x", count=ENDLESS, under_way=3), asked.append, lambda: over.append(1), "n", 7)
        rounds.begin()
        rounds.finish()
        for event in list(asked):
            self.assertEqual((over, event.note, event.source), ([], "n", 7))
            rounds.take(answerTo(event))
        self.assertEqual((over, rounds.answered, len(asked), rounds.wrong), ([1], 3, 3, ""))

    @settings(max_examples=30, deadline=None)
    @given(st.integers(1, 5000))
    def test_sample(self, count: int) -> None:
        """However many latencies there are, few are kept, spread over all of them."""
        sample = Sample(most=64)
        for number in range(count):
            sample.add(float(number))
        self.assertLessEqual(len(sample.kept), 64)
        figures = sample.figures()
        self.assertLessEqual(abs(figures["p50"] / 1e6 - count / 2), max(2.0, count * 0.1))


class HandTests(SynchronousTestCase):
    """A process of ours, as it is heard."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.hand = Hand(self.clock, lambda: None)

    def ends(self, waiting: Deferred[Any], part: str, code: Exit = Exit.FAILED) -> None:
        """It fails with this."""
        error = self.failureResultOf(waiting, GaveUp).value
        assert isinstance(error, GaveUp)
        self.assertIn(part, str(error))
        self.assertEqual(error.code, code)

    def test_words(self) -> None:
        """Words are heard whole, whether they came before or after they were waited for; chatter is kept for last words."""
        waiting = self.hand.hear("done")
        self.hand.outReceived(b"at 5\nhello there\ndon")
        self.hand.outReceived(b'e {"sent": 5}\nready\n')
        self.assertEqual(self.successResultOf(waiting), {"sent": 5})
        self.assertIsNone(self.successResultOf(self.hand.hear("ready")))
        self.assertEqual((self.hand.at, self.clock.getDelayedCalls()), (5, []))

    def test_failures(self) -> None:
        """A process that says nothing, ends, or cannot do it, ends the wait with why; nothing is left on the clock."""
        late = self.hand.hear("full", 3.0)
        self.clock.advance(3.0)
        self.ends(late, "not everything that was confirmed arrived within 3 s", Exit.NO_ANSWER)
        waiting = self.hand.hear("ready")
        self.hand.outReceived(b'failed {"reason": "not \\u001b you", "refused": true}\n')
        self.ends(waiting, "not \\u001b you", Exit.REFUSED)
        other = Hand(self.clock, lambda: None)
        waiting = other.hear("up")
        other.errReceived(b"Traceback\nImportError: no\n")
        other.processEnded(None)
        self.ends(waiting, "ImportError: no")
        self.ends(other.hear("ready"), "ended")
        self.ends(other.hear("done"), "ended")
        self.assertEqual(self.clock.getDelayedCalls(), [])


class BenchTests(CommandCase):
    """The command."""

    def offspring(self, pid: int) -> list[Any]:
        """What a process has started, when it has started something that works."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found: list[Any] = psutil.Process(pid).children(recursive=True)
            if len(found) >= 2:
                return found
            time.sleep(0.02)
        self.fail("it started nothing")

    def gone(self, processes: list[Any]) -> None:
        """None of them runs any more; one that was adopted may wait to be reaped."""
        end = time.monotonic() + PATIENCE
        while (alive := [each for each in processes if self.runs(each)]) and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(alive, [])

    def runs(self, process: Any) -> bool:
        """Whether it does."""
        try:
            return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def test_works(self) -> None:
        """Every work with a dispatcher of its own: each event once, in order, each call its own answer; nothing is left."""
        words = ["bench", *WORKS, "--own", "--count", "60", "--subscribers", "3", "--publishers", "2", "--rate", "2000"]
        code, out, err = self.ask(*NODESET, *words, "--json", TMPDIR=str(self.home))
        self.assertEqual((code, err), (0, ""))
        told = [msgspec.json.decode(line) for line in out.splitlines()]
        self.assertEqual([each["work"] for each in told], list(WORKS))
        for each in told:
            self.assertEqual(each["wrong"], "")
            self.assertGreater(each["value"], 0)
            self.assertEqual(each["p50"] is not None, each["work"] in ("calls", "call", "latency"), each)
        self.assertEqual([each["events"] for each in told if each["work"] != "many"], [60] * 5)
        end = time.monotonic() + PATIENCE
        while (left := list(self.home.glob("nodeset-bench-*"))) and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(left, [])

    def test_table(self) -> None:
        """Without a terminal: a line for each work, then a table; no bar, no colours; what is too large is told."""
        self.startDispatcher()
        code, out, err = self.ask(*NODESET, "bench", "publish", "--count", "50", "--size", "1000")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(len(out.splitlines()), 3)
        self.assertEqual(out.count("each once, in order"), 2)
        self.assertNotIn("\x1b", out)

    def test_cannot(self) -> None:
        """No dispatcher, a wrong FURL, a work that is none, a prefix that is none: a line each, with its code."""
        self.refuses(3, "no dispatcher", *NODESET, "bench", "--timeout", "0.2", NODESET_DISPATCHER=FURL)
        self.refusesEach(
            (3, "no dispatcher", ["-m", "nodeset", "bench", "--timeout", "0.2"]),
            (2, "'speed'", ["-m", "nodeset", "bench", "speed"]),
            (2, "'a b'", ["-m", "nodeset", "bench", "--prefix", "a b"]),
        )

    def test_refused(self) -> None:
        """A grant that does not allow it ends it with 4 and whose grant it is that does not."""
        self.startDispatcher()
        code, furl, err = self.ask(*NODESET, "grant", "--subscribe", "bench.*")
        self.assertEqual(code, 0, err)
        self.refuses(4, "does not let it publish", *NODESET, "bench", "publish", NODESET_DISPATCHER=furl.strip())

    def test_killedDispatcher(self) -> None:
        """The dispatcher killed meanwhile, it ends with 3, with all its processes."""
        dispatcher = self.startDispatcher()
        child = self.spawn(*NODESET, "bench", "publish", "--seconds", "60", "--timeout", "4")
        found = self.offspring(child.pid)
        dispatcher.kill()
        _out, err = child.communicate(timeout=PATIENCE)
        self.assertEqual((child.returncode, err.count("\n")), (3, 1), err)
        self.assertIn("dispatcher", err)
        self.gone(found)

    def test_interrupted(self) -> None:
        """Ctrl-C ends it with 130; killed by force, it leaves no process behind either."""
        self.startDispatcher()
        for number, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
            child = self.spawn(*NODESET, "bench", "publish", "--seconds", "60")
            found = self.offspring(child.pid)
            os.kill(child.pid, number)
            _out, err = child.communicate(timeout=PATIENCE)
            self.assertEqual((child.returncode, err), (code, ""))
            self.gone(found)
