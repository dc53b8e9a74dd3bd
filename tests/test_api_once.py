"""Requests with a key, while they run."""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import OutcomeUnknown
from nodeset.web.api.once import Once
from nodeset.web.inquiry import Reply
from nodeset.web.problem import Problem


class OnceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.counters: Counter[str] = Counter()
        self.once = Once(lambda: 0.0, self.counters)
        self.works: list[Deferred[tuple[Reply, bool]]] = []

    def ask(self, key: str = "k", mark: bytes = b"1") -> Deferred[Reply]:
        async def work() -> tuple[Reply, bool]:
            result: Deferred[tuple[Reply, bool]] = Deferred()
            self.works.append(result)
            return await result

        return Deferred.fromCoroutine(self.once.answer("alice", key, mark, work))

    def test_waits(self) -> None:
        """Who repeats a request that runs is given its answer, with a mark."""
        first, second = self.ask(), self.ask()
        self.assertNoResult(second)
        self.works[0].callback((Reply(200, b"yes"), True))
        self.assertEqual(self.successResultOf(first).headers, ())
        again = self.successResultOf(second)
        self.assertEqual((again.body, again.headers), (b"yes", ((b"Idempotency-Replayed", b"true"),)))
        self.assertEqual(len(self.works), 1)

    def test_triesAgain(self) -> None:
        """What failed, or was not final, is not the answer of who waited: one of them tries again, the others wait for that."""
        waiting = [self.ask() for _ in range(4)]
        self.works[0].errback(OutcomeUnknown("lost"))
        self.failureResultOf(waiting[0], OutcomeUnknown)
        self.assertEqual(len(self.works), 2)
        self.works[1].callback((Reply(200, b"partly"), False))
        self.assertEqual(self.successResultOf(waiting[1]).body, b"partly")
        self.assertEqual(len(self.works), 3)
        self.works[2].callback((Reply(200, b"yes"), True))
        self.assertEqual([self.successResultOf(one).body for one in waiting[2:]], [b"yes", b"yes"])
        self.assertEqual(len(self.works), 3)

    def test_left(self) -> None:
        """A client that leaves takes neither the work nor its answer with it, nor that of who waits."""
        first, second, third = self.ask(), self.ask(), self.ask()
        first.cancel()
        second.cancel()
        for one in (first, second):
            self.failureResultOf(one, CancelledError)
        self.works[0].callback((Reply(200, b"yes"), True))
        self.assertEqual(self.successResultOf(third).body, b"yes")
        self.assertEqual(self.successResultOf(self.ask()).body, b"yes")

    def test_leftFailed(self) -> None:
        """What fails when its client has left is logged if it is a mistake of ours, only then."""
        for error in (OutcomeUnknown("lost"), Problem(503, "no link"), KeyError("ours")):
            asked = self.ask()
            asked.cancel()
            self.failureResultOf(asked, CancelledError)
            self.works[-1].errback(error)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_different(self) -> None:
        """Another request with the key of one that runs is told so."""
        self.ask()
        problem = self.failureResultOf(self.ask(mark=b"2"), Problem).value
        self.assertEqual(problem.status, 422)
        self.assertEqual(self.counters["idempotency_refused"], 1)
