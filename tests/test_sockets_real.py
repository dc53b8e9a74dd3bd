"""WebSockets over real sockets, to a bridge that is a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from wsproto import ConnectionType, WSConnection
from wsproto.events import CloseConnection, Request, TextMessage

from tests.commands import CommandCase
from tests.documents import ROOT, blocks

WEB = ["-c", "from nodeset.cli.web import main; main()", "-n"]


class Client:
    """One WebSocket that blocks."""

    def __init__(self, at: tuple[str, int]) -> None:
        self.socket = socket.create_connection(at, timeout=10)
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._frames: list[dict[str, Any]] = []
        self._text = ""
        self.closed: tuple[int, str] | None = None
        self.socket.sendall(self._ws.send(Request(host="localhost", target="/v1/ws", subprotocols=["nodeset.v1"])))
        self.next("welcome")

    def say(self, op: str, **fields: Any) -> None:
        """One frame."""
        self.socket.sendall(self._ws.send(TextMessage(json.dumps({"op": op, **fields}))))

    def read(self) -> bool:
        """Take in what comes next; whether there was anything."""
        data = self.socket.recv(65536)
        self._ws.receive_data(data or None)
        for event in self._ws.events():
            if isinstance(event, TextMessage):
                self._text += event.data
                if event.message_finished:
                    self._frames.append(json.loads(self._text))
                    self._text = ""
            elif isinstance(event, CloseConnection) and self.closed is None:
                self.closed = int(event.code), event.reason or ""
        return bool(data)

    def next(self, op: str) -> dict[str, Any]:
        """The next frame of this kind."""
        while True:
            for frame in self._frames:
                if frame["op"] == op:
                    self._frames.remove(frame)
                    return frame
            if not self.read():
                raise AssertionError(f"no {op} came, but {self._frames} {self.closed}")

    def end(self) -> tuple[int, str]:
        """Code and reason of the close that comes."""
        while self.closed is None and self.read():
            pass
        assert self.closed is not None, "it was cut without a word"
        return self.closed


class RealTests(CommandCase):
    """`nodeset-web` with a dispatcher."""

    def setUp(self) -> None:
        super().setUp()
        self.startDispatcher("--listen", "127.0.0.1:0")
        self.bridge = self.spawn(*WEB, "--port", "0", "--stream-rate", "100000", "--interface", "127.0.0.1")
        found = urlsplit(self.awaitLine(self.bridge, "HTTP is served at ").rpartition(" ")[2].strip())
        assert found.hostname is not None and found.port is not None
        self.at = found.hostname, found.port
        self.url = f"http://{found.hostname}:{found.port}"
        self.awaitReady()

    def awaitReady(self) -> None:
        """Wait for the link to the dispatcher."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                with urlopen(f"{self.url}/v1/ready", timeout=5):
                    return
            except OSError:
                time.sleep(0.05)
        self.fail("the bridge is not ready")

    def sockets(self) -> int:
        """How many descriptors the bridge has open: each client is one."""
        return len(list(Path(f"/proc/{self.bridge.pid}/fd").iterdir()))

    def test_example(self) -> None:
        """The Python example of the documents does what they say."""
        (code,) = [code for file, code in blocks(ROOT / "docs" / "websocket.md", "python") if file == "orders.py"]
        program = Path(self.mktemp())
        program.write_text(code, "utf-8")
        url = f"ws://{self.at[0]}:{self.at[1]}/v1/ws"
        done = subprocess.run([sys.executable, str(program), url], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("heard orders.created {'dish': 'soup'}", done.stdout)
        self.assertIn("published, matched by 1", done.stdout)
        self.assertIn("error ", done.stdout)  # no calc is there

    def test_vanished(self) -> None:
        """Clients that vanish, with or without a word, are soon gone from the bridge."""
        Client(self.at).socket.close()
        before = self.sockets()
        for reset in (False, True):
            clients = [Client(self.at) for _ in range(20)]
            for client in clients:
                client.say("sub", id="s", pattern="orders.*")
                client.next("subscribed")
            self.assertGreaterEqual(self.sockets(), before + 19)
            for client in clients:
                if reset:
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                client.socket.close()
            end = time.monotonic() + 10
            while self.sockets() > before and time.monotonic() < end:
                time.sleep(0.02)
            self.assertLessEqual(self.sockets(), before)

    def test_slow(self) -> None:
        """A client that grants credit and does not read is cut, and can read why; another one gets everything.

        That one hears in the end that the bridge stops.
        """
        slow, quick = Client(self.at), Client(self.at)
        for client in (slow, quick):
            client.say("sub", id="s", pattern="orders.*")
            client.next("subscribed")
            client.say("credit", n=1_000_000)
        text = "x" * 100_000
        for number in range(200):
            quick.say("pub", id=str(number), event="orders.new", message={"n": number, "text": text})
            self.assertEqual(quick.next("event")["message"]["n"], number)
        closed = slow.end()
        self.assertEqual(closed[0], 1008)
        self.assertTrue(closed[1].startswith("slow: "), closed)
        slow.socket.close()
        quick.say("ping", id="x")
        quick.next("pong")
        self.bridge.terminate()
        self.assertEqual(quick.end()[0], 1012)
        quick.socket.close()
        self.assertEqual(self.bridge.wait(20), 0)
