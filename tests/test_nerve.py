"""The first transcript of the seed, as typed."""

from __future__ import annotations

import signal
import time

from tests.commands import PATIENCE
from tests.test_center import CenterCase
from tests.test_restart import freePort

OPEN = ["-c", "from nodeset.cli.open import main; main()"]
UNCLE = "bob is your uncle\n"


class NerveTests(CenterCase):
    """With nrv-center, nerve-center, nrv-open, which are names of these commands (see tests.test_packaging)."""

    def test_transcript(self) -> None:
        """`nrv-open echo bob is your uncle` prints just that, while the center logs who, its pid, its output, its exit code."""
        center = self.start()
        first, _pid = self.watch("echo", *UNCLE.split(), out=UNCLE)
        self.assertEqual(self.stop(center, signal.SIGINT), 0)
        port = freePort()
        center = self.start("--endpoint", f"tcp://*:{port}", "--furl", "elsewhere.furl")
        there = "--endpoint", f"tcp://localhost:{port}"
        second, _pid = self.watch(*there, "echo", *UNCLE.split(), out=UNCLE)
        self.assertNotEqual(first, second, "each run has an identity of its own")
        own, pid = self.watch("--furl", "elsewhere.furl", "-i", "hibob", "sh", "-c", "echo $$")
        self.assertEqual((own, self.lines()[-2][2]), ("hibob", f"{pid}\n"))
        self.assertEqual(self.stop(center), 0)

    def watch(self, *words: str, out: str = "") -> tuple[object, object]:
        """Run it watched; the identity, the pid in the three lines that it adds to the log."""
        before = len(self.lines()) if self.log.exists() else 0
        child = self.spawn(*OPEN, *words)
        said, err = child.communicate()
        self.assertEqual((child.returncode, said, err), (0, out or said, ""))
        end = time.monotonic() + PATIENCE
        while len(new := self.lines()[before:]) < 3:
            self.assertLess(time.monotonic(), end, f"there should be three lines: {new}")
            time.sleep(0.02)
        identity, _event, pid = new[0]
        self.assertEqual(new, [[identity, "start", pid], [identity, "out", said], [identity, "return", 0]])
        return identity, pid
