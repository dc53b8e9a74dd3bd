"""Forms that nobody means well with."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from nodeset.web.forms import MOST_FIELDS, whyNotRead
from tests.webs import WebSite

URLENCODED = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=x"


def parts(*fields: bytes) -> bytes:
    """A form of these parts."""
    return b"".join(b"--x\r\n" + field + b"\r\n" for field in fields) + b"--x--\r\n"


def field(more: bytes = b"", name: bytes = b"event", value: bytes = b"a") -> bytes:
    """One part."""
    return b'Content-Disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n" + value


QUOTES = b'; "' * 300_000


class FormTests(SynchronousTestCase):
    def test_taken(self) -> None:
        """What browsers and programs send is taken apart."""
        for kind, body in (
            (URLENCODED, b"event=a&message=%7b%7d"),
            (f"{URLENCODED}; charset=UTF-8", b""),
            (PARTS, parts(field(), field(name=b"message", value=b"{}"))),
            ('multipart/form-data; boundary="x"', parts(field(b"\r\nContent-Type: text/plain"))),
            ("Multipart/Form-Data;boundary=x", parts(field(value=b"x" * 900_000))),
            (
                "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxk",
                parts().replace(b"--x", b"------WebKitFormBoundary7MA4YWxk"),
            ),
        ):
            self.assertEqual(whyNotRead(kind, body), "", (kind, body[:80]))

    def test_refused(self) -> None:
        """What would take seconds is not: too many fields, long heads, forms in forms, however disguised."""
        for kind, body in (
            (URLENCODED, b"a=&" * MOST_FIELDS),
            (URLENCODED, b"a=;" * MOST_FIELDS),
            (f"{URLENCODED}{'; a*0=b' * 100}", b""),
            ("multipart/form-data", parts(field())),
            ('multipart/form-data; boundary*0="x"', parts(field())),
            ("multipart/form-data; boundary=x; boundary=y", parts(field())),
            (PARTS, b""),
            (PARTS, QUOTES + parts(field())),
            (PARTS, parts(*[field()] * (MOST_FIELDS + 1))),
            (PARTS, parts(field(QUOTES))),
            (PARTS, parts(field(b'; "--x' * 1000))),
            (PARTS, parts(field(b'; "--x\r\n ' * 500))),
            (PARTS, b"--x\r\n" + field()[:-5] + b"; --x--" + QUOTES),
            (PARTS, parts(b"Content-Type: Multipart/mixed; boundary=y\r\n\r\n--y\r\nContent-Type: a" + QUOTES)),
            (PARTS, parts(b"Content-Type: message/rfc822\r\n\r\nContent-Type: a" + QUOTES)),
        ):
            self.assertNotEqual(whyNotRead(kind, body), "", (kind[:80], body[:80]))

    def test_asked(self) -> None:
        """Whoever sends one is told so at once, at any address, and has cost next to nothing."""
        web = WebSite(self)
        web.site.until(lambda: web.bridge.node.is_linked)
        began = time.process_time()
        for path, status in (("/publish", 400), ("/subscribe", 400), ("/nowhere", 400), ("/v1/events/a", 415), ("/v1/no", 404)):
            answer = web.ask("POST", path, {"Content-Type": PARTS}, parts(field(QUOTES)))
            self.assertEqual((answer.status, answer.json()["status"]), (status, status), path)
        two = {"Content-Type": PARTS, "content-type": URLENCODED}
        self.assertEqual(web.ask("POST", "/publish", two, parts(field())).status, 400)
        self.assertLess(time.process_time() - began, 1.5)
        good = parts(field(), field(name=b"message", value=b"{}"))
        self.assertEqual(web.ask("POST", "/publish", {"Content-Type": PARTS}, good).status, 200)
