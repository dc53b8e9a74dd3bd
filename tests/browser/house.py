"""A dispatcher, a node, a bridge, each a process."""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.commands import DISPATCHER, NODESET, PATIENCE, ROOT

__all__ = ["House", "await_", "brokenHouse", "sharedHouse"]

EXAMPLES = ROOT / "examples/web"
WEB = ["-c", "from nodeset.cli.web import main; main()"]


class House:
    """A system with a directory of its own; `end()` takes all of it away.

    :ivar address: of the bridge.
    """

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="nodeset-browser-"))
        self._children: dict[str, subprocess.Popen[str]] = {}
        self._said: dict[str, list[str]] = {}
        self._env = {k: v for k, v in os.environ.items() if not k.startswith("NODESET_")}
        self._env |= {"NODESET_HOME": str(self.home / "state"), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self.listen = f"localhost:{_freePort()}"
        self._env["NODESET_DISPATCHER"] = f"pbu://{self.listen}/dispatcher"
        self.port = "0"
        atexit.register(self.end)

    def open(self) -> None:
        """Start what of it does not run."""
        for name, start in (("dispatcher", self.startDispatcher), ("shop", self.startShop), ("web", self.startWeb)):
            if name not in self._children:
                start()

    def startDispatcher(self) -> None:
        """The same port each time, so that the nodes find it again."""
        self._spawn("dispatcher", *DISPATCHER, "-n", "--listen", self.listen)
        self.hears("dispatcher", "listening on")

    def startShop(self) -> None:
        self._spawn("shop", "-m", "tests.browser.shop")
        self.hears("shop", "ready")

    def startWeb(self, *words: str) -> None:
        """The same port each time, so that the page finds it again."""
        self._spawn("web", *WEB, "-n", "--port", self.port, "--figures-interval", "0.5", "--path", str(EXAMPLES), *words)
        line = self.hears("web", "http://")
        [self.address] = re.findall(r"http://[\w.]+:\d+", line)
        self.port = self.address.rpartition(":")[2]

    def startTail(self, pattern: str) -> None:
        """The example that is no page."""
        self._spawn("tail", str(EXAMPLES / "tail.py"), pattern, self.address)

    def stop(self, name: str) -> None:
        """End one of them."""
        child = self._children.pop(name)
        child.terminate()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def end(self) -> None:
        """No process, no file of it is left."""
        for child in self._children.values():
            child.send_signal(signal.SIGKILL)
            child.wait()
        self._children.clear()
        shutil.rmtree(self.home, ignore_errors=True)
        atexit.unregister(self.end)

    def grant(self, *words: str) -> str:
        """A grant's token, made as the owner makes one."""
        file = self.home / "guest.furl"
        file.unlink(missing_ok=True)
        done = self._ask(*NODESET, "grant", *words, "-o", str(file))
        if done.returncode:
            raise AssertionError(f"nodeset grant: {done.stderr}")
        return file.read_text().strip()

    def publish(self, event: str, message: Any) -> None:
        """By the bridge, as a program without NodeSet does."""
        self._post(f"/v1/events/{urllib.parse.quote(event, safe='')}", message)

    def publishMany(self, event: str, messages: list[Any]) -> None:
        """At most a hundred at once."""
        self._post("/v1/events", [{"event": event, "message": each} for each in messages])

    def _post(self, path: str, value: Any) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}{path}", json.dumps(value).encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            answer.read()

    def readMetric(self, name: str) -> float:
        """What `/metrics` says of it, all its labels together."""
        with urllib.request.urlopen(f"{self.address}/metrics", timeout=PATIENCE) as answer:
            text = answer.read().decode()
        return sum(float(each) for each in re.findall(rf"^{name}(?:\{{.*?\}})? (\S+)$", text, re.MULTILINE))

    def heard(self, name: str) -> list[str]:
        """The lines that one of them printed so far."""
        return list(self._said[name])

    def hears(self, name: str, part: str) -> str:
        """The first line of one of them that has this part, waited for."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [line for line in self._said[name] if part in line]
            return bool(found) or self._children[name].poll() is not None

        await_(look, f"{part!r} of {name}")
        if not found:
            raise AssertionError(f"{name} ended before it said {part!r}: {''.join(self._said[name])}")
        return found[0]

    def _ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *words]
        return subprocess.run(
            command, cwd=self.home, env=self._env, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    def _spawn(self, name: str, *words: str) -> None:
        child = subprocess.Popen(
            [sys.executable, *words],
            cwd=self.home,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._children[name] = child
        said = self._said[name] = []
        assert child.stdout is not None
        threading.Thread(target=lambda lines=child.stdout: said.extend(lines), daemon=True).start()


def _freePort() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def await_(condition: Callable[[], bool], what: str) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE:g} s for {what}")
        time.sleep(0.02)


@functools.cache
def sharedHouse() -> House:
    """One for all tests that leave it as it was."""
    house = House()
    house.open()
    return house


@functools.cache
def brokenHouse() -> House:
    """One for all tests that stop something of it: each starts again what is missing."""
    return House()
