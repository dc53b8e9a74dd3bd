"""A guardian for tests, with what it takes to watch it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.processes.starting.child import Child
from nodeset.processes.starting.guardian import GuardianProcess
from nodeset.processes.starting.spawning import Order

__all__ = ["PATIENCE", "GuardianCase", "marked", "stateOf", "until"]

#: Seconds after which something counts as hung.
PATIENCE = 20.0


def until(condition: Callable[[], object], what: str, pause: float = 0.005) -> None:
    """Wait for it, look each `pause` seconds; AssertionError if it takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE:g} s for {what}")
        time.sleep(pause)


def marked(marker: str) -> list[str]:
    """The command lines of all processes that have this in their environment; a zombie has none any more."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if marker.encode() in (path / "environ").read_bytes():
                found.append(f"{path.name} {(path / 'cmdline').read_bytes()!r}")
    return found


def stateOf(pid: int) -> str:
    """Its letter in /proc, empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


class GuardianCase(SynchronousTestCase):
    """Has a guardian, whose programs write into pipes that the test reads; nothing of them is left after it."""

    def setUp(self) -> None:
        self.marker = f"guarded-{os.urandom(8).hex()}"
        self.errors: list[BaseException] = []
        self.guardian = self.startGuardian()

    def startGuardian(self) -> GuardianProcess:
        environ = {**os.environb, b"TEST_MARKER": self.marker.encode()}
        guardian = GuardianProcess(environ)
        guardian.failed = self.errors.append

        def end() -> None:
            guardian.leave()
            until(lambda: not guardian.read(), "the guardian's end")
            until(lambda: not marked(self.marker), f"the end of {marked(self.marker)}")

        self.addCleanup(end)
        return guardian

    def order(self, *argv: str, **fields: Any) -> Order:
        return Order(argv)._replace(**fields)

    def spawn(self, *argv: str, **fields: Any) -> Child:
        """Start it with /dev/null for all that it reads, or writes."""
        null = os.open(os.devnull, os.O_RDWR)
        try:
            return self.guardian.spawnNow(self.order(*argv, **fields), (null, null, null))
        finally:
            os.close(null)

    def open(self, *argv: str, **fields: Any) -> tuple[Child, int]:
        """Start it with its stdout, stderr in a pipe, whose read end comes back."""
        null = os.open(os.devnull, os.O_RDWR)
        reading, writing = os.pipe()
        try:
            return self.guardian.spawnNow(self.order(*argv, **fields), (null, writing, writing)), reading
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(null)
            os.close(writing)

    def ask(self, *argv: str, **fields: Any) -> bytes:
        """All that it writes until it ends."""
        child, reading = self.open(*argv, **fields)
        said = b""
        while data := os.read(reading, 1 << 16):
            said += data
        os.close(reading)
        self.await_(lambda: child.emptied, "its end")
        return said

    def line(self, reading: int) -> str:
        """Its next line."""
        said = b""
        while not said.endswith(b"\n"):
            byte = os.read(reading, 1)
            if not byte:
                break
            said += byte
        return said.decode().rstrip("\n")

    def await_(self, condition: Callable[[], object], what: str) -> None:
        def look() -> object:
            self.guardian.read()
            self.guardian.channel.flush()
            return condition()

        until(look, what)
