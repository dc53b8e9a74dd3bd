"""Which subscriptions an event matches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from nodeset.core import routing
from nodeset.core.address import EventURI, matches
from nodeset.core.interfaces import IRouteEntry
from nodeset.core.routing import RouteEntry, RoutingTable, RREntrySet

EVENTS = ("a", "b", "a.b", "a.b.c", "x")
PATTERNS = (*EVENTS, "*", ">", "a.*", "a.>", "*.b", "*.*", "a.*.c", "a.*.>")
NODES = ("n", "m")
HOSTS = ("localhost", "site", "h", "k")

entries = st.builds(
    RouteEntry,
    peer=st.integers(0, 4),
    pattern=st.sampled_from(PATTERNS),
    nodeName=st.sampled_from(NODES),
    hostName=st.sampled_from(("localhost", "h", "k")),
    own=st.booleans(),
)
addresses = st.builds(
    lambda node, host, event: EventURI(f"{node}@{host}/{event}"),
    st.sampled_from(("*", *NODES, "nobody")),
    st.sampled_from((*HOSTS, "elsewhere")),
    st.sampled_from(EVENTS),
)


def _usesNothing(table: RoutingTable) -> bool:
    return not table._exact and not table._patterns.branches and not table._patterns.entries


def _naive(held: Iterable[RouteEntry], uri: EventURI) -> dict[object, bool]:
    """Peer -> own, by looking at every subscription."""
    found: dict[object, bool] = {}
    for entry in held:
        if (
            matches(entry.pattern, uri.eventName)
            and uri.nodeName in ("*", entry.nodeName)
            and uri.hostName in ("localhost", "site", entry.hostName)
        ):
            found[entry.peer] = found.get(entry.peer, False) or entry.own
    return found


class TableMachine(RuleBasedStateMachine):
    """Adds, removes and asks at random; beside the table a list that is searched from end to end."""

    def __init__(self) -> None:
        super().__init__()
        self.table = RoutingTable("site")
        self.held: dict[RouteEntry, RouteEntry] = {}
        self.seen: set[EventURI] = set()

    @rule(entry=entries)
    def add(self, entry: RouteEntry) -> None:
        assert self.table.add(entry) is (entry not in self.held)
        self.held.pop(entry, None)
        self.held[entry] = entry

    @rule(entry=entries)
    def remove(self, entry: RouteEntry) -> None:
        assert self.table.remove(entry) is (self.held.pop(entry, None) is not None)

    @rule(data=st.data())
    def removeHeld(self, data: st.DataObject) -> None:
        if self.held:
            self.remove(data.draw(st.sampled_from(list(self.held))))

    @rule(uri=addresses)
    def look(self, uri: EventURI) -> None:
        found = self.table.lookup(uri)
        assert len({entry.peer for entry in found}) == len(found)
        assert {entry.peer: entry.own for entry in found} == _naive(self.held.values(), uri)
        assert set(self.table.turn(uri)) == set(found)
        self.seen.add(uri)

    @invariant()
    def agree(self) -> None:
        assert len(self.table) == len(self.held)
        if not self.held:
            assert _usesNothing(self.table)

    def teardown(self) -> None:
        for entry in list(self.held):
            self.remove(entry)
        assert _usesNothing(self.table)
        for uri in self.seen:
            self.look(uri)


class ModelTests(SynchronousTestCase):
    def test_bruteForce(self) -> None:
        """Whatever is added, removed or asked: the answer is that of a search through all; churn leaves nothing behind."""
        run_state_machine_as_test(TableMachine, settings=settings(max_examples=60, stateful_step_count=25, deadline=None))


class RouteEntryTests(SynchronousTestCase):
    def test_accepts(self) -> None:
        """An address means a peer by its label and host; `localhost` and the site's name mean every peer here."""
        entry = RouteEntry("p", "ev", "n", "h")
        verifyObject(IRouteEntry, entry)
        for text, expected in [
            ("ev", True),
            ("site/ev", True),
            ("h/ev", True),
            ("k/ev", False),
            ("n@/ev", True),
            ("m@/ev", False),
            ("n@h/ev", True),
            ("n@site/ev", True),
            ("n@k/ev", False),
            ("m@h/ev", False),
        ]:
            self.assertIs(entry.accepts(EventURI(text), "site"), expected, text)

    def test_identity(self) -> None:
        """Two peers may bear the same name; wanting one's own events makes no other subscription."""
        self.assertNotEqual(RouteEntry("p", "ev", "n"), RouteEntry("q", "ev", "n"))
        self.assertEqual(RouteEntry("p", "ev", own=True), RouteEntry("p", "ev", own=False))


class RoutingTableTests(SynchronousTestCase):
    def test_onePerPeer(self) -> None:
        """A peer that matches by several subscriptions gets the event once, its own too if one of them wants that."""
        table = RoutingTable()
        table.add(RouteEntry("p", "a.b", own=False))
        table.add(RouteEntry("p", "a.*", own=False))
        self.assertEqual([(entry.peer, entry.own) for entry in table.lookup(EventURI("a.b"))], [("p", False)])
        table.add(RouteEntry("p", ">", own=True))
        self.assertEqual([(entry.peer, entry.own) for entry in table.lookup(EventURI("a.b"))], [("p", True)])
        table.remove(RouteEntry("p", ">"))
        self.assertEqual([(entry.peer, entry.own) for entry in table.lookup(EventURI("a.b"))], [("p", False)])

    def test_addAgain(self) -> None:
        """Adding again changes nothing but the wish for own events; removing twice says so."""
        table = RoutingTable()
        self.assertEqual([table.add(RouteEntry("p", "ev", own=own)) for own in (False, True, True)], [True, False, False])
        self.assertEqual([entry.own for entry in table.lookup(EventURI("ev"))], [True])
        table.add(RouteEntry("p", "ev", own=False))
        self.assertEqual([entry.own for entry in table.lookup(EventURI("ev"))], [False])
        self.assertEqual(
            [len(table), table.remove(RouteEntry("p", "ev")), table.remove(RouteEntry("p", "ev"))], [1, True, False]
        )
        self.assertEqual(len(table), 0)

    def test_removeStranger(self) -> None:
        """Removing what was never there leaves nothing behind."""
        table = RoutingTable()
        for pattern in ("ev", "a.*.c.>", "*"):
            self.assertFalse(table.remove(RouteEntry("p", pattern)))
        self.assertTrue(_usesNothing(table))

    def test_memoryOfAnswers(self) -> None:
        """However many names are published, a bounded number of answers is remembered, the ones in use among them."""
        self.patch(routing, "REMEMBERED", 10)
        table = RoutingTable()
        table.add(RouteEntry("p", ">"))
        used, turn = table.lookup(EventURI("used")), table.turn(EventURI("used"))
        for number in range(100):
            uri = EventURI(f"name{number}")
            self.assertEqual(len(table.lookup(uri)), 1)
            self.assertEqual(len(table.turn(uri)), 1)
            self.assertIs(table.lookup(EventURI("used")), used)
            self.assertIs(table.turn(EventURI("used")), turn)
        self.assertLessEqual(len(table._matches), 10)
        self.assertLessEqual(len(table._turns), 10)

    def test_get(self) -> None:
        """The original's `get` gives a fired Deferred for each entry."""
        table = RoutingTable()
        table.add(RouteEntry("p", "ev"))
        table.add(RouteEntry("q", "ev"))
        self.assertEqual([self.successResultOf(found).peer for found in table.get(EventURI("ev"))], ["p", "q"])

    def test_observers(self) -> None:
        """Observers hear of what is added, removed and failed, until they are removed themselves."""
        table = RoutingTable()
        heard: list[tuple[str, object]] = []
        kinds = {kind: (lambda entry, kind=kind: heard.append((kind, entry.peer))) for kind in ("add", "remove", "fail")}
        for kind, observer in kinds.items():
            table.addObserver(kind, observer)
        entry = RouteEntry("p", "ev")
        table.add(entry)
        table.add(entry)
        table.onFailure(entry)
        table.remove(entry)
        table.remove(entry)
        self.assertEqual(heard, [("add", "p"), ("fail", "p"), ("remove", "p")])
        table.removeObserver("add", kinds["add"])
        table.add(entry)
        self.assertEqual(len(heard), 3)
        self.assertRaises(KeyError, table.addObserver, "gone", print)
        self.assertRaises(ValueError, table.removeObserver, "add", print)


def _deal(table: RoutingTable, uri: EventURI, times: int, peers: Iterable[object]) -> Counter[object]:
    dealt: Counter[object] = Counter(dict.fromkeys(peers, 0))
    for _ in range(times):
        entry = table.turn(uri).take(lambda entry: True)
        assert entry is not None
        dealt[entry.peer] += 1
    return dealt


class FairnessTests(SynchronousTestCase):
    def assertEven(self, dealt: Counter[object]) -> None:
        """No two shares differ by more than one."""
        self.assertLessEqual(max(dealt.values()) - min(dealt.values()), 1, dealt)

    def test_threeNodes(self) -> None:
        """3 nodes, 3,000 events of mode one: 1,000 each."""
        table = RoutingTable()
        for peer in "pqr":
            table.add(RouteEntry(peer, "ev"))
        self.assertEqual(_deal(table, EventURI("ev"), 3000, "pqr"), Counter({"p": 1000, "q": 1000, "r": 1000}))

    def test_filtered(self) -> None:
        """Exact through a host filter as well, while events for everybody are dealt in between: each address has its turn."""
        table = RoutingTable()
        for peer in "pqrstu":
            table.add(RouteEntry(peer, "ev", peer, "h" if peer in "prt" else "k"))
        sums: dict[str, Counter[object]] = {text: Counter() for text in ("h/ev", "ev", "k/ev", "p@h/ev")}
        for _ in range(1000):
            for text, share in (("h/ev", 3), ("ev", 1), ("k/ev", 2), ("p@h/ev", 1)):
                sums[text] += _deal(table, EventURI(text), share, ())
        self.assertEqual(sums["h/ev"], Counter(dict.fromkeys("prt", 1000)))
        self.assertEqual(sums["k/ev"].keys(), set("qsu"))
        self.assertEqual(sums["p@h/ev"], Counter({"p": 1000}))
        for dealt in (sums["ev"], sums["k/ev"]):
            self.assertEven(dealt)
        self.assertEqual(len(sums["ev"]), 6)

    def test_spellings(self) -> None:
        """Two spellings of one address share its turn."""
        table = RoutingTable()
        for peer in "pq":
            table.add(RouteEntry(peer, "ev"))
        dealt = [table.turn(EventURI(text)).take(lambda entry: True) for text in ("ev", "/ev", "*@localhost/ev", "ev")]
        self.assertEqual([entry.peer for entry in dealt if entry], ["p", "q", "p", "q"])

    def test_otherSubscriptions(self) -> None:
        """What others subscribe to does not move anybody's turn."""
        table = RoutingTable()
        for peer in "pqr":
            table.add(RouteEntry(peer, "ev"))
        dealt: Counter[object] = Counter()
        for number in range(3000):
            dealt += _deal(table, EventURI("ev"), 1, ())
            change = table.add if number % 2 else table.remove
            change(RouteEntry("z", "other"))
        self.assertEqual(dealt, Counter({"p": 1000, "q": 1000, "r": 1000}))

    @given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), max_size=30))
    @settings(max_examples=60, deadline=None)
    def test_comingAndGoing(self, changes: list[tuple[int, int]]) -> None:
        """While nodes join and leave, those that stay have shares that differ by one at most, over any stretch of time."""
        table = RoutingTable()
        always = [RouteEntry(f"always{number}", "a.*") for number in range(3)]
        for entry in always:
            table.add(entry)
        guests: set[RouteEntry] = set()
        stayed: Counter[object] = Counter({entry.peer: 0 for entry in always})
        for guest, times in changes:
            entry = RouteEntry(guest, "a.b")
            guests ^= {entry}
            (table.add if entry in guests else table.remove)(entry)
            present = [entry.peer for entry in (*always, *guests)]
            dealt = _deal(table, EventURI("a.b"), times, present)
            self.assertEven(dealt)
            stayed.update({peer: count for peer, count in dealt.items() if peer in stayed})
            self.assertEven(stayed)


class RREntrySetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.entries = [RouteEntry(peer, "ev") for peer in "pqr"]
        self.turn = RREntrySet()
        for entry in self.entries:
            self.turn.add(entry)

    def test_twice(self) -> None:
        """Adding one that is there is an IndexError as in the original, removing one that is not a KeyError."""
        self.assertRaises(IndexError, self.turn.add, self.entries[0])
        self.turn.remove(self.entries[0])
        self.assertRaises(KeyError, self.turn.remove, self.entries[0])
        self.assertEqual(len(self.turn), 2)

    def test_order(self) -> None:
        """`order` rotates: each is first in turn."""
        firsts = ["".join(str(entry.peer) for entry in self.turn.order()) for _ in range(4)]
        self.assertEqual(firsts, ["pqr", "qrp", "rpq", "pqr"])
        self.assertEqual(RREntrySet().order(), [])

    def test_take(self) -> None:
        """Who is passed over keeps its place, so it is next when it can be used again; nobody usable is None."""
        p, q, r = self.entries
        self.assertIs(self.turn.take(lambda entry: entry is not p), q)
        self.assertIs(self.turn.take(lambda entry: entry is not p), r)
        self.assertIs(self.turn.take(lambda entry: True), p)
        self.assertIsNone(self.turn.take(lambda entry: False))
        self.assertEqual(list(self.turn), [q, r, p])

    def test_keepOnly(self) -> None:
        """Those that stay keep their turn, new ones come last."""
        p, _q, r = self.entries
        new = RouteEntry("s", "ev")
        self.turn.take(lambda entry: True)
        self.turn.keepOnly([new, p, r])
        self.assertEqual(list(self.turn), [r, p, new])
