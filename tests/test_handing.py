"""Whom a dispatcher asks to hand last values to whom."""

from __future__ import annotations

from nodeset.core.batch import MAX_RETAINED, Keep, Want
from nodeset.core.exchange import SETTLE
from nodeset.core.session import Session
from nodeset.errors import ProtocolError, Refused
from tests.exchanges import ExchangeCase, makeHello


class HandingCase(ExchangeCase):
    """An exchange whose nodes keep values."""

    def asked(self) -> list[tuple[str, str, str]]:
        """Who is asked for which pattern, for whom."""
        while self.exchange.handing.new:
            before = len(self.exchange.handing.new)
            self.exchange.handing.ask(self.now)
            self.exchange.tick(self.now)
            if len(self.exchange.handing.new) == before:
                break
        names = {session.stream: session.name for session in self.exchange.answers.sessions.values()}
        return sorted((name, frame.pattern, names[frame.to]) for name, frame in self.carryOut().frames if type(frame) is Want)

    def says(self, session: Session, *asked: Want) -> None:
        """The keeper has done what it was asked."""
        for want in asked:
            self.exchange.handing.said(session, want)


class HandingTests(HandingCase):
    """`Handing`, in an exchange that routes already."""

    def test_asked(self) -> None:
        """Each new subscription asks those who keep what matches, each new keeper is asked for those that are there."""
        self.join("keeper", retained=["a.b", "c"])
        self.join("other", "zzz", retained=["x"])
        self.assertEqual(self.asked(), [])
        self.join("one", "a.*", "nothing")
        self.assertEqual(self.asked(), [("keeper", "a.*", "one")])
        self.join("late", "a.b", retained=["a.z"])
        self.assertEqual(self.asked(), [("keeper", "a.b", "late"), ("late", "a.*", "one")])

    def test_known(self) -> None:
        """A node that is back within 2 s asks for nothing again, nor is it, but for what was not said to be done."""
        keeper, one = self.join("keeper", retained=["a"]), self.join("one", "a")
        other = self.join("other", "*")
        self.assertEqual(self.asked(), [("keeper", "*", "other"), ("keeper", "a", "one")])
        self.says(keeper, Want("a", one.stream), Want("a", one.stream), Want("b", "nobody"))
        for session in (keeper, one):
            self.exchange.lost(session, self.now)
        self.join("one", "a")
        self.assertEqual(self.asked(), [])
        keeper = self.join("keeper", retained=["a"])
        self.assertEqual(self.asked(), [("keeper", "*", "other")])
        self.says(keeper, Want("*", other.stream))
        self.exchange.lost(keeper, self.now)
        self.join("keeper", retained=["a", "b"])
        self.assertEqual((self.asked(), self.exchange.handing._owed), ([], {}))

    def test_away(self) -> None:
        """A keeper that is away is asked when it is back; one that is gone is not."""
        keeper = self.join("keeper", retained=["a"])
        self.exchange.lost(keeper, self.now)
        one = self.join("one", "a")
        self.assertEqual(self.asked(), [])
        keeper = self.join("keeper", retained=["a"])
        self.assertEqual(self.asked(), [("keeper", "a", "one")])
        self.leave(keeper)
        self.assertEqual(self.exchange.handing._owed, {})
        self.join("keeper", retained=["a"])
        self.leave(one)
        self.assertEqual((self.asked(), self.exchange.handing._owed), ([], {}))

    def test_frames(self) -> None:
        """What is kept from now on is on its way to all; what a hello had no room for may be new to them."""
        keeper = self.join("keeper")
        self.join("one", "*")
        self.exchange.handing.said(keeper, Keep("a"))
        self.assertEqual(self.asked(), [])
        self.exchange.handing.said(keeper, Keep("b", rest=True))
        self.exchange.handing.said(keeper, Keep("c", rest=True))
        self.exchange.handing.said(keeper, Keep("c", False))
        self.assertEqual(self.asked(), [("keeper", "*", "one")])
        for event in ("a", "b", "nothing"):
            self.exchange.handing.said(keeper, Keep(event, False))
        self.join("two", "*")
        self.assertEqual(self.asked(), [])

    def test_unsubscribed(self) -> None:
        """Who subscribes again before it was handed anything asks again."""
        self.join("keeper", retained=["a"])
        one = self.join("one", "a")
        self.assertEqual(self.asked(), [("keeper", "a", "one")])
        self.exchange.unsubscribe(one, "a", self.now)
        self.assertEqual(self.exchange.handing._owed, {})
        self.exchange.subscribe(one, makeHello("x", "a").subscriptions[0])
        self.assertEqual(self.asked(), [("keeper", "a", "one")])

    def test_retiring(self) -> None:
        """A node that is about to leave is not asked, and wants nothing."""
        keeper, one = self.join("keeper", retained=["a"]), self.join("one", "b")
        self.exchange.retire(keeper, self.now)
        self.join("two", "a")
        self.exchange.retire(one, self.now)
        self.join("other", retained=["b"])
        self.assertEqual(self.asked(), [])

    def test_manyAtOnce(self) -> None:
        """Thousands of values are looked up a part at a time, so that others get their turn."""
        self.join("one", "*")
        self.join("keeper", retained=[f"e{number}" for number in range(2500)])
        handing = self.exchange.handing
        left = []
        while handing.new:
            handing.ask(self.now)
            handing.ask(self.now)
            left.append(len(handing.new))
            self.exchange.tick(self.now)
        self.assertEqual(left, [1500, 500, 0])
        self.assertEqual(self.asked(), [("keeper", "*", "one")])

    def test_badInput(self) -> None:
        """A node cannot keep what nobody can publish, nor more than it may."""
        for bad in ("a.*", "", "a..b", "x" * 300, "@@/a"):
            with self.assertRaises(Refused) as caught:
                self.exchange.join("tub", makeHello("bad", retained=["fine", bad]), self.now)
            self.assertNotIn("\n", str(caught.exception))
            with self.assertRaises(ProtocolError):
                self.exchange.handing.said(self.publisher, Keep(bad))
        self.assertEqual([one.name for one in self.exchange.answers.sessions.values()], ["pub"])
        full = self.join("full", retained=[f"e{number}" for number in range(MAX_RETAINED)])
        with self.assertRaises(ProtocolError) as refused:
            self.exchange.handing.said(full, Keep("one.more"))
        self.assertIn("10000", str(refused.exception))
        self.leave(full)
        self.assertEmpty()


class RestartTests(HandingCase):
    """A dispatcher that was there before."""

    fresh = False

    def test_once(self) -> None:
        """It asks nobody before it routes, then each for each once, however they came back."""
        self.join("one", "a", "b")
        self.join("keeper", retained=["a"])
        self.join("two", "*")
        self.exchange.handing.ask(self.now)
        self.assertEqual(self.carryOut().other(Want), [])
        self.advance(SETTLE)
        self.assertEqual(self.asked(), [("keeper", "*", "two"), ("keeper", "a", "one")])
