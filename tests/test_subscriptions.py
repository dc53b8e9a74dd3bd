"""What a node subscribes to, over every link."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.batch import MAX_HELLO, MAX_SUBSCRIPTIONS, Frame, Policy, Sub, Subbed, Unsub
from nodeset.core.hello import Hello, packHello
from nodeset.core.subscriptions import Subscriptions
from nodeset.errors import NotRunning, ProtocolError, Refused


class Case(SynchronousTestCase):
    """A list whose frames go to `sent`, answered by hand; what is refused goes to `refused`."""

    def setUp(self) -> None:
        self.sent: list[Frame] = []
        self.refused: list[tuple[str, str]] = []
        self.list = Subscriptions(self._write, lambda pattern, reason: self.refused.append((pattern, reason)))
        self.linked = False

    def _write(self, frame: Frame) -> None:
        self.assertTrue(self.linked, "written without a link")
        self.sent.append(frame)

    def open(self, told: list[Sub] | None = None, refused: dict[str, str] | None = None) -> None:
        """A link opens; its hello told `told`, by default all that is held now."""
        self.linked = True
        self.list.opened(self.list.held() if told is None else told, refused or {})

    def lose(self) -> None:
        """The link is lost."""
        self.list.linkLost()
        self.linked = False

    def frames(self) -> list[Frame]:
        """What was sent since the last call."""
        sent, self.sent = self.sent, []
        return sent

    def answer(self, pattern: str, active: bool = True, refused: str = "") -> None:
        """The dispatcher answers."""
        self.list.answered(Subbed(pattern, active, refused))

    def assertFired(self, deferred: Deferred[bool], expected: bool) -> None:
        """It has fired with `expected`."""
        self.assertIs(self.successResultOf(deferred), expected)


class LimitTests(Case):
    def test_tooMany(self) -> None:
        """One over 10,000, or over what a hello can say, is refused at once; the others stay; when one went there is room."""
        for pattern, most in (("{}", MAX_SUBSCRIPTIONS), ("{:0250}", None)):
            self.list = Subscriptions(self._write, lambda pattern, reason: self.refused.append((pattern, reason)))
            self.refused.clear()
            held = 0
            while not self.refused:
                last = self.list.subscribe(Sub(pattern.format(held)))
                held += 1
            self.failureResultOf(last, Refused)
            self.assertEqual(len(self.list.held()), held - 1)
            self.assertEqual(most or held - 1, held - 1)
            hello = Hello("s" * 64, "n" * 255, "h" * 255, subscriptions=self.list.held())
            self.assertLess(len(packHello(hello)), MAX_HELLO)
            self.list.unsubscribe(pattern.format(0))
            self.assertNoResult(self.list.subscribe(Sub("another")))


class LinkedTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.open()

    def test_subscribe(self) -> None:
        """It is held at once, asked for once, and fires when the dispatcher says that it is active."""
        active = self.list.subscribe(Sub("ev", True))
        self.assertEqual((self.list.held(), self.frames()), ([Sub("ev", True)], [Sub("ev", True)]))
        self.assertNoResult(active)
        self.answer("ev")
        self.assertFired(active, True)

    def test_again(self) -> None:
        """Subscribing again asks nobody: it fires with the first, or at once when that is active."""
        first, second = self.list.subscribe(Sub("ev", True)), self.list.subscribe(Sub("ev", True))
        self.assertEqual(self.frames(), [Sub("ev", True)])
        self.assertNoResult(second)
        self.answer("ev")
        self.assertFired(first, True)
        self.assertFired(second, True)
        self.assertFired(self.list.subscribe(Sub("ev", False)), True)
        self.assertEqual((self.frames(), self.list.held()), ([], [Sub("ev", True)]))

    def test_own(self) -> None:
        """Who wants its own events later asks anew, and it fires when that is active; the wish only grows."""
        first = self.list.subscribe(Sub("ev", False))
        explicit = self.list.subscribe(Sub("ev", True))
        self.assertEqual(self.frames(), [Sub("ev", False), Sub("ev", True)])
        self.answer("ev")
        self.assertNoResult(explicit)
        self.answer("ev")
        self.assertFired(first, True)
        self.assertFired(explicit, True)
        other = self.list.subscribe(Sub("other", False))
        self.answer("other")
        grown = self.list.subscribe(Sub("other", True))
        self.assertFired(other, True)
        self.assertNoResult(grown)
        self.answer("other")
        self.assertFired(grown, True)
        self.assertEqual(self.list.held(), [Sub("ev", True), Sub("other", True)])

    def test_limits(self) -> None:
        """Another policy or limit is asked for anew, and fires when it is active; the wish for own events stays."""
        self.list.subscribe(Sub("ev", True))
        self.answer("ev")
        self.frames()
        again = self.list.subscribe(Sub("ev", False, Policy.DROP_OLDEST, 5, 6))
        wanted = Sub("ev", True, Policy.DROP_OLDEST, 5, 6)
        self.assertEqual((self.frames(), self.list.held()), ([wanted], [wanted]))
        self.assertNoResult(again)
        self.answer("ev")
        self.assertFired(again, True)

    def test_unsubscribe(self) -> None:
        """It fires with True once it is over; a second time, or without a subscription, with False at once."""
        self.list.subscribe(Sub("ev", True))
        self.answer("ev")
        over = self.list.unsubscribe("ev")
        self.assertEqual((self.list.held(), self.frames()), ([], [Sub("ev", True), Unsub("ev")]))
        self.assertNoResult(over)
        self.assertFired(self.list.unsubscribe("ev"), False)
        self.answer("ev", False)
        self.assertFired(over, True)
        self.assertFired(self.list.unsubscribe("never"), False)
        self.assertEqual(self.frames(), [])

    def test_quickly(self) -> None:
        """Subscribe, unsubscribe, subscribe in one turn: asked in that order, and only the last answer makes it active."""
        first = self.list.subscribe(Sub("ev", True))
        over = self.list.unsubscribe("ev")
        last = self.list.subscribe(Sub("ev", True))
        self.assertEqual(self.frames(), [Sub("ev", True), Unsub("ev"), Sub("ev", True)])
        self.assertFired(first, False)
        self.answer("ev")
        self.assertNoResult(last)
        self.answer("ev", False)
        self.assertFired(over, True)
        self.assertNoResult(last)
        self.answer("ev")
        self.assertFired(last, True)
        self.assertFired(self.list.subscribe(Sub("ev", True)), True)

    def test_quicklyOff(self) -> None:
        """Subscribe, unsubscribe: whoever waited for it to be active hears that it is not, and it stays so."""
        first = self.list.subscribe(Sub("ev", True))
        over = self.list.unsubscribe("ev")
        self.assertFired(first, False)
        self.answer("ev")
        self.answer("ev", False)
        self.assertFired(over, True)
        self.assertEqual(self.list.held(), [])
        self.frames()
        self.assertNoResult(self.list.subscribe(Sub("ev", True)))
        self.assertEqual(self.frames(), [Sub("ev", True)])

    def test_refused(self) -> None:
        """A refusal fails everybody who waits, naming pattern and reason, and the pattern is held no more."""
        waiting = [self.list.subscribe(Sub("secret", own)) for own in (True, True)]
        self.answer("secret", False, "not yours")
        for deferred in waiting:
            error = self.failureResultOf(deferred, Refused).value
            self.assertIn("'secret'", str(error))
            self.assertIn("not yours", str(error))
        self.assertEqual((self.list.held(), self.refused), ([], [("secret", "not yours")]))
        self.frames()
        self.list.subscribe(Sub("secret", True))
        self.assertEqual(self.frames(), [Sub("secret", True)])

    def test_wrongAnswer(self) -> None:
        """An answer to what was not asked, or not yet due, breaks the protocol."""
        error = self.assertRaises(ProtocolError, self.answer, "ev")
        self.assertIn("'ev'", str(error))
        self.list.subscribe(Sub("a", True))
        self.list.subscribe(Sub("b", True))
        self.assertRaises(ProtocolError, self.answer, "b")

    def test_linkLost(self) -> None:
        """Lost with open requests: what was to end is over, what was to begin waits for the next link, which is told of it."""
        active = self.list.subscribe(Sub("a", True))
        self.answer("a")
        waiting = self.list.subscribe(Sub("b", False))
        over = self.list.unsubscribe("a")
        self.lose()
        self.assertFired(active, True)
        self.assertFired(over, True)
        self.assertNoResult(waiting)
        self.assertEqual(self.list.held(), [Sub("b", False)])
        self.frames()
        self.open()
        self.assertFired(waiting, True)
        self.assertEqual(self.frames(), [])

    def test_lostWhileActive(self) -> None:
        """After a loss nothing is active: who subscribes again waits for the next link."""
        self.list.subscribe(Sub("ev", True))
        self.answer("ev")
        self.lose()
        again = self.list.subscribe(Sub("ev", True))
        self.assertNoResult(again)
        self.open()
        self.assertFired(again, True)

    def test_stop(self) -> None:
        """Stopped, it tells whoever still waits that it will not come."""
        waiting = self.list.subscribe(Sub("ev", True))
        done = self.list.subscribe(Sub("done", True))
        self.answer("ev")
        self.lose()
        self.list.stop()
        self.assertFired(waiting, True)
        self.assertIn("'done'", str(self.failureResultOf(done, NotRunning).value))
        self.list.stop()

    def test_cancelled(self) -> None:
        """Who cancels the Deferred hears no more of it; the subscription stands, and others who wait are told."""
        waiting, other = self.list.subscribe(Sub("ev", True)), self.list.subscribe(Sub("ev", True))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.answer("ev")
        self.assertFired(other, True)
        over = self.list.unsubscribe("ev")
        over.cancel()
        self.failureResultOf(over, CancelledError)
        self.answer("ev", False)


class UnlinkedTests(Case):
    def test_subscribe(self) -> None:
        """Without a link it is held, and active when a link opens that was told of it."""
        first, second = self.list.subscribe(Sub("a", True)), self.list.subscribe(Sub("b.*", False))
        self.assertEqual(self.list.held(), [Sub("a", True), Sub("b.*", False)])
        self.assertNoResult(first)
        self.open()
        self.assertFired(first, True)
        self.assertFired(second, True)
        self.assertEqual(self.frames(), [])

    def test_unsubscribe(self) -> None:
        """Without a link it is over at once."""
        waiting = self.list.subscribe(Sub("ev", True))
        self.assertFired(self.list.unsubscribe("ev"), True)
        self.assertFired(waiting, False)
        self.assertFired(self.list.unsubscribe("ev"), False)
        self.open()
        self.assertEqual(self.frames(), [])

    def test_whileDialling(self) -> None:
        """What changes between hello and answer is asked for as soon as the link is open."""
        for pattern, own in (("stays", True), ("goes", True), ("grows", False), ("returns", True)):
            self.list.subscribe(Sub(pattern, own))
        told = self.list.held()
        self.assertFired(self.list.unsubscribe("goes"), True)
        grown = self.list.subscribe(Sub("grows", True))
        self.list.unsubscribe("returns")
        returned = self.list.subscribe(Sub("returns", True))
        new = self.list.subscribe(Sub("new", False))
        self.open(told)
        self.assertEqual(self.frames(), [Unsub("goes"), Sub("grows", True), Sub("new", False)])
        self.assertFired(returned, True)
        self.answer("goes", False)
        self.assertNoResult(grown)
        self.answer("grows")
        self.assertFired(grown, True)
        self.answer("new")
        self.assertFired(new, True)

    def test_againAfterDialling(self) -> None:
        """What ended while dialling may be wanted again before its end is answered."""
        self.list.subscribe(Sub("ev", True))
        told = self.list.held()
        self.list.unsubscribe("ev")
        self.open(told)
        again = self.list.subscribe(Sub("ev", True))
        self.assertEqual(self.frames(), [Unsub("ev"), Sub("ev", True)])
        self.answer("ev", False)
        self.assertNoResult(again)
        self.answer("ev")
        self.assertFired(again, True)

    def test_refusedInOpen(self) -> None:
        """What the answer to the hello refuses fails and is held no more; the rest is active."""
        good, bad = self.list.subscribe(Sub("good", True)), self.list.subscribe(Sub("bad", True))
        self.open(refused={"bad": "not yours"})
        self.assertFired(good, True)
        self.assertIn("not yours", str(self.failureResultOf(bad, Refused).value))
        self.assertEqual((self.list.held(), self.refused, self.frames()), ([Sub("good", True)], [("bad", "not yours")], []))

    def test_callbacks(self) -> None:
        """A callback may subscribe and unsubscribe at once, be it while the link opens: every request is answered in turn."""
        first = self.list.subscribe(Sub("first", True))
        self.list.subscribe(Sub("second", True))
        more: list[Deferred[bool]] = []

        def change(active: bool) -> None:
            more.append(self.list.subscribe(Sub("third", True)))
            more.append(self.list.unsubscribe("second"))

        first.addCallback(change)
        self.open()
        for frame in self.frames():
            assert isinstance(frame, (Sub, Unsub))
            self.answer(frame.pattern, isinstance(frame, Sub))
        self.assertEqual([self.successResultOf(one) for one in more], [True, True])
        self.assertEqual(self.list.held(), [Sub("first", True), Sub("third", True)])

    def test_everyLink(self) -> None:
        """The same list is told to every link, with nothing done by anybody."""
        self.list.subscribe(Sub("a", True))
        for _ in range(3):
            self.open()
            self.assertEqual(self.frames(), [])
            self.assertFired(self.list.subscribe(Sub("a", True)), True)
            self.lose()

    def test_stop(self) -> None:
        """Stopped before any link: told, not left waiting; what is held is still known for a next start."""
        waiting = self.list.subscribe(Sub("ev", True))
        self.list.stop()
        self.failureResultOf(waiting, NotRunning)
        self.assertEqual(self.list.held(), [Sub("ev", True)])
        self.open()
        self.assertFired(self.list.subscribe(Sub("ev", True)), True)
