"""The processes of a run, each in a session of its own, all ended by their ids."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import deque
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Usage, sessionUsage
from benchmarks.peers import ROOT, Place, Server

__all__ = ["Child", "Children", "RunFailed"]

#: Seconds that a process which was told to end has.
GRACE: Final = 2.0


class RunFailed(Exception):
    """A run could not be made: this is why."""


class Child:
    """One process with what it says: `word [json]` lines."""

    def __init__(self, name: str, process: Process) -> None:
        self.name, self._process = name, process
        self._said: dict[str, asyncio.Future[Any]] = {}
        self._last: deque[str] = deque(maxlen=6)
        self._listening = asyncio.create_task(self._listen())

    @property
    def usage(self) -> Usage:
        """What it has used so far, its own children included."""
        return sessionUsage(self._process.pid)

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def explain(self) -> str:
        """Its last words."""
        return f"{self.name} (exit code {self._process.returncode}): {' / '.join(self._last) or 'it said nothing'}"

    def tell(self, word: str) -> None:
        """Say a word to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())

    def send(self, number: signal.Signals) -> None:
        """Signal it, if it is there."""
        if self.alive:
            self._process.send_signal(number)

    async def hear(self, word: str, patience: float) -> Any:
        """What it says with this word. Raises `RunFailed` if it ends before, or says nothing for so many seconds."""
        waiting = [self._future(word), asyncio.ensure_future(self._process.wait())]
        try:
            await asyncio.wait(waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting[1].cancel()
        if waiting[0].done():
            return waiting[0].result()
        await asyncio.sleep(0.1)  # its last words
        raise RunFailed(f"no {word!r} within {patience:g} s from {self.explain()}")

    def _future(self, word: str) -> asyncio.Future[Any]:
        return self._said.setdefault(word, asyncio.get_running_loop().create_future())

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            word, _, rest = line.partition(" ")
            if word in ("ready", "done", "full", "tally"):
                future = self._future(word)
                if not future.done():
                    future.set_result(json.loads(rest) if rest else None)
            else:
                self._last.append(line[:200])

    async def end(self) -> None:
        """End it with whatever it has started."""
        assert self._process.stdin is not None
        self._process.stdin.close()  # ends a worker, which may be in the middle of anything
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), GRACE)
        except TimeoutError:
            pass
        # What it started may outlive it.
        self._signal(signal.SIGKILL)
        await self._process.wait()
        try:
            await asyncio.wait_for(self._listening, GRACE)
        except TimeoutError:
            pass

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            pass


class Children:
    """All processes of one run; `async with` ends them, the last started first."""

    def __init__(self, place: Place) -> None:
        self._place, self._all = place, list[Child]()

    async def __aenter__(self) -> Children:
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in reversed(self._all):
            await child.end()

    async def spawn(self, name: str, command: list[str], environ: dict[str, str] | None = None) -> Child:
        """Start a command in the directory of the run."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("NODESET_")}
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=self._place.directory,
                env={**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(environ or {})},
                stdin=PIPE,
                stdout=PIPE,
                stderr=STDOUT,
                limit=2**20,
                start_new_session=True,
            )
        except OSError as error:
            raise RunFailed(f"cannot start {Path(command[0]).name}: {error.strerror}") from None
        child = Child(name, process)
        self._all.append(child)
        return child

    async def serve(self, server: Server) -> Child:
        """Start the broker; it takes connections when this returns."""
        broker = None
        # Workers end with their stdin; a broker would outlive a harness that is killed.
        leash = [found, "--pdeathsig", "KILL", "--"] if (found := shutil.which("setpriv")) else []
        for command in server.commands:
            broker = await self.spawn("broker", [*leash, *command], server.environ)
        assert broker is not None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + server.patience
        while loop.time() < deadline and broker.alive:
            try:
                _reader, writer = await asyncio.open_connection("127.0.0.1", self._place.port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return broker
        raise RunFailed(f"no connection within {server.patience:g} s to {broker.explain()}")
