"""Stories of calls: links cut, dispatchers killed, nodes gone, at random; what must hold in each."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from nodeset import Node, expose
from nodeset.core.node import Node as AnyNode
from nodeset.errors import Busy, OutcomeUnknown, TimedOut, UnknownNode
from nodeset.testing import Site

SEEDS = 40
#: Seconds that a call of these stories waits, with what its caller's clock may be late.
PATIENCE, LATE = 8.0, 0.2


class Worker(Node):
    """Notes which calls it has run."""

    ran: Counter[int]
    draw: random.Random

    @expose
    def work(self, number: int) -> Any:
        self.ran[number] += 1
        if self.draw.random() < 0.5:
            return number
        done: Deferred[int] = Deferred(lambda cancelled: timer.cancel())
        timer = self._findClock().callLater(self.draw.uniform(0, 3), done.callback, number)
        return done


class Story:
    """One of them, all of it from its seed."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.site = Site()
        self.site.wire.delay = self.draw.choice((0.0, 0.01, 0.1))
        self.ran: Counter[int] = Counter()
        self.workers = [self._worker() for _ in range(self.draw.randint(1, 3))]
        self.callers = [self.site.node(Node) for _ in range(2)]
        self.site.advance(1)
        self.ends: dict[int, tuple[float, Any]] = {}
        self.began: dict[int, float] = {}
        self.repeatable: set[int] = set()

    def _worker(self) -> Worker:
        worker = self.site.node(Worker, name="worker", start=False)
        worker.ran, worker.draw = self.ran, self.draw
        worker.startService()
        return worker

    def _call(self) -> None:
        number = len(self.began)
        self.began[number] = self.site.clock.seconds()
        idempotent = self.draw.random() < 0.3
        if idempotent:
            self.repeatable.add(number)
        caller = self.draw.choice(self.callers)
        waiting = caller.call("worker", "work", number, timeout=PATIENCE, idempotent=idempotent)
        waiting.addBoth(lambda result: self.ends.setdefault(number, (self.site.clock.seconds(), result)))

    def _tubOf(self, node: AnyNode) -> str:
        return str(getattr(node._transport, "_peer"))  # noqa: B009  (no part of the protocol)

    def play(self) -> None:
        """Everything, to the end of the last call."""
        for _ in range(60):
            for _ in range(self.draw.randint(0, 5)):
                self._call()
            match self.draw.randint(0, 11):
                case 0 | 1:
                    self.site.wire.cut(self._tubOf(self.draw.choice([*self.workers, *self.callers])))
                case 2:
                    self.site.wire.cut()
                case 3 if self.site.dispatcher is not None:
                    self.site.killDispatcher()
                case 4 if len(self.workers) > 1:
                    worker = self.workers.pop()
                    assert worker._peer is not None
                    worker._peer._running = False
                    self.site.wire.cut(self._tubOf(worker))
                case 5:
                    self.workers.append(self._worker())
            if self.site.dispatcher is None and self.draw.random() < 0.3:
                self.site.startDispatcher()
            self.site.advance(self.draw.choice((0.0, 0.02, 0.2, 0.5)))
        if self.site.dispatcher is None:
            self.site.startDispatcher()
        self.site.advance(PATIENCE + 1)

    def check(self, case: SynchronousTestCase) -> Counter[str]:
        """Every call ended in its time, well or for a reason that there was; none ran twice that must not."""
        case.assertEqual(sorted(self.ends), sorted(self.began))
        kinds: Counter[str] = Counter()
        for number, (when, result) in self.ends.items():
            case.assertLess(when - self.began[number], PATIENCE + LATE)
            if isinstance(result, Failure):
                case.assertTrue(result.check(OutcomeUnknown, TimedOut, UnknownNode, Busy), result)
                kinds[result.value.__class__.__name__] += 1
                if result.check(UnknownNode, Busy) and number not in self.repeatable:
                    case.assertEqual(self.ran[number], 0)
            else:
                case.assertEqual(result, number)
                case.assertGreaterEqual(self.ran[number], 1)
                kinds["value"] += 1
            if number not in self.repeatable:
                case.assertLessEqual(self.ran[number], 1)
        for caller in self.callers:
            assert caller._peer is not None
            case.assertEqual(len(caller._peer.phone.caller), 0)
        return kinds


class StoryTests(SynchronousTestCase):
    def test_stories(self) -> None:
        """Whatever is cut or killed: every call ends in its time, and one that is not idempotent never runs twice."""
        kinds: Counter[str] = Counter()
        for seed in range(SEEDS):
            story = Story(seed)
            try:
                story.play()
                kinds += story.check(self)
            except self.failureException as error:
                raise self.failureException(f"story {seed}: {error}") from None
            finally:
                story.site.stop()
        # They are worth something only if all that can happen did.
        self.assertGreater(min(kinds[kind] for kind in ("value", "OutcomeUnknown", "TimedOut")), 0, kinds)
