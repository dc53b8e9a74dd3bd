"""Signed requests, before any socket."""

from __future__ import annotations

import hashlib
import hmac
import string
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset.web.access.signature import (
    HEADERS,
    BadTarget,
    Malformed,
    Partial,
    Signed,
    canonicalPath,
    canonicalQuery,
    isRecent,
    isSigned,
    readSigned,
    signatureOf,
    textOf,
)
from nodeset.web.sign import sign

SECRET = "x" * 32
_QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
#: What a path, a query may have as they are sent.
_SENT = st.text(alphabet=string.ascii_letters + string.digits + "-._~!$'()*,:@/+;", max_size=8)
_ESCAPED = st.text(max_size=4).map(lambda text: quote(text, safe=""))
_PIECE = st.lists(_SENT | _ESCAPED, max_size=4).map("".join)
_QUERY = st.lists(st.tuples(_PIECE, _PIECE).map("=".join) | _PIECE, max_size=5).map("&".join)


def text(**parts: Any) -> bytes:
    """What is signed of a request that differs from a plain one in these."""
    plain: dict[str, Any] = {
        "key": "alice",
        "timestamp": 1764000000,
        "nonce": "n" * 16,
        "method": "POST",
        "path": "/v1/events/a",
        "query": "",
        "body": b"",
    }
    return textOf(**{**plain, **parts})


class TextTests(SynchronousTestCase):
    def test_example(self) -> None:
        """The example of docs/web-access.md is signed as it says there, by nothing but what Python has."""
        body = b'{"id": 1}'
        lines = [
            "NODESET-HMAC-SHA256",
            "alice",
            "1764000000",
            "3q2-7w8mQkGv0bYxJ1c4Zg",
            "POST",
            "/v1/events/orders.created",
            "a=1&b=2",
            hashlib.sha256(body).hexdigest(),
        ]
        expected = hmac.new(b"0123456789abcdef0123456789abcdef", "\n".join(lines).encode(), "sha256").hexdigest()
        headers = sign(
            "alice",
            "0123456789abcdef0123456789abcdef",
            "POST",
            "/v1/events/orders%2ecreated?b=2&a=1",
            body,
            timestamp=1764000000,
            nonce="3q2-7w8mQkGv0bYxJ1c4Zg",
        )
        self.assertEqual(headers["x-verify-signature"], expected)
        self.assertEqual(expected, "dad2d6496aa5a2063036b06ed4a716920fd9c76cc906c12a4bfc540c277d4c1b")

    def test_everyPart(self) -> None:
        """A signature counts for nothing when any part of the request is another."""
        signed = Signed("alice", 1764000000, "n" * 16, signatureOf(SECRET, text()))
        self.assertTrue(isSigned(SECRET, signed, "POST", "/v1/events/a", "", b""))
        for method, path, query, body in (
            ("GET", "/v1/events/a", "", b""),
            ("POST", "/v1/events/b", "", b""),
            ("POST", "/v1/events/a", "x=1", b""),
            ("POST", "/v1/events/a", "", b"{}"),
        ):
            self.assertFalse(isSigned(SECRET, signed, method, path, query, body))
        self.assertFalse(isSigned("y" * 32, signed, "POST", "/v1/events/a", "", b""))
        texts = {text(**part) for part in ({"key": "bob"}, {"timestamp": 1764000001}, {"nonce": "m" * 16}, {})}
        self.assertEqual(len(texts), 4)

    def test_noNewline(self) -> None:
        """No part can have a newline, by which it could be taken for two."""
        for part in ({"key": "a\n1"}, {"method": "GE\nT"}, {"nonce": "a\nb"}, {"path": "/a\nb"}, {"query": "a=\n"}):
            self.assertRaises(BadTarget, text, **part)

    def test_badTargets(self) -> None:
        """An address with half an escape, a blank or a foreign character is none: nobody need guess what it means."""
        for wrong in ("/%", "/%4", "/%zz", "/%+1", "/a b", "/\u00e4", "/\x7f", "/\x00", "/%\n1"):
            self.assertRaises(BadTarget, canonicalPath, wrong)
            self.assertRaises(BadTarget, canonicalQuery, wrong)

    def test_spellings(self) -> None:
        """What a proxy may rewrite on the way changes nothing."""
        self.assertEqual(canonicalPath("/a%2Db%7e%c3%a4%2f"), "/a-b~%C3%A4%2F")
        self.assertEqual(canonicalQuery("b=%41&a&&a=2"), "a=&a=2&b=A")
        self.assertEqual(canonicalQuery(""), "")

    @_QUICK
    @given(_PIECE, _PIECE)
    def test_pathsDiffer(self, one: str, other: str) -> None:
        """Two paths have one canonical form only if they mean the same."""
        assume(one != other)
        if canonicalPath(one) == canonicalPath(other):
            self.assertEqual(unquote(one), unquote(other))
            self.assertEqual(one.count("/"), other.count("/"))

    @_QUICK
    @given(_QUERY, _QUERY)
    def test_queriesDiffer(self, one: str, other: str) -> None:
        """Two queries have one canonical form only if each name has the same values, in the same order."""
        if canonicalQuery(one) == canonicalQuery(other):
            self.assertEqual(_values(one), _values(other))

    @_QUICK
    @given(_PIECE, _QUERY)
    def test_stable(self, path: str, query: str) -> None:
        """The canonical form of a canonical form is itself, and means the same."""
        for found, canonical in ((path, canonicalPath), (query, canonicalQuery)):
            self.assertEqual(canonical(canonical(found)), canonical(found))
        self.assertEqual(_values(canonicalQuery(query)), _values(query))

    @_QUICK
    @given(_PIECE, _QUERY, st.binary(max_size=20), st.sampled_from(["GET", "POST", "DELETE"]))
    def test_roundTrip(self, path: str, query: str, body: bytes, method: str) -> None:
        """What `sign` signs is found to be signed, whatever it is."""
        headers = sign("alice", SECRET, method, f"/{path}?{query}", body)
        signed = readSigned(headers.get)
        assert signed is not None
        self.assertTrue(isSigned(SECRET, signed, method, f"/{path}", query, body))


def _values(query: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found


class HeaderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.headers = sign("alice", SECRET, "GET", "/", timestamp=1764000000, nonce="n" * 16)

    def test_none(self) -> None:
        """A request without any of the headers is not signed."""
        self.assertIsNone(readSigned(lambda name: None))

    def test_missing(self) -> None:
        """One without some of them is told which."""
        for name in HEADERS:
            error = self.assertRaises(Partial, readSigned, {**self.headers, name: None}.get)
            self.assertIn(name, str(error))

    def test_malformed(self) -> None:
        """A header that is none is named, its value is not."""
        for name, value in (
            ("x-verify-key", "a b"),
            ("x-verify-key", "x" * 65),
            ("x-verify-timestamp", "-1"),
            ("x-verify-timestamp", "1.5"),
            ("x-verify-timestamp", "\u0661\u0662"),
            ("x-verify-nonce", "secret-15-chars"),
            ("x-verify-signature", "zz" * 32),
            ("x-verify-signature", ""),
        ):
            error = self.assertRaises(Malformed, readSigned, {**self.headers, name: value}.get)
            self.assertIn(name, str(error))
            self.assertNotIn("secret-15", str(error))

    def test_window(self) -> None:
        """A clock that is 299 s off is let in, one that is 301 s off is not."""
        for off in (0, 299, 300, -299, -300):
            self.assertTrue(isRecent(1764000000 + off, 1764000000.0), off)
        for off in (301, -301, 10**9):
            self.assertFalse(isRecent(1764000000 + off, 1764000000.0), off)

    def test_hidden(self) -> None:
        """What is shown of a signed request has no signature in it."""
        signed = readSigned(self.headers.get)
        self.assertNotIn(self.headers["x-verify-signature"], repr(signed))
