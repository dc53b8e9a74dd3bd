"""The file of the keys that sign requests."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from nodeset.core.grants.chain import Caveat, mint
from nodeset.errors import BadSettings, StateUnusable
from nodeset.testing.watch import ErrorWatch
from nodeset.web.access.keyfile import KeyFile

GRANT = mint(b"k" * 32, Caveat(b"12345678", publish=["a"]))
FURL = f"pb://{'a' * 32}@tcp:127.0.0.1:1/{GRANT}"
SECRET = "the-secret-of-alice-which-is-long-enough"


class KeyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def write(self, text: str, mode: int = 0o600, path: Path | None = None) -> Path:
        """A file with this in it."""
        path = path or self.path
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        path.chmod(mode)
        return path

    def refuse(self, text: str, line: int | None, part: str) -> None:
        """It is refused in one line that names the line, and has nothing secret in it."""
        error = self.assertRaises(BadSettings, KeyFile, self.write(text))
        where = str(self.path) if line is None else f"{self.path}:{line}: "
        self.assertTrue(str(error).startswith(where), str(error))
        self.assertIn(part, str(error))
        self.assertNotIn("\n", str(error))
        for secret in (SECRET, "hunter2", GRANT):
            self.assertNotIn(secret, str(error))

    def test_read(self) -> None:
        """A key has a secret; if it says so, a grant and an end."""
        guest = self.path.with_name("guest.furl")
        self.write(f"{FURL}\n", path=guest)
        self.addCleanup(guest.unlink)
        keys = KeyFile(
            self.write(
                f'[keys.alice]\nsecret = "{SECRET}"\n[keys."bob@shop"]\nsecret = "{"b" * 32}"\ngrant = "@guest.furl"\n'
                f'[keys.carol]\nsecret = "{"c" * 32}"\ngrant = "{GRANT}"\nnot-after = 2026-01-31T12:00:00Z\n'
            )
        )
        self.assertEqual(sorted(keys.keys), ["alice", "bob@shop", "carol"])
        alice, bob, carol = (keys.keys[name] for name in ("alice", "bob@shop", "carol"))
        self.assertEqual((alice.secret, alice.grant, alice.not_after), (SECRET, None, None))
        self.assertEqual((bob.grant, carol.grant), (FURL, GRANT))
        self.assertEqual(carol.not_after, 1769860800.0)
        for shown in (repr(alice), repr(bob), repr(carol)):
            for secret in (SECRET, "bbbb", GRANT):
                self.assertNotIn(secret, shown)

    def test_ends(self) -> None:
        """A key counts to the end of its day, in UTC, or until its moment."""
        for end, moment in (
            ("2026-01-31", 1769904000),
            ("2026-01-31T00:00:00", 1769817600),
            ("2026-01-31T01:00:00+01:00", 1769817600),
        ):
            keys = KeyFile(self.write(f'[keys.a]\nsecret = "{SECRET}"\nnot-after = {end}\n'))
            self.assertIsNotNone(keys.find("a", moment - 1), end)
            self.assertIsNone(keys.find("a", moment), end)
        self.assertIsNone(keys.find("nobody", 0))

    def test_wrong(self) -> None:
        """What is wrong is said with its line."""
        good = f'[keys.a]\nsecret = "{SECRET}"\n'
        self.refuse(f"{good}[keys.b]\nsecret = hunter2\n", 4, "no TOML")
        self.refuse(f'{good}[keys.b]\nsecret = "{SECRET}\n', 4, "no TOML")
        self.refuse(f'{good}[keys.b]\nsecret = "hunter2"\n', 4, "32 to 512 visible ASCII characters")
        self.refuse(f'{good}[keys.b]\nsecret = "{"ä" * 40}"\n', 4, "visible ASCII")
        self.refuse(f"{good}[keys.b]\nsecret = 12345\n", 4, "visible ASCII")
        self.refuse(f"{good}[keys.b]\n", 3, "its secret is 32 to 512")
        self.refuse(f'{good}grnat = "@x"\n', 3, "did you mean 'grant'?")
        self.refuse(f"{good}grant = 1\n", 3, "a FURL")
        self.refuse(f'{good}grant = "@not-there.furl"\n', 3, "not-there.furl")
        self.refuse(f'{good}grant = "pb://{"a" * 32}@tcp:h:1/hunter2"\n', 3, "no grant")
        self.refuse(f'{good}not-after = "tomorrow"\n', 3, "not-after is a day")
        self.refuse(f'[keys."a b"]\nsecret = "{SECRET}"\n', 1, "no name of a key")
        self.refuse(f'{good}[kyes.b]\nsecret = "{SECRET}"\n', 3, "[keys.NAME]")
        self.refuse(f'keys = "{SECRET}"\n', 1, "keys are tables")
        self.refuse(f"{good}\n# \udcff\n", 4, "no UTF-8")
        self.refuse("a = " + "[" * 2000, None, "nested")

    def test_private(self) -> None:
        """A file that others can read is refused, and one that is not there, or is none; so is that of a grant."""
        for mode in (0o644, 0o640, 0o602):
            error = self.assertRaises(StateUnusable, KeyFile, self.write("", mode))
            self.assertIn(f"{mode:04o}", str(error))
        self.assertRaises(StateUnusable, KeyFile, self.path.with_name("nowhere"))
        self.assertRaises(StateUnusable, KeyFile, self.path.parent)
        fifo = self.path.with_name("fifo")
        os.mkfifo(fifo, 0o600)
        self.addCleanup(fifo.unlink)
        self.assertRaises(StateUnusable, KeyFile, fifo)
        guest = self.write(FURL, 0o644, self.path.with_name("open.furl"))
        self.addCleanup(guest.unlink)
        self.refuse(f'[keys.a]\nsecret = "{SECRET}"\ngrant = "@open.furl"\n', 3, "0644")

    def test_reload(self) -> None:
        """Read again it has what the file has now; while that is broken, gone or open to others, what it had."""
        watch = ErrorWatch()
        watch.start()
        self.addCleanup(watch.stop)
        keys = KeyFile(self.write(f'[keys.a]\nsecret = "{SECRET}"\n'))
        self.write(f'[keys.b]\nsecret = "{SECRET}"\n')
        self.assertTrue(keys.reload())
        self.assertEqual(list(keys.keys), ["b"])
        self.write("[keys.b\n")
        self.assertFalse(keys.reload())
        self.write(f'[keys.c]\nsecret = "{SECRET}"\n', 0o644)
        self.assertFalse(keys.reload())
        self.path.unlink()
        self.assertFalse(keys.reload())
        self.assertEqual(list(keys.keys), ["b"])

    def test_many(self) -> None:
        """Ten thousand keys are read; one more is too many."""
        table = '[keys.k{0}]\nsecret = "{0:032}"\n'
        self.assertEqual(len(KeyFile(self.write("".join(map(table.format, range(10_000))))).keys), 10_000)
        self.refuse("".join(map(table.format, range(10_001))), None, "10000 are the most")
