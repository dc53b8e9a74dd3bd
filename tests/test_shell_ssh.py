"""Who gets into a shell, who does not: over SSH, by the socket."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from twisted.conch.error import ConchError
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.keys import Key
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.utils import getProcessOutput
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import TestCase

from nodeset.cli.keyfiles import takeSocket
from nodeset.errors import PortTaken
from nodeset.shell import local
from nodeset.shell.keys import readHostKey, readKeys
from nodeset.shell.local import LocalEntrance
from nodeset.shell.server import Door, ShellServer
from nodeset.shell.shell import Shell
from nodeset.shell.ssh import LOGIN_TIME, MOST_PER_SECOND, MOST_STRANGERS, SshEntrance
from tests.sshclients import Client, makeKey, publicLine


class _Plain(Protocol):
    """A connection that says what a test says."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: Deferred[None] = Deferred()
        self._waits: list[tuple[bytes, Deferred[None]]] = []

    def until(self, part: bytes) -> Deferred[None]:
        wait: Deferred[None] = Deferred()
        self._waits.append((part, wait))
        self.dataReceived(b"")
        return wait

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        while self._waits and self._waits[0][0] in self.data:
            self.data = b""
            self._waits.pop(0)[1].callback(None)

    def connectionLost(self, reason: Any = None) -> None:
        self.lost.callback(None)


class ShellServerCase(TestCase):
    """A shell that listens, in this process."""

    timeout = 10

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir(mode=0o700)
        self.clock = Clock()
        self.waiting: Deferred[Any] = Deferred()
        self.shell = Shell("test", {"name": "shop", "waiting": self.waiting}, self.clock)
        self.key = makeKey()
        self.key_lines = publicLine(self.key, "me@here")
        self.entrance = SshEntrance(self.shell, readHostKey_(), self.findKeys)
        self.local = LocalEntrance(self.shell)
        # Sockets have short names.
        self.path = Path(os.path.relpath(self.directory / "s"))
        doors = [
            Door("tcp:0:interface=127.0.0.1", "SSH port 127.0.0.1:0", self.entrance),
            Door(f"unix:{self.path}:mode=600:lockfile=0", "the socket", self.local, takeSocket(self.path)),
        ]
        self.server = ShellServer(self.shell, doors, reactor)
        self.log: list[LogEvent] = []
        observer = cast(ILogObserver, self.log.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.server.startService()
        self.addCleanup(self.server.stopService)
        self.port = self.server._ports[0].getHost().port

    def findKeys(self) -> dict[bytes, Any]:
        return readKeys(self.key_lines, [])

    def said(self, level: LogLevel = LogLevel.info) -> list[str]:
        """What was logged at this level or above."""
        return [
            str(event["log_format"]).format(**event)
            for event in self.log
            if event["log_namespace"].startswith("nodeset.") and event["log_level"] >= level
        ]

    def play(self, scenario: Coroutine[Any, Any, None]) -> Deferred[None]:
        return Deferred.fromCoroutine(scenario)

    async def plain(self) -> _Plain:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        made: _Plain = await connectProtocol(endpoint, _Plain())
        return made

    async def close(self, client: Client) -> None:
        client.loseConnection()
        await client.lost


def readHostKey_() -> Any:
    from nodeset.shell.keys import makeHostKey

    return readHostKey(makeHostKey())


class SshTests(ShellServerCase):
    """With a key, or without."""

    def test_prompt(self) -> Deferred[None]:
        """Whose key is in the file gets a prompt; the log has the fingerprint, what else is in the file, never the key."""

        async def scenario() -> None:
            client = await Client.connect(reactor, self.port, self.key)
            channel = await client.shell()
            await channel.until(b">>> ")
            channel.write(b"print(name)\r")
            await channel.until(b"shop\r\n")
            channel.write(b"await waiting\r")
            await channel.until(b"\r\n")
            self.waiting.callback("came")
            await channel.until(b"'came'\r\n")
            await channel.until(b">>> ")
            channel.write(b"\x04")
            self.assertEqual(await channel.ended, 0)
            await self.close(client)
            while self.shell.sessions:
                await _turn()

        def check(result: object) -> None:
            came, went = self.said()[-2:]
            self.assertRegex(came, r"the holder of SHA256:\S{43} \(me@here\) at 127.0.0.1 has logged in")
            self.assertIn("has logged out", went)
            self.assertNotIn(self.key.public().toString("openssh").split()[1].decode(), str(self.log))

        return self.play(scenario()).addCallback(check)

    def test_command(self) -> Deferred[None]:
        """`ssh host CODE` runs the code, with an exit code that says whether it went well."""

        async def scenario() -> None:
            for command, output, code in (
                (b"name", b"'shop'\n", 0),
                (b"x = 1\nprint(x + 1)", b"2\n", 0),
                (b"1/0", b"ZeroDivisionError: division by zero\n", 1),
            ):
                client = await Client.connect(reactor, self.port, self.key)
                said, ended = await client.run(command)
                self.assertEqual((said[-len(output) :], ended), (output, code))
                await self.close(client)

        return self.play(scenario())

    def test_otherKinds(self) -> Deferred[None]:
        """RSA and ECDSA keys open it as well."""

        async def scenario() -> None:
            for private in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())):
                key = Key(private)
                self.key_lines = publicLine(key)
                client = await Client.connect(reactor, self.port, key)
                self.assertEqual((await client.run(b"name"))[0], b"'shop'\n")
                await self.close(client)

        return self.play(scenario())

    def test_wrongKey(self) -> Deferred[None]:
        """Whose key is not in the file is refused, passwords with it; that is one line in the log."""

        async def scenario() -> None:
            client = Client(makeKey())
            await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), client)
            with self.assertRaises(Exception):  # noqa: B017  # whatever Conch makes of it
                await client.login
            await client.lost
            while "key" not in self.entrance.refused:
                await _turn()

        def check(result: object) -> None:
            (line,) = self.said(LogLevel.warn)
            self.assertRegex(line, r"a login was refused: no authorised key was shown, but SHA256:\S{43} \(1 so far\)")
            self.assertEqual(self.shell.sessions, [])

        return self.play(scenario()).addCallback(check)

    def test_keyTaken(self) -> Deferred[None]:
        """A key that is taken out of the file opens nothing from then on."""

        async def scenario() -> None:
            self.key_lines = publicLine(makeKey())
            with self.assertRaises(Exception):  # noqa: B017
                await Client.connect(reactor, self.port, self.key)

        return self.play(scenario())

    def test_nothingElse(self) -> Deferred[None]:
        """No forwarding of ports, agents, displays, no subsystem, no second session: each is refused, the log is quiet."""

        async def scenario() -> None:
            client = await Client.connect(reactor, self.port, self.key)
            for kind in (b"direct-tcpip", b"forwarded-tcpip", b"x11", b"auth-agent@openssh.com"):
                with self.assertRaises(ConchError):
                    await client.open(kind)
            channel = await client.open()
            with self.assertRaises(ConchError):
                await client.open()
            for request, data in (
                (b"subsystem", NS(b"sftp")),
                (b"x11-req", b"\0" * 13),
                (b"auth-agent-req@openssh.com", b""),
                (b"env", NS(b"PYTHONPATH") + NS(b"/tmp")),
            ):
                with self.assertRaises(ConchError):
                    await channel.ask(request, data)
            connection: Any = client.connection
            with self.assertRaises(ConchError):
                await connection.sendGlobalRequest(b"tcpip-forward", NS(b"") + b"\0\0\0\0", wantReply=1)
            await self.close(client)

        return self.play(scenario()).addCallback(lambda result: self.assertEqual(self.said(LogLevel.warn), []))

    def test_noTerminal(self) -> Deferred[None]:
        """A shell without a terminal says what it wants."""

        async def scenario() -> None:
            client = await Client.connect(reactor, self.port, self.key)
            channel = await client.open()
            await channel.ask(b"shell", b"")
            self.assertEqual(await channel.ended, 1)
            self.assertIn(b"needs a terminal", channel.heard)
            await self.close(client)

        return self.play(scenario())

    def test_garbage(self) -> Deferred[None]:
        """Whoever speaks no SSH loses the connection; the log has no traceback, the next login works."""

        async def scenario() -> None:
            for garbage in (
                b"GET / HTTP/1.1\r\n\r\n" * 300,
                b"SSH-2.0-x\r\n" + b"\xff" * 100,
                b"SSH-2.0-x\r\n" + b"\0\0\0\x0c\x04\x14" * 9,
            ):
                stranger = await self.plain()
                transport: Any = stranger.transport
                transport.write(garbage)
                await stranger.lost
            client = await Client.connect(reactor, self.port, self.key)
            await self.close(client)

        def check(result: object) -> None:
            self.assertLess(len(self.said(LogLevel.warn)), 3)
            self.assertEqual([event for event in self.log if event.get("log_failure")], [])

        return self.play(scenario()).addCallback(check)

    def test_silence(self) -> Deferred[None]:
        """Who connects and says nothing is cut off in time."""

        async def scenario() -> None:
            stranger = await self.plain()
            await stranger.until(b"SSH-2.0")
            self.clock.advance(LOGIN_TIME)
            await stranger.lost
            self.assertEqual(self.entrance.refused, {"late": 1})

        return self.play(scenario())

    def test_crowd(self) -> Deferred[None]:
        """A few strangers at a time, no more; who has logged in does not count."""

        async def scenario() -> None:
            client = await Client.connect(reactor, self.port, self.key)
            strangers = [await self.plain() for _ in range(MOST_STRANGERS)]
            for stranger in strangers:
                await stranger.until(b"SSH-2.0")
            await (await self.plain()).lost
            self.assertEqual(self.entrance.refused, {"strangers": 1})
            self.assertEqual((await client.run(b"name"))[0], b"'shop'\n")
            for stranger in strangers:
                transport: Any = stranger.transport
                transport.loseConnection()
                await stranger.lost
            await self.close(client)

        return self.play(scenario())

    def test_rush(self) -> Deferred[None]:
        """Who connects over and over is let in so many times a second, no more."""

        async def scenario() -> None:
            for _ in range(MOST_PER_SECOND + 1):
                stranger = await self.plain()
                transport: Any = stranger.transport
                transport.loseConnection()
                await stranger.lost
            while self.entrance.refused.get("rush") != 1:
                await _turn()
            self.clock.advance(1)
            await self.close(await Client.connect(reactor, self.port, self.key))

        return self.play(scenario())

    def test_cut(self) -> Deferred[None]:
        """A connection that breaks ends its session, cancels what it awaits."""

        async def scenario() -> None:
            client = await Client.connect(reactor, self.port, self.key)
            channel = await client.shell()
            await channel.until(b">>> ")
            channel.write(b"await waiting\r")
            await channel.until(b"\r\n")
            transport: Any = client.transport
            transport.abortConnection()
            while self.shell.sessions:
                await _turn()
            self.assertTrue(self.waiting.called)

        return self.play(scenario())

    def test_portTaken(self) -> None:
        """A port that somebody else has is one line."""
        door = Door(f"tcp:{self.port}:interface=127.0.0.1", f"SSH port 127.0.0.1:{self.port}", self.entrance)
        error = self.assertRaises(PortTaken, ShellServer(self.shell, [door], reactor).startService)
        self.assertIn(f"127.0.0.1:{self.port} (", str(error))


class LocalTests(ShellServerCase):
    """By the socket."""

    async def attach(self) -> _Plain:
        made: _Plain = await connectProtocol(UNIXClientEndpoint(reactor, str(self.path)), _Plain())
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
                await _turn()
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
            "import os, socket, sys; os.setgid(65534); os.setuid(65534); s = socket.socket(socket.AF_UNIX);"
            "s.connect(sys.argv[1]); print('in' if s.recv(1) else 'out')"
        )
        said = await getProcessOutput(
            sys.executable, ("-c", f"try:\n {program}\nexcept OSError: print('out')", str(place / "s"))
        )
        self.assertEqual((said, self.local.refused, self.shell.sessions), (b"out\n", 1, []))
        self.assertIn("user 65534 (pid", self.said(LogLevel.warn)[0])


async def _turn() -> None:
    """Let the reactor turn once."""
    done: Deferred[None] = Deferred()
    turning: Any = reactor
    turning.callLater(0, done.callback, None)
    await done
