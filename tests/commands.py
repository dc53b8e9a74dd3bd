"""The commands as real processes, each test with a directory of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

__all__ = ["DISPATCHER", "FURL", "NODE", "NODESET", "PATIENCE", "ROOT", "TWISTD", "CommandCase", "kill"]

ROOT = Path(__file__).resolve().parent.parent
#: Port 1 is nobody's, whatever runs on this machine.
FURL = "pb://abcdefghijklmnopqrstuvwxyz234567@tcp:127.0.0.1:1/thesecret"
#: Seconds after which a child counts as hung.
PATIENCE = 30.0
#: As the console scripts, which become daemons without -n.
DISPATCHER = ["-c", "from nodeset.cli.dispatch import main; main()"]
NODE = ["-c", "from nodeset.cli.node import main; main()"]
#: The command for people.
NODESET = ["-m", "nodeset"]
TWISTD = ["-c", "from twisted.scripts.twistd import run; run()"]


def kill(pid: int) -> None:
    """Be sure that it is no more."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class CommandCase(SynchronousTestCase):
    """Starts commands, reads what they say."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir(mode=0o700)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("NODESET_")}
        self.env |= {"NODESET_HOME": str(self.home / "state"), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    def spawn(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Start `python words...`; it is dead after the test, or after PATIENCE, which ends any wait for a line of it."""
        child = subprocess.Popen(
            [sys.executable, *words],
            cwd=self.home,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        hung = threading.Timer(PATIENCE, child.kill)
        hung.daemon = True
        hung.start()

        def end() -> None:
            hung.cancel()
            child.kill()
            child.communicate()

        self.addCleanup(end)
        return child

    def ask(self, *words: str, **env: str) -> tuple[int, str, str]:
        """Run to its end: exit code, stdout, stderr."""
        child = self.spawn(*words, **env)
        out, err = child.communicate(timeout=PATIENCE)
        return child.returncode, out, err

    def runCases(self, cases: list[dict[str, Any]], abreast: int = 4) -> list[tuple[int, str, str]]:
        """Run each case of `tests.peoplechild`, in forks of one process: exit code, stdout, stderr."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests" / "peoplechild.py"), str(abreast)],
            input=json.dumps(cases),
            cwd=self.home,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return [(code, out, err) for code, out, err in json.loads(done.stdout)]

    def awaitLine(self, child: subprocess.Popen[str], part: str) -> str:
        """Wait for a line with this part on its stdout."""
        assert child.stdout is not None
        seen = []
        for line in child.stdout:
            if part in line:
                return line
            seen.append(line)
        self.fail(f"it ended before it said {part!r}: {''.join(seen)}{child.stderr.read() if child.stderr else ''}")

    def stop(self, child: subprocess.Popen[str], number: int = signal.SIGTERM) -> int:
        """The exit code after this signal."""
        child.send_signal(number)
        child.communicate(timeout=PATIENCE)
        return child.returncode

    def refuses(self, code: int, part: str, *words: str, **env: str) -> None:
        """It ends with this code and one line on stderr that has this part; nothing secret is in it."""
        self.checkRefused(code, part, *self.ask(*words, **env))

    def refusesEach(self, *cases: tuple[int, str, list[str]], **env: str) -> None:
        """The same for many commands, each with its code and part, which begin with `-c` or NODESET: forks, one by one."""
        given = [words[2:] if words[:2] == NODESET else words for _code, _part, words in cases]
        told = self.runCases([{"words": words, "env": env} for words in given], abreast=1)
        for (code, part, _words), answer in zip(cases, told, strict=True):
            self.checkRefused(code, part, *answer)

    def checkRefused(self, code: int, part: str, found: int, out: str, err: str) -> None:
        """What a command that has been run answered is such a refusal."""
        self.assertEqual((found, err.count("\n")), (code, 1), out + err)
        self.assertTrue(err.startswith("nodeset"), err)
        self.assertIn(part, err)
        self.assertNotIn("Traceback", out + err)
        self.assertNotIn("thesecret", out + err)
        self.assertLess(len(err), 600)

    def startDispatcher(self, *words: str) -> subprocess.Popen[str]:
        """One that listens."""
        child = self.spawn(*DISPATCHER, "-n", "--listen", "localhost:0", *words)
        self.awaitLine(child, "listening on")
        return child
