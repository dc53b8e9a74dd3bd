"""Grants from the command line: made, shown, used, taken back."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

from nodeset.cli.share import taking
from nodeset.cli.share.meaning import meaningOf
from nodeset.core.grants.chain import mint
from nodeset.core.grants.rights import memberCaveat
from tests.chains import KEY, caveat
from tests.commands import FURL, NODESET, PATIENCE, CommandCase
from tests.inside import InsideCase

#: Of a dispatcher that nobody started.
PLACE = "pb://abcdefghijklmnopqrstuvwxyz234567@tcp:127.0.0.1:5333/"


def write(home: Path, name: str, text: str) -> Path:
    """A file that only we can read."""
    path = home / name
    path.touch(mode=0o600)
    path.write_text(f"{text}\n")
    return path


class FurlTests(InsideCase):
    """`nodeset furl`, which asks nobody."""

    def test_shown(self) -> None:
        """Where it was found, where it leads, what it grants: all but the secret, for people and for programs."""
        name = mint(KEY, caveat(publish=["orders.*"], call=["kitchen/price"], rate=10.0, expires=2**40))
        path = write(self.home, "bus.furl", PLACE + name)
        out = self.told("furl", "bus.furl")
        for part in (str(path), "0600", "abcdefghijklmnopqrstuvwxyz234567", "tcp:127.0.0.1:5333", "orders.*", "kitchen/price"):
            self.assertIn(part, out)
        self.assertIn(meaningOf(name).id, out)
        found = json.loads(self.told("furl", "bus.furl", "--json"))
        self.assertEqual(found["grant"]["links"][0]["publish"], ["orders.*"])
        self.assertEqual((found["mode"], found["hints"]), ("0600", ["tcp:127.0.0.1:5333"]))
        for text in (out, json.dumps(found)):
            self.assertNotIn(name.rpartition(".")[2], text)
            self.assertNotIn("pb://", text)
        self.assertEqual(self.told("furl", "bus.furl", "--show"), f"{PLACE}{name}\n")

    def test_ways(self) -> None:
        """From the environment, from stdin, by option; a FURL as an argument works with a warning."""
        name = mint(KEY, memberCaveat(bytes(8)))
        path = write(self.home, "bus.furl", PLACE + name)
        code, out, err = self.ask("furl", NODESET_DISPATCHER=str(path))
        self.assertIn("$NODESET_DISPATCHER", out)
        self.assertIn("member", self.told("furl", "-d", f"@{path}"))
        code, out, err = self.ask("furl", "-", stdin=PLACE + name)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("member", out)
        code, out, err = self.ask("furl", FURL)
        self.assertEqual((code, err.count("\n")), (0, 1), err)
        self.assertIn("warning", err)
        self.assertNotIn("thesecret", out + err)

    def test_openFile(self) -> None:
        """A file that others can read says what to do."""
        path = write(self.home, "bus.furl", FURL)
        path.chmod(0o644)
        self.assertIn("chmod 600", self.told("furl", str(path)))

    def test_bad(self) -> None:
        """No file, garbage, a grant that is cut off, two addresses: one line each, with the code for it."""
        self.refuses(3, "start the dispatcher", "furl")
        write(self.home, "garbage.furl", "pb://garbage/thesecret")
        self.refuses(2, "garbage.furl", "furl", "garbage.furl")
        write(self.home, "cut.furl", PLACE + mint(KEY, memberCaveat(bytes(8)))[:-9])
        self.refuses(4, "copy it again", "furl", "cut.furl")
        self.refuses(2, "not both", "furl", "a", "-d", "b")
        self.refuses(2, "not both", "furl", "--json", "--show")
        self.refuses(2, "cannot be read", "furl", ".")


class NarrowTests(InsideCase):
    """`nodeset grant` of who is no owner: it asks nobody."""

    def setUp(self) -> None:
        super().setUp()
        self.name = mint(KEY, caveat(publish=["orders.>"], subscribe=["orders.>"], call=["kitchen"], answer=[]))
        write(self.home, "own.furl", PLACE + self.name)

    def test_narrowed(self) -> None:
        """A smaller grant comes out, on stdout alone; how to take it back is on stderr."""
        words = ["--publish", "orders.a", "--publish", "orders.b", "--rate", "5", "--expires", "1h"]
        code, out, err = self.ask("grant", "-d", "own.furl", *words)
        self.assertEqual((code, out.count("\n"), err.count("\n")), (0, 1, 1), err)
        meaning = meaningOf(out.strip().rpartition("/")[2])
        self.assertEqual(meaning.links[-1].publish, ["orders.a", "orders.b"])
        self.assertEqual((len(meaning.links), meaning.links[-1].rate), (2, 5.0))
        self.assertIn(meaning.id, err)
        self.assertNotIn("pb://", err)

    def test_file(self) -> None:
        """A file is new, whole, private; one that is there stays unless --force is said."""
        words = ["grant", "-d", "own.furl", "--publish", "orders.a", "-o", "till.furl"]
        code, out, err = self.ask(*words)
        self.assertEqual((code, out), (0, ""), err)
        path = self.home / "till.furl"
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        kept = path.read_text()
        self.assertTrue(kept.startswith(PLACE))
        self.refuses(1, "--force", *words)
        self.assertEqual(path.read_text(), kept)
        code, out, err = self.ask(*words, "--force")
        self.assertEqual((code, path.read_text() == kept), (0, False), err)
        self.assertEqual(sorted(each.name for each in self.home.iterdir()), ["own.furl", "till.furl"])

    def test_unwritable(self) -> None:
        """No such directory, a full disk: one line, nothing is left behind."""
        words = ["grant", "-d", "own.furl", "--publish", "orders.a"]
        self.refuses(1, "nowhere", *words, "-o", "nowhere/till.furl")
        self.refuses(1, "is a directory".capitalize(), *words, "-o", str(self.home), "--force")
        self.assertEqual([each.name for each in self.home.iterdir()], ["own.furl"])

    def test_bad(self) -> None:
        """What cannot be granted is one line that names it, with exit code 2; what has ended is code 4."""
        words = ["grant", "-d", "own.furl"]
        self.refuses(2, "'a..b'", *words, "--publish", "a..b")
        self.refuses(2, "outside", *words, "--publish", "prices")
        self.refuses(2, "'soon'", *words, "--expires", "soon")
        self.refuses(2, "past", *words, "--expires", "2001-01-01")
        self.refuses(2, "rate", *words, "--rate", "-1")
        self.refuses(2, "name what is granted", *words)
        self.refuses(2, "TubID", *words, "--tub", "no tub")
        write(self.home, "old.furl", PLACE + mint(KEY, caveat(publish=["a"], expires=1)))
        self.refuses(4, "ended", "grant", "-d", "old.furl", "--publish", "a")
        write(self.home, "none.furl", FURL)
        self.refuses(2, "no grant", "grant", "-d", "none.furl", "--publish", "a")


class RevokeTests(InsideCase):
    """`nodeset revoke`, before it asks anybody."""

    def test_bad(self) -> None:
        """No dispatcher, no file, no grant in it, nothing to revoke, stdin that is something else: one line each."""
        write(self.home, "none.furl", FURL)
        self.refuses(3, "start the dispatcher", "revoke", "0" * 24)
        self.refuses(2, "gone.furl is neither the file of a FURL nor the id of a grant", "revoke", "gone.furl")
        self.refuses(2, "no grant", "revoke", "none.furl")
        self.refuses(2, "Missing argument".lower(), "revoke")
        write(self.home, "own.furl", PLACE + mint(KEY, memberCaveat(bytes(8))))
        write(self.home, "other.furl", PLACE.replace("abc", "xyz") + mint(KEY, memberCaveat(bytes(8))))
        self.refuses(2, "xyzdefgh", "revoke", "-d", "own.furl", "other.furl")
        self.refuses(2, "line 2", "revoke", "-", stdin=f"{'0' * 24}\nthesecret\n")

    def test_stdin(self) -> None:
        """From stdin come FURLs and ids, a line each, empty ones passed over; what is named twice is revoked once."""
        name = mint(KEY, memberCaveat(bytes(8)))
        self.patch(sys, "stdin", io.StringIO(f"{'0' * 24}\n\n {PLACE}{name} \n{'0' * 24}\n"))
        found = taking.read(["-", "1" * 24])
        self.assertEqual([each.id for each in found], ["0" * 24, meaningOf(name).id, "1" * 24])
        self.assertNotIn(name, repr(found))


class OwnerTests(CommandCase):
    """With the dispatcher of this machine."""

    def told(self, *words: str) -> str:
        """What a command prints that goes well, without a word on stderr."""
        code, out, err = self.ask(*NODESET, *words)
        self.assertEqual((code, err), (0, ""), out)
        return out

    def test_life(self) -> None:
        """Its owner mints a grant, which does just that, until it is taken back: by file, by id; twice is said, not wrong."""
        self.startDispatcher()
        code, out, err = self.ask(*NODESET, "grant", "--publish", "orders.*", "--call", "nodeset/nodes", "-o", "shop.furl")
        self.assertEqual((code, out), (0, ""), err)
        meaning = meaningOf((self.home / "shop.furl").read_text().strip().rpartition("/")[2])
        self.assertEqual((len(meaning.links), meaning.kind), (1, "limited"))
        self.ask(*NODESET, "grant", "-d", "@shop.furl", "--publish", "orders.a", "-o", "till.furl")
        code, out, err = self.ask(*NODESET, "revoke", "-d", "@shop.furl", meaning.id, "till.furl")
        self.assertEqual((code, out.count("revoked, links"), err.count("only an owner")), (4, 1, 1), out + err)
        out = self.told("revoke", meaning.id, "shop.furl")
        self.assertEqual((out.count(f"{meaning.id} revoked"), out.count(f"{meaning.id} was revoked before")), (1, 1))
        self.refuses(4, "revoked", *NODESET, "nodes", "-d", "@shop.furl")

    def test_deadDispatcher(self) -> None:
        """An owner whose dispatcher is dead is told so in time; no file is left behind."""
        state = self.home / "state"
        state.mkdir(mode=0o700)
        for kind, rights in (("", memberCaveat(bytes(8))), (".owner", caveat(owner=True))):
            write(state, f"localhost_5333_dispatcher{kind}.furl", PLACE.replace(":5333", ":1") + mint(KEY, rights))
        words = ["--publish", "a", "-o", "x.furl", "--timeout", "0.5"]
        self.refuses(3, "nobody answers", *NODESET, "grant", *words)
        self.assertEqual([each.name for each in self.home.iterdir()], ["state"])

    def test_fullDisk(self) -> None:
        """A full disk is one line, and nothing is left behind; a limit on the size of files stands in for it."""
        write(self.home, "own.furl", PLACE + mint(KEY, memberCaveat(bytes(8))))
        words = [sys.executable, *NODESET, "grant", "-d", "own.furl", "--publish", "orders.a", "-o", "till.furl"]
        limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *words]
        done = subprocess.run(
            limited, cwd=self.home, env=self.env, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
        self.assertIn("till.furl", done.stderr)
        self.assertEqual([each.name for each in self.home.iterdir()], ["own.furl"])

    def test_closedPipe(self) -> None:
        """Whoever should have got it has gone: 141, one line, and no secret in it."""
        words = [sys.executable, *NODESET, "grant", "-d", "own.furl", "--publish", "orders.a"]
        write(self.home, "own.furl", PLACE + mint(KEY, memberCaveat(bytes(8))))
        child = subprocess.Popen(words, cwd=self.home, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stderr is not None
        child.stdout.close()
        err = child.stderr.read()
        child.stderr.close()
        self.assertEqual((child.wait(PATIENCE), err.count("\n")), (141, 1), err)
        self.assertNotIn("pb://", err)
