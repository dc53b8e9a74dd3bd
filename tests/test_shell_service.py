"""Shells of real services, reached as people do."""

from __future__ import annotations

import os
import pty
import re
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.commands import DISPATCHER, PATIENCE, CommandCase
from tests.sshclients import makeKey, publicLine

SHELL = ["-c", "from nodeset.cli.shell import main; main()"]
NODESET = "from nodeset.cli.main import main; main()"
#: As on a machine without the extra.
WITHOUT = "import sys; sys.modules['bcrypt'] = None; "


class ShellServiceTests(CommandCase):
    """nodeset-shell, --manhole."""

    def setUp(self) -> None:
        super().setUp()
        self.state = self.home / "state"
        self.state.mkdir(mode=0o700)
        # The names of sockets are short: a link makes them so.
        link = Path(f"/tmp/nodeset-{os.getpid()}-{id(self):x}")
        link.symlink_to(self.state)
        self.addCleanup(link.unlink)
        self.env["NODESET_HOME"] = str(link)
        self.keys = self.state / "shell_keys"
        self.keys.write_bytes(publicLine(makeKey()))

    def attach(self, *words: str) -> tuple[subprocess.Popen[bytes], int]:
        """`nodeset shell` on a terminal of its own: the process, our end of the terminal."""
        ours, theirs = pty.openpty()
        child = subprocess.Popen(
            [sys.executable, "-c", NODESET, "shell", *words],
            cwd=self.home,
            env=self.env,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.addCleanup(os.close, ours)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child, ours

    def until(self, terminal: int, part: str) -> str:
        """What the terminal shows, once it shows this."""
        seen, end = b"", time.monotonic() + PATIENCE
        while part.encode() not in seen:
            if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
                self.fail(f"no {part!r} in {seen!r}")
            try:
                seen += os.read(terminal, 65536)
            except OSError:
                self.fail(f"it ended before {part!r}: {seen!r}")
        return seen.decode()

    def test_deadDispatcher(self) -> None:
        """Without a dispatcher the shell is there, says so; when one comes, the node links. What is awaited is shown."""
        self.awaitLine(self.spawn(*SHELL, "-n", "--listen", "unix"), "a shell on the socket")
        child, terminal = self.attach()
        self.assertIn("looking for its dispatcher", self.until(terminal, ">>> "))
        self.startDispatcher()
        os.write(terminal, b"linked = await node.start(); len(await node.nodes('shell'))\r")
        self.until(terminal, "\n1\r\n")
        os.write(terminal, b"\x04")
        self.assertEqual(child.wait(PATIENCE), 0)

    def test_manhole(self) -> None:
        """A dispatcher with --manhole has a shell over SSH, another by a socket, with itself at hand; both end with it."""
        child = self.spawn(*DISPATCHER, "-n", "--listen", "localhost:0", "--manhole", "0,unix")
        port = int(re.findall(r":(\d+)\n", self.awaitLine(child, "a shell on SSH port"))[0])
        self.awaitLine(child, "a shell on the socket")
        with socket.create_connection(("127.0.0.1", port)) as link:
            self.assertTrue(link.recv(100).startswith(b"SSH-2.0-"))
        attached, terminal = self.attach("dispatcher")
        self.until(terminal, ">>> ")
        os.write(terminal, b"dispatcher.getStats()['nodes'], service.name\r")
        self.until(terminal, "(0, 'nodeset-dispatcher')")
        # A second one of the same state directory would take the socket away.
        self.refuses(1, "in use", *SHELL, "-n", "--listen", "unix:" + self.env["NODESET_HOME"] + "/nodeset-dispatcher.sock")
        self.assertEqual(self.stop(child), 0)
        self.until(terminal, "good-bye")
        self.assertEqual(attached.wait(PATIENCE), 0)
        self.refuses(3, "no shell listens", "-c", NODESET, "shell")

    def test_bad(self) -> None:
        """What keeps a shell from being there is one line, before anything is started."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.refuses(1, f"port {port} of 127.0.0.1 is taken", *SHELL, "-n", "--listen", str(port))
        self.keys.unlink()
        self.refuses(1, "shell_keys is not there", *DISPATCHER, "-n", "--listen", "localhost:0", "--manhole", "0")
        self.refuses(2, "nodeset[shell]", "-c", f"{WITHOUT}{SHELL[1]}", "-n")
        self.refuses(2, "needs a terminal", "-c", NODESET, "shell", "./nothing.sock")
