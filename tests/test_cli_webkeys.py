"""Who is let in by `nodeset-web` as a real process: keys, grants, whoever comes."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from nodeset.web.sign import sign
from tests.commands import NODESET, CommandCase

WEB = ["-c", "from nodeset.cli.web import main; main()"]


class BridgeCase(CommandCase):
    """A dispatcher with a bridge."""

    def setUp(self) -> None:
        super().setUp()
        self.keys = self.home / "keys.toml"

    def startBridge(self, *words: str) -> tuple[subprocess.Popen[str], int]:
        """One that serves HTTP, with its port."""
        child = self.spawn(*WEB, "-n", "--port", "0", *words)
        line = self.awaitLine(child, "HTTP is served at")
        found = re.search(r":(\d+)/", line)
        assert found is not None, line
        self.awaitLine(child, "is linked to its dispatcher")
        return child, int(found[1])

    def fetch(self, port: int, method: str, target: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and JSON of one answer."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request(method, target, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def makeKey(self, name: str, *words: str) -> str:
        """Its secret."""
        code, out, err = self.ask(*NODESET, "webkey", name, "--keys", str(self.keys), "--show", *words)
        self.assertEqual(code, 0, err)
        self.assertNotIn(out.strip(), err)
        return out.strip()

    def grant(self, *words: str) -> Path:
        """The file of one."""
        path = self.home / "grant"
        code, _out, err = self.ask(*NODESET, "grant", *words, "-o", str(path), "--force")
        self.assertEqual(code, 0, err)
        return path


class KeyTests(BridgeCase):
    def test_replayAfterKill(self) -> None:
        """What was signed counts once, also when the bridge was killed in between; what is signed anew is let in at once."""
        self.startDispatcher()
        secret = self.makeKey("alice")
        child, port = self.startBridge("--keys", str(self.keys))
        once = sign("alice", secret, "GET", "/v1/whoami")
        status, told = self.fetch(port, "GET", "/v1/whoami", once)
        self.assertEqual((status, told["name"], told["anonymous"]), (200, "key alice", False))
        self.assertEqual(self.fetch(port, "GET", "/v1/whoami", once)[0], 409)
        self.assertEqual(self.fetch(port, "GET", "/v1/whoami")[0], 401)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child, port = self.startBridge("--keys", str(self.keys))
        self.assertEqual(self.fetch(port, "GET", "/v1/whoami", once)[0], 409)
        self.assertEqual(self.fetch(port, "GET", "/v1/whoami", sign("alice", secret, "GET", "/v1/whoami"))[0], 200)
        self.assertEqual(self.stop(child), 0)

    def test_rotation(self) -> None:
        """At SIGHUP new keys count, those taken out of the file end; a broken file changes nothing."""
        self.startDispatcher()
        old = self.makeKey("alice")
        child, port = self.startBridge("--keys", str(self.keys))
        new = self.makeKey("alice-2")

        def statuses() -> list[int]:
            signed = [sign(*key, "GET", "/v1/whoami") for key in (("alice", old), ("alice-2", new))]
            return [self.fetch(port, "GET", "/v1/whoami", headers)[0] for headers in signed]

        child.send_signal(signal.SIGHUP)
        self.assertIn("new alice-2", self.awaitLine(child, "was read again"))
        self.assertEqual(statuses(), [200, 200])
        whole = self.keys.read_text()
        self.keys.write_text(whole[whole.index('[keys."alice-2"]') :] + "[broken\n")
        child.send_signal(signal.SIGHUP)
        line = self.awaitLine(child, "stay as they were")
        self.assertIn("keys.toml:", line)
        self.assertNotIn(new, line)
        self.assertEqual(statuses(), [200, 200])
        self.keys.write_text(whole[whole.index('[keys."alice-2"]') :])
        child.send_signal(signal.SIGHUP)
        self.assertIn("gone alice", self.awaitLine(child, "was read again"))
        self.assertEqual(statuses(), [403, 200])
        self.assertEqual(self.stop(child), 0)

    def test_badKeys(self) -> None:
        """A file of keys that is open to others, or says what it must not, is one line with the place in it."""
        self.keys.write_text('[keys.a]\nsecret = "thesecret"\n')
        self.keys.chmod(0o644)
        self.refuses(1, "0644", *WEB, "-n", "--port", "0", "--keys", str(self.keys))
        self.keys.chmod(0o600)
        self.refuses(2, "keys.toml:2", *WEB, "-n", "--port", "0", "--keys", str(self.keys))


class MakingTests(BridgeCase):
    def test_webkey(self) -> None:
        """`nodeset webkey` makes one key more, whose secret only the file has; what cannot be leaves the file as it was."""
        code, out, err = self.ask(*NODESET, "webkey", "alice", "--keys", "keys.toml", "--expires", "90d")
        self.assertEqual((code, out), (0, ""), err)
        found = tomllib.loads(self.keys.read_text())["keys"]["alice"]
        self.assertEqual((len(found["secret"]), self.keys.stat().st_mode & 0o777), (43, 0o600))
        self.assertNotIn(found["secret"], err)
        before = self.keys.read_bytes()
        cases = {
            "alice-2": ["alice"],
            "no name of a key": ["a b"],
            "@FILE": ["bob", "--grant", "g1.thesecret"],
            "not-there": ["bob", "--grant", "@not-there"],
            "is over": ["bob", "--expires", "2001-01-01"],
            "is no time": ["bob", "--expires", "soon"],
        }
        told = self.runCases([{"words": ["webkey", *words, "--keys", str(self.keys)]} for words in cases.values()])
        for part, (code, out, err) in zip(cases, told, strict=True):
            self.assertEqual((code, out, err.count("\n")), (2, "", 1), err)
            self.assertIn(part, err)
            self.assertNotIn("thesecret", err)
        self.assertEqual(self.keys.read_bytes(), before)

    def test_token(self) -> None:
        """`nodeset grant --token` prints what goes into Authorization; revoked, it is worth nothing."""
        self.startDispatcher()
        token = self.grant("--subscribe", "orders.*", "--token").read_text().strip()
        self.assertTrue(token.startswith("g1."))
        child, port = self.startBridge()
        bearer = {"Authorization": f"Bearer {token}"}
        status, told = self.fetch(port, "GET", "/v1/whoami", bearer)
        self.assertEqual((status, told["subscribe"], told["publish"]), (200, ["orders.*"], []))
        self.assertEqual(self.fetch(port, "GET", "/v1/whoami", {"Authorization": f"Bearer {token[:-1]}A"})[0], 401)
        self.assertEqual(self.ask(*NODESET, "revoke", told["name"].removeprefix("grant "))[0], 0)
        refused = 0
        while refused != 401:  # as soon as its link is cut
            refused = self.fetch(port, "GET", "/v1/whoami", bearer)[0]
        self.assertEqual(self.stop(child), 0)

    def test_grantedKey(self) -> None:
        """A key with a grant may do what that allows; nothing secret of either is in the log."""
        self.startDispatcher()
        path = self.grant("--publish", "orders.*")
        secret = self.makeKey("till", "--grant", f"@{path}")
        child, port = self.startBridge("--keys", str(self.keys), "--loglevel", "debug")
        status, told = self.fetch(port, "GET", "/v1/whoami", sign("till", secret, "GET", "/v1/whoami"))
        self.assertEqual((status, told["publish"], told["call"]), (200, ["orders.*"], []))
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate()
        for hidden in (secret, path.read_text().strip().rpartition("/")[2]):
            self.assertNotIn(hidden, out + err)

    def test_everywhere(self) -> None:
        """Where others can connect nobody is let in without credentials, however that was said."""
        self.startDispatcher()
        _child, port = self.startBridge("--listen", "tcp:0")
        self.assertEqual((self.fetch(port, "GET", "/v1/whoami")[0], self.fetch(port, "GET", "/v1/health")[0]), (401, 200))
