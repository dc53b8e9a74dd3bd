"""Addresses that people copy, shorten and mistype."""

from __future__ import annotations

import base64
from typing import Any

from foolscap import furl as foolscap_furl
from foolscap.connections import tcp
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import BadFurl, BadSettings
from nodeset.transport.furl import DEFAULT_PLACE, LONGEST_FURL, Furl, Place, newName, parse, parsePlace, redact

# Foolscap has no annotations.
FOOLSCAP: Any = foolscap_furl
TCP: Any = tcp

TUB_ID = "abcdefghijklmnopqrstuvwxyz234567"
SECRET = "s3cretswissnumber"
GOOD = f"pb://{TUB_ID}@tcp:127.0.0.1:5333/{SECRET}"

HOSTS = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
HINTS = st.builds("tcp:{}:{}".format, HOSTS, st.integers(min_value=1, max_value=65535))
TUB_IDS = st.binary(min_size=20, max_size=20).map(lambda raw: base64.b32encode(raw).decode().lower())
NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=80)


class FurlTests(SynchronousTestCase):
    """`parse`, `Furl` and `redact`."""

    def refuse(self, text: str) -> str:
        """The error for this text: one line, without the secret."""
        line = str(self.assertRaises(BadFurl, parse, text))
        self.assertNotIn(SECRET, line)
        self.assertNotIn("\n", line)
        self.assertLess(len(line), 300)
        self.assertNotIn(SECRET, redact(text))
        return line

    def test_parts(self) -> None:
        """A FURL is taken apart and put together again."""
        furl = parse(f"pb://{TUB_ID}@tcp:127.0.0.1:5333,tcp:example.org:80,tcp:[::1]:1/{SECRET}/x@y")
        self.assertEqual(furl.tub_id, TUB_ID)
        self.assertEqual(furl.hints, ("tcp:127.0.0.1:5333", "tcp:example.org:80", "tcp:[::1]:1"))
        self.assertEqual(furl.name, f"{SECRET}/x@y")
        self.assertEqual(parse(str(furl)), furl)

    def test_shortHints(self) -> None:
        """Hints without `tcp:` are understood, and get the form in which Foolscap takes IPv6 too."""
        furl = parse(f"pb://{TUB_ID}@127.0.0.1:5333,[fe80::1%eth0]:65535,localhost:00080/{SECRET}")
        self.assertEqual(furl.hints, ("tcp:127.0.0.1:5333", "tcp:[fe80::1%eth0]:65535", "tcp:localhost:80"))

    @settings(max_examples=100, deadline=None)
    @given(TUB_IDS, st.lists(HINTS, min_size=1, max_size=4), NAMES)
    def test_roundTrip(self, tub_id: str, hints: list[str], name: str) -> None:
        """Every FURL that can be made is read back as it was, and Foolscap reads the same in it."""
        furl = Furl(tub_id, hints, name)
        self.assertEqual(parse(str(furl)), furl)
        self.assertEqual(FOOLSCAP.decode_furl(str(furl)), (tub_id, hints, name))
        for hint in hints:
            self.assertTrue(TCP.NEW_STYLE_HINT_RE.fullmatch(hint), hint)

    @settings(max_examples=100, deadline=None)
    @given(st.one_of(st.text(max_size=80), st.integers(0, len(GOOD)).map(lambda end: GOOD[:end])))
    def test_anything(self, text: str) -> None:
        """Any text is read or refused as BadFurl; nothing else happens, and `redact` takes it too."""
        redact(text)
        try:
            parse(text)
        except BadFurl as error:
            self.assertNotIn("\n", str(error))

    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, len(GOOD) - 1), st.text(st.characters(max_codepoint=0x2FF), max_size=2))
    def test_neverShown(self, place: int, typed: str) -> None:
        """However a FURL is mistyped before its name, the name is not shown."""
        place = min(place, GOOD.index(SECRET))
        text = GOOD[:place] + typed + GOOD[place + 1 :]
        secret = SECRET[1:]
        self.assertNotIn(secret, redact(text))
        try:
            self.assertNotIn(secret, repr(parse(text)))
        except BadFurl as error:
            self.assertNotIn(secret, str(error))

    def test_redacted(self) -> None:
        """What may be shown has four letters of the TubID, the places, and nothing of the name."""
        self.assertEqual(redact(GOOD), "pb://abcd…@tcp:127.0.0.1:5333/…")
        self.assertEqual(redact(parse(GOOD)), redact(GOOD))
        self.assertEqual(redact(DEFAULT_PLACE), DEFAULT_PLACE)
        self.assertEqual(redact(f"pb://x/{SECRET}"), "pb://…")
        self.assertEqual(redact(f"{SECRET}"), "…")
        self.assertEqual(repr(parse(GOOD)), "<Furl pb://abcd…@tcp:127.0.0.1:5333/…>")
        self.assertNotIn(SECRET, f"{[parse(GOOD)]} {parse(GOOD)!r}")

    def test_empty(self) -> None:
        """An empty address is called empty."""
        self.assertIn("empty", self.refuse(""))

    def test_otherScheme(self) -> None:
        """Another scheme is named; pbu:// is explained, since the default looks like it."""
        self.assertIn("http://", self.refuse(f"http://example.org/{SECRET}"))
        self.assertIn("PB://", self.refuse(GOOD.replace("pb", "PB")))
        self.assertIn("rendezvous name, not an address", self.refuse(DEFAULT_PLACE))
        self.assertIn("rendezvous name, not an address", self.refuse(GOOD.replace("pb:", "pbu:")))
        self.assertIn("does not start with pb://", self.refuse(GOOD.removeprefix("pb://")))

    def test_truncated(self) -> None:
        """A FURL cut at any place before its name is refused."""
        for end in range(GOOD.index(SECRET) + 1):
            self.refuse(GOOD[:end])
        self.assertIn("before its name", self.refuse(GOOD.removesuffix(SECRET)))

    def test_lostSlash(self) -> None:
        """A FURL that lost the slash before its name does not give the name away."""
        self.assertIn("lost a part", self.refuse(GOOD.replace(f"/{SECRET}", SECRET)))
        self.assertIn("'tcp:127.0.0.1:5333s'", self.refuse(GOOD.replace(f"/{SECRET}", f"{SECRET}/x")))

    def test_tooLong(self) -> None:
        """A megabyte is refused by its length, before anything looks at it."""
        self.assertIn(str(len(GOOD) + 1_000_000), self.refuse(GOOD + "a" * 1_000_000))
        longest = GOOD + "a" * (LONGEST_FURL - len(GOOD))
        self.assertEqual(str(parse(longest)), longest)
        self.refuse(longest + "a")

    def test_characters(self) -> None:
        """Line breaks, blanks, control and foreign characters are refused by their number and position."""
        for character in "\n\r\t\0\x1b\x7f é\u2028\ud800":
            for text in (GOOD + character, character + GOOD, GOOD.replace("@", f"{character}@")):
                line = self.refuse(text)
                self.assertIn(f"U+{ord(character):04X}", line)
                line.encode("utf-8")

    def test_tubId(self) -> None:
        """A TubID that is not 32 letters of base32 is refused."""
        for bad in ("", "abc", TUB_ID + "a", TUB_ID.upper(), TUB_ID[:-1] + "1"):
            self.assertIn("TubID", self.refuse(f"pb://{bad}@tcp:127.0.0.1:5333/{SECRET}"))

    def test_hints(self) -> None:
        """A hint without host or with an impossible port is refused, and named."""
        for bad in (
            *("127.0.0.1", "tcp:127.0.0.1", "tcp:5333", ":5333", "tcp::5333", "h:0", "h:65536", "h:-1", "h:5x", "h:"),
            *("h:5333:1", "udp:h:1", "[::1]", "[::zz]:1", "[1.2.3.4]:1", "::1:5333", "a_b:1", "-a:1", "a b:1", "h:\u0661"),
        ):
            line = str(self.assertRaises(BadFurl, Furl, TUB_ID, [bad], SECRET))
            self.assertIn(repr(bad), line)
            self.assertNotIn(SECRET, line)
        for bad in ("", ",", "h:1,", ",h:1", "h:1,,g:1"):
            self.refuse(f"pb://{TUB_ID}@{bad}/{SECRET}")

    def test_made(self) -> None:
        """A FURL cannot be made from parts that could not be read back."""
        for tub_id, hints, name in (("x", ["h:1"], "n"), (TUB_ID, [], "n"), (TUB_ID, ["h:1"], ""), (TUB_ID, "h", "n")):
            self.assertRaises(BadFurl, Furl, tub_id, hints, name)
        self.assertRaises(BadFurl, Furl, TUB_ID, ["h:1"], "two\nlines")
        self.assertRaises(BadFurl, Furl, TUB_ID, ["h:1"], "n" * LONGEST_FURL)

    def test_newName(self) -> None:
        """Names nobody can guess: 160 bits, never the same twice."""
        names = {newName() for _ in range(100)}
        self.assertEqual(len(names), 100)
        for name in names:
            self.assertRegex(name, "^[a-z2-7]{32}$")


class PlaceTests(SynchronousTestCase):
    """`parsePlace`: the seed's pbu:// names a set of files."""

    def test_default(self) -> None:
        """The seed's default URL names the default files."""
        place = parsePlace(DEFAULT_PLACE)
        self.assertEqual(place, Place("localhost", 5333, "dispatcher"))
        self.assertEqual(place.stem, "localhost_5333_dispatcher")
        self.assertEqual(str(place), DEFAULT_PLACE)

    def test_case(self) -> None:
        """Host names have no upper case, so two spellings find one file."""
        self.assertEqual(parsePlace("pbu://LocalHost:5333/Main").stem, "localhost_5333_Main")

    def test_refused(self) -> None:
        """What could climb out of the directory, or is no pbu:// at all, is refused in one line."""
        for bad in (
            *("", "pbu://", "pbu://localhost", "pbu://localhost/dispatcher", "pbu://localhost:5333", "localhost:5333/x"),
            *("pbu://localhost:5333/", "pbu://:5333/x", "pbu://h:0/x", "pbu://h:65536/x", "pbu://h:x/x", "pb://h:1/x"),
            *("pbu://h:1/..", "pbu://h:1/../x", "pbu://h:1/a/b", "pbu://../h:1/x", "pbu://..:1/x", "pbu://h:1/.x"),
            *("pbu://h:1/a b", "pbu://h:1/a\n", "pbu://h:1/é", "pbu://h:1/x\0", "pbu://a_b:1/x", "pbu://[::1]:1/x"),
            *("pbu://h:1/x.owner", "pbu://h:1/" + "x" * 300, "pbu://h:1/" + "x" * 1_000_000, "pbu://h:1/-x"),
        ):
            line = str(self.assertRaises(BadSettings, parsePlace, bad))
            self.assertNotIn("\n", line)
            self.assertLess(len(line), 300)

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=30), st.text(max_size=30))
    def test_oneFileName(self, host: str, ref: str) -> None:
        """Whatever is accepted is a plain file name that no other place has."""
        try:
            place = parsePlace(f"pbu://{host}:5333/{ref}")
        except BadSettings:
            return
        self.assertRegex(place.stem, r"^[a-z0-9][A-Za-z0-9._-]*$")
        self.assertEqual(tuple(place.stem.split("_", 2)), (place.host, "5333", place.ref))
