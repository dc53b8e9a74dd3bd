"""Who gets into a shell by the socket of this machine, who does not."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.utils import getProcessOutput
from twisted.logger import LogLevel

from nodeset.shell import local
from nodeset.shell.server import Door, ShellServer
from tests.shells import Plain, ShellServerCase, turn


class LocalTests(ShellServerCase):
    """By the socket."""

    async def attach(self) -> Plain:
        made: Plain = await connectProtocol(UNIXClientEndpoint(reactor, str(self.path)), Plain())
        return made

    def test_prompt(self) -> Deferred[None]:
        """The user of the service gets a prompt; the log has who."""

        async def scenario() -> None:
            person = await self.attach()
            transport: Any = person.transport
            transport.write(b"\x1b[8;24;80t")
            await person.until(b">>> ")
            transport.write(b"name\r")
            await person.until(b"'shop'\r\n")
            transport.write(b"\x04")
            await person.lost
            self.assertIn(f"user {os.getuid()} (pid {os.getpid()}) at this machine has logged in", self.said())

        return self.play(scenario())

    def test_look(self) -> Deferred[None]:
        """Who connects to see whether somebody listens is no session; it does not last."""

        async def scenario() -> None:
            person = await self.attach()
            while not self.local.terminals:
                await turn()
            self.assertEqual(self.shell.sessions, [])
            self.clock.advance(30)
            await person.lost

        return self.play(scenario())

    def test_modes(self) -> None:
        """The socket is its user's alone."""
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_somebodyElse(self) -> Deferred[None]:
        """Another user is refused, even one who can reach the socket; the log says who."""

        async def scenario() -> None:
            person = await self.attach()
            await person.lost
            self.assertEqual((self.local.refused, self.shell.sessions), (1, []))
            (line,) = self.said(LogLevel.warn)
            self.assertRegex(line, r"user \d+ \(pid \d+\) is refused")

        if os.geteuid() == 0:
            return self.play(self._asNobody())
        found = (os.getpid(), os.geteuid() + 1000, os.getegid())
        self.patch(local, "findPeer", lambda transport: found)
        return self.play(scenario())

    async def _asNobody(self) -> None:
        """As root, have it tried by somebody else for once."""
        place = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, place)
        place.chmod(0o755)
        open_to_all = Door(f"unix:{place}/s:mode=666:lockfile=0", "the socket", self.local)
        server = ShellServer(self.shell, [open_to_all], reactor)
        server.startService()
        self.addCleanup(server.stopService)
        program = (
            # From within, since the directories above may be closed to nobody.
            "import os, socket, sys; os.chdir(sys.argv[1]); os.setgid(65534); os.setuid(65534);"
            "s = socket.socket(socket.AF_UNIX); s.connect('s'); print('in' if s.recv(1) else 'out')"
        )
        said = await getProcessOutput(sys.executable, ("-c", f"try:\n {program}\nexcept OSError: print('out')", str(place)))
        self.assertEqual((said, self.local.refused, self.shell.sessions), (b"out\n", 1, []))
        self.assertIn("user 65534 (pid", self.said(LogLevel.warn)[0])
