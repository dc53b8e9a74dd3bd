"""What hostile clients do to a bridge over real sockets."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

from tests.commands import CommandCase

WEB = ["-c", "from nodeset.cli.web import main; main()", "-n"]
MIB = 1024 * 1024
#: Connections of one attacker.
MANY = 1000


class FloodTests(CommandCase):
    """`nodeset-web` as a process of its own."""

    def setUp(self) -> None:
        super().setUp()
        soft, self.hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, self.hard))  # which the bridge has from us
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, self.hard))
        temporary = self.home / "tmp"
        temporary.mkdir()
        self.env["TMPDIR"] = str(temporary)
        self.temporary = temporary
        self.startDispatcher("--listen", "127.0.0.1:0")

    def startBridge(self, *words: str) -> None:
        """A bridge; `self.at` is where it is."""
        self.bridge = self.spawn(*WEB, "--port", "0", *words)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.hard, self.hard))
        line = self.awaitLine(self.bridge, "HTTP is served at ")
        found = urlsplit(line.rpartition(" ")[2].strip())
        assert found.hostname is not None and found.port is not None
        self.at = found.hostname, found.port
        self.url = f"http://{found.hostname}:{found.port}"

    def weight(self) -> int:
        """Bytes of memory that the bridge has."""
        return int(Path(f"/proc/{self.bridge.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    def files(self) -> list[str]:
        """Files on a disk that it has open, or has left behind."""
        fds = Path(f"/proc/{self.bridge.pid}/fd")
        targets = [str(fd.readlink()) for fd in fds.iterdir()]
        return [name for name in targets if "deleted" in name] + [path.name for path in self.temporary.iterdir()]

    def health(self) -> tuple[int, float]:
        """What a client with manners is told, after how many seconds."""
        began = time.monotonic()
        with urlopen(f"{self.url}/v1/health", timeout=10) as answer:
            answer.read()
            return answer.status, time.monotonic() - began

    def test_endlessBody(self) -> None:
        """A body of 1 GiB in chunks is told 413 after the limit, then cut; nothing is on a disk, the memory is as before."""
        self.startBridge()
        self.health()
        before = self.weight()
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        head = b"POST /v1/events/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        for _ in range(3):
            sent = 0
            with socket.create_connection(self.at, timeout=10) as client:
                client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
                try:
                    while sent < 1024 * MIB:
                        client.sendall(chunk)
                        sent += len(chunk)
                except OSError:
                    pass
                self.assertEqual(self.files(), [])
            # What the kernel's buffers hold was sent as well.
            self.assertLess(sent, 32 * MIB)
        with socket.create_connection(self.at, timeout=10) as client:
            client.sendall(head + b"Content-Length: 1073741824\r\n\r\n")
            self.assertIn(b" 413 ", client.recv(4096))
        with socket.create_connection(self.at, timeout=10) as client:
            client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 17)
            self.assertIn(b" 413 ", client.recv(4096))
        self.assertEqual(self.health()[0], 200)
        self.assertLess(self.weight() - before, 16 * MIB)

    def test_slowConnections(self) -> None:
        """1,000 connections that dribble their heads are told 408 in time; meanwhile others are served as quickly as ever.

        That holds where a shell gives it no more than 256 files.
        """
        self.startBridge("--request-timeout", "5")
        before = self.weight()
        with contextlib.ExitStack() as stack:
            slow = []
            for _ in range(MANY):
                client = stack.enter_context(socket.create_connection(self.at, timeout=10))
                client.sendall(b"POST /v1/events/a HTTP/1.1\r\nHost: localhost\r\nX: ")
                slow.append(client)
            seconds = []
            for client in slow[-20:]:
                with contextlib.suppress(OSError):  # on a machine that is busy its time may be over
                    client.sendall(b"x")
                status, lasted = self.health()
                self.assertEqual(status, 200)
                seconds.append(lasted)
            self.assertLess(sorted(seconds)[10], 0.5)
            self.assertLess(self.weight() - before, 64 * MIB)
            for client in slow:
                self.assertIn(b" 408 ", client.recv(4096))
        self.assertEqual(self.health()[0], 200)
