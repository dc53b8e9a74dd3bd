"""Chains of caveats for tests: of every kind, and whatever hypothesis thinks of."""

from __future__ import annotations

from itertools import count
from typing import Any

from hypothesis import strategies as st

from nodeset.core.grants.chain import Caveat, Chain, mint, narrow, verify
from nodeset.core.grants.rights import Rights

__all__ = ["KEY", "OTHER_KEY", "caveat", "caveats", "chain", "names", "patterns", "rights"]

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
_ids = count(1)


def caveat(**says: Any) -> Caveat:
    """A caveat with an id of its own."""
    return Caveat(next(_ids).to_bytes(8, "big"), **says)


def nameOf(caveats: list[Caveat]) -> str:
    """The name with these links."""
    name = mint(KEY, caveats[0])
    for each in caveats[1:]:
        name = narrow(name, each)
    return name


def chain(*caveats: Caveat) -> Chain:
    """These links, signed and verified."""
    return verify(KEY, nameOf(list(caveats)))


def rights(*caveats: Caveat) -> Rights:
    """What the holder of these links may do."""
    return Rights(chain(*caveats))


parts = st.sampled_from(["nodeset", "node", "a", "b", "calc"])
names = st.lists(parts, min_size=1, max_size=4).map(".".join)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """A name or a pattern."""
    found = draw(st.lists(st.one_of(parts, st.just("*")), max_size=3))
    if draw(st.booleans()) or not found:
        found.append(">")
    return ".".join(found)


_verbs = st.one_of(st.none(), st.lists(patterns(), max_size=3))
_targets = st.sampled_from(["*", "calc", "nodeset", "a"])
_calls = st.one_of(_targets, st.tuples(_targets, patterns()).map("/".join))


@st.composite
def caveats(draw: st.DrawFn) -> Caveat:
    """Any caveat."""
    return Caveat(
        draw(st.binary(min_size=8, max_size=8)),
        draw(_verbs),
        draw(_verbs),
        draw(st.one_of(st.none(), st.lists(_calls, max_size=3))),
        draw(st.one_of(st.none(), st.lists(_targets, max_size=3))),
        draw(st.one_of(st.none(), st.floats(0.1, 100.0))),
        draw(st.one_of(st.none(), st.integers(0, 2**40))),
        draw(st.one_of(st.none(), st.sampled_from(["tub1", "tub2"]))),
        draw(st.booleans()),
    )
