"""Grants as nodes use them: every verb under every kind of grant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from twisted.internet.defer import Deferred

from nodeset.core.batch import Events
from nodeset.core.calls.expose import expose
from nodeset.core.node import Node
from nodeset.errors import BadGrant, GrantRefused, NotRunning, Refused, RemoteError, UnknownNode
from nodeset.testing import Site
from tests.chains import caveat, nameOf
from tests.grantees import GrantCase
from tests.sites import Order, Quiet

VERBS = ("publish", "subscribe", "alias", "addressed", "reserved", "call", "other", "nodes", "answer", "grant")


class Worker(Quiet):
    """A node that can be called."""

    @expose
    def sum(self, *numbers: int) -> int:
        return sum(numbers)

    @expose
    def other(self) -> bool:
        return True


class TableTests(GrantCase):
    """What can be done with which grant."""

    def can(self, node: Quiet) -> dict[str, bool]:
        """What of all there is to do this node may do."""
        found = {
            "publish": self.publishesTo(node, "orders.created"),
            "subscribe": self.subscribesTo(node, "orders.*"),
            "alias": self.subscribesTo(node, "other@localhost/orders.*"),
            "reserved": self.publishesTo(node, "nodeset.test"),
        }
        calls: dict[str, Callable[[], Deferred[Any]]] = {
            "call": lambda: node.call("calc", "sum", 1, 2),
            "other": lambda: node.call("calc@localhost", "other"),
            "nodes": node.nodes,
            "answer": lambda: self.listener.call(node.name, "sum", 1),
        }
        for verb, call in calls.items():
            found[verb] = self.succeeds(call(), UnknownNode if verb == "answer" else Refused)
        node.heard.clear()
        self.site.wait(self.listener.publish(f"{node.name}@localhost/orders.x", Order, id=1))
        found["addressed"] = node.events() == [f"{node.name}@localhost/orders.x"]
        found["grant"] = self.succeeds(node.call("", "grant", {"publish": ["x"]}), Refused)
        self.listener.heard.clear()
        return found

    def succeeds(self, deferred: Deferred[Any], error: type[Exception]) -> bool:
        """Whether it does, instead of failing with this."""
        try:
            self.site.wait(deferred)
        except error:
            return False
        return True

    def test_table(self) -> None:
        """Every verb with every kind of grant that counts."""
        self.site.node(Worker, name="calc")
        member = self.site.node(Quiet, name="handing")
        five = self.site.member.rpartition("/")[2]
        for pattern in ("orders.>", "orders.*", "orders.created", "orders.created"):
            both = self.holder(f"memory://site/{five}", "link")
            five = self.granted(both, publish=[pattern], subscribe=["orders.>"], answer=["holder"]).rpartition("/")[2]
            self.site.wait(both.stopService())
        all_of_it = "publish subscribe addressed call other nodes answer"
        table: dict[str, tuple[str, str]] = {
            "owner": (self.site.owner, f"{all_of_it} alias reserved grant"),
            "member": (self.site.member, all_of_it),
            "minted to publish": (self.granted(publish=["orders.>"]), "publish"),
            "minted to subscribe": (self.granted(subscribe=["orders.>"]), "subscribe"),
            "minted to answer": (self.granted(answer=["holder"], subscribe=[">"]), "subscribe addressed answer"),
            "minted to answer for another": (self.granted(answer=["other"], subscribe=[">"]), "subscribe alias"),
            "minted for the system": (self.granted(publish=["nodeset.>"]), "reserved"),
            "minted to call": (self.granted(call=["calc/sum"]), "call"),
            "minted to call all of it": (self.granted(call=["calc"]), "call other"),
            "minted to look": (self.granted(call=["nodeset/nodes"]), "nodes"),
            "minted to call all": (self.granted(call=["*"]), "call other nodes"),
            "minted with a rate": (self.granted(rate=100.0), all_of_it),
            "narrowed to publish": (self.granted(member, publish=["orders.*"]), "publish"),
            "narrowed to subscribe": (self.granted(member, subscribe=["orders.*"]), "subscribe"),
            "narrowed to call": (self.granted(member, call=["calc/sum"]), "call"),
            "narrowed to answer": (self.granted(member, subscribe=[">"], answer=["holder"]), "subscribe addressed answer"),
            "narrowed to nothing": (self.granted(member, publish=[]), ""),
            "narrowed by time": (self.granted(member, expires=3600), all_of_it),
            "narrowed to too much": ("memory://site/" + self.tooMuch(member), all_of_it),
            "narrowed five times": (f"memory://site/{five}", "publish subscribe addressed answer"),
        }
        for kind, (furl, allowed) in table.items():
            node = self.site.node(Worker, name="holder", grant=furl)
            found = self.can(node)
            self.assertEqual({verb for verb in VERBS if found[verb]}, set(allowed.split()), kind)
            self.site.wait(node.stopService())

    def tooMuch(self, member: Node) -> str:
        """A member's grant, narrowed by somebody who would like to have more."""
        from nodeset.core.grants.chain import narrow

        more = caveat(publish=[">", "nodeset.>"], subscribe=[">"], call=["*"], answer=["*"], owner=True)
        return narrow(self.site.member.rpartition("/")[2], more)

    def test_refused(self) -> None:
        """A grant that does not count opens no link; its holder is told why, and nobody else is disturbed."""
        member = self.site.node(Quiet, name="handing")
        good = self.granted(member, publish=["orders.>"], subscribe=["orders.>"])
        elsewhere = Site()
        self.addCleanup(elsewhere.stop)
        expired, revoked, parent = self.granted(expires=10), self.granted(publish=["a"]), self.granted(publish=["a.>"])
        child = self.granted(self.holder(parent, "parent"), publish=["a.b"])
        self.assertTrue(self.site.wait(self.owner.revoke(revoked)))
        self.assertTrue(self.site.wait(self.owner.revoke(parent)))
        self.assertFalse(self.site.wait(self.owner.revoke(parent)))
        self.site.advance(11.0)
        for furl, words in (
            *((self.change(good, kind), "not signed") for kind in ("forged", "swapped", "removed")),
            (self.change(good, "truncated"), "copy it again"),
            (self.change(good, "resigned"), "key of this dispatcher"),
            (elsewhere.member, "key of this dispatcher"),
            (expired, "expired on 2023-11-14"),
            (revoked, "was revoked"),
            (parent, "was revoked"),
            (child, "was revoked"),
            (self.granted(tub="A" * 32), "bound to another Tub"),
        ):
            node = self.holder(furl, start=False)
            node.startService()
            error = self.failing(GrantRefused, node.start())
            self.assertIn(words, str(error))
            self.assertNotIn(furl.rpartition("/")[2], str(error))
            self.assertFalse(node._peer is not None and node._peer.linked)
            self.site.wait(node.stopService())
        self.assertTrue(self.publishesTo(member, "orders.created"))
        bound = self.holder(self.granted(tub="A" * 32), tub="A" * 32)
        self.assertTrue(self.publishesTo(bound, "orders.created"))

    def test_minted(self) -> None:
        """What is asked of the dispatcher itself, past the verbs, is checked there again."""
        bad: list[Any] = [None, 7, [], {"owner": True}, {"id": b"12345678"}, {"publish": "x"}, {"publish": ["a..b"]}]
        bad += [
            {"rate": -1},
            {"rate": "fast"},
            {"expires": -5},
            {"publish": ["x" * 9000]},
            {"publish": ["x"] * 1000},
            {"more": 1},
        ]
        bad += [{"publish": ["x" * 200] * 50}]
        for said in bad:
            self.assertRaises(RemoteError, self.site.wait, self.owner.call("", "grant", said))
        for what in (None, 7, "", "x" * 24, "g1.x", "A" * 24, "0" * 23, "x" * 100_000, self.change(self.site.member, "forged")):
            self.assertRaises(RemoteError, self.site.wait, self.owner.call("", "revoke", what))
        self.assertEqual(self.stats("expelled"), [0])


class IdentityTests(GrantCase):
    """Who published is said by the dispatcher."""

    def test_stamped(self) -> None:
        """`msg.meta` has the TubID and the grant of the publisher, whatever the publisher says, for single events and runs."""
        furl = self.granted(publish=["orders.>"])
        holder = self.holder(furl, tub="tubOfHolder")
        self.listener.heard.clear()
        taken: list[Events] = []

        def lie(self_: Any = None) -> list[Events]:
            runs = honest()
            for run in runs:
                run.by = "somebody/else"
                taken.append(run)
            return runs

        assert holder._peer is not None
        honest = holder._peer._nextBatch
        holder._peer._writer._source = lie  # what a node of its own making would send
        self.site.wait(holder.publish("orders.one", Order, id=1))
        self.site.wait(holder.publishMany("orders.many", Order, [{"id": number} for number in range(30)]))
        self.assertTrue(taken)
        grant = nameId(furl)
        self.assertEqual(set(self.metaOf(self.listener.heard)), {("tubOfHolder", grant)})
        self.assertEqual(len(self.listener.heard), 31)
        self.assertTrue(self.site.wait(self.owner.revoke(grant)), "its id is enough for an owner")
        self.failing(GrantRefused, self.holder(furl, "again").start())

    def test_ownName(self) -> None:
        """Nobody is called `nodeset` but the dispatcher."""
        node = self.holder(self.site.owner, "nodeset", start=False)
        node.startService()
        self.assertIn("dispatcher's own", str(self.failing(Refused, node.start())))


def nameId(furl: str) -> str:
    from nodeset.core.grants.chain import idOf

    return idOf(furl.rpartition("/")[2])


class BadInputTests(GrantCase):
    """What cannot be granted is said where the mistake is made."""

    def test_arguments(self) -> None:
        """Each bad argument is refused at once, in one line that names it."""
        past, naive = datetime(2001, 1, 1, tzinfo=UTC), datetime(2999, 1, 1)
        bad: list[tuple[dict[str, Any], str]] = [
            ({}, "all that this node may do"),
            ({"publish": "orders"}, "list of patterns"),
            ({"publish": 7}, "list of patterns"),
            ({"publish": [""]}, "pattern ''"),
            ({"publish": [None]}, "pattern None"),
            ({"subscribe": ["a..b"]}, "empty part"),
            ({"subscribe": ["a.>.b"]}, "misplaced"),
            ({"call": ["calc/"]}, "calc/"),
            ({"call": ["ca*c/x"]}, "wildcard"),
            ({"answer": ["a.>"]}, "wildcard"),
            *(({"rate": rate}, "rate") for rate in (0, -1, float("nan"), float("inf"), "5", True, 1e12)),
            *(({"expires": late}, "past") for late in (0, -1, past)),
            *(({"expires": odd}, "expires") for odd in (float("nan"), float("inf"), "soon", True, 1e300, naive)),
            *(({"tub": tub}, "tub") for tub in ("", 7, "a b", "x" * 65, "é")),
            ({"publish": ["x" * 200] * 30}, "over 4096"),
        ]
        for node in (self.owner, self.listener):
            for says, words in bad:
                if node is self.owner and "over" in words:
                    continue  # the dispatcher says it
                error = str(self.assertRaises(BadGrant, node.grant, **says))
                self.assertIn(words, error, says)
                self.assertNotIn("\n", error)
        for what in ("", None, 7, "pb://x@tcp:a:1/name", "g1." + "x" * 5000):
            self.assertRaises(BadGrant, self.owner.revoke, what)

    def test_beyond(self) -> None:
        """What reaches beyond one's own grant is told: it would be of no use to anybody."""
        furl = self.granted(
            publish=["a.>"], subscribe=["a.*"], call=["calc/x"], answer=["calc"], rate=5, expires=100, tub="T" * 32
        )
        holder = self.holder(furl, "calc", tub="T" * 32)
        for says, words in (
            ({"publish": ["b"]}, "publish 'b' is outside"),
            ({"publish": [">"]}, "outside"),
            ({"publish": ["nodeset.>"]}, "outside"),
            ({"subscribe": ["a.>"]}, "outside"),
            ({"call": ["calc"]}, "outside"),
            ({"answer": ["other"]}, "outside"),
            ({"rate": 6}, "over the 5"),
            ({"expires": 101}, "1 s after"),
            ({"tub": "U" * 32}, "another"),
        ):
            self.assertIn(words, str(self.assertRaises(BadGrant, holder.grant, **says)), says)
        self.granted(holder, publish=["a.b"], subscribe=["a.b"], call=["calc/x"], answer=["calc"], rate=5, expires=50)
        self.assertRaises(BadGrant, self.listener.grant, publish=["nodeset.>"])
        self.assertRaises(BadGrant, self.listener.grant, answer=["*"])

    def test_tooMany(self) -> None:
        """A grant of 16 links is narrowed no further."""
        furl = "memory://site/" + nameOf([caveat(publish=["a"]) for _ in range(16)])
        node = self.site.node(Quiet, grant=furl, start=False)
        self.assertIn("links already", str(self.assertRaises(BadGrant, node.grant, rate=1)))

    def test_noAddress(self) -> None:
        """A node that has no address to hand on says so."""
        node = Node()
        failed: list[Any] = []
        node.grant(publish=["a"]).addErrback(failed.append)
        self.assertIsInstance(failed[0].value, NotRunning)

    def test_datetime(self) -> None:
        """An expiry may be a time of any zone."""
        soon = datetime.fromtimestamp(self.site.wall(), UTC) + timedelta(seconds=5)
        holder = self.holder(self.granted(expires=soon))
        self.site.advance(2.0)
        self.assertTrue(self.publishesTo(holder, "a"))
        self.site.advance(5.0)
        self.assertFalse(holder._peer is not None and holder._peer.linked)


def fired(deferred: Deferred[Any]) -> list[Any]:
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results
