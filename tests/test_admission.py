"""What a node may ask a dispatcher to keep for it."""

from __future__ import annotations

from nodeset.core.batch import Held, Sub
from nodeset.core.grants.admission import MAX_BRANCHES
from nodeset.core.takers import MAX_SPANS
from nodeset.errors import ProtocolError
from tests.exchanges import ExchangeCase


class BranchTests(ExchangeCase):
    """A pattern costs the dispatcher a branch for each of its parts, of which a short one can have 128."""

    def test_bounded(self) -> None:
        """Patterns of one node have so many parts together, names as many as they like; what is over makes room again."""
        node = self.join("node")
        deep = ".".join("a" * 100)
        most = MAX_BRANCHES // 103
        for number in range(most):
            self.assertEqual(self.exchange.subscribe(node, Sub(f"x.{number}.{deep}.*")).refused, "")
        self.assertIn("parts together", self.exchange.subscribe(node, Sub(f"y.{deep}.*")).refused)
        self.assertTrue(self.exchange.subscribe(node, Sub(f"y.{deep}")).active)
        self.assertTrue(self.exchange.subscribe(node, Sub(f"x.0.{deep}.*")).active)
        self.assertTrue(self.exchange.subscribe(node, Sub("x.*")).active)
        self.exchange.unsubscribe(node, f"x.0.{deep}.*", self.now)
        self.assertTrue(self.exchange.subscribe(node, Sub(f"y.{deep}.*")).active)
        for pattern in list(node.entries):
            self.exchange.unsubscribe(node, pattern, self.now)
        self.assertEqual(node.branches, 0)
        self.assertTrue(self.join("other", f"y.{deep}.*").entries)

    def test_spellings(self) -> None:
        """Two spellings of one pattern count twice, each once however often it is said."""
        node = self.join("node")
        for pattern in ("a.*", "localhost/a.*", "a.*"):
            self.exchange.subscribe(node, Sub(pattern))
        self.assertEqual(node.branches, 4)
        self.exchange.unsubscribe(node, "a.*", self.now)
        self.exchange.unsubscribe(node, "a.*", self.now)
        self.assertEqual(node.branches, 2)


class HeldTests(ExchangeCase):
    """What nodes say that they hold is believed for a restart; it takes neither time nor memory without end."""

    def test_wide(self) -> None:
        """Ranges that span all that others hold, a few bytes each, cost the link; said in a hello they are passed over."""
        node, other = self.join("node"), self.join("other")
        for number in range(2, 20_000, 2):
            held = Held("publisher", [(number, number)], [])
            self.exchange.held(node if number % 4 else other, held, self.now)
        thief = self.join("thief")
        with self.assertRaises(ProtocolError):
            self.exchange.held(thief, Held("publisher", [(1, 20_000)] * 16_000, [(1, 20_000)] * 16_000), self.now)
        self.join("late", holds=[("publisher", [(1, 20_000)] * 16_000, [])])

    def test_most(self) -> None:
        """Of one publisher's events more pieces than anybody can be ahead are not remembered."""
        node = self.join("node")
        for start in range(0, 2 * MAX_SPANS, 10_000):
            self.exchange.held(node, Held("publisher", [(2 * n, 2 * n) for n in range(start, start + 10_000)], []), self.now)
        self.assertLessEqual(len(self.exchange._takers._streams["publisher"].takers), MAX_SPANS)
