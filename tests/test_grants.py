"""The chain in a grant's name: what is signed, what cannot be changed."""

from __future__ import annotations

import base64
import hashlib
import hmac

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.grants import chain as grants
from nodeset.core.grants.chain import MAX_LINKS, MAX_NAME, Caveat, caveatsOf, idOf, keyId, mint, narrow, verify
from nodeset.errors import BadGrant, GrantRefused
from tests.chains import KEY, OTHER_KEY, caveat, caveats, nameOf


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def prefixed(*arguments: bytes) -> bytes:
    return b"".join(len(argument).to_bytes(4, "big") + argument for argument in arguments)


class ChainTests(SynchronousTestCase):
    """A chain holds what was put in, link by link."""

    def test_asWritten(self) -> None:
        """Each tag is the HMAC-SHA256 that the design says, every argument after its length."""
        first, second = caveat(publish=["a.>"]), caveat(rate=2.0)
        name = narrow(mint(KEY, first), second)
        packed = [msgspec.msgpack.encode(each) for each in (first, second)]
        tag = hmac.digest(KEY, prefixed(b"g1", keyId(KEY).encode(), packed[0]), hashlib.sha256)
        tag = hmac.digest(tag, prefixed(packed[1]), hashlib.sha256)
        self.assertEqual(name, ".".join(["g1", keyId(KEY), *map(encode, packed), encode(tag)]))

    @given(st.lists(caveats(), min_size=1, max_size=MAX_LINKS))
    def test_roundTrip(self, links: list[Caveat]) -> None:
        """What was minted, then narrowed by holders, is verified as just that; each grant has an id of its own."""
        try:
            name = nameOf(links)
        except BadGrant:
            return  # too long, which is said where it is made
        found = verify(KEY, name)
        self.assertEqual([link.caveat for link in found], links)
        self.assertEqual(caveatsOf(name), links)
        self.assertEqual(idOf(name), found[-1].id)
        self.assertEqual(len({link.id for link in found}), len(links))
        self.assertLessEqual(len(name), MAX_NAME)

    def test_ids(self) -> None:
        """Who narrows cannot choose an id: one random number under two parents makes two grants, so nobody's is revoked
        by another's.
        """
        same = caveat(publish=["a"])
        one, other = narrow(mint(KEY, caveat()), same), narrow(mint(KEY, caveat()), same)
        self.assertNotEqual(idOf(one), idOf(other))
        self.assertEqual(verify(KEY, narrow(one, caveat()))[1].id, idOf(one))

    def test_most(self) -> None:
        """There are 16 links at most, 4 KiB; whoever goes over is told so where the grant is made."""
        name = mint(KEY, caveat())
        for _ in range(MAX_LINKS - 1):
            name = narrow(name, caveat())
        self.assertEqual(len(verify(KEY, name)), MAX_LINKS)
        self.assertIn("links already", str(self.assertRaises(BadGrant, narrow, name, caveat())))
        long = caveat(publish=["x" * 200 for _ in range(20)])
        self.assertIn("over 4096", str(self.assertRaises(BadGrant, mint, KEY, long)))
        self.assertIn("over 4096", str(self.assertRaises(BadGrant, narrow, mint(KEY, caveat()), long)))
        self.assertRaises(BadGrant, narrow, "dispatcher", caveat())


class ForgeryTests(SynchronousTestCase):
    """Nothing but what the key has signed counts."""

    def setUp(self) -> None:
        self.links = [caveat(publish=["a.>"]), caveat(subscribe=["b"]), caveat(rate=1.0)]
        self.name = nameOf(self.links)

    def refused(self, name: str) -> str:
        return str(self.assertRaises(GrantRefused, verify, KEY, name))

    def test_everyCharacter(self) -> None:
        """A name with any one character changed, left out or doubled is refused."""
        for at, was in enumerate(self.name):
            for put in ("", was * 2, "A" if was != "A" else "B", ".", "=", "+", "é"):
                if (changed := self.name[:at] + put + self.name[at + 1 :]) != self.name:
                    self.refused(changed)

    def test_everyEnd(self) -> None:
        """A name that was cut off anywhere is refused."""
        for end in range(len(self.name)):
            self.refused(self.name[:end])

    def test_reasons(self) -> None:
        """Each refusal says what is wrong, none of them what was shown."""
        start, known, *packed, tag = self.name.split(".")
        cases = {
            ".".join([start, known, *packed, encode(bytes(32))]): "not signed by this dispatcher",
            ".".join([start, known, packed[1], packed[0], packed[2], tag]): "not signed by this dispatcher",
            ".".join([start, known, *packed[:2], tag]): "not signed by this dispatcher",
            ".".join([start, known, *packed[1:], tag]): "not signed by this dispatcher",
            ".".join([start, known, *packed, packed[0], tag]): "not signed by this dispatcher",
            mint(OTHER_KEY, self.links[0]): "key of this dispatcher",
            self.name[:-5]: "copy it again",
            "g1." + "A" * MAX_NAME: "too long",
            ".".join([start, known, *packed * 6, tag]): "links",
            "g1.": "cut off",
            "dispatcher": "no grant",
        }
        for name, words in cases.items():
            reason = self.refused(name)
            self.assertIn(words, reason)
            self.assertNotIn(tag, reason)
            self.assertNotIn("\n", reason)

    def test_resigned(self) -> None:
        """Links taken off and signed anew with what their taker knows are refused: it knows no key, no tag before the last."""
        start, known, *packed, tag = self.name.split(".")
        last = base64.urlsafe_b64decode(tag + "=")
        for key in (last, OTHER_KEY, b"", known.encode()):
            for links in (packed[:1], packed[:2], packed):
                signed = hmac.digest(key, prefixed(b"g1", known.encode(), b""), hashlib.sha256)
                self.refused(".".join([start, known, *links, encode(signed)]))

    def test_nothingIsReadFirst(self) -> None:
        """What a link says is not looked at before its tag is known to be right."""
        looked: list[bytes] = []
        self.patch(grants, "_read", looked.append)
        self.refused(self.name[:-1] + ("A" if self.name[-1] != "A" else "Q"))
        self.refused(mint(OTHER_KEY, caveat()))
        self.assertEqual(looked, [])

    def test_unknown(self) -> None:
        """A link with a word that we do not know, or no caveat at all in it, is refused: it may well forbid something."""
        _start, known, *packed, tag = self.name.split(".")
        last = base64.urlsafe_b64decode(tag + "=")
        whole = {"i": b"12345678"}
        bad: list[object] = [{**whole, "z": 1}, {}, 7, None, {**whole, "r": -1.0}, {**whole, "r": float("nan")}, {"i": b"1"}]
        bad += [{**whole, "p": "text"}, {**whole, "p": ["x"] * 300}, {**whole, "x": -1}, {**whole, "r": float("inf")}]
        for said in bad:
            link = msgspec.msgpack.encode(said)
            name = ".".join(["g1", known, *packed, encode(link), encode(hmac.digest(last, prefixed(link), hashlib.sha256))])
            self.assertIn("does not understand", self.refused(name))
