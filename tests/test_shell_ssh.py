"""Who gets into a shell over SSH, who does not."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from twisted.conch.error import ConchError
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import MSG_SERVICE_REQUEST
from twisted.conch.ssh.userauth import MSG_USERAUTH_REQUEST
from twisted.cred.credentials import SSHPrivateKey
from twisted.cred.error import UnauthorizedLogin
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.logger import LogLevel

from nodeset.errors import PortTaken, StateUnusable
from nodeset.shell.server import Door, ShellServer
from nodeset.shell.ssh import LOGIN_TIME, MOST_PER_SECOND, MOST_STRANGERS
from tests.shells import ShellServerCase, turn
from tests.sshclients import Client, makeKey, publicLine


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
                await turn()

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

    def test_securityKey(self) -> None:
        """A security key opens it when somebody has touched it, as with OpenSSH; a program alone cannot use it."""
        private = ed25519.Ed25519PrivateKey.generate()
        kind = b"sk-ssh-ed25519@openssh.com"
        blob = NS(kind) + NS(private.public_key().public_bytes_raw()) + NS(b"ssh:")
        self.key_lines = kind + b" " + b64encode(blob) + b" token\n"
        for flags, is_in in ((b"\x01", True), (b"\x05", True), (b"\x00", False), (b"\x04", False)):
            signed = sha256(b"ssh:").digest() + flags + bytes(4) + sha256(b"login").digest()
            signature = NS(kind) + NS(private.sign(signed)) + flags + bytes(4)
            shown = SSHPrivateKey(b"me", kind, blob, signed, signature)
            found = self.entrance.requestAvatarId(shown)
            if is_in:
                self.assertIn(b"(token)", found)
            else:
                self.failureResultOf(found, UnauthorizedLogin)

    def test_wrongKey(self) -> Deferred[None]:
        """Whose key is not in the file is refused, passwords with it; that is one line in the log."""

        async def scenario() -> None:
            client = Client(makeKey())
            await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), client)
            with self.assertRaises(Exception):  # noqa: B017  # whatever Conch makes of it
                await client.login
            await client.lost
            while "key" not in self.entrance.refused:
                await turn()

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

    def test_noKeys(self) -> Deferred[None]:
        """While there is no file of keys nobody gets in; the log hears why once, however many try."""

        def findKeys() -> dict[bytes, Any]:
            raise StateUnusable("the file {x} is not there: make it")

        self.entrance._findKeys = findKeys

        async def scenario() -> None:
            for _ in range(3):
                with self.assertRaises(Exception):  # noqa: B017
                    await Client.connect(reactor, self.port, self.key)

        def check(result: object) -> None:
            said = [line for line in self.said(LogLevel.warn) if "nobody" in line]
            self.assertEqual(said, ["SSH: nobody can log in: the file {x} is not there: make it (1 so far)"])

        return self.play(scenario()).addCallback(check)

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

    def test_askingOnly(self) -> Deferred[None]:
        """Who knows a public key that is in the file may not ask about it for ever; nor exchange keys for ever."""

        class Asks(Client):
            """Never shows a signature."""

            def connectionSecure(self) -> None:
                asked = NS(b"me") + NS(b"ssh-connection") + NS(b"publickey") + b"\0" + NS(b"ssh-ed25519") + NS(blob)
                self.sendPacket(MSG_SERVICE_REQUEST, NS(b"ssh-userauth"))
                for _ in range(100):
                    self.sendPacket(MSG_USERAUTH_REQUEST, asked)

        class Exchanges(Client):
            """Never asks for a login."""

            def connectionSecure(self) -> None:
                turning: Any = reactor
                turning.callLater(0, self.sendKexInit)

        blob = self.key.public().blob()
        reads: list[dict[bytes, Any]] = []

        def findKeys() -> dict[bytes, Any]:
            reads.append(self.findKeys())
            return reads[-1]

        self.entrance._findKeys = findKeys

        async def scenario() -> None:
            for kind in (Asks, Exchanges):
                client = kind(self.key)
                client.login.addErrback(lambda failure: None)
                await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), client)
                await client.lost
            while self.entrance.strangers:
                await turn()

        def check(result: object) -> None:
            self.assertEqual(self.entrance.refused, {"packets": 2})
            self.assertLess(len(reads), 41)
            self.assertIn("without a login", self.said(LogLevel.warn)[0])

        return self.play(scenario()).addCallback(check)

    def test_rush(self) -> Deferred[None]:
        """Who connects over and over is let in so many times a second, no more."""

        async def scenario() -> None:
            for _ in range(MOST_PER_SECOND + 1):
                stranger = await self.plain()
                transport: Any = stranger.transport
                transport.loseConnection()
                await stranger.lost
            while self.entrance.refused.get("rush") != 1:
                await turn()
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
                await turn()
            self.assertTrue(self.waiting.called)

        return self.play(scenario())

    def test_portTaken(self) -> None:
        """A port that somebody else has is one line."""
        door = Door(f"tcp:{self.port}:interface=127.0.0.1", f"SSH port 127.0.0.1:{self.port}", self.entrance)
        error = self.assertRaises(PortTaken, ShellServer(self.shell, [door], reactor).startService)
        self.assertIn(f"127.0.0.1:{self.port} (", str(error))
