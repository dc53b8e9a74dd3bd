"""Keep one link open, trying again for ever."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.link import Link
from nodeset.core.reconnector import LONGEST_PAUSE, Reconnector, makeReconnector, retryDelay
from nodeset.errors import LinkLost, NodeSetError, ProtocolError, Refused


class FakeLink:
    """A link of which nothing is asked but whether it was aborted."""

    peer = "somebody"

    def __init__(self) -> None:
        self.aborted = 0

    def send(self, batch: bytes) -> None:
        """Nothing is sent."""

    def close(self) -> None:
        """Nothing is left to send."""

    def abort(self) -> None:
        """Count it."""
        self.aborted += 1


class Owner:
    """Who wants the link; its dials are fired by hand, or by `answer` at once."""

    def __init__(self) -> None:
        self.dials: list[Deferred[tuple[Link, bytes]]] = []
        self.events: list[object] = []
        self.cancelled = 0
        self.answer: Callable[[], Deferred[tuple[Link, bytes]]] | None = None
        self.onOpened: Callable[[], None] = lambda: None
        self.onFailed: Callable[[], None] = lambda: None

    def dial(self) -> Deferred[tuple[Link, bytes]]:
        """One more attempt."""
        dialled = Deferred(self._cancel) if self.answer is None else self.answer()
        self.dials.append(dialled)
        return dialled

    def _cancel(self, dialled: Deferred[tuple[Link, bytes]]) -> None:
        self.cancelled += 1

    def linkOpened(self, link: Link, answer: bytes) -> None:
        """Write it down, then do what the test wants."""
        self.events.append(answer)
        self.onOpened()

    def dialFailed(self, error: NodeSetError, pause: float) -> None:
        """Write it down, then do what the test wants."""
        self.events.append((type(error), pause))
        self.onFailed()


class Case(SynchronousTestCase):
    """A reconnector that pauses a second after the first failed attempt in a row, two after the second."""

    def setUp(self) -> None:
        self.clock, self.owner, self.link = Clock(), Owner(), FakeLink()
        self.machine: Reconnector = makeReconnector(self.owner, self.clock, float)

    def tearDown(self) -> None:
        """Whatever happened: stopped, it leaves no timer and dials no more."""
        self.machine.stop()
        count = len(self.owner.dials)
        self.clock.advance(1000)
        self.assertEqual((self.clock.getDelayedCalls(), len(self.owner.dials)), ([], count))
        self.assertEqual(self.flushLoggedErrors(), [])

    def opens(self, answer: bytes = b"opened") -> None:
        """The last attempt gives a link."""
        self.owner.dials[-1].callback((self.link, answer))

    def fails(self, error: Exception | None = None) -> None:
        """The last attempt fails."""
        self.owner.dials[-1].errback(error or LinkLost("no"))

    def assertState(self, dials: int, waiting: bool) -> None:
        """So many attempts were made, and a next one is planned or not."""
        self.assertEqual((len(self.owner.dials), len(self.clock.getDelayedCalls())), (dials, int(waiting)))


class TableTests(Case):
    """Every arrow of the table at the top of the room."""

    def test_start(self) -> None:
        """Started, it dials at once; starting again does nothing in any state."""
        self.machine.start()
        self.machine.start()
        self.assertState(1, False)
        self.fails()
        self.machine.start()
        self.assertState(1, True)
        self.clock.advance(1)
        self.opens()
        self.machine.start()
        self.assertState(2, False)
        self.assertEqual(self.owner.events, [(LinkLost, 1.0), b"opened"])

    def test_idle(self) -> None:
        """Before it is started nothing happens: stopping or losing what is not there is fine."""
        self.machine.stop()
        self.machine.lost()
        self.assertState(0, False)

    def test_retries(self) -> None:
        """Each failed attempt is told with the pause before the next; pauses grow by the policy, and there is no end to it."""
        self.machine.start()
        for attempt in range(1, 6):
            self.fails()
            self.assertEqual(self.owner.events[-1], (LinkLost, float(attempt)))
            self.clock.advance(attempt - 0.1)
            self.assertState(attempt, True)
            self.clock.advance(0.2)
            self.assertState(attempt + 1, False)

    def test_lost(self) -> None:
        """A link that is lost is dialled anew after the shortest pause; one that was open makes the next failure the first."""
        self.machine.start()
        for _ in range(3):
            self.fails()
            self.clock.advance(10)
        self.opens()
        self.assertEqual(self.link.aborted, 0)
        self.machine.lost()
        self.assertState(4, True)
        self.clock.advance(1)
        self.assertState(5, False)
        self.fails()
        self.assertEqual(self.owner.events[-1], (LinkLost, 1.0))

    def test_lostTwice(self) -> None:
        """Told again that the link is lost, while it waits or dials, it goes on as it was."""
        self.machine.start()
        self.machine.lost()
        self.opens()
        self.machine.lost()
        self.machine.lost()
        self.assertState(1, True)
        self.clock.advance(1)
        self.machine.lost()
        self.assertState(2, False)

    def test_stopDialling(self) -> None:
        """Stopped while it dials, it cancels the attempt and tells nobody."""
        self.machine.start()
        self.machine.stop()
        self.assertEqual((self.owner.cancelled, self.owner.events), (1, []))
        self.assertState(1, False)

    def test_stopWaiting(self) -> None:
        """Stopped while it waits, it dials no more."""
        self.machine.start()
        self.fails()
        self.machine.stop()
        self.assertState(1, False)

    def test_stopLinked(self) -> None:
        """Stopped while linked, it leaves the link alone; losing it later starts nothing."""
        self.machine.start()
        self.opens()
        self.machine.stop()
        self.machine.stop()
        self.machine.lost()
        self.assertEqual(self.link.aborted, 0)
        self.assertState(1, False)

    def test_again(self) -> None:
        """It can be started again after a stop in any state."""
        steps: list[Callable[[], None]] = [lambda: None, self.fails, self.opens]
        for number, before in enumerate(steps, 1):
            self.machine.start()
            self.assertEqual(len(self.owner.dials), number)
            before()
            self.machine.stop()
        self.machine.start()
        self.assertState(4, False)


class LateTests(Case):
    """What comes when it is not expected any more."""

    def test_canceledDialFails(self) -> None:
        """A transport that makes an error of its own of the cancelling, as a coroutine may, is not heard."""

        def refuse(dialled: Deferred[tuple[Link, bytes]]) -> None:
            dialled.errback(LinkLost("cancelled"))

        self.owner.answer = lambda: Deferred(refuse)
        self.machine.start()
        self.machine.stop()
        self.assertEqual(self.owner.events, [])

    def test_canceledDialOpens(self) -> None:
        """A link that comes in spite of the cancelling is aborted: nobody owns it."""
        self.owner.answer = lambda: Deferred(lambda dialled: dialled.callback((self.link, b"late")))
        self.machine.start()
        self.machine.stop()
        self.assertEqual((self.owner.events, self.link.aborted), ([], 1))

    def test_oldAttempt(self) -> None:
        """An attempt that outlives a stop and a start does not disturb the one that is made now."""
        inner: list[Deferred[tuple[Link, bytes]]] = []

        async def stubborn() -> tuple[Link, bytes]:
            inner.append(Deferred())
            try:
                return await inner[0]
            except CancelledError:
                inner.append(Deferred())
                return await inner[1]

        self.owner.answer = lambda: Deferred.fromCoroutine(stubborn())
        self.machine.start()
        self.machine.stop()
        self.owner.answer = None
        self.machine.start()
        inner[1].callback((self.link, b"old"))
        self.assertEqual((self.owner.events, self.link.aborted), ([], 1))
        self.opens(b"new")
        self.assertEqual((self.owner.events, self.link.aborted), ([b"new"], 1))
        self.assertState(2, False)

    def test_cancelledByOthers(self) -> None:
        """An attempt that somebody else cancels is a failed one: it is tried again."""
        self.machine.start()
        self.owner.dials[0].cancel()
        self.assertEqual(self.owner.events, [(LinkLost, 1.0)])
        self.assertState(1, True)


class AtOnceTests(Case):
    """Attempts that end before `dial` returns."""

    def test_opens(self) -> None:
        """A link that is there at once is as good as one that takes its time."""
        self.owner.answer = lambda: succeed((self.link, b"at once"))
        self.machine.start()
        self.assertEqual(self.owner.events, [b"at once"])
        self.machine.lost()
        self.clock.advance(1)
        self.assertState(2, False)

    def test_fails(self) -> None:
        """An attempt that fails at once is tried again after its pause, not before."""
        self.owner.answer = lambda: fail(Refused("no"))
        self.machine.start()
        self.assertState(1, True)
        self.clock.advance(1)
        self.assertState(2, True)
        self.assertEqual(self.owner.events, [(Refused, 1.0), (Refused, 2.0)])


class OwnerTests(Case):
    """What the owner does from within its calls."""

    def _raise(self, error: Exception) -> None:
        raise error

    def test_refuses(self) -> None:
        """A link that the owner refuses is aborted and dialled anew, with pauses that grow as for any failure."""
        self.owner.onOpened = lambda: self._raise(ProtocolError("which version is this"))
        self.machine.start()
        for attempt in (1, 2):
            self.opens()
            self.assertEqual((self.link.aborted, self.owner.events[-1]), (attempt, (ProtocolError, float(attempt))))
            self.machine.lost()
            self.clock.advance(attempt)
        self.owner.onOpened = lambda: None
        self.opens()
        self.assertEqual(self.link.aborted, 2)
        self.assertState(3, False)

    def test_breaks(self) -> None:
        """A link on which the owner breaks down, by a mistake in its code, is not left open with nobody at it."""
        self.owner.onOpened = lambda: self._raise(ZeroDivisionError("oops"))
        self.machine.start()
        self.opens()
        self.assertEqual((self.link.aborted, self.owner.events[-1]), (1, (LinkLost, 1.0)))
        self.assertState(1, True)

    def test_foreignError(self) -> None:
        """An attempt that fails with somebody else's error is a lost link to the owner."""
        self.machine.start()
        self.fails(OSError("no route"))
        self.assertEqual(self.owner.events, [(LinkLost, 1.0)])

    def test_stopsWhenOpened(self) -> None:
        """An owner may stop as soon as it has its link."""
        for at_once in (False, True):
            if at_once:
                self.owner.answer = lambda: succeed((self.link, b"opened"))
            self.owner.onOpened = self.machine.stop
            self.machine.start()
            if not at_once:
                self.opens()
            self.machine.lost()
            self.assertEqual((self.link.aborted, self.clock.getDelayedCalls()), (0, []))

    def test_losesWhenOpened(self) -> None:
        """An owner may lose its link while it is told of it: it is dialled anew."""
        self.owner.onOpened = self.machine.lost
        self.machine.start()
        self.opens()
        self.assertState(1, True)
        self.clock.advance(1)
        self.assertState(2, False)

    def test_losesAndRefuses(self) -> None:
        """Lost or stopped, then refused: told once, aborted, no second plan beside the first."""

        def both() -> None:
            self.machine.lost()
            raise ProtocolError("neither")

        self.owner.onOpened = both
        self.machine.start()
        self.opens()
        self.assertState(1, True)

        def stopped() -> None:
            self.machine.stop()
            raise ProtocolError("nor")

        self.owner.onOpened = stopped
        self.clock.advance(1)
        self.opens()
        self.assertState(2, False)
        self.assertEqual(self.link.aborted, 2)

    def test_stopsWhenFailed(self) -> None:
        """An owner may stop when it hears of a failure: no timer is left."""
        self.owner.onFailed = self.machine.stop
        self.machine.start()
        self.fails(Refused("go away"))
        self.assertState(1, False)


class RetryDelayTests(SynchronousTestCase):
    @given(st.integers(1, 10_000))
    @settings(max_examples=100, deadline=None)
    def test_bounds(self, attempt: int) -> None:
        """No pause is over a second, nor under half of its step; steps double from a tenth of a second."""
        step = min(1.0, 0.1 * 2.0 ** min(attempt - 1, 10))
        pause = retryDelay(attempt)
        self.assertLessEqual(pause, LONGEST_PAUSE)
        self.assertGreaterEqual(pause, step / 2)
        self.assertLessEqual(pause, step)

    def test_steps(self) -> None:
        """The longest pauses are 0.1, 0.2, 0.4, 0.8 and then 1 s; the shortest are half of that."""
        self.assertEqual([retryDelay(n, lambda low, high: high) for n in range(1, 7)], [0.1, 0.2, 0.4, 0.8, 1.0, 1.0])
        self.assertEqual([retryDelay(n, lambda low, high: low) for n in range(1, 7)], [0.05, 0.1, 0.2, 0.4, 0.5, 0.5])

    def test_jitter(self) -> None:
        """A thousand nodes that lost one dispatcher do not come back in one moment."""
        self.assertGreater(len({round(retryDelay(5), 3) for _ in range(200)}), 50)
