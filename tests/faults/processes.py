"""Real processes for the fault scenarios: a dispatcher, members with ledgers, a proxy between them.

Everything lives in a temporary home, listens on free ports, is gone when the `Stage` ends. Waiting is for conditions.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.faults.tally import Answer, Got, readAnswers, readGot

__all__ = ["ROOT", "Child", "Stage", "StillWaiting", "freePort"]

ROOT = Path(__file__).resolve().parent.parent.parent
#: Seconds that a process may take to start on a busy machine.
START = 60.0
_LOOK = 0.01


class StillWaiting(AssertionError):
    """Something did not happen in time."""


def freePort() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Child:
    """One process. Its output goes to `log`, what it writes down to `ledger`."""

    def __init__(self, name: str, command: list[str], environ: Mapping[str, str], folder: Path, before: Any = None) -> None:
        self.name = name
        self.ledger, self.log = folder / f"{name}.ledger", folder / f"{name}.log"
        self._read, self._rest = 0, ""
        self._counts: Counter[str] = Counter()
        self._last: dict[str, list[str]] = {}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(environ),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=before,
            )

    @property
    def pid(self) -> int:
        """Its id."""
        return self.process.pid

    @property
    def ended(self) -> bool:
        """Whether it is no more."""
        return self.process.poll() is not None

    def order(self, line: str) -> None:
        """Tell it something on its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def signal(self, number: int) -> None:
        """Send it a signal, unless it is gone."""
        if not self.ended:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9; returns when it is gone."""
        self.signal(signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except OSError:
                pass

    def count(self, kind: str) -> int:
        """How many lines of a kind its ledger has by now."""
        self._look()
        return self._counts[kind]

    def last(self, kind: str) -> list[str]:
        """The words of the newest line of a kind, without the kind."""
        self._look()
        return self._last[kind]

    def gotSince(self, moment: float) -> bool:
        """Whether its handler was called with something that was published after `moment`."""
        words = self.last("g") if self.count("g") else []
        return bool(words) and float(words[3]) > moment

    def _look(self) -> None:
        if not self.ledger.exists():
            return
        with self.ledger.open("rb") as ledger:
            ledger.seek(self._read)
            data = ledger.read()
        self._read += len(data)
        *lines, self._rest = (self._rest + data.decode("ascii")).split("\n")
        for line in lines:
            kind, *words = line.split()
            self._counts[kind] += 1
            self._last[kind] = words

    def answers(self) -> list[Answer]:
        """What it published."""
        return readAnswers(self.ledger)

    def got(self, kind: str = "g") -> list[Got]:
        """What its handler was called with, or (`h`) has finished."""
        return readGot(self.ledger, kind)

    def says(self, text: str) -> int:
        """How often its log has this text."""
        return self.log.read_text("utf-8", "replace").count(text)

    @property
    def rss(self) -> float:
        """Its resident memory in MiB."""
        return self._status("VmRSS")

    @property
    def peak(self) -> float:
        """The most that it ever had resident, in MiB."""
        return self._status("VmHWM")

    def _status(self, key: str) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text("ascii").splitlines():
            if line.startswith(key):
                return int(line.split()[1]) / 1024
        return 0.0

    @property
    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))


def _isReady(member: Child) -> bool:
    return bool(member.count("s")) or member.ended


class Stage:
    """A home with the processes of one scenario. Use it in `with`: when that ends, all are killed, all files gone."""

    def __init__(self, port: int | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nodeset-faults-")
        self.folder = Path(self._folder.name)
        self.state = self.folder / "state"
        self.port = port or freePort()
        self.children: list[Child] = []
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("NODESET_", "FAULT_"))}
        path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
        self.environ = {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "NODESET_HOME": str(self.state)}
        self._starts = 0

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for child in reversed(self.children):
            child.kill()
        self._folder.cleanup()

    @property
    def furl(self) -> Path:
        """The file with the dispatcher's FURL."""
        return self.state / f"localhost_{self.port}_dispatcher.furl"

    def furlVia(self, port: int) -> Path:
        """A file with the same FURL but for the port."""
        path = self.folder / f"via_{port}.furl"
        path.touch(0o600)
        path.write_text(self.furl.read_text("ascii").replace(f":{self.port}/", f":{port}/"), "ascii")
        return path

    def spawn(self, name: str, *command: str, before: Any = None, **environ: str) -> Child:
        """Start `python -m command...`; `before` is called in the child first."""
        line = [sys.executable, "-m", *command]
        child = Child(name, line, {**self.environ, **environ}, self.folder, before)
        self.children.append(child)
        return child

    def wait(self, what: str, condition: Callable[[], object], seconds: float = START) -> float:
        """Wait until `condition()` is true; returns how long that took. StillWaiting after `seconds`."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                raise StillWaiting(f"{what}: not within {seconds:g} s{self._complaints()}")
            time.sleep(_LOOK)
        return time.monotonic() - began

    def _complaints(self) -> str:
        told = []
        for child in self.children:
            if child.ended and child.process.returncode not in (0, -signal.SIGKILL, -signal.SIGTERM):
                last = child.log.read_text("utf-8", "replace").strip().splitlines()[-1:] or ["nothing"]
                told.append(f"; {child.name} ended with {child.process.returncode}: {last[0][:200]}")
        return "".join(told)

    def dispatcher(self, *options: str, wait: bool = True, before: Any = None, **environ: str) -> Child:
        """Start a dispatcher on our port; returns when it listens."""
        self._starts += 1
        name = f"dispatcher{self._starts}"
        listen = ["nodeset", "dispatcher", "-n", "--listen", f"localhost:{self.port}", *options]
        child = self.spawn(name, *listen, f"--pidfile={self.folder / name}.pid", before=before, **environ)
        if wait:
            self.wait("the dispatcher listens", lambda: child.says("listening on") or child.ended)
            if child.ended:
                raise StillWaiting(f"the dispatcher did not start{self._complaints()}")
        return child

    def member(self, name: str, furl: Path | None = None, environ: Mapping[str, str] | None = None, **options: object) -> Child:
        """Start a member (`tests.faults.member`); returns at once."""
        found = {"NODESET_DISPATCHER": str(furl or self.furl), **(environ or {})}
        text = json.dumps({"name": name, **options})
        return self.spawn(name, "tests.faults.member", str(self.folder / f"{name}.ledger"), text, **found)

    def ready(self, *members: Child, seconds: float = START) -> None:
        """Wait until all are linked and subscribed."""
        for member in members:
            self.wait(f"{member.name} is ready", partial(_isReady, member), seconds)
            if member.ended:
                raise StillWaiting(f"{member.name} is not ready{self._complaints()}")

    def proxy(self, port: int, *options: str) -> Child:
        """A TCP proxy to our dispatcher that can be made bad, see `tests.faults.proxy`."""
        child = self.spawn(f"proxy{port}", "tests.faults.proxy", str(port), str(self.port), *options)
        self.wait("the proxy listens", lambda: child.says("listening"))
        return child
