"""What grants mean, as people read and write it."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from importlib import import_module

from twisted.trial.unittest import SynchronousTestCase

from nodeset.cli.share.expiry import readExpiry
from nodeset.cli.share.meaning import inWords, meaningOf, plain, when
from nodeset.core.grants.chain import mint, narrow
from nodeset.core.grants.rights import memberCaveat
from nodeset.errors import BadGrant, GrantRefused
from nodeset.transport.furl import Furl
from tests.chains import KEY, caveat

NOW = 1_700_000_000.0


def told(name: str, label: str) -> str:
    """The text of the one line with this label."""
    (found,) = [text for each, text in inWords(meaningOf(name), NOW) if each == label]
    return found


class MeaningTests(SynchronousTestCase):
    """What `nodeset furl` says."""

    def test_kinds(self) -> None:
        """An owner's, a member's, a limited one, none at all: each is told as what it is."""
        member = mint(KEY, memberCaveat(bytes(8)))
        owner = mint(KEY, caveat(owner=True, answer=["*"]))
        self.assertEqual(meaningOf(owner).kind, "owner")
        self.assertEqual(meaningOf(member).kind, "member")
        self.assertEqual(meaningOf(narrow(member, caveat(rate=1.0))).kind, "limited")
        self.assertEqual(meaningOf(narrow(owner, caveat(publish=["a"]))).kind, "limited")
        self.assertEqual(meaningOf("dispatcher").kind, "none")
        self.assertIn("no grant", told("dispatcher", "grant"))

    def test_damaged(self) -> None:
        """A grant that is cut off is refused, not guessed at."""
        with self.assertRaises(GrantRefused):
            meaningOf(mint(KEY, caveat(publish=["a"]))[:-9])

    def test_narrowest(self) -> None:
        """Of several links only what is left to do is told, with the smallest rate, the earliest end."""
        name = mint(KEY, caveat(publish=["orders.>"], subscribe=["a"], call=["kitchen"], rate=10.0, expires=int(NOW) + 90))
        name = narrow(name, caveat(publish=["orders.*"], call=["kitchen/price"], rate=5.0, expires=int(NOW) + 7200))
        self.assertEqual(told(name, "publish"), "orders.*")
        self.assertEqual(told(name, "call"), "kitchen/price")
        self.assertEqual(told(name, "subscribe"), "a")
        self.assertIn("5 events", told(name, "rate"))
        self.assertTrue(told(name, "expires").endswith("UTC, in 1.5 min"), told(name, "expires"))
        self.assertIn("2", told(name, "links"))

    def test_widened(self) -> None:
        """A later link that lists more than an earlier one allows is told with what the earlier one leaves of it."""
        name = narrow(mint(KEY, caveat(publish=["a"])), caveat(publish=["a", "b"]))
        self.assertEqual(told(name, "publish"), "a, and of that: a b")

    def test_nothing(self) -> None:
        """An empty list is nothing; a verb that no link limits is everything."""
        name = mint(KEY, caveat(publish=[]))
        self.assertEqual((told(name, "publish"), told(name, "subscribe")), ("nothing", "everything"))

    def test_expired(self) -> None:
        """One that has ended says so, with a date that no clock can make fail."""
        name = mint(KEY, caveat(publish=["a"], expires=int(NOW) - 60))
        self.assertTrue(told(name, "expires").startswith("EXPIRED "))
        self.assertTrue(told(name, "expires").endswith("1.0 min ago"))
        self.assertIn("9999", when(2**53, NOW))

    def test_control(self) -> None:
        """What a stranger wrote into a grant is no command to the terminal."""
        name = mint(KEY, caveat(publish=["\x1b[2Jgone"], tub="\x07\u202e"))
        text = "".join(text for _label, text in inWords(meaningOf(name), NOW))
        self.assertTrue(text.isprintable(), repr(text))
        self.assertIn("\\u001b[2Jgone", text)
        out = io.StringIO()
        with redirect_stdout(out):
            import_module("nodeset.cli.people.furl")._printJson(Furl("a" * 32, ["tcp:localhost:5333"], name), None, "stdin")
        self.assertTrue(out.getvalue().rstrip("\n").isprintable(), repr(out.getvalue()))
        self.assertEqual(json.loads(out.getvalue())["grant"]["links"][0]["tub"], "\x07\u202e")

    def test_json(self) -> None:
        """The same for programs: a list for each verb that is limited, null for others."""
        name = mint(KEY, caveat(publish=["a"], tub="x"))
        found = plain(meaningOf(name))
        (link,) = found["links"]
        self.assertEqual((found["kind"], link["publish"], link["call"], link["tub"]), ("limited", ["a"], None, "x"))
        self.assertNotIn("id", link)


class ExpiryTests(SynchronousTestCase):
    """What `--expires` takes."""

    def test_spans(self) -> None:
        """Seconds, or numbers with units, also several of them."""
        for text, seconds in (("90", 90), ("90s", 90), ("1h", 3600), ("1h30m", 5400), ("0.5d", 43200), ("2w", 1209600)):
            self.assertEqual(readExpiry(text), seconds, text)

    def test_moments(self) -> None:
        """A moment with its time zone; without one it is of this machine's."""
        self.assertEqual(readExpiry("2030-12-31T18:00+01:00"), datetime(2030, 12, 31, 17, tzinfo=UTC))
        local = readExpiry("2030-12-31T18:00")
        assert isinstance(local, datetime) and local.tzinfo is not None
        self.assertEqual(local.replace(tzinfo=None), datetime(2030, 12, 31, 18))
        self.assertLess(abs(local - datetime(2030, 12, 31, 18, tzinfo=UTC)), timedelta(days=1))

    def test_neither(self) -> None:
        """Anything else is refused in a line that shows what was typed, cut."""
        for text in ("", "soon", "1x", "h", "-5", "1h 30m", "nan", "9" * 500, "2030-13-01", "٣h"):
            error = self.assertRaises(BadGrant, readExpiry, text)
            self.assertLess(len(str(error)), 200)
