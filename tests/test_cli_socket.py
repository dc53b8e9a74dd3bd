"""A dispatcher of a socket, as a real process that is killed."""

from __future__ import annotations

import signal
import stat
from pathlib import Path

from tests.commands import DISPATCHER, NODESET, CommandCase

#: The last thing that a dispatcher says before it serves.
_ADDRESS = "the address is in"


class SocketTests(CommandCase):
    """`--listen ipc://nerve.sock`."""

    def test_life(self) -> None:
        """A second one is refused; one that was killed is followed by another, with the same address; a stop leaves nothing."""
        path = self.home / "nerve.sock"
        first = self.spawn(*DISPATCHER, "-n", "--listen", "ipc://nerve.sock")
        furl = self.awaitLine(first, _ADDRESS).rpartition(" ")[2].strip()
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        before = Path(furl).read_text("ascii")
        self.refuses(1, "somebody listens", *DISPATCHER, "-n", "--listen", f"unix:{path}", "--state-dir", "other")
        self.stop(first, signal.SIGKILL)
        self.assertTrue(path.is_socket())

        second = self.spawn(*DISPATCHER, "-n", "--listen", "ipc://nerve.sock")
        self.awaitLine(second, _ADDRESS)
        self.assertEqual(Path(furl).read_text("ascii"), before)
        code, out, err = self.ask(*NODESET, "pub", "--dispatcher", "ipc://nerve.sock", "a.b", "null")
        self.assertEqual((code, err), (0, ""), out)
        self.assertEqual(self.stop(second), 0)
        self.assertFalse(path.exists())
        self.assertEqual([each.name for each in self.home.iterdir() if each.name.startswith(".")], [])
