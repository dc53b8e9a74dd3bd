"""Sub-commands in this process, for those that need no dispatcher: a hundredth of the time that a process takes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NoReturn

from twisted.trial.unittest import SynchronousTestCase

from nodeset.cli import group, visit
from nodeset.cli.outcome import explain, judge
from nodeset.cli.share import giving, taking

__all__ = ["InsideCase"]


class InsideCase(SynchronousTestCase):
    """Runs `nodeset` with a directory, and an environment, of its own; whatever would visit a dispatcher fails the test."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir(mode=0o700)
        before = Path.cwd()
        os.chdir(self.home)
        self.addCleanup(os.chdir, before)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("NODESET_")}
        self.patch(os, "environ", {**environ, "NODESET_HOME": str(self.home / "state")})
        for room in (visit, giving, taking):
            self.patch(room, "end", self._end)

    def _end(self, name: str, work: Callable[[], int], debug: bool = False) -> NoReturn:
        # As the real one does, but for ending this process.
        try:
            code = work()
        except Exception as error:
            visit.complain(name, explain(error))
            code = judge(error)
        raise SystemExit(int(code))

    def ask(self, *words: str, stdin: str = "", **env: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "argv", ["nodeset", *words])
        self.patch(sys, "stdin", io.StringIO(stdin))
        os.environ.update(env)
        with redirect_stdout(out), redirect_stderr(err):
            code = self.assertRaises(SystemExit, group.run).code
        for name in env:
            del os.environ[name]
        return int(code or 0), out.getvalue(), err.getvalue()

    def told(self, *words: str, **env: str) -> str:
        """What a command prints that goes well, without a word on stderr."""
        code, out, err = self.ask(*words, **env)
        self.assertEqual((code, err), (0, ""), out)
        return out

    def refuses(self, code: int, part: str, *words: str, stdin: str = "") -> None:
        """It ends with this code and one line on stderr that has this part; nothing secret is in it."""
        found, out, err = self.ask(*words, stdin=stdin)
        self.assertEqual((found, err.count("\n")), (code, 1), out + err)
        self.assertTrue(err.startswith("nodeset"), err)
        self.assertIn(part, err)
        self.assertNotIn("thesecret", out + err)
        self.assertLess(len(err), 600)
