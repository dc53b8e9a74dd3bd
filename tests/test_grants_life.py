"""Grants over time: rates, ends, revocations, restarts."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from nodeset.core.batch import Held, Mode
from nodeset.core.grants.chain import idOf
from nodeset.core.node import Node
from nodeset.errors import GrantRefused, NodeSetError, Receipt, Refused
from tests.chains import caveat, rights
from tests.exchanges import ExchangeCase, makeHello, makeRun
from tests.grantees import GrantCase
from tests.sites import Order


class RevokeTests(GrantCase):
    """What is revoked ends at once, with all that came of it, for good."""

    def setUp(self) -> None:
        super().setUp()
        self.furl = self.granted(publish=["a.>"], subscribe=["a.>"])
        self.parent = self.holder(self.furl, "parent")
        self.child_furl = self.granted(self.parent, publish=["a.b"], subscribe=["a.b"])
        self.child = self.holder(self.child_furl, "child")
        self.grandchild_furl = self.granted(self.child, rate=50)
        self.grandchild = self.holder(self.grandchild_furl, "grandchild")
        self.other = self.holder(self.granted(publish=["a.>"], subscribe=["a.>"]), "other")

    def linked(self) -> list[str]:
        return [node.name for node in self.site.nodes if node._peer is not None and node._peer.linked]

    def revoke(self, node: Node, what: str) -> Any:
        return self.site.wait(node.revoke(what))

    def test_cut(self) -> None:
        """Links that live by a revoked grant are cut before the answer comes, those that derive from it too; no others."""
        self.assertEqual(self.linked(), ["owner", "listener", "parent", "child", "grandchild", "other"])
        for node in (self.child, self.grandchild, self.other):
            self.site.wait(node.subscribe("a.b"))
        self.assertTrue(self.revoke(self.owner, self.child_furl))
        self.assertEqual(self.linked(), ["owner", "listener", "parent", "other"])
        self.site.advance(5.0)
        self.assertEqual(self.linked(), ["owner", "listener", "parent", "other"])
        receipt = self.site.wait(self.parent.publish("a.b", Order, id=1))
        self.assertEqual((receipt, self.other.events()), (Receipt(2, 2, 0), ["a.b"]))
        self.assertEqual((self.child.events(), self.stats("expelled")), ([], [2]))
        self.failing(GrantRefused, self.child.start())

    def test_restart(self) -> None:
        """What was revoked stays revoked after the dispatcher has died; what was not works on."""
        self.revoke(self.owner, self.child_furl)
        self.site.killDispatcher()
        self.site.advance(1.0)
        self.site.startDispatcher()
        self.site.advance(6.0)
        self.assertEqual(self.linked(), ["owner", "listener", "parent", "other"])
        self.assertTrue(self.publishesTo(self.parent, "a.b"))
        self.assertFalse(self.publishesTo(self.parent, "b"))

    def test_holders(self) -> None:
        """A holder revokes what derives from its grant, nothing else: not its own, which others may have, nor its parent's."""
        for node, what, words in (
            (self.parent, self.furl, "does not derive"),
            (self.child, self.furl, "does not derive"),
            (self.other, self.child_furl, "does not derive"),
            (self.listener, self.furl, "does not derive"),
            (self.parent, self.site.owner, "does not derive"),
            (self.parent, idOf(self.child_furl.rpartition("/")[2]), "by id"),
            (self.parent, self.change(self.child_furl, "forged"), "not signed"),
        ):
            self.assertIn(words, str(self.failing(Refused, node.revoke(what))))
        self.assertEqual(len(self.linked()), 6)
        self.assertTrue(self.revoke(self.parent, self.grandchild_furl))
        self.assertEqual(self.linked(), ["owner", "listener", "parent", "child", "other"])
        self.assertFalse(self.revoke(self.parent, self.grandchild_furl))

    def test_chosenId(self) -> None:
        """A holder that gives its own link the random number of somebody else's revokes, and slows down, its own alone."""
        from nodeset.core.grants.chain import caveatsOf, narrow

        victim = caveatsOf(self.furl.rpartition("/")[2])[-1]
        other = self.other._transport
        assert other is not None
        same = "memory://site/" + narrow(other.furl().rpartition("/")[2], victim)
        self.assertTrue(self.revoke(self.other, same))
        self.assertEqual(len(self.linked()), 6)

    def test_oneself(self) -> None:
        """Who revokes the grant that he himself lives by is answered first, then cut; in between he can do nothing with it.

        What he had minted does not derive from it.
        """
        revoked = self.owner.revoke(self.site.owner)
        minted = self.owner.grant(publish=["a"])
        self.assertTrue(self.site.wait(revoked))
        self.assertIn("revoked", str(self.failing(Refused, minted)))
        self.site.advance(1.5)
        self.assertEqual(self.linked(), ["listener", "parent", "child", "grandchild", "other"])

    def test_queued(self) -> None:
        """Nothing that waits for a node is handed to it after its grant is gone, by whatever grant it comes back."""
        self.site.wait(self.child.subscribe("a.b"))
        transport: Any = self.child._transport
        self.site.wire.cut(transport._peer)
        sent = self.parent.publish("a.b", Order, id=1)
        self.site.flush()
        self.revoke(self.owner, self.child_furl)
        transport._furl = self.granted(publish=["x"], subscribe=["x"])
        self.failing(NodeSetError, sent)
        self.site.advance(3.0)
        self.assertIn("child", self.linked())
        self.assertEqual(self.child.events(), [])

    def test_expiry(self) -> None:
        """A live link is cut when its grant ends, and opens no more."""
        brief = self.holder(self.granted(self.parent, expires=3), "brief")
        self.site.advance(2.0)
        self.assertIn("brief", self.linked())
        self.site.advance(2.5)
        self.assertNotIn("brief", self.linked())
        self.assertIn("expired", str(self.failing(GrantRefused, brief.start())))
        assert self.site.dispatcher is not None and self.site.dispatcher.warrants is not None
        self.assertEqual(self.site.dispatcher.warrants._ending, {})

    def test_otherGrant(self) -> None:
        """A node that comes back with a narrower grant keeps what that allows of its subscriptions, is told of the rest."""
        for pattern in ("a.b", "a.c"):
            self.site.wait(self.parent.subscribe(pattern))
        transport: Any = self.parent._transport
        transport._furl = self.child_furl
        self.site.wire.cut(transport._peer)
        self.site.advance(1.0)
        for event in ("a.b", "a.c"):
            self.site.wait(self.listener.publish(event, Order, id=1))
        self.assertEqual((self.parent.events(), self.parent.getSubscriptions()), (["a.b"], ["a.b", "a.c"]))


class RateTests(GrantCase):
    """What comes too fast is refused, and said to be."""

    def burst(self, node: Node, count: int) -> tuple[int, int]:
        """How many of so many events came through, how many were refused."""
        sent = [node.publish("a", Order, id=number) for number in range(count)]
        results: list[Any] = []
        for each in sent:
            each.addBoth(results.append)
        self.site.wait(sent[-1])
        came = sum(isinstance(result, Receipt) for result in results)
        refused = [result.value for result in results if not isinstance(result, Receipt)]
        self.assertTrue(all(isinstance(error, Refused) and "10 events and calls a second" in str(error) for error in refused))
        return came, len(refused)

    def test_rate(self) -> None:
        """Ten a second are ten a second: the rest is refused to its publisher, who stays linked, while others publish on."""
        node, fast = self.holder(self.granted(rate=10)), self.holder(self.site.member, "fast")
        self.site.advance(5.0)
        self.assertEqual(self.burst(node, 25), (10, 15))
        self.assertEqual(self.burst(fast, 25), (25, 0))
        self.assertEqual(self.stats("refused_events"), [15])
        self.site.advance(0.55)
        came, refused = self.burst(node, 20)
        self.assertIn(came, (5, 6))
        self.assertEqual(came + refused, 20)

    def test_children(self) -> None:
        """All that derives from a grant shares its rate; who has one of its own on top has no more than that either."""
        parent = self.holder(self.granted(rate=10), "parent")
        one = self.holder(self.granted(parent, publish=["a"]), "one")
        two = self.holder(self.granted(parent, publish=["a"], rate=8), "two")
        self.assertEqual(self.burst(one, 6), (6, 0))
        came = 0
        for number in range(6):
            came += not fails(self.site, two.publish("a", Order, id=number))
        self.assertIn(came, (4, 5))

    def test_calls(self) -> None:
        """Calls draw from the same rate as events."""
        node = self.holder(self.granted(rate=10))
        self.assertEqual(self.burst(node, 6), (6, 0))
        failed = [fails(self.site, node.call("", "nodes")) for _ in range(6)]
        self.assertEqual(failed, [False] * 4 + [True] * 2)

    def test_runs(self) -> None:
        """Of a run the first events for which there is room come through, in order."""
        node = self.holder(self.granted(rate=10))
        self.failing(Refused, node.publishMany("a", Order, [{"id": number} for number in range(30)]))
        self.assertEqual([msg.id for event, msg in self.listener.heard if event == "a"], list(range(10)))


def fails(site: Any, deferred: Deferred[Any]) -> bool:
    try:
        site.wait(deferred)
    except Refused:
        return True
    return False


class ResentTests(ExchangeCase):
    """What is sent again after a lost link."""

    def test_rate(self) -> None:
        """What is under way already takes no room in the rate; of the rest what is over it is refused, and it is said that
        it may have arrived before.
        """
        a = self.join("a", "ev")
        narrow = rights(caveat(rate=4.0))
        narrow = type(narrow)(narrow.chain, [_bucket(4.0, self.now)])
        self.exchange.join("tub-pub", makeHello("pub"), self.now, narrow)
        self.assertEqual(self.publish(makeRun(1, 4)).sums["a"], 4)
        self.confirm(a, 1, 1)
        self.exchange.lost(self.publisher, self.now)
        self.exchange.join("tub-pub", makeHello("pub"), self.now, narrow)
        self.exchange.arrive(self.publisher, [makeRun(1, 6, again=True)], self.now)
        done = [frame for _name, frame in self.carryOut().done]
        self.assertEqual([(frame.result, frame.ranges) for frame in done], [(3, [(1, 1), (5, 6)])])
        self.assertIn("may have arrived then", done[0].reason)
        self.assertEqual(self.confirm(a, 2, 4)[0].ranges, [(2, 4)])

    def test_claimed(self) -> None:
        """Nobody gets a resent event by saying that he holds it whose grant does not let him subscribe to it."""
        worker = self.join("worker", "ev")
        thief, *_ = self.exchange.join("tub-thief", makeHello("thief"), self.now, rights(caveat(subscribe=["other"])))
        self.exchange.held(thief, Held(self.publisher.stream, [(1, 5)], []), self.now)
        self.assertEqual(self.resend(makeRun(1, 5, mode=Mode.ONE)).sums, {worker.name: 5})


def _bucket(rate: float, now: float) -> Any:
    from nodeset.core.grants.rights import Bucket

    return Bucket(rate, now)
