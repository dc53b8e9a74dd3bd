"""`nodeset doctor`, as its user runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.commands import FURL, NODESET, PATIENCE, CommandCase

DOCTOR = [*NODESET, "doctor"]


class DoctorTests(CommandCase):
    """Each with a state directory of its own."""

    def examine(self, *words: str, **env: str) -> tuple[int, dict[str, dict[str, str]]]:
        """The exit code, the last finding of each check; no word is on stderr, no secret anywhere."""
        code, out, err = self.ask(*DOCTOR, "--json", *words, **env)
        self.assertEqual(err, "")
        self.assertNotIn("thesecret", out)
        self.assertNotIn("/g1.", out)
        return code, {found["check"]: found for found in map(json.loads, out.splitlines())}

    def member(self) -> Path:
        (path,) = (each for each in (self.home / "state").glob("*.furl") if ".owner" not in each.name)
        return path

    def test_fine(self) -> None:
        """All that is in order is fine; what is not tells what to do: another identity, a grant that was changed, no FURL."""
        self.startDispatcher()
        code, found = self.examine()
        self.assertEqual(code, 0, found)
        wanted = {"software", "extras", "settings", "limits", "state", "address", "grant", "reach", "link", "round trip"}
        wanted |= {"clock", "version", "descriptors", "memory", "lateness", "drops"}
        self.assertEqual(set(found), wanted)
        # What a busy machine may be warned of is no failure.
        busy = {"limits", "lateness", "round trip"}
        self.assertEqual({each["verdict"] for name, each in found.items() if name not in busy}, {"fine"})
        furl = self.member().read_text()
        bad = self.home / "bad.furl"
        bad.touch(mode=0o644)
        bad.write_text("pb://" + ("b" if furl[5] == "a" else "a") + furl[6:])
        code, found = self.examine("-d", "bad.furl")
        self.assertEqual((code, found["link"]["verdict"]), (3, "failed"))
        self.assertIn("identity", found["link"]["told"])
        self.assertIn("chmod 600", found["address"]["todo"])
        # Of the last letter of a tag some bits are no part of it.
        bad.write_text(furl.strip()[:-2] + ("A" if furl.strip()[-2] != "A" else "B") + furl.strip()[-1])
        code, found = self.examine(NODESET_DISPATCHER=str(bad), NODESET_DISPATHCER="x")
        self.assertIn("$NODESET_DISPATHCER", found["settings"]["todo"])
        self.assertEqual((code, found["link"]["verdict"], found["reach"]["verdict"]), (1, "failed", "fine"))
        self.assertIn("not signed", found["link"]["told"])

    def test_noDispatcher(self) -> None:
        """Without one, with garbage in place of its FURL, with one that is dead: exit code 3, and what to do."""
        code, found = self.examine()
        self.assertEqual((code, found["address"]["verdict"], found["link"]["verdict"]), (3, "failed", "skipped"))
        self.assertIn("nodeset dispatcher", found["address"]["todo"])
        (self.home / "garbage").write_text("pb://abc/thesecret")
        code, found = self.examine("-d", "garbage")
        self.assertEqual((code, found["address"]["verdict"]), (3, "failed"))
        code, out, err = self.ask(*DOCTOR, "-d", "@garbage", "--timeout", "0.001")
        self.assertEqual(code, 3)
        self.assertNotIn("thesecret", out + err)
        self.refuses(2, "--dispatcher: ", *DOCTOR, "-d", "pb://abc/thesecret")

    def test_silence(self) -> None:
        """A port that accepts and then says nothing costs no more than --timeout; its line says so."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            furl = FURL.replace(":1/", f":{silent.getsockname()[1]}/")
            begin = time.monotonic()
            code, found = self.examine("--timeout", "2", NODESET_DISPATCHER=furl)
            self.assertLess(time.monotonic() - begin, PATIENCE / 2)
            self.assertEqual((code, found["reach"]["verdict"], found["link"]["verdict"]), (3, "fine", "failed"))
            self.assertIn("nothing is said", found["link"]["told"])

    def test_pipe(self) -> None:
        """Into a pipe go plain lines, one for each check; when it is closed, that is the end."""
        code, out, err = self.ask(*DOCTOR)
        self.assertEqual((code, err), (3, ""))
        for line in out.splitlines():
            self.assertRegex(line, r"^(fine|warning|failed|skipped) +[a-z ]+: ")
        self.assertTrue(out.isascii())
        child = subprocess.Popen(
            [sys.executable, *DOCTOR], cwd=self.home, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert child.stdout is not None
        child.stdout.close()
        self.assertEqual(child.wait(PATIENCE), 141)

    def test_terminal(self) -> None:
        """On a terminal of 40 columns each line fits, with a mark and colours, none of them for who says NO_COLOR."""
        for more in ({}, {"NO_COLOR": "1"}):
            ours, theirs = pty.openpty()
            env = {**self.env, "COLUMNS": "40", "LINES": "20", "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **more}
            child = subprocess.Popen([sys.executable, *DOCTOR], cwd=self.home, env=env, stdin=theirs, stdout=theirs)
            os.close(theirs)
            text = b""
            try:
                while data := os.read(ours, 4096):
                    text += data
            except OSError:
                pass  # how Linux says that nobody holds the other end
            os.close(ours)
            self.assertEqual(child.wait(PATIENCE), 3)
            self.assertIn("✘", text.decode())
            self.assertEqual(b"\x1b[31m" in text, not more)
            bare = re.sub(r"\x1b\[[0-9;]*m", "", text.decode())
            self.assertLessEqual(max(map(len, bare.splitlines())), 40, bare)
