"""Which nodes keep the last value of which events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.address import matches, parse
from nodeset.core.retained.keepers import Keepers
from nodeset.errors import InvalidAddressing

_parts = st.sampled_from(["a", "b", "c"])
_names = st.lists(_parts, min_size=1, max_size=9).map(".".join)
_events = st.tuples(st.sampled_from(["", "n@/", "n@h/", "h/"]), _names).map("".join)
_patterns = st.tuples(st.lists(st.one_of(_parts, st.just("*")), max_size=9), st.booleans()).map(
    lambda drawn: ".".join([*drawn[0], ">"] if drawn[1] or not drawn[0] else drawn[0])
)
_steps = st.lists(st.tuples(st.sampled_from("xyz"), _events, st.integers(0, 9)), max_size=60)


class KeepersTests(SynchronousTestCase):
    """The tree finds what a look at every name would."""

    @given(_steps, st.lists(_patterns, max_size=10))
    def test_find(self, steps: list[tuple[str, str, int]], patterns: list[str]) -> None:
        """Whatever nodes keep, forget, leave: a pattern finds who keeps something that it matches, nobody else."""
        keepers = Keepers()
        known: dict[str, set[str]] = {}
        for stream, event, what in steps:
            if what == 0:
                keepers.leave(stream)
                known.pop(stream, None)
            elif what < 4:
                keepers.remove(stream, event)
                known.get(stream, set()).discard(event)
            else:
                keepers.add(stream, event)
                known.setdefault(stream, set()).add(event)
        for pattern in patterns:
            wanted = {one for one, kept in known.items() if any(matches(pattern, parse(event).eventName) for event in kept)}
            self.assertEqual(keepers.find(pattern), wanted, pattern)
        self.assertEqual(len(keepers), sum(map(len, known.values())))
        for stream in "xyz":
            self.assertEqual(
                (set(keepers.kept(stream)), keepers.count(stream)), (known.get(stream, set()), len(known.get(stream, ())))
            )
            keepers.leave(stream)
        self.assertEqual((keepers._root.branches, keepers._root.above, keepers._kept), ({}, {}, {}))

    def test_invalid(self) -> None:
        """What is no address is refused, and leaves nothing behind."""
        keepers = Keepers()
        self.assertRaises(InvalidAddressing, keepers.add, "x", "a..b")
        self.assertEqual((len(keepers), keepers._root.branches), (0, {}))

    def test_deep(self) -> None:
        """A name of many parts makes a few branches only."""
        keepers = Keepers()
        for number in range(100):
            keepers.add("x", f"a.b.c.d.e.f.{number}" + ".g" * 100)
        branch, depth = keepers._root, 0
        while branch.branches:
            (branch,) = branch.branches.values()
            depth += 1
        self.assertEqual((depth, len(branch.names)), (6, 100))
