"""Addresses of events, with the patterns that match them."""

from __future__ import annotations

from itertools import product
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from nodeset.core import address
from nodeset.core.address import EventURI, checkPart, checkPattern, isMeant, isPattern, matches
from nodeset.core.interfaces import IEventURI
from nodeset.errors import InvalidAddressing

#: As written -> node, host, event: R-A50.
TABLE = {
    "ev": ("*", "localhost", "ev"),
    "/ev": ("*", "localhost", "ev"),
    "h/ev": ("*", "h", "ev"),
    "@h/ev": ("*", "h", "ev"),
    "n@/ev": ("n", "localhost", "ev"),
    "n@h/ev": ("n", "h", "ev"),
    "*@h/ev": ("*", "h", "ev"),
    "orders.created": ("*", "localhost", "orders.created"),
    "n-1@host.example/orders.*.>": ("n-1", "host.example", "orders.*.>"),
    "nœud@hôte/événement": ("nœud", "hôte", "événement"),
    "*": ("*", "localhost", "*"),
    ">": ("*", "localhost", ">"),
}

#: What is no address -> a word that the error must have.
REFUSED = {
    "": "empty",
    "/": "empty",
    "n@h/": "empty",
    "h/": "empty",
    "n@h": "'@'",
    "a//b": "more than one '/'",
    "a/b/c": "more than one '/'",
    "//ev": "more than one '/'",
    "n@m@h/ev": "'@'",
    "h/n@ev": "'@'",
    "a b": "space",
    " ev": "space",
    "ev ": "space",
    "ev\n": "unprintable",
    "ev\x00": "unprintable",
    "e\x1b[31mv": "unprintable",
    "e\x7fv": "unprintable",
    "e\u200bv": "unprintable",
    "e\u202ev": "unprintable",
    "\ud800": "unprintable",
    "n\ud800@h/ev": "unprintable",
    "n@h\n/ev": "unprintable",
    "n\t@h/ev": "unprintable",
    "e" * 300: "255 bytes",
    "é" * 128: "255 bytes",
    "n" * 256 + "@h/ev": "255 bytes",
    "h" * 256 + "/ev": "255 bytes",
    "e" * 100_000: "too long",
    "a..b": "empty part",
    ".a": "empty part",
    "a.": "empty part",
    ".": "empty part",
    "a*": "whole part",
    "*a.b": "whole part",
    "a.b*.c": "whole part",
    "**": "whole part",
    ">.a": "whole last part",
    "a.>.b": "whole last part",
    "a>": "whole last part",
    ">>": "whole last part",
    "n*@h/ev": "wildcard",
    ">@h/ev": "wildcard",
    "n@*/ev": "wildcard",
    "h.*/ev": "wildcard",
    "n@>/ev": "wildcard",
}

parts = st.text(
    st.characters(codec="utf-8", exclude_characters="/@*>.", categories=("L", "N", "P", "S")), min_size=1, max_size=60
)
few = st.sampled_from(["a", "b", "c"])
names = st.lists(few, min_size=1, max_size=5).map(".".join)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """A pattern over the same few words as `names`."""
    shown = draw(st.lists(st.one_of(few, st.just("*")), max_size=4))
    if not shown or draw(st.booleans()):
        shown.append(draw(st.sampled_from(["a", "*", ">"])))
    return ".".join(shown)


def _standsFor(pattern: str) -> set[str]:
    """The slow and obvious meaning: every name of up to six words that `pattern` stands for, written out."""
    choices: list[list[str]] = [[]]
    for part in pattern.split("."):
        if part == ">":
            tails = [list(tail) for length in range(1, 7) for tail in product("abc", repeat=length)]
            choices = [start + tail for start in choices for tail in tails if len(start + tail) <= 6]
        else:
            words = ["a", "b", "c"] if part == "*" else [part]
            choices = [[*start, word] for start in choices for word in words]
    return {".".join(choice) for choice in choices}


class EventURITests(SynchronousTestCase):
    def test_table(self) -> None:
        """An address may leave out everything but the event: any node, this dispatcher."""
        for raw, (node, host, event) in TABLE.items():
            uri = EventURI(raw)
            self.assertEqual((uri.nodeName, uri.hostName, uri.eventName), (node, host, event), raw)
            self.assertEqual(uri.raw, raw)
            self.assertEqual(str(uri), f"{node}@{host}/{event}")

    def test_refused(self) -> None:
        """What is no address is refused with one printable line that says what is wrong with it."""
        for raw, word in REFUSED.items():
            error = self.assertRaises(InvalidAddressing, EventURI, raw)
            self.assertIn(word, str(error))
            self.assertTrue(str(error).startswith("Invalid addressing"), raw)
            self.assertTrue(str(error).isprintable(), raw)
            self.assertLess(len(str(error)), 200)
            str(error).encode()  # can be printed and sent

    def test_noText(self) -> None:
        """Anything but text is refused by the name of its type."""
        wrong: list[Any] = [None, 7, b"ev", ["ev"], EventURI("ev")]
        for value in wrong:
            error = self.assertRaises(InvalidAddressing, EventURI, value)
            self.assertIn(type(value).__name__, str(error))
            self.assertRaises(InvalidAddressing, checkPart, value, "node name")

    def test_limit(self) -> None:
        """255 bytes of UTF-8 fit into each part, one more does not."""
        longest = "é" * 127 + "e"
        uri = EventURI(f"{longest}@{longest}/{longest}")
        self.assertEqual((uri.nodeName, uri.hostName, uri.eventName), (longest, longest, longest))
        self.assertRaises(InvalidAddressing, EventURI, longest + "e")

    def test_equality(self) -> None:
        """Two spellings of one address are the same key."""
        self.assertEqual({EventURI("ev"), EventURI("/ev"), EventURI("*@localhost/ev")}, {EventURI("ev")})
        self.assertNotEqual(EventURI("ev"), EventURI("h/ev"))
        self.assertNotEqual(EventURI("ev"), "*@localhost/ev")

    def test_interface(self) -> None:
        """An EventURI is what its interface says; its repr shows the whole address."""
        verifyObject(IEventURI, EventURI("ev"))
        self.assertEqual(repr(EventURI("n@h/ev")), "EventURI('n@h/ev')")

    def test_parse(self) -> None:
        """The addresses used over and over are taken apart once; errors are not remembered as answers."""
        self.assertIs(address.parse("often.used"), address.parse("often.used"))
        for _ in range(2):
            self.assertRaises(InvalidAddressing, address.parse, "a//b")

    @given(parts, parts, parts)
    @settings(max_examples=100, deadline=None)
    def test_roundTrip(self, node: str, host: str, event: str) -> None:
        """The full form of an address says the same address."""
        for raw in (event, f"/{event}", f"{host}/{event}", f"{node}@/{event}", f"{node}@{host}/{event}"):
            uri = EventURI(raw)
            self.assertEqual(EventURI(str(uri)), uri)
            self.assertEqual(str(EventURI(str(uri))), str(uri))
            self.assertEqual(uri.eventName, event)

    @given(st.text(max_size=40))
    @example("@/ev")
    @example("@")
    @settings(max_examples=100, deadline=None)
    def test_anyText(self, raw: str) -> None:
        """Whatever text comes, it is an address with good parts or `InvalidAddressing`."""
        try:
            uri = EventURI(raw)
        except InvalidAddressing:
            return
        for part in (uri.nodeName, uri.hostName, uri.eventName):
            self.assertTrue(part and part.isprintable() and " " not in part and "/" not in part and "@" not in part)
        self.assertEqual(EventURI(str(uri)), uri)


class PatternTests(SynchronousTestCase):
    def test_table(self) -> None:
        """`*` is exactly one part, a last `>` one or more."""
        for pattern, name, expected in [
            ("a", "a", True),
            ("a", "A", False),
            ("a.b", "a", False),
            ("a", "a.b", False),
            ("*", "a", True),
            ("*", "a.b", False),
            (">", "a", True),
            (">", "a.b.c", True),
            ("a.>", "a", False),
            ("a.>", "a.b", True),
            ("a.>", "a.b.c.d", True),
            ("a.>", "b.b", False),
            ("a.*", "a.b", True),
            ("a.*", "a", False),
            ("*.b", "a.b", True),
            ("*.*", "a", False),
            ("a.*.c", "a.b.c", True),
            ("a.*.c", "a.b.d", False),
            ("a.*.>", "a.b", False),
            ("a.*.>", "a.b.c.d", True),
        ]:
            self.assertIs(matches(pattern, name), expected, (pattern, name))

    def test_isPattern(self) -> None:
        """A name with a wildcard can be subscribed to, not published; dots alone make no pattern."""
        self.assertEqual([isPattern(name) for name in ("a", "a.b", "*", "a.*", "a.>")], [False, False, True, True, True])

    def test_isMeant(self) -> None:
        """A call means nodes by their name, an introduction means one by its stream id."""
        for target, meant in (("calc", True), ("calc@here", True), ("other", False), ("=s1/ev/x", True), ("=s2/ev/x", False)):
            self.assertIs(isMeant(target, "s1", "calc"), meant, target)

    @given(patterns(), names)
    @settings(max_examples=100, deadline=None)
    def test_bruteForce(self, pattern: str, name: str) -> None:
        """A pattern matches exactly the names that one gets by writing its wildcards out."""
        self.assertEqual(checkPattern(pattern), pattern)
        self.assertIs(matches(pattern, name), name in _standsFor(pattern))
