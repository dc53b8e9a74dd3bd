"""Calls while nodes, links, dispatchers come and go."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from nodeset import Node, expose
from nodeset.core.batch import Answer
from nodeset.core.calls.callframes import Ending
from nodeset.errors import Busy, OutcomeUnknown, RemoteError, TimedOut, UnknownNode
from tests.test_calls import Calc, CallCase


class Relay(Node):
    """Passes calls on."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ends: list[str] = []

    def _note(self, result: Any) -> Any:
        self.ends.append(type(result.value).__name__ if isinstance(result, Failure) else "value")
        return result

    @expose
    def plain(self) -> Deferred[Any]:
        return self.call("calc", "hold", timeout=100).addBoth(self._note)

    @expose
    async def later(self) -> Any:
        await self.call("calc", "pause", 0.5)
        return await self.call("calc", "hold", timeout=100).addBoth(self._note)

    @expose
    def chained(self) -> Deferred[Any]:
        first = self.call("calc", "pause", 0.5, timeout=100)
        return first.addCallback(lambda _: self.call("calc", "hold", timeout=100).addBoth(self._note))


class DeadlineTests(CallCase):
    def test_shrinks(self) -> None:
        """A call within a call has what is left of the outer one, whether the method is plain, chained or `async def`."""
        relay = self.site.node(Relay, name="relay")
        for method in ("plain", "later", "chained"):
            self.calc.ran.clear()
            before = self.site.clock.seconds()
            self.failing(TimedOut, self.me.call("relay", method, timeout=2))
            self.assertLess(self.site.clock.seconds() - before, 2.2)
            self.site.flush()
            self.assertEqual(self.calc.ran, ["cancelled"], method)
        self.assertEqual(relay.ends, ["TimedOut"] * 3)
        self.assertEqual(len(self.flushLoggedErrors(TimedOut)), 3)

    def test_nestedCancel(self) -> None:
        """Cancelling a call cancels what it has called in turn."""
        relay = self.site.node(Relay, name="relay")
        waiting = self.me.call("relay", "later")
        waiting.addErrback(lambda failure: None)
        self.site.advance(1)
        waiting.cancel()
        self.site.flush()
        self.assertEqual((relay.ends, self.calc.ran), (["CancelledError"], ["cancelled"]))

    def test_frozen(self) -> None:
        """10,000 calls of a frozen node each fail in their time; what waits for it is bounded."""
        self.site.wire.blackhole("tub1")
        failures: list[Failure] = []
        for _ in range(10_000):
            self.me.call("calc", "add", 1, timeout=5).addErrback(failures.append)
        self.site.advance(5.2)
        self.assertEqual(len(failures), 10_000)
        self.assertTrue(all(failure.check(TimedOut, Busy) for failure in failures))
        assert self.me._peer is not None
        self.assertEqual(len(self.me._peer.phone.caller), 0)


class DeathTests(CallCase):
    def test_callerDies(self) -> None:
        """When the caller dies its callee is cancelled."""
        self.me.call("calc", "hold").addErrback(lambda failure: None)
        self.site.flush()
        assert self.me._peer is not None
        self.me._peer._running = False  # it does not come back
        self.site.wire.cut("tub2")
        self.site.advance(3)
        self.assertEqual(self.calc.ran, ["cancelled"])

    def test_calleeDies(self) -> None:
        """When the callee dies the caller learns that the outcome is unknown; an idempotent call goes to the next node."""
        waiting = self.me.call("calc", "hold")
        self.site.flush()
        twin = self.site.node(Calc, name="calc")
        once = self.me.call("calc", "hold", idempotent=True)
        again = self.me.call("calc", "hold", idempotent=True)
        self.site.flush()
        assert self.calc._peer is not None
        self.calc._peer._running = False
        self.site.wire.cut("tub1")
        self.failing(OutcomeUnknown, waiting)
        self.site.advance(1)
        self.assertEqual(len(twin.held), 2)
        for held in twin.held:
            held.callback("done")
        self.assertEqual([self.site.wait(once), self.site.wait(again)], ["done", "done"])

    def test_blink(self) -> None:
        """A link that is lost for less than 2 s costs no call anything, whoever's it is; nothing runs twice."""
        waiting = [self.me.call("calc", "hold"), self.me.call("calc", "pause", 1.5)]
        self.site.flush()
        for tub in ("tub1", "tub2", "tub1", "tub2"):
            waiting.append(self.me.call("calc", "add", len(waiting)))
            self.site.wire.cut(tub)
            waiting.append(self.me.call("calc", "add", len(waiting)))
            self.site.advance(1.2)
        self.calc.held[0].callback("held")
        answers = [self.site.wait(one) for one in waiting]
        self.assertEqual(answers, ["held", "rested", *range(3, 11)])
        self.assertEqual(sorted(a for a, _b in self.calc.ran), list(range(2, 10)))

    def test_answersTwice(self) -> None:
        """A callee that answers twice, or late, disturbs nobody."""
        assert self.calc._peer is not None and self.me._peer is not None
        self.assertEqual(self.calls("calc", "add", 1), 2)
        for ending in Ending:
            for number in (1, 2):
                self.calc._peer.phone._put(Answer(self.me._peer.stream, number, ending, b"7"))
        self.assertEqual(self.calls("calc", "add", 2), 3)
        self.assertGreaterEqual(self.stats("answers_late")[0], 20)

    def test_leaves(self) -> None:
        """A node that stops answers what it runs first, and gets no new call."""
        waiting = self.me.call("calc", "pause", 1)
        self.site.flush()
        stopped = self.calc.stopService()
        self.site.flush()
        self.failing(UnknownNode, self.me.call("calc", "add", 1))
        self.assertEqual(self.site.wait(waiting), "rested")
        self.site.wait(stopped, 1)

    def test_leavesCancelled(self) -> None:
        """Nor does it wait for a call that is cancelled meanwhile."""
        waiting = self.me.call("calc", "hold").addErrback(lambda failure: None)
        self.site.flush()
        stopped = self.calc.stopService()
        self.site.advance(0.5)
        waiting.cancel()
        self.site.wait(stopped, 1.5)

    def test_stops(self) -> None:
        """What a node waits for when it stops fails, at the latest after its drain time-out."""
        waiting = self.me.call("calc", "hold")
        self.site.flush()
        stopped = self.me.stopService()
        self.failing(OutcomeUnknown, waiting)
        self.site.wait(stopped)


class RestartTests(CallCase):
    def restart(self, seconds: float = 0.0) -> None:
        """Kill the dispatcher, start another one after a while."""
        self.site.killDispatcher()
        self.site.advance(seconds)
        self.site.startDispatcher()

    def test_answerAfterwards(self) -> None:
        """What runs while the dispatcher is killed is answered through the next one, as is what ends in between."""
        running, ending = self.me.call("calc", "hold"), self.me.call("calc", "hold")
        self.site.flush()
        self.site.killDispatcher()
        self.calc.held[1].callback("ended")
        self.site.advance(0.5)
        self.site.startDispatcher()
        self.assertEqual(self.site.wait(ending), "ended")
        self.calc.held[0].callback("run")
        self.assertEqual(self.site.wait(running), "run")
        self.assertEqual(len(self.calc.held), 2)

    def test_lostOnTheWay(self) -> None:
        """A call that was lost with the dispatcher is unknown, never silent; an idempotent one is made again."""
        self.site.wire.delay = 0.1
        unknown = self.me.call("calc", "add", 1)
        again = self.me.call("calc", "add", 2, idempotent=True)
        self.site.advance(0.15)
        self.restart()
        self.failing(OutcomeUnknown, unknown)
        self.assertEqual(self.site.wait(again), 3)
        self.assertEqual(self.calc.ran, [(2, 1)])

    def test_unsent(self) -> None:
        """Calls made while there is no dispatcher go to the next one, once the nodes are back."""
        self.site.killDispatcher()
        self.site.advance(0.1)
        waiting = self.me.call("calc", "add", 1)
        self.site.advance(1)
        self.site.startDispatcher()
        self.assertEqual(self.site.wait(waiting), 2)

    def test_unsentCancelled(self) -> None:
        """Calls that are cancelled before there is a dispatcher leave nothing behind."""
        self.site.killDispatcher()
        for _ in range(5_000):
            self.me.call("calc", "add", 1).addErrback(lambda failure: None).cancel()
        assert self.me._peer is not None
        caller = self.me._peer.phone.caller
        self.assertLess(len(caller._unsent), 200)
        self.site.startDispatcher()
        self.assertEqual(self.calls("calc", "add", 1), 2)
        self.assertEqual((len(self.calc.ran), len(caller._unsent)), (1, 0))

    def test_held(self) -> None:
        """A call right after a restart waits for the nodes to come back; it can be cancelled meanwhile."""
        self.restart()
        self.site.advance(1.0)
        cancelled = self.me.call("calc", "add", 1)
        cancelled.addErrback(lambda failure: None)
        self.site.flush()
        cancelled.cancel()
        self.assertEqual(self.calls("calc", "add", 2), 3)
        self.assertEqual(self.calc.ran, [(2, 1)])

    def test_all(self) -> None:
        """A call of all nodes survives as well, with an error for who did not."""
        other = self.site.node(Calc, name="calc")
        waiting = self.me.call("calc", "hold", mode="all", timeout=60)
        self.site.flush()
        self.site.killDispatcher()
        assert other._peer is not None
        other._peer._running = False
        self.calc.held[0].callback(1)
        self.site.startDispatcher()
        replies = self.site.wait(waiting)
        self.assertEqual([reply.value for reply in replies], [1, None])
        self.assertIsInstance(replies[1].error, OutcomeUnknown)


class CrowdTests(CallCase):
    def test_fair(self) -> None:
        """Two nodes of one name share calls; one that is away is passed over."""
        twin = self.site.node(Calc, name="calc")
        for number in range(10):
            self.calls("calc", "add", number)
        self.assertEqual([len(self.calc.ran), len(twin.ran)], [5, 5])
        assert twin._peer is not None
        twin._peer._running = False
        self.site.wire.cut("tub3")
        for number in range(4):
            before = self.site.clock.seconds()
            self.calls("calc", "add", number)
            self.assertLess(self.site.clock.seconds() - before, 0.2)
        self.assertEqual([len(self.calc.ran), len(twin.ran)], [9, 5])

    def test_all(self) -> None:
        """`mode="all"` gathers from every node of a name, failures as their error; nobody there is an error."""

        class Broken(Calc):
            def add(self, a: int, b: int = 1) -> int:
                raise ValueError("broken")

        broken = self.site.node(Broken, name="calc", host="elsewhere")
        replies = self.calls("calc", "add", 1, mode="all")
        self.assertEqual(
            [(reply.node, reply.host, reply.value) for reply in replies],
            [("calc", "localhost", 2), ("calc", "elsewhere", None)],
        )
        error = replies[1].error
        assert isinstance(error, RemoteError) and broken._peer is not None
        self.assertEqual((error.type, replies[1].stream), ("ValueError", broken._peer.stream))
        self.flushLoggedErrors(ValueError)
        self.failing(UnknownNode, self.me.call("nobody", "add", 1, mode="all"))
        self.assertEqual([reply.value for reply in self.calls("calc", "hold", mode="all", timeout=1)], [None, None])
        self.assertEqual(self.calls("calc@elsewhere", "echo", 5), 5)

    def test_many(self) -> None:
        """More calls than a node runs at a time wait for their turn, and for nothing else."""
        waiting = [self.me.call("calc", "hold") for _ in range(3_000)]
        self.site.flush()
        self.assertEqual(len(self.calc.held), 1_000)
        while self.calc.held:
            self.calc.held.pop().callback(1)
            self.site.flush()
        self.assertEqual([self.site.wait(one) for one in waiting], [1] * 3_000)
