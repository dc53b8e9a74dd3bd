"""What a chain allows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.address import covers, matches
from nodeset.core.grants import rights as room
from nodeset.core.grants.chain import Caveat, Link
from nodeset.core.grants.rights import MEMBER, VOUCHED, Bucket, Buckets, Rights, checkCall, memberCaveat
from nodeset.errors import GrantRefused, InvalidAddressing
from tests.chains import caveat, caveats, names, patterns, rights

#: Questions with the arguments that a node may come with.
_labels = st.sampled_from(["calc", "a", "other", "nodeset"])
_requests = st.one_of(
    st.tuples(st.just("mayPublish"), names),
    st.tuples(st.just("maySubscribe"), patterns()),
    st.tuples(st.just("mayCall"), st.sampled_from(["", "calc", "a", "calc@host"]), names),
    st.tuples(st.just("mayAnswer"), _labels, st.booleans()),
)


def member() -> Caveat:
    return memberCaveat(b"a member")


class PatternTests(SynchronousTestCase):
    """Patterns within patterns."""

    def test_table(self) -> None:
        """A pattern covers another when all that the other matches it matches as well."""
        table = {
            (">", ">"): True,
            (">", "a.b.*"): True,
            ("a.>", "a.b"): True,
            ("a.>", "a.>"): True,
            ("a.>", "a"): False,
            ("a.>", ">"): False,
            ("a.>", "*.b"): False,
            ("*.>", "a.>"): True,
            ("a.*.>", "a.>"): False,
            ("a.*", "a.*"): True,
            ("a.*", "a.b"): True,
            ("a.*", "a.>"): False,
            ("a.*", "a.b.c"): False,
            ("*", ">"): False,
            ("a.b", "a.*"): False,
            ("a", "a"): True,
            (">", "nodeset.>"): False,
            ("*.up", "nodeset.up"): False,
            ("nodeset.>", "nodeset.*"): True,
            ("*", "nodeset"): True,
        }
        for (outer, inner), answer in table.items():
            self.assertIs(covers(outer, inner), answer, (outer, inner))

    @given(patterns(), patterns(), names)
    def test_matches(self, outer: str, inner: str, name: str) -> None:
        """Whatever a covered pattern matches, the one that covers it matches."""
        self.assertEqual(covers(outer, name), matches(outer, name))
        if covers(outer, inner) and matches(inner, name):
            self.assertTrue(matches(outer, name))

    @given(patterns(), patterns())
    def test_complete(self, outer: str, inner: str) -> None:
        """When a pattern does not cover another, the other matches a name that it does not."""
        fills = [inner.replace("*", "x").replace(">", more) for more in ("x", "x.x", "x.x.x", "x.x.x.x")]
        if not covers(outer, inner):
            self.assertTrue(any(not matches(outer, name) for name in fills if matches(inner, name)))


class RightsTests(SynchronousTestCase):
    """The right is what all links allow."""

    def test_table(self) -> None:
        """Every verb under grants of every kind; an empty list is nothing, a verb that is not named is not restricted."""
        owner = rights(caveat(answer=["*"], owner=True))
        plain = rights(member())
        sells = rights(member(), caveat(publish=["orders.>"], subscribe=[], call=[], answer=[]))
        reads = rights(member(), caveat(publish=[], subscribe=["orders.*"], call=["calc"], answer=["calc"]))
        five = rights(member(), *(caveat(publish=["orders.>"], subscribe=["orders.>"], call=["calc/sum.>"]) for _ in range(4)))
        system = rights(caveat(publish=["nodeset.>"], subscribe=[], call=["nodeset/nodes"], answer=["calc", "other"]))
        #          publish orders.x, publish nodeset.x, subscribe orders.*, subscribe >, call calc sum, call "" nodes
        table = {
            owner: (True, True, True, True, True, True),
            plain: (True, False, True, True, True, True),
            sells: (True, False, False, False, False, False),
            reads: (False, False, True, False, True, False),
            five: (True, False, True, False, False, False),
            system: (False, True, False, False, False, True),
            VOUCHED: (True, True, True, True, True, True),
            MEMBER: (True, False, True, True, True, True),
        }
        for one, answers in table.items():
            for _ in range(2):  # the second time from memory
                said = (
                    one.mayPublish("orders.x"),
                    one.mayPublish("n@h/nodeset.x"),
                    one.maySubscribe("orders.*"),
                    one.maySubscribe(">"),
                    one.mayCall("calc@host", "sum"),
                    one.mayCall("", "nodes"),
                )
                self.assertEqual(tuple(not why for why in said), answers, [link.caveat for link in one.chain])
        self.assertEqual([one.owner for one in table], [True, *[False] * 7])

    def test_answer(self) -> None:
        """A node answers under its own label unless a link says otherwise; under another's when all that say so name it,
        the first of them for a start.
        """
        for one, own, other in (
            (rights(member()), True, False),
            (rights(caveat(answer=["*"], owner=True)), True, True),
            (rights(member(), caveat(answer=["calc"])), True, False),
            (rights(member(), caveat(answer=["other"])), False, False),
            (rights(caveat(answer=["other"])), False, True),
            (rights(caveat(answer=["other", "calc"])), True, True),
            (rights(caveat(answer=["other", "calc"]), caveat(answer=["calc"])), True, False),
            (rights(caveat(answer=[])), False, False),
        ):
            said = not one.mayAnswer("calc", own=True), not one.mayAnswer("other", own=False)
            self.assertEqual(said, (own, other), [link.caveat for link in one.chain])

    def test_reserved(self) -> None:
        """What begins with `nodeset` is published under a pattern that begins with it, no other."""
        for pattern, answer in ((">", False), ("*.up", False), ("nodeset.>", True), ("nodeset.up", True), ("nodeset.*", True)):
            self.assertIs(not rights(caveat(publish=[pattern])).mayPublish("nodeset.up"), answer, pattern)
        self.assertFalse(rights(member()).maySubscribe("nodeset.>"))
        self.assertTrue(rights(caveat(subscribe=[">"])).maySubscribe("nodeset.>"))
        self.assertFalse(rights(caveat(call=["calc"])).mayCall("calc", "nodeset.x"))

    def test_desk(self) -> None:
        """To grant and to revoke may be asked for by all: whether it is granted, the dispatcher looks by itself."""
        nothing = rights(caveat(publish=[], subscribe=[], call=[], answer=[]))
        self.assertEqual((nothing.mayCall("", "revoke"), nothing.mayCall("", "grant")), ("", ""))
        self.assertTrue(nothing.mayCall("", "nodes") and nothing.mayCall("calc", "revoke"))

    @given(st.lists(caveats(), min_size=1, max_size=6), caveats(), st.lists(_requests, max_size=8))
    def test_neverWidens(self, links: list[Caveat], last: Caveat, requests: list[tuple[str, *tuple[object, ...]]]) -> None:
        """Whatever is appended to a chain: what the longer one allows, the shorter one allows."""
        made = [Link(each, str(index)) for index, each in enumerate([*links, last])]
        parent, child = Rights(tuple(made[:-1])), Rights(tuple(made))
        for name, *arguments in requests:
            if not getattr(child, name)(*arguments):
                self.assertEqual(getattr(parent, name)(*arguments), "", (name, arguments))
        self.assertLessEqual(child.owner, parent.owner)
        self.assertGreaterEqual(child.tubs, parent.tubs)
        self.assertGreater(child.ids, parent.ids)
        if parent.expires is not None:
            assert child.expires is not None
            self.assertLessEqual(child.expires, parent.expires)

    def test_nonsense(self) -> None:
        """A signed link with a pattern that is none makes a grant of no use, as a whole."""
        for says in ({"publish": ["a..b"]}, {"subscribe": ["a@b"]}, {"call": ["/x"]}, {"call": ["c*/x"]}, {"publish": [">.a"]}):
            self.assertRaises(GrantRefused, rights, member(), caveat(**says))
        self.assertEqual([checkCall(each) for each in ("calc", "*", "calc/a.*")], ["calc/>", "*/>", "calc/a.*"])
        self.assertRaises(InvalidAddressing, checkCall, "a@b/c")

    def test_cost(self) -> None:
        """Patterns are looked at once for each name, however many events and links there are; after that one look into a
        dictionary answers, for a member as for a grant of five links.
        """
        looked: list[str] = []

        def counted(outer: str, inner: str) -> bool:
            looked.append(inner)
            return covers(outer, inner)

        self.patch(room, "covers", counted)
        five = rights(member(), *(caveat(publish=["a", "b.>"]) for _ in range(4)))
        for _ in range(1000):
            self.assertEqual((five.mayPublish("b.c"), five.mayPublish("n@h/b.d"), bool(five.mayPublish("c"))), ("", "", True))
        self.assertLessEqual(len(looked), 3 * 9)
        self.assertFalse(five.limited or MEMBER.limited)

    def test_memory(self) -> None:
        """What is remembered is bounded, however many names are asked for."""
        one = rights(member(), caveat(publish=["a.>"]))
        for number in range(5000):
            self.assertEqual((one.mayPublish(f"a.{number}"), one.mayCall("calc", f"m{number}")), ("", ""))
        self.assertLessEqual(max(len(one._publishing), len(one._calling)), 1024)


class BucketTests(SynchronousTestCase):
    """Rates."""

    def limited(self, buckets: Buckets, *links: tuple[str, float], now: float = 0.0) -> Rights:
        return Rights((), [buckets.get(grant, rate, now) for grant, rate in links])

    def test_rate(self) -> None:
        """A second's worth may come at once, then as much as the rate says; at least one at a time for the slowest."""
        fast, slow = Bucket(10.0, 0.0), Bucket(0.5, 0.0)
        self.assertEqual((fast.has(0.0), slow.has(0.0)), (10, 1))
        fast.take(10)
        slow.take(1)
        self.assertEqual((fast.has(0.0), fast.has(0.55), fast.has(99.0)), (0, 5, 10))
        self.assertEqual((slow.has(1.9), slow.has(2.0), slow.has(50.0)), (0, 1, 1))
        self.assertEqual(fast.has(5.0), 10, "a clock that goes back gives nothing, takes nothing")

    def test_shared(self) -> None:
        """Who derives from a grant draws from its bucket, as well as from one of its own; the least counts."""
        buckets = Buckets()
        parent = self.limited(buckets, ("p", 10.0))
        child, twin = self.limited(buckets, ("p", 10.0), ("c", 4.0)), self.limited(buckets, ("p", 10.0), ("c", 4.0))
        self.assertEqual((child.take(0.0, 6), twin.take(0.0, 6), parent.take(0.0, 9)), (4, 0, 6))
        self.assertEqual(parent.take(0.0, 1), 0)
        self.assertIn("4 events and calls", child.limit)

    def test_hangUp(self) -> None:
        """Hanging up fills no bucket."""
        buckets = Buckets()
        self.assertEqual(self.limited(buckets, ("p", 5.0)).take(0.0, 9), 5)
        self.assertEqual(self.limited(buckets, ("p", 5.0), now=0.1).take(0.1, 9), 0)
        for number in range(11_000):
            buckets.get(f"other{number}", 1.0, 0.1)
        self.assertLessEqual(len(buckets._all), 10_000)

    def test_none(self) -> None:
        """Without a rate there is no limit."""
        self.assertEqual(MEMBER.take(0.0, 10**9), 10**9)
