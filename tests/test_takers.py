"""Who holds which mode-`one` event of which stream."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.takers import STREAM_EXPIRY, Takers


class TakersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.takers = Takers()
        self.takers.heard("s", 1, 0.0)

    def test_unknown(self) -> None:
        """Of a stream that was never heard of nobody holds anything, nor is anything remembered of it."""
        self.assertEqual(self.takers.within("t", 1, 5), [(1, 5, None)])
        self.takers.give("t", 1, 5, "a")
        self.assertEqual(self.takers.within("t", 1, 5), [(1, 5, None)])

    def test_given(self) -> None:
        """What was given is held by whom it was given last: a moved event is the new node's."""
        self.takers.give("s", 1, 6, "a")
        self.takers.give("s", 3, 4, "b")
        self.assertEqual(self.takers.within("s", 1, 7), [(1, 2, "a"), (3, 4, "b"), (5, 6, "a"), (7, 7, None)])

    def test_precedence(self) -> None:
        """Own knowledge goes before begun, begun before told, the first of two that say the same before the second."""
        self.takers.give("s", 1, 1, "own")
        self.takers.told("s", [(1, 4)], "told", False, 0.0)
        self.takers.told("s", [(1, 4)], "told too", False, 0.0)
        self.takers.told("s", [(1, 2)], "begun", True, 0.0)
        self.takers.told("s", [(1, 3)], "begun too", True, 0.0)
        self.takers.told("s", [(1, 4)], "told late", False, 0.0)
        self.assertEqual(self.takers.within("s", 1, 4), [(1, 1, "own"), (2, 2, "begun"), (3, 3, "begun too"), (4, 4, "told")])
        self.takers.give("s", 2, 4, "own")
        self.assertEqual({holder for _first, _last, holder in self.takers.within("s", 1, 4)}, {"own"})

    def test_toldFirst(self) -> None:
        """What nodes tell before their publisher has said a word counts: after a restart they may be back first."""
        self.takers.told("t", [(2, 3)], "a", True, 0.0)
        self.takers.heard("t", 1, 1.0)
        self.assertEqual(self.takers.within("t", 1, 4), [(1, 1, None), (2, 3, "a"), (4, 4, None)])

    def test_backwards(self) -> None:
        """A range that goes backwards holds nothing."""
        self.takers.told("s", [(5, 3)], "a", True, 0.0)
        self.assertEqual(self.takers.within("s", 1, 9), [(1, 9, None)])

    def test_low(self) -> None:
        """What its publisher will not ask about again is forgotten: memory is bounded by the distance to the lowest."""
        for first in range(1, 1000):
            self.takers.heard("s", max(1, first - 10), float(first))
            self.takers.give("s", first, first, f"n{first % 3}")
        self.assertEqual(self.takers.within("s", 1, 988), [(1, 988, None)])
        self.assertEqual(len(self.takers._streams["s"].takers), 11)

    def test_expiry(self) -> None:
        """A stream that is silent for 15 min, whose node is not here, is forgotten; who speaks or is here is not."""
        self.takers.heard("present", 1, 0.0)
        self.takers.told("spoken of", [(1, 1)], "a", True, 10.0)
        self.assertEqual(STREAM_EXPIRY, 900.0)
        self.assertEqual(self.takers.expire(STREAM_EXPIRY, {"present"}), [])
        self.assertEqual(self.takers.expire(STREAM_EXPIRY + 1, {"present"}), ["s"])
        self.takers.heard("spoken of", 1, STREAM_EXPIRY)
        self.assertEqual(self.takers.expire(2 * STREAM_EXPIRY, {"present"}), [])
        self.assertEqual(self.takers.expire(3 * STREAM_EXPIRY, ()), ["present", "spoken of"])
