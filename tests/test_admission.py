"""What a node may ask a dispatcher to keep for it."""

from __future__ import annotations

from nodeset.core.grants.admission import MAX_BRANCHES
from nodeset.core.batch import Sub
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
