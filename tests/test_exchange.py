"""The rules of a dispatcher: who is there, who subscribes to what, who gets which event."""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core import exchange
from nodeset.core.batch import (
    MAX_REASON,
    MAX_SUBSCRIPTIONS,
    WINDOW,
    Done,
    Events,
    Held,
    Level,
    Mode,
    Policy,
    Result,
    Sub,
    Subbed,
    Took,
    pack,
    unpack,
)
from nodeset.core.exchange import MAX_HELD, Exchange
from nodeset.errors import ProtocolError, Refused
from tests.exchanges import ExchangeCase, makeHello, makeRun


class JoinTests(ExchangeCase):
    def test_foreignStream(self) -> None:
        """A stream is bound to the TubID that opened it first: nobody else can take it over, nor learn it from the refusal."""
        victim = self.join("victim", "ev")
        error = self.assertRaises(Refused, self.exchange.join, "tub-thief", makeHello("victim"), self.now)
        self.assertNotIn(victim.stream, str(error))
        self.assertIs(self.exchange.answers.sessions[victim.stream], victim)
        self.assertEqual(self.publish(makeRun(1)).to, ["victim"])

    def test_heldTooMuch(self) -> None:
        """Nobody holds events in a million ranges: who says so would fill the memory with it."""
        node = self.join("n")
        part = [(number, number) for number in range(1, 20_000, 2)]
        for stream in range(MAX_HELD // len(part) - 1):
            self.exchange.held(node, Held(f"stream{stream}", part, []), self.now)
        with self.assertRaises(ProtocolError):
            self.exchange.held(node, Held("one.more", part, part), self.now)

    def test_churn(self) -> None:
        """Subscriptions that went leave no memory behind, be they ever so many."""
        node = self.join("n", "ev")

        def size() -> int:
            return sum(map(sys.getsizeof, (node.entries, node.spellings, node.quotas)))

        before = size()
        for _ in range(3):
            for number in range(1000):
                self.exchange.subscribe(node, Sub(f"ev.{number}"))
            for number in range(1000):
                self.exchange.unsubscribe(node, f"ev.{number}", self.now)
            self.assertLess(size(), 5 * before)
            self.assertEqual(self.publish(makeRun(self.publisher.highest + 1)).to, ["n"])

    def test_tooMany(self) -> None:
        """One node over the limit is refused; one that comes back is not one more, one that leaves makes room."""
        small = Exchange(max_nodes=2)
        small.join("a", makeHello("a"), 0.0)
        small.join("b", makeHello("b"), 0.0)
        error = self.assertRaises(Refused, small.join, "c", makeHello("c"), 0.0)
        self.assertIn("2 nodes", str(error))
        first, *_ = small.join("a", makeHello("a"), 0.0)
        small.leave(first, 0.0, "it left")
        small.join("c", makeHello("c"), 0.0)

    def test_badNames(self) -> None:
        """A node whose name or host could not be part of an address is refused."""
        for name, host in (("", "h"), ("a/b", "h"), ("a@b", "h"), ("n", ""), ("n", "h\n"), ("x" * 256, "h")):
            hello = makeHello(name, host=host, stream="new")
            self.assertRaises(Refused, self.exchange.join, "tub-new", hello, self.now)
        self.assertEqual(list(self.exchange.answers.sessions.values()), [self.publisher])

    def test_sameName(self) -> None:
        """Two nodes may bear one name, even from one Tub: an event for that name reaches both."""
        for stream in ("one", "two"):
            self.join("nodeAbc", "ev", peer="tub", stream=stream)
        self.assertEqual(self.publish(makeRun(1, event="nodeAbc@localhost/ev")).to, ["nodeAbc", "nodeAbc"])

    def test_known(self) -> None:
        """A node is told whether it is known from before, by its stream."""
        self.assertFalse(self.exchange.join("tub-n", makeHello("n"), self.now)[1])
        session, known, _refused = self.exchange.join("tub-n", makeHello("n"), self.now)
        self.assertTrue(known)
        self.leave(session)
        self.assertFalse(self.exchange.join("tub-n", makeHello("n"), self.now)[1])

    def test_hello(self) -> None:
        """A hello subscribes to all at once; what is refused comes back with its reason, the rest is active."""
        hello = makeHello("n", "a", "b//c", "other@localhost/d", ("e.*", False))
        session, _known, refused = self.exchange.join("tub-n", hello, self.now)
        self.assertEqual([pattern for pattern, _why in refused], ["b//c", "other@localhost/d"])
        self.assertTrue(all(why for _pattern, why in refused))
        self.assertEqual(list(session.entries), ["a", "e.*"])

    def test_replaced(self) -> None:
        """A new link of a stream replaces the old one: what it subscribes to now counts, what it had not confirmed it gets."""
        old = self.join("n", "ev", "old.>")
        self.publish(makeRun(1, 3))
        session = self.join("n", "new")
        self.assertIs(session, old)
        out = self.carryOut()
        self.assertEqual((out.runs, out.done), ([("n", 1, 3)], []))
        self.assertEqual([self.publish(makeRun(4)).to, self.publish(makeRun(5, event="new")).to], [[], ["n"]])
        self.assertEqual(self.confirm(session, 1, 3), [Done([(1, 3)], Result.OK, 1, 1, 0)])
        self.assertEmpty()


class SubscribeTests(ExchangeCase):
    def test_alias(self) -> None:
        """A node may subscribe under its own label and host, nobody else's."""
        node = self.join("n", host="h")
        for pattern in ("ev", "n@localhost/a", "n@h/b", "h/c", "site/d", "*@site/e.>"):
            self.assertEqual(self.exchange.subscribe(node, Sub(pattern)), Subbed(pattern, True))
        for pattern in ("x@localhost/ev", "x@h/ev", "n@k/ev", "k/ev", "a//b", "", "ev\n", "a*"):
            answer = self.exchange.subscribe(node, Sub(pattern))
            self.assertEqual((answer.pattern, answer.active), (pattern, False))
            self.assertTrue(answer.refused)
        self.assertEqual(len(node.entries), 6)

    def test_longRefusal(self) -> None:
        """Even the longest refusal fits into a frame, so that it costs a subscription but not the link."""
        node = self.join("n" * 255, host="h" * 255)
        pattern = f"{'x' * 255}@{'y' * 255}/{'é' * 127}"
        for wrong in (pattern, "\U000e0001" * 800, "/" * 800):
            answer = self.exchange.subscribe(node, Sub(wrong))
            self.assertEqual(unpack(pack([answer])), [answer])
            self.assertLessEqual(len(answer.refused), MAX_REASON)

    def test_unsubscribe(self) -> None:
        """Unsubscribing ends one subscription and no other; doing it again, or without one, is answered the same."""
        node = self.join("n", "ev", "ev.*")
        self.assertEqual(self.exchange.unsubscribe(node, "ev", self.now), Subbed("ev", False))
        self.assertEqual(self.exchange.unsubscribe(node, "ev", self.now), Subbed("ev", False))
        self.assertEqual(self.exchange.unsubscribe(node, "never\n", self.now), Subbed("never\n", False))
        self.assertEqual([self.publish(makeRun(1)).to, self.publish(makeRun(2, event="ev.x")).to], [[], ["n"]])

    def test_tooMany(self) -> None:
        """A node may have 10,000 subscriptions; one more is refused with a reason, the others stay as they are."""
        node = self.join("n", *[f"ev.{number}" for number in range(MAX_SUBSCRIPTIONS - 1)])
        self.assertTrue(self.exchange.subscribe(node, Sub("last")).active)
        self.assertIn("use patterns", self.exchange.subscribe(node, Sub("one.more")).refused)
        self.assertTrue(self.exchange.subscribe(node, Sub("last", True, Policy.DROP_NEWEST)).active)
        self.exchange.unsubscribe(node, "ev.0", self.now)
        self.assertTrue(self.exchange.subscribe(node, Sub("one.more")).active)
        _session, _known, refused = self.exchange.join(
            "tub-m", makeHello("m", *[f"ev.{number}" for number in range(MAX_SUBSCRIPTIONS + 3)]), self.now
        )
        self.assertEqual(len(refused), 3)

    def test_spellings(self) -> None:
        """Two spellings of one address are two subscriptions for one event: the route stays until both are gone."""
        node = self.join("n", "ev", "/ev", "n@localhost/ev")
        self.assertEqual(self.publish(makeRun(1)).to, ["n"])
        self.exchange.unsubscribe(node, "ev", self.now)
        self.exchange.unsubscribe(node, "/ev", self.now)
        self.assertEqual(self.publish(makeRun(2)).to, ["n"])
        self.exchange.unsubscribe(node, "n@localhost/ev", self.now)
        self.assertEqual(self.publish(makeRun(3)).to, [])
        self.assertEqual((node.quotas, node.spellings), ({}, {}))
        self.join("m", "x.y.*", "localhost/x.y.*", "z", "/z")
        self.assertEmpty()

    def test_own(self) -> None:
        """An autosubscribed route never gets its own node's events, an explicit subscription does; others' events both get."""
        auto = self.join("auto", ("ev", False))
        explicit = self.join("explicit", ("ev", True))
        self.assertEqual(self.publish(makeRun(1), auto).to, ["explicit"])
        self.assertEqual(sorted(self.publish(makeRun(1), explicit).to), ["auto", "explicit"])
        self.assertEqual(sorted(self.publish(makeRun(1)).to), ["auto", "explicit"])
        self.assertEqual(self.publish(makeRun(2, mode=Mode.ONE), auto).to, ["explicit"])

    def test_ownAlone(self) -> None:
        """Who alone catches what it publishes has published to nobody."""
        auto = self.join("auto", ("ev", False))
        for first, mode in enumerate(Mode, 1):
            ((_name, done),) = self.publish(makeRun(first, mode=mode), auto).done
            self.assertEqual((done.result, done.matched, done.delivered, done.dropped), (Result.OK, 0, 0, 0))

    def test_ownTwice(self) -> None:
        """A node that catches an event and subscribes to it explicitly gets its own, in whatever order and spelling."""
        for number, wishes in enumerate(
            ([("ev", False), ("/ev", True)], [("/ev", True), ("ev", False)], [("ev", False), (">", True)])
        ):
            node = self.join(f"n{number}", *wishes)
            self.assertEqual(self.publish(makeRun(1), node).to, [node.name])
            explicit = next(pattern for pattern, own in wishes if own)
            self.exchange.unsubscribe(node, explicit, self.now)
            self.assertEqual(self.publish(makeRun(2), node).to, [])
            self.leave(node)
        node = self.join("again", ("ev", False))
        self.exchange.subscribe(node, Sub("ev"))
        self.assertEqual(self.publish(makeRun(1), node).to, ["again"])

    def test_limits(self) -> None:
        """A subscription has the policy and limits that it asks for, also when it asks again for others."""
        node = self.join("n", Sub("ev", True, Policy.DROP_OLDEST, 5, 60))
        (quota,) = node.quotas.values()
        self.assertEqual((quota.policy, quota.max_events, quota.max_bytes), (Policy.DROP_OLDEST, 5, 60))
        self.exchange.subscribe(node, Sub("ev", True, Policy.DROP_NEWEST, 7, 80))
        self.assertEqual(list(node.quotas.values()), [quota])
        self.assertEqual((quota.policy, quota.max_events, quota.max_bytes), (Policy.DROP_NEWEST, 7, 80))


class PublishTests(ExchangeCase):
    def test_unmatched(self) -> None:
        """An event that nobody subscribes to is answered at once: nobody matched."""
        for first, mode in enumerate(Mode, 1):
            out = self.publish(makeRun(first, mode=mode))
            self.assertEqual(out.frames, [("pub", Done([(first, first)], Result.OK, 0, 0, 0)), ("pub", Took(1))])
        self.assertEqual(self.exchange.underWay, 0)

    def test_all(self) -> None:
        """Mode all: each that matches gets the whole run, once, with the publisher's stream on it, whatever the run said."""
        self.join("a", "ev", "*", ">")
        self.join("b", "ev")
        self.join("c", "other")
        out = self.publish(makeRun(1, 3, stream="forged"))
        expected = [(1, b"1"), (2, b"2"), (3, b"3")]
        self.assertEqual(out.events, [("a", expected), ("b", expected)])
        runs = [frame for _name, frame in out.frames if isinstance(frame, Events)]
        self.assertEqual([run.stream for run in runs], [self.publisher.stream] * 2)

    def test_low(self) -> None:
        """The low mark that its publisher put on a run rides with it, whatever newer one the dispatcher knows."""
        slow = self.fill(most=10)
        self.exchange.arrive(self.publisher, [makeRun(2, low=2)], self.now)
        self.exchange.arrive(self.publisher, [makeRun(5, low=5)], self.now)
        self.carryOut()
        self.exchange.took(slow, 1, self.now)
        runs = [frame for _name, frame in self.carryOut().frames if isinstance(frame, Events)]
        self.assertEqual([(run.first, run.low) for run in runs], [(2, 2), (5, 5)])

    def test_refused(self) -> None:
        """A publisher that sends a pattern, no address, or too large an event loses its link; nothing was routed."""
        self.join("a", ">")
        small = Exchange(max_event=10)
        session, *_ = small.join("tub", makeHello("p"), 0.0)
        self.assertRaises(ProtocolError, small.arrive, session, [makeRun(1, [b"x" * 11])], 0.0)
        for event in ("*", "a.>", "a//b", "", "n@h", "e" * 256, "e\x00"):
            error = self.assertRaises(ProtocolError, self.publish, makeRun(1, event=event))
            self.assertTrue(str(error).isprintable())
        self.assertEqual((self.exchange.answers.counters["published"], self.exchange.underWay), (0, 0))

    def test_backwards(self) -> None:
        """Numbers only grow on a link, gaps are fine; a new link begins anew, since all is resent over it."""
        self.publish(makeRun(1, 5))
        self.publish(makeRun(10, 5))
        for first in (14, 10, 6, 1, 0):
            self.assertIn("14", str(self.assertRaises(ProtocolError, self.publish, makeRun(first))))
        self.publish(makeRun(15))
        self.resend(makeRun(1, 5))
        self.assertRaises(ProtocolError, self.publish, makeRun(5))

    def test_withoutCredit(self) -> None:
        """Four batches may wait to be routed; a fifth breaks the protocol, so that nobody fills the dispatcher's memory."""
        slow = self.fill(most=1)
        first = 1
        while not self.exchange._blocked:
            self.publish(makeRun(first))
            first += 1
        for _ in range(WINDOW - 1):
            self.assertEqual(self.publish(makeRun(first)).other(Took), [])
            first += 1
        error = self.assertRaises(ProtocolError, self.publish, makeRun(first))
        self.assertIn(str(WINDOW), str(error))
        self.assertEqual(len(self.publisher.arrived), WINDOW)
        self.leave(slow)

    def test_credit(self) -> None:
        """Each batch that was routed whole gives its publisher credit for one more."""
        out = self.publish(makeRun(1, 3))
        self.assertEqual(out.other(Took), [("pub", Took(1))])
        slow = self.fill(most=2)
        self.exchange.arrive(self.publisher, [makeRun(4), makeRun(5), makeRun(6)], self.now)
        self.assertEqual(self.carryOut().other(Took), [])
        self.assertEqual(self.exchange.underWay, 2 + 3)
        self.exchange.took(slow, 1, self.now)
        self.assertEqual(self.carryOut().runs, [("slow", 4, 4), ("slow", 5, 5)])
        self.exchange.took(slow, 1, self.now)
        out = self.carryOut()
        self.assertEqual((out.runs, out.other(Took)), ([("slow", 6, 6)], [("pub", Took(1))]))

    def test_filters(self) -> None:
        """A node or host in the address narrows who gets the event."""
        self.join("a", "ev", host="h")
        self.join("b", "ev", host="h")
        self.join("a2", "ev", host="k")
        for first, (address, expected) in enumerate(
            [
                ("ev", ["a", "b", "a2"]),
                ("site/ev", ["a", "b", "a2"]),
                ("h/ev", ["a", "b"]),
                ("a@h/ev", ["a"]),
                ("a@/ev", ["a"]),
                ("b@k/ev", []),
                ("nobody@/ev", []),
            ],
            1,
        ):
            self.assertEqual(self.publish(makeRun(first, event=address)).to, expected, address)

    def test_accepted(self) -> None:
        """Level accepted is answered once it is queued, with who matched; what becomes of it is told nobody."""
        node, other = self.join("a", "ev"), self.join("b", "ev")
        out = self.publish(makeRun(1, 2, level=Level.ACCEPTED))
        self.assertEqual((out.to, out.done), (["a", "b"], [("pub", Done([(1, 2)], Result.OK, 2, 0, 0))]))
        self.assertEqual(self.confirm(node, 1, 2), [])
        self.assertEqual(self.leave(other).done, [])
        self.assertEqual(self.exchange.underWay, 0)

    def test_counters(self) -> None:
        """`published` counts events, `pubs` deliveries."""
        self.join("a", "ev")
        self.join("b", "ev")
        self.publish(makeRun(1, 5))
        self.publish(makeRun(6, 3, mode=Mode.ONE))
        self.publish(makeRun(9, 2, event="unmatched"))
        counters = self.exchange.answers.counters
        self.assertEqual((counters["published"], counters["pubs"]), (10, 13))


class FigureTests(SynchronousTestCase):
    def test_figures(self) -> None:
        """A restarted dispatcher waits 2 s, 1 s after each that returns, 30 s at most; a lost link is away for 2 s."""
        self.assertEqual((exchange.SETTLE, exchange.REJOIN, exchange.SETTLE_MOST, exchange.AWAY), (2.0, 1.0, 30.0, 2.0))
